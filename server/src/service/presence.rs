//! Which repositories hold a session on this coordinator.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::ids::RepositoryId;

/// Counts the sessions of each repository; cloning it is cheap.
#[derive(Debug, Clone, Default)]
pub struct Presence {
    sessions: Arc<Mutex<HashMap<RepositoryId, usize>>>,
}

/// Stands for one session; dropping it ends the presence.
#[derive(Debug)]
pub struct Present {
    presence: Presence,
    repository: RepositoryId,
}

impl Presence {
    /// Notes a session of the repository for as long as the answer lives.
    #[must_use]
    pub fn enter(&self, repository: RepositoryId) -> Present {
        *self.lock().entry(repository).or_default() += 1;
        Present {
            presence: self.clone(),
            repository,
        }
    }

    /// True while the repository holds a session.
    #[must_use]
    pub fn is_connected(&self, repository: RepositoryId) -> bool {
        self.lock().contains_key(&repository)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RepositoryId, usize>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut sessions = self.presence.lock();
        if let Some(count) = sessions.get_mut(&self.repository) {
            *count -= 1;
            if *count == 0 {
                sessions.remove(&self.repository);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connected_while_any_session_lives() {
        let presence = Presence::default();
        let repository = RepositoryId(7);
        let older = presence.enter(repository);
        let newer = presence.enter(repository);
        drop(older);
        assert!(presence.is_connected(repository));
        drop(newer);
        assert!(!presence.is_connected(repository));
    }
}
