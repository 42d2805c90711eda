//! `weir top` in a real terminal, one of the kernel's that util-linux's `script` opens: what it shows of a real cluster, and that the
//! terminal is given back however it ends.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use harness::client::{Client, Login};
use harness::{Cluster, Failure, Result, Signal, WeirSetup, free_port, send_signal};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What gives the screen back that was there before (xterm's "alternate screen buffer").
const SCREEN_BACK: &str = "\u{1b}[?1049l";

/// `weir top` on a screen of 80 by 24.
struct Terminal {
    script: Child,
    bytes: Receiver<Vec<u8>>,
    written: Vec<u8>,
}

/// What stands on the screen after all of this was written to it: only what changes is, by moves of the cursor.
fn screen(written: &str) -> String {
    let (mut cells, mut row, mut column) = (vec![[' '; 80]; 24], 0, 0);
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                let mut sequence = String::new();
                while !sequence.ends_with(|c: char| c.is_ascii_alphabetic()) {
                    let Some(next) = rest.next() else { break };
                    sequence.push(next);
                }
                if sequence.ends_with('J') {
                    cells = vec![[' '; 80]; 24];
                }
                if let Some(place) = sequence.strip_prefix('[').and_then(|rest| rest.strip_suffix('H')) {
                    let (line, cell) = place.split_once(';').unwrap_or(("1", "1"));
                    (row, column) = (line.parse::<usize>().unwrap() - 1, cell.parse::<usize>().unwrap() - 1);
                }
            }
            '\r' => column = 0,
            '\n' => row += 1,
            c if !c.is_control() && row < 24 && column < 80 => {
                cells[row][column] = c;
                column += 1;
            }
            _ => {}
        }
    }
    cells.iter().map(|line| line.iter().collect::<String>() + "\n").collect()
}

impl Terminal {
    /// None where there is no `script`.
    fn open(url: &str) -> Result<Option<Self>> {
        let top = format!("echo pid=$$=; stty cols 80 rows 24; exec '{WEIR}' top --on {url}");
        let script = Command::new("script")
            .args(["-qfec", &top, "/dev/null"])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut script) = script else {
            eprintln!("not tested: util-linux's script is missing");
            return Ok(None);
        };
        let (tell, bytes) = channel();
        let mut out = script.stdout.take().unwrap();
        thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut some) {
                if tell.send(some[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Some(Self { script, bytes, written: Vec::new() }))
    }

    /// Waits until this is true of all that was written.
    fn wait(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let written = String::from_utf8_lossy(&self.written).into_owned();
            if is_so(&written) {
                return Ok(written);
            }
            match self.bytes.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(more) => self.written.extend(more),
                Err(error) => {
                    return Err(Failure::new(format!(
                        "{error}, no {what}:\n{}\n{written:?}",
                        screen(&written)
                    )));
                }
            }
        }
    }

    /// Waits until all of these stand on the screen.
    fn shows(&mut self, all: &[&str]) -> Result<()> {
        let is_there = |written: &str| {
            let screen = screen(written);
            all.iter().all(|text| screen.contains(text))
        };
        self.wait(&format!("{all:?}"), is_there).map(drop)
    }

    /// Waits for its end, and says with which exit code. The screen is as before then.
    fn ends(&mut self) -> Result<Option<i32>> {
        self.wait("screen as before", |written| written.contains(SCREEN_BACK))?;
        Ok(self.script.wait()?.code())
    }

    fn press(&mut self, keys: &str) -> Result<()> {
        let stdin = self.script.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes())?;
        Ok(stdin.flush()?)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn it_shows_what_a_cluster_does_and_gives_the_terminal_back() -> Result<()> {
    let cluster = Cluster::shared();
    let weir = WeirSetup::in_front_of(cluster, 0..cluster.size()).at_any_age().start(WEIR)?;
    let login = Login::new("app", "app").parameter("application_name", "a shop");
    let mut client = Client::connect(&weir.address(), &login)?;
    client.query("CREATE TEMP TABLE mine (n int)")?;
    let url = format!("http://127.0.0.1:{}", weir.metrics_port());
    let Some(mut terminal) = Terminal::open(&url)? else { return Ok(()) };
    terminal.shows(&["All is well", "live", "primary", "replica1", "conn"])?;
    terminal.press("6")?;
    terminal.shows(&["a shop", "temporary", "DROP them"])?;
    terminal.press("\t")?;
    terminal.shows(&["1 clients", "a shop", "connected"])?;
    terminal.press("?")?;
    terminal.shows(&["sort by the next column"])?;
    terminal.press("q")?;
    assert_eq!(terminal.ends()?, Some(0));
    Ok(())
}

#[test]
fn it_says_when_nobody_answers_and_ends_by_a_signal() -> Result<()> {
    let url = format!("http://127.0.0.1:{}", free_port()?);
    let Some(mut terminal) = Terminal::open(&url)? else { return Ok(()) };
    terminal.shows(&["weir does not answer", "cannot be reached", "no connection"])?;
    let written = terminal.wait("process", |written| written.contains("pid="))?;
    let pid = written.split('=').nth(1).unwrap();
    send_signal(pid.parse().unwrap(), Signal::TERM)?;
    assert_eq!(terminal.ends()?, Some(0));
    Ok(())
}

#[test]
fn without_a_terminal_it_says_what_else_there_is() -> Result<()> {
    let output = Command::new(WEIR).arg("top").stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("needs a terminal") && said.contains("/status.json"),
        "{said}"
    );
    Ok(())
}
