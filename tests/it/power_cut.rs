//! The power is cut, beside an agent and under the coordinator: what was not flushed is lost (K11, I3, I22). What was told
//! to the other ones must be true all the same.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use tandem_proto::v1::content_source::Source;
use tandem_proto::v1::{
    ContentSource, ListVersionsRequest, Member, MemberState, ReadRequest, ReadResponse, Side,
};
use tandem_tests::agents::DirectoryAgent;
use tandem_tests::coordinator::Coordinator;
use tandem_tests::disk_image::DiskImage;
use tandem_tests::pair::{PATIENCE, write};
use tandem_tests::process::Process;
use tandem_tests::tree::Tree;
use tandem_tests::wait::{eventually, poll};

const NETWORK: &str = "acme";
const DISK_MEBIBYTES: u64 = 96;
/// Files that one round makes on a side.
const FILES: usize = 24;
/// How many of them have come over when the power is cut.
const CUTS: [usize; 4] = [1, 7, 16, FILES];
/// More than one message, and several pieces of a temporary file.
const LARGE: usize = 1_400_000;
/// Too large for the database, and sent in one message.
const OBJECT: usize = 200_000;

/// A coordinator, and an agent beside each of two directories; one of the three is on a disk whose power is cut.
struct Site {
    coordinator: Coordinator,
    image: DiskImage,
    on_premise: Process,
    cloud: Process,
    left: PathBuf,
    right: PathBuf,
}

fn content(round: usize, number: usize) -> Vec<u8> {
    let size = match number {
        0 => LARGE,
        1 => OBJECT,
        number => 1000 * number,
    };
    let mut bytes = format!("round {round}, file {number}").into_bytes();
    bytes.resize(size.max(bytes.len()), b'.');
    bytes
}

/// Makes files, and changes, moves and deletes those of the round before.
fn edit(folder: &Path, round: usize) -> Result<()> {
    for number in 0..FILES {
        let path = folder.join(format!("new {round}/{number}.bin"));
        write(&path, content(round, number))?;
    }
    write(&folder.join("often.txt"), format!("round {round}"))?;
    let Some(before) = round.checked_sub(1) else {
        return Ok(());
    };
    let old = folder.join(format!("new {before}"));
    write(&old.join("1.bin"), content(round, 1))?;
    write(&old.join("0.bin"), content(round, 0))?;
    fs::rename(old.join("2.bin"), folder.join(format!("moved {round}.bin")))?;
    fs::remove_file(old.join("3.bin"))?;
    fs::rename(&old, folder.join(format!("old {before}")))?;
    Ok(())
}

fn arrived(folder: &Path, round: usize) -> usize {
    let files = fs::read_dir(folder.join(format!("new {round}")));
    files.map_or(0, |files| {
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        names.filter(|name| name.ends_with(".bin")).count()
    })
}

/// Waits until so many files of the round have come over.
async fn until_arrived(folder: &Path, round: usize, count: usize) -> Result<()> {
    let what = format!("{count} files of round {round} have come");
    eventually(PATIENCE, &what, || arrived(folder, round) >= count).await
}

async fn agent(coordinator: &Coordinator, side: Side, at: &str) -> Result<DirectoryAgent> {
    let directory = coordinator.directory();
    let (root, state) = (
        directory.join(at).join("root"),
        directory.join(at).join("state"),
    );
    DirectoryAgent::beside(coordinator, NETWORK, side, &root, &state).await
}

impl Site {
    async fn start(
        coordinator: Coordinator,
        image: DiskImage,
        [left, right]: [&DirectoryAgent; 2],
    ) -> Result<Self> {
        write(&left.root.join("docs/often.txt"), "first")?;
        let site = Self {
            on_premise: left.start()?,
            cloud: right.start()?,
            left: left.root.join("docs"),
            right: right.root.join("docs"),
            coordinator,
            image,
        };
        let created = site.coordinator.create_set_when_connected(NETWORK, "docs");
        created.await?;
        site.synced().await?;
        Ok(site)
    }

    /// Waits until both sides are the same, and every member is synced.
    async fn synced(&self) -> Result<()> {
        let synced = poll(PATIENCE, "all is synced", async || {
            let members = self.coordinator.members(NETWORK).await.ok()?;
            let mut states = members.iter().map(Member::state);
            let synced = states.all(|state| state == MemberState::Synced);
            (synced && Tree::is_same(&self.left, &self.right)).then_some(())
        });
        let Err(late) = synced.await else {
            return Ok(());
        };
        let mut told = Tree::read(&self.left)?.differences(&Tree::read(&self.right)?);
        told.extend([&self.on_premise, &self.cloud].map(Process::log));
        told.push(self.coordinator.story(NETWORK).await?);
        Err(late.context(told.join("\n")))
    }

    /// Reads all that the coordinator has accepted, back from it.
    async fn has_every_version(&self) -> Result<()> {
        let operator = self.coordinator.operator().await?;
        for member in self.coordinator.members(NETWORK).await? {
            let request = ListVersionsRequest {
                parent: member.name,
                ..Default::default()
            };
            let listed = operator.conflicts().list_versions(request).await?;
            for version in listed.into_inner().versions {
                let content = version.content.context("a version without content")?;
                let source = ContentSource {
                    digest: content.digest.clone(),
                    source: Some(Source::Version(version.name.clone())),
                };
                let request = ReadRequest {
                    source: Some(source),
                    ..Default::default()
                };
                let read = operator.content().read(request).await?.into_inner();
                let read: Vec<ReadResponse> = read
                    .try_collect()
                    .await
                    .with_context(|| format!("{} cannot be read", version.name))?;
                let read: Vec<u8> = read.iter().flat_map(|piece| piece.data.to_vec()).collect();
                assert_eq!(Sha256::digest(read)[..], content.digest[..]);
            }
        }
        Ok(())
    }
}

/// Stops at K11.
#[tokio::test]
#[ignore = "mounts a loop device: tests/run asks for it where it runs as root"]
async fn i3_an_agent_whose_power_is_cut_has_what_it_told_and_takes_up_the_rest() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    coordinator.network(NETWORK).await?;
    let (logs, place) = (coordinator.logs(), coordinator.directory().join("cloud"));
    let image = DiskImage::format(coordinator.directory().join("image"), DISK_MEBIBYTES)?;
    let left = agent(&coordinator, Side::OnPremise, "hq").await?;
    let right = agent(&coordinator, Side::Cloud, "cloud").await?;
    let mut disk = image.mount(&place, &logs).await?;
    let placed = right.clone().on(&disk)?;
    let mut site = Site::start(coordinator, image, [&left, &placed]).await?;
    for (round, count) in CUTS.into_iter().enumerate() {
        edit(&site.left, round)?;
        let expected = Tree::read(&site.left)?;
        until_arrived(&site.right, round, count).await?;
        site.cloud.kill().await?;
        site.image = site.image.cut()?;
        disk = site.image.mount(&place, &logs).await?;
        let placed = right.clone().on(&disk)?;
        site.right = placed.root.join("docs");
        site.cloud = placed.start()?;
        site.synced().await?;
        let found = Tree::read(&site.left)?;
        let differences = expected.differences(&found);
        assert!(differences.is_empty(), "round {round}: {differences:#?}");
        site.coordinator.assert_no_conflict(NETWORK).await?;
    }
    drop(disk);
    Ok(())
}

/// Stops at K11.
#[tokio::test]
#[ignore = "mounts a loop device: tests/run asks for it where it runs as root"]
async fn i3_a_coordinator_whose_power_is_cut_has_what_it_accepted() -> Result<()> {
    let mut coordinator = Coordinator::prepare()?;
    let (logs, place) = (coordinator.logs(), coordinator.data().to_path_buf());
    let image = DiskImage::format(coordinator.directory().join("image"), DISK_MEBIBYTES)?;
    coordinator.put_on(image.mount(&place, &logs).await?);
    coordinator.go_on().await?;
    coordinator.network(NETWORK).await?;
    let left = agent(&coordinator, Side::OnPremise, "hq").await?;
    let right = agent(&coordinator, Side::Cloud, "cloud").await?;
    let mut site = Site::start(coordinator, image, [&left, &right]).await?;
    for (round, count) in CUTS.into_iter().enumerate() {
        edit(&site.left, round)?;
        let mine = format!("on the cloud {round}.txt");
        write(&site.right.join(&mine), &mine)?;
        let expected = Tree::read(&site.left)?;
        until_arrived(&site.right, round, count).await?;
        site.coordinator.kill().await?;
        site.image = site.image.cut()?;
        site.coordinator
            .put_on(site.image.mount(&place, &logs).await?);
        site.coordinator.go_on().await?;
        site.synced().await?;
        let mut found = Tree::read(&site.left)?;
        let made = found.entries.remove(Path::new(&mine));
        made.context("what was made on the cloud has not come")?;
        let expected = without(expected, &mine);
        let differences = expected.differences(&found);
        assert!(differences.is_empty(), "round {round}: {differences:#?}");
        site.coordinator.assert_no_conflict(NETWORK).await?;
        site.has_every_version().await?;
    }
    Ok(())
}

/// It may have come before the tree was read.
fn without(mut tree: Tree, path: &str) -> Tree {
    tree.entries.remove(Path::new(path));
    tree
}
