//! The rows that the engine works on: what was loaded, and over it what changed.
//!
//! Whatever is asked for and was not loaded is noted as a [`Need`]; whoever runs the engine loads it and runs the
//! engine again. So the engine stays pure, and a whole group of batches costs a few statements.

use std::collections::{BTreeMap, BTreeSet};

use super::copy::Copy;
use super::ids::{MemberId, NodeId, RepositoryId, SyncSetId};
use super::member::{Member, Obstacle};
use super::projection::Side;
use super::repository::Repository;
use super::sync_set::SyncSet;

/// The row of a node.
pub type CopyKey = (RepositoryId, NodeId);
/// A name in a folder.
pub type NameKey = (RepositoryId, NodeId, String);
/// What members wait for on a side of their set.
pub type ObstacleKey = (RepositoryId, Obstacle);

/// Something that has to be loaded first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The row of a node.
    Copy(CopyKey),
    /// A member.
    Member(MemberId),
    /// A set.
    Set(SyncSetId),
    /// Who holds a name.
    Holders(NameKey),
    /// What lies in a folder; as many as one transaction may touch are enough.
    Children(CopyKey),
    /// Who waits for something.
    Waiting(ObstacleKey),
    /// A node and all folders above it.
    Ancestors(CopyKey),
}

/// Rows as they were before.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The repositories of the network.
    pub repositories: BTreeMap<RepositoryId, Repository>,
    /// Nodes; `None` = known not to be there.
    pub copies: BTreeMap<CopyKey, Option<Copy>>,
    /// Members; `None` = known not to be there.
    pub members: BTreeMap<MemberId, Option<Member>>,
    /// Sets; `None` = known not to be there.
    pub sets: BTreeMap<SyncSetId, Option<SyncSet>>,
    /// Nodes that are there under a name.
    pub holders: BTreeMap<NameKey, BTreeSet<NodeId>>,
    /// Nodes that are there in a folder.
    pub children: BTreeMap<CopyKey, BTreeSet<NodeId>>,
    /// Members that wait.
    pub waiting: BTreeMap<ObstacleKey, BTreeSet<MemberId>>,
    /// Repositories in which no member waits for anything, as is nearly always so: nothing of it has to be loaded.
    pub unobstructed: BTreeSet<RepositoryId>,
}

/// The row is not loaded; the need is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Miss;

/// What was loaded, and over it what changed.
#[derive(Debug)]
pub struct View<'a> {
    loaded: &'a Loaded,
    copies: BTreeMap<CopyKey, Option<Copy>>,
    members: BTreeMap<MemberId, Option<Member>>,
    sets: BTreeMap<SyncSetId, SyncSet>,
    names: BTreeMap<NameKey, BTreeSet<NodeId>>,
    children: BTreeMap<CopyKey, BTreeSet<NodeId>>,
    waiting: BTreeMap<ObstacleKey, BTreeSet<MemberId>>,
    entered: BTreeSet<MemberId>,
    needs: BTreeSet<Need>,
}

/// The rows that changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Nodes; `None` = the row is removed.
    pub copies: BTreeMap<CopyKey, Option<Copy>>,
    /// Members; `None` = the row is removed.
    pub members: BTreeMap<MemberId, Option<Member>>,
    /// Sets.
    pub sets: BTreeMap<SyncSetId, SyncSet>,
    /// What has to be loaded before this can be trusted; empty = it can.
    pub needs: BTreeSet<Need>,
}

impl<'a> View<'a> {
    /// A view on which nothing has changed yet.
    #[must_use]
    pub fn new(loaded: &'a Loaded) -> Self {
        Self {
            loaded,
            copies: BTreeMap::new(),
            members: BTreeMap::new(),
            sets: BTreeMap::new(),
            names: BTreeMap::new(),
            children: BTreeMap::new(),
            waiting: BTreeMap::new(),
            entered: BTreeSet::new(),
            needs: BTreeSet::new(),
        }
    }

    /// A member with a new id begins: nothing stored can wait for it, so nothing needs to be loaded.
    pub fn enter(&mut self, id: MemberId) {
        self.entered.insert(id);
    }

    /// The rows that changed.
    #[must_use]
    pub fn finish(self) -> Changes {
        Changes {
            copies: self.copies,
            members: self.members,
            sets: self.sets,
            needs: self.needs,
        }
    }

    /// A repository of the network; those are always loaded.
    #[must_use]
    pub fn repository(&self, id: RepositoryId) -> Option<&'a Repository> {
        self.loaded.repositories.get(&id)
    }

    /// The row of a node.
    ///
    /// # Errors
    /// [`Miss`] when it has to be loaded first; so with all other readers.
    pub fn copy(&mut self, key: &CopyKey) -> Result<Option<Copy>, Miss> {
        if let Some(copy) = self.copies.get(key).or_else(|| self.loaded.copies.get(key)) {
            return Ok(copy.clone());
        }
        self.miss(Need::Copy(key.clone()))
    }

    /// A member.
    ///
    /// # Errors
    /// [`Miss`].
    pub fn member(&mut self, id: MemberId) -> Result<Option<Member>, Miss> {
        if let Some(member) = self
            .members
            .get(&id)
            .or_else(|| self.loaded.members.get(&id))
        {
            return Ok(member.clone());
        }
        self.miss(Need::Member(id))
    }

    /// A set.
    ///
    /// # Errors
    /// [`Miss`].
    pub fn set(&mut self, id: SyncSetId) -> Result<Option<SyncSet>, Miss> {
        if let Some(set) = self.sets.get(&id) {
            return Ok(Some(set.clone()));
        }
        if let Some(set) = self.loaded.sets.get(&id) {
            return Ok(set.clone());
        }
        self.miss(Need::Set(id))
    }

    /// The nodes that are there under a name.
    ///
    /// # Errors
    /// [`Miss`].
    pub fn holders(&mut self, key: &NameKey) -> Result<BTreeSet<NodeId>, Miss> {
        let Some(loaded) = self.loaded.holders.get(key) else {
            return self.miss(Need::Holders(key.clone()));
        };
        Ok(self.overlaid(key.0, loaded, self.names.get(key)))
    }

    /// The nodes that are there in a folder; maybe not all of very many.
    ///
    /// # Errors
    /// [`Miss`].
    pub fn children(&mut self, key: &CopyKey) -> Result<BTreeSet<NodeId>, Miss> {
        let Some(loaded) = self.loaded.children.get(key) else {
            return self.miss(Need::Children(key.clone()));
        };
        Ok(self.overlaid(key.0, loaded, self.children.get(key)))
    }

    /// Of the nodes that are there in a folder, those that were there before anything was changed.
    ///
    /// # Errors
    /// [`Miss`].
    pub fn old_children(&mut self, key: &CopyKey) -> Result<BTreeSet<NodeId>, Miss> {
        let mut children = self.children(key)?;
        let before = self.loaded.children.get(key);
        children.retain(|node| before.is_some_and(|before| before.contains(node)));
        Ok(children)
    }

    fn overlaid(
        &self,
        repository: RepositoryId,
        loaded: &BTreeSet<NodeId>,
        changed: Option<&BTreeSet<NodeId>>,
    ) -> BTreeSet<NodeId> {
        let untouched = loaded
            .iter()
            .filter(|node| !self.copies.contains_key(&(repository, (*node).clone())));
        untouched
            .chain(changed.into_iter().flatten())
            .cloned()
            .collect()
    }

    /// The members that wait for something.
    ///
    /// # Errors
    /// [`Miss`].
    pub fn waiting(&mut self, key: &ObstacleKey) -> Result<BTreeSet<MemberId>, Miss> {
        let loaded = match &key.1 {
            Obstacle::Folder(id) if self.entered.contains(id) => None,
            _ if self.loaded.unobstructed.contains(&key.0) => None,
            _ => match self.loaded.waiting.get(key) {
                Some(loaded) => Some(loaded),
                None => return self.miss(Need::Waiting(key.clone())),
            },
        };
        let untouched = loaded
            .into_iter()
            .flatten()
            .filter(|member| !self.members.contains_key(member));
        let changed = self.waiting.get(key).into_iter().flatten();
        Ok(untouched.chain(changed).copied().collect())
    }

    /// The folders above a node, nearest first, not the node itself; stops where it would go round, and at a folder
    /// that is gone.
    ///
    /// # Errors
    /// [`Miss`].
    pub fn ancestors(&mut self, key: &CopyKey) -> Result<Vec<Copy>, Miss> {
        let mut above = Vec::new();
        let mut seen = BTreeSet::from([key.1.clone()]);
        let mut at = self.link(key)?;
        while let Some(copy) = at {
            if copy.parent.0.is_empty() || !seen.insert(copy.parent.clone()) {
                break;
            }
            at = self.link(&(key.0, copy.parent))?.filter(Copy::is_there);
            above.extend(at.clone());
        }
        Ok(above)
    }

    fn link(&mut self, key: &CopyKey) -> Result<Option<Copy>, Miss> {
        if let Some(copy) = self.copies.get(key).or_else(|| self.loaded.copies.get(key)) {
            return Ok(copy.clone());
        }
        self.miss(Need::Ancestors(key.clone()))
    }

    fn miss<T>(&mut self, need: Need) -> Result<T, Miss> {
        self.needs.insert(need);
        Err(Miss)
    }

    /// Changes the row of a node.
    pub fn put_copy(&mut self, copy: Copy) {
        let key = (copy.repository, copy.node.clone());
        self.unindex_copy(&key);
        if copy.is_there() {
            let (repository, node) = key.clone();
            let name = (repository, copy.parent.clone(), copy.name_key.clone());
            self.names.entry(name).or_default().insert(node.clone());
            let folder = (repository, copy.parent.clone());
            self.children.entry(folder).or_default().insert(node);
        }
        self.copies.insert(key, Some(copy));
    }

    /// Removes the row of a node.
    pub fn remove_copy(&mut self, key: &CopyKey) {
        self.unindex_copy(key);
        self.copies.insert(key.clone(), None);
    }

    fn unindex_copy(&mut self, key: &CopyKey) {
        let Some(Some(old)) = self.copies.get(key) else {
            return;
        };
        let name = (old.repository, old.parent.clone(), old.name_key.clone());
        let folder = (old.repository, old.parent.clone());
        if let Some(nodes) = self.names.get_mut(&name) {
            nodes.remove(&key.1);
        }
        if let Some(nodes) = self.children.get_mut(&folder) {
            nodes.remove(&key.1);
        }
    }

    /// Changes a member; `set` is its set.
    pub fn put_member(&mut self, set: &SyncSet, member: Member) {
        self.unindex_member(set, member.id);
        if let Some((side, obstacle)) = &member.blocked {
            let key = (*set.repositories.get(*side), obstacle.clone());
            self.waiting.entry(key).or_default().insert(member.id);
        }
        self.members.insert(member.id, Some(member));
    }

    /// Removes a member.
    pub fn remove_member(&mut self, set: &SyncSet, id: MemberId) {
        self.unindex_member(set, id);
        self.members.insert(id, None);
    }

    fn unindex_member(&mut self, set: &SyncSet, id: MemberId) {
        let Some(Some(old)) = self.members.get(&id) else {
            return;
        };
        let Some((side, obstacle)) = old.blocked.clone() else {
            return;
        };
        let key = (*set.repositories.get(side), obstacle);
        if let Some(members) = self.waiting.get_mut(&key) {
            members.remove(&id);
        }
    }

    /// The member as it was before this run, for counting.
    #[must_use]
    pub fn member_before(&self, id: MemberId) -> Option<&'a Member> {
        self.loaded.members.get(&id).and_then(Option::as_ref)
    }

    /// The members that changed, as they are now.
    pub fn changed_members(&self) -> impl Iterator<Item = (&MemberId, &Option<Member>)> {
        self.members.iter()
    }

    /// Changes a set.
    pub fn put_set(&mut self, set: SyncSet) {
        self.sets.insert(set.id, set);
    }

    /// The side of a repository.
    #[must_use]
    pub fn side(&self, repository: RepositoryId) -> Option<Side> {
        self.repository(repository)
            .map(|repository| repository.side)
    }
}
