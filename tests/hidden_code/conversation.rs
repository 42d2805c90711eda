//! What is said in a world, by whom, and what was heard.

use std::fmt::Write as _;

use harness::Dice;
use harness::client::front::{
    bind, close_statement, copy_data, copy_done, describe_portal, describe_statement, execute, parse, query,
    sync,
};

use crate::calls::{self, Say};
use crate::world::{Made, World};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The client that calls.
    Client,
    /// Somebody else on its pool.
    Neighbour,
}

/// What an answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// What its session is: it is the same whenever it is asked for.
    Session,
    /// What has been written.
    Data,
}

/// One thing that is said.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) who: Who,
    pub(crate) on: On,
    pub(crate) say: Say,
}

/// A conversation.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) steps: Vec<Step>,
    /// Which of the weirs it is held through.
    pub(crate) pool: usize,
    /// Whether the replicas stand still meanwhile.
    pub(crate) still: bool,
}

/// What a session carries that is nobody else's.
pub(crate) const LOOK: &str = "SELECT current_user, current_setting('TimeZone'), current_setting('search_path'), \
    coalesce(current_setting('code.mark', true), '')";

/// The same on the primary, with what only a server process can tell.
pub(crate) const LOOK_CLOSELY: &str = "/* weir: primary */ SELECT current_user, current_setting('TimeZone'), \
    current_setting('search_path'), coalesce(current_setting('code.mark', true), ''), \
    (SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks, \
    (SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = pg_my_temp_schema()) AS temporary, \
    (SELECT count(*) FROM pg_catalog.pg_cursors WHERE is_holdable) AS cursors, \
    (SELECT count(*) FROM pg_listening_channels()) AS channels";

/// Reads what code writes.
pub(crate) const DATA: &str = "SELECT count(*), coalesce(sum(n), 0) FROM public.ledger";

impl Conversation {
    /// The `nth` conversation of a seed.
    pub(crate) fn of(world: &World, seed: u64, nth: u64) -> Self {
        let mut dice = Dice::new(seed, 100 + nth);
        let pool = match world.made {
            Made::Through(pool) => pool,
            Made::Before => *dice.pick(&[1, 2]),
        };
        let mut talk = Self { steps: Vec::new(), pool, still: dice.percent(70) };
        let objects = &world.objects;
        for first in objects.iter().filter_map(|made| made.first.clone()) {
            talk.client(Say::Simple(first));
        }
        for _ in 0..dice.between(1, 4) {
            if dice.percent(40) {
                talk.writes(&mut dice);
            }
            let uses = &dice.pick(objects).uses;
            let used = dice.pick(uses).clone();
            for say in calls::call(&used, &mut dice) {
                talk.client(say);
                if dice.percent(10) {
                    talk.neighbour(On::Session, LOOK_CLOSELY);
                }
            }
            if dice.percent(40) {
                talk.client(Say::Simple(if dice.percent(50) { LOOK } else { DATA }.to_owned()));
            }
            talk.neighbour(On::Session, LOOK_CLOSELY);
            talk.neighbour(On::Session, LOOK);
            talk.neighbour(On::Data, DATA);
        }
        talk
    }

    fn client(&mut self, say: Say) {
        self.steps.push(Step { who: Who::Client, on: On::Data, say });
    }

    fn neighbour(&mut self, on: On, sql: &str) {
        // Where it may have to wait for the client, it asks for nothing that the client goes on changing.
        if self.pool > 1 || on == On::Session {
            self.steps.push(Step { who: Who::Neighbour, on, say: Say::Simple(sql.to_owned()) });
        }
    }

    /// Somebody writes what code may read.
    fn writes(&mut self, dice: &mut Dice) {
        let sql = format!("INSERT INTO public.ledger VALUES ({})", dice.between(10, 99));
        let by = if self.pool > 1 { *dice.pick(&[Who::Client, Who::Neighbour]) } else { Who::Client };
        self.steps.push(Step { who: by, on: On::Data, say: Say::Simple(sql) });
    }

    /// For the reader of a failure.
    pub(crate) fn shown(&self) -> String {
        let still = if self.still { "replicas stand still" } else { "replicas follow" };
        let mut text = format!("  -- a pool of {}, {still}\n", self.pool);
        for Step { who, say, .. } in &self.steps {
            let _ = writeln!(text, "  {who:?}: {}", say.shown());
        }
        text
    }
}

impl Say {
    /// Its messages, and how many ReadyForQuery they bring about.
    pub(crate) fn frames(&self) -> (Vec<Vec<u8>>, usize) {
        match self {
            Self::Simple(sql) => (vec![query(sql)], 1),
            Self::Extended(sql) => {
                (vec![parse("", sql, &[]), bind("", "", &[]), describe_portal(""), execute("", 0), sync()], 1)
            }
            Self::Named(sql) => {
                let again = [bind("", "mine", &[]), execute("", 0), sync()].concat();
                let close = [close_statement("mine"), sync()].concat();
                (
                    vec![
                        parse("mine", sql, &[]),
                        describe_statement("mine"),
                        sync(),
                        again.clone(),
                        again,
                        close,
                    ],
                    4,
                )
            }
            Self::Bound(sql, value) => (
                vec![parse("", sql, &[]), bind("", "", &[Some(value.as_bytes())]), execute("", 0), sync()],
                1,
            ),
            Self::Copy(sql, line) => (vec![query(sql), copy_data(line), copy_done()], 1),
            Self::Ahead(texts) => (texts.iter().map(query).collect(), texts.len()),
            Self::Described(sql) => (vec![parse("", sql, &[]), describe_statement(""), sync()], 1),
        }
    }

    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Simple(sql) if sql == LOOK => "looks at its session".to_owned(),
            Self::Simple(sql) if sql == LOOK_CLOSELY => "looks at its session on the primary".to_owned(),
            Self::Simple(sql) => sql.clone(),
            Self::Extended(sql) => format!("{sql}  -- extended"),
            Self::Named(sql) => format!("{sql}  -- prepared and executed twice"),
            Self::Bound(sql, value) => format!("{sql}  -- with {value:?}"),
            Self::Copy(sql, line) => format!("{sql}  -- and {line:?}"),
            Self::Ahead(texts) => format!("{}  -- in one write", texts.join(" | ")),
            Self::Described(sql) => format!("{sql}  -- only described"),
        }
    }

    /// Whether its rows tell of plans.
    pub(crate) fn explains(&self) -> bool {
        matches!(self, Self::Simple(sql) | Self::Extended(sql) | Self::Named(sql) if sql.contains("EXPLAIN"))
            || matches!(self, Self::Ahead(texts) if texts.iter().any(|sql| sql.contains("EXPLAIN")))
    }
}
