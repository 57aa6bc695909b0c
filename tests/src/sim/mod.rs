//! A deterministic simulation of everything around the domain of the coordinator: repositories with users, agents, a
//! network, crashes, and virtual time. One thread, one source of chance, no IO: a seed is a run.

pub mod agent;
pub mod apply;
mod audit;
pub mod census;
pub mod coordinator;
pub mod disaster;
mod generation;
pub mod lab;
pub mod ledger;
pub mod link;
pub mod oracle;
pub mod plan;
pub mod random;
pub mod repository;
pub mod run;
pub mod script;
pub mod shrink;
pub mod store;
pub mod sweep;
pub mod told;
pub mod users;
pub mod verdicts;
pub mod ways;
pub mod world;
