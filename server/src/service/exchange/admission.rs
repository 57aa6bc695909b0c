//! The handshake: one live session for each repository (R-AGT-1, R-AGT-2, R-AGT-4).

use std::sync::Arc;

use super::{Declared, Session, Wires};
use crate::domain::ids::{Generation, RepositoryId};
use crate::domain::journal::{Entry, JournalKind};
use crate::domain::session::{Admitted, Greeting, Refused, ResumeKey, admit};
use crate::service::command::{Handle, command_queue};
use crate::service::ingest::{Batch, Pending};
use crate::service::{AgentScope, Error};
use crate::storage::Tx;
use crate::storage::sync::scans::{self, ScanKind};
use crate::storage::sync::{generations, greetings, journal};

/// What an agent shows and declares, decoded and checked.
#[derive(Debug, Clone)]
pub struct Hello {
    /// What it shows.
    pub greeting: Greeting,
    /// What its repository can do.
    pub declared: Declared,
    /// Deliveries that may be on their way to it.
    pub deliveries_max: usize,
    /// Bytes of content that those may name.
    pub bytes_max: i64,
}

/// What the agent is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The epoch of the session.
    pub epoch: i64,
    /// The key it is to show next time.
    pub key: ResumeKey,
    /// The last batch accepted.
    pub batch_number: i64,
    /// Its id.
    pub batch_id: Vec<u8>,
    /// Its cursor.
    pub cursor: Vec<u8>,
    /// The generation of the repository.
    pub generation: Generation,
}

impl AgentScope {
    /// Opens a session, if no other one has the right to it.
    ///
    /// # Errors
    /// [`Error::RepositoryCloned`], [`Error::ProtocolUnsupported`], [`Error::Draining`].
    pub async fn open_session(&self, hello: Hello) -> Result<(Welcome, Session, Wires), Error> {
        if self.coordinator.draining.is_cancelled() {
            return Err(Error::Draining);
        }
        if self.coordinator.sessions.answers(self.repository).await {
            self.note_clone().await?;
            return Err(Error::RepositoryCloned);
        }
        let scope = self.clone();
        let greeting = Arc::new((hello.greeting.clone(), hello.declared.clone()));
        let admitted = self
            .coordinator
            .uncancelled(async move { scope.admit(greeting).await })
            .await?;
        let (epoch, new_generation, welcome) = match admitted {
            Ok(admitted) => admitted,
            Err(Refused::Protocol) => {
                return Err(Error::ProtocolUnsupported { min: 1, max: 1 });
            }
            Err(Refused::Cloned) => {
                self.note_clone().await?;
                return Err(Error::RepositoryCloned);
            }
        };
        tracing::info!(
            repository.name = %self.repository_name, epoch, new_generation, "session opened"
        );
        let (session, wires) = self.enter(epoch, &hello);
        Ok((welcome, session, wires))
    }

    pub(in crate::service) fn enter(&self, epoch: i64, hello: &Hello) -> (Session, Wires) {
        let (commands, asked) = command_queue();
        let (pings, pinged) = tokio::sync::mpsc::channel(1);
        let superseded = tokio_util::sync::CancellationToken::new();
        let handle = Handle {
            epoch,
            commands,
            pings,
            superseded: superseded.clone(),
        };
        self.coordinator.sessions.enter(self.repository, handle);
        (
            Session::new(self.clone(), epoch, hello),
            Wires {
                asked,
                pinged,
                superseded,
            },
        )
    }

    async fn admit(
        &self,
        hello: Arc<(Greeting, Declared)>,
    ) -> Result<Result<(i64, bool, Welcome), Refused>, Error> {
        let secret = rand::random();
        let now = self.coordinator.clock.now();
        let hello = &hello;
        self.coordinator
            .store
            .write(|tx| async move { self.admit_in(&tx, hello, secret, now).await })
            .await
    }

    async fn admit_in(
        &self,
        tx: &Tx,
        hello: &(Greeting, Declared),
        secret: u64,
        now: i64,
    ) -> Result<Result<(i64, bool, Welcome), Refused>, Error> {
        journal::lock_in(&**tx, self.network).await?;
        let (greeting, declared) = hello;
        let remembered = greetings::remembered_in(&**tx, self.repository).await?;
        let Admitted {
            epoch,
            new_generation,
        } = match admit(&remembered, greeting) {
            Ok(admitted) => admitted,
            Err(refused) => return Ok(Err(refused)),
        };
        let generation = match new_generation {
            true => Generation(remembered.generation.max(greeting.generation).0 + 1),
            false => Generation(remembered.generation.0.max(1)),
        };
        let key = ResumeKey { epoch, secret };
        let bound = greetings::Bound {
            epoch,
            generation,
            key,
            greeting,
            declared,
        };
        greetings::bind_in(&**tx, self.repository, &bound).await?;
        if new_generation {
            let kind = ScanKind::Generation;
            if scans::ask_all_in(&**tx, self.repository, kind, false).await? {
                generations::begin_in(&**tx, self.repository).await?;
            }
            self.journal_session(tx, "a new generation began; everything is scanned", now)
                .await?;
        }
        let last = greetings::last_batch_in(&**tx, self.repository).await?;
        let welcome = Welcome {
            epoch: epoch.0,
            key,
            batch_number: last.number,
            batch_id: last.id,
            cursor: last.cursor,
            generation,
        };
        Ok(Ok((epoch.0, new_generation, welcome)))
    }

    async fn journal_session(&self, tx: &Tx, message: &str, now: i64) -> Result<(), Error> {
        let entry = Entry {
            kind: JournalKind::Session,
            set: None,
            member: None,
            side: Some(self.side),
            actor: self.repository_name.clone(),
            node_name: String::new(),
            message: message.to_owned(),
        };
        journal::append_in(&**tx, self.network, &[entry], now).await?;
        Ok(())
    }

    async fn note_clone(&self) -> Result<(), Error> {
        tracing::warn!(
            repository.name = %self.repository_name,
            "another copy of the repository was refused; stop it, or rebind the repository"
        );
        let scope = self.clone();
        let now = self.coordinator.clock.now();
        self.coordinator
            .uncancelled(async move {
                let scope = &scope;
                scope
                    .coordinator
                    .store
                    .write(|tx| async move {
                        greetings::note_clone_in(&*tx, scope.repository).await?;
                        scope.journal_session(&tx, "a clone was refused", now).await
                    })
                    .await
            })
            .await
    }

    /// The agent has stored the key of its welcome; from now on it is the one that counts.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn confirm_key(&self, key: ResumeKey) -> Result<(), Error> {
        let scope = self.clone();
        self.coordinator
            .uncancelled(async move {
                let repository: RepositoryId = scope.repository;
                scope
                    .coordinator
                    .store
                    .write(
                        |tx| async move { Ok(greetings::confirm_in(&*tx, repository, key).await?) },
                    )
                    .await
            })
            .await
    }
}

impl AgentScope {
    /// Hands a batch of this repository to the writer of its network.
    ///
    /// # Errors
    /// [`Error::Draining`].
    pub async fn begin_batch(&self, batch: Batch) -> Result<Pending, Error> {
        self.coordinator.ingest.begin(self.network, batch).await
    }
}
