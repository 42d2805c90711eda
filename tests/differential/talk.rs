//! A conversation with a server: what the client says, and after what it waits for which answer.

use harness::client::front::{bind, describe_portal, execute, parse, query, sync};

/// One conversation. It begins with a login of its own and ends with a farewell query, so that whatever comes too
/// much is seen.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    /// What it shows, as a sentence without a full stop.
    pub(crate) name: String,
    /// Startup parameters besides user and database.
    pub(crate) startup: Vec<(&'static str, &'static str)>,
    pub(crate) steps: Vec<Step>,
    pub(crate) ground: Ground,
    pub(crate) words: Words,
    pub(crate) by: By,
    pub(crate) ways: Ways,
}

/// What the client does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends bytes, then listens.
    Say(Vec<u8>, Hear),
    /// Somebody else runs a statement on the primary, then the client listens.
    Aside(&'static str, Hear),
    /// Waits for a moment, so that what was sent before is not taken in one piece with what comes next.
    Pause,
    /// Waits for longer, as one does who expects to hear something.
    Wait,
}

/// How long the client listens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hear {
    /// To so many ReadyForQuery.
    Ready(usize),
    /// To the first message of this type.
    UpTo(u8),
    /// Not at all: it goes on talking.
    Nothing,
    /// To the end of the connection.
    Close,
}

/// Whether the database must be as new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// The conversation changes nothing.
    Shared,
    /// It changes something: the tables are filled anew before it.
    Fresh,
}

/// Whose words the errors are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// PostgreSQL's own: every field must be the same.
    Servers,
    /// weir's: the place in the server's source cannot be told.
    Weirs,
}

/// Who talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The owner of the database.
    Owner,
    /// A superuser.
    Superuser,
}

/// Through which weirs it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ways {
    Several,
    /// The same, and by a client that hesitates between its messages.
    Apart,
    /// Only one: others do not answer otherwise what they have answered in another form.
    One,
}

impl By {
    /// The name to log in with, which is the password too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Owner => "app",
            Self::Superuser => "postgres",
        }
    }
}

impl Talk {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        let (ground, words, by, ways) = (Ground::Shared, Words::Servers, By::Owner, Ways::Several);
        Self { name: name.into(), startup: Vec::new(), steps: Vec::new(), ground, words, by, ways }
    }

    /// Has a superuser talk.
    pub(crate) fn by_superuser(mut self) -> Self {
        self.by = By::Superuser;
        self
    }

    /// Is held by a client that hesitates, too.
    pub(crate) fn apart(mut self) -> Self {
        self.ways = Ways::Apart;
        self
    }

    /// Comes with this startup parameter.
    pub(crate) fn startup(mut self, name: &'static str, value: &'static str) -> Self {
        self.startup.push((name, value));
        self
    }

    /// Changes what later conversations would see.
    pub(crate) fn changes(mut self) -> Self {
        self.ground = Ground::Fresh;
        self
    }

    /// Gets errors from weir itself.
    pub(crate) fn in_weirs_words(mut self) -> Self {
        self.words = Words::Weirs;
        self
    }

    /// Says simple queries one after the other, each answered before the next.
    pub(crate) fn queries(mut self, queries: &[&str]) -> Self {
        self.steps.extend(queries.iter().map(|sql| Step::Say(query(sql), Hear::Ready(1))));
        self
    }

    /// Sends messages in one go, and hears as many ReadyForQuery as queries, function calls and syncs were sent.
    pub(crate) fn ask(self, frames: &[Vec<u8>]) -> Self {
        let asked = |frame: &&Vec<u8>| matches!(frame.first(), Some(b'Q' | b'F' | b'S'));
        let ready = frames.iter().filter(asked).count();
        self.say(frames, Hear::Ready(ready))
    }

    /// Sends messages and a Sync.
    pub(crate) fn batch(self, frames: &[Vec<u8>]) -> Self {
        self.say(&[frames, &[sync()]].concat(), Hear::Ready(1))
    }

    /// Sends messages in one go, and listens.
    pub(crate) fn say(mut self, frames: &[Vec<u8>], hear: Hear) -> Self {
        self.steps.push(Step::Say(frames.concat(), hear));
        self
    }

    /// Lets a moment pass.
    pub(crate) fn pause(mut self) -> Self {
        self.steps.push(Step::Pause);
        self
    }

    /// Says nothing for as long as one does who expects to hear something.
    pub(crate) fn waits(mut self) -> Self {
        self.steps.push(Step::Wait);
        self
    }

    /// Has somebody else run a statement on the primary.
    pub(crate) fn aside(mut self, sql: &'static str, hear: Hear) -> Self {
        self.steps.push(Step::Aside(sql, hear));
        self
    }
}

impl Step {
    /// The text of a simple query that is answered before anything else is said.
    fn sql(&self) -> Option<&[u8]> {
        match self {
            Self::Say(bytes, Hear::Ready(1)) => {
                let whole = bytes.get(1..5)? == (bytes.len() as u32 - 1).to_be_bytes();
                (bytes[0] == b'Q' && whole).then(|| &bytes[5..bytes.len() - 1])
            }
            _ => None,
        }
    }
}

/// The same conversation as clients hold it: by simple queries as it is given, by the extended protocol, and both of
/// them sent ahead, as pipelines are.
pub(crate) fn in_all_forms(talk: &Talk) -> Vec<Talk> {
    let ways = Ways::One;
    let form =
        |what: &str, steps| Talk { name: format!("{}, {what}", talk.name), steps, ways, ..talk.clone() };
    let extended: Vec<Step> = talk.steps.iter().map(extended).collect();
    vec![
        talk.clone(),
        form("sent ahead", ahead(&talk.steps)),
        form("extended and sent ahead", ahead(&extended)),
        form("extended", extended),
    ]
}

/// A simple query as a batch; anything else as it is.
fn extended(step: &Step) -> Step {
    let batch = |sql: &[u8]| {
        let frames = [parse("", sql, &[]), bind("", "", &[]), describe_portal(""), execute("", 0), sync()];
        Step::Say(frames.concat(), Hear::Ready(1))
    };
    step.sql().map_or_else(|| step.clone(), batch)
}

/// What is answered one after the other said in one go.
fn ahead(steps: &[Step]) -> Vec<Step> {
    let mut joined: Vec<Step> = Vec::new();
    for step in steps {
        match (joined.last_mut(), step) {
            (Some(Step::Say(before, Hear::Ready(count))), Step::Say(bytes, Hear::Ready(more))) => {
                before.extend(bytes);
                *count += more;
            }
            _ => joined.push(step.clone()),
        }
    }
    joined
}

/// Parse, Bind and Execute of an unnamed statement without parameters.
pub(crate) fn run(sql: &str) -> Vec<Vec<u8>> {
    vec![parse("", sql, &[]), bind("", "", &[]), execute("", 0)]
}

/// Bind and Execute of a prepared statement.
pub(crate) fn again(name: &str, values: &[Option<&[u8]>]) -> Vec<Vec<u8>> {
    vec![bind("", name, values), execute("", 0)]
}

/// A parameter in text.
pub(crate) fn text(value: &str) -> Option<&[u8]> {
    Some(value.as_bytes())
}
