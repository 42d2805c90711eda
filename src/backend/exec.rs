//! Running a statement of weir's own on a connection that does nothing else.

use std::future::poll_fn;
use std::task::{Poll, ready};

use bytes::{Buf, Bytes};

use super::{Backend, refusal};
use crate::error::{Error, Result};
use crate::wire::frame::header;
use crate::wire::scan::{self, Stop};
use crate::wire::startup::Parameter;
use crate::wire::tag::server;
use crate::wire::{HEADER, request};

/// What a server says to settings.
#[derive(Debug, Default)]
pub struct ParameterStatuses {
    /// ParameterStatus, in the order in which they came.
    pub parameters: Vec<Parameter>,
    /// NoticeResponses, whole: of a value that was cut short, for one.
    pub notices: Vec<Bytes>,
}

impl ParameterStatuses {
    /// Whether they tell that this parameter has this value.
    pub(crate) fn tell(&self, parameter: &str, is: &str) -> bool {
        self.parameters.iter().any(|(name, value)| name == parameter && value == is)
    }
}

/// Runs SQL on an idle connection and returns what it brought about. Not cancel safe: the connection is of no use then.
///
/// # Errors
/// What the server refused, or that it is lost.
pub async fn exec(backend: &mut Backend, sql: &str) -> Result<ParameterStatuses> {
    let mut told = ParameterStatuses::default();
    if sql.is_empty() {
        return Ok(told);
    }
    request::put_query(&mut backend.write_buffer, sql.as_bytes());
    backend.unnamed = None;
    let mut refused = None;
    loop {
        more(backend).await?;
        loop {
            let (passing, stop) = scan::run(&backend.read_buffer);
            backend.read_buffer.advance(passing);
            let head = match stop {
                Stop::Look(head) => head,
                Stop::Bad(_) => return Err(Error::ServerProtocol("impossible message length")),
                Stop::End { .. } | Stop::Partial => break,
            };
            if head.len > backend.read_buffer.len() {
                return Err(Error::ServerProtocol("a very long answer to a change of settings"));
            }
            let frame = backend.read_buffer.split_to(head.len).freeze();
            match head.tag {
                server::PARAMETER_STATUS => told.parameters.extend(parameter(&frame)),
                server::NOTICE => told.notices.push(frame),
                server::ERROR => refused = Some(refusal(&frame[HEADER..])),
                server::READY => return refused.map_or(Ok(told), Err),
                _ => {}
            }
        }
    }
}

/// Runs SQL on an idle connection and returns the rows that it gives, as text. For few and short ones. Not cancel safe
/// likewise.
///
/// # Errors
/// What the server refused, or that it is lost.
pub(crate) async fn rows(backend: &mut Backend, sql: &str) -> Result<Vec<Row>> {
    request::put_query(&mut backend.write_buffer, sql.as_bytes());
    backend.unnamed = None;
    let (mut rows, mut refused) = (Vec::new(), None);
    loop {
        let head = match header(&backend.read_buffer) {
            Some(Ok(head)) if head.len <= backend.read_buffer.len() => head,
            Some(Err(_)) => return Err(Error::ServerProtocol("impossible message length")),
            Some(Ok(head)) if head.len > ANSWER_MAX => {
                return Err(Error::ServerProtocol("a very long answer to a question of weir's"));
            }
            _ => {
                more(backend).await?;
                continue;
            }
        };
        let frame = backend.read_buffer.split_to(head.len).freeze();
        match head.tag {
            server::DATA_ROW => rows.push(columns(&frame).ok_or(Error::ServerProtocol("a broken row"))?),
            server::ERROR => refused = Some(refusal(&frame[HEADER..])),
            server::READY => return refused.map_or(Ok(rows), Err),
            _ => {}
        }
    }
}

/// The columns of a row, as text.
type Row = Vec<Option<Box<str>>>;

/// The longest message in an answer to a question of weir's.
const ANSWER_MAX: usize = 1 << 20;

fn columns(frame: &Bytes) -> Option<Row> {
    let mut rest = frame.get(HEADER..)?;
    let count = rest.try_get_u16().ok()?;
    let mut column = || {
        let len = rest.try_get_i32().ok()?;
        let Ok(len) = usize::try_from(len) else { return Some(None) };
        let (value, behind) = rest.split_at_checked(len)?;
        rest = behind;
        Some(Some(String::from_utf8_lossy(value).into()))
    };
    (0..count).map(|_| column()).collect()
}

/// Writes what waits to be written, and waits for more of the answer.
async fn more(backend: &mut Backend) -> Result<()> {
    poll_fn(|cx| {
        ready!(backend.poll_flush(cx))?;
        match ready!(backend.poll_fill(cx, ANSWER_MAX))? {
            0 => Poll::Ready(Err(std::io::ErrorKind::UnexpectedEof.into())),
            _ => Poll::Ready(Ok(())),
        }
    })
    .await
    .map_err(|_: std::io::Error| Error::ServerLost)
}

/// The name and value of a ParameterStatus.
fn parameter(frame: &Bytes) -> Option<Parameter> {
    let (name, at) = crate::wire::frame::cstr(frame, HEADER)?;
    let (value, _) = crate::wire::frame::cstr(frame, at)?;
    Some((frame.slice_ref(name), frame.slice_ref(value)))
}
