//! What callers may do with on-premise nodes, as the agent of these tells, where it has users (R-IDN-2).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::access::Repository;
use super::clock::SECOND;
use super::command::{Access, Command, NodeInfo, Reply};
use super::{Error, UserScope};
use crate::domain::access::Role;
use crate::domain::copy::Copy;
use crate::domain::ids::{MemberId, NodeId, RepositoryId, SyncSetId};
use crate::domain::limits::{ACCESS_NODES_MAX, RIGHTS_KEPT_MAX, RIGHTS_KEPT_SECONDS};
use crate::domain::sync_set::SyncSet;

/// Something that a user may or may not do with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// Ask for a sync of it.
    Read,
    /// End its sync.
    Delete,
}

impl Right {
    const fn of(self, access: Access) -> bool {
        match self {
            Self::Read => access.read,
            Self::Delete => access.delete,
        }
    }
}

/// What is known of a right on several nodes.
enum Verdict {
    /// The repository has no users: who may do what is no question of nodes.
    NoUsers,
    /// Its agent is away, or none of the nodes is there.
    Unknown,
    /// It told whether the caller has the right on all of them.
    Told(bool),
}

/// Whose rights on which node.
type Key = (RepositoryId, String, NodeId);

/// What agents told of rights lately; cloning it is cheap.
#[derive(Debug, Clone, Default)]
pub struct Rights {
    told: Arc<Mutex<BTreeMap<Key, (Access, i64)>>>,
}

impl Rights {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, (Access, i64)>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told less than a minute ago.
    fn get(&self, key: &Key, now: i64) -> Option<Access> {
        let (access, told_at) = *self.lock().get(key)?;
        is_fresh(told_at, now).then_some(access)
    }

    /// Keeps what was told. When too much is kept, what is stale goes, and if nothing is, all.
    fn put(&self, key: Key, access: Access, now: i64) {
        let mut told = self.lock();
        if told.len() >= RIGHTS_KEPT_MAX {
            told.retain(|_, (_, told_at)| is_fresh(*told_at, now));
        }
        if told.len() >= RIGHTS_KEPT_MAX {
            told.clear();
        }
        told.insert(key, (access, now));
    }
}

/// A clock that was set back makes nothing last longer.
fn is_fresh(told_at: i64, now: i64) -> bool {
    (0..RIGHTS_KEPT_SECONDS * SECOND).contains(&(now - told_at))
}

impl UserScope {
    /// A set that the caller may end: those who may delete its nodes; while that cannot be told its owner, and always
    /// admins.
    ///
    /// # Errors
    /// [`Error::SyncSetNotFound`], [`Error::NotAllowed`].
    pub(super) async fn set_to_unsync(
        &self,
        id: SyncSetId,
        members: &[MemberId],
    ) -> Result<SyncSet, Error> {
        self.require(Role::User)?;
        let set = self.set_row(id).await?;
        let verdict = self.may(&set, members, Right::Delete).await?;
        let owner = set.owner == self.user;
        match verdict {
            Verdict::Told(true) => Ok(set),
            Verdict::NoUsers | Verdict::Unknown if owner => Ok(set),
            _ => self.require(Role::Admin).map(|()| set),
        }
    }

    /// Whether the caller may ask for a sync of these members, none = of all: those who may read them; while that cannot
    /// be told the owner, and always admins.
    ///
    /// # Errors
    /// [`Error::NotAllowed`].
    pub(super) async fn check_requestable(
        &self,
        set: &SyncSet,
        members: &[MemberId],
    ) -> Result<(), Error> {
        match self.may(set, members, Right::Read).await? {
            Verdict::NoUsers | Verdict::Told(true) => Ok(()),
            Verdict::Unknown if set.owner == self.user => Ok(()),
            Verdict::Unknown | Verdict::Told(false) => self.require(Role::Admin),
        }
    }

    /// Shows nodes as a user sees them, where the repository has users: what may not be read is missing, what may not be
    /// written is not writable (R-SET-3).
    ///
    /// # Errors
    /// [`Error::AgentOffline`], [`Error::AgentTimeout`]; [`Error::InvalidField`] when the agent refuses the question.
    pub(super) async fn show_as(
        &self,
        repository: &Repository,
        (user, field): (&str, &str),
        nodes: &mut [NodeInfo],
    ) -> Result<(), Error> {
        if !self.users_of(repository.id).await? {
            return Ok(());
        }
        let there = nodes.iter().filter(|node| !node.missing);
        let ids: Vec<NodeId> = there.map(|node| node.node.clone()).collect();
        let access = self.access(repository, (user, field), &ids).await?;
        for node in nodes {
            let access = access.get(&node.node);
            node.missing |= !access.is_some_and(|access| access.read);
            node.writable &= access.is_some_and(|access| access.write);
        }
        Ok(())
    }

    /// What the on-premise agent tells of a right of the caller on members of a set, none = on what was chosen.
    async fn may(
        &self,
        set: &SyncSet,
        members: &[MemberId],
        right: Right,
    ) -> Result<Verdict, Error> {
        let id = set.repositories.on_premise;
        if !self.users_of(id).await? {
            return Ok(Verdict::NoUsers);
        }
        let store = &self.coordinator.store;
        let nodes = self.nodes_of(set, members).await?;
        let repository = store.repository(self.network, id).await?;
        let live = self.coordinator.sessions.is_live(id);
        let Some(repository) = repository.filter(|_| live && !nodes.is_empty()) else {
            return Ok(Verdict::Unknown);
        };
        match self.access(&repository, (&self.user, "name"), &nodes).await {
            Ok(access) => {
                Ok(Verdict::Told(nodes.iter().all(|node| {
                    access.get(node).is_some_and(|access| right.of(*access))
                })))
            }
            Err(Error::AgentOffline { .. } | Error::AgentTimeout { .. }) => Ok(Verdict::Unknown),
            // The agent does not know the caller: it says so to them, unless they pass anyway.
            Err(Error::InvalidField { .. }) if self.require(Role::Admin).is_ok() => {
                Ok(Verdict::Told(false))
            }
            Err(error) => Err(error),
        }
    }

    /// The on-premise nodes of members as far as they are there; what has none counts as what was chosen.
    async fn nodes_of(&self, set: &SyncSet, members: &[MemberId]) -> Result<Vec<NodeId>, Error> {
        let store = &self.coordinator.store;
        let found = store.members_of(set.id, members).await?;
        let mut nodes: BTreeSet<NodeId> = found
            .iter()
            .filter_map(|member| member.nodes.on_premise.clone())
            .collect();
        if found.is_empty() || nodes.len() < found.len() {
            let facts = store.set_facts(&[set.id]).await?;
            nodes.extend(facts.into_values().flat_map(|facts| facts.nodes));
        }
        let repository = set.repositories.on_premise;
        let keys: Vec<_> = nodes.into_iter().map(|node| (repository, node)).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let copies = store.copies_and_folders(&keys).await?;
        let there = keys
            .into_iter()
            .filter(|key| copies.get(key).is_some_and(Copy::is_there));
        Ok(there.map(|(_, node)| node).collect())
    }

    /// What a user may do with nodes, asked of their agent unless it told so less than a minute ago.
    async fn access(
        &self,
        repository: &Repository,
        (user, field): (&str, &str),
        nodes: &[NodeId],
    ) -> Result<BTreeMap<NodeId, Access>, Error> {
        let (rights, now) = (&self.coordinator.rights, self.coordinator.clock.now());
        let key = |node: &NodeId| (repository.id, user.to_owned(), node.clone());
        let mut known = BTreeMap::new();
        let mut asked = Vec::new();
        for node in nodes {
            match rights.get(&key(node), now) {
                Some(access) => drop(known.insert(node.clone(), access)),
                None => asked.push(node.clone()),
            }
        }
        for nodes in asked.chunks(ACCESS_NODES_MAX) {
            let told = self.ask_access(repository, (user, field), nodes).await?;
            for (node, access) in nodes.iter().zip(told) {
                rights.put(key(node), access, now);
                known.insert(node.clone(), access);
            }
        }
        Ok(known)
    }

    async fn ask_access(
        &self,
        repository: &Repository,
        (user, field): (&str, &str),
        nodes: &[NodeId],
    ) -> Result<Vec<Access>, Error> {
        let check = Command::CheckAccess {
            user: user.to_owned(),
            nodes: nodes.to_vec(),
        };
        match self.ask_agent(repository, check).await? {
            Reply::Access(told) if told.iter().map(|(node, _)| node).eq(nodes) => {
                Ok(told.into_iter().map(|(_, access)| access).collect())
            }
            Reply::Refused(text) => Err(Error::invalid(
                field,
                format!("the agent cannot tell the rights of {user}: {text}"),
            )),
            Reply::Access(_) | Reply::Nodes(..) | Reply::Done => Err(Error::Internal {
                detail: format!("the agent of repository {} told no rights", repository.id),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Access = Access {
        read: true,
        write: true,
        delete: true,
    };

    fn key(number: usize) -> Key {
        (
            RepositoryId(1),
            "alice".to_owned(),
            NodeId(number.to_string()),
        )
    }

    #[test]
    fn r_idn_2_what_was_told_is_kept_a_minute_and_not_after_the_clock_was_set_back() {
        let rights = Rights::default();
        let (told_at, minute) = (1_000 * SECOND, 60 * SECOND);
        rights.put(key(1), ALL, told_at);
        assert_eq!(rights.get(&key(1), told_at + minute - 1), Some(ALL));
        assert_eq!(rights.get(&key(1), told_at + minute), None);
        assert_eq!(rights.get(&key(1), told_at - 1), None);
        assert_eq!(rights.get(&key(2), told_at), None);
    }

    #[test]
    fn r_idn_2_no_more_is_kept_than_the_limit_and_the_stale_goes_first() {
        let rights = Rights::default();
        for number in 0..RIGHTS_KEPT_MAX - 1 {
            rights.put(key(number), ALL, 0);
        }
        let now = 60 * SECOND;
        rights.put(key(RIGHTS_KEPT_MAX), ALL, now);
        rights.put(key(RIGHTS_KEPT_MAX + 1), ALL, now);
        assert_eq!(rights.lock().len(), 2, "what is stale went");
        assert_eq!(rights.get(&key(RIGHTS_KEPT_MAX), now), Some(ALL));
        for number in 0..RIGHTS_KEPT_MAX {
            rights.put(key(number), ALL, now);
            assert!(rights.lock().len() <= RIGHTS_KEPT_MAX);
        }
    }
}
