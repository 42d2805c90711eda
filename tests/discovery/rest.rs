//! A Patroni that says what a test wants, by its REST API: over TLS or not, to everybody or to who knows the password.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What it does with a question.
#[derive(Clone)]
pub(crate) enum Says {
    /// This JSON.
    Cluster(String),
    /// An error of this status.
    Status(&'static str),
    /// Nothing.
    Silence,
}

/// One node's API. Runs until the process ends.
pub(crate) struct Rest {
    pub(crate) port: u16,
    says: Arc<Mutex<Says>>,
    asked: Arc<Mutex<usize>>,
}

impl Rest {
    /// For everybody.
    pub(crate) fn start(cluster: String) -> Self {
        Self::with(cluster, None, None)
    }

    /// Over TLS where there is any, and for who shows these credentials (`Basic ...`) where there are any.
    pub(crate) fn with(cluster: String, tls: Option<Arc<ServerConfig>>, login: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let says = Arc::new(Mutex::new(Says::Cluster(cluster)));
        let asked = Arc::<Mutex<usize>>::default();
        let (said, count) = (says.clone(), asked.clone());
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (said, count, tls) = (said.clone(), count.clone(), tls.clone());
                thread::spawn(move || match tls {
                    None => drop(serve(socket, &said, &count, login)),
                    Some(config) => {
                        let connection = ServerConnection::new(config).unwrap();
                        drop(serve(StreamOwned::new(connection, socket), &said, &count, login));
                    }
                });
            }
        });
        Self { port, says, asked }
    }

    pub(crate) fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// How often it has answered or refused to.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn serve(
    stream: impl Read + Write,
    says: &Mutex<Says>,
    asked: &Mutex<usize>,
    login: Option<&str>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let says = says.lock().unwrap().clone();
    *asked.lock().unwrap() += 1;
    let wanted = login.map(|login| format!("authorization: Basic {login}"));
    let is_known = wanted.is_none_or(|wanted| head.iter().any(|line| line.eq_ignore_ascii_case(&wanted)));
    let is_cluster = head.first().is_some_and(|line| line.starts_with("GET /cluster "));
    let (status, body) = match says {
        _ if !is_known => ("401 Unauthorized", String::new()),
        _ if !is_cluster => ("404 Not Found", String::new()),
        Says::Cluster(body) => ("200 OK", body),
        Says::Status(status) => (status, String::new()),
        Says::Silence => {
            thread::sleep(Duration::from_secs(60));
            return Ok(());
        }
    };
    // As Python's http.server says it: an answer without a length ends with the connection.
    let answer = format!("HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{body}");
    stream.get_mut().write_all(answer.as_bytes())?;
    stream.get_mut().flush()
}

/// Whether nobody listens there: for an endpoint that is gone.
pub(crate) fn is_closed(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err()
}
