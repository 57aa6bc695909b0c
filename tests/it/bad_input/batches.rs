//! Batches that are malformed, out of line, or of another session (R-AGT-2, R-AGT-3, SPEC §12).

use anyhow::Result;
use bytes::Bytes;
use tandem_proto::v1::exchange_request::Frame;
use tandem_proto::v1::{
    Absence, ChangeBatch, ChangeItem, ContentRef, ErrorReason, FailureReason, ItemNoteKind,
    MemberState, NodeKind, Observation, Outcome, Projection, Property, PropertyValue, ScanEnd,
    ScanPage, batch_result, change_item, observation, property_value,
};
use tandem_tests::hand_agent::{document, folder, item, observed};
use tandem_tests::pair::PATIENCE;
use tandem_tests::wait::poll;

use super::{NETWORK, Site, assert_says, refusal_of};

/// A batch in line that breaks one rule, the field that is to be named, and a word of the rule.
type Case = (ChangeBatch, &'static str, &'static str);

fn present(mut observation: Observation, change: impl FnOnce(&mut Projection)) -> ChangeItem {
    if let Some(observation::State::Present(projection)) = &mut observation.state {
        change(projection);
    }
    observed(observation)
}

fn bad_document(change: impl FnOnce(&mut Projection)) -> ChangeItem {
    present(document("bad", "bad.txt", "bad"), change)
}

fn bad_content(change: impl FnOnce(&mut ContentRef)) -> ChangeItem {
    bad_document(|projection| change(projection.content.as_mut().unwrap()))
}

fn property(name: &str, kind: property_value::Kind) -> Property {
    Property {
        name: name.to_owned(),
        value: Some(PropertyValue { kind: Some(kind) }),
    }
}

/// Batches that are wrong around their items.
fn wrong_frames(good: &ChangeBatch) -> Vec<Case> {
    let with = |change: &dyn Fn(&mut ChangeBatch)| {
        let mut batch = good.clone();
        change(&mut batch);
        batch
    };
    vec![
        (with(&|batch| batch.items.clear()), "items", "1 to 1000"),
        (
            with(&|batch| batch.items = vec![batch.items[0].clone(); 1001]),
            "items",
            "1 to 1000",
        ),
        (
            with(&|batch| batch.id = Bytes::from_static(b"short")),
            "id",
            "16 random bytes",
        ),
        (with(&|batch| batch.number = 0), "number", "numbered from 1"),
        (
            with(&|batch| batch.cursor = vec![0; 1025].into()),
            "cursor",
            "at most 1024 bytes",
        ),
        (
            with(&|batch| batch.items[0].item = None),
            "items[0].item",
            "must be given",
        ),
    ]
}

/// Items that are wrong in what they say of a node.
fn wrong_nodes() -> Vec<(ChangeItem, &'static str, &'static str)> {
    let id = |node_id: &str| observed(document(node_id, "bad.txt", "bad"));
    let stateless = Observation {
        state: None,
        ..document("bad", "bad.txt", "bad")
    };
    let vague = Observation {
        state: Some(observation::State::Absent(Absence::default())),
        ..document("bad", "bad.txt", "bad")
    };
    let revised = Observation {
        revision: "r".repeat(129),
        ..document("bad", "bad.txt", "bad")
    };
    vec![
        (id(""), "observation.node_id", "1 to 255 bytes"),
        (
            id(&"x".repeat(256)),
            "observation.node_id",
            "1 to 255 bytes",
        ),
        (observed(stateless), "observation.state", "must be given"),
        (observed(vague), "observation.absent.kind", "MOVED_OUT"),
        (observed(revised), "observation.revision", "128 bytes"),
        (
            bad_document(|node| node.kind = 0),
            "observation.present.kind",
            "DOCUMENT or FOLDER",
        ),
        (
            bad_document(|node| node.content = None),
            "observation.present.content",
            "a document has content",
        ),
        (
            present(folder("bad", "bad"), |node| {
                node.content = Some(ContentRef {
                    digest: vec![0; 32].into(),
                    ..ContentRef::default()
                });
            }),
            "observation.present.content",
            "a folder has none",
        ),
    ]
}

/// Items that are wrong in what they say of content and properties.
fn wrong_values() -> Vec<(ChangeItem, &'static str, &'static str)> {
    let text = || property("cm:title", property_value::Kind::Text("t".to_owned()));
    let nan = property("cm:latitude", property_value::Kind::Number(f64::NAN));
    vec![
        (
            bad_content(|content| content.digest = vec![0; 31].into()),
            "observation.present.content.digest",
            "32 bytes",
        ),
        (
            bad_content(|content| content.size = -1),
            "observation.present.content.size",
            "bytes",
        ),
        (
            bad_content(|content| content.inline = Some(vec![0; 16 * 1024 + 1].into())),
            "observation.present.content.inline",
            "write the rest",
        ),
        (
            bad_document(|node| node.properties = vec![text(), text()]),
            "observation.present.properties[cm:title]",
            "once",
        ),
        (
            bad_document(|node| node.properties = vec![nan]),
            "observation.present.properties[cm:latitude]",
            "NaN",
        ),
    ]
}

/// Items that are no observation, and wrong.
fn wrong_reports() -> Vec<(ChangeItem, &'static str, &'static str)> {
    let page = |children: Vec<Observation>| {
        item(change_item::Item::ScanPage(ScanPage {
            scan_id: vec![0; 16].into(),
            folder_node_id: "contracts".to_owned(),
            readable: true,
            children,
            ..ScanPage::default()
        }))
    };
    let end = ScanEnd {
        scan_id: vec![0; 15].into(),
        outcome: 1,
    };
    vec![
        (
            page(vec![folder("b", "b"), folder("a", "a")]),
            "scan_page.children",
            "ordered by node id",
        ),
        (
            page(vec![folder("a", "a"), folder("b", "../b")]),
            "scan_page.children[1].present.name",
            "neither `/` nor NUL",
        ),
        (
            item(change_item::Item::ScanEnd(end)),
            "scan_end.scan_id",
            "16 bytes",
        ),
        (
            item(change_item::Item::Outcome(Outcome::default())),
            "outcome.delivery_id",
            "must be given",
        ),
    ]
}

#[tokio::test]
async fn r_agt_3_a_malformed_batch_is_refused_whole_and_its_number_stays_free() -> Result<()> {
    let mut site = Site::start().await?;
    let good = site.agent.batch(vec![observed(folder("good", "good"))]);
    for (batch, field, rule) in wrong_frames(&good) {
        let refusal = site.refused(batch).await?;
        assert_says(&refusal, ErrorReason::InvalidField, field, rule);
    }
    for (bad, field, rule) in [wrong_nodes(), wrong_values(), wrong_reports()].concat() {
        let first = observed(document("innocent", "innocent.txt", "in the same batch"));
        let batch = site.agent.batch(vec![first, bad]);
        let refusal = site.refused(batch).await?;
        let field = format!("items[1].{field}");
        assert_says(&refusal, ErrorReason::InvalidField, &field, rule);
    }
    site.works().await
}

#[tokio::test]
async fn names_that_would_leave_their_folder_are_refused_and_nothing_is_made_of_them() -> Result<()>
{
    let mut site = Site::start().await?;
    let long = "x".repeat(256);
    let names = [
        ("", "at least one byte"),
        (".", "`.` and `..`"),
        ("..", "`.` and `..`"),
        ("/", "neither `/` nor NUL"),
        ("a/b", "neither `/` nor NUL"),
        ("../../etc/passwd", "neither `/` nor NUL"),
        ("a\0b", "neither `/` nor NUL"),
        (long.as_str(), "at most 255 bytes"),
    ];
    for (name, rule) in names {
        for bad in [folder("bad", name), document("bad", name, "bad")] {
            let batch = site.agent.batch(vec![observed(bad)]);
            let refusal = site.refused(batch).await?;
            let field = "items[0].observation.present.name";
            assert_says(&refusal, ErrorReason::InvalidField, field, rule);
        }
    }
    site.works().await
}

#[tokio::test]
async fn bytes_that_are_not_the_ones_of_their_digest_are_refused() -> Result<()> {
    let mut site = Site::start().await?;
    let forged = bad_content(|content| content.inline = Some(Bytes::from_static(b"BAD")));
    let wrong_size = bad_content(|content| content.size += 1);
    for bad in [forged, wrong_size] {
        let batch = site.agent.batch(vec![bad.clone()]);
        let result = site.agent.report(batch).await?;
        assert_eq!(result.missing_digests, digests(&bad), "which one is wrong");
        let refusal = refusal_of(result)?;
        assert_says(&refusal, ErrorReason::DigestMismatch, "", "claimed digest");
    }
    let unsent = bad_content(|content| content.inline = None);
    let refusal = site.refused(site.agent.batch(vec![unsent])).await?;
    assert_says(&refusal, ErrorReason::ContentMissing, "", "send it");
    site.works().await
}

fn digests(item: &ChangeItem) -> Vec<Bytes> {
    match &item.item {
        Some(change_item::Item::Observation(Observation {
            state: Some(observation::State::Present(projection)),
            ..
        })) => projection
            .content
            .iter()
            .map(|content| content.digest.clone())
            .collect(),
        _ => Vec::new(),
    }
}

/// A document with so many bytes in every property.
fn with_properties(name: &str, bytes: usize) -> ChangeItem {
    let text = || property_value::Kind::Text("t".repeat(bytes));
    present(document(name, name, name), |projection| {
        let names = ["cm:title", "cm:description", "cm:author", "exif:model"];
        projection.properties = names.map(|name| property(name, text())).to_vec();
    })
}

#[tokio::test]
async fn r_agt_3_a_batch_above_the_announced_bytes_is_refused_and_the_next_one_is_taken()
-> Result<()> {
    let mut site = Site::start().await?;
    let half = 512 * 1024;
    let two = vec![
        with_properties("a.txt", half / 4),
        with_properties("b.txt", half / 4),
    ];
    let refusal = site.refused(site.agent.batch(two)).await?;
    assert_says(&refusal, ErrorReason::InvalidField, "items", "1048576");
    let one = vec![with_properties("a.txt", half / 2)];
    let refusal = site.refused(site.agent.batch(one)).await?;
    assert_says(&refusal, ErrorReason::InvalidField, "items[0]", "too large");
    site.works().await
}

#[tokio::test]
async fn r_agt_3_a_node_too_large_fails_alone_and_heals_when_it_is_smaller() -> Result<()> {
    let mut site = Site::start().await?;
    let large = with_properties("large.txt", 65 * 1024);
    let fine = observed(document("fine.txt", "fine.txt", "in the same batch"));
    let batch = site.agent.batch(vec![large, fine]);
    let result = site.agent.report(batch).await?;
    let Some(batch_result::Answer::Accepted(accepted)) = result.answer else {
        panic!("not accepted: {result:?}");
    };
    let notes: Vec<_> = accepted
        .notes
        .iter()
        .map(|note| (note.item_index, note.kind()))
        .collect();
    assert_eq!(notes, [(0, ItemNoteKind::NodeFailed)]);
    site.also_has(&["fine.txt"]);
    site.works().await?;
    let failure = site.failure_of("large.txt").await?;
    assert_eq!(failure, Some(FailureReason::ContentLimitViolation));
    let batch = site
        .agent
        .batch(vec![with_properties("large.txt", 60 * 1024)]);
    let result = site.agent.report(batch).await?;
    assert!(matches!(
        result.answer,
        Some(batch_result::Answer::Accepted(_))
    ));
    site.also_has(&["large.txt"]);
    site.works().await?;
    assert_eq!(site.failure_of("large.txt").await?, None);
    Ok(())
}

#[tokio::test]
async fn r_agt_3_a_gap_is_refused_with_the_number_that_is_expected() -> Result<()> {
    let mut site = Site::start().await?;
    let expected = site.agent.last_number + 1;
    for ahead in [1, 2, 1_000_000] {
        let mut batch = site.agent.batch(vec![observed(folder("bad", "bad"))]);
        batch.number += ahead;
        let refusal = site.refused(batch).await?;
        assert_says(&refusal, ErrorReason::BatchGap, "", &expected.to_string());
        assert_eq!(refusal.expected_number, expected);
    }
    site.works().await
}

/// What the journal tells of the folder `deleted`, once its membership has ended.
async fn told_of_the_deleted(site: &Site) -> Result<Vec<String>> {
    let told = poll(PATIENCE, "the membership ends", async || {
        let journal = site.coordinator.journal(NETWORK).await.ok()?;
        let told = journal
            .into_iter()
            .filter(|entry| entry.node_name == "deleted");
        let told: Vec<String> = told.map(|entry| entry.message).collect();
        let ended = told.iter().any(|message| message == "the membership ended");
        ended.then_some(told)
    });
    told.await
}

#[tokio::test]
async fn r_agt_3_a_repeat_has_no_second_effect_and_another_batch_under_its_number_none()
-> Result<()> {
    let mut site = Site::start().await?;
    let sent = site
        .agent
        .batch(vec![observed(folder("deleted", "deleted"))]);
    let first = site.agent.report(sent.clone()).await?;
    let synced = poll(PATIENCE, "the folder is synced", async || {
        let members = site.coordinator.members(NETWORK).await.ok()?;
        let folder = members.into_iter().find(|member| {
            let copy = member.on_premise.as_ref();
            copy.is_some_and(|copy| copy.name == "deleted")
        })?;
        (folder.state() == MemberState::Synced).then_some(())
    });
    synced.await?;
    let mut gone = folder("deleted", "deleted");
    gone.state = Some(observation::State::Absent(Absence {
        kind: 1,
        ..Absence::default()
    }));
    let deletion = site.agent.batch(vec![observed(gone)]);
    site.agent.report(deletion).await?;
    site.works().await?;
    let before = told_of_the_deleted(&site).await?;

    // The folder was deleted since: taking the repeat for news would bring it back.
    assert_eq!(site.agent.report(sent.clone()).await?, first);
    let other = ChangeBatch {
        id: Bytes::from_static(b"another batch id"),
        ..sent.clone()
    };
    let refusal = site.refused(other).await?;
    assert_says(&refusal, ErrorReason::RollbackSuspected, "", "another id");
    site.reopen().await?;
    let again = ChangeBatch {
        session_epoch: site.agent.welcome.session_epoch,
        ..sent
    };
    assert_eq!(site.agent.report(again).await?, first, "in a later session");
    assert_eq!(told_of_the_deleted(&site).await?, before);
    site.works().await
}

#[tokio::test]
async fn r_agt_2_a_batch_with_the_epoch_of_another_session_has_no_effect() -> Result<()> {
    let mut site = Site::start().await?;
    let old = site.agent.welcome.session_epoch;
    site.reopen().await?;
    let present = site.agent.welcome.session_epoch;
    assert!(present > old, "every session raises the epoch");
    for epoch in [old, present + 1, 0, -1] {
        let mut batch = site.agent.batch(vec![observed(folder("bad", "bad"))]);
        batch.session_epoch = epoch;
        let refusal = site.refused(batch).await?;
        assert_says(&refusal, ErrorReason::StaleEpoch, "", "open a new one");
    }
    site.works().await
}

#[tokio::test]
async fn r_agt_3_a_batch_that_puts_a_folder_into_itself_is_refused_whole() -> Result<()> {
    let mut site = Site::start().await?;
    let inside = |node: &str, parent: &str| {
        let mut seen = folder(node, node);
        seen.parent_node_id = parent.to_owned();
        observed(seen)
    };
    let made = site
        .agent
        .batch(vec![inside("a", "contracts"), inside("b", "a")]);
    site.agent.report(made).await?;
    let ring = site.agent.batch(vec![inside("a", "b")]);
    let refusal = site.refused(ring).await?;
    assert_says(&refusal, ErrorReason::FolderCycle, "", "inside itself");
    // So many that what is sent right behind it is decided together with it.
    let mut items: Vec<ChangeItem> = (0..120)
        .map(|number| inside(&format!("n{number}"), "contracts"))
        .collect();
    items.push(inside("a", "b"));
    let ring = site.agent.batch(items);
    let mut behind = site.agent.batch(vec![inside("c", "contracts")]);
    behind.number += 1;
    let expected = ring.number;
    site.agent.send(Frame::ChangeBatch(ring)).await?;
    site.agent.send(Frame::ChangeBatch(behind)).await?;
    let refusal = refusal_of(site.agent.result().await?)?;
    assert_says(&refusal, ErrorReason::FolderCycle, "", "inside itself");
    let refusal = refusal_of(site.agent.result().await?)?;
    assert_eq!(refusal.reason(), ErrorReason::BatchGap);
    assert_eq!(refusal.expected_number, expected);
    let gone = |node: &str| {
        let absent = Absence {
            kind: 1,
            ..Absence::default()
        };
        let mut seen = folder(node, node);
        seen.state = Some(observation::State::Absent(absent));
        observed(seen)
    };
    let removed = site.agent.batch(vec![gone("a")]);
    site.agent.report(removed).await?;
    site.works().await
}

/// [`NodeKind`] values that no build knows are refused like none at all.
#[tokio::test]
async fn values_of_a_later_version_are_refused_not_guessed() -> Result<()> {
    let mut site = Site::start().await?;
    let unknown = NodeKind::Folder as i32 + 40;
    let bad = bad_document(|node| node.kind = unknown);
    let refusal = site.refused(site.agent.batch(vec![bad])).await?;
    let field = "items[0].observation.present.kind";
    assert_says(
        &refusal,
        ErrorReason::InvalidField,
        field,
        "DOCUMENT or FOLDER",
    );
    site.works().await
}
