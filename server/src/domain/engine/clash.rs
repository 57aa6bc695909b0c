//! Two unpaired nodes under one name: what the policy of their set makes of them (R-REC-9).

use super::super::copy::{Copy, CopyState};
use super::super::free_name::Renaming;
use super::super::ids::NodeId;
use super::super::journal::{Entry, JournalKind};
use super::super::member::{Hold, Lane, Member, Obstacle};
use super::super::planted::planted;
use super::super::policy::NameClashPolicy;
use super::super::projection::{NodeKind, Side, Sides};
use super::super::sync_set::{SetKind, SyncSet};
use super::super::view::Miss;
use super::gate::Gate;
use super::{Engine, VersionChange};

/// The copies of a folder, if it is known.
type Folders = Option<Sides<Option<NodeId>>>;

/// A member that has no copy on this side yet, and is to get one.
fn is_newcomer(member: &Member, side: Side) -> bool {
    member.nodes.get(side).is_none() && !member.direct && member.sibling.is_none()
}

/// A member that was never on the cloud, chosen or not: RENAME gives its on-premise copy another name.
fn may_be_renamed(member: &Member) -> bool {
    member.nodes.cloud.is_none() && member.sibling.is_none()
}

impl Engine<'_> {
    /// Whether the policy of the set settles the clash that a member meets on a side; else it fails.
    pub(super) fn settles_clash(
        &mut self,
        set: &SyncSet,
        member: &Member,
        (side, obstacle): (Side, &Obstacle),
    ) -> Result<bool, Miss> {
        let Obstacle::Name(folder, key) = obstacle else {
            return Ok(false);
        };
        let policy = set.options.name_clash_policy;
        if policy == NameClashPolicy::Fail || planted("clash-policy-ignored") {
            return Ok(false);
        }
        let name = (*set.repositories.get(side), folder.clone(), key.clone());
        for node in self.view.holders(&name)? {
            let Some(holder) = self.view.copy(&(name.0, node))? else {
                continue;
            };
            return match policy {
                NameClashPolicy::Fail => Ok(false),
                NameClashPolicy::AdoptIdentical => self.adopt(set, member, side, &holder),
                NameClashPolicy::Rename => self.make_room(set, member, (side, obstacle), &holder),
            };
        }
        Ok(false)
    }

    /// The receiver met a name that is taken: if it is known by whom, the policy may settle it at once.
    pub(super) fn look_at_holder(
        &mut self,
        set: &SyncSet,
        member: &Member,
        side: Side,
        obstacle: Option<&Obstacle>,
    ) -> Result<(), Miss> {
        let Some(Obstacle::Name(folder, key)) = obstacle else {
            return Ok(());
        };
        if set.options.name_clash_policy == NameClashPolicy::Fail {
            return Ok(());
        }
        let name = (*set.repositories.get(side), folder.clone(), key.clone());
        if !self.view.holders(&name)?.is_empty() {
            self.touch(member.id);
        }
        Ok(())
    }

    /// ADOPT_IDENTICAL: the node that has the name is the missing copy, if it is equal and in no pair.
    fn adopt(
        &mut self,
        set: &SyncSet,
        member: &Member,
        side: Side,
        holder: &Copy,
    ) -> Result<bool, Miss> {
        let Some(own) = self.copy_of(set, member, side.other())? else {
            return Ok(false);
        };
        let both = [&own, holder].map(|copy| &copy.projection);
        let alike = both[0].kind == both[1].kind
            && (both[0].kind == NodeKind::Folder
                || both[0].content == both[1].content
                    && self
                        .comparison(set)
                        .equal_properties(&both[0].properties, &both[1].properties));
        let alike = alike || planted("anything-adopted");
        if !alike || !is_newcomer(member, side) {
            return Ok(false);
        }
        let other = match holder.member {
            None if holder.state != CopyState::Left => return Ok(false),
            None => None,
            Some(other) => {
                let other = self.view.member(other)?;
                let fits = |other: &Member| other.set == set.id && is_newcomer(other, side.other());
                match other.filter(fits) {
                    None => return Ok(false),
                    other => other,
                }
            }
        };
        // The member with the on-premise copy stays, so that the result is the same whichever is looked at first.
        match (other, side) {
            (Some(other), Side::OnPremise) => {
                self.pair(set, other, (&own, Side::Cloud), Some(member))
            }
            (other, _) => self.pair(set, member.clone(), (holder, side), other.as_ref()),
        }?;
        Ok(true)
    }

    /// Makes a node the missing copy of a member; the member that it had is no more.
    fn pair(
        &mut self,
        set: &SyncSet,
        mut member: Member,
        (copy, side): (&Copy, Side),
        former: Option<&Member>,
    ) -> Result<(), Miss> {
        let mut row = copy.clone();
        row.member = Some(member.id);
        row.state = CopyState::Live;
        *member.nodes.get_mut(side) = Some(copy.node.clone());
        member.base = None;
        member.made = None;
        member.renaming = None;
        if copy.state == CopyState::Left && Self::is_folder(&member) {
            self.forget_left_below(&(copy.repository, copy.node.clone()))?;
            self.list_again(set, side, &copy.parent)?;
        }
        if let Some(former) = former {
            self.give_way(set, former, side)?;
        }
        self.new_version(&row, member.id, side);
        self.put_copy_and_wake(Some(copy), row, set)?;
        for on in Side::BOTH {
            self.wake(set, on, Obstacle::Folder(member.id))?;
        }
        if Self::is_folder(&member) {
            self.settle_inside(copy)?;
        }
        let id = member.id;
        self.view.put_member(set, member);
        self.touch(id);
        Ok(())
    }

    /// What is on its way into a folder may name the member that the folder had; its answer is one to an older version.
    fn settle_inside(&mut self, folder: &Copy) -> Result<(), Miss> {
        let key = (folder.repository, folder.node.clone());
        for child in self.view.children(&key)? {
            if let Some(member) = self
                .view
                .copy(&(key.0, child))?
                .and_then(|copy| copy.member)
            {
                self.touch(member);
            }
        }
        Ok(())
    }

    /// A member ends because its only copy is another one's now.
    fn give_way(&mut self, set: &SyncSet, former: &Member, side: Side) -> Result<(), Miss> {
        self.uncount_removal(set, former);
        self.effects.versions.push(VersionChange {
            member: former.id,
            side,
            repository: *set.repositories.get(side),
            content: None,
        });
        let node_name = self.name_of(set, former)?;
        self.journal(Entry {
            kind: JournalKind::Left,
            set: Some(set.id),
            member: Some(former.id),
            side: Some(side),
            actor: String::new(),
            node_name,
            message: "paired with the equal node of the other side".to_owned(),
        });
        for on in Side::BOTH {
            self.wake(set, on, Obstacle::Folder(former.id))?;
        }
        self.view.remove_member(set, former.id);
        Ok(())
    }

    /// RENAME: the on-premise newcomer, whichever of both that is, gets a free name; who wants the one it has waits.
    fn make_room(
        &mut self,
        set: &SyncSet,
        member: &Member,
        (side, obstacle): (Side, &Obstacle),
        holder: &Copy,
    ) -> Result<bool, Miss> {
        let newcomer = match (side, holder.member) {
            (Side::Cloud, _) => Some(member.clone()),
            (Side::OnPremise, Some(holder)) => self.view.member(holder)?,
            (Side::OnPremise, None) => None,
        };
        let fits = |newcomer: &Member| newcomer.set == set.id && may_be_renamed(newcomer);
        let Some(newcomer) = newcomer.filter(fits) else {
            return Ok(false);
        };
        if !self.begin_renaming(set, newcomer)? {
            return Ok(false);
        }
        if side == Side::OnPremise {
            let waits = Gate::Wait(Hold::Name, obstacle.clone());
            self.owe(set, member.clone(), side, waits)?;
        }
        Ok(true)
    }

    fn begin_renaming(&mut self, set: &SyncSet, mut newcomer: Member) -> Result<bool, Miss> {
        let own = self.copy_of(set, &newcomer, Side::OnPremise)?;
        let Some(own) = own.filter(|own| own.state == CopyState::Live) else {
            return Ok(false);
        };
        if newcomer.renaming.is_none() {
            let from = own.projection.name.clone();
            newcomer.renaming = Some(Renaming { from, number: 1 });
            let id = newcomer.id;
            self.view.put_member(set, newcomer);
            self.touch(id);
        }
        Ok(true)
    }

    /// RENAME: the first push of a chosen node met a name that is taken in the target folder, of which nothing else is
    /// known.
    pub(super) fn renames_chosen(
        &mut self,
        set: &SyncSet,
        member: &Member,
        side: Side,
    ) -> Result<bool, Miss> {
        let policy = set.options.name_clash_policy;
        let asked = policy == NameClashPolicy::Rename && !planted("clash-policy-ignored");
        if !asked || side == Side::OnPremise || !member.direct || !may_be_renamed(member) {
            return Ok(false);
        }
        self.begin_renaming(set, member.clone())
    }

    /// The folders in which a newcomer's new name has to be free.
    fn folders_of(&mut self, set: &SyncSet, own: &Copy) -> Result<Folders, Miss> {
        let chosen = own.member == Some(set.root) || set.kind == SetKind::Documents;
        if chosen {
            return Ok(Some(Sides {
                on_premise: Some(own.parent.clone()),
                cloud: Some(set.target.clone()),
            }));
        }
        let folder = match self.parent_member(own)? {
            Some(folder) => self.view.member(folder)?,
            None => None,
        };
        Ok(folder.map(|folder| folder.nodes))
    }

    /// A newcomer is renamed before it is made on the cloud, unless that is not needed any more.
    pub(super) fn renames(&mut self, set: &SyncSet, member: &mut Member) -> Result<bool, Miss> {
        let Some(mut renaming) = member.renaming.take() else {
            return Ok(false);
        };
        let own = self.copy_of(set, member, Side::OnPremise)?;
        let due = |own: &Copy| own.state == CopyState::Live && own.projection.name == renaming.from;
        let waits = may_be_renamed(member) && member.deleting.is_none();
        let Some(own) = own.filter(|own| waits && due(own)) else {
            return Ok(false);
        };
        let Some(folders) = self.folders_of(set, &own)? else {
            return Ok(false);
        };
        let named = |number| renaming.name(member.kind, number);
        renaming.number = self.first_free(set, &folders, renaming.number, named)?;
        member.renaming = Some(renaming);
        self.owe(
            set,
            member.clone(),
            Side::OnPremise,
            Gate::Open(Lane::Aside),
        )?;
        Ok(true)
    }
}
