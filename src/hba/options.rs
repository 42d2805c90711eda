//! The `name=value` options at the end of a line.

use super::rule::{CertificateCheck, Connection, Method, Ruling};

/// Options that PostgreSQL has for methods that weir has not.
const OF_OTHERS: [&str; 5] = ["pam", "ldap", "radius", "krb_", "scope"];

/// What the options of a line say.
#[derive(Default)]
pub(super) struct Options<'l> {
    map: Option<&'l str>,
    certificate: Option<&'l str>,
    name: Option<&'l str>,
}

impl<'l> Options<'l> {
    /// Reads one more; the last one of a name holds.
    pub(super) fn read(
        &mut self,
        text: &'l str,
        connection: &Connection,
        method: Method,
    ) -> Result<(), String> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(format!("authentication option not in name=value format: {text}"));
        };
        match name {
            "map" if matches!(method, Method::Peer | Method::Certificate) => self.map = Some(value),
            "map" => {
                let methods = "ident, peer, gssapi, sspi, and cert";
                return Err(format!(
                    "authentication option \"map\" is only valid for authentication methods {methods}"
                ));
            }
            "clientcert" | "clientname" if !matches!(connection, Connection::HostSsl(_)) => {
                return Err(format!("{name} can only be configured for \"hostssl\" rows"));
            }
            "clientcert" => match value {
                "verify-ca" if method == Method::Certificate => {
                    let only = "clientcert only accepts \"verify-full\" when using \"cert\" authentication";
                    return Err(only.to_owned());
                }
                "verify-ca" | "verify-full" => self.certificate = Some(value),
                _ => return Err(format!("invalid value for clientcert: \"{value}\"")),
            },
            "clientname" if matches!(value, "CN" | "DN") => self.name = Some(value),
            "clientname" => return Err(format!("invalid value for clientname: \"{value}\"")),
            _ if OF_OTHERS.iter().any(|prefix| name.starts_with(prefix)) => {
                return Err(format!("authentication option \"{name}\" is not valid for this method"));
            }
            _ => return Err(format!("unrecognized authentication option name: \"{name}\"")),
        }
        Ok(())
    }

    /// What they come down to.
    pub(super) fn ruling(self, method: Method) -> Ruling {
        let full = method == Method::Certificate || self.certificate == Some("verify-full");
        let certificate = match (self.certificate, self.name) {
            (_, Some("DN")) if full => CertificateCheck::DistinguishedName,
            _ if full => CertificateCheck::CommonName,
            (Some(_), _) => CertificateCheck::Issuer,
            (None, _) => CertificateCheck::None,
        };
        Ruling { method, certificate, map: self.map.filter(|map| !map.is_empty()).map(Into::into) }
    }
}
