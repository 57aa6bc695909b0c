//! Real processes die at each crash point by name, are started again, and the end is the one without a crash (I22): both
//! trees, every version, every conflict. That a point was hit shows in how the process ended (SIGABRT).
//!
//! The points are in builds with debug assertions alone (`tests/crash/src/lib.rs`), and so is this.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};
use tandem_proto::v1 as wire;
use tandem_proto::v1::restore_version_request::Source;
use tandem_server::storage::{Error as StorageError, Options, Place, Store, sql};
use tandem_tests::agents::DirectoryAgent;
use tandem_tests::coordinator::Coordinator;
use tandem_tests::generate;
use tandem_tests::pair::{PATIENCE, write};
use tandem_tests::process::Process;
use tandem_tests::tree::Tree;
use tandem_tests::wait::poll;

const NETWORK: &str = "acme";
/// Runs at a time; most of one is waiting.
const AT_ONCE: usize = 4;
/// More than one message, and several pieces of a temporary file.
const LARGE: usize = 1_400_000;
/// Too large for the database, so that it lies in a file of its own.
const OBJECT: usize = 200_000;

/// A process that dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Coordinator,
    OnPremise,
    Cloud,
}
use Who::{Cloud, OnPremise};

const ALL: [Who; 3] = [Who::Coordinator, OnPremise, Cloud];

/// What goes on around the points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    /// The coordinator makes its database.
    Birth,
    /// Much was changed on both sides while nothing ran, and is synced now.
    Edits,
    /// As before, while the coordinator is asked to end whenever it serves.
    Shutdown,
    /// After the edits, what nobody needs any more is collected.
    Collect,
    /// After the edits, the journal is shortened.
    Shorten,
    /// The set ends, and both copies stay.
    Unsync,
    /// The set ends, and the cloud copy goes.
    Remove,
}

/// A script, and who dies in it where: `S7:3` is the third time that S7 is reached since the start of the process.
type Run = (Script, &'static [(Who, &'static str)]);

const S: Who = Who::Coordinator;

const RUNS: &[Run] = &[
    (Script::Birth, &[(S, "S12:5")]),
    (Script::Edits, &[(S, "S1:2"), (Cloud, "K5:3")]),
    (Script::Edits, &[(S, "S2:2"), (Cloud, "K6")]),
    (Script::Edits, &[(S, "S3"), (Cloud, "K7:3")]),
    (Script::Edits, &[(S, "S4:2"), (Cloud, "K8")]),
    (Script::Edits, &[(S, "S5:2"), (Cloud, "K9:3")]),
    (Script::Edits, &[(S, "S6:2"), (Cloud, "K10")]),
    (Script::Edits, &[(S, "S7:3"), (OnPremise, "K1:2")]),
    (Script::Edits, &[(S, "S8"), (OnPremise, "K2:2")]),
    (Script::Edits, &[(OnPremise, "K3:2"), (Cloud, "K4")]),
    (Script::Edits, &[(OnPremise, "K7"), (OnPremise, "K8")]),
    (Script::Shutdown, &[(S, "S13"), (S, "S13:2")]),
    (Script::Collect, &[(S, "S11")]),
    (Script::Shorten, &[(S, "S10")]),
    (Script::Unsync, &[(S, "S9"), (S, "S9:2")]),
    (Script::Remove, &[(S, "S9"), (S, "S9:2")]),
    (Script::Remove, &[(S, "S9:2"), (Cloud, "K9:3")]),
];

/// The points at which a process dies here.
pub(crate) fn points() -> BTreeSet<String> {
    let all = RUNS.iter().flat_map(|(_, points)| *points);
    all.filter_map(|(_, point)| point.split(':').next())
        .map(str::to_owned)
        .collect()
}

/// A coordinator and an agent beside each of two directories; each dies at its points, one after the other.
struct World {
    coordinator: Coordinator,
    agents: Vec<DirectoryAgent>,
    running: BTreeMap<Who, Process>,
    set: wire::SyncSet,
    script: Script,
    points: BTreeMap<Who, VecDeque<&'static str>>,
    /// Who runs, and is about to die.
    doomed: BTreeSet<Who>,
}

/// What can be seen from outside when all is done.
#[derive(Debug, PartialEq, Eq)]
struct End {
    tree: Tree,
    /// By path on-premise: digest and side of each version that is kept.
    versions: BTreeMap<String, Vec<(String, i32)>>,
    conflicts: usize,
}

/// Bytes that no other seed has.
fn bytes(seed: u64, size: usize) -> Vec<u8> {
    generate::bytes(&mut StdRng::seed_from_u64(seed), size)
}

/// What the set begins with.
fn fill(folder: &Path) -> Result<()> {
    for name in [
        "both.txt",
        "edited.txt",
        "a/moved.txt",
        "a/one.txt",
        "b/two.txt",
    ] {
        write(&folder.join(name), "first")?;
    }
    for name in ["1.txt", "2.txt", "3.txt", "4.txt", "below/5.txt"] {
        write(&folder.join("gone").join(name), name)?;
    }
    write(&folder.join("plan.bin"), bytes(1, OBJECT))
}

/// What people do on both sides while nothing runs.
fn edit([left, right]: &[PathBuf; 2]) -> Result<()> {
    write(&left.join("both.txt"), "ours")?;
    write(&right.join("both.txt"), "theirs")?;
    write(&left.join("edited.txt"), "second")?;
    fs::rename(left.join("a/moved.txt"), left.join("b/moved.txt"))?;
    fs::remove_dir_all(left.join("gone"))?;
    write(&left.join("new/large.bin"), bytes(2, LARGE))?;
    write(&left.join("new/small.txt"), "small")?;
    write(&left.join("plan.bin"), bytes(3, OBJECT))?;
    write(&right.join("b/two.txt"), "from the cloud")?;
    write(&right.join("made/on the cloud.txt"), "from the cloud")
}

/// The files in which the coordinator keeps content.
fn objects(data: &Path) -> Result<BTreeSet<PathBuf>> {
    let all = Tree::read(&data.join("content/blobs"))?;
    Ok(all.files().into_iter().collect())
}

/// Plays a script; what is seen at its end, where that is to be compared.
async fn play(script: Script, points: &[(Who, &'static str)]) -> Result<Option<End>> {
    let late = match script {
        // These begin after the edits.
        Script::Collect | Script::Shorten => &[][..],
        _ => points,
    };
    let mut world = World::synced(script, late).await?;
    let before = Tree::read(&world.folders()[0])?;
    if let Script::Unsync | Script::Remove = script {
        world.unsync(script == Script::Remove).await?;
        let [left, right] = world.folders();
        ensure!(Tree::read(&left)? == before, "the on-premise copy stays");
        match script {
            Script::Remove => ensure!(!right.exists(), "the cloud copy goes"),
            _ => ensure!(Tree::read(&right)? == before, "the cloud copy stays"),
        }
        return Ok(None);
    }
    world.edits().await?;
    world.same().await?;
    let end = world.end().await?;
    if script == Script::Shorten {
        world.shorten(points).await?;
    }
    if script == Script::Collect {
        world.collect(points).await?;
        // What is there is still readable: another copy of it is made.
        fs::copy(
            world.folders()[0].join("plan.bin"),
            world.folders()[0].join("copy.bin"),
        )?;
        world.same().await?;
        ensure!(
            world.folders()[1].join("copy.bin").exists(),
            "it was not copied"
        );
        return Ok(Some(end));
    }
    world.nothing_is_lost().await?;
    Ok(Some(end))
}

#[tokio::test]
async fn i22_the_end_after_a_crash_at_each_point_is_the_one_without() -> Result<()> {
    let expected = play(Script::Edits, &[]).await?.context("no end")?;
    let has = |path: &str| expected.tree.entries.contains_key(Path::new(path));
    assert!(has("b/moved.txt") && has("new/large.bin") && has("made/on the cloud.txt"));
    assert!(!has("a/moved.txt") && !has("gone") && expected.conflicts == 1);
    let runs = futures::stream::iter(RUNS).map(async |(script, points)| {
        let wrong = match play(*script, points).await {
            Ok(Some(end)) if end != expected => {
                let differences = expected.tree.differences(&end.tree).join("\n");
                format!("{differences}\n{end:#?}\n{expected:#?}")
            }
            Ok(_) => return None,
            Err(error) => format!("{error:#}"),
        };
        Some(format!("{script:?} {points:?}:\n{wrong}"))
    });
    let wrong = runs
        .buffer_unordered(AT_ONCE)
        .filter_map(async |wrong| wrong);
    let wrong: Vec<String> = wrong.collect().await;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

impl World {
    /// Both sides are the same and hold what `fill` made; nothing has died yet, but at its birth.
    async fn synced(script: Script, points: &[(Who, &'static str)]) -> Result<Self> {
        let mut world = Self {
            coordinator: Coordinator::prepare()?,
            agents: Vec::new(),
            running: BTreeMap::new(),
            set: wire::SyncSet::default(),
            script,
            points: BTreeMap::new(),
            doomed: BTreeSet::new(),
        };
        let (early, late) = match script {
            Script::Birth => (points, &[][..]),
            _ => (&[][..], points),
        };
        world.arm(early);
        world.start(Who::Coordinator).await?;
        world.all_died().await?;
        world.coordinator.network(NETWORK).await?;
        for (side, name) in [(wire::Side::OnPremise, "hq"), (wire::Side::Cloud, "site")] {
            let (root, state) = (world.at(name), world.at(&format!("{name}-state")));
            let agent = DirectoryAgent::beside(&world.coordinator, NETWORK, side, &root, &state);
            world.agents.push(agent.await?);
        }
        fill(&world.folders()[0])?;
        world.start(OnPremise).await?;
        world.start(Cloud).await?;
        let made = world.coordinator.create_set_when_connected(NETWORK, "docs");
        world.set = made.await?;
        world.same().await?;
        world.arm(late);
        Ok(world)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.coordinator.directory().join(name)
    }

    fn folders(&self) -> [PathBuf; 2] {
        [self.at("hq/docs"), self.at("site/docs")]
    }

    fn arm(&mut self, points: &[(Who, &'static str)]) {
        for (who, point) in points {
            self.points.entry(*who).or_default().push_back(point);
        }
    }

    /// Starts a process, to die at its next point if it has one left.
    async fn start(&mut self, who: Who) -> Result<()> {
        let point = self.points.get_mut(&who).and_then(VecDeque::pop_front);
        if point.is_some() {
            self.doomed.insert(who);
        }
        if who != Who::Coordinator {
            let agent = &self.agents[usize::from(who == Cloud)];
            let process = point.map_or_else(|| agent.start(), |point| agent.start_to(point))?;
            self.running.insert(who, process);
            return Ok(());
        }
        let Some(point) = point else {
            return self.coordinator.go_on().await;
        };
        self.coordinator.go_on_to(point)?;
        if self.script == Script::Shutdown {
            self.coordinator.serving().await?;
            self.coordinator.terminate()?;
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        for process in self.running.values() {
            process.terminate()?;
        }
        for process in self.running.values_mut() {
            process.wait(PATIENCE).await?;
        }
        self.coordinator.stop().await
    }

    /// Those who died by now.
    fn dead(&mut self) -> Result<Vec<Who>> {
        let mut dead = Vec::new();
        for who in self.doomed.clone() {
            let died = match who {
                Who::Coordinator => self.coordinator.has_crashed()?,
                _ => match self.running.get_mut(&who) {
                    Some(process) => process.has_crashed()?,
                    None => false,
                },
            };
            if died {
                self.doomed.remove(&who);
                dead.push(who);
            }
        }
        Ok(dead)
    }

    /// Waits until one has died at its point; it is started again.
    async fn one_died(&mut self) -> Result<()> {
        let what = format!("{:?} die in {:?}", self.doomed, self.script);
        let dead = poll(PATIENCE, &what, async || match self.dead() {
            Ok(dead) if dead.is_empty() => None,
            answer => Some(answer),
        });
        for who in dead.await?? {
            self.start(who).await?;
        }
        Ok(())
    }

    /// Waits until each has died at each of its points.
    async fn all_died(&mut self) -> Result<()> {
        while !self.doomed.is_empty() {
            self.one_died().await?;
        }
        Ok(())
    }

    /// Waits until the set is synced, and both sides hold the same.
    async fn same(&self) -> Result<()> {
        let [left, right] = self.folders();
        let mut sets = self.coordinator.operator().await?.sync_sets();
        let request = wire::GetSyncSetRequest {
            name: self.set.name.clone(),
        };
        let same = poll(PATIENCE, "both sides are the same", async || {
            let answer = sets.get_sync_set(request.clone()).await.ok()?;
            let set = answer.into_inner().sync_set?;
            (set.state() == wire::SyncSetState::Synced).then_some(())?;
            let trees = [Tree::read(&left).ok()?, Tree::read(&right).ok()?];
            (trees[0] == trees[1]).then_some(())
        });
        let Err(late) = same.await else {
            return Ok(());
        };
        let mut told = Tree::read(&left)?.differences(&Tree::read(&right)?);
        told.extend(self.running.values().map(Process::log));
        told.push(self.coordinator.story(NETWORK).await?);
        Err(late.context(told.join("\n")))
    }

    async fn conflicts(&self) -> Result<Vec<wire::Conflict>> {
        let mut conflicts = self.coordinator.operator().await?.conflicts();
        let request = wire::ListConflictsRequest {
            parent: format!("networks/{NETWORK}"),
            ..Default::default()
        };
        let listed = conflicts.list_conflicts(request).await?.into_inner();
        Ok(listed.conflicts)
    }

    /// The versions of each member, by path.
    async fn versions(&self) -> Result<BTreeMap<String, Vec<wire::Version>>> {
        let mut conflicts = self.coordinator.operator().await?.conflicts();
        let mut found = BTreeMap::new();
        for member in self.coordinator.members(NETWORK).await? {
            let request = wire::ListVersionsRequest {
                parent: member.name.clone(),
                ..Default::default()
            };
            let listed = conflicts.list_versions(request).await?.into_inner();
            let path = member.on_premise.context("a member without a copy")?.path;
            found.insert(path, listed.versions);
        }
        Ok(found)
    }

    async fn end(&self) -> Result<End> {
        let named = |version: wire::Version| {
            let digest = version.content.clone().unwrap_or_default().digest;
            (hex::encode(digest), version.side)
        };
        let all = self.versions().await?.into_iter();
        let versions = all.map(|(path, versions)| {
            let mut versions: Vec<_> = versions.into_iter().map(named).collect();
            versions.sort();
            (path, versions)
        });
        Ok(End {
            tree: Tree::read(&self.folders()[0])?,
            versions: versions.collect(),
            conflicts: self.conflicts().await?.len(),
        })
    }

    async fn restore(&self, source: Source) -> Result<()> {
        let mut conflicts = self.coordinator.operator().await?.conflicts();
        let source = Some(source);
        let request = wire::RestoreVersionRequest { source };
        conflicts.restore_version(request).await?;
        Ok(())
    }

    /// Gets the loser of the conflict back, and what a file held first (I3, I12).
    async fn nothing_is_lost(&self) -> Result<()> {
        let conflicts = self.conflicts().await?;
        let conflict = conflicts.first().context("no conflict")?;
        self.restore(Source::Conflict(conflict.name.clone()))
            .await?;
        let versions = self.versions().await?;
        let first = Sha256::digest(b"first");
        let mut kept = versions.get("docs/edited.txt").into_iter().flatten();
        let first = kept.find(|version| {
            let content = version.content.as_ref();
            content.is_some_and(|content| content.digest[..] == *first)
        });
        let first = first.context("the first content is no version")?;
        self.restore(Source::Version(first.name.clone())).await?;
        let folders = self.folders();
        let back = poll(PATIENCE, "what was lost is back", async || {
            let holds = |name: &str, content: &str| {
                let read = |folder: &PathBuf| fs::read_to_string(folder.join(name)).ok();
                let mut all = folders.iter().map(read);
                all.all(|found| found.as_deref() == Some(content))
            };
            (holds("both.txt", "ours") && holds("edited.txt", "first")).then_some(())
        });
        back.await
    }

    /// All stop, much is changed on both sides, and all go on, dying where they have to.
    async fn edits(&mut self) -> Result<()> {
        self.stop().await?;
        edit(&self.folders())?;
        for who in ALL {
            self.start(who).await?;
        }
        self.all_died().await
    }

    /// Makes every reference to old content old enough to go, and collects.
    async fn collect(&mut self, points: &[(Who, &'static str)]) -> Result<()> {
        self.coordinator.stop().await?;
        let data = self.coordinator.data().to_path_buf();
        let before = objects(&data)?;
        age(&data, KEPT_FOR_A_TIME).await?;
        self.arm(points);
        self.start(Who::Coordinator).await?;
        self.all_died().await?;
        let gone = poll(PATIENCE, "the files are collected", async || {
            let left = objects(&data).ok()?;
            (left.is_subset(&before) && left.len() < before.len()).then_some(())
        });
        gone.await
    }

    /// All but the last entry go, and whoever asks for the first ones is told where the journal begins.
    async fn shorten(&mut self, points: &[(Who, &'static str)]) -> Result<()> {
        self.coordinator.stop().await?;
        let data = self.coordinator.data().to_path_buf();
        age(&data, JOURNAL).await?;
        self.coordinator.set("TANDEM_JOURNAL__RETENTION_DAYS", "1");
        self.arm(points);
        self.start(Who::Coordinator).await?;
        self.all_died().await?;
        let gone = poll(PATIENCE, "the journal is shortened", async || {
            let left = self.coordinator.journal(NETWORK).await.ok()?;
            let first = left.first()?;
            (first.position > 1).then_some(())
        });
        gone.await
    }

    /// Asks for the end of the set until it is known; then waits until all is done.
    async fn unsync(&mut self, remove: bool) -> Result<()> {
        self.coordinator.stop().await?;
        if let Some(mut process) = self.running.remove(&Cloud) {
            process.terminate()?;
            process.wait(PATIENCE).await?;
        }
        self.start(Cloud).await?;
        self.start(Who::Coordinator).await?;
        loop {
            // Whoever asks may hear nothing but that the coordinator is gone.
            let _ = self.ask_to_end(remove).await;
            if self.doomed.is_empty() {
                break;
            }
            self.one_died().await?;
        }
        let ended = poll(PATIENCE, "the set is gone", async || {
            let sets = self.coordinator.tandem(NETWORK, &["set", "list"]);
            (sets.await.ok()? == serde_json::json!([])).then_some(())
        });
        ended.await
    }

    async fn ask_to_end(&mut self, remove: bool) -> Result<()> {
        self.coordinator.serving().await?;
        let mut sets = self.coordinator.operator().await?.sync_sets();
        let request = wire::UnsyncSyncSetRequest {
            name: self.set.name.clone(),
            remove_cloud_copy: remove,
        };
        sets.unsync_sync_set(request).await?;
        Ok(())
    }
}

/// Versions, and content that nobody names.
const KEPT_FOR_A_TIME: &[&str] = &[
    "UPDATE version SET keep_until = 0 WHERE keep_until IS NOT NULL",
    "UPDATE content SET touched_at = 0",
];
/// Entries of the journal.
const JOURNAL: &[&str] = &["UPDATE journal SET at = 0"];

/// Makes what a stopped coordinator keeps for a time so old that the time is over.
async fn age(data: &Path, statements: &'static [&'static str]) -> Result<()> {
    let store = Store::open(Options::new(Place::File(data.join("tandem.db")))).await?;
    let aged = store.write(|tx| async move {
        for aged in statements {
            sql::execute(&*tx, aged, []).await?;
        }
        Ok::<_, StorageError>(())
    });
    aged.await?;
    Ok(store.close().await?)
}
