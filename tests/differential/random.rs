//! Random conversations: what no table of conversations thought of. A seed repeats one.
//!
//! One that differs is made shorter as long as it still differs, and then shown.

use harness::Result;
use harness::client::Message;
use harness::client::front::*;

use crate::compare;
use crate::corpus::*;
use crate::stage::{Heard, Pieces, Setup, Stage, Transactions};
use crate::talk::{Hear, Step, Talk, Words};
use harness::Dice;

/// Conversations that every run holds.
const ALWAYS: u64 = 50;

/// The first of their seeds.
const FIRST: u64 = 3000;

/// What weir is known to get wrong: names that a string frees before it fails, or asks for behind the end of a
/// transaction on a replica ...
const NOT_WITH_OTHERS: [&str; 3] = ["DEALLOCATE", "DISCARD ALL", "pg_prepared_statements"];

/// ... and a statement that frees its own name.
const NOT_PARSED: [&str; 1] = ["DEALLOCATE"];

/// What is sent at once.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) then: Then,
}

/// What a client does when it has sent something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Hears all of the answer.
    Hears,
    /// Goes on talking.
    GoesOn,
    /// Goes on after a moment.
    Pauses,
}

/// A player of random conversations.
struct Player {
    dice: Dice,
    bent: Bent,
}

impl Player {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 0);
        let bent = if dice.percent(50) { Bent::ReadOnly } else { Bent::Locks };
        Self { dice, bent }
    }

    fn conversation(&mut self) -> Vec<Said> {
        let length = self.dice.between(4, 14);
        (0..length).map(|_| self.said()).collect()
    }

    fn said(&mut self) -> Said {
        let pieces = self.dice.between(1, 5);
        let frames = (0..pieces).flat_map(|_| self.piece()).collect();
        let then = match self.dice.between(0, 10) {
            0..6 => Then::Hears,
            6..8 => Then::GoesOn,
            _ => Then::Pauses,
        };
        Said { frames, then }
    }

    /// Some messages that belong together.
    fn piece(&mut self) -> Vec<Vec<u8>> {
        match self.dice.between(0, 20) {
            0..8 => vec![query(self.text())],
            8 => vec![query(self.texts())],
            9..13 => self.batch(),
            13..15 => self.with_parameters(),
            15 => self.copy(),
            16 => vec![self.long()],
            17 => vec![flush()],
            18 => vec![sync()],
            _ => vec![self.loose(), self.loose()],
        }
    }

    fn of(&mut self, texts: &[&'static str]) -> &'static str {
        self.dice.pick::<&str>(texts)
    }

    fn statement(&mut self) -> &'static str {
        match (self.dice.between(0, 20), self.bent) {
            (0..5, _) => self.of(READS),
            (5..8, _) => self.of(WRITES),
            (8..11, _) => self.of(SETTINGS),
            (11..15, Bent::Locks) => self.of(TRANSACTIONS),
            (11..14, Bent::ReadOnly) => self.of(TRANSACTIONS),
            (14, Bent::ReadOnly) => self.of(READ_ONLY),
            (15..17, _) => self.of(PREPARED),
            (17..19, _) => self.of(CURSORS),
            (_, Bent::Locks) => self.of(LOCKS),
            (_, Bent::ReadOnly) => self.of(READ_ONLY),
        }
    }

    /// A statement in which none of these words stands.
    fn apart_from(&mut self, words: &[&str]) -> &'static str {
        loop {
            let statement = self.statement();
            if !words.iter().any(|word| statement.contains(word)) {
                return statement;
            }
        }
    }

    fn text(&mut self) -> String {
        let lead = if self.dice.percent(5) { "/* weir: primary */ " } else { "" };
        format!("{lead}{}", self.statement())
    }

    fn texts(&mut self) -> String {
        let count = self.dice.between(2, 4);
        (0..count).map(|_| self.apart_from(&NOT_WITH_OTHERS)).collect::<Vec<_>>().join("; ")
    }

    /// A statement by the extended protocol, mostly with its Sync.
    fn batch(&mut self) -> Vec<Vec<u8>> {
        let (name, portal) = (self.of(STATEMENTS), self.of(PORTALS));
        let mut frames = Vec::new();
        if self.dice.percent(75) {
            frames.push(parse(name, self.apart_from(&NOT_PARSED), &[]));
        }
        if self.dice.percent(25) {
            frames.push(describe_statement(name));
        }
        frames.push(bind(portal, name, &[]));
        if self.dice.percent(40) {
            frames.push(describe_portal(portal));
        }
        let limit = if self.dice.percent(25) { 2 } else { 0 };
        frames.push(execute(portal, limit));
        self.ended(frames)
    }

    fn ended(&mut self, mut frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        if self.dice.percent(10) {
            frames.push(flush());
        }
        if self.dice.percent(70) {
            frames.push(sync());
        }
        frames
    }

    fn with_parameters(&mut self) -> Vec<Vec<u8>> {
        let name = self.of(WITH_PARAMETERS);
        let size = if self.dice.percent(15) { 1 << self.dice.between(12, 19) } else { 3 };
        let value = "v".repeat(size);
        let number = self.dice.between(0, 30).to_string();
        let frames = vec![
            parse(name, self.of(PARAMETERS), &[25, 23]),
            bind("", name, &[Some(value.as_bytes()), Some(number.as_bytes())]),
            execute("", 0),
        ];
        self.ended(frames)
    }

    fn copy(&mut self) -> Vec<Vec<u8>> {
        let out = self.bent == Bent::ReadOnly || self.dice.percent(30);
        let text = if out { self.of(COPIES_OUT) } else { self.of(COPIES_IN) };
        let simple = self.dice.percent(60);
        let mut frames = if simple {
            vec![query(text)]
        } else {
            vec![parse("", text, &[]), bind("", "", &[]), execute("", 0)]
        };
        if !out {
            let bad = self.dice.percent(20);
            frames.push(copy_data(if bad { "x\ty\tz\n" } else { "201\tone\n" }));
            if self.dice.percent(20) {
                frames.push(copy_data("202\ttwo\n".repeat(3000)));
            }
            frames.push(if self.dice.percent(20) { copy_fail("enough") } else { copy_done() });
        }
        if !simple {
            frames.push(sync());
        }
        frames
    }

    /// A message that is passed on in parts.
    fn long(&mut self) -> Vec<u8> {
        let size = 1usize << self.dice.between(14, 20);
        let text = self.statement();
        let filling = "x".repeat(size);
        match self.dice.percent(50) {
            true => query(format!("/* {filling} */ {text}")),
            false => query(format!("{text} /* {filling} */")),
        }
    }

    /// One message out of its place.
    fn loose(&mut self) -> Vec<u8> {
        let (name, portal) = (self.of(STATEMENTS), self.of(PORTALS));
        match self.dice.between(0, 8) {
            0 => close_statement(name),
            1 => close_portal(portal),
            2 => describe_statement(name),
            3 => describe_portal(portal),
            4 => execute(portal, 1),
            5 => bind(portal, name, &[]),
            6 => parse(name, self.apart_from(&NOT_PARSED), &[]),
            _ => flush(),
        }
    }
}

/// The conversation as it is held. Whatever was answered, a Sync and an empty query behind it show where the answer
/// ends.
fn talk(said: &[Said], words: Words) -> Talk {
    let mut talk = Talk { words, ..Talk::new("a random conversation").changes() };
    for (n, said) in said.iter().enumerate() {
        talk = talk.say(&said.frames, Hear::Nothing);
        match said.then {
            Then::Pauses => talk.steps.push(Step::Pause),
            Then::Hears => {
                let mark =
                    if n % 2 == 0 { vec![sync(), query("")] } else { vec![sync(), flush(), query(" ")] };
                talk = talk.say(&mark, Hear::UpTo(b'I')).say(&[], Hear::Ready(1));
            }
            Then::GoesOn => {}
        }
    }
    talk.say(&[sync(), query("")], Hear::UpTo(b'I')).say(&[], Hear::Ready(1))
}

/// The login, and in one piece all the rest.
fn in_one(heard: &Heard) -> Heard {
    let mut heard = heard.iter();
    let login = heard.next().cloned().unwrap_or_default();
    vec![login, heard.flatten().cloned().collect::<Vec<Message>>()]
}

/// Where random conversations are held, and what is asked of them.
pub(crate) struct Round {
    stage: Stage,
    words: Words,
}

impl Round {
    /// With a database of this name.
    pub(crate) fn on(database: &str, words: Words) -> Result<Self> {
        Ok(Self { stage: Stage::set(database)?, words })
    }

    /// Holds them. With WEIR_RANDOM_SEED in the environment it begins there, and WEIR_RANDOM_TALKS says how many are
    /// held. Those that every run holds are known to be heard the same; others may find what weir gets wrong.
    pub(crate) fn hold(&self, always: (u64, u64), conversation: impl Fn(u64) -> Vec<Said>) -> Result<()> {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let first = number("WEIR_RANDOM_SEED").unwrap_or(always.0);
        let talks = number("WEIR_RANDOM_TALKS").unwrap_or(always.1);
        let mut failed = Vec::new();
        for seed in first..first + talks {
            eprintln!("seed {seed}");
            let said = conversation(seed);
            if let Some(what) = self.difference(&said, seed)? {
                eprintln!("seed {seed} differs: {what}\n{}", shown(&said));
                let (shorter, why) = self.shortened(said, seed)?;
                eprintln!("seed {seed}\n{}{}", shown(&shorter), why.unwrap_or(what));
                failed.push(seed);
            }
        }
        assert!(failed.is_empty(), "WEIR_RANDOM_SEED: {failed:?} differ");
        Ok(())
    }

    /// How weir differs in a conversation.
    fn difference(&self, said: &[Said], seed: u64) -> Result<Option<String>> {
        let talk = talk(said, self.words);
        let server =
            self.stage.directly(&talk, Pieces::Whole).inspect_err(|_| eprintln!("{}", shown(said)))?;
        let expected = in_one(&server);
        if expected[1].iter().any(|message| message.tag == crate::stage::END) {
            // The server itself says nothing: there is nothing to go by.
            return Ok(None);
        }
        let pool = [1, 2, 11][usize::try_from(seed % 3).unwrap_or(0)];
        let transactions = if seed.is_multiple_of(2) { Transactions::Lazy } else { Transactions::Primary };
        let setup = Setup { pool, transactions };
        let heard = match self.stage.through(setup, &talk, Pieces::Whole) {
            Ok(heard) => heard,
            Err(failure) => return Ok(Some(format!("{setup:?}: {failure}"))),
        };
        let is_late = heard.pace.is_hesitant();
        let told = |heard| if is_late { compare::told_at_the_end(heard) } else { heard };
        let (expected, said) = (told(expected), told(in_one(&heard.heard)));
        let what = compare::difference(&talk, &expected, &said, self.stage.first_new);
        Ok(what.or(heard.wrong).map(|what| format!("{setup:?}: {what}")))
    }

    /// The conversation without what the difference does not need: first without some of what is said at once, then
    /// without some of its messages.
    fn shortened(&self, mut said: Vec<Said>, seed: u64) -> Result<(Vec<Said>, Option<String>)> {
        let mut why = None;
        // Whether a change leaves the difference: then it is made.
        let mut attempt = |said: &mut Vec<Said>, change: &dyn Fn(&mut Vec<Said>)| -> Result<bool> {
            let mut changed = said.clone();
            change(&mut changed);
            let differs = self.difference(&changed, seed)?;
            let stays = differs.is_some();
            if stays {
                (*said, why) = (changed, differs);
            }
            Ok(stays)
        };
        let mut at = 0;
        while at < said.len() {
            at += usize::from(!attempt(&mut said, &|said| drop(said.remove(at)))?);
        }
        for n in 0..said.len() {
            let mut at = 0;
            while at < said[n].frames.len() {
                at += usize::from(!attempt(&mut said, &|said| drop(said[n].frames.remove(at)))?);
            }
            attempt(&mut said, &|said| said[n].then = Then::Hears)?;
        }
        Ok((said, why))
    }
}

fn shown(said: &[Said]) -> String {
    let frame = |frame: &Vec<u8>| {
        let body = String::from_utf8_lossy(&frame[5..frame.len().min(120)]).replace('\0', "|");
        format!("    {} {body} ({} bytes)\n", char::from(frame[0]), frame.len())
    };
    let one = |said: &Said| {
        let frames: String = said.frames.iter().map(frame).collect();
        format!("{frames}  {:?}\n", said.then)
    };
    said.iter().map(one).collect()
}

#[test]
fn random_conversations() -> Result<()> {
    let round = Round::on("talks_random", Words::Weirs)?;
    round.hold((FIRST, ALWAYS), |seed| Player::new(seed).conversation())
}
