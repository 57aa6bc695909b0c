//! Who a token speaks for, remembered for at most 30 s, and when it ends.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::clock::SECOND;
use super::{Clock, Error, Principal};
use crate::domain::ids::TokenId;
use crate::domain::limits::{
    REVOCATION_INTERVAL_SECONDS, TOKEN_CACHE_ENTRIES_MAX, TOKEN_CACHE_SECONDS_MAX,
};
use crate::storage::Store;
use crate::storage::access::{Subject, Token};

/// What every secret begins with, so that people and scanners recognise one.
const SECRET_PREFIX: &str = "tdm_";

/// A new secret: 32 random bytes, as hexadecimal text.
pub(crate) fn new_secret() -> String {
    format!("{SECRET_PREFIX}{}", hex::encode(rand::random::<[u8; 32]>()))
}

/// The SHA-256 hash of a secret: the only form in which it is kept. The secret is as random as the hash is long, so no
/// slow hash is needed, and looking the hash up tells a guesser nothing.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Answers who a token speaks for; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Authentication {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
    watched: Mutex<HashMap<TokenId, Watched>>,
}

#[derive(Debug, Clone)]
struct Remembered {
    principal: Principal,
    /// When it is looked up again, or ends.
    until: i64,
}

#[derive(Debug, Default)]
struct Watched {
    ended: CancellationToken,
    watchers: usize,
}

impl Authentication {
    /// Reads tokens from this store.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                clock,
                remembered: Mutex::default(),
                watched: Mutex::default(),
            }),
        }
    }

    /// Who the secret speaks for.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for an unknown, expired or revoked one; the database's failures.
    pub async fn authenticate(&self, secret: &str) -> Result<Principal, Error> {
        let hash = hash(secret);
        let now = self.inner.clock.now();
        if let Some(known) = self.remembered(&hash, now) {
            return Ok(known);
        }
        let token = self.inner.store.token_by_hash(hash).await?;
        let token = token
            .filter(|token| token.is_valid_at(now))
            .ok_or(Error::Unauthenticated)?;
        let principal = self.principal(&token).await?;
        let soon = now + TOKEN_CACHE_SECONDS_MAX * SECOND;
        let until = token.expires_at.map_or(soon, |end| end.min(soon));
        self.remember(hash, &principal, until, now);
        Ok(principal)
    }

    fn remembered(&self, hash: &[u8; 32], now: i64) -> Option<Principal> {
        let remembered = lock(&self.inner.remembered);
        let known = remembered.get(hash).filter(|known| now < known.until)?;
        Some(known.principal.clone())
    }

    fn remember(&self, hash: [u8; 32], principal: &Principal, until: i64, now: i64) {
        let mut remembered = lock(&self.inner.remembered);
        if remembered.len() >= TOKEN_CACHE_ENTRIES_MAX {
            remembered.retain(|_, known| now < known.until);
        }
        if remembered.len() < TOKEN_CACHE_ENTRIES_MAX {
            let principal = principal.clone();
            remembered.insert(hash, Remembered { principal, until });
        }
    }

    async fn principal(&self, token: &Token) -> Result<Principal, Error> {
        match token.subject.clone() {
            Subject::Operator { user } => Ok(Principal::Operator {
                user,
                token: token.id,
            }),
            Subject::User {
                network,
                user,
                role,
            } => {
                let network = self.inner.store.network(network).await?;
                let network = network.ok_or(Error::Unauthenticated)?;
                Ok(Principal::User {
                    network: network.id,
                    network_name: network.name,
                    user,
                    role,
                    token: token.id,
                })
            }
            Subject::Agent {
                network,
                repository,
            } => {
                let repository = self.inner.store.repository(network, repository).await?;
                let repository = repository.ok_or(Error::Unauthenticated)?;
                let network = self.inner.store.network(network).await?;
                let network = network.ok_or(Error::Unauthenticated)?;
                Ok(Principal::Agent {
                    network: network.id,
                    network_name: network.name,
                    repository: repository.id,
                    repository_name: repository.name,
                    side: repository.side,
                    token: token.id,
                })
            }
        }
    }

    /// Forgets a token that was just revoked here and ends its streams at once.
    pub(crate) fn revoked(&self, token: TokenId) {
        lock(&self.inner.remembered).retain(|_, known| known.principal.token() != token);
        if let Some(watched) = lock(&self.inner.watched).get(&token) {
            watched.ended.cancel();
        }
    }

    /// Waits until the token is revoked or expires; a stream selects on it (R-AGT-1: within 60 s).
    pub async fn until_revoked(&self, token: TokenId) {
        let watch = Watch::new(self, token);
        watch.ended.cancelled().await;
    }

    /// Runs until it is told to stop: looks, with one query for all open streams, which of their tokens have ended.
    pub async fn revocation_task(&self, shutdown: CancellationToken) {
        let work = async {
            loop {
                tokio::time::sleep(Duration::from_secs(REVOCATION_INTERVAL_SECONDS)).await;
                if let Err(error) = self.look_for_revoked().await {
                    tracing::warn!(error = %error, "could not look for revoked tokens");
                }
            }
        };
        shutdown.run_until_cancelled(work).await;
    }

    pub(crate) async fn look_for_revoked(&self) -> Result<(), Error> {
        let ids: Vec<TokenId> = lock(&self.inner.watched).keys().copied().collect();
        let now = self.inner.clock.now();
        for token in self.inner.store.invalid_tokens(&ids, now).await? {
            self.revoked(token);
        }
        Ok(())
    }
}

/// Keeps a token among the watched ones while it lives.
struct Watch<'a> {
    authentication: &'a Authentication,
    token: TokenId,
    ended: CancellationToken,
}

impl<'a> Watch<'a> {
    fn new(authentication: &'a Authentication, token: TokenId) -> Self {
        let mut watched = lock(&authentication.inner.watched);
        let entry = watched.entry(token).or_default();
        entry.watchers += 1;
        Self {
            authentication,
            token,
            ended: entry.ended.clone(),
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) =
            lock(&self.authentication.inner.watched).entry(self.token)
        {
            entry.get_mut().watchers -= 1;
            if entry.get().watchers == 0 {
                entry.remove();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::Role;
    use crate::service::Coordinator;
    use crate::service::access::TokenSubject;
    use crate::storage::testing::TestStore;

    struct Fixture {
        coordinator: Coordinator,
        clock: Clock,
        _store: TestStore,
    }

    impl Fixture {
        async fn new() -> Self {
            let test = TestStore::new().await;
            let clock = Clock::manual(1_000 * SECOND);
            test.store.create_network("acme", "", 0).await.unwrap();
            Self {
                coordinator: Coordinator::new(test.store.clone(), clock.clone()),
                clock,
                _store: test,
            }
        }

        async fn token(&self, expires_at: Option<i64>) -> (TokenId, String) {
            let operator = Principal::Operator {
                user: "root".to_owned(),
                token: TokenId::default(),
            };
            let scope = self.coordinator.for_admin(&operator, "acme").await.unwrap();
            let subject = TokenSubject::User {
                user: "alice".to_owned(),
                role: Role::User,
            };
            let made = scope.create_token(subject, expires_at).await.unwrap();
            (made.token.id, made.secret)
        }

        async fn opens(&self, secret: &str) -> bool {
            let answer = self.coordinator.authentication.authenticate(secret).await;
            assert!(matches!(answer, Ok(_) | Err(Error::Unauthenticated)));
            answer.is_ok()
        }

        /// As another coordinator on the same database would.
        async fn revoke_elsewhere(&self, token: TokenId) {
            let store = &self.coordinator.store;
            let network = store.network_by_name("acme").await.unwrap().unwrap().id;
            let now = self.clock.now();
            assert!(store.revoke_token(Some(network), token, now).await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_token_is_remembered_for_thirty_seconds_at_most() {
        let fixture = Fixture::new().await;
        let (token, secret) = fixture.token(None).await;
        assert!(fixture.opens(&secret).await);
        fixture.revoke_elsewhere(token).await;
        fixture.clock.advance(29 * SECOND);
        assert!(fixture.opens(&secret).await);
        fixture.clock.advance(SECOND);
        assert!(!fixture.opens(&secret).await);
    }

    #[tokio::test]
    async fn a_remembered_token_ends_when_it_expires() {
        let fixture = Fixture::new().await;
        let (_, secret) = fixture.token(Some(1_005 * SECOND)).await;
        assert!(fixture.opens(&secret).await);
        fixture.clock.advance(5 * SECOND);
        assert!(!fixture.opens(&secret).await);
    }

    #[tokio::test]
    async fn r_agt_1_the_streams_of_a_revoked_token_end() {
        let fixture = Fixture::new().await;
        let authentication = &fixture.coordinator.authentication;
        let (kept, _) = fixture.token(None).await;
        let (revoked, _) = fixture.token(None).await;
        let (expired, _) = fixture.token(Some(1_005 * SECOND)).await;
        let mut stays = Box::pin(authentication.until_revoked(kept));
        let mut ends = Box::pin(futures::future::join(
            authentication.until_revoked(revoked),
            authentication.until_revoked(expired),
        ));
        assert!(futures::poll!(&mut stays).is_pending());
        assert!(futures::poll!(&mut ends).is_pending());
        fixture.revoke_elsewhere(revoked).await;
        fixture.clock.advance(5 * SECOND);
        authentication.look_for_revoked().await.unwrap();
        ends.await;
        assert!(futures::poll!(&mut stays).is_pending());
        drop(stays);
        assert!(lock(&authentication.inner.watched).is_empty());
    }

    #[test]
    fn secrets_are_long_and_differ() {
        let (one, other) = (new_secret(), new_secret());
        assert_eq!(one.len(), SECRET_PREFIX.len() + 64);
        assert_ne!(one, other);
        assert_ne!(hash(&one), hash(&other));
    }
}
