//! Startup packets: whatever a client sends, parsing ends with a value or an error, and what is built from a
//! value parses to the same value.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use weir::wire::options::parse_options;
use weir::wire::startup::{Packet, parse, put_cancel_request, put_startup};

fuzz_target!(|body: &[u8]| {
    let _ = parse_options(body);
    let mut built = BytesMut::new();
    let expected = match parse(body) {
        Ok(Packet::Cancel(key)) => {
            put_cancel_request(&mut built, &key);
            Packet::Cancel(key)
        }
        Ok(Packet::Startup(mut startup)) => {
            put_startup(&mut built, startup.parameters.iter().map(|(name, value)| (&name[..], &value[..])));
            // weir itself asks for 3.0 only.
            startup.minor = 0;
            Packet::Startup(startup)
        }
        Ok(Packet::Ssl | Packet::Gss) | Err(_) => return,
    };
    assert_eq!(parse(&built[4..]).expect("what was built must parse"), expected);
});
