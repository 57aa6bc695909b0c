//! The session of one agent: who may hold it, and what it is sent (R-AGT-1, R-AGT-2, R-AGT-7).

mod admission;
mod session;

use bytes::Bytes;

use crate::domain::delivery::Delivery;

pub use crate::storage::sync::load::Declared;
pub use crate::storage::sync::scans::Root;
pub use admission::{Hello, Welcome};
pub use session::{Outgoing, Session, Wires};

/// A delivery with the content that rides inline.
#[derive(Debug, Clone)]
pub struct Ready {
    /// What is sent.
    pub delivery: Delivery,
    /// Its new content, when it is small.
    pub inline: Option<Bytes>,
}
