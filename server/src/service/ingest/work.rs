//! Runs the engine on rows, loading what it asks for until it asks for no more.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::domain::engine::{self, Context, Effects, Input};
use crate::domain::ids::{NetworkId, NodeId, RepositoryId};
use crate::domain::limits::ENGINE_ROUNDS_MAX;
use crate::domain::projection::NodeKind;
use crate::domain::report::{Item, Observation, Seen};
use crate::domain::view::{Loaded, Need};
use crate::service::Error;
use crate::storage::Tx;
use crate::storage::sync::{generations, load};

/// The rows that are loaded so far, and what the engine made of them.
pub(super) struct Worked {
    pub(super) loaded: Loaded,
    pub(super) effects: Effects,
    /// A new generation is listed: this may have been the last that it waited for.
    pub(super) rescans: bool,
}

/// Runs inputs; the effects are not written yet.
///
/// # Errors
/// Whatever the database answers; an engine that never has enough is a fault of ours.
pub(super) async fn work(
    tx: &Tx,
    network: NetworkId,
    inputs: &[Input],
    now: i64,
) -> Result<Worked, Error> {
    let mut loaded = load::repositories(&**tx, network).await?;
    let rescanning = generations::rescanning_in(&**tx, network).await?;
    let context = Context { now, rescanning };
    load::load(&**tx, &mut loaded, foreseen(inputs)).await?;
    let newcomers = foreseen_of_newcomers(&loaded, inputs);
    load::load(&**tx, &mut loaded, newcomers).await?;
    for _ in 0..ENGINE_ROUNDS_MAX {
        let effects = engine::run(&loaded, &context, inputs, &mut Uuid::now_v7);
        if effects.changes.needs.is_empty() {
            let rescans = !context.rescanning.is_empty();
            return Ok(Worked {
                loaded,
                effects,
                rescans,
            });
        }
        load::load(&**tx, &mut loaded, effects.changes.needs).await?;
    }
    Err(Error::Internal {
        detail: "a decision needed too many rows".to_owned(),
    })
}

/// What batches ask for in any case: the nodes they name, and the folders of those.
fn foreseen(inputs: &[Input]) -> BTreeSet<Need> {
    let mut needs = BTreeSet::new();
    for input in inputs {
        match input {
            Input::Batch(repository, items) => {
                items
                    .iter()
                    .for_each(|item| foresee(&mut needs, *repository, item));
            }
            Input::Walk(walk, nodes, _) => {
                needs.extend(
                    nodes
                        .iter()
                        .map(|node| Need::Copy((walk.repository, node.clone()))),
                );
                needs.insert(Need::Set(walk.set));
            }
            Input::MissingInGeneration(repository, nodes) => {
                needs.extend(
                    nodes
                        .iter()
                        .map(|node| Need::Copy((*repository, node.clone()))),
                );
            }
            Input::Request(_) => {}
        }
    }
    needs
}

fn foresee(needs: &mut BTreeSet<Need>, repository: RepositoryId, item: &Item) {
    let mut node = |observation: &Observation| {
        needs.insert(Need::Copy((repository, observation.node.clone())));
        if let Seen::Present(presence) = &observation.seen {
            needs.insert(Need::Copy((repository, presence.parent.clone())));
            needs.extend(presence.mark.map(Need::Member));
        }
    };
    item.observations().for_each(&mut node);
    match item {
        Item::Outcome { member, .. } | Item::CauseChanged(member) => {
            needs.insert(Need::Member(*member));
        }
        Item::Observed(_) | Item::ScanPage(_) | Item::ScanEnd(..) => {}
    }
}

fn is_folder(observation: &Observation) -> bool {
    matches!(&observation.seen, Seen::Present(presence) if presence.projection.kind == NodeKind::Folder)
}

/// Who has the names on the other side that new nodes are going to get there, and what is known below new folders.
fn foreseen_of_newcomers(loaded: &Loaded, inputs: &[Input]) -> BTreeSet<Need> {
    let mut needs = BTreeSet::new();
    for input in inputs {
        let Input::Batch(repository, items) = input else {
            continue;
        };
        let seen: Vec<&Observation> = items.iter().flat_map(Item::observations).collect();
        let folders = seen.iter().filter(|seen| is_folder(seen));
        let new = folders
            .map(|seen| (*repository, seen.node.clone()))
            .filter(|key| matches!(loaded.copies.get(key), Some(None)));
        needs.extend(new.map(Need::Children));
        let names = seen.into_iter();
        needs.extend(names.filter_map(|seen| foreseen_name(loaded, *repository, seen)));
    }
    needs
}

fn foreseen_name(loaded: &Loaded, repository: RepositoryId, seen: &Observation) -> Option<Need> {
    let Seen::Present(presence) = &seen.seen else {
        return None;
    };
    let copy = |node: &NodeId| loaded.copies.get(&(repository, node.clone()))?.as_ref();
    if copy(&seen.node).is_some() {
        return None;
    }
    let parent = copy(&presence.parent)?.member?;
    let parent = loaded.members.get(&parent)?.as_ref()?;
    let set = loaded.sets.get(&parent.set)?.as_ref()?;
    let other = loaded.repositories.get(&repository)?.side.other();
    let there = *set.repositories.get(other);
    let folder = parent.nodes.get(other).clone()?;
    let rule = loaded.repositories.get(&there)?.name_rule;
    let name = rule.key(&presence.projection.name);
    Some(Need::Holders((there, folder, name)))
}
