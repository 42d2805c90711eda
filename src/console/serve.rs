//! One operator, from the end of its login to its own: who may come, what it is told, and its commands one by one.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use bytes::BytesMut;

use super::command::{Command, Told};
use super::desk::{Console, Right};
use super::message::{Said, read};
use super::orders::obey;
use super::show::{columns, show};
use super::table::{Column, Table, Type, value};
use super::talk::{Outcome, Refusal, Runs, Talk};
use crate::config::Listener;
use crate::error::{Bar, Error, Result};
use crate::frontend::{Admission, refuse};
use crate::net::{Handshake, Stream};
use crate::session::{Entry, Names, visitor};
use crate::wire::reply::{self, TransactionStatus};

/// The longest message that is read. Commands are short.
const MESSAGE_MAX: usize = 64 << 10;

impl Console {
    /// Serves a client that has logged in to the console, to its end.
    pub(crate) async fn serve(&self, admission: Admission<Stream>, listener: &Listener, right: Right) {
        let Admission { stream, peer, received, greeting, user, welcome, .. } = admission;
        if right == Right::None {
            let error = Error::MayNotEnter(Bar::Denied, greeting.database.clone());
            tracing::info!(%error, "login failed");
            return refuse(stream, &error).await;
        }
        let database: Arc<str> = greeting.database.as_str().into();
        let names = Names { client: database.clone(), server: database };
        let entry = self.shared.registry.enter(greeting.minor, &user.name);
        entry.is_of(visitor(&self.shared, &user.name, &names, (&peer, listener)));
        let application = greeting.parameters.iter().find(|(name, _)| **name == *b"application_name");
        let application = application.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        entry.visitor().into_iter().for_each(|visitor| {
            visitor.calls_itself(application.as_deref().unwrap_or_default());
        });
        tracing::info!("operator connected");
        self.shared.board.operators.fetch_add(1, Ordering::Relaxed);
        let mut client = Handshake::resumed(stream, received);
        let mut talk = Talk::default();
        talk.out = welcome;
        greet(&mut talk.out, &entry, application.as_deref().unwrap_or_default());
        let operator = Operator { console: self, entry: &entry, right };
        let ended = tokio::select! {
            ended = operator.converse(&mut client, &mut talk) => ended,
            () = self.closes(&entry) => Err(Error::Shutdown),
        };
        self.shared.registry.leave(&entry);
        if let Err(error) = ended {
            refuse(client.into_parts().0, &error).await;
        }
    }

    /// Ready when nobody is served any longer, or this one not.
    async fn closes(&self, entry: &Entry) {
        poll_fn(|cx| {
            entry.wakes(cx.waker());
            match entry.is_terminated() || self.shared.is_draining() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

/// What a driver expects to hear: it decides by some of it what to ask.
fn greet(out: &mut BytesMut, entry: &Entry, application: &str) {
    let version = version_for_drivers();
    for (name, value) in [
        ("server_version", version.as_str()),
        ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"),
        ("DateStyle", "ISO"),
        ("IntervalStyle", "postgres"),
        ("TimeZone", "GMT"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
        ("is_superuser", "off"),
        ("in_hot_standby", "off"),
        ("default_transaction_read_only", "off"),
        ("application_name", application),
    ] {
        reply::parameter_status(out, name.as_bytes(), value.as_bytes());
    }
    reply::backend_key_data(out, entry.key());
    reply::ready_for_query(out, TransactionStatus::Idle);
}

/// A number that is no PostgreSQL's, and a word that says whose it is.
fn version_for_drivers() -> String {
    concat!(env!("CARGO_PKG_VERSION"), "/weir").to_owned()
}

/// Somebody at the console.
struct Operator<'a> {
    console: &'a Console,
    entry: &'a Arc<Entry>,
    right: Right,
}

impl Operator<'_> {
    /// Message by message, until the client leaves.
    async fn converse(&self, client: &mut Handshake<Stream>, talk: &mut Talk) -> Result<()> {
        client.send(&talk.out.split()).await.map_err(Error::Lost)?;
        loop {
            let message = client.message(|_| MESSAGE_MAX).await;
            let (tag, body) = message.map_err(|error| match error {
                crate::net::ReadError::Lost(error) => Error::Lost(error),
                crate::net::ReadError::Length => Error::Protocol("invalid message length"),
            })?;
            let said = read(tag, body).ok_or(Error::MessageType(tag))?;
            if said == Said::Terminate {
                return Ok(());
            }
            talk.hear(said.clone(), self).await;
            if !talk.waits(&said) {
                client.send(&talk.out.split()).await.map_err(Error::Lost)?;
            }
        }
    }

    fn tell(&self, name: &'static str, told: Told) -> Table {
        let visitor = self.entry.visitor();
        let text = match told {
            Told::Fixed(text) => text.to_owned(),
            Told::Database => visitor.map(|one| one.names.client.to_string()).unwrap_or_default(),
            Told::User => visitor.map(|one| one.user.to_string()).unwrap_or_default(),
            Told::Pid => self.entry.key().pid().to_string(),
            Told::Version => version_for_drivers(),
            Told::Void => String::new(),
        };
        let mut table = Table::new(&[column(name, told)]);
        table.row([value(text)]);
        table
    }
}

fn column(name: &'static str, told: Told) -> Column {
    match told {
        Told::Pid | Told::Fixed("1") => (name, Type::Int),
        _ => (name, Type::Text),
    }
}

impl Runs for Operator<'_> {
    fn columns(&self, command: &Command) -> Option<Vec<Column>> {
        match command {
            Command::Show(shown) => columns(*shown),
            Command::Tell(name, told) => Some(vec![column(name, *told)]),
            Command::Ask(question) => Some(question.columns()),
            Command::Order(_) | Command::Accept(..) => None,
        }
    }

    async fn run(&self, command: &Command) -> std::result::Result<Outcome, Refusal> {
        match command {
            Command::Show(shown) => show(*shown, self.console, self.right).await,
            Command::Tell(name, told) => {
                Ok(Outcome { table: Some(self.tell(name, *told)), ..Outcome::done("SELECT 1") })
            }
            Command::Ask(question) => {
                let visitor = self.entry.visitor();
                let table = visitor.map(|one| question.answer(&one.names.client, &one.user));
                Ok(Outcome { table: Some(table.unwrap_or_default()), ..Outcome::done("SELECT 1") })
            }
            Command::Order(_) if self.right != Right::Operate => {
                Err(Refusal { code: "42501", ..Refusal::new("admin access needed") })
            }
            Command::Order(order) => obey(order, self.console, self.entry).await,
            Command::Accept(tag, _) => Ok(Outcome::done(*tag)),
        }
    }
}
