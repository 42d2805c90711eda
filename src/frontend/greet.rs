//! What a client says before it is asked for a password.
//!
//! PostgreSQL manual: "Message Flow", "Start-up" and the sections on encryption and cancelling. The rules are
//! those of PostgreSQL 18's ProcessStartupPacket, with its words.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{Error, Result};
use crate::net::{Handshake, ReadError};
use crate::wire::options::parse_options;
use crate::wire::reply;
use crate::wire::startup::{self, CancelKey, Packet, Parameter, Startup};

/// "Yes" to an SSLRequest. A single byte, not a message.
const WILLING: &[u8] = b"S";

/// "No" to an SSLRequest or a GSSENCRequest, likewise.
const UNWILLING: &[u8] = b"N";

/// Who a client says it is, and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The user. Bytes that are not UTF-8 were replaced: such a name is not configured, so it logs in nowhere.
    pub user: String,
    /// The database; the user's name when the client named none.
    pub database: String,
    /// The minor of protocol 3 that both speak.
    pub minor: u16,
    /// Settings in the order in which they take effect: those of `options` first, then the packet's own, as
    /// PostgreSQL applies them. A name may occur more than once; the last one holds.
    pub parameters: Vec<Parameter>,
}

impl Greeting {
    /// The value that a setting begins with, when the client gave one. Names of settings know no case.
    pub fn parameter(&self, name: &str) -> Option<&Bytes> {
        let wanted = |(key, _): &&Parameter| key.eq_ignore_ascii_case(name.as_bytes());
        self.parameters.iter().rev().find(wanted).map(|(_, value)| value)
    }
}

/// What came through the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Knock {
    /// A client that wants a session.
    Greeting(Greeting),
    /// A cancel request. Nothing is ever answered to it; the connection is closed when it has been passed on.
    Cancel(CancelKey),
    /// A client that has asked for TLS, and has been told to go ahead.
    Tls,
}

/// What a client that asks for TLS is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// No.
    InVain,
    /// To go ahead.
    ForTls,
    /// That it has asked already, as for any other encryption.
    Already,
}

/// Reads startup packets until one says what the client wants.
///
/// Not cancel safe: a client whose greeting is given up is refused.
pub async fn greet<S>(client: &mut Handshake<S>, tls: Asked) -> Result<Knock>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A client may ask for either kind of encryption, in either order, but only once for each.
    let mut refused = Vec::with_capacity(2);
    if tls == Asked::Already {
        refused.extend([Packet::Ssl, Packet::Gss]);
    }
    loop {
        let packet = startup::parse(&next_packet(client).await?)?;
        match packet {
            Packet::Cancel(key) => return Ok(Knock::Cancel(key)),
            Packet::Startup(startup) => return accept(client, startup).await.map(Knock::Greeting),
            Packet::Ssl | Packet::Gss if refused.contains(&packet) => {
                return Err(startup::repeated_request(&packet));
            }
            Packet::Ssl if tls == Asked::ForTls => {
                answer(client, &packet, WILLING).await?;
                return Ok(Knock::Tls);
            }
            Packet::Ssl | Packet::Gss => {
                answer(client, &packet, UNWILLING).await?;
                refused.push(packet);
            }
        }
    }
}

async fn next_packet<S>(client: &mut Handshake<S>) -> Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    client.packet(startup::PACKET_MIN..=startup::PACKET_MAX).await.map_err(|error| match error {
        ReadError::Lost(error) => Error::Lost(error),
        ReadError::Length => Error::FirstPacket("invalid length of startup packet"),
    })
}

/// Says yes or no to encryption.
///
/// A client waits for the answer before it says more. Bytes that came along with the request were put there by
/// someone who hopes that they are taken for encrypted ones later (CVE-2021-23214), or by a broken client.
async fn answer<S>(client: &mut Handshake<S>, request: &Packet, answer: &[u8]) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if client.has_unread() {
        return Err(Error::EarlyData(if *request == Packet::Ssl { "SSL" } else { "GSSAPI encryption" }));
    }
    client.send(answer).await.map_err(Error::Lost)
}

async fn accept<S>(client: &mut Handshake<S>, startup: Startup) -> Result<Greeting>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let minor = startup.minor.min(startup::NEWEST_MINOR);
    let asked = Parameters::from(startup.parameters)?;
    if startup.minor > startup::NEWEST_MINOR || !asked.protocol_options.is_empty() {
        let mut out = BytesMut::new();
        reply::negotiate_protocol_version(&mut out, minor, asked.protocol_options);
        client.send(&out).await.map_err(Error::Lost)?;
    }
    let user = asked.user.filter(|user| !user.is_empty()).ok_or(Error::NoUser)?;
    let mut parameters = parse_options(&asked.options)?;
    parameters.extend(asked.settings);
    Ok(Greeting {
        database: asked.database.filter(|name| !name.is_empty()).unwrap_or_else(|| user.clone()),
        user,
        minor,
        parameters,
    })
}

/// A StartupMessage's parameters, told apart. Where one is given twice, the last one holds.
#[derive(Default)]
struct Parameters {
    user: Option<String>,
    database: Option<String>,
    options: Bytes,
    /// Names of protocol extensions; none is known.
    protocol_options: Vec<String>,
    settings: Vec<Parameter>,
}

impl Parameters {
    fn from(parameters: Vec<Parameter>) -> Result<Self> {
        let lossy = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let mut asked = Self::default();
        for (name, value) in parameters {
            match name.as_ref() {
                b"user" => asked.user = Some(lossy(&value)),
                b"database" => asked.database = Some(lossy(&value)),
                b"options" => asked.options = value,
                b"replication" => refuse_replication(&value)?,
                extension if extension.starts_with(b"_pq_.") => asked.protocol_options.push(lossy(&name)),
                _ => asked.settings.push((name, value)),
            }
        }
        Ok(asked)
    }
}

/// A session is asked for by any of PostgreSQL's spellings of "false"; another boolean, or "database", asks for replication.
fn refuse_replication(value: &[u8]) -> Result<()> {
    match boolean(value) {
        Some(false) => Ok(()),
        Some(true) => Err(Error::Replication),
        None if value == b"database" => Err(Error::Replication),
        None => Err(Error::SettingValue {
            name: "replication".to_owned(),
            value: String::from_utf8_lossy(value).into_owned(),
            hint: Some("Valid values are: \"false\", 0, \"true\", 1, \"database\"."),
        }),
    }
}

/// PostgreSQL's parse_bool takes every unique prefix of its words, in any case.
fn boolean(value: &[u8]) -> Option<bool> {
    const WORDS: [(&[u8], usize, bool); 8] = [
        (b"true", 1, true),
        (b"yes", 1, true),
        (b"on", 2, true),
        (b"1", 1, true),
        (b"false", 1, false),
        (b"no", 1, false),
        (b"off", 2, false),
        (b"0", 1, false),
    ];
    let value = value.to_ascii_lowercase();
    let says =
        |(word, shortest, _): &&(&[u8], usize, bool)| value.len() >= *shortest && word.starts_with(&value);
    WORDS.iter().find(says).map(|(_, _, says)| *says)
}

#[cfg(test)]
#[path = "greet_tests.rs"]
mod tests;
