//! Ids are types, so that one can never be passed where another is meant.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The id as the 16 bytes of wire and tables.
            #[must_use]
            pub fn to_bytes(self) -> Vec<u8> {
                self.0.as_bytes().to_vec()
            }

            /// Reads the 16 bytes of wire and tables; any other number of bytes is no id.
            #[must_use]
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Uuid::from_slice(bytes).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

number_id! {
    /// A network, by its row; never leaves the process (its name does).
    NetworkId
}
number_id! {
    /// A repository, by its row; never leaves the process (its name does).
    RepositoryId
}
number_id! {
    /// A place in a network's journal.
    Position
}
number_id! {
    /// Fences the sessions of one repository.
    Epoch
}
number_id! {
    /// Which life of a repository's or the coordinator's state is meant.
    Generation
}
random_id! {
    /// A sync set.
    SyncSetId
}
random_id! {
    /// A member of a sync set.
    MemberId
}
random_id! {
    /// A conflict.
    ConflictId
}
random_id! {
    /// A change batch.
    BatchId
}
random_id! {
    /// A credential; not its secret.
    TokenId
}
random_id! {
    /// A scan.
    ScanId
}
random_id! {
    /// Stored bytes; content of a digest may be stored under several.
    BlobId
}

/// A node of a repository, by the repository's own stable id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct NodeId(pub String);

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A SHA-256 digest (FIPS 180-4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Reads 32 bytes; any other number of bytes is no digest.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
