//! Tests on real directories. They wait for changes, never for time.

mod applying;
mod crashes;
mod durability;
mod identity;
mod power;
mod reports;
mod scans;
mod store;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tandem_proto::v1::{
    Absence, AbsenceKind, ContentRef, CreateNode, DeleteNode, Delivery, DeliveryId, NodeKind,
    Observation, Outcome, Place, Projection, UpdateNode, WatchRoot, delivery::Action,
    observation::State, outcome::Answer, place::Folder,
};
use tempfile::TempDir;

use super::{Directory, Options};
use crate::agent::repository::{Content, Repository, Seen, Work};

/// Long enough for a machine under load, never waited for in full when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory in a temporary place.
struct Fixture {
    home: TempDir,
    directory: Option<Directory>,
    root: String,
}

impl Fixture {
    /// An empty directory, open and watched.
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A directory with something in it before it is opened.
    async fn with(fill: impl FnOnce(&Path)) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(home.path().join("root")).expect("the root");
        fill(&home.path().join("root"));
        age(&home.path().join("root"));
        let mut fixture = Self {
            home,
            directory: None,
            root: String::new(),
        };
        fixture.open().await;
        fixture
    }

    fn options(&self) -> Options {
        Options::new(
            self.home.path().join("root"),
            self.home.path().join("state"),
        )
    }

    async fn open(&mut self) {
        let directory = Directory::open(self.options()).await.expect("it opens");
        let root = directory
            .resolve(&[], &[String::new()])
            .await
            .expect("the root");
        self.root = root[0].node_id.clone();
        directory
            .watch(&[self.watch_root(true)])
            .await
            .expect("it watches");
        self.directory = Some(directory);
    }

    fn close(&mut self) {
        self.directory = None;
    }

    async fn reopen(&mut self) {
        self.close();
        self.open().await;
    }

    fn watch_root(&self, include_subfolders: bool) -> WatchRoot {
        WatchRoot {
            node_id: self.root.clone(),
            include_subfolders,
            scan_id: Bytes::from_static(&[7; 16]),
            read_content: false,
            document: false,
        }
    }

    fn directory(&self) -> &Directory {
        self.directory.as_ref().expect("it is open")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("root").join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("it is written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("it is read")
    }

    async fn id(&self, path: &str) -> String {
        let found = self
            .directory()
            .resolve(&[], &[path.to_owned()])
            .await
            .expect("an answer");
        assert!(!found[0].missing, "{path} is missing");
        found[0].node_id.clone()
    }

    async fn observe(&self, id: &str) -> Observation {
        let seen = self
            .directory()
            .observe(&[id.to_owned()])
            .await
            .expect("it is seen");
        seen.into_iter().next().expect("one answer")
    }

    /// Scans everything to the end, in steps, and tells it by node id.
    async fn scan(&self, children_max: usize) -> BTreeMap<String, Observation> {
        let mut seen = BTreeMap::new();
        let mut position = Vec::new();
        loop {
            let step = self
                .directory()
                .scan(&self.watch_root(true), &position, children_max)
                .await
                .expect("a step");
            for page in step.pages {
                for child in page.children {
                    seen.insert(child.node_id.clone(), child);
                }
            }
            position = step.position;
            if step.outcome.is_some() {
                return seen;
            }
        }
    }

    /// The next changes, noted as reported.
    async fn changes(&self) -> Vec<Observation> {
        let offered = tokio::time::timeout(PATIENCE, self.directory().changes(1000));
        let offered = offered.await.expect("something changes").expect("changes");
        let seen: Vec<Seen> = offered.iter().map(seen).collect();
        self.directory().reported(&seen).await.expect("noted");
        offered
    }

    /// Changes until all of these hold at once, by node id.
    async fn until(
        &self,
        mut done: impl FnMut(&BTreeMap<String, Observation>) -> bool,
    ) -> BTreeMap<String, Observation> {
        let mut latest = BTreeMap::new();
        while !done(&latest) {
            for change in self.changes().await {
                latest.insert(change.node_id.clone(), change);
            }
        }
        latest
    }

    /// What was changed before a mark that is made now: everything that was to be told is told by then.
    async fn told(&self) -> BTreeMap<String, Observation> {
        let mark = self.path("zz-mark");
        fs::write(&mark, "mark").expect("the mark");
        let mut seen = self
            .until(|seen| seen.values().any(|change| name(change) == "zz-mark"))
            .await;
        fs::remove_file(mark).expect("the mark goes");
        let mark = seen.values().find(|change| name(change) == "zz-mark");
        let mark = mark.expect("the mark").node_id.clone();
        // What was written just before may have to rest longer than the mark.
        let rest = self.until(|seen| seen.get(&mark).is_some_and(|mark| absent(mark).is_some()));
        seen.extend(rest.await);
        seen.into_iter().filter(|(id, _)| *id != mark).collect()
    }

    async fn apply(&self, delivery: Delivery, content: Option<&str>) -> Answer {
        let outcome = self
            .apply_all(vec![work(delivery, content)])
            .await
            .remove(0);
        outcome.answer.expect("an answer")
    }

    async fn apply_all(&self, work: Vec<Work>) -> Vec<Outcome> {
        self.directory().apply(work).await
    }
}

/// Makes files look as if they had been written a while ago; a scan leaves out what is being written.
fn age(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let stat = super::os::stat_path_itself(&path).expect("it is there");
        match stat.kind {
            super::os::FileKind::Folder => age(&path),
            super::os::FileKind::File => {
                let file = fs::File::open(&path).expect("it opens");
                let earlier = super::reading::now() - 1_000_000_000;
                super::os::set_modified(&file, earlier).expect("it ages");
            }
            _ => {}
        }
    }
}

fn seen(observation: &Observation) -> Seen {
    Seen {
        node_id: observation.node_id.clone(),
        revision: observation.revision.clone(),
    }
}

fn present(observation: &Observation) -> &Projection {
    match &observation.state {
        Some(State::Present(projection)) => projection,
        other => panic!("it is not there: {other:?}"),
    }
}

fn name(observation: &Observation) -> &str {
    match &observation.state {
        Some(State::Present(projection)) => &projection.name,
        _ => "",
    }
}

fn absent(observation: &Observation) -> Option<AbsenceKind> {
    match &observation.state {
        Some(State::Absent(absence @ Absence { .. })) => Some(absence.kind()),
        _ => None,
    }
}

fn text(observation: &Observation) -> String {
    let content = present(observation).content.as_ref().expect("content");
    String::from_utf8(content.inline.as_ref().expect("inline").to_vec()).expect("a text")
}

fn content_ref(text: &str) -> ContentRef {
    ContentRef {
        digest: Sha256::digest(text).to_vec().into(),
        size: i64::try_from(text.len()).expect("small"),
        inline: None,
    }
}

fn document(name: &str, content: &str) -> Projection {
    Projection {
        kind: NodeKind::Document.into(),
        name: name.to_owned(),
        content: Some(content_ref(content)),
        ..Projection::default()
    }
}

fn folder(name: &str) -> Projection {
    Projection {
        kind: NodeKind::Folder.into(),
        name: name.to_owned(),
        ..Projection::default()
    }
}

fn in_node(id: &str) -> Option<Place> {
    Some(Place {
        folder: Some(Folder::NodeId(id.to_owned())),
    })
}

fn in_member(member: u8) -> Option<Place> {
    Some(Place {
        folder: Some(Folder::MemberId(Bytes::copy_from_slice(&[member; 16]))),
    })
}

fn delivery(member: u8, action: Action) -> Delivery {
    Delivery {
        id: Some(DeliveryId {
            member_id: Bytes::copy_from_slice(&[member; 16]),
            source_version: 1,
        }),
        action: Some(action),
        act_as: "alice".to_owned(),
        conflict: None,
    }
}

fn create(member: u8, parent: Option<Place>, projection: Projection) -> Delivery {
    delivery(
        member,
        Action::Create(CreateNode {
            parent,
            projection: Some(projection),
            locked: false,
        }),
    )
}

fn update(member: u8, seen: &Observation, projection: Projection) -> Delivery {
    delivery(
        member,
        Action::Update(UpdateNode {
            node_id: seen.node_id.clone(),
            expected_revision: seen.revision.clone(),
            projection: Some(projection),
            parent: None,
            locked: false,
        }),
    )
}

fn delete(member: u8, seen: &Observation) -> Delivery {
    delivery(
        member,
        Action::Delete(DeleteNode {
            node_id: seen.node_id.clone(),
            expected_revision: seen.revision.clone(),
            with_content: false,
        }),
    )
}

fn work(delivery: Delivery, content: Option<&str>) -> Work {
    Work {
        delivery,
        content: content.map(|text| Content::Bytes(Bytes::copy_from_slice(text.as_bytes()))),
    }
}

fn applied(answer: Answer) -> Observation {
    match answer {
        Answer::Applied(applied) => applied.result.expect("a result"),
        other => panic!("not applied: {other:?}"),
    }
}

fn stale(answer: Answer) -> Observation {
    match answer {
        Answer::Stale(stale) => stale.seen.expect("something seen"),
        other => panic!("not stale: {other:?}"),
    }
}

fn failed(answer: Answer) -> tandem_proto::v1::Failed {
    match answer {
        Answer::Failed(failed) => failed,
        other => panic!("not failed: {other:?}"),
    }
}
