//! A name server that says what a test wants.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::thread;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// What is said of a name.
#[derive(Clone)]
pub(crate) enum Zone {
    /// It has these addresses, for so many seconds.
    Addresses(u32, Vec<&'static str>),
    /// It is a service at these ports of these hosts.
    Services(u32, Vec<(&'static str, u16)>),
    /// SERVFAIL.
    Failure,
    /// Nothing at all.
    Silence,
}

#[derive(Default)]
struct Book {
    zones: BTreeMap<&'static str, Zone>,
    /// How often each name was asked for.
    asked: BTreeMap<String, usize>,
}

/// Runs until the process ends.
pub(crate) struct NameServer {
    pub(crate) port: u16,
    book: Arc<Mutex<Book>>,
}

impl NameServer {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let book = Arc::<Mutex<Book>>::default();
        let known = book.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
                if let Some(answer) = answer(&question, &mut known.lock().unwrap()) {
                    drop(socket.send_to(&answer.to_vec().unwrap(), from));
                }
            }
        });
        Self { port, book }
    }

    /// From now on it says this of a name.
    pub(crate) fn say(&self, name: &'static str, zone: Zone) {
        self.book.lock().unwrap().zones.insert(name, zone);
    }

    /// From now on there is no such name.
    pub(crate) fn forget(&self, name: &'static str) {
        self.book.lock().unwrap().zones.remove(name);
    }

    /// How often it was asked for a name.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.book.lock().unwrap().asked.get(name).copied().unwrap_or(0)
    }
}

fn answer(question: &Message, book: &mut Book) -> Option<Message> {
    let query = question.queries.first()?;
    let name = query.name().to_ascii().trim_end_matches('.').to_owned();
    let kind = query.query_type();
    *book.asked.entry(name.clone()).or_default() += 1;
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let record = |ttl: u32, data: RData| Record::from_rdata(query.name().clone(), ttl, data);
    match book.zones.get(name.as_str()) {
        None => answer.metadata.response_code = ResponseCode::NXDomain,
        Some(Zone::Silence) => return None,
        Some(Zone::Failure) => answer.metadata.response_code = ResponseCode::ServFail,
        Some(Zone::Addresses(ttl, addresses)) if kind == RecordType::A => {
            let data = addresses.iter().map(|address| RData::A(A(address.parse().unwrap())));
            answer.add_answers(data.map(|data| record(*ttl, data)));
        }
        Some(Zone::Services(ttl, services)) if kind == RecordType::SRV => {
            let target = |host: &str| Name::from_ascii(format!("{host}.")).unwrap();
            let data = services.iter().map(|(host, port)| RData::SRV(SRV::new(0, 1, *port, target(host))));
            answer.add_answers(data.map(|data| record(*ttl, data)));
        }
        // There is such a name, and it has no such records.
        Some(Zone::Addresses(..) | Zone::Services(..)) => {}
    }
    Some(answer)
}
