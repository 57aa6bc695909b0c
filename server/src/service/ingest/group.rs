//! One transaction for a group of changes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::work::{Worked, work};
use super::{Accepted, Batch, Change, Done, Writer};
use crate::domain::engine::{Input, Refusal, Request};
use crate::domain::ids::{Digest, NodeId, RepositoryId, SyncSetId};
use crate::domain::report::{Item, ScanOutcome};
use crate::domain::session::{Numbering, number};
use crate::service::Error;
use crate::storage::sync::save::{Wake, save};
use crate::storage::sync::scans::{self, ScanKind};
use crate::storage::sync::{batches, journal, sets, walks};
use crate::storage::{Tx, content_index};

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
        let worked = self.decide(tx, &mut plans, now).await?;
        let mut wake = save(&**tx, self.network, &worked.loaded, &worked.effects, now).await?;
        let mut steps = !worked.effects.walks.is_empty();
        for (repository, node) in &worked.effects.observe {
            scans::ask_to_observe_in(&**tx, *repository, std::slice::from_ref(node)).await?;
            wake.repositories.insert(*repository);
        }
        for (repository, node) in &worked.effects.new_roots {
            scans::ask_in(&**tx, *repository, node, ScanKind::First, false).await?;
            wake.repositories.insert(*repository);
        }
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
                    self.finish(tx, change, accepted, &mut wake, &mut steps)
                        .await
                }
            });
        }
        Ok(Written { done, wake, steps })
    }

    /// Runs the engine; a batch that it refuses is left out, and the rest is run again.
    async fn decide(&self, tx: &Tx, plans: &mut [Plan], now: i64) -> Result<Worked, Error> {
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
                plans[places[*index]] = Plan::Answered(Err(refused));
            }
        }
    }

    async fn plan(&self, tx: &Tx, changes: &[Arc<Change>], now: i64) -> Result<Vec<Plan>, Error> {
        let mut last: BTreeMap<RepositoryId, batches::Sequence> = BTreeMap::new();
        let mut plans = Vec::new();
        for change in changes {
            plans.push(match &**change {
                Change::Batch(batch) => {
                    let sequence = match last.entry(batch.repository) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => {
                            new.insert(batches::sequence_in(&**tx, batch.repository).await?)
                        }
                    };
                    self.plan_batch(tx, batch, sequence, now).await?
                }
                Change::Request(request) => Plan::Run(Input::Request(request.clone())),
                Change::CreateSet(id, create) => self.plan_set(tx, id.as_deref(), create).await?,
                Change::SetJob(set, walks::SetJobKind::End, actor) => {
                    Plan::Run(Input::Request(Request::EndSet(*set, actor.clone())))
                }
                Change::SetJob(..) | Change::Scan(..) => Plan::Beside,
            });
        }
        Ok(plans)
    }

    /// R-AGT-3: fenced, in order, once, and only with its content.
    async fn plan_batch(
        &self,
        tx: &Tx,
        batch: &Batch,
        last: &mut batches::Sequence,
        now: i64,
    ) -> Result<Plan, Error> {
        if batch.epoch != last.epoch {
            return Ok(Plan::Answered(Err(Error::StaleEpoch)));
        }
        match number(last.number, batch.number) {
            Numbering::Next => {}
            Numbering::Earlier => return self.repeat(tx, batch).await.map(Plan::Answered),
            Numbering::Gap { expected } => {
                return Ok(Plan::Answered(Err(Error::BatchGap {
                    expected_number: expected,
                })));
            }
        }
        if let Err(error) = self.take_content(tx, batch, now).await? {
            return Ok(Plan::Answered(Err(error)));
        }
        for item in &batch.items {
            if let Item::ScanPage(page) = item {
                scans::note_suspects_in(&**tx, batch.repository, page).await?;
            }
        }
        last.number = batch.number;
        Ok(Plan::Run(Input::Batch(
            batch.repository,
            batch.items.clone(),
        )))
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

    /// Every digest that a batch names must be there, with its true size (ARCHITECTURE, invariant 3).
    async fn take_content(
        &self,
        tx: &Tx,
        batch: &Batch,
        now: i64,
    ) -> Result<Result<(), Error>, Error> {
        if !batch.inline.is_empty() {
            let (network, repository) = (self.network, batch.repository);
            content_index::put_small_in(&**tx, network, repository, &batch.inline, now).await?;
        }
        let named: BTreeMap<Digest, i64> = batch
            .items
            .iter()
            .flat_map(Item::observations)
            .filter_map(crate::domain::report::Observation::content)
            .map(|content| (content.digest, content.size))
            .collect();
        let digests: Vec<Digest> = named.keys().copied().collect();
        let mut present =
            content_index::present_sizes_in(&**tx, batch.repository, &digests).await?;
        if present.len() < named.len() {
            self.receive(tx, batch, &named, &mut present, now).await?;
        }
        let missing: Vec<Digest> = digests
            .iter()
            .filter(|digest| !present.contains_key(digest))
            .copied()
            .collect();
        if !missing.is_empty() {
            return Ok(Err(Error::ContentMissing { digests: missing }));
        }
        let wrong = named
            .iter()
            .find(|(digest, size)| present.get(digest) != Some(size));
        Ok(wrong.map_or(Ok(()), |(digest, _)| {
            Err(Error::DigestMismatch { digest: *digest })
        }))
    }

    /// What a delivery brought, the outcome may name: the repository has received it.
    async fn receive(
        &self,
        tx: &Tx,
        batch: &Batch,
        named: &BTreeMap<Digest, i64>,
        present: &mut BTreeMap<Digest, i64>,
        now: i64,
    ) -> Result<(), Error> {
        let results: Vec<_> = batch
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Outcome { member, .. } => {
                    let digest = item.observations().next()?.digest()?;
                    (!present.contains_key(&digest)).then_some((*member, digest))
                }
                _ => None,
            })
            .collect();
        let delivered =
            crate::storage::sync::due::delivered_in(&**tx, batch.repository, &results).await?;
        let mut by_source: BTreeMap<RepositoryId, Vec<Digest>> = BTreeMap::new();
        for (source, digest) in delivered {
            by_source.entry(source).or_default().push(digest);
        }
        for (source, digests) in by_source {
            content_index::share_in(&**tx, source, batch.repository, &digests, now).await?;
        }
        let left: Vec<Digest> = named
            .keys()
            .filter(|digest| !present.contains_key(digest))
            .copied()
            .collect();
        present.extend(content_index::present_sizes_in(&**tx, batch.repository, &left).await?);
        Ok(())
    }

    /// R-SET-3, R-SET-5: the same request makes one set; a node is in at most one.
    async fn plan_set(&self, tx: &Tx, id: Option<&[u8]>, create: &Request) -> Result<Plan, Error> {
        if let Some(id) = id
            && let Some(set) = sets::set_of_request_in(&**tx, self.network, id).await?
        {
            return Ok(Plan::Answered(Ok(Done::Set(set))));
        }
        let Request::CreateSet { copy, .. } = create else {
            return Ok(Plan::Answered(Ok(Done::Plain)));
        };
        if sets::is_member_in(&**tx, copy.repository, &copy.node).await? {
            let node = copy.node.to_string();
            return Ok(Plan::Answered(Err(Error::AlreadySynced { node })));
        }
        Ok(Plan::Run(Input::Request(create.clone())))
    }

    async fn finish(
        &self,
        tx: &Tx,
        change: &Change,
        accepted: Accepted,
        wake: &mut Wake,
        steps: &mut bool,
    ) -> Result<Done, Error> {
        match change {
            Change::Batch(batch) => {
                *steps |= self.finish_scans(tx, batch, wake).await?;
                // The agent looks again by itself; should it die before, the next session asks it to (R-REC-7).
                let unknown = unknown_parents(batch, &accepted);
                scans::ask_to_observe_in(&**tx, batch.repository, &unknown).await?;
                let answer = serde_json::to_vec(&accepted).unwrap_or_default();
                let named = (batch.number, batch.id);
                batches::accept_in(&**tx, batch.repository, named, &batch.cursor, answer).await?;
                Ok(Done::Accepted(accepted))
            }
            Change::Request(_) => Ok(Done::Plain),
            Change::CreateSet(id, create) => self.finish_set(tx, id.as_deref(), create, wake).await,
            Change::SetJob(set, kind, actor) => {
                walks::begin_set_job_in(&**tx, self.network, *set, *kind, actor).await?;
                wake.any = true;
                *steps = true;
                Ok(Done::Plain)
            }
            Change::Scan(repository, read_content) => {
                scans::ask_all_in(&**tx, *repository, ScanKind::Demand, *read_content).await?;
                wake.repositories.insert(*repository);
                Ok(Done::Plain)
            }
        }
    }

    async fn finish_set(
        &self,
        tx: &Tx,
        id: Option<&[u8]>,
        create: &Request,
        wake: &mut Wake,
    ) -> Result<Done, Error> {
        let Request::CreateSet { set, copy, .. } = create else {
            return Ok(Done::Plain);
        };
        let made: SyncSetId = set.id;
        if let Some(id) = id {
            sets::note_request_in(&**tx, self.network, id, made).await?;
        }
        scans::ask_in(&**tx, copy.repository, &copy.node, ScanKind::First, false).await?;
        wake.repositories
            .extend([set.repositories.on_premise, set.repositories.cloud]);
        Ok(Done::Set(made))
    }

    /// Suspects that were seen are cleared; after the last page the others are asked for by id (R-AGT-5).
    async fn finish_scans(&self, tx: &Tx, batch: &Batch, wake: &mut Wake) -> Result<bool, Error> {
        let seen: BTreeSet<&str> = batch
            .items
            .iter()
            .flat_map(Item::observations)
            .map(|observation| observation.node.0.as_str())
            .collect();
        let seen: Vec<&str> = seen.into_iter().collect();
        scans::clear_suspects_in(&**tx, batch.repository, &seen).await?;
        let mut steps = false;
        for item in &batch.items {
            let Item::ScanEnd(scan, outcome) = item else {
                continue;
            };
            let Some(kind) = scans::kind_in(&**tx, batch.repository, *scan).await? else {
                continue;
            };
            wake.repositories.insert(batch.repository);
            wake.any = true;
            match (outcome, kind) {
                (ScanOutcome::Complete, ScanKind::Generation) => {
                    scans::finish_generation_in(&**tx, batch.repository, *scan).await?;
                    steps = true;
                }
                (ScanOutcome::Complete, _) => {
                    scans::ask_suspects_in(&**tx, batch.repository, *scan).await?;
                    scans::finish_in(&**tx, *scan).await?;
                }
                // Nothing is concluded from what is missing; the scan stays due (R-DEL-3).
                (ScanOutcome::RootGone | ScanOutcome::Abandoned, _) => {
                    scans::renew_in(&**tx, batch.repository, *scan).await?;
                }
            }
        }
        Ok(steps)
    }
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
