//! One entity per table; none of their names appears outside `storage`.

pub mod network;
pub mod repository;
pub mod token;
