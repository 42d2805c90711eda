//! Startup-phase packets: the ones that have no type byte. Parsing what clients send, building what servers get.
//!
//! Every length has been checked by the caller against [`PACKET_MIN`] and [`PACKET_MAX`] before it allocated;
//! the functions here see a slice that ends where the packet ends and never read past it.
//! Strings are bytes: nothing says what encoding a client uses before it has logged in.
//!
//! PostgreSQL manual: "Message Formats" (StartupMessage, SSLRequest, GSSENCRequest, CancelRequest).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use subtle::ConstantTimeEq;

use crate::error::{Error, Result};

/// The shortest startup packet, its length word included: length and code.
pub const PACKET_MIN: usize = 8;
/// The longest startup packet, its length word included (MAX_STARTUP_PACKET_LENGTH in PostgreSQL's pqcomm.h).
pub const PACKET_MAX: usize = 10_000 + 4;

/// The newest minor of protocol 3 that weir speaks.
pub const NEWEST_MINOR: u16 = 2;

// The request codes look like protocol versions 1234.5678 and so on, so that no real version ever collides.
const CANCEL_CODE: u32 = 1234 << 16 | 5678;
const SSL_CODE: u32 = 1234 << 16 | 5679;
const GSS_CODE: u32 = 1234 << 16 | 5680;
const PROTOCOL_3_0: u32 = 3 << 16;

/// A parameter's name and value.
pub type Parameter = (Bytes, Bytes);

/// What a client asks for with its first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// May the connection be encrypted with TLS?
    Ssl,
    /// May the connection be encrypted with GSSAPI?
    Gss,
    /// Cancel what runs under this key, on this connection which ends then.
    Cancel(CancelKey),
    /// Begin a session.
    Startup(Startup),
}

/// A StartupMessage of protocol 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// The minor version asked for; may be newer than [`NEWEST_MINOR`].
    pub minor: u16,
    /// All parameters, in the order sent, `user`, `database` and `options` among them.
    pub parameters: Vec<Parameter>,
}

/// What a CancelRequest carries and BackendKeyData hands out: a process id and a secret of 4 to 256 bytes
/// (always 4 before protocol 3.2).
#[derive(Clone, PartialEq, Eq)]
pub struct CancelKey {
    pid: i32,
    secret: Bytes,
}

impl CancelKey {
    /// A key, or nothing when the secret's length is not one the protocol allows.
    pub fn new(pid: i32, secret: impl Into<Bytes>) -> Option<Self> {
        let secret = secret.into();
        (4..=256).contains(&secret.len()).then_some(Self { pid, secret })
    }

    /// The process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The secret.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Whether a cancel request that carries `asked` may cancel what runs under this key. The time it takes
    /// tells nothing about the secret.
    pub fn admits(&self, asked: &CancelKey) -> bool {
        self.pid == asked.pid && bool::from(self.secret.ct_eq(&asked.secret))
    }
}

impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelKey").field("pid", &self.pid).field("secret", &"***").finish()
    }
}

/// Parses a startup packet: all of it, without its length word.
pub fn parse(body: &[u8]) -> Result<Packet> {
    let Some((code, rest)) = body.split_first_chunk() else {
        return Err(Error::FirstPacket("invalid length of startup packet"));
    };
    match u32::from_be_bytes(*code) {
        // What else such a packet holds is not looked at, as PostgreSQL does.
        SSL_CODE => Ok(Packet::Ssl),
        GSS_CODE => Ok(Packet::Gss),
        CANCEL_CODE => parse_cancel(rest),
        version if version >> 16 == 3 => {
            Ok(Packet::Startup(Startup { minor: low_half(version), parameters: parse_parameters(rest)? }))
        }
        version => Err(unsupported(version)),
    }
}

/// The refusal of a second SSLRequest or GSSENCRequest. PostgreSQL takes it for a protocol version and says so.
pub fn repeated_request(packet: &Packet) -> Error {
    unsupported(if *packet == Packet::Ssl { SSL_CODE } else { GSS_CODE })
}

fn unsupported(version: u32) -> Error {
    Error::Version { major: low_half(version >> 16), minor: low_half(version) }
}

fn low_half(version: u32) -> u16 {
    let [_, _, high, low] = version.to_be_bytes();
    u16::from_be_bytes([high, low])
}

fn parse_cancel(rest: &[u8]) -> Result<Packet> {
    let Some((pid, secret)) = rest.split_first_chunk() else {
        return Err(Error::FirstPacket("invalid length of cancel request packet"));
    };
    CancelKey::new(i32::from_be_bytes(*pid), Bytes::copy_from_slice(secret))
        .map(Packet::Cancel)
        .ok_or(Error::FirstPacket("invalid length of cancel key in cancel request"))
}

/// Names and values as C strings, then an empty name as the packet's last byte.
fn parse_parameters(mut rest: &[u8]) -> Result<Vec<Parameter>> {
    const LAYOUT: Error = Error::Startup("invalid startup packet layout: expected terminator as last byte");
    let mut parameters = Vec::new();
    loop {
        let (name, after) = cstring(rest).ok_or(LAYOUT)?;
        if name.is_empty() {
            return if after.is_empty() { Ok(parameters) } else { Err(LAYOUT) };
        }
        let (value, after) = cstring(after).ok_or(LAYOUT)?;
        parameters.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
        rest = after;
    }
}

/// Splits a C string off: what stands before the first zero byte, and what follows it.
pub fn cstring(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// Appends a StartupMessage of protocol 3.0. Neither names nor values may hold a zero byte; what follows one
/// is left out, so that it cannot pose as another parameter.
pub fn put_startup<'a>(out: &mut BytesMut, parameters: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) {
    put_packet(out, PROTOCOL_3_0, |out| {
        for (name, value) in parameters {
            put_cstring(out, name);
            put_cstring(out, value);
        }
        out.put_u8(0);
    });
}

/// Appends an SSLRequest.
pub fn put_ssl_request(out: &mut BytesMut) {
    put_packet(out, SSL_CODE, |_| ());
}

/// Appends a CancelRequest.
pub fn put_cancel_request(out: &mut BytesMut, key: &CancelKey) {
    put_packet(out, CANCEL_CODE, |out| {
        out.put_i32(key.pid);
        out.put_slice(&key.secret);
    });
}

fn put_packet(out: &mut BytesMut, code: u32, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    out.put_u32(code);
    body(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(word) = out.get_mut(start..start + 4) {
        word.copy_from_slice(&length.to_be_bytes());
    }
}

fn put_cstring(out: &mut BytesMut, text: &[u8]) {
    let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
    out.put_slice(text.get(..end).unwrap_or_default());
    out.put_u8(0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<Parameter> {
        list.iter()
            .map(|(n, v)| (Bytes::copy_from_slice(n.as_bytes()), Bytes::copy_from_slice(v.as_bytes())))
            .collect()
    }

    fn words(body: &[u8]) -> String {
        parse(body).unwrap_err().to_string()
    }

    #[test]
    fn requests_are_told_by_their_codes() {
        assert_eq!(parse(&[0x04, 0xd2, 0x16, 0x2f]).unwrap(), Packet::Ssl);
        assert_eq!(parse(&[0x04, 0xd2, 0x16, 0x30]).unwrap(), Packet::Gss);
        assert_eq!(parse(&[0x04, 0xd2, 0x16, 0x2f, 0]).unwrap(), Packet::Ssl);
        let short = parse(&[0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 7, 1, 2, 3, 4]).unwrap();
        assert_eq!(short, Packet::Cancel(CancelKey::new(7, vec![1, 2, 3, 4]).unwrap()));
    }

    #[test]
    fn startup_keeps_order_and_foreign_bytes() {
        let body = b"\x00\x03\x00\x02user\0caf\xe9\0options\0\0search_path\0a\0search_path\0b\0\0";
        let Packet::Startup(startup) = parse(body).unwrap() else { panic!("not a startup message") };
        assert_eq!(startup.minor, 2);
        assert_eq!(startup.parameters[0].1.as_ref(), b"caf\xe9");
        assert_eq!(
            startup.parameters[1..],
            pairs(&[("options", ""), ("search_path", "a"), ("search_path", "b")])
        );
    }

    #[test]
    fn malformed_packets_are_named_as_postgresql_names_them() {
        assert_eq!(words(b"\x00\x03"), "invalid length of startup packet");
        let layout = "invalid startup packet layout: expected terminator as last byte";
        assert_eq!(words(b"\x00\x03\x00\x00"), layout);
        assert_eq!(words(b"\x00\x03\x00\x00user\0x\0"), layout);
        assert_eq!(words(b"\x00\x03\x00\x00user\0x\0\0trailing"), layout);
        assert_eq!(words(b"\x00\x03\x00\x00user\0"), layout);
        assert_eq!(
            words(b"\x00\x02\x00\x00"),
            "unsupported frontend protocol 2.0: server supports 3.0 to 3.2"
        );
        assert_eq!(
            words(&[0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 7, 1, 2, 3]),
            "invalid length of cancel key in cancel request"
        );
        assert_eq!(words(&[0x04, 0xd2, 0x16, 0x2e, 0, 0]), "invalid length of cancel request packet");
    }

    #[test]
    fn cancel_secrets_have_4_to_256_bytes() {
        assert!(CancelKey::new(1, vec![0; 3]).is_none());
        assert!(CancelKey::new(1, vec![0; 4]).is_some());
        assert!(CancelKey::new(1, vec![0; 256]).is_some());
        assert!(CancelKey::new(1, vec![0; 257]).is_none());
    }

    #[test]
    fn a_cancel_key_admits_only_itself_and_is_not_printed() {
        let key = CancelKey::new(9, vec![1; 32]).unwrap();
        assert!(key.admits(&key.clone()));
        assert!(!key.admits(&CancelKey::new(9, vec![1; 31]).unwrap()));
        assert!(!key.admits(&CancelKey::new(9, vec![2; 32]).unwrap()));
        assert!(!key.admits(&CancelKey::new(8, vec![1; 32]).unwrap()));
        assert_eq!(format!("{key:?}"), "CancelKey { pid: 9, secret: \"***\" }");
    }

    #[test]
    fn a_zero_byte_cannot_smuggle_a_parameter() {
        let mut out = BytesMut::new();
        put_startup(&mut out, [(&b"user"[..], &b"a\0database\0b"[..])]);
        let Packet::Startup(startup) = parse(&out[4..]).unwrap() else { panic!("not a startup message") };
        assert_eq!(startup.parameters, pairs(&[("user", "a")]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&body);
            let mut startup = vec![0, 3, 0, 0];
            startup.extend(&body);
            let _ = parse(&startup);
        }

        #[test]
        fn what_is_built_is_what_is_parsed(
            list in proptest::collection::vec(("[a-z_]{1,12}", "[^\0]{0,20}"), 0..8),
            pid: i32,
            secret in proptest::collection::vec(any::<u8>(), 4..=256),
        ) {
            let mut out = BytesMut::new();
            put_startup(&mut out, list.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())));
            prop_assert_eq!(u32::from_be_bytes(*out.first_chunk().unwrap()) as usize, out.len());
            let expected = list.iter().map(|(n, v)| (Bytes::from(n.clone()), Bytes::from(v.clone()))).collect();
            prop_assert_eq!(parse(&out[4..]).unwrap(), Packet::Startup(Startup { minor: 0, parameters: expected }));

            let key = CancelKey::new(pid, secret).unwrap();
            let mut out = BytesMut::new();
            put_cancel_request(&mut out, &key);
            prop_assert_eq!(parse(&out[4..]).unwrap(), Packet::Cancel(key));
        }
    }
}
