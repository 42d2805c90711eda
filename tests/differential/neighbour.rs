//! Somebody else on the same pool, between the requests of a conversation: other settings, other statements under
//! the same names, other rights. Its own answers must be right too, so that a leak shows in either direction.

use std::time::Duration;

use harness::client::front::{bind, close_statement, execute, flush, parse, query, sync};
use harness::client::{Address, Client, Login, Message};
use harness::{Failure, Result};

use crate::talk::{again, run};

/// How long a conversation pauses for the neighbour. It may have to wait for the only connection until the
/// conversation lets go of it; nothing depends on whether it gets its turn now or then.
const PAUSE: Duration = Duration::from_millis(30);

/// How long it pauses where the conversation may keep the connection.
const GLANCE: Duration = Duration::from_millis(5);

/// Tells of settings and rights.
const TELL: &str = "SELECT current_setting('TimeZone'), current_setting('DateStyle'), current_setting('work_mem'), \
                    current_setting('search_path'), current_setting('my.word', true), current_user, \
                    '2020-02-03 04:05+00'::timestamptz, '\\x00ff'::bytea";

/// A text whose constants mean something else under other settings. They are read when a statement is prepared.
pub(crate) const CONSTANTS: &str = "SELECT '01/02/2003'::date - '2003-01-01'::date, \
                                    '2020-01-01'::timestamptz - '2020-01-01+00'::timestamptz";

/// What is said at each visit, in turn.
fn visits() -> Vec<Vec<Vec<u8>>> {
    let on_primary = format!("/* weir: primary */ {TELL}");
    vec![
        vec![query(TELL)],
        vec![query(&on_primary)],
        [vec![parse("s", "SELECT 'the neighbour''s'", &[])], again("s", &[]), vec![flush(), sync()]].concat(),
        [vec![parse("c", CONSTANTS, &[])], again("c", &[]), vec![close_statement("c"), sync()]].concat(),
        vec![parse("", "SELECT 'the neighbour''s unnamed one'", &[]), sync()],
        [again("", &[]), vec![sync()]].concat(),
        [again("s", &[]), vec![sync(), close_statement("s"), sync()]].concat(),
        vec![
            query("BEGIN"),
            query("SET LOCAL work_mem = '44MB'; SET TimeZone = 'Asia/Kolkata'"),
            query("SELECT 1/0"),
            query("ROLLBACK"),
            query(&on_primary),
        ],
        vec![query("SET ROLE talk_reader"), query(&on_primary), query(TELL), query("RESET ROLE")],
        [run("SET my.word = 'neighbour'"), vec![sync(), query(TELL), query("SET my.word = ''")]].concat(),
    ]
}

/// A session that comes by.
pub(crate) struct Neighbour {
    client: Client,
    visits: Vec<Vec<Vec<u8>>>,
    /// What the server itself answers to each.
    expected: Vec<Vec<Message>>,
    next: usize,
    /// What has been heard of the answer to the last one; none when it is complete.
    hearing: Option<Vec<Message>>,
}

impl Neighbour {
    /// One that has moved in at `address`, and will be answered as the server at `server` answers.
    pub(crate) fn at(address: &Address, server: &Address, database: &str) -> Result<Self> {
        let mut direct = Client::connect(server, &login(database))?;
        let visits = visits();
        let mut expected = Vec::new();
        for visit in &visits {
            direct.send(visit)?;
            expected.push(answer(&mut direct, visit)?);
        }
        let client = Client::connect(address, &login(database))?;
        Ok(Self { client, visits, expected, next: 0, hearing: None })
    }

    /// Comes by, unless the last visit is not over. What was answered wrongly, if anything.
    pub(crate) fn visit(&mut self) -> Result<Option<String>> {
        self.call()?;
        self.hear(PAUSE)
    }

    /// Comes by where it may be that there is no connection for it, which a transaction is no reason to wait for.
    pub(crate) fn look_in(&mut self) -> Result<Option<String>> {
        let pause = if self.call()? { GLANCE } else { Duration::ZERO };
        self.hear(pause)
    }

    /// Says what is to be said at the next visit, unless the last one is not over; whether it did.
    fn call(&mut self) -> Result<bool> {
        let calls = self.hearing.is_none();
        if calls {
            self.client.send(&self.visits[self.next])?;
            self.hearing = Some(Vec::new());
        }
        Ok(calls)
    }

    /// Hears the rest of the last visit's answer.
    pub(crate) fn finish(&mut self) -> Result<Option<String>> {
        let wrong = self.hear(Duration::from_secs(10))?;
        if self.hearing.is_some() {
            return Err(Failure::new("the neighbour got no answer"));
        }
        Ok(wrong)
    }

    fn hear(&mut self, limit: Duration) -> Result<Option<String>> {
        let Some(heard) = &mut self.hearing else { return Ok(None) };
        let wanted = ready(&self.visits[self.next]);
        while heard.iter().filter(|message| message.tag == b'Z').count() < wanted {
            match self.client.read_within(limit)? {
                Some(message) => heard.push(message),
                None => return Ok(None),
            }
        }
        let heard = std::mem::take(heard);
        let expected = &self.expected[self.next];
        let wrong = (heard != *expected).then(|| {
            format!("the neighbour's visit {}: expected {expected:?}\n  heard {heard:?}", self.next)
        });
        self.hearing = None;
        self.next = (self.next + 1) % self.visits.len();
        Ok(wrong)
    }
}

/// A guest who leaves everything behind that a session can have, and goes without a word.
pub(crate) fn guest(address: &Address, database: &str) -> Result<()> {
    let mut guest = Client::connect(address, &login(database))?;
    for sql in [
        "CREATE TEMP TABLE items AS SELECT 'left behind' AS by_a_guest",
        "LISTEN here",
        "SELECT pg_advisory_lock(42)",
        "PREPARE q AS SELECT 'left behind'",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 'left behind'",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SET search_path = pg_temp",
        "SET ROLE talk_reader",
    ] {
        guest.query(sql)?;
    }
    guest.ask(&[parse("s", "SELECT 'left behind'", &[]), bind("p", "s", &[]), execute("p", 0), sync()])?;
    guest.send(&[query("BEGIN"), query("SET LOCAL TimeZone = 'Asia/Kolkata'")])?;
    guest.until_ready()?;
    guest.until_ready().map(drop)
}

fn login(database: &str) -> Login {
    Login::new("app", "app")
        .database(database)
        .parameter("application_name", "neighbour")
        .parameter("TimeZone", "Pacific/Auckland")
        .parameter("DateStyle", "SQL, DMY")
        .parameter("search_path", "play, pg_temp")
        .parameter("work_mem", "33MB")
        .parameter("bytea_output", "escape")
        .parameter("client_min_messages", "error")
        .parameter("extra_float_digits", "-3")
        .parameter("my.word", "")
}

/// How many ReadyForQuery a visit will bring.
fn ready(visit: &[Vec<u8>]) -> usize {
    visit.iter().filter(|frame| matches!(frame.first(), Some(b'Q' | b'S'))).count()
}

fn answer(client: &mut Client, visit: &[Vec<u8>]) -> Result<Vec<Message>> {
    let mut heard = Vec::new();
    for _ in 0..ready(visit) {
        heard.extend(client.until_ready()?);
    }
    Ok(heard)
}
