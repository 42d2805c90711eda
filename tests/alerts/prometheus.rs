//! A real Prometheus, which scrapes twice a second whatever it is told to, by rules that wait as long.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use harness::{Daemon, Failure, Result, free_port, tools, wait_for};
use serde_json::Value;

use crate::rules::RULES;

/// What each alert may take to fire, from when there is a reason to.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Prometheus {
    _daemon: Daemon,
    port: u16,
    directory: PathBuf,
}

/// The rules, as patient as this test is: whoever waits for minutes waits for a second.
fn impatient(rules: &str) -> String {
    let lines = rules.lines().map(|line| match line.trim_start().strip_prefix("for: ") {
        Some("0m") | None => line.replace("[5m]", "[10s]").replace("[15m]", "[60s]"),
        Some(_) => format!("{}for: 1s", &line[..line.len() - line.trim_start().len()]),
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Prometheus {
    pub(crate) fn start() -> Result<Self> {
        let program = tools::find("prometheus")
            .ok_or_else(|| Failure::new("there is no prometheus: tests/alerts/run brings it"))?;
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("alerts");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("alerts.yml"), impatient(&fs::read_to_string(RULES)?))?;
        fs::write(directory.join("targets.json"), "[]")?;
        fs::write(directory.join("prometheus.yml"), CONFIGURATION)?;
        let port = free_port()?;
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let daemon = Daemon::start(&mut command, &directory.join("log"))?;
        let prometheus = Self { _daemon: daemon, port, directory };
        wait_for("Prometheus to be ready", PATIENCE, || {
            Ok(prometheus.get("/-/ready").is_ok_and(|text| text.contains(" 200 ")).then_some(()))
        })?;
        Ok(prometheus)
    }

    /// Scrapes these ports, and nothing else.
    pub(crate) fn scrapes(&self, ports: &[u16]) -> Result<()> {
        let targets: Vec<String> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let new = self.directory.join("new");
        fs::write(&new, format!("[{{\"targets\": [{}]}}]", targets.join(", ")))?;
        fs::rename(new, self.directory.join("targets.json"))?;
        Ok(())
    }

    /// Waits until an alert fires of the weir whose metrics are at this port, while `act` is done again and again.
    pub(crate) fn fires(&self, alert: &str, port: u16, mut act: impl FnMut() -> Result<()>) -> Result<()> {
        let instance = format!("127.0.0.1:{port}");
        let fired = wait_for(&format!("{alert} to fire"), PATIENCE, || {
            act()?;
            let alerts = self.api("/api/v1/alerts")?;
            let all = alerts["data"]["alerts"].as_array().cloned().unwrap_or_default();
            let is_it = |one: &Value| {
                one["labels"]["alertname"] == alert
                    && one["labels"]["instance"] == *instance
                    && one["state"] == "firing"
            };
            Ok(all.iter().any(is_it).then_some(()))
        });
        fired.map(|()| println!("{alert} fires"))
    }

    /// The value of an expression that has one; none while it has not.
    pub(crate) fn value(&self, expression: &str) -> Result<Option<f64>> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.api(&format!("/api/v1/query?query={encoded}"))?;
        let value = &answer["data"]["result"][0]["value"][1];
        Ok(value.as_str().and_then(|text| text.parse().ok()))
    }

    /// Waits until Prometheus has scraped this port.
    pub(crate) fn knows(&self, port: u16) -> Result<()> {
        let expression = format!("up{{instance=\"127.0.0.1:{port}\"}}");
        wait_for("a scrape", PATIENCE, || Ok((self.value(&expression)? == Some(1.0)).then_some(())))
    }

    fn api(&self, path: &str) -> Result<Value> {
        let answer = self.get(path)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| Failure::new(answer.clone()))?;
        serde_json::from_str(body).map_err(|error| Failure::new(format!("{error}: {answer}")))
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        // By HTTP/1.0, whose answers come in one piece.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

const CONFIGURATION: &str = "
global:
  scrape_interval: 500ms
  scrape_timeout: 400ms
  evaluation_interval: 500ms
rule_files: [alerts.yml]
scrape_configs:
  - job_name: weir
    file_sd_configs:
      - files: [targets.json]
        refresh_interval: 1s
";
