pub mod carry; pub mod cutter; pub mod names; pub mod note; pub mod outflow; pub mod replies; pub mod send; pub mod state;
