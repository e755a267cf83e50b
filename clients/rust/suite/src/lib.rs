//! The client against the real server, and against a scripted one for what that does not do on demand.
//!
//! `make setup` makes the server and its model; `SLUICE_BIN` names another binary. The tests are a package of their own so that
//! who builds the client's example needs nothing of what they need.
#![cfg(test)]

mod conformance;
mod expect;
mod real;
mod scripted;
mod secure;
mod servers;
