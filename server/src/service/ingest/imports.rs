//! Sets that come from an export: rows in chunks, and the set itself last (R-ADM-1).

use std::collections::BTreeMap;

use super::group::Finish;
use super::{Change, Done, Ingest, Writer};
use crate::domain::copy::{Copy, CopyState};
use crate::domain::engine::{Effects, VersionChange};
use crate::domain::ids::{MemberId, NetworkId, NodeId, RepositoryId};
use crate::domain::journal::{Entry, JournalKind};
use crate::domain::limits::WALK_STEP_NODES_MAX;
use crate::domain::member::Member;
use crate::domain::planted::planted;
use crate::domain::projection::{Side, Sides};
use crate::domain::sync_set::SyncSet;
use crate::domain::view::{Changes, CopyKey, Loaded};
use crate::service::Error;
use crate::storage::Tx;
use crate::storage::sync::imports::{self, Importing};
use crate::storage::sync::save::save;

/// A step of an import.
#[derive(Debug, Clone)]
pub enum ImportStep {
    /// From now on these are the set's members; nothing may be left of an earlier try.
    Begin(Importing),
    /// Members with their copies.
    Members(Vec<ImportedMember>),
    /// Nodes that were unlinked and lie in the set's folders (R-MEM-4), or are gone from there (R-DEL-4).
    Left(Vec<Copy>),
    /// All members are there: from now on the set is.
    Finish(Box<SyncSet>, String),
    /// Goes on with what [`ImportStep::Finish`] began; or, before that, removes some of what was written since
    /// [`ImportStep::Begin`].
    GoOn,
}

/// A member as it is imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedMember {
    /// The member.
    pub member: Member,
    /// Its copies.
    pub copies: Sides<Option<Copy>>,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// It is done.
    Done,
    /// It is done in part; ask again.
    More,
    /// Nothing was done: this node is in a set, or was told before (R-SET-5).
    Taken(RepositoryId, NodeId),
    /// Nothing was done: the member was told before.
    Known(MemberId),
    /// Nothing was done: the node lies in no folder of its set.
    Unplaced(NodeId),
}

impl Ingest {
    /// Does a step of an import.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn import(&self, network: NetworkId, step: ImportStep) -> Result<Imported, Error> {
        match self.submit(network, Change::Import(step)).await? {
            Done::Imported(imported) => Ok(imported),
            Done::Accepted(_) | Done::Plain | Done::Set(_) => Err(Error::Internal {
                detail: "a step of an import was answered as something else".to_owned(),
            }),
        }
    }

    /// Ends the import into the network, if there is one: a set that is there keeps all that was imported of it, of any
    /// other whatever is left is removed.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn end_import(&self, network: NetworkId) -> Result<(), Error> {
        while self.import(network, ImportStep::GoOn).await? == Imported::More {}
        Ok(())
    }
}

impl Writer {
    /// Refusals are answers, not errors: nothing was written, and the rest of the group stands.
    pub(super) async fn import(
        &self,
        tx: &Tx,
        step: &ImportStep,
        finish: &mut Finish,
    ) -> Result<Imported, Error> {
        if let ImportStep::Begin(importing) = step {
            imports::note_in(&**tx, self.network, importing).await?;
            return Ok(Imported::Done);
        }
        let Some(importing) = imports::importing_in(&**tx, self.network).await? else {
            return Ok(Imported::Done);
        };
        match step {
            ImportStep::Begin(_) => Ok(Imported::Done),
            ImportStep::Members(members) => self.import_members(tx, members).await,
            ImportStep::Left(copies) => self.import_left(tx, copies, &importing).await,
            ImportStep::Finish(set, actor) => {
                self.import_set(tx, (set, actor), &importing, finish).await
            }
            ImportStep::GoOn => self.go_on(tx, &importing).await,
        }
    }

    async fn import_members(&self, tx: &Tx, members: &[ImportedMember]) -> Result<Imported, Error> {
        let ids: Vec<MemberId> = members.iter().map(|one| one.member.id).collect();
        let known = imports::known_members_in(&**tx, &ids).await?;
        if let Some(id) = known.first() {
            return Ok(Imported::Known(*id));
        }
        let effects = effects_of(members);
        match taken(tx, &effects.changes).await? {
            Some(taken) => Ok(taken),
            None => self.save_imported(tx, &effects).await,
        }
    }

    /// They are held as the set's until that is there, so that they can be found when the import breaks off.
    async fn import_left(
        &self,
        tx: &Tx,
        copies: &[Copy],
        importing: &Importing,
    ) -> Result<Imported, Error> {
        let holder = Some(MemberId(importing.set.0));
        let mut effects = Effects::default();
        let keys: Vec<CopyKey> = copies.iter().map(key_of).collect();
        let taken = imports::taken_in(&**tx, &keys).await?;
        let is_gone = |copy: &Copy| matches!(copy.state, CopyState::Gone(_));
        for copy in copies {
            match taken.contains(&key_of(copy)) {
                // It came back, and is in a set by now.
                true if is_gone(copy) => continue,
                true => return Ok(Imported::Taken(copy.repository, copy.node.clone())),
                false => {}
            }
            let mut held = copy.clone();
            held.member = holder;
            held.state = CopyState::Left;
            put(&mut effects.changes, held);
        }
        self.save_imported(tx, &effects).await?;
        let gone = copies.iter().filter(|copy| is_gone(copy));
        let gone: Vec<&Copy> = gone.filter(|copy| !taken.contains(&key_of(copy))).collect();
        imports::hold_gone_in(&**tx, &gone).await?;
        Ok(Imported::Done)
    }

    async fn save_imported(&self, tx: &Tx, effects: &Effects) -> Result<Imported, Error> {
        let now = self.parts.clock.now();
        save(&**tx, self.network, &Loaded::default(), effects, now).await?;
        Ok(Imported::Done)
    }

    async fn import_set(
        &self,
        tx: &Tx,
        (set, actor): (&SyncSet, &str),
        importing: &Importing,
        finish: &mut Finish,
    ) -> Result<Imported, Error> {
        for side in Side::BOTH {
            if let Some(node) = imports::unplaced_in(&**tx, importing, side).await?
                && !planted("unplaced-node-imported")
            {
                return Ok(Imported::Unplaced(node));
            }
        }
        let effects = Effects {
            changes: Changes {
                sets: BTreeMap::from([(set.id, set.clone())]),
                ..Changes::default()
            },
            journal: vec![Entry {
                kind: JournalKind::SetCreated,
                set: Some(set.id),
                member: None,
                side: None,
                actor: actor.to_owned(),
                node_name: String::new(),
                message: format!("sync set of {} members imported", set.counters.members),
            }],
            ..Effects::default()
        };
        self.save_imported(tx, &effects).await?;
        if !planted("import-is-not-listed") {
            imports::list_anew_in(&**tx, set).await?;
        }
        let both = [set.repositories.on_premise, set.repositories.cloud];
        finish.wake.watching.extend(both);
        finish.wake.any = true;
        finish.steps = true;
        self.go_on(tx, importing).await
    }

    async fn go_on(&self, tx: &Tx, importing: &Importing) -> Result<Imported, Error> {
        let more = match imports::is_imported_in(&**tx, importing).await? {
            true => imports::leave_some_in(&**tx, importing, WALK_STEP_NODES_MAX).await?,
            false if planted("half-an-import-stays") => false,
            false => imports::forget_step_in(&**tx, importing, WALK_STEP_NODES_MAX).await?,
        };
        if more {
            return Ok(Imported::More);
        }
        imports::forget_note_in(&**tx, self.network).await?;
        Ok(Imported::Done)
    }
}

/// R-SET-5, asked of all nodes at once.
async fn taken(tx: &Tx, changes: &Changes) -> Result<Option<Imported>, Error> {
    let keys: Vec<CopyKey> = changes.copies.keys().cloned().collect();
    let taken = imports::taken_in(&**tx, &keys).await?;
    let first = taken
        .into_iter()
        .next()
        .filter(|_| !planted("import-takes-any-node"));
    Ok(first.map(|(repository, node)| Imported::Taken(repository, node)))
}

fn put(changes: &mut Changes, copy: Copy) {
    changes.copies.insert(key_of(&copy), Some(copy));
}

fn key_of(copy: &Copy) -> CopyKey {
    (copy.repository, copy.node.clone())
}

fn effects_of(members: &[ImportedMember]) -> Effects {
    let mut effects = Effects::default();
    for ImportedMember { member, copies } in members {
        for side in Side::BOTH {
            if let Some(copy) = copies.get(side) {
                effects.versions.extend(version(member.id, side, copy));
                put(&mut effects.changes, copy.clone());
            }
        }
        let members = &mut effects.changes.members;
        members.insert(member.id, Some(member.clone()));
    }
    effects
}

/// What the copy has is kept as any content is, as soon as its agent has sent it.
fn version(member: MemberId, side: Side, copy: &Copy) -> Option<VersionChange> {
    let content = copy
        .projection
        .content
        .filter(|_| copy.state == CopyState::Live)?;
    Some(VersionChange {
        member,
        side,
        repository: copy.repository,
        content: Some(content),
    })
}
