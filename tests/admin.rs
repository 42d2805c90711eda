//! The HTTP endpoint, asked over a real socket.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir::admin::Question;
use weir::admin::http::{self, Condition};
use weir::admin::snapshot::{Event, Snapshot};
use weir::telemetry::metrics::{Access, Metrics, RequestLabels};

#[derive(Default)]
struct Primary {
    reachable: AtomicBool,
    /// What there is to be seen, which takes as many bytes.
    events: AtomicUsize,
}

impl Condition for Primary {
    fn ready_to_write(&self) -> Result<(), String> {
        match self.reachable.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("no primary can be reached".to_owned()),
        }
    }

    fn ready_to_read(&self) -> Result<(), String> {
        Ok(())
    }

    fn status(&self) -> String {
        "server a: replica\n".to_owned()
    }

    fn shows_page(&self) -> bool {
        true
    }

    fn snapshot(&self) -> Snapshot {
        let text = "x".repeat(self.events.load(Ordering::Relaxed));
        Snapshot { events: vec![Event { text, ..Event::default() }], ..Snapshot::default() }
    }

    fn explain(&self, question: &Question) -> String {
        format!("{}@{}: {}\n", question.user, question.database, String::from_utf8_lossy(&question.sql))
    }
}

async fn endpoint() -> (SocketAddr, Arc<Metrics>, Arc<Primary>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Arc::new(Metrics::new(RequestLabels { routes: &["replica"], reasons: &["read"] }));
    let primary = Arc::new(Primary::default());
    tokio::spawn(http::serve(listener, metrics.clone(), primary.clone()));
    (address, metrics, primary)
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: weir\r\n\r\n")).await
}

#[tokio::test]
async fn metrics_are_prometheus_text_and_up_to_date() {
    let (address, metrics, _) = endpoint().await;
    metrics.requests.own().request(0, 0, Access::Read);
    metrics.clients.set(3);
    let answer = get(address, "/metrics").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(
        body.contains(r#"weir_requests_total{access="read",reason="read",route="replica",server=""} 1"#),
        "{body}"
    );
    assert!(body.contains("weir_clients 3\n"), "{body}");
}

#[tokio::test]
async fn health_is_of_the_process_and_readiness_of_the_primary() {
    let (address, _, primary) = endpoint().await;
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    let answer = get(address, "/readyz").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.ends_with("no primary can be reached\n"),
        "{answer}"
    );
    assert!(get(address, "/readyz?mode=write").await.starts_with("HTTP/1.1 503"));
    assert!(get(address, "/readyz?mode=read").await.starts_with("HTTP/1.1 200"));
    for query in ["mode=both", "mode", "mode=read&x=y"] {
        assert!(get(address, &format!("/readyz?{query}")).await.starts_with("HTTP/1.1 400"), "{query}");
    }
    primary.reachable.store(true, Ordering::Relaxed);
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(get(address, "/status").await.ends_with("server a: replica\n"));
}

#[tokio::test]
async fn nothing_else_is_answered_and_nothing_is_taken() {
    let (address, _, _) = endpoint().await;
    assert!(get(address, "/favicon.ico").await.starts_with("HTTP/1.1 404"));
    let post = "POST /metrics HTTP/1.1\r\nHost: weir\r\nContent-Length: 1000000000\r\n\r\nx";
    assert!(ask(address, post).await.starts_with("HTTP/1.1 405"));
    let endless = format!("GET / HTTP/1.1\r\nHost: weir\r\nX: {}\r\n\r\n", "a".repeat(1 << 20));
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The endpoint stops reading before all of this is written, so the write may fail.
    let _ = stream.write_all(endless.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn statements_are_explained_to_whoever_asks_in_so_many_words() {
    let (address, _, _) = endpoint().await;
    let question = Question {
        user: "j r".to_owned(),
        database: "bücher".to_owned(),
        application_name: "a&b".to_owned(),
        sql: b"SELECT 1".to_vec(),
    };
    assert_eq!(weir::admin::ask(&address.to_string(), &question).await.unwrap(), "j r@bücher: SELECT 1\n");
    let post = async |head: &str, body: &str| {
        let length = body.len();
        let request = format!("POST /explain{head}\r\nHost: weir\r\nContent-Length: {length}\r\n\r\n{body}");
        ask(address, &request).await
    };
    let sql = "HTTP/1.1\r\nContent-Type: application/sql";
    assert!(post(&format!(" {sql}"), "SELECT 1").await.ends_with("@: SELECT 1\n"));
    // What a page in a browser can have sent without asking first.
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let answer = post(&format!(" HTTP/1.1\r\nContent-Type: {kind}"), "SELECT 1").await;
        assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
    }
    assert!(post(&format!("?pass=x {sql}"), "SELECT 1").await.starts_with("HTTP/1.1 400"));
    assert!(get(address, "/explain").await.starts_with("HTTP/1.1 405"));
    // More than is looked at is not even taken.
    let endless = format!("POST /explain {sql}\r\nHost: weir\r\nContent-Length: 1000000000\r\n\r\nx");
    assert!(ask(address, &endless).await.starts_with("HTTP/1.1 413"));
}

/// What it does not take is not kept for it.
#[tokio::test]
async fn who_watches_and_does_not_read_is_closed() {
    let (address, _, primary) = endpoint().await;
    // More than sockets hold.
    primary.events.store(8 << 20, Ordering::Relaxed);
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: weir\r\n\r\n").await.unwrap();
        // It has its place once the answer begins.
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 1);
        silent.push(stream);
    }
    assert!(get(address, "/events").await.starts_with("HTTP/1.1 503"));
    let closed = async {
        while get_head(address, "/events").await.starts_with("HTTP/1.1 503") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), closed).await.unwrap();
}

async fn get_head(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: weir\r\n\r\n").as_bytes()).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    String::from_utf8_lossy(&head).into_owned()
}

#[tokio::test]
async fn who_watches_is_told_until_the_end() {
    let (address, _, primary) = endpoint().await;
    primary.events.store(3, Ordering::Relaxed);
    let mut told = Vec::new();
    let address = address.to_string();
    let watching = weir::admin::watch(&address, |snapshot| told.push(snapshot.events[0].text.clone()));
    // It ends by itself only when weir does.
    assert!(tokio::time::timeout(Duration::from_millis(1500), watching).await.is_err());
    assert!(told.len() >= 2 && told.iter().all(|text| text == "xxx"), "{told:?}");
    let closed = weir::admin::watch("127.0.0.1:1", |_| {}).await.unwrap_err();
    assert_eq!(closed.to_string(), "127.0.0.1:1 cannot be reached");
}

/// Whoever says nothing, or half a word, has a place only as long as nobody else wants it.
#[tokio::test]
async fn the_number_of_connections_is_bounded_and_the_oldest_makes_room() {
    let (address, _, _) = endpoint().await;
    let mut silent = Vec::new();
    for _ in 0..32 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /heal").await.unwrap();
        silent.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = tokio::time::timeout(Duration::from_secs(1), get(address, "/healthz")).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let is_closed = async |stream: &mut TcpStream| {
        let end = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut [0; 1])).await;
        end.is_ok_and(|read| !matches!(read, Ok(n) if n > 0))
    };
    assert!(is_closed(&mut silent[0]).await, "a 33rd connection was served beside 32");
    assert!(!is_closed(&mut silent[1]).await, "more made room than had to");
}
