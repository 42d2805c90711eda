//! A client that knocks: from an address of its choice, with a password that may be wrong.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use harness::client::front;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Socket, Type};

const PATIENCE: Duration = Duration::from_secs(20);

/// Where a door is.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) ipv4: SocketAddr,
    pub(crate) ipv6: SocketAddr,
    pub(crate) unix: PathBuf,
}

/// Who knocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Knock<'a> {
    /// `local`, or the address that it comes from.
    pub(crate) from: &'a str,
    pub(crate) user: &'a str,
    pub(crate) database: &'a str,
    pub(crate) password: &'a str,
    /// With TLS, and the certificate that this shows.
    pub(crate) tls: Option<&'a Arc<ClientConfig>>,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Knock<'_> {
    /// What it was asked for (the codes of Authentication messages), and what came of it.
    pub(crate) fn at(&self, door: &Door) -> String {
        let mut stream = self.open(door);
        let parameters = [("user", self.user), ("database", self.database)];
        let (mut asked, mut scram) = (Vec::new(), None);
        // Whoever does not like our certificate says so by breaking off.
        if stream.write_all(&front::startup(3, 0, &parameters)).is_err() {
            return "broken off".to_owned();
        }
        loop {
            let Ok((tag, body)) = read(&mut *stream) else { return "broken off".to_owned() };
            match tag {
                b'R' if body[3] == 0 => {}
                b'R' => {
                    asked.push(body[3].to_string());
                    if let Some(answer) = self.answer(&body, &mut scram) {
                        stream.write_all(&answer).unwrap();
                    }
                }
                b'E' => return format!("asked [{}] {}", asked.join(" "), refusal(&body)),
                b'Z' => return format!("asked [{}] in", asked.join(" ")),
                _ => {}
            }
        }
    }

    fn open(&self, door: &Door) -> Box<dyn Stream> {
        if self.from == "local" {
            let stream = UnixStream::connect(&door.unix).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            return Box::new(stream);
        }
        let from = SocketAddr::new(self.from.parse().unwrap(), 0);
        let to = if from.is_ipv4() { door.ipv4 } else { door.ipv6 };
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.bind(&from.into()).unwrap();
        socket.connect(&to.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let Some(config) = self.tls else { return Box::new(stream) };
        stream.write_all(&front::ssl_request()).unwrap();
        let mut willing = [0];
        stream.read_exact(&mut willing).unwrap();
        assert_eq!(willing, *b"S");
        let client = ClientConnection::new(config.clone(), to.ip().into()).unwrap();
        Box::new(StreamOwned::new(client, stream))
    }

    fn answer(&self, body: &[u8], scram: &mut Option<ScramSha256>) -> Option<Vec<u8>> {
        let (password, rest) = (self.password.as_bytes(), &body[4..]);
        match (body[3], scram) {
            (3, _) => Some(front::password(password)),
            (5, _) => {
                Some(front::password(md5_hash(self.user.as_bytes(), password, rest.try_into().unwrap())))
            }
            (10, scram) => {
                let exchange = scram.insert(ScramSha256::new(password, ChannelBinding::unsupported()));
                let first = exchange.message();
                let length = u32::try_from(first.len()).unwrap().to_be_bytes();
                let body = [SCRAM_SHA_256.as_bytes(), b"\0", &length, first].concat();
                Some(front::message(b'p', &body))
            }
            (11, Some(exchange)) => {
                exchange.update(rest).unwrap();
                Some(front::message(b'p', exchange.message()))
            }
            (12, Some(exchange)) => {
                exchange.finish(rest).unwrap();
                None
            }
            (other, _) => panic!("authentication request {other}"),
        }
    }
}

fn read(stream: &mut dyn Stream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
    let mut body = vec![0; length - 4];
    stream.read_exact(&mut body)?;
    Ok((head[0], body))
}

/// Severity, SQLSTATE and message of an ErrorResponse.
fn refusal(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0).filter(|field| !field.is_empty());
    let of = |code: u8| {
        let field = fields.clone().find(|field| field[0] == code);
        String::from_utf8_lossy(field.map_or(&[], |field| &field[1..])).into_owned()
    };
    format!("{} {} {}", of(b'V'), of(b'C'), of(b'M'))
}
