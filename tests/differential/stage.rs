//! Where the conversations take place: a cluster, weirs with pools of different sizes, and a database for each group.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use harness::client::front::query;
use harness::client::{Address, Answer, Client, Login, Message};
use harness::{Cluster, Failure, Papers, Result, Weir, WeirSetup, wait_for};

use crate::neighbour::{self, Neighbour};
use crate::pace::Pace;
use crate::reloading;
use crate::talk::{Ground, Hear, Step, Talk};

/// Sizes of the pools: no choice of connection, little, plenty.
const POOLS: [usize; 3] = [1, 2, 10];

/// The size of the pools of which each client keeps connections of its own.
const BY_SESSION: usize = 11;

/// How a weir is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Setup {
    pub(crate) pool: usize,
    pub(crate) transactions: Transactions,
}

/// What `transactions` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transactions {
    Lazy,
    Primary,
}

impl Setup {
    /// Each of them, those first of which no choice of connection is left.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let pools = POOLS.into_iter().chain([BY_SESSION]);
        pools.flat_map(|pool| {
            [Transactions::Lazy, Transactions::Primary].map(|transactions| Self { pool, transactions })
        })
    }

    /// Whether a conversation of this name is held through it although another one would do as well: always the same
    /// one of each kind.
    pub(crate) fn is_drawn_for(self, name: &str) -> bool {
        self.pool == POOLS[name.len() % POOLS.len()]
    }

    /// Whether it is one of two for a conversation of this name.
    pub(crate) fn is_in_half_of(self, name: &str) -> bool {
        let place = POOLS.into_iter().chain([BY_SESSION]).position(|pool| pool == self.pool);
        place.is_some_and(|place| (name.len() + place).is_multiple_of(2))
    }

    fn start(self) -> Weir {
        let mode = if self.pool == BY_SESSION { "\"session\"" } else { "\"transaction\"" };
        let transactions = match self.transactions {
            Transactions::Lazy => "\"lazy\"",
            Transactions::Primary => "\"primary\"",
        };
        let setup = WeirSetup::in_front_of(Cluster::shared(), 0..3)
            .set("pool", "size", &self.pool.to_string())
            .set("pool", "mode", mode)
            .set("routing", "transactions", transactions);
        let setup = match papers() {
            Some(papers) => setup.encrypting_clients(papers).encrypting_servers(papers),
            None => setup,
        };
        setup.start(env!("CARGO_BIN_EXE_weir")).unwrap_or_else(|failure| panic!("no weir: {failure}"))
    }
}

/// What every database holds. Nobody analyzes it: by other plans rows come in another order, and in front of an error or not.
const FURNITURE: &str = "
CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, price numeric(10,2), note text,
                    CONSTRAINT price_positive CHECK (price >= 0)) WITH (autovacuum_enabled = off);
CREATE TABLE orders (id int PRIMARY KEY, item int CONSTRAINT of_an_item REFERENCES items (id))
    WITH (autovacuum_enabled = off);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE SEQUENCE counter;
CREATE FUNCTION shout(word text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'shouting %', word USING DETAIL = 'quite loud', HINT = 'cover your ears';
    RETURN upper(word);
END $$;
CREATE SCHEMA play;
";

/// Roles of all databases.
const CAST: &str = "CREATE ROLE talk_reader; GRANT talk_reader TO app";

/// Makes the database as new.
const TIDY: &str = "
TRUNCATE items, orders;
INSERT INTO items SELECT n, 'item ' || n, n * 1.5, CASE WHEN n % 3 <> 0 THEN 'note ' || n END
    FROM generate_series(1, 20) n;
ALTER SEQUENCE counter RESTART;
DROP SCHEMA play CASCADE;
CREATE SCHEMA play AUTHORIZATION app;
";

/// How a conversation's bytes are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// Not at all: what is said at once is sent at once.
    Whole,
    /// Into pieces of one to seven bytes; in a very long message they grow.
    Tiny,
    /// Between messages, with a pause long enough for weir to run what it has of a batch.
    Hesitant,
}

/// Longer than weir waits for more of a batch.
const HESITATION: Duration = Duration::from_millis(15);

/// After how many messages a client stops hesitating: of a long pipeline its beginning is enough.
const HESITATIONS: usize = 20;

/// What was heard: the login, then step by step, then the farewell.
pub(crate) type Heard = Vec<Vec<Message>>;

/// What was heard through weir.
pub(crate) struct Through {
    pub(crate) heard: Heard,
    /// What the neighbour heard wrongly meanwhile.
    pub(crate) wrong: Option<String>,
    pub(crate) pace: Pace,
}

/// One group's stage.
pub(crate) struct Stage {
    pub(crate) cluster: &'static Cluster,
    database: String,
    /// A superuser's connection to each server, the primary first.
    admins: Mutex<Vec<Client>>,
    /// What the replicas are known to have.
    caught_up: Mutex<String>,
    /// Who else uses the pools of the database.
    neighbours: Mutex<BTreeMap<Setup, Neighbour>>,
    /// Objects with this OID and above were made in a conversation.
    pub(crate) first_new: u32,
}

impl Stage {
    /// A stage with a database of this name.
    pub(crate) fn set(database: &str) -> Result<Self> {
        let cluster = cast()?;
        cluster.sql(0, &format!("CREATE DATABASE {database} OWNER app"))?;
        let login = Login::new("app", "app").database(database);
        Client::connect(&cluster.address(0), &login)?.query(FURNITURE)?;
        let login = Login::new("postgres", "postgres").database(database);
        let primary = Client::connect(&cluster.address(0), &login)?;
        let (admins, caught_up, neighbours) = (Mutex::new(vec![primary]), Mutex::default(), Mutex::default());
        let database = database.to_owned();
        let mut stage = Self { cluster, database, admins, caught_up, neighbours, first_new: 0 };
        stage.admin("SET client_min_messages = warning")?;
        stage.admin(TIDY)?;
        let newest = stage.admin("SELECT max(oid::int8) FROM pg_class")?;
        let newest: u32 = newest.value().parse().map_err(|_| Failure::new("an OID is a number"))?;
        stage.first_new = newest + 1;
        cluster.wait_caught_up()?;
        for replica in 1..cluster.size() {
            stage.lock().push(Client::connect(&cluster.address(replica), &login)?);
        }
        Ok(stage)
    }

    /// The conversation with the primary itself.
    pub(crate) fn directly(&self, talk: &Talk, pieces: Pieces) -> Result<Heard> {
        let (heard, _) = self.play(&self.cluster.address(0), talk, pieces, &mut |_| Ok(()))?;
        Ok(heard)
    }

    /// The conversation through the weir of this setup, with a neighbour between its requests. On a pool of one it
    /// comes after a guest who left a mess.
    pub(crate) fn through(&self, setup: Setup, talk: &Talk, pieces: Pieces) -> Result<Through> {
        let weir = weirs().get(&setup).ok_or_else(|| Failure::new("there is no weir of this setup"))?;
        let mut neighbours = self.neighbours.lock().unwrap_or_else(PoisonError::into_inner);
        let neighbour = match neighbours.entry(setup) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(Neighbour::at(&weir.address(), &self.cluster.address(0), &self.database)?)
            }
        };
        if pieces == Pieces::Whole && setup.pool == 1 {
            neighbour::guest(&weir.address(), &self.database)?;
        }
        let mut wrong = None;
        let (heard, pace) = self.play(&weir.address(), talk, pieces, &mut |status| {
            let heard = match status {
                'I' => neighbour.visit()?,
                // A transaction that has only read holds no connection, and one that holds it must not be waited for.
                _ if setup.transactions == Transactions::Lazy => neighbour.look_in()?,
                _ => None,
            };
            wrong = wrong.take().or(heard);
            Ok(())
        })?;
        wrong = wrong.or(neighbour.finish()?);
        Ok(Through { heard, wrong, pace })
    }

    /// Holds the conversation; `between` is called where the session has no request, with the transaction's status.
    fn play(
        &self,
        address: &Address,
        talk: &Talk,
        pieces: Pieces,
        between: &mut dyn FnMut(char) -> Result<()>,
    ) -> Result<(Heard, Pace)> {
        if talk.ground == Ground::Fresh {
            self.admin(TIDY)?;
        }
        let mut login = Login::new(talk.by.name(), talk.by.name()).database(&self.database);
        for (name, value) in &talk.startup {
            login = login.parameter(name, value);
        }
        let mut client = Client::open(address)?;
        client.set_patience(Duration::from_secs(10));
        let (mut heard, mut pace) = (vec![client.log_in(&login)?], Pace::default());
        if heard[0].last().is_some_and(|last| last.tag != b'Z') {
            return Ok((heard, pace));
        }
        let farewell = Step::Say(query("SELECT 'farewell'"), Hear::Ready(1));
        for step in talk.steps.iter().chain([&farewell]) {
            if talk.ground == Ground::Fresh {
                self.catch_up()?;
            }
            let hear = match step {
                Step::Say(bytes, hear) => {
                    // A server that has closed the connection shows in what is heard.
                    let _ = send(&mut client, bytes, pieces, &mut pace);
                    *hear
                }
                Step::Aside(sql, hear) => {
                    self.admin(sql)?;
                    *hear
                }
                Step::Pause => {
                    std::thread::sleep(Duration::from_millis(5));
                    Hear::Nothing
                }
                Step::Wait => {
                    std::thread::sleep(Duration::from_millis(50));
                    Hear::Nothing
                }
            };
            heard.push(listen(&mut client, hear)?);
            let last = heard.last().and_then(|step| step.last());
            if last.is_some_and(|last| last.tag == END) {
                break;
            }
            if let Some(status) = last.and_then(Message::status) {
                pace.settled();
                between(status)?;
            }
        }
        Ok((heard, pace))
    }

    /// Waits until the replicas have what the conversation has written: how far they lag is not what is compared.
    fn catch_up(&self) -> Result<()> {
        let mut admins = self.lock();
        let Some((primary, replicas)) = admins.split_first_mut() else { return Ok(()) };
        let written = primary.query("SELECT pg_current_wal_lsn()")?.value().to_owned();
        let mut caught_up = self.caught_up.lock().unwrap_or_else(PoisonError::into_inner);
        if *caught_up == written {
            return Ok(());
        }
        let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        for replica in replicas {
            let mut has_it = || Ok((replica.query(&replayed)?.value() == "t").then_some(()));
            // Nearly always it is a matter of a millisecond.
            let soon = (0..10).find_map(|_| {
                std::thread::sleep(Duration::from_micros(300));
                has_it().transpose()
            });
            soon.unwrap_or_else(|| wait_for("a replica to catch up", Duration::from_secs(20), has_it))?;
        }
        *caught_up = written;
        Ok(())
    }

    /// Runs a statement on the primary.
    fn admin(&self, sql: &str) -> Result<Answer> {
        self.lock()[0].query(sql)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Client>> {
        self.admins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cluster with the roles that all conversations need.
fn cast() -> Result<&'static Cluster> {
    static CAST_IN: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    let cluster = Cluster::shared();
    let cast = || {
        if let Some(papers) = papers() {
            secure(cluster, papers).map_err(|failure| failure.to_string())?;
        }
        cluster.sql(0, CAST).map(drop).map_err(|failure| failure.to_string())
    };
    CAST_IN.get_or_init(cast).clone().map_err(Failure::new)?;
    Ok(cluster)
}

/// Certificates, where WEIR_TEST_TLS is in the environment: weir is then reached by TLS, and reaches the servers by it.
fn papers() -> Option<&'static Papers> {
    static PAPERS: OnceLock<Option<Papers>> = OnceLock::new();
    let made = || Papers::new().unwrap_or_else(|failure| panic!("no certificates: {failure}"));
    PAPERS.get_or_init(|| std::env::var_os("WEIR_TEST_TLS").map(|_| made())).as_ref()
}

/// Has all servers speak TLS. That weir does is seen to by its own sslmode.
fn secure(cluster: &Cluster, papers: &Papers) -> Result<()> {
    (0..cluster.size())
        .try_for_each(|server| cluster.secure(server, papers.certificate(), papers.key(), None))
}

fn weirs() -> &'static BTreeMap<Setup, Weir> {
    static WEIRS: OnceLock<BTreeMap<Setup, Weir>> = OnceLock::new();
    WEIRS.get_or_init(|| {
        let weirs: BTreeMap<_, _> = Setup::all().map(|setup| (setup, setup.start())).collect();
        reloading::storm(weirs.values());
        weirs
    })
}

/// The type that [`listen`] gives to what is no message: the end of the connection, or silence.
pub(crate) const END: u8 = 0;

fn end(what: &str) -> Message {
    Message { tag: END, body: what.into() }
}

fn listen(client: &mut Client, hear: Hear) -> Result<Vec<Message>> {
    let mut heard = Vec::new();
    let mut ready = 0;
    loop {
        if matches!(hear, Hear::Nothing) || matches!(hear, Hear::Ready(wanted) if wanted == ready) {
            return Ok(heard);
        }
        let message = match client.read() {
            Ok(message) => message,
            Err(Failure::Io(error)) if error.kind() == io::ErrorKind::TimedOut => end("silence"),
            Err(Failure::Io(_)) => end("closed"),
            Err(other) => return Err(other),
        };
        ready += usize::from(message.tag == b'Z');
        let last = message.tag == END || matches!(hear, Hear::UpTo(tag) if tag == message.tag);
        heard.push(message);
        if last {
            return Ok(heard);
        }
    }
}

fn send(client: &mut Client, bytes: &[u8], pieces: Pieces, pace: &mut Pace) -> Result<()> {
    let size: fn(usize, usize) -> usize = match pieces {
        Pieces::Whole => |_, len| len,
        Pieces::Hesitant => return send_hesitantly(client, bytes),
        // 1, 4, 7, 3, 6, 2, 5 and again; after a thousand of them a long message need not take for ever.
        Pieces::Tiny => |nth, _| 1 + (nth * 3 + 4) % 7 + if nth > 1000 { nth } else { 0 },
    };
    let (mut rest, mut nth) = (bytes, 0);
    while !rest.is_empty() {
        nth += 1;
        let (piece, left) = rest.split_at(size(nth, rest.len()).min(rest.len()));
        client.send_bytes(piece)?;
        pace.sent();
        std::thread::yield_now();
        rest = left;
    }
    Ok(())
}

fn send_hesitantly(client: &mut Client, bytes: &[u8]) -> Result<()> {
    let mut rest = bytes;
    for _ in 0..HESITATIONS {
        // What is no message at all has no boundaries either.
        let Some(size) = rest.get(1..5).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes)
        else {
            break;
        };
        let Some((message, left)) = rest.split_at_checked(1 + size as usize) else { break };
        client.send_bytes(message)?;
        if !left.is_empty() {
            std::thread::sleep(HESITATION);
        }
        rest = left;
    }
    client.send_bytes(rest)
}
