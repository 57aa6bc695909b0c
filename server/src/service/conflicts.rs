//! Conflicts and kept versions: who may see them and bring them back (SPEC §6).

use super::{Error, UserScope};
use crate::domain::access::{Role, Side};
use crate::domain::conflict::Conflict;
use crate::domain::engine::Request;
use crate::domain::ids::{ConflictId, MemberId, SyncSetId};
use crate::domain::projection::{ContentRef, NodeKind};

pub use crate::storage::sync::versions::Kept;

/// The name of kept content within its member: its place in the journal, and its side.
pub type VersionKey = (i64, Side);

impl UserScope {
    /// Shows a conflict.
    ///
    /// # Errors
    /// [`Error::ConflictNotFound`].
    pub async fn conflict(&self, id: ConflictId) -> Result<Conflict, Error> {
        let found = self.coordinator.store.conflict(self.network, id).await?;
        found.ok_or_else(|| Error::ConflictNotFound {
            conflict: self.conflict_name(id),
        })
    }

    /// Lists conflicts, newest first, beginning behind one; of one member or of all.
    ///
    /// # Errors
    /// The database's.
    pub async fn conflicts(
        &self,
        member: Option<MemberId>,
        before: Option<ConflictId>,
        limit: usize,
    ) -> Result<Vec<Conflict>, Error> {
        let store = &self.coordinator.store;
        let found = store.conflicts(self.network, member, before, limit).await?;
        Ok(found)
    }

    /// Lists the kept content of a member, newest first, beginning behind one.
    ///
    /// # Errors
    /// [`Error::MemberNotFound`].
    pub async fn versions(
        &self,
        set: SyncSetId,
        member: MemberId,
        below: Option<VersionKey>,
        limit: usize,
    ) -> Result<Vec<Kept>, Error> {
        self.member_row(set, member).await?;
        let store = &self.coordinator.store;
        Ok(store.versions(member, below, limit).await?)
    }

    /// Makes a kept version the current content (R-CON-5); `name` is for the refusal.
    ///
    /// # Errors
    /// [`Error::MemberNotFound`], [`Error::NotAllowed`], [`Error::VersionNotFound`], [`Error::WrongState`].
    pub async fn restore_version(
        &self,
        set: SyncSetId,
        member: MemberId,
        (position, side): VersionKey,
        name: &str,
    ) -> Result<(), Error> {
        self.require(Role::User)?;
        self.member_row(set, member).await?;
        self.own_set(set).await?;
        let store = &self.coordinator.store;
        let kept = store.version(member, position, side).await?;
        let kept = kept.ok_or_else(|| Error::VersionNotFound {
            version: name.to_owned(),
        })?;
        let content = ContentRef {
            digest: kept.digest,
            size: kept.size,
        };
        self.restore(set, member, content).await
    }

    /// Makes the loser of a conflict the current content (R-CON-5); tells whose.
    ///
    /// # Errors
    /// [`Error::ConflictNotFound`], [`Error::NotAllowed`], [`Error::MemberNotFound`]; [`Error::WrongState`] when it is
    /// open, a deletion lost, or the loser has no content.
    pub async fn restore_loser(&self, id: ConflictId) -> Result<(SyncSetId, MemberId), Error> {
        self.require(Role::User)?;
        let conflict = self.conflict(id).await?;
        self.member_row(conflict.set, conflict.member).await?;
        self.own_set(conflict.set).await?;
        let winner = conflict.winner.ok_or(Error::WrongState {
            state: if conflict.open { "OPEN" } else { "NO_LOSER" },
        })?;
        let loser = conflict.states.get(winner.other()).as_ref();
        let loser = loser.ok_or(Error::WrongState {
            state: "LOSER_IS_A_DELETION",
        })?;
        let content = loser.projection.content.ok_or(Error::WrongState {
            state: "LOSER_HAS_NO_CONTENT",
        })?;
        self.restore(conflict.set, conflict.member, content).await?;
        Ok((conflict.set, conflict.member))
    }

    /// Decides an open conflict: the state of this side holds on both (R-CON-3). Repeating it changes nothing.
    ///
    /// # Errors
    /// [`Error::ConflictNotFound`], [`Error::NotAllowed`]; [`Error::WrongState`] when it is decided otherwise, or its
    /// set is ending.
    pub async fn resolve_conflict(&self, id: ConflictId, winner: Side) -> Result<Conflict, Error> {
        self.require(Role::User)?;
        let conflict = self.conflict(id).await?;
        self.own_set(conflict.set).await?;
        if conflict.open {
            let resolve = Request::Resolve(conflict.member, id, winner, self.user.clone());
            let ingest = &self.coordinator.ingest;
            ingest.request(self.network, resolve).await?;
        }
        let decided = self.conflict(id).await?;
        match (decided.open, decided.winner) {
            (true, _) => Err(Error::WrongState { state: "ENDING" }),
            (false, Some(holds)) if holds == winner => Ok(decided),
            (false, _) => Err(Error::WrongState { state: "RESOLVED" }),
        }
    }

    /// The name of a conflict of the network.
    #[must_use]
    pub fn conflict_name(&self, id: ConflictId) -> String {
        format!("networks/{}/conflicts/{id}", self.network_name)
    }

    /// An ordinary new change; refused where it could never become one.
    async fn restore(
        &self,
        set: SyncSetId,
        id: MemberId,
        content: ContentRef,
    ) -> Result<(), Error> {
        let view = self.member(set, id).await?;
        if self.set_row(set).await?.ending {
            return Err(Error::WrongState { state: "ENDING" });
        }
        if view.member.open.is_some() {
            return Err(Error::WrongState {
                state: "CONFLICT_OPEN",
            });
        }
        if view.member.kind == NodeKind::Folder {
            return Err(Error::WrongState { state: "FOLDER" });
        }
        let there = Side::BOTH.map(|side| view.copies.get(side).is_some());
        if there != [true, true] {
            return Err(Error::WrongState { state: "NO_COPY" });
        }
        let restore = Request::Restore(id, content, self.user.clone());
        self.coordinator.ingest.request(self.network, restore).await
    }
}
