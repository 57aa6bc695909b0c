//! Sets of documents between real processes, with the commands that people type (R-SET-1, R-SET-3, R-SET-4, R-SET-6).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use tandem_client::agent::memory::{PRIVATE, ROOT, Rules};
use tandem_proto::v1::{self as wire, Side};
use tandem_tests::agents::{DirectoryAgent, TaskAgent, memory};
use tandem_tests::coordinator::{CLOUD, Coordinator, ON_PREMISE, repository_name};
use tandem_tests::pair::{PATIENCE, write};
use tandem_tests::process::Process;
use tandem_tests::wait::{eventually, poll};

const NETWORK: &str = "acme";

/// A coordinator and an agent beside each of two directories.
struct Lab {
    coordinator: Coordinator,
    agents: [DirectoryAgent; 2],
    processes: [Option<Process>; 2],
}

impl Lab {
    async fn start(files: &[&str]) -> Result<Self> {
        let coordinator = Coordinator::start().await?;
        coordinator.network(NETWORK).await?;
        let home = coordinator.directory().to_path_buf();
        let beside = async |side, name: &str| {
            let (root, state) = (home.join(name), home.join(format!("{name}-state")));
            DirectoryAgent::beside(&coordinator, NETWORK, side, &root, &state).await
        };
        let agents = [
            beside(Side::OnPremise, "left").await?,
            beside(Side::Cloud, "right").await?,
        ];
        for file in files {
            write(&agents[0].root.join(file), format!("first of {file}"))?;
        }
        let processes = [Some(agents[0].start()?), Some(agents[1].start()?)];
        Ok(Self {
            coordinator,
            agents,
            processes,
        })
    }

    fn left(&self, path: &str) -> PathBuf {
        self.agents[0].root.join(path)
    }

    fn right(&self, path: &str) -> PathBuf {
        self.agents[1].root.join(path)
    }

    /// Runs a command as soon as both agents are connected.
    async fn when_connected(&self, arguments: &[&str]) -> Result<Value> {
        let done = poll(PATIENCE, "both agents are connected", async || {
            match self.coordinator.tandem(NETWORK, arguments).await {
                Err(error) if error.to_string().contains("not connected") => None,
                done => Some(done),
            }
        });
        done.await?
    }

    async fn until(&self, what: &str, condition: impl FnMut() -> bool) -> Result<()> {
        let done = eventually(PATIENCE, what, condition).await;
        let story = self.coordinator.story(NETWORK).await?;
        done.context(story)
    }

    /// Waits until the coordinator has heard that all is the same: an agent that is killed before it said so, and whose
    /// user edits the file then, cannot tell the two changes apart.
    async fn in_sync(&self) -> Result<()> {
        poll(PATIENCE, "the set is in sync", async || {
            let sets = self.coordinator.tandem(NETWORK, &["set", "list"]).await;
            (sets.ok()?[0]["state"] == "SYNCED").then_some(())
        })
        .await
    }

    /// Waits until a file holds what another does.
    async fn same(&self, one: &Path, other: &Path) -> Result<()> {
        let what = format!("{} is as {}", one.display(), other.display());
        self.until(&what, || {
            let (one, other) = (fs::read(one).ok(), fs::read(other).ok());
            one.is_some() && one == other
        })
        .await
    }
}

#[tokio::test]
async fn r_set_1_documents_are_previewed_made_and_kept_the_same_wherever_they_move() -> Result<()> {
    let mut lab = Lab::start(&["a.txt", "sub/b.txt", "c.txt"]).await?;
    fs::create_dir(lab.right("inbox"))?;
    let arguments = |verb: &str| {
        let places = "--source hq:a.txt --source hq:sub/b.txt --target site:inbox";
        format!("set {verb} {places} --new-folder March --new-folder-title Audit")
    };
    let words = arguments("preview");
    let words: Vec<&str> = words.split(' ').collect();
    let preview = lab.when_connected(&words).await?;
    assert_eq!(
        (&preview["documents"], &preview["bytes"]),
        (&2.into(), &32.into())
    );
    assert_eq!(preview["kind"], "DOCUMENTS");
    assert!(!lab.right("inbox/March").exists(), "it changes nothing");
    let words = arguments("create");
    let words: Vec<&str> = words.split(' ').collect();
    let made = lab.when_connected(&words).await?;
    assert_eq!(made["sync_set"]["kind"], "DOCUMENTS");
    assert_eq!(made["accepted"].as_array().map(Vec::len), Some(2));
    for (left, right) in [("a.txt", "a.txt"), ("sub/b.txt", "b.txt")] {
        let right = lab.right(&format!("inbox/March/{right}"));
        lab.same(&lab.left(left), &right).await?;
    }
    fs::write(lab.right("inbox/March/b.txt"), "from the cloud")?;
    lab.same(&lab.left("sub/b.txt"), &lab.right("inbox/March/b.txt"))
        .await?;
    lab.in_sync().await?;
    // Moved elsewhere on both sides; renamed, and edited, while the agent is down.
    fs::rename(lab.right("inbox/March/b.txt"), lab.right("b.txt"))?;
    lab.processes[0].take().context("it runs")?.kill().await?;
    fs::create_dir(lab.left("elsewhere"))?;
    fs::rename(lab.left("sub/b.txt"), lab.left("elsewhere/renamed.txt"))?;
    fs::write(lab.left("elsewhere/renamed.txt"), "while nobody looked")?;
    lab.processes[0] = Some(lab.agents[0].start()?);
    lab.same(
        &lab.left("elsewhere/renamed.txt"),
        &lab.right("renamed.txt"),
    )
    .await?;
    fs::write(lab.right("renamed.txt"), "and back again")?;
    lab.same(
        &lab.left("elsewhere/renamed.txt"),
        &lab.right("renamed.txt"),
    )
    .await?;
    assert!(
        !lab.right("inbox/March/c.txt").exists(),
        "it was not chosen"
    );
    // The folder goes, and with it the document; then the other one, and with it the set.
    fs::remove_dir_all(lab.left("elsewhere"))?;
    fs::remove_file(lab.left("a.txt"))?;
    let (one, other) = (lab.right("renamed.txt"), lab.right("inbox/March/a.txt"));
    lab.until("the cloud copies are gone", || {
        !one.exists() && !other.exists()
    })
    .await?;
    let gone = poll(PATIENCE, "the set is gone", async || {
        let sets = lab
            .coordinator
            .tandem(NETWORK, &["set", "list"])
            .await
            .ok()?;
        sets.as_array()?.is_empty().then_some(())
    });
    gone.await
}

#[tokio::test]
async fn r_uns_1_the_last_changes_are_pulled_before_the_cloud_copies_go() -> Result<()> {
    let lab = Lab::start(&["a.txt", "b.txt"]).await?;
    let create = "set create --source hq:a.txt --source hq:b.txt --target site --new-folder in";
    let create: Vec<&str> = create.split(' ').collect();
    let made = lab.when_connected(&create).await?;
    let uid = made["sync_set"]["uid"].as_str().context("a set")?;
    for name in ["a.txt", "b.txt"] {
        lab.same(&lab.left(name), &lab.right(&format!("in/{name}")))
            .await?;
    }
    let tandem = async |arguments: &[&str]| lab.coordinator.tandem(NETWORK, arguments).await;
    tandem(&["set", "pause", uid]).await?;
    fs::write(lab.right("in/a.txt"), "last words")?;
    let held = poll(PATIENCE, "the change is noted, and waits", async || {
        let members = tandem(&["member", "list"]).await.ok()?;
        let mut members = members.as_array()?.iter();
        members
            .any(|member| member["hold"] == "PAUSED")
            .then_some(())
    });
    held.await?;
    tandem(&["set", "unsync", uid, "--remove-cloud-copy"]).await?;
    let kept = fs::read_to_string(lab.left("a.txt"))?;
    assert_eq!(kept, "last words", "pulled before it was answered");
    lab.until("the cloud copies are gone", || {
        let there = ["in/a.txt", "in/b.txt"].map(|name| lab.right(name).exists());
        there == [false, false]
    })
    .await?;
    assert_eq!(fs::read_to_string(lab.left("b.txt"))?, "first of b.txt");
    assert!(lab.right("in").exists(), "the folder is no member");
    Ok(())
}

#[tokio::test]
async fn r_uns_1_the_last_change_of_one_document_is_pulled_also_while_its_set_is_paused()
-> Result<()> {
    let lab = Lab::start(&["a.txt", "b.txt"]).await?;
    let create = "set create --source hq:a.txt --source hq:b.txt --target site --new-folder in";
    let create: Vec<&str> = create.split(' ').collect();
    let made = lab.when_connected(&create).await?;
    let uid = made["sync_set"]["uid"].as_str().context("a set")?;
    for name in ["a.txt", "b.txt"] {
        lab.same(&lab.left(name), &lab.right(&format!("in/{name}")))
            .await?;
    }
    let tandem = async |arguments: &[&str]| lab.coordinator.tandem(NETWORK, arguments).await;
    tandem(&["set", "pause", uid]).await?;
    fs::write(lab.right("in/b.txt"), "not yet")?;
    fs::write(lab.right("in/a.txt"), "last words")?;
    let held = poll(PATIENCE, "both changes are noted, and wait", async || {
        let members = tandem(&["member", "list"]).await.ok()?;
        let members = members.as_array()?.clone();
        let held = members.iter().filter(|member| member["hold"] == "PAUSED");
        (held.count() == 2).then_some(members)
    });
    let members = held.await?;
    let mut members = members.iter();
    let a = members.find(|member| member["on_premise"]["name"] == "a.txt");
    let a = a.context("a member")?;
    assert_eq!(a["cloud"]["path"], "in/a.txt", "its folder is not synced");
    let a = a["name"].as_str().context("a name")?;
    tandem(&["member", "unsync", a, "--remove-cloud-copy"]).await?;
    let kept = fs::read_to_string(lab.left("a.txt"))?;
    assert_eq!(kept, "last words", "pulled before it was answered");
    lab.until("the cloud copy is gone", || !lab.right("in/a.txt").exists())
        .await?;
    assert_eq!(fs::read_to_string(lab.left("b.txt"))?, "first of b.txt");
    tandem(&["set", "resume", uid]).await?;
    lab.same(&lab.left("b.txt"), &lab.right("in/b.txt")).await
}

#[tokio::test]
async fn r_set_3_target_folders_are_browsed_and_made_with_title_and_description() -> Result<()> {
    let lab = Lab::start(&["a.txt"]).await?;
    let made = lab.when_connected(&["target", "create", "site:inbox", "--title", "In"]);
    assert_eq!(made.await?["path"], "inbox");
    let inside = ["target", "create", "site:inbox/march"];
    lab.coordinator.tandem(NETWORK, &inside).await?;
    let taken = lab.coordinator.tandem(NETWORK, &inside).await;
    assert!(taken.unwrap_err().to_string().contains("taken"));
    let browse = ["target", "browse", "site", "inbox"];
    let found = lab.coordinator.tandem(NETWORK, &browse).await?;
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found[0]["path"], "inbox/march");
    assert!(lab.right("inbox/march").is_dir());
    lab.when_connected(&["target", "browse", "site"]).await?;
    let missing = ["target", "browse", "site", "none"];
    let missing = lab.coordinator.tandem(NETWORK, &missing).await;
    assert!(missing.unwrap_err().to_string().contains("no node"));
    Ok(())
}

#[tokio::test]
async fn r_set_4_a_repository_tells_what_may_be_chosen_and_what_is_skipped() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    coordinator.network(NETWORK).await?;
    let left = memory(Side::OnPremise, Rules::default());
    let (folder, mine, private) = left.with(|tree| -> Result<_> {
        let folder = tree.create_folder(ROOT, "plans")?;
        let mine = tree.create_document(&folder, "mine.txt", "mine")?;
        let edited = tree.create_document(ROOT, "edited.txt", "edited")?;
        tree.set_edited(&edited, true);
        let private = tree.create_document(PRIVATE, "private.txt", "private")?;
        Ok((folder, mine, private))
    })?;
    let right = memory(Side::Cloud, Rules::default());
    let on_premise = TaskAgent::start(&coordinator, NETWORK, Side::OnPremise, left).await?;
    let cloud = TaskAgent::start(&coordinator, NETWORK, Side::Cloud, right).await?;
    let mut sets = coordinator.operator().await?.sync_sets();
    let mut create = async |paths: &[&str], node_ids: &[String]| {
        let definition = wire::SyncSetDefinition {
            on_premise_repository: repository_name(NETWORK, ON_PREMISE),
            node_ids: node_ids.to_vec(),
            paths: paths.iter().map(ToString::to_string).collect(),
            cloud_repository: repository_name(NETWORK, CLOUD),
            ..Default::default()
        };
        let request = wire::CreateSyncSetRequest {
            parent: format!("networks/{NETWORK}"),
            definition: Some(definition),
            ..Default::default()
        };
        sets.create_sync_set(request).await
    };
    for (paths, reason) in [
        (&[""][..], wire::ErrorReason::LibraryRoot),
        (&[], wire::ErrorReason::OutsideLibrary),
        (&["plans", "edited.txt"], wire::ErrorReason::MixedSelection),
        (&["edited.txt"], wire::ErrorReason::NothingAccepted),
    ] {
        let outside = [private.clone()];
        let ids = if paths.is_empty() { &outside[..] } else { &[] };
        let refused = create(paths, ids).await.expect_err("it is refused");
        let refused = tandem_client::error::Error::from(refused);
        assert!(refused.is(reason), "{paths:?}: {refused}");
    }
    let made = create(&["plans/mine.txt", "edited.txt"], &[])
        .await?
        .into_inner();
    assert_eq!(made.accepted, [mine]);
    assert_eq!(made.skipped[0].reason, "it is locked for editing");
    let right = &cloud.repository;
    let copy = || right.with(|tree| tree.find("mine.txt"));
    poll(PATIENCE, "it is pushed, and known to be", async || {
        let members = coordinator.members(NETWORK).await.ok()?;
        let synced = |member: &wire::Member| member.state() == wire::MemberState::Synced;
        (copy().is_some() && members.iter().all(synced)).then_some(())
    })
    .await?;
    // Its folder is watched by nobody, and goes with it.
    on_premise.repository.with(|tree| tree.delete(&folder))?;
    let gone = eventually(PATIENCE, "the copy is gone", || copy().is_none()).await;
    gone.context(coordinator.story(NETWORK).await?)
}
