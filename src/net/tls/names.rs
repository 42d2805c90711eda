//! The names in a certificate, as PostgreSQL reads and writes them.

use std::fmt::Write as _;
use std::io;

use x509_parser::der_parser::asn1_rs::Any;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::net::ClientCertificate;

/// Short names of attributes, as OpenSSL has them; others are written by their numbers.
const SHORT: [(&str, &str); 14] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "GN"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The names in a client's certificate in DER, which was verified.
///
/// # Errors
/// When it is none, or its common name holds a zero byte: that is made to look like another (CVE-2009-4034).
pub(super) fn names(der: &[u8]) -> io::Result<ClientCertificate> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| invalid("the client's certificate cannot be read"))?;
    let subject = certificate.subject();
    let common_name = subject.iter_common_name().next().map(|name| text(name.attr_value()));
    if common_name.as_ref().is_some_and(|name| name.contains('\0')) {
        return Err(invalid("SSL certificate's common name contains embedded null"));
    }
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let dns = |name: &GeneralName| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    let names = alternatives.iter().flat_map(|found| &found.value.general_names).filter_map(dns).collect();
    Ok(ClientCertificate { common_name, distinguished_name: distinguished(subject), names })
}

/// RFC 2253, as OpenSSL writes it with XN_FLAG_RFC2253: the last part first.
fn distinguished(name: &X509Name<'_>) -> String {
    let part = |attributes: Vec<&AttributeTypeAndValue<'_>>| {
        let each: Vec<String> = attributes.into_iter().rev().map(attribute).collect();
        each.join("+")
    };
    let parts: Vec<String> = name.iter_rdn().map(|rdn| part(rdn.iter().collect())).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

fn attribute(one: &AttributeTypeAndValue<'_>) -> String {
    let kind: &Oid<'_> = one.attr_type();
    let number = kind.to_id_string();
    match SHORT.iter().find(|(known, _)| *known == number) {
        Some((_, short)) => format!("{short}={}", escaped(&text(one.attr_value()))),
        None => {
            // What nobody knows is shown as it stands, in hexadecimal.
            let mut shown = format!("{number}=#");
            let value = one.attr_value();
            let head = [
                u8::try_from(value.tag().0).unwrap_or(u8::MAX),
                u8::try_from(value.data.len()).unwrap_or(u8::MAX),
            ];
            for byte in head.iter().chain(value.data) {
                let _ = write!(shown, "{byte:02X}");
            }
            shown
        }
    }
}

fn text(value: &Any<'_>) -> String {
    String::from_utf8_lossy(value.data).into_owned()
}

/// What stands for something else in RFC 2253 has a backslash before it; bytes beyond ASCII, and control characters, are
/// written as two digits.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        let special = matches!(byte, b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';')
            || (at == 0 && matches!(byte, b'#' | b' '))
            || (at == last && byte == b' ');
        match byte {
            _ if special => out.extend(['\\', char::from(byte)]),
            0x20..=0x7e => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn shown(params: CertificateParams) -> ClientCertificate {
        let key = KeyPair::generate().unwrap();
        names(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn names_are_written_as_openssl_writes_them() {
        let mut params =
            CertificateParams::new(["one.example".to_owned(), "two.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Weir, Sluice + Co");
        params.distinguished_name.push(DnType::OrganizationalUnitName, " caf\u{e9} ");
        params.distinguished_name.push(DnType::CommonName, "#app");
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        let certificate = shown(params);
        assert_eq!(certificate.common_name.as_deref(), Some("#app"));
        let expected = "CN=\\#app,OU=\\ caf\\C3\\A9\\ ,O=Weir\\, Sluice \\+ Co";
        assert_eq!(certificate.distinguished_name, expected);
        assert_eq!(certificate.names, ["one.example", "two.example"]);
    }

    #[test]
    fn a_name_with_a_zero_byte_is_refused() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "app\0.example");
        let key = KeyPair::generate().unwrap();
        assert!(names(params.self_signed(&key).unwrap().der()).is_err());
        assert!(names(b"no certificate").is_err());
    }
}
