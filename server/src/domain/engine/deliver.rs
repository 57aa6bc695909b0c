//! Puts deliveries together from the rows, at the moment they are sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::super::copy::{Copy, CopyState};
use super::super::delivery::{Action, Delivery, FolderRef};
use super::super::free_name::{aside_name, is_aside_name};
use super::super::ids::MemberId;
use super::super::member::{Due, Lane, Member};
use super::super::planted::planted;
use super::super::projection::{Projection, Side, State};
use super::super::repository::Repository;
use super::super::sync_set::SyncSet;
use super::super::view::{Loaded, Miss, Need};
use super::gate::home_of;
use super::settle::restoring_side;
use super::{Context, Engine};

/// What is due for these members on a side; members for which nothing is (any more) are left out.
///
/// When needs come back, load them and ask again.
#[must_use]
pub fn deliveries(
    loaded: &Loaded,
    side: Side,
    members: &[MemberId],
) -> (Vec<Delivery>, BTreeSet<Need>) {
    let context = Context::default();
    let mut no_ids = Uuid::nil;
    let mut engine = Engine::new(loaded, &context, &mut no_ids);
    let found = members
        .iter()
        .filter_map(|member| engine.delivery(*member, side).ok().flatten());
    (found.collect(), engine.view.finish().needs)
}

impl Engine<'_> {
    fn delivery(&mut self, id: MemberId, side: Side) -> Result<Option<Delivery>, Miss> {
        let Some(member) = self.view.member(id)? else {
            return Ok(None);
        };
        let Some(due) = member.due.filter(|due| due.side == side) else {
            return Ok(None);
        };
        let Some(set) = self.view.set(member.set)? else {
            return Ok(None);
        };
        let ends = matches!(due.lane, Lane::Release | Lane::Clearing);
        if set.holds_back(&member, due.lane) || set.ending && !ends {
            return Ok(None);
        }
        let copy = self.copy_of(&set, &member, side)?;
        if due.lane == Lane::Release {
            let locked = copy.filter(|copy| copy.locked);
            let release = locked.map(|copy| Action::Release { node: copy.node });
            return Ok(release.map(|action| envelope(&set, &member, (due.side, action), None)));
        }
        let own = copy.filter(Copy::is_there);
        let action = match (due.lane, own) {
            (Lane::Change | Lane::LastPull | Lane::Aside, own) => {
                return self.change(&set, member, due, own);
            }
            (Lane::Removal | Lane::ChosenRemoval | Lane::Clearing, Some(own)) => Action::Delete {
                node: own.node,
                expected_revision: own.revision,
                // A folder that is no member: what lies in it is not known one by one.
                with_content: due.lane == Lane::Clearing && own.state != CopyState::Live,
            },
            (Lane::Release, _) | (_, None) => return Ok(None),
        };
        Ok(Some(envelope(&set, &member, (due.side, action), None)))
    }

    fn change(
        &mut self,
        set: &SyncSet,
        member: Member,
        due: Due,
        own: Option<Copy>,
    ) -> Result<Option<Delivery>, Miss> {
        let desired = match (self.desired(set, &member, due.side)?, &own) {
            (Some(desired), _) => desired,
            // What steps aside before it is removed has nothing to become equal to.
            (None, Some(own)) if due.lane == Lane::Aside => self.state_of(&member, own)?,
            (None, _) => return Ok(None),
        };
        let steps_back = due.lane == Lane::Aside && member.renaming.is_none();
        let projection = match own
            .as_ref()
            .filter(|own| steps_back && is_aside_name(member.id, &own.projection.name))
        {
            Some(own) => {
                let side = (due.side, own);
                self.renamed_back(set, &member, side, &desired)?.projection
            }
            None => wanted_projection(set, &member, due, own.as_ref(), &desired),
        };
        // What is made beside a chosen document is no member any more once it is there.
        let stays = !member.direct || member.sibling.is_none();
        let locked = due.side == Side::OnPremise && set.options.lock_on_premise_copy && stays;
        let content = projection.content.filter(|content| {
            own.as_ref().and_then(|own| own.projection.content) != Some(*content)
        });
        let action = match own {
            None => {
                let Some(folder) = self.folder_ref(set, &member, &desired, due.side)? else {
                    return Ok(None);
                };
                let receiver = self.view.repository(*set.repositories.get(due.side));
                Action::Create {
                    folder,
                    projection: typed(projection, receiver),
                    locked,
                }
            }
            Some(own) => {
                let stays = member.direct || due.lane == Lane::Aside || member.restoring.is_some();
                let folder = match stays {
                    true => None,
                    false => self
                        .folder_ref(set, &member, &desired, due.side)?
                        .filter(|folder| *folder != FolderRef::Node(own.parent.clone())),
                };
                let (node, expected_revision) = (own.node, own.revision);
                Action::Update {
                    node,
                    expected_revision,
                    projection: typed(projection, None),
                    folder,
                    locked,
                }
            }
        };
        Ok(Some(envelope(set, &member, (due.side, action), content)))
    }

    /// The folder of a copy on a side. R-MEM-3: a synced folder is made in the target folder. R-MOV-2: a moved node goes
    /// with all that is in it. R-MOV-6: the folder may still be on its way to be made.
    fn folder_ref(
        &mut self,
        set: &SyncSet,
        member: &Member,
        desired: &State,
        side: Side,
    ) -> Result<Option<FolderRef>, Miss> {
        if member.direct {
            let node = match side {
                Side::Cloud => set.target.clone(),
                Side::OnPremise => home_of(set, member),
            };
            return Ok(Some(FolderRef::Node(node)));
        }
        let Some(parent) = desired.parent else {
            return Ok(None);
        };
        let Some(parent) = self.view.member(parent)? else {
            return Ok(None);
        };
        // A folder that is gone is named too: the agent says so, and it is decided again.
        Ok(Some(match parent.nodes.get(side).clone() {
            Some(node) => FolderRef::Node(node),
            None => FolderRef::Made(parent.id),
        }))
    }
}

/// How the copy is to look: as decided, or under another name for a moment, or with older content.
fn wanted_projection(
    set: &SyncSet,
    member: &Member,
    due: Due,
    own: Option<&Copy>,
    desired: &State,
) -> Arc<Projection> {
    if let (Some(content), Some(own)) = (member.restoring, own)
        && due.side == restoring_side(set)
    {
        let mut projection = (*own.projection).clone();
        projection.content = Some(content);
        return Arc::new(projection);
    }
    if let (Lane::Aside, Some(own)) = (due.lane, own) {
        let mut projection = (*own.projection).clone();
        projection.name = match (&member.renaming, due.side) {
            (Some(renaming), Side::OnPremise) => renaming.name(member.kind, renaming.number),
            _ => aside_name(member.id),
        };
        return Arc::new(projection);
    }
    desired.projection.clone()
}

/// R-PRJ-3: a type is sent at creation, to who knows it. Anybody else makes a node of the base type.
fn typed(projection: Arc<Projection>, receiver: Option<&Repository>) -> Arc<Projection> {
    let name = &projection.node_type;
    if name.is_empty()
        || planted("type-sent-to-anybody")
        || receiver.is_some_and(|receiver| receiver.node_types.contains(name))
    {
        return projection;
    }
    let mut base = (*projection).clone();
    base.node_type.clear();
    Arc::new(base)
}

fn envelope(
    set: &SyncSet,
    member: &Member,
    (side, action): (Side, Action),
    content: Option<super::super::projection::ContentRef>,
) -> Delivery {
    Delivery {
        member: member.id,
        version: member.version,
        action,
        content,
        conflict: member.conflict,
        act_as: set.act_as(side).to_owned(),
        owner: set.owner.clone(),
    }
}
