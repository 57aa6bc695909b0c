//! Backups of a store that is being written to.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;

use super::files::quietly;
use super::*;
use crate::domain::ids::{NetworkId, RepositoryId};
use crate::service::content::{
    Collected, Collector, CollectorOptions, Content, Sender, Sent, digest_of,
};
use crate::service::{Clock, Coordinator};
use crate::storage::testing::{Home, TestStore};
use crate::storage::{Store, sql};

const START: i64 = 1_000_000_000_000_000;
const HOUR: i64 = 3_600_000_000;
const HQ: Sender = Sender {
    network: NetworkId(1),
    repository: RepositoryId(1),
};

struct Served {
    test: TestStore,
    clock: Clock,
    content: Content,
}

impl Served {
    async fn new() -> Self {
        Self::of(TestStore::sqlite().await)
    }

    fn of(test: TestStore) -> Self {
        let clock = Clock::manual(START);
        let objects = Objects::open(&test.home.path().join("content")).unwrap();
        let coordinator = Coordinator::new(test.store.clone(), clock.clone());
        let content = Content::new(coordinator, objects);
        Self {
            test,
            clock,
            content,
        }
    }

    /// Stores a content of its own that is too large for the database.
    async fn put(&self, number: usize) -> Digest {
        let bytes = Bytes::from(vec![u8::try_from(number % 256).unwrap(); 100_000 + number]);
        let digest = digest_of(&bytes);
        let size = i64::try_from(bytes.len()).unwrap();
        let sent = vec![Sent {
            digest,
            size,
            bytes,
        }];
        self.content.batch_write(HQ, sent).await.unwrap();
        digest
    }

    fn options(&self, name: &str) -> BackupOptions {
        BackupOptions {
            directory: self.test.home.path().join(name),
            place: self.test.home.options().place,
            content: self.test.home.path().join("content"),
            link: false,
            content_only: false,
        }
    }

    async fn back_up(&self, options: &BackupOptions) -> Result<Made, Error> {
        back_up(options, &self.clock, quietly()).await
    }

    async fn collect(&self) -> Collected {
        let collector = Collector::new(self.content.clone(), CollectorOptions::default());
        collector.pass().await.unwrap()
    }
}

async fn repository(store: &Store) {
    let made = store.write(|tx| async move {
        let texts = [
            "INSERT INTO network (id, name, display_name, created_at) VALUES (1, 'acme', '', 0)",
            "INSERT INTO repository (id, network, name, side, display_name, created_at) \
             VALUES (1, 1, 'hq', 'ON_PREMISE', '', 0)",
            "INSERT INTO upload (id, repository, digest, size, committed, updated_at) \
             VALUES (x'01', 1, x'02', 9, 5, 0)",
        ];
        for text in texts {
            sql::execute(&*tx, text, []).await?;
        }
        Ok::<_, storage::Error>(())
    });
    made.await.unwrap();
}

async fn number(store: &Store, text: &str) -> i64 {
    let row = sql::one(store.reader(), text, []).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

fn object(directory: &Path, id: BlobId) -> PathBuf {
    content_index::object_below(&directory.join(CONTENT), id)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_meanwhile_is_in_a_backup_whole_or_not_at_all() {
    let served = Served::new().await;
    served.put(0).await;
    let options = served.options("backup");
    let stop = tokio_util::sync::CancellationToken::new();
    let writes = async {
        let mut number = 1;
        while !stop.is_cancelled() {
            served.put(number).await;
            number += 1;
        }
        number
    };
    let backs_up = async {
        let made = served.back_up(&options).await;
        stop.cancel();
        made.unwrap()
    };
    let (written, made) = tokio::join!(writes, backs_up);
    assert!(written > 1, "nothing was written meanwhile");
    assert_eq!(made.copied.left_out, []);
    assert!(made.copied.objects >= 1);
    let place = Place::File(options.directory.join(DATABASE));
    let copy = Reading::open(&place).await.unwrap();
    let named = content_index::objects_behind(copy.connection(), None, 100_000);
    let named = named.await.unwrap();
    assert_eq!(named.len() as u64, made.copied.objects);
    for blob in named {
        let bytes = std::fs::read(object(&options.directory, blob.id)).unwrap();
        assert_eq!(digest_of(&bytes), blob.digest);
    }
    assert_eq!(Manifest::read(&options.directory).unwrap(), made.manifest);
    assert!(!files::beside(&options.directory, ".part").exists());
}

#[tokio::test]
async fn nothing_is_collected_while_a_backup_is_made_and_none_begins_meanwhile() {
    let served = Served::new().await;
    served.put(1).await;
    served.clock.advance(2 * HOUR);
    let objects = Objects::open(&served.options("").content).unwrap();
    let hold = objects.hold_collection().unwrap().unwrap();
    assert_eq!(served.collect().await, Collected::default());
    drop(hold);
    let collecting = objects.begin_collecting().unwrap().unwrap();
    let waited = Arc::new(Mutex::new(Some(collecting)));
    let told: Told = Arc::new(move |step| {
        if step == Step::Waiting {
            // Collection ends only when the backup has said that it waits.
            waited.lock().unwrap().take();
        }
    });
    let options = served.options("backup");
    let made = back_up(&options, &served.clock, told).await.unwrap();
    assert_eq!(made.copied.objects, 1);
    assert_eq!(served.collect().await.contents, 1);
}

#[tokio::test]
async fn what_is_missing_or_damaged_is_named_and_left_out() {
    let served = Served::new().await;
    let [whole, missing, damaged] = [
        served.put(1).await,
        served.put(2).await,
        served.put(3).await,
    ];
    let all = served.test.store.objects_behind(None).await.unwrap();
    let id = |digest| all.iter().find(|blob| blob.digest == digest).unwrap().id;
    let at = |digest| object(served.test.home.path(), id(digest));
    std::fs::remove_file(at(missing)).unwrap();
    std::fs::write(at(damaged), vec![9; 100_003]).unwrap();
    let options = served.options("backup");
    let made = served.back_up(&options).await.unwrap();
    assert_eq!(made.copied.objects, 1);
    let left_out: Vec<_> = made
        .copied
        .left_out
        .iter()
        .map(|out| (out.digest, out.is))
        .collect();
    assert!(left_out.contains(&(missing, Kept::Missing)), "{left_out:?}");
    assert!(left_out.contains(&(damaged, Kept::Damaged)), "{left_out:?}");
    assert!(object(&options.directory, id(whole)).exists());
    assert!(!object(&options.directory, id(damaged)).exists());
}

#[tokio::test]
async fn r_agt_4_a_restored_database_is_marked_and_what_lacks_is_asked_for() {
    let served = Served::new().await;
    repository(&served.test.store).await;
    let (kept, lost) = (served.put(1).await, served.put(2).await);
    let mut options = served.options("backup");
    options.link = true;
    let made = served.back_up(&options).await.unwrap();
    assert_eq!(made.copied.objects, 2);
    let all = served.test.store.objects_behind(None).await.unwrap();
    let id = all.iter().find(|blob| blob.digest == lost).unwrap().id;
    std::fs::remove_file(object(&options.directory, id)).unwrap();
    let home = served.test.home.path().join("elsewhere");
    let place = Place::File(home.join("tandem.db"));
    let target = RestoreOptions {
        directory: options.directory.clone(),
        place: place.clone(),
        content: home.join("content"),
        replace: false,
    };
    let restored = restore(&target, &served.clock, quietly()).await.unwrap();
    assert_eq!(restored.repositories, 1);
    assert_eq!(restored.copied.left_out.len(), 1);
    assert!(restored.put_aside.is_empty(), "{restored:?}");
    let store = Store::open(crate::storage::Options::new(place))
        .await
        .unwrap();
    assert_eq!(number(&store, "SELECT restored FROM repository").await, 1);
    assert_eq!(number(&store, "SELECT count(*) FROM upload").await, 0);
    let present = content_index::presence(store.reader(), HQ.repository, &[kept, lost]).await;
    let present: Vec<Digest> = present.unwrap().into_keys().collect();
    assert_eq!(present, [kept]);
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing_and_two_at_once_are_refused() {
    let served = Served::new().await;
    let options = served.options("backup");
    let part = files::beside(&options.directory, ".part");
    let other = files::begin_part(&part).unwrap();
    let refused = served.back_up(&options).await.unwrap_err();
    assert!(matches!(refused, Error::Running(_)), "{refused}");
    drop(other);
    std::fs::write(part.join("what an earlier try left"), "").unwrap();
    served.back_up(&options).await.unwrap();
    let mut server = served.options("another");
    server.place = Place::parse("postgres://db.example.net/tandem").unwrap();
    let refused = served.back_up(&server).await.unwrap_err();
    assert!(refused.to_string().contains("pg_dump"), "{refused}");
    assert!(!server.directory.exists());
}

#[tokio::test]
async fn a_backup_may_be_named_as_shells_complete_it_and_lies_outside_the_content_store() {
    let served = Served::new().await;
    served.back_up(&served.options("backup/")).await.unwrap();
    let made = served.options("backup").directory;
    assert!(made.join("manifest.json").exists());
    let within = served.back_up(&served.options("content/backup")).await;
    let Err(Error::Within(path)) = within else {
        panic!("{within:?}");
    };
    assert!(!path.exists());
}

#[tokio::test]
async fn backups_of_another_form_or_kind_are_refused() {
    let served = Served::new().await;
    let options = served.options("backup");
    served.back_up(&options).await.unwrap();
    let path = options.directory.join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let home = served.test.home.path().join("elsewhere");
    let mut target = RestoreOptions {
        directory: options.directory.clone(),
        place: Place::parse("postgres://db.example.net/tandem").unwrap(),
        content: home.join("content"),
        replace: false,
    };
    let refused = restore(&target, &served.clock, quietly())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("SQLite"), "{refused}");
    target.place = Place::File(home.join("tandem.db"));
    std::fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    let refused = restore(&target, &served.clock, quietly())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("another format"), "{refused}");
    std::fs::write(&path, "{").unwrap();
    let refused = restore(&target, &served.clock, quietly())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("damaged"), "{refused}");
    target.directory = home;
    let refused = restore(&target, &served.clock, quietly())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("tandemd backup"), "{refused}");
}

/// Writers would wait with it (ARCHITECTURE, invariant 13).
#[tokio::test]
async fn a_checkpoint_does_not_wait_for_a_long_reader() {
    let served = Served::new().await;
    let store = &served.test.store;
    let reading = store.snapshot().await.unwrap();
    sql::one(&reading, "SELECT count(*) FROM blob", [])
        .await
        .unwrap();
    served.put(1).await;
    let begun = std::time::Instant::now();
    store.checkpoint_all().await.unwrap();
    let busy = Duration::from_secs(crate::domain::limits::STORE_BUSY_SECONDS_MAX);
    assert!(
        begun.elapsed() < busy / 2,
        "it waited: {:?}",
        begun.elapsed()
    );
    assert!(store.wal_bytes() > 0, "the reader still needs the log");
    reading.commit().await.unwrap();
    store.checkpoint_all().await.unwrap();
    assert_eq!(store.wal_bytes(), 0);
}

fn run(program: &str, arguments: &[&str]) {
    let output = std::process::Command::new(program).args(arguments).output();
    let output = output.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
}

fn url(home: &Home) -> String {
    match home.options().place {
        Place::Postgres(url) => url,
        Place::File(path) => panic!("{} is no server", path.display()),
    }
}

/// As the README tells it.
#[tokio::test]
#[ignore = "needs PostgreSQL: tests/postgres cargo test -- --include-ignored"]
async fn r_agt_4_a_database_of_a_server_is_dumped_by_its_tools_and_its_content_beside() {
    let served = Served::of(TestStore::new().await);
    repository(&served.test.store).await;
    served.put(1).await;
    let mut options = served.options("backup");
    let dump = served.test.home.path().join("tandem.dump");
    let dump = dump.to_str().unwrap();
    let from = url(&served.test.home);
    run("pg_dump", &["--format=custom", "--file", dump, &from]);
    options.content_only = true;
    let made = served.back_up(&options).await.unwrap();
    assert_eq!((made.copied.objects, &made.manifest.database), (1, &None));
    let home = Home::empty().await;
    let to = url(&home);
    run("pg_restore", &["--no-owner", "--dbname", &to, dump]);
    let target = RestoreOptions {
        directory: options.directory,
        place: home.options().place,
        content: home.path().join("content"),
        replace: false,
    };
    let restored = restore(&target, &served.clock, quietly()).await.unwrap();
    assert_eq!((restored.repositories, restored.copied.objects), (1, 1));
    let again = restore(&target, &served.clock, quietly()).await;
    assert!(matches!(again, Err(Error::NotEmpty(_))), "{again:?}");
    let store = Store::open(home.options()).await.unwrap();
    assert_eq!(
        number(&store, "SELECT count(*) FROM repository WHERE restored = 1").await,
        1
    );
    let named = store.objects_behind(None).await.unwrap();
    assert!(content_index::object_below(&target.content, named[0].id).exists());
}
