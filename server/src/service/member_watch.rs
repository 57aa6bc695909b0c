//! Members of a set as they change: wake, then read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::feed::{Feed, Feeder, feed};
use super::members::{MemberView, path};
use super::places::soon;
use super::{Error, UserScope};
use crate::domain::ids::{MemberId, SyncSetId};
use crate::domain::limits::{PAGE_SIZE_MAX, WATCH_INTERVAL_MILLISECONDS};
use crate::domain::planted::planted;
use crate::domain::projection::{NodeKind, Side, Sides};
use crate::domain::sync_set::SyncSet;
use crate::domain::view::CopyKey;
use crate::storage::sync::members::Stamp;

/// What a watcher of members is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// A member as it is at the start, or has become.
    Is(Box<MemberView>),
    /// A member that ended.
    Ended(MemberId),
    /// All that had changed has been told.
    Current,
}

/// Looking costs a watcher's coordinator at most one part in so many of its time.
const REST: u32 = 10;

impl UserScope {
    /// Streams the members of a set, then what changes, until the set has ended. A folder that is renamed or moved changes
    /// the places of all below it, which are told again: also a folder of another set, above what was chosen here.
    ///
    /// # Errors
    /// [`Error::SyncSetNotFound`]; later [`Error::Draining`] and the database's.
    pub async fn watch_members(&self, set: SyncSetId) -> Result<Feed<MemberChange>, Error> {
        self.set_row(set).await?;
        let scope = self.clone();
        Ok(feed(self, move |feeder| async move {
            let watch = Watch {
                scope,
                feeder,
                known: BTreeMap::new(),
                places: BTreeMap::new(),
                around: BTreeMap::new(),
                paused: false,
            };
            watch.run(set).await
        }))
    }
}

/// One watcher; remembers 32 bytes or so of each member, and the paths of folders.
struct Watch {
    scope: UserScope,
    feeder: Feeder<MemberChange>,
    known: BTreeMap<MemberId, Stamp>,
    /// Where the folders lie, as it was told.
    places: BTreeMap<MemberId, Sides<Option<String>>>,
    /// The folders in which chosen nodes lie, each with where it lay when they were told: those of other sets change
    /// without any member of this one.
    around: BTreeMap<CopyKey, Around>,
    paused: bool,
}

/// The chosen nodes in a folder, each with where that lay when the node was told.
type Around = BTreeMap<MemberId, Option<String>>;

impl Watch {
    async fn run(mut self, id: SyncSetId) -> Result<(), Error> {
        let (coordinator, network) = (self.scope.coordinator.clone(), self.scope.network);
        let mut bell = coordinator.wakeup.network(network);
        let mut first = true;
        loop {
            bell.mark_unchanged();
            let began = Instant::now();
            let set = coordinator.store.sync_set(network, id).await?;
            let changed = match &set {
                Some(set) => self.look(set).await?,
                None => self.end_all().await?,
            };
            if first || changed {
                self.feeder.send(MemberChange::Current).await?;
            }
            first = false;
            if set.is_none() {
                return Ok(());
            }
            let rest = Duration::from_millis(WATCH_INTERVAL_MILLISECONDS);
            tokio::time::sleep(rest.max(began.elapsed() * REST)).await;
            if bell.changed().await.is_err() {
                bell = coordinator.wakeup.network(network);
            }
        }
    }

    /// Tells what changed since the last look; true when anything did.
    async fn look(&mut self, set: &SyncSet) -> Result<bool, Error> {
        let mut gone: BTreeSet<MemberId> = self.known.keys().copied().collect();
        let (mut after, mut changed) = (None, false);
        // A pause shows on members that do not change themselves.
        let paused = std::mem::replace(&mut self.paused, set.is_paused()) != set.is_paused();
        let (mut told, mut moved) = (BTreeSet::new(), Vec::new());
        loop {
            let store = &self.scope.coordinator.store;
            let stamps = store.member_stamps(set, after, PAGE_SIZE_MAX).await?;
            let Some((last, _)) = stamps.last() else {
                break;
            };
            after = Some(*last);
            let mut differing = Vec::new();
            for (member, stamp) in stamps {
                gone.remove(&member);
                if paused || self.known.get(&member) != Some(&stamp) {
                    differing.push(member);
                    self.known.insert(member, stamp);
                }
            }
            changed |= !differing.is_empty();
            moved.extend(self.tell(set, &differing).await?);
            told.extend(differing);
        }
        let carried = self.carried().await?;
        let carried: Vec<MemberId> = carried.difference(&told).copied().collect();
        changed |= !carried.is_empty();
        for page in carried.chunks(PAGE_SIZE_MAX) {
            moved.extend(self.tell(set, page).await?);
        }
        told.extend(carried);
        self.tell_below(set, &moved, &told).await?;
        changed |= !gone.is_empty();
        for member in gone {
            self.known.remove(&member);
            self.places.remove(&member);
            self.lies_nowhere(member);
            self.feeder.send(MemberChange::Ended(member)).await?;
        }
        Ok(changed)
    }

    /// Tells what members are; answers the folders among them that lay elsewhere when they were told last.
    async fn tell(&mut self, set: &SyncSet, members: &[MemberId]) -> Result<Vec<CopyKey>, Error> {
        let mut moved = Vec::new();
        if members.is_empty() {
            return Ok(moved);
        }
        let store = &self.scope.coordinator.store;
        let members = store.members_of(set.id, members).await?;
        let views = self.scope.member_views(set, members).await?;
        for view in &views {
            if view.member.kind == NodeKind::Folder {
                moved.extend(self.moved(view));
            }
            if view.member.direct {
                self.lies_in(view);
            }
        }
        for view in self.scope.placed(set, views, soon()).await? {
            self.feeder.send(MemberChange::Is(Box::new(view))).await?;
        }
        Ok(moved)
    }

    /// Notes around which folders to look for where a chosen node lies.
    fn lies_in(&mut self, chosen: &MemberView) {
        self.lies_nowhere(chosen.member.id);
        for copy in Side::BOTH
            .iter()
            .filter_map(|side| chosen.copies.get(*side).as_ref())
        {
            let key = (copy.copy.repository, copy.copy.parent.clone());
            let path = copy.path.rsplit_once('/');
            let path = path.map(|(folder, _)| folder.to_owned());
            let around = self.around.entry(key).or_default();
            around.insert(chosen.member.id, path);
        }
    }

    fn lies_nowhere(&mut self, member: MemberId) {
        self.around.retain(|_, around| {
            around.remove(&member);
            !around.is_empty()
        });
    }

    /// The chosen nodes whose folders have another place than when they were told.
    async fn carried(&self) -> Result<BTreeSet<MemberId>, Error> {
        let keys: Vec<CopyKey> = self.around.keys().cloned().collect();
        if keys.is_empty() {
            return Ok(BTreeSet::new());
        }
        let store = &self.scope.coordinator.store;
        let folders = store.copies_and_folders(&keys).await?;
        let mut carried = BTreeSet::new();
        for (key, around) in &self.around {
            let now = folders.get(key).map(|folder| path(&folders, folder));
            let elsewhere = around.iter().filter(|(_, told)| **told != now);
            carried.extend(elsewhere.map(|(member, _)| *member));
        }
        if planted("carried-documents-untold") {
            carried.clear();
        }
        Ok(carried)
    }

    /// The copies of a folder that have another place than before.
    fn moved(&mut self, folder: &MemberView) -> Vec<CopyKey> {
        let path = |side: Side| folder.copies.get(side).as_ref().map(|copy| &copy.path);
        let now = Sides {
            on_premise: path(Side::OnPremise).cloned(),
            cloud: path(Side::Cloud).cloned(),
        };
        let before = self.places.insert(folder.member.id, now);
        let before = before.unwrap_or_default();
        let moved = Side::BOTH.into_iter().filter_map(|side| {
            let copy = folder.copies.get(side).as_ref()?;
            let before = before.get(side).as_ref()?;
            (*before != copy.path).then(|| (copy.copy.repository, copy.copy.node.clone()))
        });
        moved.collect()
    }

    /// Tells again, page by page, of what lies below folders that have another place, but for what was told just now.
    async fn tell_below(
        &mut self,
        set: &SyncSet,
        folders: &[CopyKey],
        told: &BTreeSet<MemberId>,
    ) -> Result<(), Error> {
        if folders.is_empty() {
            return Ok(());
        }
        let store = &self.scope.coordinator.store;
        let below = store.members_below(set.id, folders).await?;
        let below: Vec<MemberId> = below.difference(told).copied().collect();
        for page in below.chunks(PAGE_SIZE_MAX) {
            self.tell(set, page).await?;
        }
        Ok(())
    }

    async fn end_all(&mut self) -> Result<bool, Error> {
        let known = std::mem::take(&mut self.known);
        let any = !known.is_empty();
        for member in known.into_keys() {
            self.feeder.send(MemberChange::Ended(member)).await?;
        }
        Ok(any)
    }
}
