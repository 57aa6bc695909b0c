//! Applying deliveries: all of a group is prepared out of sight, marked, made visible in order, and made durable.
//!
//! - New bytes go to the work folder.
//! - Marks of new nodes and intents of replacements become durable in the index, and the bytes on disk.
//! - One by one, in order, under the lock: look again, rename into place, look at what came out.
//! - Folders become durable, then the index.
//!
//! A crash between any two steps leaves what [`intent::recover`] and the walk at the next start complete or clean up
//! (R-AGT-6).

mod acting;
mod answer;
mod create;
mod delete;
pub(super) mod intent;
mod receive;
mod restore;
mod stage;
mod update;

use std::{collections::HashMap, io, os::fd::OwnedFd, sync::MutexGuard};

use tandem_proto::v1::{
    Delivery, FailureReason, Outcome, Place as Target, delivery::Action, place::Folder,
};
use uuid::Uuid;

use self::{
    acting::Acting,
    answer::{Answer, fail, from_io},
    intent::Intent,
    stage::Staged,
};
pub(super) use self::{
    create::WRITE_BITS,
    receive::stage_large,
    stage::{Item, Source},
};
use super::{
    core::{Core, Fresh, State},
    durability::Flush,
    faults::Point,
    index,
    node::{Node, Print},
    os,
    pending::Place,
    tree::Tree,
    versions::{self, Version},
};

/// So often a node is looked at, a settling time apart, before it counts as being written for ever.
const TRIES: usize = 40;

/// Deliveries that are applied together.
#[derive(Debug)]
struct Group<'a> {
    core: &'a Core,
    work: OwnedFd,
    flush: Flush,
    versions: Vec<Version>,
    intents: Vec<Intent>,
    /// Copies are locked: the modes that they had before are known to the index alone.
    locks: bool,
    /// Nodes that this group makes, by member; they may be named as parents.
    made: HashMap<[u8; 16], Uuid>,
    /// Who everybody is, where the directory has users.
    acting: Acting,
}

impl Core {
    /// Applies deliveries in order and makes them durable; blocks.
    pub(super) fn apply(&self, items: Vec<Item>) -> Vec<Outcome> {
        let deliveries: Vec<Delivery> = items.iter().map(|item| item.delivery.clone()).collect();
        let failed = |answer: Answer| {
            let answers = deliveries.iter().map(|_| answer.clone());
            answer::outcomes(&deliveries, answers.collect())
        };
        if let Err(error) = self.ensure_root() {
            return failed(fail(FailureReason::Unreachable, &error));
        }
        let mut group = match Group::new(self) {
            Ok(group) => group,
            Err(error) => return failed(answer::of_all(&error)),
        };
        let answers = group.run(items);
        drop(group);
        self.disk.tidy();
        self.versions.sweep(self);
        match answers {
            Ok(answers) => answer::outcomes(&deliveries, answers),
            Err(error) => failed(answer::of_all(&error)),
        }
    }
}

impl<'a> Group<'a> {
    fn new(core: &'a Core) -> io::Result<Self> {
        Ok(Self {
            core,
            work: core.disk.work()?,
            flush: Flush::default(),
            versions: Vec::new(),
            intents: Vec::new(),
            locks: false,
            made: HashMap::new(),
            acting: Acting::new(),
        })
    }
}

impl<'a> Group<'a> {
    fn run(&mut self, items: Vec<Item>) -> io::Result<Vec<Answer>> {
        self.ask_who_acts(&items);
        let staged = self.stage(items);
        self.core.faults.at(Point::Prepared)?;
        self.mark(&staged)?;
        self.core.faults.at(Point::Marked)?;
        tandem_crash::at("K6");
        let mut answers = Vec::with_capacity(staged.len());
        for staged in staged {
            let temp = staged.temp.as_ref().map(|temp| temp.name.clone());
            answers.push(self.one(staged));
            tandem_crash::at("K7");
            self.discard(temp.as_deref());
        }
        self.core.faults.at(Point::Done)?;
        self.flush.run(&self.core.disk, &self.core.versions)?;
        self.conclude()?;
        Ok(answers)
    }

    /// Marks and intents first, so that whatever becomes visible is known to be ours.
    fn mark(&mut self, staged: &[Staged]) -> io::Result<()> {
        let nodes: Vec<Node> = staged
            .iter()
            .filter_map(|staged| staged.node.clone())
            .collect();
        let intents: Vec<Intent> = staged
            .iter()
            .filter_map(|staged| staged.intent.clone())
            .collect();
        self.intents.clone_from(&intents);
        self.locks = staged.iter().any(|staged| asks_for_lock(&staged.delivery));
        if !nodes.is_empty() || !intents.is_empty() {
            self.core.index.run(move |transaction| {
                index::save(transaction, &nodes, &[])?;
                intent::save(transaction, &intents)
            })?;
        }
        let mut flush = Flush::default();
        let temps = staged.iter().filter_map(|staged| staged.temp.as_ref());
        flush.paths = temps
            .filter(|temp| temp.known.is_some())
            .map(|temp| format!("{}/{}", super::names::WORK, temp.name))
            .collect();
        flush.run(&self.core.disk, &self.core.versions)
    }

    fn one(&mut self, staged: Staged) -> Answer {
        if let Some(failed) = staged.failed {
            if let Some(node) = staged.node {
                self.core.state().tree.remove(&node.id);
            }
            return failed;
        }
        let delivery = staged.delivery;
        let repeats = matches!(delivery.action, Some(Action::Create(_))) && staged.node.is_none();
        if !repeats && let Err(refused) = self.check_person(&delivery) {
            if let Some(node) = staged.node {
                self.core.state().tree.remove(&node.id);
            }
            return refused;
        }
        let answer = match delivery.action.clone() {
            Some(Action::Create(create)) => match staged.node {
                Some(node) => self.create(&create, node, staged.temp),
                None => self.repeated(&delivery),
            },
            Some(Action::Update(update)) => {
                self.update(&delivery, &update, staged.temp, staged.version)
            }
            Some(Action::Delete(delete)) => self.delete(&delivery, &delete, staged.version),
            Some(Action::Release(release)) => self.release(&release),
            None => Err(fail(
                FailureReason::Unknown,
                &"this agent does not know what is asked; a newer one may",
            )),
        };
        answer.unwrap_or_else(|answer| answer)
    }

    /// What was prepared and not used; mostly it was, and is no longer there.
    fn discard(&self, temp: Option<&str>) {
        let Some(temp) = temp else {
            return;
        };
        if let Err(error) = os::unlink(&self.work, temp)
            && error.kind() == io::ErrorKind::IsADirectory
        {
            drop(os::remove_folder(&self.work, temp));
        }
    }

    /// Notes what was done; the outcomes report it, so the echo of our own writes is no news. A crash of the machine that
    /// undoes the note leaves the intents, which are completed at the next start.
    fn conclude(&mut self) -> io::Result<()> {
        let mut state = self.core.state();
        let versions = std::mem::take(&mut self.versions);
        let intents = std::mem::take(&mut self.intents);
        let flush = self.locks;
        self.core.save_with(&mut state, flush, move |transaction| {
            for version in &versions {
                versions::insert(transaction, version)?;
            }
            intent::forget(transaction, &intents)
        })
    }

    /// The folder that a delivery names, whether it is there or not.
    fn intended(&self, tree: &Tree, place: Option<&Target>) -> Option<Uuid> {
        match place?.folder.as_ref()? {
            Folder::NodeId(id) => Uuid::try_parse(id).ok(),
            Folder::MemberId(member) => {
                let member = <[u8; 16]>::try_from(&member[..]).ok()?;
                let known = tree.by_member(&member).map(|node| node.id);
                known.or_else(|| self.made.get(&member).copied())
            }
        }
    }

    /// The folder that a delivery names, if it is there.
    fn target(&self, tree: &Tree, place: Option<&Target>) -> Result<Uuid, Answer> {
        let missing = || {
            fail(
                FailureReason::TargetFolderNotFound,
                &"the receiving folder is not there; make it again, or move the node elsewhere",
            )
        };
        self.intended(tree, place)
            .filter(|id| tree.live(id).is_some())
            .ok_or_else(missing)
    }

    /// Opens a folder in which something is going to be made.
    fn open_target(&self, tree: &Tree, id: &Uuid) -> Result<OwnedFd, Answer> {
        self.core
            .disk
            .folder(tree, id)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => fail(
                    FailureReason::TargetFolderNotFound,
                    &"the receiving folder is no longer where it was",
                ),
                _ => from_io(&error),
            })
    }

    /// Waits until a node is in peace and known as it is on disk, and answers with the lock that keeps it known.
    fn certain(&self, id: &Uuid) -> Result<MutexGuard<'a, State>, Answer> {
        let core = self.core;
        for _ in 0..TRIES {
            let state = core.state();
            let Some(node) = state.tree.live(id) else {
                return Err(Answer::Gone);
            };
            if node.parent.is_nil() {
                return Err(fail(
                    FailureReason::TargetNodeAccessDenied,
                    &"the directory that was given to the agent is not changed itself",
                ));
            }
            let place = Place {
                folder: node.parent,
                name: node.name.to_string(),
            };
            let stat = core
                .disk
                .folder(&state.tree, &node.parent)
                .and_then(|folder| os::stat_at(folder, &node.name));
            let same = stat.is_ok_and(|stat| Print::from(&stat) == node.print);
            if same && (node.read || node.kind != os::FileKind::File) {
                return Ok(state);
            }
            drop(state);
            if same {
                let fresh = core.observe_one(id);
                if let Some((Fresh::Unreadable(error), _)) = fresh {
                    return Err(fail(FailureReason::ContentUnavailable, &error));
                }
                if let Some((Fresh::Known(_), _)) = fresh {
                    continue;
                }
            } else {
                core.pending.add(&place);
            }
            core.rest();
            core.catch_up(false)
                .map_err(|error| fail(FailureReason::Unreachable, &error))?;
        }
        Err(fail(
            FailureReason::ContentUnavailable,
            &"the file kept changing while it was looked at; it is tried again",
        ))
    }

    /// What is seen of a node that was expected to look otherwise. One that left all synced folders is told as that: the
    /// coordinator would never know the folder in which it is now.
    fn other_than_expected(&self, id: &Uuid) -> Answer {
        let left = {
            let tree = &self.core.state().tree;
            tree.live(id).is_some() && !tree.is_watched(id)
        };
        match left {
            true => Answer::StaleMovedOut(id.to_string()),
            false => self.stale(id),
        }
    }

    /// What is seen of a node, as of one that changed.
    fn stale(&self, id: &Uuid) -> Answer {
        for _ in 0..TRIES {
            match self.certain(id) {
                Ok(_) => {}
                Err(Answer::Gone) => return Answer::StaleAbsent(id.to_string()),
                Err(other) => return other,
            }
            match self.core.observe_one(id) {
                None => return Answer::StaleAbsent(id.to_string()),
                Some((_, Some(seen))) => {
                    let mut state = self.core.state();
                    let current = state.tree.live(id).map(Node::revision);
                    if current.is_some_and(|revision| revision.text() == seen.revision) {
                        state.tree.change(id, |node| {
                            node.reported = current;
                            node.due = false;
                        });
                        return Answer::Stale(Box::new(seen));
                    }
                }
                Some((_, None)) => self.core.rest(),
            }
            if let Err(error) = self.core.catch_up(false) {
                return fail(FailureReason::Unreachable, &error);
            }
        }
        fail(
            FailureReason::ContentUnavailable,
            &"the file kept changing while it was looked at; it is tried again",
        )
    }

    /// Somebody has that name already.
    fn clash(&self, state: &mut State, folder: Uuid, name: &str) -> Answer {
        let place = Place {
            folder,
            name: name.to_owned(),
        };
        super::look::places(self.core.eyes(), &mut state.tree, &[place], &[]);
        let blocking = state
            .tree
            .child(&folder, name)
            .map(|node| node.id.to_string());
        Answer::clash(name, blocking.unwrap_or_default())
    }
}

impl Core {
    /// Waits one settling time, on a thread that may block.
    fn rest(&self) {
        let sleep = tokio::time::sleep(self.options.settle());
        tokio::runtime::Handle::current().block_on(sleep);
    }
}

fn asks_for_lock(delivery: &Delivery) -> bool {
    match &delivery.action {
        Some(Action::Create(create)) => create.locked,
        Some(Action::Update(update)) => update.locked,
        Some(Action::Delete(_) | Action::Release(_)) | None => false,
    }
}

/// The outcomes when applying itself broke down: nobody knows how far it came, so all of it has to come again.
pub(super) fn broken(
    ids: Vec<Option<tandem_proto::v1::DeliveryId>>,
    error: &dyn std::fmt::Display,
) -> Vec<Outcome> {
    let deliveries: Vec<Delivery> = ids
        .into_iter()
        .map(|id| Delivery {
            id,
            ..Delivery::default()
        })
        .collect();
    let answer = fail(FailureReason::Unreachable, error);
    let answers = deliveries.iter().map(|_| answer.clone()).collect();
    answer::outcomes(&deliveries, answers)
}
