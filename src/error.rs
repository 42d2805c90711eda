//! Everything that can go wrong on a client's behalf, with the SQLSTATE and the words the client may read.
//!
//! One variant per cause. Only these words reach clients: no address, no secret, no `{:?}`.
//! SQLSTATEs: PostgreSQL manual, appendix A.

use std::fmt;
use std::io;

/// A failure on a client's behalf.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer closed the connection or it broke.
    #[error("connection lost")]
    Lost(#[source] io::Error),
    /// A message that breaks the protocol; the text says how.
    #[error("{0}")]
    Protocol(&'static str),
    /// A message of a type that clients do not send, or that does not exist.
    #[error("invalid frontend message type {0}")]
    MessageType(u8),
    /// A first packet of a length that none of its kind has. PostgreSQL writes these words in its log and tells
    /// the peer nothing: it does not speak the protocol.
    #[error("{0}")]
    FirstPacket(&'static str),
    /// A startup packet that breaks the protocol, in PostgreSQL's words.
    #[error("{0}")]
    Startup(&'static str),
    /// A TLS handshake that failed, for this reason. The client was told by an alert.
    #[error("could not accept SSL connection: {0}")]
    TlsHandshake(String),
    /// TLS from the first byte on, within which no protocol was agreed upon.
    #[error("received direct SSL connection request without ALPN protocol negotiation extension")]
    NothingAgreed,
    /// A client that is not encrypted where all must be.
    #[error("connection requires SSL encryption")]
    Unencrypted,
    /// Bytes behind an SSLRequest or GSSENCRequest, sent before it was answered: a man in the middle may have
    /// put them there, to be taken for encrypted ones. The text names the request.
    #[error("received unencrypted data after {0} request")]
    EarlyData(&'static str),
    /// A switch in the `options` startup parameter that is not a setting.
    #[error("invalid command-line argument for server process: {0}")]
    Switch(String),
    /// A setting without a value in the `options` startup parameter.
    #[error("{0} requires a value")]
    SwitchValue(String),
    /// A value that one of weir's own settings does not take.
    #[error("invalid value for parameter \"{name}\": \"{value}\"")]
    SettingValue {
        /// The setting, as PostgreSQL would name it.
        name: String,
        /// The value.
        value: String,
        /// The values that it takes, where they can be told.
        hint: Option<&'static str>,
    },
    /// A setting in weir's name that there is not.
    #[error("unrecognized configuration parameter \"{0}\"")]
    SettingName(String),
    /// A setting that weir only shows.
    #[error("parameter \"{0}\" cannot be changed")]
    SettingFixed(String),
    /// The user's policy refuses a statement that would leave state in the session; the text says of which kind.
    #[error("the statement would leave state in the session ({0}), which this user may not")]
    WouldPin(&'static str),
    /// The role may not signal that process, in PostgreSQL's words.
    #[error("{}", .0.message(*.1))]
    MayNotSignal(Denial, u32),
    /// A server process is named on which another client works for now: whoever had it next would be hit. The number is
    /// that client's own process ID.
    #[error("another client works on that server process at the moment")]
    ProcessBorrowed {
        /// What more there is to say.
        hint: String,
    },
    /// No sample of the primary's position came in time.
    #[error("the primary's position in the write-ahead log is not known")]
    NoPosition,
    /// A position was asked for in a transaction whose own writes no position can cover yet.
    #[error("SHOW weir.lsn cannot be executed in a transaction that has written data")]
    PositionUncommitted,
    /// The client asked for a replication connection.
    #[error("replication connections are not supported")]
    Replication,
    /// A protocol version that is not spoken.
    #[error("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2")]
    Version {
        /// Major version asked for.
        major: u16,
        /// Minor version asked for.
        minor: u16,
    },
    /// No user name in the startup packet.
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    /// Wrong password, or no such user: deliberately the same.
    #[error("password authentication failed for user \"{0}\"")]
    Authentication(String),
    /// A SCRAM message that breaks the mechanism's rules; the text says how, in PostgreSQL's words.
    #[error("malformed SCRAM message")]
    ScramMessage(String),
    /// A SCRAM message that asks for what PostgreSQL does not have either.
    #[error("{0}")]
    ScramFeature(&'static str),
    /// A channel binding that there is not.
    #[error("unsupported SCRAM channel-binding type \"{0}\"")]
    ScramBindingType(String),
    /// The client could have bound its login to the stream, and was made to believe that it cannot.
    #[error("SCRAM channel binding negotiation error")]
    ScramDowngrade,
    /// The client's login is bound to another stream than this.
    #[error("SCRAM channel binding check failed")]
    ScramBinding,
    /// The proof that was asked for is another than a password, and fails; the method comes first.
    #[error("{0} authentication failed for user \"{1}\"")]
    Method(&'static str, String),
    /// No line of pg_hba.conf is for such a client.
    #[error("no pg_hba.conf entry for {0}")]
    NoRule(Box<Origin>),
    /// A line of pg_hba.conf turns it away.
    #[error("pg_hba.conf rejects connection for {0}")]
    Rejected(Box<Origin>),
    /// The client must show a certificate, and has none that is verified.
    #[error("connection requires a valid client certificate")]
    NoCertificate,
    /// The client would send its password as it is, for everybody on its way to read.
    #[error("password authentication requires an encrypted connection")]
    PlainPassword,
    /// Another message than a password.
    #[error("expected password response, got message type {0}")]
    PasswordExpected(u8),
    /// A password of no characters, which no PostgreSQL user has.
    #[error("empty password returned by client")]
    EmptyPassword,
    /// Nobody has this name, and nothing had to be proved to be told so.
    #[error("role \"{0}\" does not exist")]
    NoRole(String),
    /// No server would let this user in, in PostgreSQL's words, which name the role or the database.
    #[error("{}", .0.message(.1))]
    MayNotEnter(Bar, String),
    /// Nobody has listed the user, and no server answers who it is. The same whether there is such a user or not.
    #[error("no server can be asked for the user")]
    NoDirectory,
    /// The login took too long.
    #[error("canceling authentication due to timeout")]
    LoginTimeout,
    /// The limit of clients is reached.
    #[error("sorry, too many clients already")]
    TooManyClients,
    /// No connection came free within `checkout_timeout`.
    #[error("no server connection became free within {0:?}")]
    CheckoutTimeout(std::time::Duration),
    /// More clients wait for a connection than `queue_limit` allows.
    #[error("too many clients wait for a server connection")]
    QueueFull,
    /// The primary cannot be reached.
    #[error("the primary cannot be reached")]
    NoPrimary,
    /// The server cannot be reached or refused the connection before it could say why.
    #[error("the server cannot be reached")]
    Unreachable(#[source] io::Error),
    /// The connection to the server would not have been as safe as the configuration demands.
    #[error("no secure connection to the server could be made: {0}")]
    Insecure(#[source] io::Error),
    /// The server refused the login, or something else that weir asked of it; its own words are passed on.
    #[error("{message}")]
    Refused {
        /// The server's SQLSTATE.
        sqlstate: String,
        /// The server's message.
        message: String,
        /// More that it said.
        detail: Option<String>,
        /// What it advised.
        hint: Option<String>,
    },
    /// weir and the server found no way to authenticate that both can; the text says why.
    #[error("cannot authenticate to the server: {0}")]
    ServerAuthentication(&'static str),
    /// A server does not let a user in by the key that its own login has proved.
    #[error("cannot log in to the server as user \"{user}\" by SCRAM pass-through: {why}")]
    PassThrough {
        /// The user towards the server.
        user: String,
        /// Why not.
        why: NoPass,
    },
    /// The backend connection broke while a request ran on it.
    #[error("server closed the connection unexpectedly")]
    ServerLost,
    /// The backend's server answers neither its request nor weir's probes.
    #[error("the server does not answer")]
    ServerSilent,
    /// The backend's server was the primary, and another one is now.
    #[error("the server is not the primary any more")]
    Deposed,
    /// The connection broke while a COMMIT ran: it may or may not have happened.
    #[error("the connection was lost while a commit was in progress; its outcome is unknown")]
    CommitUnknown,
    /// What stands behind the statement that was told of its lost transaction, in PostgreSQL's words.
    #[error("current transaction is aborted, commands ignored until end of transaction block")]
    BlockAborted,
    /// The server sent what the protocol does not allow.
    #[error("the server broke the protocol: {0}")]
    ServerProtocol(&'static str),
    /// The client asked for it while the request waited for a connection, or on its own for freshness.
    #[error("canceling statement due to user request")]
    Canceled,
    /// A request took too long, and its server did not cancel it.
    #[error("canceling statement due to statement timeout: the server did not answer")]
    QueryTimeout,
    /// A client said nothing for too long.
    #[error("terminating connection due to idle-session timeout")]
    IdleClient,
    /// A client said nothing for too long within a transaction.
    #[error("terminating connection due to idle-in-transaction timeout")]
    IdleInTransaction,
    /// A transaction lasted for too long of which no server knew.
    #[error("terminating connection due to transaction timeout")]
    TransactionTimeout,
    /// The connection that listens for the client is gone, and nobody knows what was notified since.
    #[error("terminating connection because notifications for it may have been lost")]
    ListenLost,
    /// A client that listens has not taken what was notified for too long.
    #[error("terminating connection because too many notifications wait for it")]
    NotificationsFull,
    /// What is notified comes in the encoding in which the client began to listen.
    #[error(
        "terminating connection because a notification cannot be told in another client_encoding than LISTEN had"
    )]
    NotificationEncoding,
    /// weir is draining, and begins nothing new.
    #[error("the database system is shutting down")]
    Closing,
    /// weir is draining.
    #[error("terminating connection due to administrator command")]
    Shutdown,
}

/// Shorthand for results with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The five characters that drivers look at (PostgreSQL manual, appendix A).
    pub fn sqlstate(&self) -> &str {
        match self {
            Error::Lost(_) => "08006",
            Error::Protocol(_)
            | Error::MessageType(_)
            | Error::FirstPacket(_)
            | Error::Startup(_)
            | Error::EarlyData(_)
            | Error::TlsHandshake(_)
            | Error::NothingAgreed
            | Error::ScramMessage(_)
            | Error::ScramBindingType(_)
            | Error::PasswordExpected(_)
            | Error::ServerProtocol(_) => "08P01",
            Error::Version { .. } | Error::Replication | Error::WouldPin(_) | Error::ScramFeature(_) => {
                "0A000"
            }
            Error::NotificationEncoding => "0A000",
            Error::Switch(_) | Error::SwitchValue(_) => "42601",
            // PostgreSQL's codes for settings; the last is what it answers while it cannot serve yet.
            Error::SettingValue { .. } => "22023",
            Error::SettingName(_) => "42704",
            Error::SettingFixed(_) => "55P02",
            Error::MayNotSignal(..) => "42501",
            Error::MayNotEnter(bar, _) => bar.sqlstate(),
            Error::ProcessBorrowed { .. } => "55006",
            Error::NoPosition => "57P03",
            Error::PositionUncommitted => "25001",
            Error::NoUser | Error::ServerAuthentication(_) => "28000",
            Error::Method(..) | Error::NoRule(_) | Error::Rejected(_) | Error::NoRole(_) => "28000",
            Error::ScramDowngrade | Error::ScramBinding => "28000",
            Error::NoCertificate | Error::PlainPassword | Error::Unencrypted => "28000",
            Error::PassThrough { why, .. } => why.sqlstate(),
            Error::Authentication(_) | Error::EmptyPassword => "28P01",
            // PostgreSQL raises a plain FATAL "canceling authentication due to timeout" with this code.
            Error::LoginTimeout => "57014",
            Error::TooManyClients | Error::QueueFull => "53300",
            Error::CheckoutTimeout(_) | Error::Canceled | Error::QueryTimeout => "57014",
            Error::IdleClient => "57P05",
            Error::IdleInTransaction => "25P03",
            Error::TransactionTimeout => "25P04",
            Error::Closing => "57P03",
            Error::NoPrimary | Error::Unreachable(_) | Error::Insecure(_) | Error::NoDirectory => "08006",
            Error::Refused { sqlstate, .. } => sqlstate,
            Error::ServerLost | Error::ServerSilent | Error::Deposed => "08006",
            Error::CommitUnknown => "08007",
            Error::BlockAborted => "25P02",
            Error::Shutdown | Error::ListenLost => "57P01",
            // PostgreSQL's code for a queue of notifications that is full.
            Error::NotificationsFull => "54000",
        }
    }

    /// Whether the client is closed without a word: it is gone, or could not read one.
    pub fn is_silent(&self) -> bool {
        matches!(self, Error::Lost(_) | Error::FirstPacket(_) | Error::TlsHandshake(_) | Error::NothingAgreed)
    }

    /// Whether a server is out of reach for now: going down, coming up, or gone. Another attempt may end otherwise.
    pub fn is_outage(&self) -> bool {
        match self {
            Error::Unreachable(_) | Error::Insecure(_) | Error::ServerLost => true,
            Error::Refused { sqlstate, .. } => matches!(&**sqlstate, "57P01" | "57P02" | "57P03" | "57P05"),
            _ => false,
        }
    }

    /// Whether a server lets this user in neither so nor here: wrong proof, or no line of its pg_hba.conf.
    pub(crate) fn is_login_refused(&self) -> bool {
        matches!(self, Error::Refused { sqlstate, .. } if sqlstate.starts_with("28"))
    }

    /// Whether a server has no room for another connection: for anybody, for this user, or to this database.
    pub fn is_full(&self) -> bool {
        matches!(self, Error::Refused { sqlstate, .. } if sqlstate == "53300")
    }

    /// The same of all servers that would do, or of the one primary there is to be.
    pub(crate) fn is_absence(&self) -> bool {
        self.is_outage() || matches!(self, Error::NoPrimary)
    }

    /// What more there is to say, beside the message.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Error::Refused { detail, .. } => detail.as_deref(),
            Error::MayNotSignal(denial, version) => denial.detail(*version),
            Error::ScramMessage(how) => Some(how),
            Error::ScramDowngrade => Some(
                "The client supports SCRAM channel binding but thinks the server does not.  However, this server does \
                 support channel binding.",
            ),
            Error::MayNotEnter(Bar::Denied, _) => Some("User does not have CONNECT privilege."),
            Error::EarlyData(_) => Some(
                "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
            ),
            _ => None,
        }
    }

    /// What to do about it, where that can be told.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Refused { hint, .. } => hint.as_deref(),
            Error::SettingValue { hint, .. } => *hint,
            Error::ProcessBorrowed { hint } => Some(hint),
            Error::PlainPassword => Some(
                "pg_hba.conf has the method \"password\" for this connection, and weir takes a password in plain text only over TLS.",
            ),
            Error::MayNotEnter(Bar::Invalid, _) => Some("Use DROP DATABASE to drop invalid databases."),
            Error::PassThrough { why, .. } => Some(why.hint()),
            Error::ListenLost => {
                Some("Connect again, LISTEN again, and look for what has happened meanwhile.")
            }
            Error::NotificationsFull => {
                Some("The most that may wait for a client is notification_queue in weir's configuration.")
            }
            Error::NotificationEncoding => Some("Set client_encoding before LISTEN."),
            Error::Switch(_) => Some("Try \"postgres --help\" for more information."),
            Error::WouldPin(_) => {
                Some("It is weir that refuses: its configuration says pinning = \"reject\" for this user.")
            }
            _ => None,
        }
    }
}

/// Where a client is, and what it wants, as PostgreSQL names it when it turns one away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its address; `[local]` over a Unix socket.
    pub host: String,
    /// Who it says it is.
    pub user: String,
    /// The database that it wants.
    pub database: String,
    /// `SSL encryption` or `no encryption`.
    pub encryption: &'static str,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, user, database, encryption } = self;
        write!(f, "host \"{host}\", user \"{user}\", database \"{database}\", {encryption}")
    }
}

/// Why a user who has proved who it is may not enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// There is no such role.
    NoRole,
    /// The role has no LOGIN.
    NoLogin,
    /// There is no such database.
    NoDatabase,
    /// The removal of the database was interrupted.
    Invalid,
    /// The database takes no connections.
    Closed,
    /// The role has no CONNECT.
    Denied,
}

impl Bar {
    /// The longest name that there can be (NAMEDATALEN), in bytes. PostgreSQL cuts longer ones off when they come.
    const NAME_MAX: usize = 63;

    fn message(self, name: &str) -> String {
        let cut = (0..=Self::NAME_MAX.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
        let name = &name[..cut.unwrap_or_default()];
        match self {
            Self::NoRole => format!("role \"{name}\" does not exist"),
            Self::NoLogin => format!("role \"{name}\" is not permitted to log in"),
            Self::NoDatabase => format!("database \"{name}\" does not exist"),
            Self::Invalid => format!("cannot connect to invalid database \"{name}\""),
            Self::Closed => format!("database \"{name}\" is not currently accepting connections"),
            Self::Denied => format!("permission denied for database \"{name}\""),
        }
    }

    fn sqlstate(self) -> &'static str {
        match self {
            Self::NoRole | Self::NoLogin => "28000",
            Self::NoDatabase => "3D000",
            Self::Invalid | Self::Closed => "55000",
            Self::Denied => "42501",
        }
    }
}

/// Why a server is not logged in to by a client's own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPass {
    /// The verifiers differ.
    #[error("the server has another verifier than weir, with another salt")]
    OtherSalt,
    /// The verifiers differ.
    #[error("the server has another verifier than weir, with another count of iterations")]
    OtherIterations,
    /// The server has taken the key, and could not prove that it knows the verifier.
    #[error("the server does not know the ServerKey of the verifier that weir has")]
    OtherServerKey,
    /// The server has refused the key.
    #[error("the server refuses the key that the client's login has proved to weir")]
    Refused,
    /// There is none.
    #[error("no login of this user by SCRAM-SHA-256 has proved a key")]
    Unproved,
    /// The server demands what a key is not good for.
    #[error("the server asks for the password itself, which weir does not know")]
    CleartextWanted,
    /// Likewise.
    #[error("the server asks for an MD5 hash of the password, which weir does not know")]
    Md5Wanted,
}

impl NoPass {
    fn sqlstate(self) -> &'static str {
        match self {
            NoPass::OtherSalt | NoPass::OtherIterations | NoPass::OtherServerKey | NoPass::Refused => "28P01",
            NoPass::Unproved | NoPass::CleartextWanted | NoPass::Md5Wanted => "28000",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            NoPass::OtherSalt | NoPass::OtherIterations | NoPass::OtherServerKey | NoPass::Refused => {
                "The verifier that weir has must be the one that the server has in pg_authid. After ALTER ROLE ... PASSWORD \
                 it is another, even if the password is the same."
            }
            NoPass::Unproved => {
                "Log in with the password once while others do not, or have weir know a server_password for this user."
            }
            NoPass::CleartextWanted | NoPass::Md5Wanted => {
                "With pass-through the server's pg_hba.conf must ask for scram-sha-256; else weir needs a server_password."
            }
        }
    }
}

/// Why a process may not be signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// What a superuser runs is to be cancelled.
    CancelSuperuser,
    /// What another role runs is to be cancelled.
    CancelRole,
    /// A superuser's process is to end.
    TerminateSuperuser,
    /// Another role's process is to end.
    TerminateRole,
}

impl Denial {
    /// The first version that says it in other words, as `server_version_num` counts.
    const DETAILED: u32 = 160_000;

    fn message(self, version: u32) -> &'static str {
        match (self, version >= Self::DETAILED) {
            (Self::CancelSuperuser | Self::CancelRole, true) => "permission denied to cancel query",
            (Self::TerminateSuperuser | Self::TerminateRole, true) => {
                "permission denied to terminate process"
            }
            (Self::CancelSuperuser, false) => "must be a superuser to cancel superuser query",
            (Self::TerminateSuperuser, false) => "must be a superuser to terminate superuser process",
            (Self::CancelRole, false) => {
                "must be a member of the role whose query is being canceled or member of pg_signal_backend"
            }
            (Self::TerminateRole, false) => {
                "must be a member of the role whose process is being terminated or member of pg_signal_backend"
            }
        }
    }

    fn detail(self, version: u32) -> Option<&'static str> {
        let detail = match self {
            Self::CancelSuperuser => {
                "Only roles with the SUPERUSER attribute may cancel queries of roles with the SUPERUSER attribute."
            }
            Self::CancelRole => {
                "Only roles with privileges of the role whose query is being canceled or with privileges of the \
                 \"pg_signal_backend\" role may cancel this query."
            }
            Self::TerminateSuperuser => {
                "Only roles with the SUPERUSER attribute may terminate processes of roles with the SUPERUSER attribute."
            }
            Self::TerminateRole => {
                "Only roles with privileges of the role whose process is being terminated or with privileges of the \
                 \"pg_signal_backend\" role may terminate this process."
            }
        };
        (version >= Self::DETAILED).then_some(detail)
    }
}
