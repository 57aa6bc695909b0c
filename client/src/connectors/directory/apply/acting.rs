//! Acting as the person whom a delivery names, where the directory has users (R-IDN-1).

use std::collections::HashMap;

use tandem_proto::v1::{Delivery, FailureReason, UpdateNode, delivery::Action};
use uuid::Uuid;

use super::{
    super::{
        os,
        users::{Identity, Rights},
    },
    Answer, Group, Item, fail,
    stage::Temp,
};

/// Who everybody is that a group of deliveries names, or why they are nobody here.
pub(super) type Acting = HashMap<String, Result<Identity, String>>;

/// What a person has to be allowed.
#[derive(Debug, Clone, Copy)]
enum Needed {
    Write,
    Delete,
}

impl Needed {
    const fn is_in(self, rights: Rights) -> bool {
        match self {
            Self::Write => rights.write,
            Self::Delete => rights.delete,
        }
    }
}

impl Group<'_> {
    /// Asks the system once who everybody is.
    pub(super) fn ask_who_acts(&mut self, items: &[Item]) {
        let Some(users) = &self.core.options.users else {
            return;
        };
        for Item { delivery, .. } in items {
            let person = &delivery.act_as;
            if !self.acting.contains_key(person) {
                self.acting.insert(person.clone(), users.identity(person));
            }
        }
    }

    /// Gives something just made to the person for whom it is; where the agent may not, it stays its own.
    pub(super) fn give(&self, delivery: &Delivery, mut temp: Temp) -> Temp {
        let Some(Ok(who)) = self.acting.get(&delivery.act_as) else {
            return temp;
        };
        let given = os::open_at(&self.work, &temp.name).and_then(|file| {
            os::set_owner(&file, who.user, who.groups.first().copied())?;
            os::stat(&file)
        });
        match given {
            Ok(stat) => temp.stat = stat,
            Err(error) => tracing::debug!(%error, user = who.name, "a copy stays the agent's own"),
        }
        temp
    }

    /// Why a delivery may not be applied as the person that it names; ending a membership needs nobody's leave.
    pub(super) fn check_person(&self, delivery: &Delivery) -> Result<(), Answer> {
        if self.core.options.users.is_none() {
            return Ok(());
        }
        let state = self.core.state();
        let id = |text: &str| Uuid::try_parse(text).ok();
        let needed: Vec<(Option<Uuid>, Needed)> = match &delivery.action {
            Some(Action::Create(create)) => {
                let folder = self.intended(&state.tree, create.parent.as_ref());
                vec![(folder, Needed::Write)]
            }
            Some(Action::Update(update)) => self.needed_for(&state.tree, update),
            Some(Action::Delete(delete)) => vec![(id(&delete.node_id), Needed::Delete)],
            Some(Action::Release(_)) | None => return Ok(()),
        };
        let person = &delivery.act_as;
        let who = match self.acting.get(person) {
            Some(Ok(who)) => who,
            Some(Err(why)) => return Err(fail(FailureReason::OwnerNotFound, why)),
            None => return Err(fail(FailureReason::OwnerNotFound, &"nobody is named")),
        };
        for (node, needed) in needed {
            // Whatever is not there is answered as that.
            let Some(node) = node.and_then(|id| state.tree.live(&id)) else {
                continue;
            };
            if !needed.is_in(self.core.rights_of(&state.tree, node, who, true)) {
                let text = format!(
                    "{person} (on this system: {}) may not do this to {:?}; let them write there, or transfer the set",
                    who.name, node.name,
                );
                return Err(fail(FailureReason::SourceNodeAccessDenied, &text));
            }
        }
        Ok(())
    }

    /// New content is written, another name or place is a deletion here and a creation there.
    fn needed_for(&self, tree: &super::Tree, update: &UpdateNode) -> Vec<(Option<Uuid>, Needed)> {
        let node = Uuid::try_parse(&update.node_id).ok();
        let mut needed: Vec<(Option<Uuid>, Needed)> = vec![(node, Needed::Write)];
        let name = update
            .projection
            .as_ref()
            .map(|projection| &*projection.name);
        let known = node.and_then(|id| tree.live(&id));
        let renamed = known.is_some_and(|node| name.is_some_and(|name| name != &*node.name));
        if renamed || update.parent.is_some() {
            needed.push((node, Needed::Delete));
        }
        if update.parent.is_some() {
            let folder = self.intended(tree, update.parent.as_ref());
            needed.push((folder, Needed::Write));
        }
        needed
    }
}
