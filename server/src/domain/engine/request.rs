//! What people ask for (R-REQ-1, R-CON-3, R-CON-5, R-DEL-3, R-UNS-1, SPEC §7).

use super::super::copy::{Copy, CopyState};
use super::super::ids::{ConflictId, MemberId, SyncSetId};
use super::super::journal::{Entry, JournalKind};
use super::super::member::{Lane, Leaving, Member, MemberState, PeerChoice, Restlessness};
use super::super::projection::{ContentRef, NodeKind, Side};
use super::super::reconcile::Decision;
use super::super::sync_set::{Removal, SetKind, SyncSet};
use super::super::view::{CopyKey, Miss};
use super::Engine;

/// Something that a person asked for, checked already.
#[derive(Debug, Clone)]
pub enum Request {
    /// A new set with its DIRECT members.
    CreateSet {
        /// The set.
        set: Box<SyncSet>,
        /// Each chosen node's member, and the node as its agent described it.
        chosen: Vec<(Member, Copy)>,
        /// The cloud folder that is the peer of the synced folder from the start, where one is adopted (R-REC-9).
        peer: Option<Box<Copy>>,
        /// Who made it.
        actor: String,
    },
    /// Observe afresh and sync at once.
    Sync(MemberId, String),
    /// Delete the copy of a side, with a choice about the other.
    Delete(MemberId, Side, PeerChoice, String),
    /// Make kept content current again.
    Restore(MemberId, ContentRef, String),
    /// Decide about a conflict that waits: the state of this side holds.
    Resolve(MemberId, ConflictId, Side, String),
    /// Let held deletions flow.
    ConfirmHold(SyncSetId, String),
    /// Restore what a held deletion of this member would remove.
    RefuseRemoval(MemberId),
    /// Every held deletion of the set was refused.
    RefusedHold(SyncSetId, String),
    /// Give a set to another owner; its members follow one by one.
    Transfer(SyncSetId, String, String),
    /// The set of this member has another owner.
    OwnerChanged(MemberId),
    /// Pause a set, or resume it.
    Pause(SyncSetId, bool, String),
    /// End a set; its members follow one by one.
    EndSet(Ending),
    /// End a member of a set that is ending.
    EndMember(MemberId),
    /// Pull what the cloud changed of a document that is going to be unsynced, although its set is paused (R-UNS-1).
    LastPull(MemberId),
    /// End the membership of one document in a set of several.
    Unsync(MemberId, Leaving),
    /// Observe these nodes afresh: their agent may not have told yet what changed there.
    Look(Vec<CopyKey>),
    /// Look again at a member: its wait is over, or what it waited for may have changed.
    Settle(MemberId),
}

/// How a set is ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The set.
    pub set: SyncSetId,
    /// What becomes of its cloud copy.
    pub removal: Removal,
    /// Who asked for it.
    pub actor: String,
    /// An admin of the cloud did, over the head of the owner (R-ADM-1).
    pub forced: bool,
}

impl Engine<'_> {
    pub(super) fn request(&mut self, request: &Request) -> Result<(), Miss> {
        match request {
            Request::CreateSet {
                set,
                chosen,
                peer,
                actor,
            } => {
                if let Some(peer) = peer {
                    self.view.put_copy((**peer).clone());
                }
                self.create_set(set, chosen, actor)
            }
            Request::Sync(member, actor) => self.sync(*member, actor),
            Request::Delete(member, side, choice, actor) => {
                self.with_member(*member, JournalKind::SyncRequested, actor, |member| {
                    member.deleting = Some((*side, *choice));
                })
            }
            Request::Restore(member, content, actor) => {
                self.with_member(*member, JournalKind::VersionRestored, actor, |member| {
                    member.restoring = Some(*content);
                })
            }
            Request::Resolve(member, conflict, winner, actor) => {
                self.resolve(*member, *conflict, *winner, actor)
            }
            Request::ConfirmHold(set, actor) => self.open_gate(*set, actor, "confirmed"),
            Request::RefusedHold(set, actor) => self.open_gate(*set, actor, "refused"),
            Request::RefuseRemoval(member) => self.refuse_removal(*member),
            Request::Transfer(set, owner, actor) => self.transfer(*set, owner, actor),
            Request::OwnerChanged(member) => self.owner_changed(*member),
            Request::Pause(set, paused, actor) => self.pause(*set, *paused, actor),
            Request::EndSet(ending) => self.end_set(ending),
            Request::EndMember(member) => self.end_member(*member),
            Request::LastPull(member) => {
                self.last_pull(*member);
                Ok(())
            }
            Request::Unsync(member, leaving) => self.unsync(*member, leaving),
            Request::Look(nodes) => {
                self.effects.observe.extend_from_slice(nodes);
                Ok(())
            }
            Request::Settle(member) => {
                self.touch(*member);
                Ok(())
            }
        }
    }

    /// R-SET-3. Documents are looked at: until then only their names are known.
    fn create_set(
        &mut self,
        set: &SyncSet,
        chosen: &[(Member, Copy)],
        actor: &str,
    ) -> Result<(), Miss> {
        let first = chosen.first().map(|(_, copy)| copy.projection.name.clone());
        self.effects.journal.push(Entry {
            kind: JournalKind::SetCreated,
            set: Some(set.id),
            member: None,
            side: None,
            actor: actor.to_owned(),
            node_name: first.unwrap_or_default(),
            message: match set.kind {
                SetKind::Folder => "sync set created".to_owned(),
                SetKind::Documents => format!("sync set of {} documents created", chosen.len()),
            },
        });
        self.view.put_set(set.clone());
        let mut known = Ok(());
        for (member, copy) in chosen {
            let key = (copy.repository, copy.node.clone());
            // It may be known as a node that was unlinked or skipped. All rows are asked for in one run.
            let row = self.view.copy(&key).map(|_| ());
            known = known.and(row);
            self.view.put_copy(copy.clone());
            self.view.put_member(set, member.clone());
            self.touch(member.id);
            if member.kind == NodeKind::Document {
                self.effects.observe.push(key);
            }
        }
        known
    }

    fn with_member(
        &mut self,
        id: MemberId,
        kind: JournalKind,
        actor: &str,
        change: impl FnOnce(&mut Member),
    ) -> Result<(), Miss> {
        let Some(mut member) = self.view.member(id)? else {
            return Ok(());
        };
        let Some(set) = self.view.set(member.set)? else {
            return Ok(());
        };
        if member.leaving.is_some() {
            return Ok(());
        }
        let node_name = self.name_of(&set, &member)?;
        self.journal(Entry {
            kind,
            set: Some(set.id),
            member: Some(id),
            side: None,
            actor: actor.to_owned(),
            node_name,
            message: "requested".to_owned(),
        });
        change(&mut member);
        self.view.put_member(&set, member);
        self.touch(id);
        Ok(())
    }

    /// R-REQ-1, R-DEL-1: both copies are observed afresh; a copy that was deleted is made anew.
    fn sync(&mut self, id: MemberId, actor: &str) -> Result<(), Miss> {
        let Some(member) = self.view.member(id)? else {
            return Ok(());
        };
        let Some(set) = self.view.set(member.set)? else {
            return Ok(());
        };
        let mut made_anew = false;
        let mut there = [false; 2];
        for (side, there) in Side::BOTH.into_iter().zip(&mut there) {
            if let Some(copy) = self.copy_of(&set, &member, side)? {
                *there = copy.state == CopyState::Live;
                self.effects.observe.push((copy.repository, copy.node));
                made_anew |= side == Side::Cloud && matches!(copy.state, CopyState::Gone(_));
            }
        }
        let made_anew = made_anew && there[0] && member.open.is_none();
        self.with_member(id, JournalKind::SyncRequested, actor, |member| {
            if made_anew {
                make_anew(member);
            }
            member.restlessness = Restlessness::default();
            member.state = MemberState::Pending;
        })?;
        if there == [true, false] {
            self.make_folders_anew(&set, &member)?;
        }
        self.bring_back_left(&set, &member)
    }

    /// R-MEM-4: what is left in a folder enters again, as it is found when the synced folder is listed.
    fn bring_back_left(&mut self, set: &SyncSet, folder: &Member) -> Result<(), Miss> {
        if folder.kind != NodeKind::Folder {
            return Ok(());
        }
        for side in Side::BOTH {
            let Some(node) = folder.nodes.get(side).clone() else {
                continue;
            };
            let repository = *set.repositories.get(side);
            let mut any = false;
            for child in self.view.children(&(repository, node.clone()))? {
                let key = (repository, child);
                let copy = self.view.copy(&key)?;
                if copy.is_some_and(|copy| copy.state == CopyState::Left) {
                    self.view.remove_copy(&key);
                    any = true;
                }
            }
            if any {
                self.list_again(set, side, &node)?;
            }
        }
        Ok(())
    }

    /// R-DEL-1: the cloud folders above, up to the root, that were deleted and stay so until somebody asks.
    fn make_folders_anew(&mut self, set: &SyncSet, member: &Member) -> Result<(), Miss> {
        let Some(node) = member.nodes.on_premise.clone() else {
            return Ok(());
        };
        for above in self.view.ancestors(&(set.repositories.on_premise, node))? {
            let Some(folder) = above.member else { break };
            let Some(mut folder) = self.view.member(folder)?.filter(|one| one.set == set.id) else {
                break;
            };
            let peer = self.copy_of(set, &folder, Side::Cloud)?;
            if peer.is_none_or(|peer| !matches!(peer.state, CopyState::Gone(_))) {
                break;
            }
            make_anew(&mut folder);
            let id = folder.id;
            self.view.put_member(set, folder);
            self.touch(id);
        }
        Ok(())
    }

    /// The cause of a failure looks different now (R-ERR-1).
    pub(super) fn retry(&mut self, id: MemberId) -> Result<(), Miss> {
        let Some(member) = self.view.member(id)? else {
            return Ok(());
        };
        if matches!(member.state, MemberState::Failed(_)) || member.transient.is_some() {
            self.touch(id);
        }
        Ok(())
    }

    fn open_gate(&mut self, id: SyncSetId, actor: &str, message: &str) -> Result<(), Miss> {
        let Some(mut set) = self.view.set(id)? else {
            return Ok(());
        };
        set.guard.open();
        let message = format!("held deletions {message}");
        self.journal_set(id, JournalKind::HoldResolved, actor, &message);
        self.touched_sets.insert(id);
        self.view.put_set(set);
        Ok(())
    }

    fn refuse_removal(&mut self, id: MemberId) -> Result<(), Miss> {
        let Some(mut member) = self.view.member(id)? else {
            return Ok(());
        };
        let Some(set) = self.view.set(member.set)? else {
            return Ok(());
        };
        if let Decision::Remove {
            side,
            chosen: false,
        } = self.decision(&set, &member)?
        {
            self.revive(&mut member, side.other());
            self.view.put_member(&set, member);
            self.touch(id);
        }
        Ok(())
    }

    /// R-ADM-1: from now on deliveries act as the new owner.
    fn transfer(&mut self, id: SyncSetId, owner: &str, actor: &str) -> Result<(), Miss> {
        let Some(mut set) = self.view.set(id)? else {
            return Ok(());
        };
        if set.ending || set.owner == owner {
            return Ok(());
        }
        let message = format!("the owner is {owner} and no longer {}", set.owner);
        owner.clone_into(&mut set.owner);
        self.journal_set(id, JournalKind::OwnershipTransferred, actor, &message);
        self.view.put_set(set);
        Ok(())
    }

    /// R-ERR-1: what failed because of the owner is tried again.
    fn owner_changed(&mut self, id: MemberId) -> Result<(), Miss> {
        match self.view.member(id)?.map(|member| member.state) {
            Some(MemberState::Failed(failure)) if failure.reason.is_of_owner() => self.retry(id),
            _ => Ok(()),
        }
    }

    /// R-SET-7: everything stays due; it is not sent. Twice is once, and a set that ends is not paused any more.
    fn pause(&mut self, id: SyncSetId, paused: bool, actor: &str) -> Result<(), Miss> {
        let Some(mut set) = self.view.set(id)? else {
            return Ok(());
        };
        if set.ending || set.paused == paused {
            return Ok(());
        }
        set.paused = paused;
        let (kind, message) = match paused {
            true => (JournalKind::Paused, "sync set paused"),
            false => (JournalKind::Resumed, "sync set resumed"),
        };
        self.journal_set(id, kind, actor, message);
        self.view.put_set(set);
        Ok(())
    }

    /// An act of management on a whole set.
    fn journal_set(&mut self, set: SyncSetId, kind: JournalKind, actor: &str, message: &str) {
        self.effects.journal.push(Entry {
            kind,
            set: Some(set),
            member: None,
            side: None,
            actor: actor.to_owned(),
            node_name: String::new(),
            message: message.to_owned(),
        });
    }

    /// Twice is once: the first call says what becomes of the cloud copy.
    fn end_set(&mut self, ending: &Ending) -> Result<(), Miss> {
        let Some(mut set) = self.view.set(ending.set)? else {
            return Ok(());
        };
        if set.ending {
            return Ok(());
        }
        set.ending = true;
        set.removal = ending.removal;
        let what = match ending.forced {
            true => "sync set ended from the cloud",
            false => "sync set ended",
        };
        let copies = match ending.removal {
            Removal::None => "",
            Removal::Members | Removal::Everything | Removal::Made => "; its cloud copy is removed",
        };
        self.effects.journal.push(Entry {
            kind: JournalKind::SetEnded,
            set: Some(ending.set),
            member: None,
            side: ending.forced.then_some(Side::Cloud),
            actor: ending.actor.clone(),
            node_name: String::new(),
            message: format!("{what}{copies}"),
        });
        self.view.put_set(set);
        Ok(())
    }

    fn end_member(&mut self, id: MemberId) -> Result<(), Miss> {
        let Some(member) = self.view.member(id)? else {
            return Ok(());
        };
        let Some(set) = self.view.set(member.set)? else {
            return Ok(());
        };
        // What is being unlocked ends by itself.
        let releasing = member.due.is_some_and(|due| due.lane == Lane::Release);
        match set.ending && !releasing {
            true => self.end_or_release(&set, member),
            false => Ok(()),
        }
    }
}

/// The cloud copy is to be made again: what was agreed on does not count any more.
fn make_anew(member: &mut Member) {
    member.nodes.cloud = None;
    member.base = None;
    member.choice = None;
}
