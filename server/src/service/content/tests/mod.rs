//! Real SQLite and real files; time is moved by hand.

mod chunking;
mod collecting;
mod possession;
mod reading;
mod uploading;

use std::path::PathBuf;

use bytes::Bytes;
use futures::TryStreamExt;
use sea_orm::Value;
use uuid::Uuid;

use super::*;
use crate::domain::access::Side;
use crate::domain::ids::{ConflictId, MemberId, Position, SyncSetId};
use crate::service::Clock;
use crate::storage::sql;
use crate::storage::testing::TestStore;

/// Before every real file was written, so that files are young until time is moved.
const START: i64 = 1_000_000_000_000_000;
const MINUTE: i64 = 60 * 1_000_000;

pub(super) struct Fixture {
    test: TestStore,
    clock: Clock,
    content: Content,
}

/// The network of [`HQ`] and [`CLOUD`].
const ACME: NetworkId = NetworkId(1);
/// Another tenant.
const OTHER: NetworkId = NetworkId(2);
const HQ: Sender = sender(ACME, 1);
const CLOUD: Sender = sender(ACME, 2);
const STRANGER: Sender = sender(OTHER, 3);

const fn sender(network: NetworkId, repository: i64) -> Sender {
    Sender {
        network,
        repository: RepositoryId(repository),
    }
}

const fn agent(sender: Sender) -> Reader {
    Reader::Agent {
        network: sender.network,
        repository: sender.repository,
    }
}

impl Fixture {
    async fn new() -> Self {
        let test = TestStore::new().await;
        let clock = Clock::manual(START);
        let content = Self::open(&test, &clock);
        Self {
            test,
            clock,
            content,
        }
    }

    fn open(test: &TestStore, clock: &Clock) -> Content {
        let objects = Objects::open(&test.home.path().join("content")).unwrap();
        Content::new(Coordinator::new(test.store.clone(), clock.clone()), objects)
    }

    /// The coordinator dies and comes back: what was only in memory is gone.
    async fn restart(self) -> Self {
        let Self {
            test,
            clock,
            content,
        } = self;
        test.store.close().await.unwrap();
        drop(content);
        let TestStore { store, home } = test;
        drop(store);
        let store = Store::open(home.options()).await;
        let test = TestStore {
            store: store.unwrap(),
            home,
        };
        let content = Self::open(&test, &clock);
        Self {
            test,
            clock,
            content,
        }
    }

    async fn execute(&self, text: &'static str, values: impl IntoIterator<Item = Value>) {
        let values: Vec<Value> = values.into_iter().collect();
        let values = &values;
        self.test
            .store
            .write(|tx| async move { sql::execute(&*tx, text, values.clone()).await })
            .await
            .unwrap();
    }

    /// Runs a statement on a list of that many rows, each an id and a digest of its own.
    async fn execute_for(&self, count: usize, text: &'static str) {
        let row = |number| [format!("{number:032x}"), format!("{number:064x}")];
        let rows: Vec<[String; 2]> = (0..count).map(row).collect();
        let rows = serde_json::to_string(&rows).unwrap();
        self.execute(text, [rows.into()]).await;
    }

    async fn number(&self, text: &'static str) -> i64 {
        let row = sql::one(self.test.store.reader(), text, []).await.unwrap();
        row.unwrap().try_get_by_index(0).unwrap()
    }

    fn files(&self, directory: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut directories = vec![self.test.home.path().join("content").join(directory)];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        files
    }

    async fn put(&self, sender: Sender, bytes: &Bytes) -> Digest {
        self.content
            .batch_write(sender, vec![sent(bytes)])
            .await
            .unwrap();
        digest_of(bytes)
    }

    async fn is_missing(&self, sender: Sender, digest: Digest) -> bool {
        let missing = self
            .content
            .find_missing(sender, vec![digest])
            .await
            .unwrap();
        missing == [digest]
    }

    /// A set of [`HQ`] and [`CLOUD`] with a member whose on-premise copy has this content.
    async fn member(&self, digest: Digest) -> (SyncSetId, MemberId) {
        let (set, member) = (SyncSetId(Uuid::now_v7()), MemberId(Uuid::now_v7()));
        let node = member.to_string();
        self.execute(
            "INSERT INTO sync_set (id, network, on_premise_repository, cloud_repository, root, target, source_folder, \
             include_subfolders, lock_on_premise_copy, allow_delete_on_cloud, delete_on_premise, \
             max_delete_percent, owner, ending, members, pending, failed, bytes, gate, deletions, \
             guard_since, counting) \
             VALUES (?, 1, 1, 2, x'', '', '', TRUE, FALSE, TRUE, FALSE, 50, '', FALSE, 0, 0, 0, 0, 0, 0, 0, 0)",
            [set.to_bytes().into()],
        )
        .await;
        self.execute(
            "INSERT INTO member VALUES (?, ?, 1, FALSE, 0, 0, ?, NULL, 0, x'')",
            [
                member.to_bytes().into(),
                set.to_bytes().into(),
                node.clone().into(),
            ],
        )
        .await;
        self.execute(
            "INSERT INTO copy VALUES (1, ?, ?, 0, '', '', '', ?, FALSE, '', x'', x'', 0, FALSE)",
            [
                node.into(),
                member.to_bytes().into(),
                digest.0.to_vec().into(),
            ],
        )
        .await;
        (set, member)
    }

    async fn version(&self, member: MemberId, sender: Sender, digest: Digest, keep: Option<i64>) {
        self.execute(
            "INSERT INTO version (member, position, side, repository, digest, size, reason, keep_until, created_at) \
             VALUES (?, 7, 'ON_PREMISE', ?, ?, 0, 'CURRENT', ?, 0)",
            [
                member.to_bytes().into(),
                sender.repository.0.into(),
                digest.0.to_vec().into(),
                keep.into(),
            ],
        )
        .await;
    }

    async fn read_all(&self, reader: Reader, source: Source, offset: i64) -> Result<Bytes, Error> {
        let chunks: Vec<_> = self
            .content
            .read(reader, source, offset, None)
            .await?
            .try_collect()
            .await?;
        Ok(chunks
            .iter()
            .flat_map(|chunk| chunk.data.to_vec())
            .collect())
    }
}

fn sent(bytes: &Bytes) -> Sent {
    Sent {
        digest: digest_of(bytes),
        size: i64::try_from(bytes.len()).unwrap(),
        bytes: bytes.clone(),
    }
}

/// Bytes that differ with the seed and everywhere inside.
fn bytes(seed: u8, length: usize) -> Bytes {
    let mut state = u64::from(seed) + 1;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn of_member(member: MemberId, digest: Digest) -> Source {
    let name = SourceName::Member(member);
    Source { name, digest }
}
