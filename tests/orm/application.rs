//! A Python program that works on a database and ends with a line of figures.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use harness::{Failure, Result};

/// A program that is not running yet; its file is named from `tests` on.
pub(crate) struct Application<'a> {
    pub(crate) python: &'a Path,
    pub(crate) file: &'static str,
    /// What it is told behind all else.
    pub(crate) more: Vec<String>,
}

/// A program at work. It is killed when this is dropped before its end.
pub(crate) struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

/// The figures of a program's last line.
pub(crate) struct Figures(String);

impl Application<'_> {
    /// Starts it on what listens to this port.
    pub(crate) fn start(&self, port: u16, arguments: &[String]) -> Result<Running> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let mut child = Command::new(self.python)
            .arg(tests.join(self.file))
            .args(arguments)
            .args(&self.more)
            .env("PYTHONPATH", tests.join("orm"))
            .env("DATABASE_URL", format!("postgresql://app:app@127.0.0.1:{port}/app"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or_else(|| Failure::new("no standard output"))?;
        Ok(Running { child, output: BufReader::new(output) })
    }
}

impl Running {
    /// Waits for a line of the program's.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }

    /// Says to the program that it can go on.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        let input = self.child.stdin.as_mut().ok_or_else(|| Failure::new("no standard input"))?;
        Ok(input.write_all(b"\n")?)
    }

    /// Waits for the end. What was printed before the figures is passed on: it tells what went wrong.
    pub(crate) fn end(mut self) -> Result<Figures> {
        let mut printed = String::new();
        self.output.read_to_string(&mut printed)?;
        let status = self.child.wait()?;
        if !status.success() {
            return Err(Failure::new(format!("the application ended with {status}:\n{printed}")));
        }
        let (before, figures) = printed.trim_end().rsplit_once('\n').unwrap_or(("", printed.trim_end()));
        before.lines().take(10).for_each(|line| eprintln!("{line}"));
        Ok(Figures(figures.to_owned()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Figures {
    /// `"name": 12` of a flat JSON object. The line is made by the programs beside this file: no more is needed.
    pub(crate) fn number(&self, name: &str) -> Result<u64> {
        let value = self.0.split_once(&format!("\"{name}\": ")).map(|(_, rest)| rest);
        let digits = value.and_then(|rest| rest.split([',', '}']).next());
        let number = digits.and_then(|digits| digits.trim().parse().ok());
        number.ok_or_else(|| Failure::new(format!("no {name} in {:?}", self.0)))
    }

    /// `"name": "words"` of the same; without quotes in it.
    pub(crate) fn words(&self, name: &str) -> Result<String> {
        let value = self.0.split_once(&format!("\"{name}\": \"")).and_then(|(_, rest)| rest.split_once('"'));
        let words = value.map(|(words, _)| words.to_owned());
        words.ok_or_else(|| Failure::new(format!("no {name} in {:?}", self.0)))
    }
}
