//! Holds a conversation with PostgreSQL itself and through weir, and compares what was heard.

use std::fmt;
use std::time::Duration;

use harness::client::{Address, Client, Login, Message};
use harness::{Failure, Result};

use crate::calls::Say;
use crate::conversation::{Conversation, DATA, LOOK, LOOK_CLOSELY, On, Step, Who};
use crate::stage::{PRIMARY, REPLICA, Stage, Twins};

/// How long the neighbour waits for an answer before the conversation goes on: the client may keep the only connection.
const PAUSE: Duration = Duration::from_millis(60);

/// How long anybody waits who must get an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Who got a wrong answer, or `nobody`.
    pub(crate) whose: &'static str,
    pub(crate) what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.whose, self.what)
    }
}

/// An answer as lines; none where nothing was asked.
type Answer = Option<Vec<String>>;

/// Who answers.
pub(crate) struct Servers {
    pub(crate) client: Address,
    pub(crate) neighbour: Address,
    pub(crate) database: String,
    pub(crate) lines: Lines,
}

/// Whether everybody has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    Apart,
    /// There is one for all: for `naive.rs`.
    Shared,
}

/// How weir differs in a conversation.
pub(crate) fn difference(stage: &Stage, twins: &Twins, talk: &Conversation) -> Result<Option<Difference>> {
    let lines = Lines::Apart;
    let (server, weir) = (stage.cluster.address(PRIMARY), stage.weir(talk.pool));
    let direct = Servers { client: server.clone(), neighbour: server, database: twins.direct.clone(), lines };
    let through = Servers { client: weir.clone(), neighbour: weir, database: twins.through.clone(), lines };
    let expected = hold(&direct, talk)?;
    stage.cluster.wait_caught_up()?;
    if talk.still {
        stage.cluster.pause_replay(REPLICA)?;
    }
    let heard = hold(&through, talk);
    if talk.still {
        stage.cluster.resume_replay(REPLICA)?;
    }
    if let Some(found) = compared(talk, &expected, &heard?) {
        return Ok(Some(found));
    }
    let (expected, written) = (stage.written(&twins.direct)?, stage.written(&twins.through)?);
    let nobody = |what| Difference { whose: "nobody", what };
    if expected != written {
        return Ok(Some(nobody(format!("written is {written:?} instead of {expected:?}"))));
    }
    Ok(stage.left(&twins.through)?.map(nobody))
}

/// What is heard at the end, by whom.
const LAST: [(&str, On, &str); 4] = [
    ("the neighbour, at the end", On::Session, LOOK_CLOSELY),
    ("the neighbour, at the end", On::Session, LOOK),
    ("the neighbour, at the end", On::Data, DATA),
    ("who comes next", On::Session, LOOK_CLOSELY),
];

/// The first answer that differs. A neighbour who has not been answered in time on either side says nothing.
pub(crate) fn compared(talk: &Conversation, expected: &[Answer], heard: &[Answer]) -> Option<Difference> {
    let both = |at: &usize| expected[*at].as_ref().zip(heard[*at].as_ref());
    let at = (0..expected.len()).find(|at| both(at).is_some_and(|(expected, heard)| expected != heard))?;
    let (whose, said) = match talk.steps.get(at) {
        Some(Step { who: Who::Client, say, .. }) => ("the client", say.shown()),
        Some(Step { who: Who::Neighbour, say, .. }) => ("the neighbour", say.shown()),
        None => (LAST[at - talk.steps.len()].0, String::new()),
    };
    let what =
        format!("step {at} {said}\n    PostgreSQL: {:?}\n    weir:       {:?}\n", expected[at], heard[at]);
    Some(Difference { whose, what: what.replace("Some(", "").replace(")\n", "\n") })
}

/// Holds it; the answers to all steps, and to what is asked at the end.
pub(crate) fn hold(servers: &Servers, talk: &Conversation) -> Result<Vec<Answer>> {
    let login = Login::new("app", "app").database(&servers.database);
    let mut client = Client::connect(&servers.client, &login)?;
    let mut neighbour = Neighbour { client: Client::connect(&servers.neighbour, &login)?, waiting: None };
    let mut heard: Vec<Answer> = vec![None; talk.steps.len() + LAST.len()];
    for (at, step) in talk.steps.iter().enumerate() {
        match step.who {
            Who::Neighbour if servers.lines == Lines::Shared => {
                heard[at] = Some(said(&mut client, &step.say))
            }
            Who::Client => heard[at] = Some(said(&mut client, &step.say)),
            Who::Neighbour => {
                neighbour.says(&step.say, at, step.on, &mut heard)?;
                // A neighbour may be pinned by what any statement may do: it must not keep the only connection.
                if talk.pool == 1 && neighbour.waiting.is_none() {
                    neighbour.client = Client::connect(&servers.neighbour, &login)?;
                }
            }
        }
    }
    drop(client);
    neighbour.waits(PATIENCE, &mut heard)?;
    for (nth, (_, _, sql)) in LAST[..3].iter().enumerate() {
        heard[talk.steps.len() + nth] = Some(said(&mut neighbour.client, &Say::Simple((*sql).to_owned())));
    }
    drop(neighbour);
    let mut next = Client::connect(&servers.neighbour, &login)?;
    heard[talk.steps.len() + 3] = Some(said(&mut next, &Say::Simple(LAST[3].2.to_owned())));
    Ok(heard)
}

/// Says something, and hears all of the answer.
fn said(client: &mut Client, say: &Say) -> Vec<String> {
    let (frames, mut wanted) = say.frames();
    client.set_patience(PATIENCE);
    let mut heard = Vec::new();
    let mut all = || -> Result<()> {
        client.send(&frames)?;
        while wanted > 0 {
            let message = client.read()?;
            wanted -= usize::from(message.tag == b'Z');
            heard.push(message);
        }
        Ok(())
    };
    let failure = all().err();
    let mut lines = lines(say, &heard);
    lines.extend(failure.map(|failure| format!("then {failure}")));
    lines
}

/// What is compared of an answer.
fn lines(say: &Say, heard: &[Message]) -> Vec<String> {
    let rows = !say.explains();
    let compared = heard.iter().filter(|message| rows || !matches!(message.tag, b'D'));
    compared.map(line).collect()
}

fn line(message: &Message) -> String {
    match message.tag {
        // Types of users have other OIDs in each database.
        b't' => format!("{:?}", message.types().iter().map(|oid| (*oid).min(16384)).collect::<Vec<_>>()),
        b'A' => "NotificationResponse".to_owned(),
        // Some documents name the database.
        _ => message.to_string().replace("code_d_", "code_w_"),
    }
}

/// Somebody else on the pool, who may have to wait.
struct Neighbour {
    client: Client,
    /// The step that is not answered yet, how many ReadyForQuery it wants, and what was heard of it.
    waiting: Option<(usize, Say, Vec<Message>)>,
}

impl Neighbour {
    fn says(&mut self, say: &Say, at: usize, on: On, heard: &mut [Answer]) -> Result<()> {
        // What it writes is there in any case. Where everybody has a connection, nobody keeps it waiting.
        self.waits(if on == On::Data { PATIENCE } else { Duration::from_millis(2) }, heard)?;
        if self.waiting.is_some() {
            return Ok(());
        }
        if on == On::Data {
            heard[at] = Some(said(&mut self.client, say));
            return Ok(());
        }
        self.client.send(&say.frames().0)?;
        self.waiting = Some((at, say.clone(), Vec::new()));
        self.waits(PAUSE, heard)
    }

    /// Waits for the answer.
    fn waits(&mut self, limit: Duration, heard: &mut [Answer]) -> Result<()> {
        let Some((at, say, messages)) = &mut self.waiting else { return Ok(()) };
        while messages.last().is_none_or(|message| message.tag != b'Z') {
            match self.client.read_within(limit)? {
                Some(message) => messages.push(message),
                None if limit == PATIENCE => return Err(Failure::new("the neighbour is never answered")),
                None => return Ok(()),
            }
        }
        heard[*at] = Some(lines(say, messages));
        self.waiting = None;
        Ok(())
    }
}
