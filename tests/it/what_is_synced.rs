//! What is synced of a node, and what is not (R-PRJ-1, R-PRJ-2, R-PRJ-3).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rustix::fs::{XattrFlags, getxattr, setxattr};
use tandem_client::agent::memory::{MemoryRepository, Rules};
use tandem_proto::v1::{
    JournalKind, Observation, Property, PropertyValue, observation, property_value,
};
use tandem_tests::agents::listing;
use tandem_tests::hand_agent::{document, observed};
use tandem_tests::memory_pair::{FOLDER, MemoryPair};
use tandem_tests::pair::{PATIENCE, Pair, write};
use tandem_tests::wait::poll;

use crate::bad_input::{NETWORK, Site};

const CUSTOM: &str = "user.acme.colour";

fn set_time(path: &Path, time: SystemTime) -> Result<()> {
    Ok(File::options().write(true).open(path)?.set_modified(time)?)
}

fn modified(path: &Path) -> Result<SystemTime> {
    Ok(fs::metadata(path)?.modified()?)
}

#[tokio::test]
async fn r_prj_2_times_modes_and_custom_attributes_stay_on_their_side() -> Result<()> {
    let began = SystemTime::now() - Duration::from_secs(1);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    let (here, there) = (left.join("a.txt"), right.join("a.txt"));
    write(&here, "content")?;
    setxattr(&here, CUSTOM, b"red", XattrFlags::empty())?;
    fs::set_permissions(&here, fs::Permissions::from_mode(0o750))?;
    set_time(&here, long_ago)?;
    pair.start_in_sync(&[]).await?;
    assert!(
        modified(&there)? >= began,
        "the receiver stamps its own time"
    );
    assert_eq!(modified(&here)?, long_ago, "and leaves the sender's alone");
    assert!(getxattr(&there, CUSTOM, &mut [0_u8; 8]).is_err());
    assert_eq!(fs::metadata(&there)?.permissions().mode() & 0o111, 0);

    // None of these is a change; the marker comes after them, and is one.
    let stamped = modified(&there)?;
    set_time(&here, SystemTime::now())?;
    setxattr(&here, CUSTOM, b"blue", XattrFlags::empty())?;
    fs::set_permissions(&here, fs::Permissions::from_mode(0o700))?;
    write(&left.join("marker.txt"), "marker")?;
    pair.same().await?;
    assert_eq!(modified(&there)?, stamped);
    let journal = pair.tandem(&["journal", "list"]).await?;
    let told = journal.as_array().context("no journal")?.iter();
    let kinds: Vec<&str> = told
        .filter(|entry| entry["node_name"] == "a.txt")
        .filter_map(|entry| entry["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["ENTERED", "APPLIED"], "{journal}");
    pair.stop().await
}

fn property(name: &str, text: &str) -> Property {
    let kind = property_value::Kind::Text(text.to_owned());
    Property {
        name: name.to_owned(),
        value: Some(PropertyValue { kind: Some(kind) }),
    }
}

/// A document with properties of which only the title is on the list.
fn documented(title: &str, others: &str) -> Observation {
    let mut seen = document("a", "a.txt", "content");
    if let Some(observation::State::Present(projection)) = &mut seen.state {
        projection.properties = [
            "cm:creator",
            "cm:created",
            "cm:modifier",
            "cm:modified",
            "cm:versionLabel",
            "cm:taggable",
            "cm:categories",
            "acme:invoiceNumber",
        ]
        .map(|name| property(name, others))
        .to_vec();
        projection.properties.push(property("cm:title", title));
    }
    seen
}

/// How many entries of the journal tell of `a.txt`.
async fn entries_of(site: &Site) -> Result<usize> {
    let journal = site.coordinator.journal(NETWORK).await?;
    let named = journal.iter().filter(|entry| entry.node_name == "a.txt");
    Ok(named.count())
}

#[tokio::test]
async fn r_prj_2_properties_that_are_not_on_the_list_are_never_delivered_and_never_a_change()
-> Result<()> {
    let mut site = Site::start().await?;
    site.agent
        .tell(vec![observed(documented("a title", "secret"))])
        .await?;
    site.also_has(&["a.txt"]);
    site.works().await?;
    let title = [property("cm:title", "a title")];
    assert_eq!(site.on_cloud("a.txt").properties, title);

    // That it entered, and that it was applied.
    let told = poll(PATIENCE, "the document is synced", async || {
        entries_of(&site).await.ok().filter(|told| *told == 2)
    });
    told.await?;
    site.agent
        .tell(vec![observed(documented("a title", "another secret"))])
        .await?;
    site.works().await?;
    assert_eq!(entries_of(&site).await?, 2, "nothing was changed");
    site.agent
        .tell(vec![observed(documented("another title", "secret"))])
        .await?;
    site.works().await?;
    let title = [property("cm:title", "another title")];
    site.until_on_cloud("a.txt", |found| found.properties == title)
        .await
}

/// Content and type of `contracts/a.txt`.
fn looks(repository: &MemoryRepository) -> Option<(String, String)> {
    let node_type = listing(repository, FOLDER).remove("a.txt")?.node_type;
    repository.with(|tree| {
        let node = tree.find("contracts/a.txt")?;
        let content = tree.content(&node)?;
        Some((String::from_utf8_lossy(&content).into_owned(), node_type))
    })
}

#[tokio::test]
async fn r_prj_3_a_type_arrives_where_it_is_known_as_its_base_elsewhere_and_never_again()
-> Result<()> {
    const KNOWN: &[&str] = &["acme:invoice", "acme:bill"];
    for (node_types, arrives_as) in [(&[][..], ""), (KNOWN, "acme:invoice")] {
        let pair = MemoryPair::start(Rules {
            node_types,
            ..Rules::default()
        });
        let pair = pair.await?;
        let (left, right) = (pair.left(), pair.right());
        let looks_so = |content: &str, node_type: &str| {
            let expected = (content.to_owned(), node_type.to_owned());
            move |repository| looks(repository).as_ref() == Some(&expected)
        };
        let node = left.with(|tree| {
            let node = tree.create_document(&pair.folder, "a.txt", "first")?;
            tree.set_type(&node, "acme:invoice").map(|()| node)
        })?;
        let first = looks_so("first", arrives_as);
        pair.until("it arrives", || first(right)).await?;
        left.with(|tree| {
            tree.set_type(&node, "acme:bill")?;
            tree.create_document(&pair.folder, "marker.txt", "after it")
        })?;
        let marked = || listing(right, FOLDER).contains_key("marker.txt");
        pair.until("the marker arrives", marked).await?;
        let journal = pair.coordinator.journal(NETWORK).await?;
        let mut told = journal.iter().filter(|entry| entry.node_name == "a.txt");
        let changed = told.any(|entry| entry.kind() == JournalKind::Observed);
        assert!(!changed, "a type is no change: {journal:?}");
        left.with(|tree| tree.write(&node, "second"))?;
        let second = looks_so("second", arrives_as);
        pair.until("a change arrives", || second(right)).await?;
        let copy = right.with(|tree| tree.find("contracts/a.txt"));
        right.with(|tree| tree.write(&copy.unwrap_or_default(), "third"))?;
        let third = looks_so("third", "acme:bill");
        pair.until("a change comes back", || third(left)).await?;
        pair.assert_no_conflict().await?;
        pair.on_premise.stop().await?;
        pair.cloud.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn r_mem_1_names_that_are_not_utf_8_are_listed_as_skipped_until_they_are_renamed()
-> Result<()> {
    let mut pair = Pair::new()?;
    let (left, right) = (pair.contracts(), pair.mirror());
    write(&left.join("a.txt"), "a")?;
    let document = left.join(OsStr::from_bytes(b"caf\xe9.txt"));
    fs::write(&document, "latin")?;
    pair.start_in_sync(&[]).await?;
    let folder = left.join(OsStr::from_bytes(b"\xff"));
    write(&folder.join("inner.txt"), "inner")?;
    write(&left.join("marker.txt"), "after it")?;
    pair.until("the marker is pushed", || right.join("marker.txt").exists())
        .await?;
    let reason = "its name is not UTF-8 or longer than 255 bytes; rename it to sync it";
    let listed = |name: &str| (format!("contracts/{name}"), reason.to_owned());
    let expected = [listed("\\xFF"), listed("caf\\xE9.txt")];
    let all = poll(PATIENCE, "both are listed", async || {
        let found = pair.skipped().await.ok()?;
        (found == expected).then_some(())
    });
    all.await?;
    fs::rename(&document, left.join("caf\u{e9}.txt"))?;
    fs::rename(&folder, left.join("folder"))?;
    pair.same().await?;
    assert_eq!(fs::read_to_string(right.join("folder/inner.txt"))?, "inner");
    assert_eq!(pair.skipped().await?, []);
    pair.stop().await
}
