//! One transaction for a group of changes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::content::Content;
use super::work::{Worked, work};
use super::{Accepted, Batch, Change, Done, Repeatable, RepositoryPause, Writer};
use crate::domain::engine::{Input, Refusal, Request};
use crate::domain::ids::{NodeId, RepositoryId, SyncSetId};
use crate::domain::planted::planted;
use crate::domain::projection::NodeKind;
use crate::domain::report::{Item, ScanOutcome, ScanPage};
use crate::domain::session::{Numbering, number};
use crate::service::Error;
use crate::storage::Tx;
use crate::storage::sync::save::{Wake, save};
use crate::storage::sync::scans::{self, ScanKind};
use crate::storage::sync::{batches, ended, journal, pauses, sets, walks};

/// What a group came to.
pub(super) struct Written {
    /// For each change, in order.
    pub(super) done: Vec<Result<Done, Error>>,
    /// Whom to wake.
    pub(super) wake: Wake,
    /// Steps are left to be done.
    pub(super) steps: bool,
}

/// What is to be done about a change, once it is checked.
enum Plan {
    /// Answered without any effect.
    Answered(Result<Done, Error>),
    /// An input of the engine.
    Run(Input),
    /// Done beside the engine.
    Beside,
}

/// What is gathered while changes are finished.
pub(super) struct Finish {
    pub(super) wake: Wake,
    pub(super) steps: bool,
    accepted: BTreeMap<RepositoryId, Vec<batches::Answer>>,
}

/// The last accepted batch of each repository.
type Sequences = BTreeMap<RepositoryId, batches::Sequence>;

impl Writer {
    pub(super) async fn write(&self, changes: &[Arc<Change>]) -> Result<Written, Error> {
        let now = self.parts.clock.now();
        self.parts
            .store
            .write(|tx| async move { self.write_in(&tx, changes, now).await })
            .await
    }

    async fn write_in(&self, tx: &Tx, changes: &[Arc<Change>], now: i64) -> Result<Written, Error> {
        journal::lock_in(&**tx, self.network).await?;
        let mut plans = self.plan(tx, changes, now).await?;
        let worked = self.decide(tx, &mut plans, changes, now).await?;
        self.clear_seen(tx, &plans, changes).await?;
        let mut finish = Finish {
            wake: save(&**tx, self.network, &worked.loaded, &worked.effects, now).await?,
            steps: worked.effects.leave_steps() || worked.rescans,
            accepted: BTreeMap::new(),
        };
        let mut notes = worked.effects.notes.iter();
        let mut done = Vec::new();
        for (plan, change) in plans.into_iter().zip(changes) {
            let notes = matches!(plan, Plan::Run(_)).then(|| notes.next()).flatten();
            done.push(match plan {
                Plan::Answered(answer) => answer,
                Plan::Run(_) | Plan::Beside => {
                    let notes = notes.map(Vec::as_slice).unwrap_or_default();
                    let accepted = Accepted {
                        notes: notes.iter().map(Into::into).collect(),
                    };
                    // What fails here fails the group: half of a change would be written, and not known as done.
                    Ok(self.finish(tx, change, accepted, &mut finish).await?)
                }
            });
        }
        for (repository, accepted) in finish.accepted {
            batches::accept_in(&**tx, repository, accepted).await?;
            tandem_crash::at("S4");
        }
        Ok(Written {
            done,
            wake: finish.wake,
            steps: finish.steps,
        })
    }

    /// Runs the engine; a batch that it refuses is left out, and the rest is run again.
    async fn decide(
        &self,
        tx: &Tx,
        plans: &mut [Plan],
        changes: &[Arc<Change>],
        now: i64,
    ) -> Result<Worked, Error> {
        loop {
            let (places, inputs): (Vec<usize>, Vec<Input>) = plans
                .iter()
                .enumerate()
                .filter_map(|(place, plan)| match plan {
                    Plan::Run(input) => Some((place, input.clone())),
                    Plan::Answered(_) | Plan::Beside => None,
                })
                .unzip();
            let worked = work(tx, self.network, &inputs, now).await?;
            if worked.effects.refused.is_empty() {
                return Ok(worked);
            }
            for (index, Refusal::Cycle(node)) in &worked.effects.refused {
                let refused = Error::FolderCycle {
                    node: node.to_string(),
                };
                let place = places[*index];
                plans[place] = Plan::Answered(Err(refused));
                refuse_behind(plans, changes, place);
            }
        }
    }

    async fn plan(&self, tx: &Tx, changes: &[Arc<Change>], now: i64) -> Result<Vec<Plan>, Error> {
        let mut last = self.sequences(tx, changes).await?;
        let in_line = in_line(changes, last.clone());
        let content = Content::take(tx, self.network, &in_line, now).await?;
        let mut plans = Vec::new();
        for change in changes {
            plans.push(match &**change {
                Change::Batch(batch) => self.plan_batch(tx, batch, &mut last, &content).await?,
                Change::Request(request) => Plan::Run(Input::Request(request.clone())),
                Change::CreateSet(id, create) => self.plan_set(tx, id.as_ref(), create).await?,
                Change::Transfer(set, owner, actor) => {
                    let transfer = Request::Transfer(*set, owner.clone(), actor.clone());
                    Plan::Run(Input::Request(transfer))
                }
                Change::EndSet(ending) => {
                    Plan::Run(Input::Request(Request::EndSet(ending.clone())))
                }
                Change::SetJob(..)
                | Change::Scan(..)
                | Change::PauseRepository(_)
                | Change::Import(_)
                | Change::LinkAccount(_) => Plan::Beside,
            });
        }
        self.note_suspects(tx, &plans, changes).await?;
        Ok(plans)
    }

    async fn sequences(&self, tx: &Tx, changes: &[Arc<Change>]) -> Result<Sequences, Error> {
        let mut last = Sequences::new();
        for batch in changes.iter().filter_map(|change| change.batch()) {
            if let Entry::Vacant(new) = last.entry(batch.repository) {
                new.insert(batches::sequence_in(&**tx, batch.repository).await?);
            }
        }
        Ok(last)
    }

    /// R-AGT-3: fenced, in order, once, and only with its content.
    async fn plan_batch(
        &self,
        tx: &Tx,
        batch: &Batch,
        last: &mut Sequences,
        content: &Content,
    ) -> Result<Plan, Error> {
        let Some(last) = last
            .get_mut(&batch.repository)
            .filter(|last| last.epoch == batch.epoch || planted("old-epoch-writes"))
        else {
            return Ok(Plan::Answered(Err(Error::StaleEpoch)));
        };
        match number(last.number, batch.number) {
            Numbering::Next => {}
            Numbering::Earlier => return self.repeat(tx, batch).await.map(Plan::Answered),
            Numbering::Gap { expected } => {
                return Ok(Plan::Answered(Err(Error::BatchGap {
                    expected_number: expected,
                })));
            }
        }
        if let Err(error) = content.check(batch) {
            return Ok(Plan::Answered(Err(error)));
        }
        last.number = batch.number;
        Ok(Plan::Run(Input::Batch(
            batch.repository,
            batch.items.clone(),
        )))
    }

    /// Before pages take effect, what they should have listed and did not is noted (R-AGT-5).
    async fn note_suspects(
        &self,
        tx: &Tx,
        plans: &[Plan],
        changes: &[Arc<Change>],
    ) -> Result<(), Error> {
        let mut pages: BTreeMap<RepositoryId, Vec<&ScanPage>> = BTreeMap::new();
        for batch in accepted(plans, changes) {
            let listed = batch.items.iter().filter_map(|item| match item {
                Item::ScanPage(page) => Some(page),
                _ => None,
            });
            pages.entry(batch.repository).or_default().extend(listed);
        }
        for (repository, pages) in pages {
            scans::note_suspects_in(&**tx, repository, &pages).await?;
        }
        Ok(())
    }

    /// What was seen is neither suspect nor still to be looked at.
    async fn clear_seen(
        &self,
        tx: &Tx,
        plans: &[Plan],
        changes: &[Arc<Change>],
    ) -> Result<(), Error> {
        let mut seen: BTreeMap<RepositoryId, BTreeSet<&str>> = BTreeMap::new();
        for batch in accepted(plans, changes) {
            let nodes = batch.items.iter().flat_map(Item::observations);
            seen.entry(batch.repository)
                .or_default()
                .extend(nodes.map(|observation| observation.node.0.as_str()));
        }
        for (repository, nodes) in seen {
            let nodes: Vec<&str> = nodes.into_iter().collect();
            scans::clear_suspects_in(&**tx, repository, &nodes).await?;
        }
        Ok(())
    }

    async fn repeat(&self, tx: &Tx, batch: &Batch) -> Result<Result<Done, Error>, Error> {
        let stored = batches::answer_in(&**tx, batch.repository, batch.number).await?;
        let suspected = |detail: &str| {
            Err(Error::RollbackSuspected {
                detail: detail.to_owned(),
            })
        };
        Ok(match stored {
            Some((id, _)) if id != batch.id => suspected("a number came with another id"),
            Some((_, answer)) => {
                let accepted = serde_json::from_slice(&answer);
                Ok(Done::Accepted(
                    accepted.unwrap_or(Accepted { notes: Vec::new() }),
                ))
            }
            None => suspected("the batch is older than the answers that are kept"),
        })
    }

    /// R-SET-3, R-SET-5: the same request makes one set; a node is in at most one.
    async fn plan_set(
        &self,
        tx: &Tx,
        id: Option<&Repeatable>,
        create: &Request,
    ) -> Result<Plan, Error> {
        if let Some(id) = id
            && let Some((set, _)) =
                sets::set_of_request_in(&**tx, self.network, &id.request).await?
        {
            return Ok(Plan::Answered(Ok(Done::Set(set))));
        }
        let Request::CreateSet { chosen, peer, .. } = create else {
            return Ok(Plan::Answered(Ok(Done::Plain)));
        };
        for copy in chosen.iter().map(|(_, copy)| copy).chain(peer.as_deref()) {
            let taken = sets::is_member_in(&**tx, copy.repository, &copy.node).await?;
            if taken && !planted("node-in-two-sets") {
                let node = copy.node.to_string();
                return Ok(Plan::Answered(Err(Error::AlreadySynced { node })));
            }
        }
        Ok(Plan::Run(Input::Request(create.clone())))
    }

    async fn finish(
        &self,
        tx: &Tx,
        change: &Change,
        accepted: Accepted,
        finish: &mut Finish,
    ) -> Result<Done, Error> {
        match change {
            Change::Batch(batch) => {
                self.finish_scans(tx, batch, finish).await?;
                // The agent looks again by itself; should it die before, the next session asks it to (R-REC-7).
                let unknown = unknown_parents(batch, &accepted);
                scans::ask_to_observe_in(&**tx, batch.repository, &unknown).await?;
                let answer = batches::Answer {
                    number: batch.number,
                    id: batch.id,
                    cursor: batch.cursor.clone(),
                    answer: serde_json::to_vec(&accepted).unwrap_or_default(),
                };
                let answers = finish.accepted.entry(batch.repository).or_default();
                if !planted("answer-not-kept") {
                    answers.push(answer);
                }
                Ok(Done::Accepted(accepted))
            }
            Change::Request(_) => Ok(Done::Plain),
            Change::CreateSet(id, create) => {
                self.finish_set(tx, id.as_ref(), create, &mut finish.wake)
                    .await
            }
            Change::SetJob(set, kind, actor) => {
                self.begin_job(tx, (*set, *kind), actor, finish).await
            }
            Change::Transfer(set, _, actor) => {
                let job = (*set, walks::SetJobKind::RetryOwner);
                self.begin_job(tx, job, actor, finish).await
            }
            Change::EndSet(ending) => {
                ended::remember_in(&**tx, ending.set).await?;
                let job = (ending.set, walks::SetJobKind::End);
                let begun = self.begin_job(tx, job, &ending.actor, finish).await;
                tandem_crash::at("S9");
                begun
            }
            Change::Scan(repository, root, read_content) => {
                let (kind, read_content) = (ScanKind::Demand, *read_content);
                match root {
                    Some(root) => {
                        scans::ask_in(&**tx, *repository, root, kind, read_content).await?;
                    }
                    None => {
                        scans::ask_all_in(&**tx, *repository, kind, read_content).await?;
                    }
                }
                finish.wake.watching.insert(*repository);
                Ok(Done::Plain)
            }
            Change::LinkAccount(linking) => {
                self.finish_link(tx, linking, &mut finish.wake).await?;
                finish.steps = true;
                Ok(Done::Plain)
            }
            Change::PauseRepository(pause) => {
                self.finish_pause(tx, pause, &mut finish.wake).await?;
                Ok(Done::Plain)
            }
            Change::Import(step) => self.import(tx, step, finish).await.map(Done::Imported),
        }
    }

    async fn begin_job(
        &self,
        tx: &Tx,
        (set, kind): (SyncSetId, walks::SetJobKind),
        actor: &str,
        finish: &mut Finish,
    ) -> Result<Done, Error> {
        walks::begin_set_job_in(&**tx, self.network, set, kind, actor).await?;
        finish.wake.any = true;
        finish.steps = true;
        Ok(Done::Plain)
    }

    /// R-SET-7: what was due stays due, so when the pause ends there is nothing to do but to look again.
    async fn finish_pause(
        &self,
        tx: &Tx,
        pause: &RepositoryPause,
        wake: &mut Wake,
    ) -> Result<(), Error> {
        let RepositoryPause {
            repository, paused, ..
        } = *pause;
        if pauses::pause_repository_in(&**tx, self.network, repository, paused).await? {
            let now = self.parts.clock.now();
            journal::append_in(&**tx, self.network, &[pause.entry()], now).await?;
            wake.any = true;
            let woken = pauses::partners_in(&**tx, repository).await?;
            wake.repositories.extend(woken);
        }
        Ok(())
    }

    async fn finish_set(
        &self,
        tx: &Tx,
        id: Option<&Repeatable>,
        create: &Request,
        wake: &mut Wake,
    ) -> Result<Done, Error> {
        let Request::CreateSet {
            set, chosen, peer, ..
        } = create
        else {
            return Ok(Done::Plain);
        };
        let made: SyncSetId = set.id;
        if let Some(id) = id {
            let answer = (made, id.skipped.as_slice());
            sets::note_request_in(&**tx, self.network, &id.request, answer).await?;
        }
        // Documents are looked at, by their ids.
        let folders = chosen.iter().map(|(_, copy)| copy).chain(peer.as_deref());
        for copy in folders.filter(|copy| copy.projection.kind == NodeKind::Folder) {
            scans::ask_in(&**tx, copy.repository, &copy.node, ScanKind::First, false).await?;
        }
        let both = [set.repositories.on_premise, set.repositories.cloud];
        wake.repositories.extend(both);
        wake.watching.extend(both);
        Ok(Done::Set(made))
    }

    /// After the last page the remaining suspects are asked for by id (R-AGT-5).
    async fn finish_scans(&self, tx: &Tx, batch: &Batch, finish: &mut Finish) -> Result<(), Error> {
        for item in &batch.items {
            let Item::ScanEnd(scan, outcome) = item else {
                continue;
            };
            let Some(kind) = scans::kind_in(&**tx, batch.repository, *scan).await? else {
                continue;
            };
            finish.wake.watching.insert(batch.repository);
            finish.wake.any = true;
            match outcome {
                ScanOutcome::Complete => {
                    scans::ask_suspects_in(&**tx, batch.repository, *scan, kind).await?;
                    scans::finish_in(&**tx, *scan).await?;
                }
                // Nothing is concluded from what is missing; the scan stays due (R-DEL-3).
                ScanOutcome::RootGone | ScanOutcome::Abandoned => {
                    scans::renew_in(&**tx, batch.repository, *scan).await?;
                }
            }
        }
        Ok(())
    }
}

/// R-AGT-3: what comes behind a refused batch is a gap, or the refused one would count as accepted with it.
fn refuse_behind(plans: &mut [Plan], changes: &[Arc<Change>], place: usize) {
    let Some(refused) = changes[place].batch() else {
        return;
    };
    let behind = plans.iter_mut().zip(changes).skip(place + 1);
    for (plan, change) in behind {
        let same = change
            .batch()
            .is_some_and(|batch| batch.repository == refused.repository);
        if same && matches!(plan, Plan::Run(_)) {
            *plan = Plan::Answered(Err(Error::BatchGap {
                expected_number: refused.number,
            }));
        }
    }
}

/// The batches of a group that are accepted as it stands.
fn accepted<'a>(
    plans: &'a [Plan],
    changes: &'a [Arc<Change>],
) -> impl Iterator<Item = &'a Batch> + 'a {
    plans
        .iter()
        .zip(changes)
        .filter(|(plan, _)| matches!(plan, Plan::Run(_)))
        .filter_map(|(_, change)| change.batch())
}

/// The batches of a group that come in order, so that their content is worth taking.
fn in_line(changes: &[Arc<Change>], mut last: Sequences) -> Vec<&Batch> {
    let batches = changes.iter().filter_map(|change| change.batch());
    batches
        .filter(|batch| {
            let Some(last) = last.get_mut(&batch.repository) else {
                return false;
            };
            let next = last.epoch == batch.epoch
                && matches!(number(last.number, batch.number), Numbering::Next);
            if next {
                last.number = batch.number;
            }
            next
        })
        .collect()
}

/// The nodes that were reported before their parents were.
fn unknown_parents(batch: &Batch, accepted: &Accepted) -> Vec<NodeId> {
    let notes = accepted.notes.iter().filter(|note| note.unknown_parent);
    notes
        .filter_map(|note| match batch.items.get(note.item)? {
            Item::ScanPage(page) => Some(page.children.get(note.child)?.node.clone()),
            item => item.observations().next().map(|seen| seen.node.clone()),
        })
        .collect()
}
