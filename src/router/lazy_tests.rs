//! Where requests of a transaction run that has only read, as a table.
