//! What has many rows is done in small steps between the groups (ARCHITECTURE, invariant 12).

use std::time::Duration;

use super::Writer;
use super::work::work;
use crate::domain::engine::{Input, Request, WalkProgress};
use crate::domain::ids::{MemberId, NodeId, RepositoryId};
use crate::domain::limits::WALK_STEP_NODES_MAX;
use crate::service::Error;
use crate::storage::Tx;
use crate::storage::sync::generations::{self, Settled};
use crate::storage::sync::save::{Wake, save};
use crate::storage::sync::walks::{self, SetJob, SetJobKind, WalkRow};
use crate::storage::sync::{journal, sets};

/// A step that failed is tried again after this time; what failed it holds up changes too.
const STEP_AGAIN_AFTER: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1_000 });

impl Writer {
    /// Does one step of whatever is left; says whether more is.
    pub(super) async fn step(&self) -> bool {
        let now = self.parts.clock.now();
        let done = self
            .parts
            .store
            .write(|tx| async move { self.step_in(&tx, now).await })
            .await;
        match done {
            Ok(Some(wake)) => {
                self.parts.wakeup.ring(self.network, &wake);
                true
            }
            Ok(None) => false,
            Err(error) => {
                let error: Error = error;
                tracing::error!(network = self.network.0, %error, "a step failed");
                self.parts.wakeup.ring_all();
                let _ = tokio::time::timeout(STEP_AGAIN_AFTER, self.parts.stop.cancelled()).await;
                true
            }
        }
    }

    async fn step_in(&self, tx: &Tx, now: i64) -> Result<Option<Wake>, Error> {
        journal::lock_in(&**tx, self.network).await?;
        if let Some(walk) = walks::next_walk_in(&**tx, self.network).await? {
            return self.walk_in(tx, walk, now).await.map(Some);
        }
        if let Some((repository, nodes)) =
            generations::lost_in(&**tx, self.network, WALK_STEP_NODES_MAX).await?
        {
            let input = Input::MissingInGeneration(repository, nodes.clone());
            generations::forget_lost_in(&**tx, repository, &nodes).await?;
            return self.run_step(tx, &[input], now).await.map(Some);
        }
        if let Some((repository, settled)) =
            generations::next_to_settle_in(&**tx, self.network).await?
        {
            return self.settle_in(tx, repository, settled, now).await.map(Some);
        }
        match walks::next_set_job_in(&**tx, self.network).await? {
            Some(job) => self.set_job_in(tx, job, now).await.map(Some),
            None => Ok(None),
        }
    }

    async fn run_step(&self, tx: &Tx, inputs: &[Input], now: i64) -> Result<Wake, Error> {
        let worked = work(tx, self.network, inputs, now).await?;
        Ok(save(&**tx, self.network, &worked.loaded, &worked.effects, now).await?)
    }

    async fn walk_in(&self, tx: &Tx, row: WalkRow, now: i64) -> Result<Wake, Error> {
        let (repository, folder) = (row.walk.repository, &row.walk.folder);
        let max = WALK_STEP_NODES_MAX;
        let nodes = walks::members_below_in(&**tx, repository, folder, &row.after, max + 1).await?;
        let progress = if nodes.len() > max {
            WalkProgress::More
        } else {
            WalkProgress::Done
        };
        let nodes: Vec<NodeId> = nodes.into_iter().take(max).collect();
        let last = nodes.last().cloned();
        let wake = self
            .run_step(tx, &[Input::Walk(row.walk, nodes, progress)], now)
            .await?;
        match (progress, last) {
            (WalkProgress::More, Some(last)) => {
                walks::advance_walk_in(&**tx, row.id, &last).await?;
            }
            _ => walks::finish_walk_in(&**tx, row.id).await?,
        }
        Ok(wake)
    }

    /// R-AGT-4: everything is listed, so members are decided again, set by set.
    async fn settle_in(
        &self,
        tx: &Tx,
        repository: RepositoryId,
        settled: Settled,
        now: i64,
    ) -> Result<Wake, Error> {
        generations::advance_in(&**tx, repository, settled).await?;
        let (set, after) = (settled.set, settled.member.to_bytes());
        let members = walks::members_of_set_in(&**tx, set, &after, WALK_STEP_NODES_MAX).await?;
        if let Some(member) = members.last().copied() {
            generations::advance_in(&**tx, repository, Settled { set, member }).await?;
            let settle = |member| Input::Request(Request::Settle(member));
            let inputs: Vec<Input> = members.into_iter().map(settle).collect();
            return self.run_step(tx, &inputs, now).await;
        }
        let mut wake = Wake::default();
        match generations::set_behind_in(&**tx, repository, set).await? {
            Some(set) => {
                let member = MemberId::default();
                generations::advance_in(&**tx, repository, Settled { set, member }).await?;
            }
            None => wake.repositories = generations::finish_in(&**tx, repository).await?,
        }
        Ok(wake)
    }

    async fn set_job_in(&self, tx: &Tx, job: SetJob, now: i64) -> Result<Wake, Error> {
        let max = WALK_STEP_NODES_MAX;
        let members = walks::members_of_set_in(&**tx, job.set, &job.after, max).await?;
        let Some(last) = members.last().copied() else {
            return self.finish_set_job(tx, &job, now).await;
        };
        let request = |member: MemberId| {
            Input::Request(match job.kind {
                SetJobKind::End => Request::EndMember(member),
                SetJobKind::RefuseHold => Request::RefuseRemoval(member),
                SetJobKind::RetryOwner => Request::OwnerChanged(member),
            })
        };
        let inputs: Vec<Input> = members.into_iter().map(request).collect();
        let wake = self.run_step(tx, &inputs, now).await?;
        walks::advance_set_job_in(&**tx, &job, Some(last)).await?;
        if job.kind == SetJobKind::End {
            tandem_crash::at("S9");
        }
        Ok(wake)
    }

    async fn finish_set_job(&self, tx: &Tx, job: &SetJob, now: i64) -> Result<Wake, Error> {
        walks::advance_set_job_in(&**tx, job, None).await?;
        let mut wake = match job.kind {
            SetJobKind::RefuseHold => {
                let request = Request::RefusedHold(job.set, job.actor.clone());
                self.run_step(tx, &[Input::Request(request)], now).await?
            }
            SetJobKind::RetryOwner => Wake::default(),
            SetJobKind::End => {
                let mut wake = Wake::default();
                if let Some(set) = sets::set_in(&**tx, self.network, job.set).await? {
                    wake.watching
                        .extend(sets::remove_if_empty_in(&**tx, &set).await?);
                }
                wake
            }
        };
        wake.any = true;
        Ok(wake)
    }
}
