//! The coordinator's way through a new generation: list everything, make again what is lost, settle every member.

use std::collections::BTreeSet;

use tandem_server::domain::engine::{Input, Request};
use tandem_server::domain::ids::{MemberId, NodeId, RepositoryId, ScanId};
use tandem_server::domain::projection::Side;

use super::coordinator::{Coordinator, repository_id};
use super::random::Random;
use super::store::Scan;

/// Rows of one step.
const STEP: usize = 2;

impl Coordinator {
    /// Every root of a side is listed anew.
    pub(super) fn begin_generation(&mut self, side: Side, random: &mut Random) {
        let repository = repository_id(side);
        let roots = self.roots(side);
        if roots.is_empty() {
            return;
        }
        self.store
            .scans
            .retain(|_, scan| scan.repository != repository);
        let folders = self.folder_roots(side);
        for root in roots {
            if folders.contains(&root) {
                self.ask_scan(repository, root, true, random);
            } else {
                // A document is asked for by its id.
                self.store.doubted.insert((repository, root.clone()));
                self.store.observe.insert((repository, root));
            }
        }
        self.store.generations.insert(repository, None);
    }

    /// Asks for a scan of a root in place of one that is under way; what a generation asked for stays its own.
    pub(super) fn ask_scan(
        &mut self,
        repository: RepositoryId,
        root: NodeId,
        anew: bool,
        random: &mut Random,
    ) {
        let same = |scan: &Scan| scan.repository == repository && scan.root == root;
        let mut before = self.store.scans.values().filter(|scan| same(scan));
        let anew = anew || before.any(|scan| scan.anew && !scan.done);
        self.store.scans.retain(|_, scan| !same(scan));
        let scan = Scan {
            repository,
            root,
            done: false,
            anew,
            suspects: BTreeSet::new(),
        };
        self.store.scans.insert(ScanId(random.id()), scan);
    }

    /// Repositories whose roots are being listed anew.
    pub(super) fn rescanning(&self) -> BTreeSet<RepositoryId> {
        let listed = self.store.generations.iter();
        listed
            .filter(|(_, settled)| settled.is_none())
            .map(|(repository, _)| *repository)
            .collect()
    }

    /// One step of what a new generation leaves to be done.
    ///
    /// # Errors
    /// A broken promise of the engine.
    pub(super) fn generation_step(
        &mut self,
        random: &mut Random,
    ) -> Result<Option<String>, String> {
        for side in Side::BOTH {
            let repository = repository_id(side);
            let told = match self.is_listing(side) {
                true => None,
                false => match self.lost_step(repository, random)? {
                    Some(told) => Some(told),
                    None => self.settling_step(repository, random)?,
                },
            };
            if told.is_some() {
                return Ok(told);
            }
        }
        self.listing_step(random)
    }

    fn is_listing(&self, side: Side) -> bool {
        let roots = self.roots(side);
        let repository = repository_id(side);
        let listed = self.store.scans.values().all(|scan| {
            !scan.anew || scan.done || scan.repository != repository || !roots.contains(&scan.root)
        });
        !listed || self.store.doubted.iter().any(|key| key.0 == repository)
    }

    fn lost_step(
        &mut self,
        repository: RepositoryId,
        random: &mut Random,
    ) -> Result<Option<String>, String> {
        let lost = self.store.lost.iter().filter(|key| key.0 == repository);
        let nodes: Vec<NodeId> = lost.take(STEP).map(|key| key.1.clone()).collect();
        if nodes.is_empty() {
            return Ok(None);
        }
        for node in &nodes {
            self.store.lost.remove(&(repository, node.clone()));
        }
        let told = format!("makes again {nodes:?}");
        self.execute(Input::MissingInGeneration(repository, nodes), random)?;
        Ok(Some(told))
    }

    fn settling_step(
        &mut self,
        repository: RepositoryId,
        random: &mut Random,
    ) -> Result<Option<String>, String> {
        let Some(settled) = self.store.generations.get(&repository).copied() else {
            return Ok(None);
        };
        let after = settled.unwrap_or_default();
        self.store.generations.insert(repository, Some(after));
        let members = self.store.members.keys().filter(|id| **id > after);
        let members: Vec<MemberId> = members.take(STEP).copied().collect();
        let Some(last) = members.last().copied() else {
            self.store.generations.remove(&repository);
            let scans = self.store.scans.values_mut();
            let mine = scans.filter(|scan| scan.repository == repository);
            mine.for_each(|scan| scan.anew = false);
            return Ok(Some(format!("{repository:?} is listed anew")));
        };
        for member in &members {
            self.execute(Input::Request(Request::Settle(*member)), random)?;
        }
        self.store.generations.insert(repository, Some(last));
        Ok(Some(format!("settles {members:?}")))
    }

    fn listing_step(&mut self, random: &mut Random) -> Result<Option<String>, String> {
        let Some((repository, root)) = self.store.list_again.pop_first() else {
            return Ok(None);
        };
        let told = format!("asks for another scan of {root}");
        self.ask_scan(repository, root, false, random);
        Ok(Some(told))
    }
}
