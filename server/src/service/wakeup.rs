//! Wake, then read: nothing but "look again" crosses between writers and sessions, so nothing is lost or unbounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::domain::ids::{NetworkId, RepositoryId};
use crate::storage::sync::save::Wake;

type Bells<K> = Arc<Mutex<HashMap<K, watch::Sender<u64>>>>;

/// Bells for repositories (something is due; something is to be watched) and networks (something happened); cloning it
/// is cheap.
#[derive(Debug, Clone, Default)]
pub struct Wakeup {
    repositories: Bells<RepositoryId>,
    watching: Bells<RepositoryId>,
    networks: Bells<NetworkId>,
}

fn lock<K>(bells: &Bells<K>) -> MutexGuard<'_, HashMap<K, watch::Sender<u64>>> {
    bells.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen<K: std::hash::Hash + Eq>(bells: &Bells<K>, key: K) -> watch::Receiver<u64> {
    lock(bells)
        .entry(key)
        .or_insert_with(|| watch::Sender::new(0))
        .subscribe()
}

fn ring<K: std::hash::Hash + Eq>(bells: &Bells<K>, key: &K) {
    let mut bells = lock(bells);
    if let Some(bell) = bells.get(key) {
        if bell.is_closed() {
            bells.remove(key);
        } else {
            bell.send_modify(|count| *count += 1);
        }
    }
}

impl Wakeup {
    /// Changes whenever something may be due in the repository.
    #[must_use]
    pub fn repository(&self, repository: RepositoryId) -> watch::Receiver<u64> {
        listen(&self.repositories, repository)
    }

    /// Changes whenever the roots of the repository, their scans, or the nodes to be looked at may have changed.
    #[must_use]
    pub fn watching(&self, repository: RepositoryId) -> watch::Receiver<u64> {
        listen(&self.watching, repository)
    }

    /// Changes whenever something was journaled, or a member changed.
    #[must_use]
    pub fn network(&self, network: NetworkId) -> watch::Receiver<u64> {
        listen(&self.networks, network)
    }

    /// Rings after a commit.
    pub fn ring(&self, network: NetworkId, wake: &Wake) {
        for repository in &wake.repositories {
            ring(&self.repositories, repository);
        }
        for repository in &wake.watching {
            ring(&self.watching, repository);
        }
        if wake.any {
            ring(&self.networks, &network);
        }
    }

    /// Rings every bell: something may have been committed, but not what.
    pub fn ring_all(&self) {
        for bells in [&self.repositories, &self.watching] {
            let keys: Vec<RepositoryId> = lock(bells).keys().copied().collect();
            keys.iter().for_each(|key| ring(bells, key));
        }
        let networks: Vec<NetworkId> = lock(&self.networks).keys().copied().collect();
        networks.iter().for_each(|key| ring(&self.networks, key));
    }

    /// Rings both bells of one repository.
    pub fn ring_repository(&self, repository: RepositoryId) {
        ring(&self.repositories, &repository);
        ring(&self.watching, &repository);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bell_is_heard_by_all_that_listen_and_only_by_them() {
        let wakeup = Wakeup::default();
        let mut due = wakeup.repository(RepositoryId(1));
        let other = wakeup.repository(RepositoryId(2));
        let watching = wakeup.watching(RepositoryId(1));
        let mut happened = wakeup.network(NetworkId(1));
        let wake = Wake {
            repositories: [RepositoryId(1)].into(),
            any: true,
            ..Wake::default()
        };
        wakeup.ring(NetworkId(1), &wake);
        due.changed().await.unwrap();
        happened.changed().await.unwrap();
        assert!(!other.has_changed().unwrap());
        assert!(!watching.has_changed().unwrap());
    }
}
