//! Giving a connection its settings one by one, to find out which of them its server refuses.

use std::sync::Arc;

use super::Backend;
use super::exec::exec;
use super::settings::{Refused, Settings};
use crate::error::{Error, Result};

/// Has an idle connection carry as much of what is wanted as its server takes, and says what it does not take. Not cancel
/// safe: the connection is of no use then.
///
/// # Errors
/// That it is lost, or cannot be freed of what it carried.
pub(crate) async fn settle(backend: &mut Backend, wanted: &Settings) -> Result<Vec<Refused>> {
    let mut carried = backend.settings.in_common(wanted);
    let back = backend.settings.difference(&carried);
    exec(backend, &back).await?;
    let mut refused = Vec::new();
    for (name, value) in wanted.in_order() {
        let next = carried.with(name, Some(value.clone()));
        match exec(backend, &carried.difference(&next)).await {
            Ok(_) => carried = next,
            Err(error @ Error::Refused { .. }) => {
                let error = Arc::new(error);
                refused.push(Refused { name: name.into(), value: value.clone(), error });
            }
            Err(error) => return Err(error),
        }
    }
    backend.settings = carried;
    Ok(refused)
}
