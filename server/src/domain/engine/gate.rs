//! Whether a decided change can be delivered now: the receiving folder, the name, the tree (R-REC-7, R-REC-10).

use super::super::conflict::ConflictKind;
use super::super::copy::{Copy, CopyState};
use super::super::failure::Reason;
use super::super::ids::{MemberId, NodeId};
use super::super::member::{Hold, Lane, Member, MemberState, Obstacle};
use super::super::planted::planted;
use super::super::projection::{Side, State};
use super::super::reconcile::Decision;
use super::super::sync_set::SyncSet;
use super::super::view::{Miss, NameKey};
use super::Engine;
use super::situation::merges;

/// What a change meets on the receiving side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gate {
    /// Nothing is in the way.
    Open(Lane),
    /// Something else has to happen first.
    Wait(Hold, Obstacle),
    /// The name is taken for good: why that fails, and by whom it is.
    Clash(Obstacle, Reason, String),
    /// There is no folder to make it in.
    NoFolder,
    /// The folder of this member was deleted, and stays so until somebody decides.
    FolderDeleted(MemberId),
    /// R-MOV-5: together with a move of the other side it would make a cycle, and it is the loser.
    Undo,
}

/// The folder that receives a node.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Folder {
    /// It is there.
    There(NodeId),
    /// It is to be made by a delivery that is due.
    Coming,
    /// It waits or failed itself.
    Waits(MemberId),
    /// It was deleted, and stays so until somebody decides.
    Deleted(MemberId),
    /// There is none.
    Missing,
}

/// Where a copy is to lie and be called; `None` = nowhere, it is to be removed.
type Wanted = Option<(NodeId, String)>;

/// Rings of names longer than this are treated as clashes.
const RING_MAX: usize = 256;

impl Engine<'_> {
    pub(super) fn gate_change(
        &mut self,
        set: &SyncSet,
        member: &Member,
        side: Side,
    ) -> Result<Gate, Miss> {
        let Some(desired) = self.desired(set, member, side)? else {
            return Ok(Gate::NoFolder);
        };
        let own = self.copy_of(set, member, side)?.filter(Copy::is_there);
        let folder = match self.receiving_folder(set, member, &desired, own.as_ref(), side)? {
            Folder::There(node) => node,
            Folder::Coming => return Ok(Gate::Open(Lane::Change)),
            Folder::Waits(parent) => {
                if self.stands_in_the_way(set, own.as_ref(), parent, side)? {
                    return Ok(Gate::Open(Lane::Aside));
                }
                return Ok(Gate::Wait(Hold::Parent, Obstacle::Folder(parent)));
            }
            Folder::Deleted(parent) => return Ok(Gate::FolderDeleted(parent)),
            Folder::Missing => return Ok(Gate::NoFolder),
        };
        let key = self.name_rule(set, side).key(&desired.projection.name);
        let stays = own.as_ref().is_some_and(|own| own.parent == folder);
        if stays && own.as_ref().is_some_and(|own| own.name_key == key) {
            return Ok(Gate::Open(Lane::Change));
        }
        if let Some(own) = own.filter(|_| !stays && Self::is_folder(member))
            && let Some(gate) = self.gate_tree(set, member, &own, (&folder, side))?
        {
            let waits = match &gate {
                Gate::Wait(_, Obstacle::Folder(above)) => Some(*above),
                _ => None,
            };
            return match waits {
                Some(above) if self.stands_in_the_way(set, Some(&own), above, side)? => {
                    Ok(Gate::Open(Lane::Aside))
                }
                _ => Ok(gate),
            };
        }
        self.gate_name(set, member, side, (folder, key))
    }

    fn receiving_folder(
        &mut self,
        set: &SyncSet,
        member: &Member,
        desired: &State,
        own: Option<&Copy>,
        side: Side,
    ) -> Result<Folder, Miss> {
        if member.direct {
            let node = match (own, side) {
                (Some(own), _) => own.parent.clone(),
                (None, Side::Cloud) => set.target.clone(),
                (None, Side::OnPremise) => home_of(set, member),
            };
            let missing = node.0.is_empty() && own.is_none();
            return Ok(if missing {
                Folder::Missing
            } else {
                Folder::There(node)
            });
        }
        let Some(parent) = desired.parent else {
            return Ok(Folder::Missing);
        };
        let Some(mut parent) = self.view.member(parent)? else {
            return Ok(Folder::Missing);
        };
        let Some(copy) = self.copy_of(set, &parent, side)? else {
            if parent.deleting.is_some() {
                // R-DEL-2: a folder that was only to be cleared away stays with what is new in it.
                parent.deleting = None;
                let id = parent.id;
                self.view.put_member(set, parent);
                self.touch(id);
                return Ok(Folder::Coming);
            }
            let waits = parent.blocked.is_some() || matches!(parent.state, MemberState::Failed(_));
            return Ok(if waits {
                Folder::Waits(parent.id)
            } else {
                Folder::Coming
            });
        };
        if copy.state == CopyState::Live {
            return Ok(Folder::There(copy.node));
        }
        if !matches!(copy.state, CopyState::Gone(_)) {
            return Ok(Folder::Missing);
        }
        match self.decision(set, &parent)? {
            Decision::CloudCopyDeleted | Decision::Fail(_) => Ok(Folder::Deleted(parent.id)),
            Decision::End | Decision::Conflict { winner: None, .. } => Ok(Folder::Waits(parent.id)),
            // R-DEL-2: what is new or changed inside a deleted folder keeps its ancestors, and they are restored.
            _ => {
                self.uncount_and_revive(set, &mut parent, side);
                Ok(Folder::Coming)
            }
        }
    }

    fn uncount_and_revive(&mut self, set: &SyncSet, parent: &mut Member, side: Side) {
        self.revive(parent, side);
        let id = parent.id;
        self.view.put_member(set, parent.clone());
        self.touch(id);
    }

    /// Where a member's copy on a side is to lie and be called, if that differs from how it is now.
    fn wanted(&mut self, member: MemberId, side: Side) -> Result<Option<Wanted>, Miss> {
        let Some(member) = self.view.member(member)? else {
            return Ok(None);
        };
        let Some(set) = self.view.set(member.set)? else {
            return Ok(None);
        };
        if let (Some(renaming), Side::OnPremise) = (&member.renaming, side)
            && let Some(own) = self.copy_of(&set, &member, side)?
        {
            let name = renaming.name(member.kind, renaming.number);
            let key = self.name_rule(&set, side).key(&name);
            return Ok(Some(Some((own.parent, key))));
        }
        let place = match self.decision(&set, &member)? {
            Decision::Remove { side: from, .. } if from == side => None,
            Decision::Deliver(to) if to == side || merges(&set) => {
                let Some(desired) = self.desired(&set, &member, side)? else {
                    return Ok(None);
                };
                let key = self.name_rule(&set, side).key(&desired.projection.name);
                let folder = self.peer_folder(&set, &member, &desired, side)?;
                Some((folder.unwrap_or_default(), key))
            }
            _ => return Ok(None),
        };
        Ok(Some(place))
    }

    fn peer_folder(
        &mut self,
        set: &SyncSet,
        member: &Member,
        desired: &State,
        side: Side,
    ) -> Result<Option<NodeId>, Miss> {
        if member.direct {
            return Ok(self.copy_of(set, member, side)?.map(|copy| copy.parent));
        }
        let Some(parent) = desired.parent else {
            return Ok(None);
        };
        let Some(parent) = self.view.member(parent)? else {
            return Ok(None);
        };
        Ok(parent.nodes.get(side).clone())
    }

    /// What takes a name waits for the due delivery that frees it; a ring opens where the first of it steps aside.
    fn gate_name(
        &mut self,
        set: &SyncSet,
        member: &Member,
        side: Side,
        place: (NodeId, String),
    ) -> Result<Gate, Miss> {
        let repository = *set.repositories.get(side);
        let obstacle = Obstacle::Name(place.0.clone(), place.1.clone());
        let own = member.nodes.get(side).clone();
        let mut ring = vec![member.id];
        let mut at = place;
        while ring.len() < RING_MAX {
            let holders = self
                .view
                .holders(&(repository, at.0.clone(), at.1.clone()))?;
            let holder = holders
                .into_iter()
                .find(|node| Some(node) != own.as_ref() || ring.len() > 1);
            let Some(holder) = holder else {
                if ring.len() == 1 {
                    return Ok(Gate::Open(Lane::Change));
                }
                // The last one could go; if it waits for a folder that waits for this name, it steps aside.
                let last = ring.last().copied().unwrap_or(member.id);
                self.touch_if_waiting(last)?;
                return Ok(Gate::Wait(Hold::Name, obstacle));
            };
            if Some(&holder) == own.as_ref() {
                return Ok(self.open_ring(member.id, &ring, obstacle));
            }
            let copy = self.view.copy(&(repository, holder.clone()))?;
            let Some(held_by) = copy.and_then(|copy| copy.member) else {
                let reason = Reason::TargetFolderNameClash;
                return Ok(taken(ring.len(), obstacle, reason, &holder));
            };
            match self.wanted(held_by, side)? {
                Some(None) => {
                    // If it waits to become empty for what waits for this very name, it steps aside.
                    self.touch_if_waiting(held_by)?;
                    return Ok(Gate::Wait(Hold::Name, obstacle));
                }
                Some(Some(next)) if next != at => at = next,
                None | Some(Some(_)) => {
                    let reason = self.reason_of_clash(set, held_by)?;
                    return Ok(taken(ring.len(), obstacle, reason, &holder));
                }
            }
            if at.0.0.is_empty() {
                // It waits for a folder that is not made yet, maybe for this very one.
                self.touch_unless_aside(held_by)?;
            }
            ring.push(held_by);
        }
        Ok(Gate::Wait(Hold::Name, obstacle))
    }

    /// SPEC §9: a member of another set in the way is told apart from any other node.
    fn reason_of_clash(&mut self, set: &SyncSet, holder: MemberId) -> Result<Reason, Miss> {
        let holder = self.view.member(holder)?;
        Ok(match holder {
            Some(holder) if holder.set != set.id => Reason::TargetNodeAlreadySynced,
            _ => Reason::TargetFolderNameClash,
        })
    }

    fn open_ring(&mut self, member: MemberId, ring: &[MemberId], obstacle: Obstacle) -> Gate {
        let first = ring.iter().min().copied().unwrap_or(member);
        if first == member && !planted("ring-stays-closed") {
            return Gate::Open(Lane::Aside);
        }
        // A miss is noted in the view; the run is repeated with the row loaded.
        let _ = self.touch_unless_aside(first);
        Gate::Wait(Hold::Name, obstacle)
    }

    fn holding_member(&mut self, name: NameKey) -> Result<Option<MemberId>, Miss> {
        for node in self.view.holders(&name)? {
            if let Some(copy) = self.view.copy(&(name.0, node))? {
                return Ok(copy.member);
            }
        }
        Ok(None)
    }

    fn touch_if_waiting(&mut self, id: MemberId) -> Result<(), Miss> {
        let member = self.view.member(id)?;
        if member.is_some_and(|member| member.due.is_none()) {
            self.touch(id);
        }
        Ok(())
    }

    fn touch_unless_aside(&mut self, id: MemberId) -> Result<(), Miss> {
        let member = self.view.member(id)?;
        if member.is_some_and(|member| member.due.is_none_or(|due| due.lane != Lane::Aside)) {
            self.touch(id);
        }
        Ok(())
    }

    /// A node that is to move into a folder which takes its own name first: `a` becomes `a/a`. It steps aside.
    fn stands_in_the_way(
        &mut self,
        set: &SyncSet,
        own: Option<&Copy>,
        folder: MemberId,
        side: Side,
    ) -> Result<bool, Miss> {
        let Some(own) = own else { return Ok(false) };
        let name = Obstacle::Name(own.parent.clone(), own.name_key.clone());
        let mut at = folder;
        for _ in 0..RING_MAX {
            let Some(waiting) = self.view.member(at)?.filter(|member| member.set == set.id) else {
                return Ok(false);
            };
            match waiting.blocked {
                Some((on, obstacle)) if on == side && obstacle == name => return Ok(true),
                Some((on, Obstacle::Folder(next))) if on == side && next != at => at = next,
                Some((on, Obstacle::Name(folder, key))) if on == side => {
                    match self.holding_member((own.repository, folder, key))? {
                        Some(next) if next != at => at = next,
                        _ => return Ok(false),
                    }
                }
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    /// A folder that is removed once it is empty, and holds what is to take its name, or to move into a folder that waits
    /// for it: `a` was replaced by another `a`, and something went from the one into the other.
    pub(super) fn is_emptied_by_name(
        &mut self,
        set: &SyncSet,
        own: &Copy,
        side: Side,
    ) -> Result<bool, Miss> {
        let name = Obstacle::Name(own.parent.clone(), own.name_key.clone());
        let mut folders = vec![own.node.clone()];
        while let Some(folder) = folders.pop() {
            for child in self.view.children(&(own.repository, folder))? {
                let Some(copy) = self.view.copy(&(own.repository, child))? else {
                    continue;
                };
                let Some(member) = copy.member else { continue };
                let blocked = self.view.member(member)?.and_then(|member| member.blocked);
                match blocked {
                    Some((on, obstacle)) if on == side && obstacle == name => return Ok(true),
                    Some((_, Obstacle::Folder(awaited))) if awaited == member => {
                        folders.push(copy.node);
                    }
                    Some((on, Obstacle::Folder(awaited)))
                        if on == side
                            && self.stands_in_the_way(set, Some(own), awaited, side)? =>
                    {
                        return Ok(true);
                    }
                    _ => {}
                }
            }
        }
        Ok(false)
    }

    /// R-MOV-5: a folder cannot move below itself; it waits for the move that frees the way, or one of both is undone.
    fn gate_tree(
        &mut self,
        set: &SyncSet,
        member: &Member,
        own: &Copy,
        (folder, side): (&NodeId, Side),
    ) -> Result<Option<Gate>, Miss> {
        let key = (own.repository, folder.clone());
        let mut chain: Vec<Copy> = self.view.copy(&key)?.into_iter().collect();
        chain.extend(self.view.ancestors(&key)?);
        let Some(end) = chain.iter().position(|copy| copy.node == own.node) else {
            return Ok(None);
        };
        chain.truncate(end);
        if planted("cycle-delivered") {
            return Ok(None);
        }
        for copy in &chain {
            let Some(above) = copy.member else { continue };
            if let Some(Some((to, _))) = self.wanted(above, side)?
                && to != copy.parent
            {
                return Ok(Some(Gate::Wait(Hold::Parent, Obstacle::Folder(above))));
            }
        }
        let loses = Some(side) == set.options.winner(ConflictKind::MoveMove);
        if loses && !planted("cycle-never-undone") {
            return Ok(Some(Gate::Undo));
        }
        self.undo_other(member, &chain, side.other())
    }

    /// The winner's move holds: the other side's move that stands against it is undone first.
    fn undo_other(
        &mut self,
        member: &Member,
        chain: &[Copy],
        winner: Side,
    ) -> Result<Option<Gate>, Miss> {
        for copy in chain {
            let Some(above) = copy.member.filter(|above| *above != member.id) else {
                continue;
            };
            let moved = self.wanted(above, winner)?;
            if moved.is_some() {
                // Settling it finds the cycle from its side, where it is the loser.
                self.touch(above);
                return Ok(Some(Gate::Wait(Hold::Parent, Obstacle::Folder(above))));
            }
        }
        let mut parent = chain.first().and_then(|copy| copy.member);
        for above in chain.iter().filter_map(|copy| copy.member) {
            let above = self.view.member(above)?;
            // Once somebody has decided about it, the way may be free.
            let open = above.filter(|above| above.open.is_some() && above.id != member.id);
            parent = open.map(|open| open.id).or(parent);
        }
        let parent = parent.unwrap_or(member.id);
        Ok(Some(Gate::Wait(Hold::Parent, Obstacle::Folder(parent))))
    }
}

/// R-REC-2, R-CON-5: where the on-premise copy of a DIRECT member is made again.
pub(super) fn home_of(set: &SyncSet, member: &Member) -> NodeId {
    let home = member.home.clone();
    home.unwrap_or_else(|| set.source_folder.clone())
}

/// The first holder stays: a clash. A later one stays: whoever waits for it fails, and this one waits for that.
fn taken(ring: usize, obstacle: Obstacle, reason: Reason, holder: &NodeId) -> Gate {
    if ring == 1 {
        let detail = format!("the name is taken by node {holder}");
        Gate::Clash(obstacle, reason, detail)
    } else {
        Gate::Wait(Hold::Name, obstacle)
    }
}
