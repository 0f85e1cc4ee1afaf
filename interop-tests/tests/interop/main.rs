//! Scenarios between tiebeam and real BEAMs of OTP 25, 27 and 29, one binary for all of them.

mod calls;
mod cluster;
mod compose;
mod crdt;
mod functions;
mod global;
mod horde;
mod hostile;
mod ipv6;
mod layers;
mod library;
mod links;
mod lists;
mod messages;
mod nodes;
mod observer;
mod pg;
mod pubsub;
mod rolling;
mod servers;
mod service;
mod supervisor;
mod ticks;
mod tls;
mod world;
