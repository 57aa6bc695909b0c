//! The coordinator of Tandem.
//!
//! Floors, lowest first; a file imports its own floor and those below: [`domain`] decides, [`storage`] keeps,
//! [`service`] orders, [`transport`] speaks, [`app`] puts them together.

pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod operate;
pub mod quickstart;
pub mod service;
pub mod storage;
pub mod transport;
