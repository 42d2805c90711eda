//! What is known about the servers: roles, health, catalogs. Control connections (tokio-postgres) live here only.

pub mod catalog;

pub mod topology;
