//! A request's way: read, planned, executed, answered, and what happens when that fails.

pub(crate) mod checkout;
pub(crate) mod complete;
pub(crate) mod connection_requirements;
pub(crate) mod execute;
pub(crate) mod facts;
pub(crate) mod failover;
pub(crate) mod greeting;
pub(crate) mod pinning;
pub(crate) mod pump;
pub(crate) mod request;
pub(crate) mod routing_settings;
pub(crate) mod session_pool;
pub(crate) mod settings_sync;
pub(crate) mod show;
pub(crate) mod slow_query;
pub(crate) mod timeouts;
pub(crate) mod wait;
