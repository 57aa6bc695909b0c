//! Ending sets from the command line, through real processes beside directories (R-UNS-1, R-UNS-2).

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tandem_proto::v1::{Side, SyncSetOptions};
use tandem_tests::agents::DirectoryAgent;
use tandem_tests::coordinator::Coordinator;
use tandem_tests::pair::{PATIENCE, write};
use tandem_tests::process::Process;
use tandem_tests::tree::Tree;
use tandem_tests::wait::poll;

const NETWORK: &str = "acme";

/// A coordinator, an agent beside a directory on each side, and a set of the folder `docs`.
struct Site {
    coordinator: Coordinator,
    agents: [DirectoryAgent; 2],
    running: [Option<Process>; 2],
    set: String,
}

impl Site {
    async fn with(files: &[&str]) -> Result<Self> {
        let coordinator = Coordinator::start().await?;
        coordinator.network(NETWORK).await?;
        let beside = async |side, name: &str| {
            let root = coordinator.directory().join(name);
            let state = coordinator.directory().join(format!("{name}-state"));
            DirectoryAgent::beside(&coordinator, NETWORK, side, &root, &state).await
        };
        let agents = [
            beside(Side::OnPremise, "hq").await?,
            beside(Side::Cloud, "site").await?,
        ];
        for file in files {
            write(&agents[0].root.join("docs").join(file), "first")?;
        }
        let running = [Some(agents[0].start()?), Some(agents[1].start()?)];
        let set = coordinator
            .create_set_when_connected(NETWORK, "docs")
            .await?;
        let site = Self {
            coordinator,
            agents,
            running,
            set: set.uid,
        };
        site.same().await?;
        Ok(site)
    }

    fn docs(&self) -> PathBuf {
        self.agents[0].root.join("docs")
    }

    fn mirror(&self) -> PathBuf {
        self.agents[1].root.join("docs")
    }

    async fn tandem(&self, arguments: &[&str]) -> Result<Value> {
        self.coordinator.tandem(NETWORK, arguments).await
    }

    /// Both sides are the same, and everything is synced.
    async fn same(&self) -> Result<()> {
        let same = poll(PATIENCE, "both sides are the same", async || {
            let sets = self.tandem(&["set", "list"]).await.ok()?;
            let synced = sets[0]["state"] == "SYNCED";
            (synced && Tree::is_same(&self.docs(), &self.mirror())).then_some(())
        });
        same.await
    }

    async fn gone(&self) -> Result<()> {
        let gone = poll(PATIENCE, "nothing is left of the set", async || {
            let sets = self.tandem(&["set", "list"]).await.ok()?;
            (sets == json!([])).then_some(())
        });
        gone.await
    }

    async fn unsync(&self) -> Result<Value> {
        let remove = ["set", "unsync", &self.set, "--remove-cloud-copy"];
        self.tandem(&remove).await
    }

    /// What stays on the cloud, by path.
    async fn stays(&self) -> Result<Vec<String>> {
        let listed = self.tandem(&["member", "skipped", &self.set]).await?;
        let nodes = listed.as_array().context("no list")?;
        let paths = nodes.iter().filter_map(|node| node["path"].as_str());
        Ok(paths.map(ToOwned::to_owned).collect())
    }
}

#[tokio::test]
async fn r_uns_1_the_last_changes_are_pulled_and_then_the_whole_cloud_copy_goes() -> Result<()> {
    let site = Site::with(&["a/x.txt", "kept.txt"]).await?;
    site.tandem(&["set", "pause", &site.set]).await?;
    write(&site.mirror().join("kept.txt"), "last words")?;
    std::os::unix::fs::symlink("kept.txt", site.mirror().join("link"))?;
    let held = poll(PATIENCE, "the change is noted, and waits", async || {
        let members = site.tandem(&["member", "list"]).await.ok()?;
        let mut members = members.as_array()?.iter();
        let waits = members.any(|member| member["hold"] == "PAUSED");
        let skipped = site.stays().await.ok()?;
        (waits && skipped == ["docs/link"]).then_some(())
    });
    held.await?;
    let first = site.unsync().await?;
    let kept = fs::read_to_string(site.docs().join("kept.txt"))?;
    assert_eq!(kept, "last words", "pulled before it was answered");
    site.gone().await?;
    assert!(
        !site.mirror().exists(),
        "with the link, which was no member"
    );
    assert_eq!(fs::read_to_string(site.docs().join("a/x.txt"))?, "first");
    assert_eq!(site.unsync().await?, first, "the same answer again");
    assert_eq!(site.stays().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn r_uns_1_while_the_cloud_is_away_the_removal_waits_and_what_changes_there_stays()
-> Result<()> {
    let mut site = Site::with(&["a/x.txt", "a/y.txt", "b/z.txt"]).await?;
    let mut cloud = site.running[1].take().context("it runs")?;
    cloud.terminate()?;
    cloud.wait(PATIENCE).await?;
    site.unsync().await?;
    write(&site.mirror().join("a/x.txt"), "changed meanwhile")?;
    write(&site.mirror().join("new.txt"), "came meanwhile")?;
    write(&site.docs().join("b/z.txt"), "not synced any more")?;
    site.running[1] = Some(site.agents[1].start()?);
    site.gone().await?;
    let left = Tree::read(&site.mirror())?.files();
    assert_eq!(left, ["a/x.txt", "new.txt"].map(PathBuf::from));
    let changed = fs::read_to_string(site.mirror().join("a/x.txt"))?;
    assert_eq!(changed, "changed meanwhile");
    assert_eq!(fs::read_to_string(site.docs().join("a/x.txt"))?, "first");
    let stays = site.stays().await?;
    assert!(stays.contains(&"docs/a/x.txt".to_owned()), "{stays:?}");
    Ok(())
}

#[tokio::test]
async fn r_adm_1_sets_change_their_owner_and_are_ended_from_the_command_line() -> Result<()> {
    let site = Site::with(&["x.txt"]).await?;
    let transfer = ["set", "transfer", &site.set, "--owner", "olga"];
    assert_eq!(site.tandem(&transfer).await?[0]["done"], true);
    let shown = site.tandem(&["set", "show", &site.set]).await?;
    assert_eq!(shown["owner"], "olga");
    let members = site.tandem(&["member", "list"]).await?;
    let members = members.as_array().context("no list")?;
    let named = |direct: bool| {
        let found = members.iter().find(|member| member["direct"] == direct);
        found.and_then(|member| member["name"].as_str())
    };
    let inner = named(false).context("no document")?;
    let refused = site.tandem(&["member", "unsync", inner]).await;
    let refused = refused.err().context("it is not chosen")?.to_string();
    assert!(refused.contains("INDIRECT"), "{refused}");
    let forced = site.tandem(&["set", "force-unsync", &site.set]).await?;
    assert_eq!(forced[0]["done"], true);
    site.gone().await?;
    let root = named(true).context("no folder")?;
    site.tandem(&["member", "unsync", root]).await?;
    assert!(site.mirror().join("x.txt").exists(), "both copies stay");
    Ok(())
}

#[tokio::test]
async fn r_uns_2_syncing_again_to_the_same_place_is_a_name_clash_while_the_old_copy_is_there()
-> Result<()> {
    let mut site = Site::with(&["x.txt"]).await?;
    site.tandem(&["set", "unsync", &site.set]).await?;
    site.gone().await?;
    assert!(site.mirror().join("x.txt").exists(), "both copies stay");
    write(&site.docs().join("x.txt"), "changed since")?;
    let options = SyncSetOptions::default();
    let again = site
        .coordinator
        .create_set(NETWORK, "docs", options)
        .await?;
    site.set = again.uid;
    let clash = poll(PATIENCE, "the folder fails", async || {
        let failed = ["member", "list", "--state", "failed"];
        let failed = site.tandem(&failed).await.ok()?;
        let reason = failed[0]["failure"]["reason"].clone();
        (!reason.is_null()).then_some(reason)
    });
    assert_eq!(clash.await?, "TARGET_FOLDER_NAME_CLASH");
    let old = fs::read_to_string(site.mirror().join("x.txt"))?;
    assert_eq!(old, "first", "the old copy is not touched");
    fs::rename(site.mirror(), site.agents[1].root.join("old docs"))?;
    let sets = ["member", "request-sync", &site.set];
    site.tandem(&sets).await?;
    site.same().await
}
