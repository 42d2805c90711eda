//! Clients that are not let in: counted by why, and told of in the log.

use crate::error::Error;
use crate::telemetry::metrics::{Metrics, Refused};

/// Counts a client that is not let in, and logs why. Of one that has left by itself nothing is told.
pub(super) fn tell_refused(metrics: &Metrics, error: &Error) {
    if let Some(cause) = cause(error) {
        metrics.refused(cause);
        tracing::info!(%error, "login failed");
    }
}

fn cause(error: &Error) -> Option<Refused> {
    let cause = match error {
        Error::Lost(_) => return None,
        Error::Authentication(_)
        | Error::EmptyPassword
        | Error::PasswordExpected(_)
        | Error::Method(..)
        | Error::NoCertificate
        | Error::ScramMessage(_)
        | Error::ScramFeature(_)
        | Error::ScramBindingType(_)
        | Error::ScramDowngrade
        | Error::ScramBinding => Refused::Authentication,
        Error::NoRule(_) | Error::Rejected(_) => Refused::Hba,
        Error::Unencrypted | Error::PlainPassword | Error::TlsHandshake(_) | Error::NothingAgreed => {
            Refused::Encryption
        }
        Error::NoRole(_) | Error::MayNotEnter(..) => Refused::NotPermitted,
        Error::Protocol(_)
        | Error::MessageType(_)
        | Error::FirstPacket(_)
        | Error::Startup(_)
        | Error::EarlyData(_)
        | Error::Version { .. }
        | Error::Replication
        | Error::NoUser => Refused::Protocol,
        Error::Switch(_)
        | Error::SwitchValue(_)
        | Error::SettingValue { .. }
        | Error::SettingName(_)
        | Error::SettingFixed(_) => Refused::Setting,
        Error::LoginTimeout => Refused::LoginTimeout,
        Error::TooManyClients => Refused::TooManyClients,
        Error::Closing | Error::Shutdown => Refused::Draining,
        Error::CheckoutTimeout(_) | Error::QueueFull => Refused::NoRoom,
        error if error.is_full() => Refused::NoRoom,
        error if error.is_absence() => Refused::NoServer,
        Error::NoDirectory | Error::ServerSilent | Error::Deposed => Refused::NoServer,
        Error::Refused { .. } | Error::ServerAuthentication(_) | Error::PassThrough { .. } => Refused::Server,
        _ => Refused::Other,
    };
    Some(cause)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;
    use crate::error::Bar;

    #[test]
    fn each_refusal_has_its_cause() {
        let refused = |sqlstate: &str| Error::Refused {
            sqlstate: sqlstate.to_owned(),
            message: String::new(),
            detail: None,
            hint: None,
        };
        let broken = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(cause(&Error::Lost(broken())), None, "it has left by itself");
        let rows = [
            (Error::Authentication("app".to_owned()), Refused::Authentication),
            (Error::Unencrypted, Refused::Encryption),
            (Error::MayNotEnter(Bar::NoDatabase, "nowhere".to_owned()), Refused::NotPermitted),
            (Error::Replication, Refused::Protocol),
            (Error::SettingName("weir.x".to_owned()), Refused::Setting),
            (Error::TooManyClients, Refused::TooManyClients),
            (Error::Closing, Refused::Draining),
            (Error::CheckoutTimeout(Duration::ZERO), Refused::NoRoom),
            (refused("53300"), Refused::NoRoom),
            (refused("57P03"), Refused::NoServer),
            (Error::Unreachable(broken()), Refused::NoServer),
            (refused("28000"), Refused::Server),
        ];
        for (error, expected) in rows {
            assert_eq!(cause(&error), Some(expected), "{error}");
        }
    }
}
