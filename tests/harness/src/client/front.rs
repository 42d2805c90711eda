//! Builders for every message a client may send (PostgreSQL manual, 55.7). Each returns one whole frame.
//!
//! Text is taken as bytes, so that tests can send other encodings and broken strings.

use super::Key;

/// A message with any tag and body; its length is computed.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![tag];
    frame.extend(untagged(body));
    frame
}

/// A frame without a tag, as startup packets are: length and body.
pub fn untagged(body: &[u8]) -> Vec<u8> {
    let mut frame = (u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(4)).to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

/// Query.
pub fn query(sql: impl AsRef<[u8]>) -> Vec<u8> {
    message(b'Q', &cstring(sql))
}

/// Parse; an empty name is the unnamed statement.
pub fn parse(name: impl AsRef<[u8]>, sql: impl AsRef<[u8]>, types: &[u32]) -> Vec<u8> {
    let mut body = [cstring(name), cstring(sql), count(types.len())].concat();
    body.extend(types.iter().flat_map(|oid| oid.to_be_bytes()));
    message(b'P', &body)
}

/// Bind with parameters and results in text form.
pub fn bind(portal: impl AsRef<[u8]>, statement: impl AsRef<[u8]>, values: &[Option<&[u8]>]) -> Vec<u8> {
    bind_formats(portal, statement, &[], values, &[])
}

/// Bind with formats: 0 is text, 1 binary; none, one for all, or one each.
pub fn bind_formats(
    portal: impl AsRef<[u8]>,
    statement: impl AsRef<[u8]>,
    formats: &[u16],
    values: &[Option<&[u8]>],
    result_formats: &[u16],
) -> Vec<u8> {
    let mut body = [cstring(portal), cstring(statement), counted(formats), count(values.len())].concat();
    for value in values {
        match value {
            None => body.extend(u32::MAX.to_be_bytes()),
            Some(bytes) => {
                body.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
                body.extend_from_slice(bytes);
            }
        }
    }
    body.extend(counted(result_formats));
    message(b'B', &body)
}

/// Describe of a prepared statement.
pub fn describe_statement(name: impl AsRef<[u8]>) -> Vec<u8> {
    message(b'D', &[b"S".to_vec(), cstring(name)].concat())
}

/// Describe of a portal.
pub fn describe_portal(name: impl AsRef<[u8]>) -> Vec<u8> {
    message(b'D', &[b"P".to_vec(), cstring(name)].concat())
}

/// Execute; a limit of 0 means all rows.
pub fn execute(portal: impl AsRef<[u8]>, limit: u32) -> Vec<u8> {
    message(b'E', &[cstring(portal), limit.to_be_bytes().to_vec()].concat())
}

/// Close of a prepared statement.
pub fn close_statement(name: impl AsRef<[u8]>) -> Vec<u8> {
    message(b'C', &[b"S".to_vec(), cstring(name)].concat())
}

/// Close of a portal.
pub fn close_portal(name: impl AsRef<[u8]>) -> Vec<u8> {
    message(b'C', &[b"P".to_vec(), cstring(name)].concat())
}

/// Flush.
pub fn flush() -> Vec<u8> {
    message(b'H', &[])
}

/// Sync.
pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

/// CopyData.
pub fn copy_data(data: impl AsRef<[u8]>) -> Vec<u8> {
    message(b'd', data.as_ref())
}

/// CopyDone.
pub fn copy_done() -> Vec<u8> {
    message(b'c', &[])
}

/// CopyFail with the reason that the server will repeat in its error.
pub fn copy_fail(reason: impl AsRef<[u8]>) -> Vec<u8> {
    message(b'f', &cstring(reason))
}

/// FunctionCall with arguments and result in text form.
pub fn function_call(function: u32, arguments: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = [function.to_be_bytes().to_vec(), counted(&[]), count(arguments.len())].concat();
    for argument in arguments {
        match argument {
            None => body.extend(u32::MAX.to_be_bytes()),
            Some(bytes) => {
                body.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
                body.extend_from_slice(bytes);
            }
        }
    }
    body.extend(0u16.to_be_bytes());
    message(b'F', &body)
}

/// PasswordMessage, and with other contents SASLInitialResponse and SASLResponse, which share its tag.
pub fn password(body: impl AsRef<[u8]>) -> Vec<u8> {
    message(b'p', &cstring(body))
}

/// Terminate.
pub fn terminate() -> Vec<u8> {
    message(b'X', &[])
}

/// StartupMessage.
pub fn startup(major: u16, minor: u16, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = [major.to_be_bytes(), minor.to_be_bytes()].concat();
    for (name, value) in parameters {
        body.extend(cstring(name));
        body.extend(cstring(value));
    }
    body.push(0);
    untagged(&body)
}

/// SSLRequest.
pub fn ssl_request() -> Vec<u8> {
    untagged(&80_877_103u32.to_be_bytes())
}

/// GSSENCRequest.
pub fn gssenc_request() -> Vec<u8> {
    untagged(&80_877_104u32.to_be_bytes())
}

/// CancelRequest.
pub fn cancel_request(key: &Key) -> Vec<u8> {
    let head = [80_877_102u32.to_be_bytes(), key.pid.to_be_bytes()].concat();
    untagged(&[head, key.secret.clone()].concat())
}

/// Bytes with the zero that ends a string.
pub(super) fn cstring(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = text.as_ref().to_vec();
    bytes.push(0);
    bytes
}

fn count(n: usize) -> Vec<u8> {
    u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes().to_vec()
}

fn counted(values: &[u16]) -> Vec<u8> {
    let mut bytes = count(values.len());
    bytes.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    bytes
}
