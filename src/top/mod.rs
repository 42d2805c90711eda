//! `weir top`: what the page shows, in a terminal. It is told what there is to be seen by the weir that runs, reckons nothing but the
//! order of rows, and changes nothing there.

mod draw;
mod state;
mod tables;
mod words;

use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::{self, AskError};
use state::{Next, Top};

/// How often keys and news are looked for.
const LOOK: Duration = Duration::from_millis(100);

/// Until a weir is asked again that does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// Why nothing is shown any more.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// The address is none.
    #[error(transparent)]
    Address(#[from] AskError),
    /// The terminal does not do what it is told.
    #[error("the terminal cannot be used")]
    Terminal(#[from] io::Error),
}

/// What there is to be told.
enum News {
    /// What weir told.
    Seen(Box<admin::snapshot::Snapshot>),
    /// It tells nothing, and why.
    Lost(String),
    /// The process is told to end.
    End,
}

/// Shows the weir whose `[metrics]` are served at `url` until a key or a signal ends it. The terminal is as before then, also
/// after a panic.
///
/// # Errors
/// When the address is none, or the terminal cannot be used.
pub fn run(url: &str) -> Result<(), TopError> {
    admin::is_address(url)?;
    let (tell, told) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ends = {
        let _entered = runtime.enter();
        [signal(SignalKind::terminate())?, signal(SignalKind::hangup())?, signal(SignalKind::interrupt())?]
    };
    let asked = url.to_owned();
    // It ends with the process: nothing depends on it.
    drop(thread::spawn(move || runtime.block_on(listen(&asked, ends, &tell))));
    // The hook that it sets gives the terminal back before a panic is told.
    let mut terminal = ratatui::try_init()?;
    let outcome = show(&mut terminal, &told, Top::new(url));
    ratatui::try_restore()?;
    Ok(outcome?)
}

/// Passes on what weir tells, and asks again when it tells nothing.
async fn listen(url: &str, [mut terminate, mut hangup, mut interrupt]: [Signal; 3], tell: &Sender<News>) {
    let told = async {
        loop {
            let watched = admin::watch(url, |seen| drop(tell.send(News::Seen(Box::new(seen))))).await;
            let why = match watched {
                Ok(()) => "it has ended, or its page was turned off".to_owned(),
                Err(error) => words::chain(&error),
            };
            drop(tell.send(News::Lost(why)));
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::select! {
        () = told => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop(tell.send(News::End));
}

fn show(terminal: &mut DefaultTerminal, told: &Receiver<News>, mut top: Top) -> io::Result<()> {
    loop {
        terminal.draw(|frame| draw::draw(frame, &mut top))?;
        let is_key = event::poll(LOOK)?;
        if is_key
            && let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && top.key(key) == Next::End
        {
            return Ok(());
        }
        loop {
            match told.try_recv() {
                Ok(News::Seen(seen)) => top.sees(*seen),
                Ok(News::Lost(why)) => top.loses(why),
                Ok(News::End) | Err(TryRecvError::Disconnected) => return Ok(()),
                Err(TryRecvError::Empty) => break,
            }
        }
    }
}
