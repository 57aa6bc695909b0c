//! Members of a set as they change: wake, then read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::feed::{Feed, Feeder, feed};
use super::members::MemberView;
use super::{Error, UserScope};
use crate::domain::ids::{MemberId, SyncSetId};
use crate::domain::limits::{PAGE_SIZE_MAX, WATCH_INTERVAL_MILLISECONDS};
use crate::domain::sync_set::SyncSet;
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
    /// Streams the members of a set, then what changes, until the set has ended. Places change without a message of
    /// their own when a folder above is renamed.
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
                paused: false,
            };
            watch.run(set).await
        }))
    }
}

/// One watcher; remembers 32 bytes or so of each member.
struct Watch {
    scope: UserScope,
    feeder: Feeder<MemberChange>,
    known: BTreeMap<MemberId, Stamp>,
    paused: bool,
}

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
            self.tell(set, &differing).await?;
        }
        changed |= !gone.is_empty();
        for member in gone {
            self.known.remove(&member);
            self.feeder.send(MemberChange::Ended(member)).await?;
        }
        Ok(changed)
    }

    async fn tell(&self, set: &SyncSet, members: &[MemberId]) -> Result<(), Error> {
        if members.is_empty() {
            return Ok(());
        }
        let store = &self.scope.coordinator.store;
        let members = store.members_of(set.id, members).await?;
        for view in self.scope.member_views(set, members).await? {
            self.feeder.send(MemberChange::Is(Box::new(view))).await?;
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
