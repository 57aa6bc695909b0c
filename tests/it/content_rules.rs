//! Rules of content repositories: those in the foreground refuse what is delivered (R-ERR-1), those in the background change it
//! afterwards (R-PRJ-5).

use anyhow::{Context, Result};
use tandem_client::agent::memory::{Effect, FolderRule, MemoryRepository, Rules};
use tandem_proto::v1::{
    FailureReason, Member, MemberState, RequestSyncRequest, RetryClass, Side, property_value::Kind,
};
use tandem_tests::memory_pair::{FOLDER, MemoryPair, NETWORK};
use tandem_tests::pair::PATIENCE;
use tandem_tests::wait::poll;

/// From now on this holds for documents of the synced folder whose names end so.
fn rule(repository: &MemoryRepository, ending: &str, effect: Effect) {
    repository.with(|tree| {
        let folder = tree.find(FOLDER).unwrap_or_default();
        tree.folder_rules.rules.push(FolderRule {
            folder,
            ending: ending.to_owned(),
            effect,
        });
    });
}

fn no_rules(repository: &MemoryRepository) {
    repository.with(|tree| tree.folder_rules.rules.clear());
}

fn make(repository: &MemoryRepository, name: &str, text: &'static str) -> Result<String> {
    Ok(repository.with(|tree| {
        let folder = tree.find(FOLDER).unwrap_or_default();
        tree.create_document(&folder, name, text)
    })?)
}

fn text(repository: &MemoryRepository, path: &str) -> Option<String> {
    let content = repository.with(|tree| tree.content(&tree.find(&format!("{FOLDER}/{path}"))?));
    content.map(|content| String::from_utf8_lossy(&content).into_owned())
}

fn title(repository: &MemoryRepository, path: &str) -> Option<String> {
    repository.with(|tree| {
        let projection = tree.projection(&tree.find(&format!("{FOLDER}/{path}"))?)?;
        let mut properties = projection.properties.into_iter();
        let title = properties.find(|property| property.name == "cm:title")?;
        match title.value?.kind? {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    })
}

/// Waits until a member fails.
async fn failed(pair: &MemoryPair) -> Result<Member> {
    let failed = poll(PATIENCE, "a member fails", async || {
        let members = pair.coordinator.members(NETWORK).await.ok()?;
        let failed = |member: &Member| member.state() == MemberState::Failed;
        members.into_iter().find(failed)
    });
    let failed = failed.await;
    failed.context(pair.coordinator.story(NETWORK).await?)
}

async fn request(pair: &MemoryPair, member: &Member) -> Result<()> {
    let (set, _) = member
        .name
        .split_once("/members/")
        .context("it has no set")?;
    let request = RequestSyncRequest {
        parent: set.to_owned(),
        names: vec![member.name.clone()],
    };
    let mut members = pair.coordinator.operator().await?.members();
    Ok(members.request_sync(request).await.map(drop)?)
}

#[tokio::test]
async fn r_err_1_a_rule_that_refuses_fails_the_document_as_something_to_fix() -> Result<()> {
    let pair = MemoryPair::start(Rules::default()).await?;
    let (left, right) = (pair.left(), pair.right());
    rule(right, ".draft", Effect::Refuse("no drafts here".to_owned()));
    make(left, "a.draft", "first")?;
    let member = failed(&pair).await?;
    let failure = member.failure.clone().context("it says nothing")?;
    assert_eq!(failure.reason(), FailureReason::RuleFailed);
    assert_eq!(failure.retry_class(), RetryClass::Fix);
    assert_eq!(failure.side(), Side::Cloud);
    assert!(failure.message.contains("no drafts here"), "{failure:?}");
    assert!(failure.remedy.contains("change the rule"), "{failure:?}");
    assert!(failure.next_try.is_some(), "every hour: {failure:?}");

    make(left, "b.txt", "fine")?;
    pair.until("others go on", || text(right, "b.txt").is_some())
        .await?;
    no_rules(right);
    request(&pair, &member).await?;
    pair.same().await?;
    assert_eq!(text(right, "a.draft").as_deref(), Some("first"));
    pair.assert_no_conflict().await
}

/// A document of the synced folder that is changed on one side while a rule of the other refuses, and then does not.
async fn refused_and_tried_again(
    pair: &MemoryPair,
    (here, there): (&MemoryRepository, &MemoryRepository),
    name: &str,
) -> Result<()> {
    let document = make(here, &format!("{name}.txt"), "first")?;
    pair.same().await?;
    rule(there, ".txt", Effect::Refuse("nothing changes".to_owned()));
    here.with(|tree| tree.write(&document, "second"))?;
    let reason = failed(pair).await?.failure.context("no failure")?.reason();
    assert_eq!(reason, FailureReason::RuleFailed);
    let held = |repository| text(repository, &format!("{name}.txt"));
    assert_eq!(held(there).as_deref(), Some("first"));
    no_rules(there);
    here.with(|tree| tree.write(&document, "third"))?;
    pair.same().await?;
    assert_eq!(held(there).as_deref(), Some("third"));

    rule(there, ".exe", Effect::Refuse("no programs".to_owned()));
    here.with(|tree| tree.rename(&document, &format!("{name}.exe")))?;
    failed(pair).await?;
    here.with(|tree| tree.rename(&document, &format!("{name}.pdf")))?;
    pair.same().await?;
    no_rules(there);
    Ok(())
}

#[tokio::test]
async fn r_err_1_what_a_rule_refuses_is_tried_again_with_the_next_change_on_either_side()
-> Result<()> {
    let pair = MemoryPair::start(Rules::default()).await?;
    let (left, right) = (pair.left(), pair.right());
    refused_and_tried_again(&pair, (left, right), "ours").await?;
    refused_and_tried_again(&pair, (right, left), "theirs").await?;
    pair.assert_no_conflict().await
}

/// A document of one side that rules of the other change, more than once.
async fn changed_and_passed_back(
    pair: &MemoryPair,
    (here, there): (&MemoryRepository, &MemoryRepository),
    name: &str,
) -> Result<()> {
    let sorted = there.with(|tree| {
        let folder = tree.find(FOLDER).unwrap_or_default();
        tree.create_folder(&folder, &format!("{name} sorted"))
    })?;
    pair.same().await?;
    rule(there, ".txt", Effect::Append(" stamped".to_owned()));
    let titled = Effect::SetProperty("cm:title".to_owned(), "by rule".to_owned());
    rule(there, ".txt", titled);
    rule(there, ".txt", Effect::MoveTo(sorted));
    let document = make(here, &format!("{name}.txt"), "first")?;
    let path = format!("{name} sorted/{name}.txt");
    let back = |expected: &str| {
        text(here, &path).as_deref() == Some(expected)
            && title(here, &path).as_deref() == Some("by rule")
    };
    pair.until("the rule's change is back", || back("first stamped"))
        .await?;
    here.with(|tree| tree.write(&document, "second"))?;
    pair.until("and again", || back("second stamped")).await?;
    pair.same().await?;
    let before = pair.coordinator.journal(NETWORK).await?.len();
    make(here, &format!("{name}.pdf"), "after it")?;
    pair.same().await?;
    let after = pair.coordinator.journal(NETWORK).await?.len();
    assert_eq!(
        after - before,
        2,
        "it came and was applied, and nothing else"
    );
    no_rules(there);
    Ok(())
}

#[tokio::test]
async fn r_prj_5_what_a_background_rule_changes_flows_back_once_and_is_no_conflict() -> Result<()> {
    let pair = MemoryPair::start(Rules::default()).await?;
    let (left, right) = (pair.left(), pair.right());
    changed_and_passed_back(&pair, (left, right), "ours").await?;
    changed_and_passed_back(&pair, (right, left), "theirs").await?;
    pair.assert_no_conflict().await
}

#[tokio::test]
async fn r_prj_5_background_rules_that_contradict_each_other_fail_as_a_loop() -> Result<()> {
    let pair = MemoryPair::start(Rules::default()).await?;
    let (left, right) = (pair.left(), pair.right());
    let titled = |text: &str| Effect::SetProperty("cm:title".to_owned(), text.to_owned());
    rule(left, ".txt", titled("ours"));
    rule(right, ".txt", titled("theirs"));
    make(left, "a.txt", "first")?;
    let member = failed(&pair).await?;
    let failure = member.failure.clone().context("it says nothing")?;
    assert_eq!(failure.reason(), FailureReason::LoopDetected);
    assert_eq!(failure.retry_class(), RetryClass::Decision);
    make(left, "b.pdf", "fine")?;
    pair.until("others go on", || text(right, "b.pdf").is_some())
        .await?;
    no_rules(left);
    request(&pair, &member).await?;
    pair.same().await?;
    assert_eq!(title(left, "a.txt"), title(right, "a.txt"));
    pair.assert_no_conflict().await
}
