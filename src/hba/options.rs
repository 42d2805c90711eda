//! The `name=value` options at the end of a line.

use super::rule::{CertificateCheck, CertificateName, Connection, Method, Ruling};

/// Options that PostgreSQL has for methods that weir has not.
const OF_OTHERS: [&str; 5] = ["pam", "ldap", "radius", "krb_", "scope"];

/// Reads one option into the ruling.
pub(super) fn read(text: &str, connection: &Connection, ruling: &mut Ruling) -> Result<(), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("authentication option not in name=value format: {text}"));
    };
    let only_with_tls = || match connection {
        Connection::HostSsl(_) => Ok(()),
        _ => Err(format!("{name} can only be configured for \"hostssl\" rows")),
    };
    match name {
        "map" if matches!(ruling.method, Method::Peer | Method::Certificate) => {
            ruling.map = Some(value).filter(|map| !map.is_empty()).map(Into::into);
        }
        "map" => {
            let methods = "ident, peer, gssapi, sspi, and cert";
            return Err(format!(
                "authentication option \"map\" is only valid for authentication methods {methods}"
            ));
        }
        "clientcert" => {
            only_with_tls()?;
            ruling.certificate = check(value, ruling.method)?;
        }
        "clientname" => {
            only_with_tls()?;
            ruling.certificate_name = match value {
                "CN" => CertificateName::Common,
                "DN" => CertificateName::Distinguished,
                _ => return Err(format!("invalid value for clientname: \"{value}\"")),
            };
        }
        _ if OF_OTHERS.iter().any(|prefix| name.starts_with(prefix)) => {
            return Err(format!("authentication option \"{name}\" is not valid for this method"));
        }
        _ => return Err(format!("unrecognized authentication option name: \"{name}\"")),
    }
    Ok(())
}

fn check(value: &str, method: Method) -> Result<CertificateCheck, String> {
    match value {
        "verify-full" => Ok(CertificateCheck::Name),
        "verify-ca" if method == Method::Certificate => {
            Err("clientcert only accepts \"verify-full\" when using \"cert\" authentication".to_owned())
        }
        "verify-ca" => Ok(CertificateCheck::Issuer),
        _ => Err(format!("invalid value for clientcert: \"{value}\"")),
    }
}
