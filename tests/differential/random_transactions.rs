//! Random transactions: reads, writes, failures, savepoints, settings, cursors and portals in any order, by both
//! protocols, answered one by one and sent ahead.
//!
//! What differs on purpose once a transaction has left its first connection is not among them: `now()` before and
//! behind a write, and `WHERE CURRENT OF` a cursor that does not lock.

use harness::Result;
use harness::client::front::*;

use crate::random::{Round, Said, Then};
use crate::talk::Words;
use harness::Dice;

/// The seeds of which every run holds conversations, and how many.
const ALWAYS: (u64, u64) = (20_000, 200);

const BEGINS: &[&str] = &[
    "BEGIN",
    "BEGIN",
    "BEGIN",
    "BEGIN",
    "BEGIN;",
    "START TRANSACTION",
    "BEGIN READ WRITE",
    "BEGIN ISOLATION LEVEL READ COMMITTED",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "BEGIN; SELECT 1",
    "SELECT 1; BEGIN",
    "BEGIN; SAVEPOINT a; SELECT count(*) FROM items",
    "BEGIN; UPDATE items SET note = 'in a string' WHERE id = 6",
];

/// What begins transactions that run on a replica from their first statement to their end ...
const ON_REPLICA: &[&str] = &[
    "BEGIN",
    "BEGIN READ ONLY",
    "BEGIN READ ONLY",
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "START TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; BEGIN",
];

/// ... and what says other words there.
const NOT_ON_REPLICA: &[&str] = &["LOCK TABLE", "VACUUM", "READ WRITE", "; BEGIN", "AND CHAIN"];

/// What would begin such transactions where locks and the like are among the statements.
const NOT_ON_PRIMARY: &[&str] = &["CHARACTERISTICS AS TRANSACTION READ ONLY", "BEGIN READ ONLY"];

const ENDS: &[&str] = &[
    "COMMIT",
    "COMMIT",
    "COMMIT",
    "ROLLBACK",
    "ROLLBACK",
    "END",
    "ABORT",
    "COMMIT;",
    "SELECT 1; COMMIT",
    "COMMIT; SELECT count(*) FROM items",
];

const READS: &[&str] = &[
    "SELECT count(*) FROM items",
    "SELECT count(*) FROM items",
    "SELECT id, name, note FROM items WHERE id < 5 ORDER BY id",
    "SELECT id, name FROM items WHERE id > 18 ORDER BY id",
    "SELECT sum(price) FROM items",
    "VALUES (1), (2)",
    "SELECT",
    "SELECT generate_series(1, 4)",
    "SELECT shout('hey')",
    "SELECT i.id FROM items i JOIN orders o ON o.item = i.id ORDER BY 1",
    "COPY (SELECT id FROM items WHERE id < 4 ORDER BY id) TO STDOUT",
    "SELECT repeat('x', 20000)",
    "SELECT now() = current_timestamp, now() > '2020-01-01'",
];

const TELLS: &[&str] = &[
    "SHOW transaction_read_only",
    "SHOW transaction_isolation",
    "SHOW work_mem",
    "SHOW TimeZone",
    "SELECT coalesce(current_setting('my.word', true), ''), current_setting('work_mem')",
    "SELECT '2020-02-03 04:05+00'::timestamptz",
    "SELECT current_user, current_setting('search_path')",
];

const FAILURES: &[&str] = &[
    "SELECT 1/0",
    "SELECT no_such FROM items",
    "SELECT * FROM no_such",
    "SELEC 1",
    "SELECT 'x'::int",
    "SELECT 10 / (3 - id) FROM items ORDER BY id",
    "SELECT no_such(1)",
    "INSERT INTO items VALUES (1, 'taken')",
    "LOCK TABLE no_such",
    "VACUUM",
];

const WRITES: &[&str] = &[
    "INSERT INTO items VALUES (101, 'a')",
    "INSERT INTO items VALUES (102, 'b') RETURNING id, name",
    "UPDATE items SET note = 'changed' WHERE id = 2",
    "UPDATE items SET price = price + 1 WHERE id < 4 RETURNING id",
    "DELETE FROM items WHERE id > 18",
    "WITH gone AS (DELETE FROM items WHERE id = 17 RETURNING id) SELECT * FROM gone",
    "INSERT INTO orders VALUES (1, 1) ON CONFLICT DO NOTHING",
    "SELECT nextval('counter')",
    "SELECT id FROM items WHERE id = 3 FOR UPDATE",
    "CREATE TEMP TABLE t (id int)",
    "LOCK TABLE orders",
    "DO $$ BEGIN UPDATE items SET note = 'done' WHERE id = 4; RAISE NOTICE 'done'; END $$",
];

const SAVEPOINTS: &[&str] = &[
    "SAVEPOINT a",
    "SAVEPOINT a",
    "SAVEPOINT b",
    "SAVEPOINT \"A\"",
    "RELEASE a",
    "RELEASE SAVEPOINT b",
    "ROLLBACK TO a",
    "ROLLBACK TO a",
    "ROLLBACK TO SAVEPOINT b",
    "ROLLBACK TO \"A\"",
    "ROLLBACK TO nowhere",
    "RELEASE nowhere",
];

const SETTINGS: &[&str] = &[
    "SET LOCAL work_mem = '5MB'",
    "SET LOCAL work_mem = '6MB'",
    "SET LOCAL my.word = 'local'",
    "SET LOCAL TimeZone = 'Asia/Tokyo'",
    "SET LOCAL TimeZone = 'America/Lima'",
    "SET LOCAL ROLE talk_reader",
    "SET LOCAL search_path = play, public",
    "SET work_mem = '7MB'",
    "SET my.word = 'of the session'",
    "SET TimeZone = 'Europe/Oslo'",
    "RESET work_mem",
    "RESET TimeZone",
    "RESET ROLE",
    "SET LOCAL work_mem = 'much'",
    "SELECT set_config('my.word', 'told', true)",
    "SELECT set_config('work_mem', '9MB', false)",
    "SELECT set_config('TimeZone', 'UTC', true), set_config('my.word', name, true) FROM items WHERE id = 1",
];

const MODES: &[&str] = &[
    "SET TRANSACTION READ ONLY",
    "SET TRANSACTION READ WRITE",
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET TRANSACTION DEFERRABLE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
];

const CHAINS: &[&str] = &[
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    "COMMIT; BEGIN",
    "ROLLBACK; BEGIN",
    "BEGIN",
    "BEGIN READ ONLY",
];

const CURSORS: &[&str] = &[
    "DECLARE c CURSOR FOR SELECT id, name FROM items ORDER BY id",
    "DECLARE c CURSOR FOR SELECT id, name FROM items ORDER BY id",
    "DECLARE d SCROLL CURSOR FOR SELECT n FROM generate_series(1, 9) n",
    "DECLARE c CURSOR FOR SELECT 10 / (3 - id) FROM items ORDER BY id",
    "FETCH 2 FROM c",
    "FETCH 2 FROM c",
    "FETCH FORWARD 3 FROM d",
    "FETCH BACKWARD 1 FROM d",
    "MOVE 1 IN c",
    "FETCH ALL FROM c",
    "CLOSE c",
    "CLOSE d",
    "CLOSE ALL",
];

const PREPARED: &[&str] = &[
    "PREPARE q AS SELECT count(*) FROM items",
    "PREPARE v AS UPDATE items SET note = 'prepared' WHERE id = 5",
    "EXECUTE q",
    "EXECUTE v",
    "DEALLOCATE q",
];

/// Statements that a client has prepared beforehand, by name.
const NAMED: &[(&str, &str)] = &[
    ("begin", "BEGIN"),
    ("commit", "COMMIT"),
    ("rollback", "ROLLBACK"),
    ("save", "SAVEPOINT a"),
    ("back", "ROLLBACK TO a"),
    ("count", "SELECT count(*) FROM items"),
    ("rows", "SELECT id, name FROM items ORDER BY id"),
    ("nine", "SELECT n FROM generate_series(1, 9) n"),
    ("fails", "SELECT 1/0"),
    ("write", "UPDATE items SET note = 'by name' WHERE id = 7 RETURNING id"),
];

/// Those that take two values: the first a word, the second a number.
const WITH_VALUES: &[(&str, &str)] = &[
    ("read", "SELECT $1::text, name FROM items WHERE id = $2::int"),
    ("change", "UPDATE items SET note = $1 WHERE id = $2::int"),
    ("set", "SELECT set_config('my.word', $1, true), $2::int"),
    ("keep", "SELECT set_config('work_mem', $2::int || 'MB', false) WHERE $1 <> ''"),
];

/// Not the unnamed one: PostgreSQL itself goes down when that is executed behind a simple query that has failed, whose
/// statement it would still be.
const PORTALS: &[&str] = &["p", "p", "q"];

/// Who makes up transactions.
struct Author {
    dice: Dice,
    /// How many of a hundred statements come by the extended protocol.
    extended: u64,
    /// How many of a hundred answers are awaited.
    patience: u64,
    begins: &'static [&'static str],
    /// What its statements do not contain.
    avoids: &'static [&'static str],
}

impl Author {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let extended = *dice.pick(&[0, 50, 50, 100]);
        let patience = *dice.pick(&[100, 70, 30]);
        let of_all = (BEGINS, NOT_ON_PRIMARY);
        let (begins, avoids) = if dice.percent(30) { (ON_REPLICA, NOT_ON_REPLICA) } else { of_all };
        Self { dice, extended, patience, begins, avoids }
    }

    fn conversation(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        if self.extended > 0 {
            let named = NAMED.iter().map(|(name, sql)| parse(name, sql, &[]));
            let valued = WITH_VALUES.iter().map(|(name, sql)| parse(name, sql, &[25, 25]));
            let frames = named.chain(valued).chain([sync()]).collect();
            said.push(Said { frames, then: Then::Hears });
        }
        for _ in 0..self.dice.between(1, 4) {
            said.extend(self.transaction());
        }
        said
    }

    /// One transaction and what is said beside it.
    fn transaction(&mut self) -> Vec<Said> {
        let mut pieces = Vec::new();
        if self.dice.percent(30) {
            pieces.push(self.step());
        }
        pieces.push(self.word(self.begins, "begin"));
        for _ in 0..self.dice.between(2, 13) {
            pieces.push(self.step());
        }
        if self.dice.percent(90) {
            pieces.push(if self.dice.percent(50) {
                self.word(ENDS, "commit")
            } else {
                self.word(ENDS, "rollback")
            });
        }
        let mut said: Vec<Said> = Vec::new();
        for frames in pieces {
            let then = match self.dice.percent(self.patience) {
                true => Then::Hears,
                false if self.dice.percent(15) => Then::Pauses,
                false => Then::GoesOn,
            };
            match said.last_mut() {
                Some(last) if last.then == Then::GoesOn => {
                    last.frames.extend(frames);
                    last.then = then;
                }
                _ => said.push(Said { frames, then }),
            }
        }
        said
    }

    fn step(&mut self) -> Vec<Vec<u8>> {
        match self.dice.between(0, 100) {
            0..22 => self.of(READS),
            22..30 => self.of(TELLS),
            30..39 => self.of(WRITES),
            39..45 => self.of(FAILURES),
            45..57 => self.of(SAVEPOINTS),
            57..66 => self.of(SETTINGS),
            66..75 => self.of(CURSORS),
            75..78 => self.of(MODES),
            78..80 => self.of(CHAINS),
            80..82 => self.of(PREPARED),
            82..84 => self.string(),
            84..89 => self.with_values(),
            89..96 => self.portal(),
            96..98 => self.named(),
            _ => self.loose(),
        }
    }

    fn text(&mut self, texts: &[&'static str]) -> &'static str {
        loop {
            let text = *self.dice.pick::<&str>(texts);
            if !self.avoids.iter().any(|avoided| text.contains(avoided)) {
                return text;
            }
        }
    }

    fn is_extended(&mut self) -> bool {
        self.dice.percent(self.extended)
    }

    /// One of these statements, by either protocol.
    fn of(&mut self, texts: &[&'static str]) -> Vec<Vec<u8>> {
        let text = self.text(texts);
        self.either(text)
    }

    fn either(&mut self, text: &str) -> Vec<Vec<u8>> {
        if !self.is_extended() {
            return vec![query(text)];
        }
        let mut frames = vec![parse("", text, &[])];
        if self.dice.percent(20) {
            frames.push(describe_statement(""));
        }
        frames.push(bind("", "", &[]));
        if self.dice.percent(50) {
            frames.push(describe_portal(""));
        }
        frames.push(execute("", if self.dice.percent(15) { 2 } else { 0 }));
        self.ended(frames)
    }

    /// A word of these, or the statement that was prepared for it.
    fn word(&mut self, texts: &[&'static str], name: &str) -> Vec<Vec<u8>> {
        if self.extended > 0 && self.dice.percent(20) {
            return self.ended(vec![bind("", name, &[]), execute("", 0)]);
        }
        let text = *self.dice.pick::<&str>(texts);
        self.either(text)
    }

    fn string(&mut self) -> Vec<Vec<u8>> {
        let texts = [READS, TELLS, WRITES, SAVEPOINTS, SETTINGS, CURSORS];
        let count = self.dice.between(2, 5);
        let statements = (0..count).map(|_| {
            let of = *self.dice.pick(&texts);
            self.text(of)
        });
        vec![query(statements.collect::<Vec<_>>().join("; "))]
    }

    fn with_values(&mut self) -> Vec<Vec<u8>> {
        let (name, sql) = *self.dice.pick(WITH_VALUES);
        let word = *self.dice.pick(&["one", "it's", ""]);
        let number = self.dice.between(1, 25).to_string();
        let values = [Some(word.as_bytes()), Some(number.as_bytes())];
        let frames = if self.extended > 0 {
            vec![bind("", name, &values), execute("", 0)]
        } else {
            vec![parse("", sql, &[25, 25]), bind("", "", &values), execute("", 0), sync()]
        };
        self.ended(frames)
    }

    /// A portal bound, read in part, read on, described, closed.
    fn portal(&mut self) -> Vec<Vec<u8>> {
        let portal = self.text(PORTALS);
        let limit = u32::try_from(self.dice.between(0, 4)).unwrap_or(0);
        let frames = match self.dice.between(0, 10) {
            0..5 => {
                let name = *self.dice.pick(&["rows", "rows", "nine", "count", "write"]);
                let sql = NAMED.iter().find(|(known, _)| *known == name).map_or("", |(_, sql)| sql);
                vec![close_portal(portal), parse("", sql, &[]), bind(portal, "", &[]), execute(portal, limit)]
            }
            5..8 => vec![execute(portal, limit)],
            8 => vec![describe_portal(portal)],
            _ => vec![close_portal(portal)],
        };
        self.ended(frames)
    }

    fn named(&mut self) -> Vec<Vec<u8>> {
        let (name, _) = *self.dice.pick(NAMED);
        let frames = vec![bind("", name, &[]), describe_portal(""), execute("", 0)];
        self.ended(frames)
    }

    /// One message out of its place.
    fn loose(&mut self) -> Vec<Vec<u8>> {
        let frame = match self.dice.between(0, 9) {
            0 => sync(),
            1 => flush(),
            2 => close_statement("count"),
            3 => parse("count", "SELECT count(*) FROM items", &[]),
            4 => bind("", "nowhere", &[]),
            5 => execute("nowhere", 0),
            6 => describe_statement("rows"),
            7 => function_call(177, &[Some(b"1"), Some(b"2")]),
            _ => parse("", "SELEC", &[]),
        };
        self.ended(vec![frame])
    }

    /// Mostly with a Sync.
    fn ended(&mut self, mut frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        if self.dice.percent(10) {
            frames.push(flush());
        }
        if self.dice.percent(75) {
            frames.push(sync());
        }
        frames
    }
}

#[test]
fn random_transactions() -> Result<()> {
    let round = Round::on("talks_random_transactions", Words::Weirs)?;
    round.hold(ALWAYS, |seed| Author::new(seed).conversation())
}
