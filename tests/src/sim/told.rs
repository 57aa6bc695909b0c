//! What the users of a scenario did, and how all stood whenever it was at rest: told so that the same can be done with
//! other repositories (`tests/it/directories.rs`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tandem_server::domain::member::MemberState;
use tandem_server::domain::projection::Side;
use tandem_server::domain::sync_set::Options;

use super::repository::{Repository, library};
use super::world::World;

/// The directory in which each scenario tells it.
pub const TOLD: &str = "TANDEM_TOLD";

/// A side, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Where {
    /// On-premise.
    OnPremise,
    /// On the cloud.
    Cloud,
}

impl From<Side> for Where {
    fn from(side: Side) -> Self {
        match side {
            Side::OnPremise => Self::OnPremise,
            Side::Cloud => Self::Cloud,
        }
    }
}

/// What lies in a repository: by path, the number of the content of a document, and 0 for a folder.
pub type Listing = BTreeMap<String, u64>;

/// Something done, or come to. Paths are below the library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// A folder is made.
    Folder(Where, String),
    /// A document is made, or written, with the content of this number.
    Write(Where, String, u64),
    /// A node is moved and renamed, from a path to a path.
    Move(Where, String, String),
    /// A node is deleted, with all below it.
    Delete(Where, String),
    /// Each of these nodes gets the name of the next, the last that of the first.
    Exchange(Where, Vec<String>),
    /// A set is made.
    Sync(ToldSet),
    /// The agent of a side stops.
    Away(Where),
    /// The agent of a side starts again.
    Back(Where),
    /// Everything is at rest, and so it stands.
    Rest(Standing),
}

impl Deed {
    /// A new node, or new content.
    #[must_use]
    pub fn made(side: Where, path: String, content: u64) -> Self {
        match content {
            0 => Self::Folder(side, path),
            content => Self::Write(side, path, content),
        }
    }
}

/// A set and its options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldSet {
    /// What is synced: a folder, or chosen documents.
    pub sources: Vec<String>,
    /// The target folder on the cloud.
    pub target: String,
    /// Documents are chosen.
    pub documents: bool,
    /// Its options.
    pub options: ToldOptions,
}

/// The options of a set; policies are numbers of the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldOptions {
    /// `include_subfolders`.
    pub include_subfolders: bool,
    /// `lock_on_premise_copy`.
    pub lock_on_premise_copy: bool,
    /// `allow_delete_on_cloud`.
    pub allow_delete_on_cloud: bool,
    /// `delete_on_premise`.
    pub delete_on_premise: bool,
    /// `conflict_policy`.
    pub conflict_policy: i32,
    /// `conflict_grain`.
    pub conflict_grain: i32,
    /// `name_clash_policy`.
    pub name_clash_policy: i32,
    /// `max_delete_percent`.
    pub max_delete_percent: i32,
}

impl From<Options> for ToldOptions {
    fn from(options: Options) -> Self {
        Self {
            include_subfolders: options.include_subfolders,
            lock_on_premise_copy: options.lock_on_premise_copy,
            allow_delete_on_cloud: options.allow_delete_on_cloud,
            delete_on_premise: options.delete_on_premise,
            conflict_policy: options.conflict_policy as i32,
            conflict_grain: options.conflict_grain as i32,
            name_clash_policy: options.name_clash_policy as i32,
            max_delete_percent: options.max_delete_percent,
        }
    }
}

/// How all stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What lies on-premise.
    pub on_premise: Listing,
    /// What lies on the cloud.
    pub cloud: Listing,
    /// Why members failed, sorted.
    pub failures: Vec<String>,
    /// How many conflicts were found.
    pub conflicts: usize,
}

/// A scenario that others can play.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What was done, in order.
    pub deeds: Vec<Deed>,
    /// What was done first that is no operation on files.
    pub beyond: Option<String>,
}

impl Told {
    /// Something was done that is no operation on files.
    pub fn goes_beyond(&mut self, why: &str) {
        self.beyond.get_or_insert_with(|| why.to_owned());
    }

    /// Tells of all that lies in a repository.
    pub fn everything(&mut self, repository: &Repository) {
        let side = repository.side.into();
        for (path, content) in listing(repository) {
            self.deeds.push(Deed::made(side, path, content));
        }
    }

    /// Tells how all stands.
    pub fn rest(&mut self, world: &World) {
        let standing = Deed::Rest(standing(world));
        if self.deeds.last() != Some(&standing) {
            self.deeds.push(standing);
        }
    }
}

fn listing(repository: &Repository) -> Listing {
    let nodes = repository.nodes.iter().filter(|(id, _)| **id != library());
    nodes
        .map(|(id, node)| (repository.path(id), node.content))
        .collect()
}

fn standing(world: &World) -> Standing {
    let store = &world.coordinator.store;
    let mut failures = Vec::new();
    for member in store.members.values() {
        if let MemberState::Failed(failure) = &member.state {
            failures.push(format!("{:?}", failure.reason));
        }
    }
    failures.sort();
    Standing {
        on_premise: listing(&world.places.on_premise.repository),
        cloud: listing(&world.places.cloud.repository),
        failures,
        conflicts: store.conflicts.len(),
    }
}
