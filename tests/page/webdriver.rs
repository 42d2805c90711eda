//! A browser, driven by WebDriver (W3C) and, for what that does not know, Chromium's own protocol. Just what the test needs.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::{Failure, Result, free_port, wait_for};
use serde_json::{Value, json};

/// How long a browser may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one window. It ends with the value.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: PathBuf,
}

impl Browser {
    /// Starts it with a profile of its own, which is removed with it.
    pub(crate) fn start() -> Result<Self> {
        let port = free_port()?;
        let profile = std::env::temp_dir().join(format!("weir-page-{}", std::process::id()));
        fs::create_dir_all(&profile)?;
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut browser = Self { driver, port, session: String::new(), profile };
        wait_for("the driver", PATIENCE, || Ok(browser.command("GET", "/status", &Value::Null).ok()))?;
        let data = format!("--user-data-dir={}", browser.profile.display());
        let mut arguments: VecDeque<&str> = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--lang=en",
        ]
        .into();
        arguments.push_back(&data);
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let made = browser.command("POST", "/session", &wanted)?;
        browser.session = made["sessionId"].as_str().unwrap_or_default().to_owned();
        Ok(browser)
    }

    /// What the driver answers to a command of the session's.
    pub(crate) fn tell(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        self.command(method, &format!("/session/{}{path}", self.session), body)
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        // The driver keeps the connection, whatever it is asked.
        let mut stream = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let begin = head.len();
            if stream.read_line(&mut head)? == 0 {
                return Err(Failure::new(format!("{method} {path}: no answer")));
            }
            let line = head[begin..].to_ascii_lowercase();
            if let Some(told) = line.strip_prefix("content-length:") {
                length = told.trim().parse().map_err(|_| Failure::new(line.clone()))?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let mut told: Value =
            serde_json::from_slice(&body).map_err(|error| Failure::new(error.to_string()))?;
        if !head.starts_with("HTTP/1.1 200") {
            return Err(Failure::new(format!("{method} {path}: {}", told["value"]["message"])));
        }
        Ok(told["value"].take())
    }

    /// A command of Chromium's own.
    pub(crate) fn chromium(&self, command: &str, parameters: Value) -> Result<Value> {
        self.tell("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Opens an address.
    pub(crate) fn open(&self, url: &str) -> Result<()> {
        self.tell("POST", "/url", &json!({"url": url})).map(drop)
    }

    /// What a script returns.
    pub(crate) fn run(&self, script: &str) -> Result<Value> {
        self.tell("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression is true.
    pub(crate) fn wait(&self, what: &str, expression: &str) -> Result<()> {
        wait_for(what, PATIENCE, || Ok((self.run(&format!("return {expression}"))? == true).then_some(())))
    }

    /// Presses keys, one after the other.
    pub(crate) fn press(&self, keys: &str) -> Result<()> {
        let key =
            |key: char| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})];
        let actions: Vec<Value> = keys.chars().flat_map(key).collect();
        let keyboard = json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]});
        self.tell("POST", "/actions", &keyboard).map(drop)
    }

    /// The size of the window, in its own units, and how many dots each of them is.
    pub(crate) fn size(&self, width: u32, height: u32, dots: u32) -> Result<()> {
        let mobile = width < 600;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": dots, "mobile": mobile});
        self.chromium("Emulation.setDeviceMetricsOverride", metrics).map(drop)
    }

    /// What a person prefers: `dark` or `light`.
    pub(crate) fn prefers(&self, scheme: &str) -> Result<()> {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.chromium("Emulation.setEmulatedMedia", json!({"features": features})).map(drop)
    }

    /// A picture of what is seen.
    pub(crate) fn picture(&self, file: &Path) -> Result<()> {
        let told = self.tell("GET", "/screenshot", &Value::Null)?;
        let png = STANDARD.decode(told.as_str().unwrap_or_default());
        fs::write(file, png.map_err(|error| Failure::new(error.to_string()))?)?;
        Ok(())
    }

    /// What its console has had to say since it was last asked.
    pub(crate) fn console(&self) -> Result<Vec<String>> {
        let told = self.tell("POST", "/se/log", &json!({"type": "browser"}))?;
        let line = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
        Ok(told.as_array().into_iter().flatten().map(line).collect())
    }

    /// What the pages that were opened have asked for since it was last asked, whoever was asked. What a browser shows before
    /// that asks for files of its own.
    pub(crate) fn asked_for(&self) -> Result<Vec<String>> {
        let told = self.tell("POST", "/se/log", &json!({"type": "performance"}))?;
        let url = |line: &Value| {
            let event: Value = serde_json::from_str(line["message"].as_str()?).ok()?;
            let message = event.get("message")?;
            let of = message["params"]["documentURL"].as_str()?;
            let sent = message["method"] == "Network.requestWillBeSent" && !of.starts_with("chrome");
            sent.then(|| message["params"]["request"]["url"].as_str().map(str::to_owned))?
        };
        Ok(told.as_array().into_iter().flatten().filter_map(url).collect())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session, and its driver would not end it.
        let _ = self.tell("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // Its processes write there to their end, which comes a moment later.
        let removed = || Ok(fs::remove_dir_all(&self.profile).is_ok().then_some(()));
        let _ = wait_for("the profile's removal", PATIENCE, removed);
    }
}
