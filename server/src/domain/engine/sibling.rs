//! A loser of content that becomes a node of its own (R-CON-3, KEEP_BOTH).
//!
//! It is a member without copies that knows how it is to look. It is made on-premise under the first free name, and
//! from there on it is an ordinary newcomer; in a set of documents, which takes no more members (R-SET-1), its membership
//! ends as soon as it is made.

use super::super::free_name::Sibling;
use super::super::ids::{MemberId, NodeId, RepositoryId};
use super::super::journal::{Entry, JournalKind};
use super::super::member::Member;
use super::super::planted::planted;
use super::super::policy::ConflictPolicy;
use super::super::projection::{NodeKind, Side, Sides, State};
use super::super::report::{Observation, Seen};
use super::super::sync_set::SyncSet;
use super::super::view::Miss;
use super::gate::home_of;
use super::observe::Place;
use super::{Engine, VersionChange};

/// Numbers that are tried in one run before the rows of their names are loaded.
const NUMBERS_ASKED: u32 = 16;

impl Engine<'_> {
    /// What lost content that its side had changed gets a sibling, where the loser lies.
    pub(super) fn keep_both(
        &mut self,
        set: &SyncSet,
        member: &Member,
        base: Option<&State>,
        (lost, won): (&State, &State),
    ) -> Result<(), Miss> {
        let content = |state: &State| state.projection.content.map(|content| content.digest);
        let changed = base.is_none_or(|base| content(base) != content(lost));
        let loses = changed && content(lost).is_some() && content(lost) != content(won);
        let merged =
            super::situation::merges(set) && base.is_some_and(|base| content(base) == content(won));
        let keeps = set.options.conflict_policy == ConflictPolicy::KeepBoth;
        if keeps && loses && !merged && !planted("loser-becomes-no-sibling") {
            let own = self.copy_of(set, member, Side::OnPremise)?;
            let home = own.filter(|_| member.direct).map(|own| own.parent);
            self.make_sibling(set, lost.clone(), home);
        }
        Ok(())
    }

    /// `home`: the folder, where that is no member's.
    pub(super) fn make_sibling(&mut self, set: &SyncSet, state: State, home: Option<NodeId>) {
        let id = MemberId((self.new_id)());
        self.view.enter(id);
        let mut member = Member::new(id, set.id, NodeKind::Document, home.is_some());
        member.home = home;
        self.effects.versions.push(VersionChange {
            member: id,
            side: Side::OnPremise,
            repository: set.repositories.on_premise,
            content: state.projection.content,
        });
        self.journal(Entry {
            kind: JournalKind::Entered,
            set: Some(set.id),
            member: Some(id),
            side: Some(Side::OnPremise),
            actor: String::new(),
            node_name: state.projection.name.clone(),
            message: "it lost a conflict, and is kept as a node of its own".to_owned(),
        });
        member.sibling = Some(Sibling { state, number: 1 });
        self.view.put_member(set, member);
        self.touch(id);
    }

    /// Where the loser lay; where that is no folder of the set any more, the synced folder itself.
    fn sibling_folder(&mut self, set: &SyncSet, sibling: &Sibling) -> Result<Option<Member>, Miss> {
        for folder in sibling.state.parent.into_iter().chain([set.root]) {
            let folder = self.view.member(folder)?;
            if let Some(folder) = folder.filter(|folder| folder.set == set.id) {
                return Ok(Some(folder));
            }
        }
        Ok(None)
    }

    /// Makes it, under the first free name.
    pub(super) fn settle_sibling(
        &mut self,
        set: &SyncSet,
        mut member: Member,
        mut sibling: Sibling,
    ) -> Result<(), Miss> {
        let folders = if member.direct {
            beside(home_of(set, &member))
        } else {
            let Some(folder) = self.sibling_folder(set, &sibling)? else {
                return self.end(set, member);
            };
            sibling.state.parent = Some(folder.id);
            folder.nodes
        };
        let named = |number| sibling.named(number).projection.name.clone();
        let number = self.first_free(set, &folders, sibling.number, named)?;
        sibling.number = number;
        member.sibling = Some(sibling);
        let gate = self.gate_change(set, &member, Side::OnPremise)?;
        self.owe(set, member, Side::OnPremise, gate)
    }

    /// It was made beside a chosen document, and is synced no further; but where it lies in a synced folder of another set
    /// it is a newcomer there (R-MEM-1).
    pub(super) fn leave_sibling(
        &mut self,
        repository: RepositoryId,
        set: &SyncSet,
        member: Member,
        (made, at): (&Observation, (usize, usize)),
    ) -> Result<(), Miss> {
        self.end_saying(set, member, "it is kept on-premise, and not synced")?;
        let Seen::Present(presence) = &made.seen else {
            return Ok(());
        };
        let Place::Inside(..) = self.place(repository, &presence.parent)? else {
            return Ok(());
        };
        let key = (repository, made.node.clone());
        if self.view.copy(&key)?.is_some() {
            return Ok(());
        }
        self.seen_new(&key, None, presence, at).map(|_| ())
    }

    /// The first number, from this one on, whose name nobody is known to have in either copy of a folder.
    pub(super) fn first_free(
        &mut self,
        set: &SyncSet,
        folders: &Sides<Option<NodeId>>,
        from: u32,
        named: impl Fn(u32) -> String,
    ) -> Result<u32, Miss> {
        let mut missed = 0;
        for number in from..u32::MAX {
            match self.is_free(set, folders, &named(number)) {
                Ok(true) if missed == 0 => return Ok(number),
                Ok(_) => {}
                Err(Miss) => missed += 1,
            }
            if missed >= NUMBERS_ASKED {
                break;
            }
        }
        Err(Miss)
    }

    fn is_free(
        &mut self,
        set: &SyncSet,
        folders: &Sides<Option<NodeId>>,
        name: &str,
    ) -> Result<bool, Miss> {
        let mut free = Ok(true);
        for side in Side::BOTH {
            let Some(node) = folders.get(side).clone() else {
                continue;
            };
            let key = self.name_rule(set, side).key(name);
            match self.view.holders(&(*set.repositories.get(side), node, key)) {
                Ok(holders) => free = free.map(|free| free && holders.is_empty()),
                Err(Miss) => free = Err(Miss),
            }
        }
        free
    }
}

/// An on-premise folder alone.
fn beside(folder: NodeId) -> Sides<Option<NodeId>> {
    Sides {
        on_premise: Some(folder),
        cloud: None,
    }
}
