//! Sessions without a stream (R-AGT-9), over a real connection to a real `tandemd serve`.

use anyhow::{Context, Result};
use bytes::Bytes;
use tandem_client::error::Error;
use tandem_proto::v1::{
    ChangeBatch, Delivery, ErrorReason, ExchangeRequest, ExchangeResponse, JournalEntry, Member,
    MemberState, ResumeKeyStored, RevokeTokenRequest, batch_result, exchange_request::Frame,
    exchange_response,
};
use tandem_tests::agents::listing;
use tandem_tests::hand_agent::{
    FOLDER, HandAgent, applied, deleted, document, folder, frame, observed,
};
use tandem_tests::pair::PATIENCE;
use tandem_tests::wait::{eventually, poll};
use tonic::Code;

use crate::bad_input::{NETWORK, Site, first_hello};

/// How long a pull waits that is expected to bring nothing.
const SHORT_MILLISECONDS: u64 = 300;
/// How long a pull waits that is expected to bring something.
const LONG_MILLISECONDS: u64 = 25_000;

fn deliveries(frames: &[ExchangeResponse]) -> Vec<Delivery> {
    let frames = frames.iter().filter_map(|frame| frame.frame.as_ref());
    let deliveries = frames.filter_map(|frame| match frame {
        exchange_response::Frame::Deliveries(some) => Some(some.deliveries.clone()),
        _ => None,
    });
    deliveries.flatten().collect()
}

fn batch(batch: &ChangeBatch) -> ExchangeRequest {
    frame(Frame::ChangeBatch(batch.clone()))
}

/// Pulls and confirms, until deliveries come.
async fn pulled(agent: &mut HandAgent) -> Result<(i64, Vec<Delivery>)> {
    let calls = agent.calls()?;
    let pulling = async {
        loop {
            let answer = calls.pull(LONG_MILLISECONDS).await?;
            let found = deliveries(&answer.frames);
            if !found.is_empty() {
                return Ok((answer.number, found));
            }
            calls.received = answer.number;
        }
    };
    let within = tokio::time::timeout(PATIENCE, pulling).await;
    within.context("nothing is delivered")?
}

/// The journal once everything that was reported is synced and told.
async fn journal_at_rest(site: &Site) -> Result<Vec<JournalEntry>> {
    poll(PATIENCE, "everything is synced", async || {
        let members = site.coordinator.members(NETWORK).await.ok()?;
        let done = |member: &Member| member.state() == MemberState::Synced;
        members.iter().all(done).then_some(())
    })
    .await?;
    site.coordinator.journal(NETWORK).await
}

fn stale(refusal: &Error) {
    assert_eq!(refusal.code(), Code::Aborted, "{refusal:?}");
    assert!(refusal.is(ErrorReason::StaleEpoch), "{refusal:?}");
}

#[tokio::test]
async fn r_agt_9_documents_are_made_changed_and_deleted_both_ways_without_a_stream() -> Result<()> {
    // That the set could be made shows that commands are pulled and answered by a push.
    let mut site = Site::start_calls().await?;
    let session = site.agent.welcome.session_epoch;

    let second = observed(document("0.txt", "renamed.txt", "second"));
    site.agent.tell(vec![second]).await?;
    site.until_on_cloud("renamed.txt", |found| {
        found
            .content
            .as_ref()
            .is_some_and(|content| content.size == 6)
    })
    .await?;
    site.agent.tell(vec![observed(deleted("0.txt"))]).await?;
    let cloud = &site.cloud.repository;
    eventually(PATIENCE, "it is gone on the cloud", || {
        listing(cloud, FOLDER).is_empty()
    })
    .await?;

    let made = cloud.with(|tree| -> Result<String> {
        let folder = tree.find(FOLDER).context("no folder")?;
        Ok(tree.create_document(&folder, "theirs.txt", "theirs")?)
    })?;
    let created = site.agent.delivery().await?;
    site.agent.tell(vec![applied(&created)?]).await?;
    cloud.with(|tree| tree.write(&made, "theirs, changed"))?;
    let updated = site.agent.delivery().await?;
    site.agent.tell(vec![applied(&updated)?]).await?;
    cloud.with(|tree| tree.delete(&made))?;
    // By default nothing is deleted on-premise, so nothing more is delivered.
    let members = poll(PATIENCE, "the deletion is known", async || {
        let members = site.coordinator.members(NETWORK).await.ok()?;
        let gone = |member: &&Member| {
            member
                .on_premise
                .as_ref()
                .is_some_and(|copy| copy.name == "theirs.txt")
        };
        let member = members.iter().find(gone)?.clone();
        member.cloud_copy_deleted.then_some(())
    });
    members
        .await
        .context(site.coordinator.story(NETWORK).await?)?;
    let last = updated.id.context("no id")?;
    assert_eq!(last.member_id, created.id.context("no id")?.member_id);
    let welcome = &site.agent.welcome;
    assert_eq!(welcome.session_epoch, session, "one session for all of it");
    Ok(())
}

#[tokio::test]
async fn r_agt_9_an_answer_of_a_pull_that_was_lost_is_given_again_and_no_other() -> Result<()> {
    let mut site = Site::start_calls().await?;
    site.cloud.repository.with(|tree| -> Result<()> {
        let folder = tree.find(FOLDER).context("no folder")?;
        tree.create_document(&folder, "theirs.txt", "theirs")?;
        Ok(())
    })?;
    let (number, first) = pulled(&mut site.agent).await?;
    let calls = site.agent.calls()?;
    for _ in 0..2 {
        let again = calls.pull(LONG_MILLISECONDS).await?;
        assert_eq!(
            (again.number, deliveries(&again.frames)),
            (number, first.clone())
        );
    }
    calls.received = number;
    let more = calls.pull(SHORT_MILLISECONDS).await?;
    assert_eq!(
        (more.number, more.frames),
        (number, vec![]),
        "it is in flight"
    );

    for wrong in [number - 1, number + 1, -1] {
        calls.received = wrong;
        let refused = calls
            .pull(SHORT_MILLISECONDS)
            .await
            .err()
            .context("taken")?;
        assert!(refused.is(ErrorReason::InvalidField), "{refused:?}");
        assert_eq!(refused.metadata()["field"], "received_number");
    }
    calls.received = number;

    // A session that ends without an outcome leaves it due.
    site.reopen_calls().await?;
    let again = site.agent.delivery().await?;
    assert_eq!(again.id, first[0].id);
    site.agent.tell(vec![applied(&again)?]).await?;
    site.also_has(&["theirs.txt"]);
    site.works().await
}

#[tokio::test]
async fn r_agt_9_work_ends_a_pull_early_and_pushes_go_on_beside_it() -> Result<()> {
    let mut site = Site::start_calls().await?;
    let calls = site.agent.calls()?;
    // What is left of the beginning.
    while !calls.pull(SHORT_MILLISECONDS).await?.frames.is_empty() {
        calls.received += 1;
    }
    let received = calls.received;
    let calls = calls.clone();
    let begun = std::time::Instant::now();
    let pulling = tokio::spawn({
        let calls = calls.clone();
        async move { calls.pull(LONG_MILLISECONDS).await }
    });
    calls.push(Vec::new()).await?;
    site.cloud.repository.with(|tree| -> Result<()> {
        let folder = tree.find(FOLDER).context("no folder")?;
        tree.create_document(&folder, "theirs.txt", "theirs")?;
        Ok(())
    })?;
    let answer = pulling.await??;
    let took = begun.elapsed();
    assert_eq!(answer.number, received + 1);
    assert_eq!(deliveries(&answer.frames).len(), 1, "{answer:?}");
    assert!(took.as_millis() < u128::from(LONG_MILLISECONDS), "{took:?}");
    Ok(())
}

#[tokio::test]
async fn r_agt_3_a_push_answers_its_batches_in_order_and_a_repeat_the_same() -> Result<()> {
    let mut site = Site::start_calls().await?;
    let mut batches = Vec::new();
    for name in ["a.txt", "b.txt", "c.txt"] {
        let mut next = site.agent.batch(vec![observed(document(name, name, name))]);
        next.number += i64::try_from(batches.len())?;
        batches.push(next);
    }
    let mut wrong_epoch = batches[2].clone();
    wrong_epoch.number += 1;
    wrong_epoch.session_epoch -= 1;
    let frames: Vec<_> = batches.iter().chain([&wrong_epoch]).map(batch).collect();
    let calls = site.agent.calls()?;
    let first = calls.push(frames.clone()).await?.frames;
    let again = calls.push(frames).await?.frames;
    assert_eq!(first, again, "the stored answers");
    let mut numbers = Vec::new();
    for response in first {
        let Some(exchange_response::Frame::BatchResult(result)) = response.frame else {
            anyhow::bail!("no result: {response:?}");
        };
        numbers.push(result.number);
        match result.answer {
            Some(batch_result::Answer::Accepted(_)) => {
                assert_ne!(result.number, wrong_epoch.number);
            }
            Some(batch_result::Answer::Refused(refusal)) => {
                assert_eq!(result.number, wrong_epoch.number);
                assert_eq!(refusal.reason(), ErrorReason::StaleEpoch);
            }
            None => anyhow::bail!("no answer"),
        }
    }
    let expected: Vec<_> = batches
        .iter()
        .chain([&wrong_epoch])
        .map(|one| one.number)
        .collect();
    assert_eq!(numbers, expected);
    site.agent.last_number = batches[2].number;
    site.agent.last_id = batches[2].id.clone();
    site.also_has(&["a.txt", "b.txt", "c.txt"]);
    site.works().await
}

#[tokio::test]
async fn r_agt_2_calls_with_another_epoch_have_no_effect() -> Result<()> {
    let mut site = Site::start_calls().await?;
    let bad = site.agent.batch(vec![observed(folder("bad", "bad"))]);
    let before = journal_at_rest(&site).await?;
    let calls = site.agent.calls()?;
    for other in [-1, 1] {
        let mut wrong = calls.clone();
        wrong.epoch += other;
        stale(&wrong.push(vec![batch(&bad)]).await.err().context("taken")?);
        stale(&wrong.pull(0).await.err().context("taken")?);
    }
    assert_eq!(site.coordinator.journal(NETWORK).await?, before);
    site.works().await
}

#[tokio::test]
async fn r_agt_2_a_session_with_and_one_without_a_stream_supersede_each_other() -> Result<()> {
    let mut site = Site::start_calls().await?;
    // Without a pull nobody answers the ping, so a stream takes over.
    let older = site.agent.calls()?.clone();
    site.reopen().await?;
    stale(&older.push(Vec::new()).await.err().context("taken")?);
    stale(&older.pull(0).await.err().context("taken")?);
    site.works().await?;

    // The stream answers, so a session without one is refused; nobody is disturbed.
    let hello = site.agent.hello_again(first_hello());
    let client = site.client.clone();
    let opening = HandAgent::open_calls(&client, hello.clone());
    let refused = site.agent.while_answering(opening).await?;
    let refused = refused.err().context("two sessions")?;
    let refused = refused.downcast_ref::<Error>().context("no refusal")?;
    assert!(refused.is(ErrorReason::RepositoryCloned), "{refused:?}");
    site.works().await?;

    // A stream that does not answer is superseded.
    let hello = site.agent.hello_again(first_hello());
    let next = HandAgent::open_calls(&client, hello).await?;
    let end = site.agent.end().await?;
    assert!(end.is(ErrorReason::SessionSuperseded), "{end:?}");
    let (number, id) = (site.agent.last_number, site.agent.last_id.clone());
    site.agent = next;
    assert_eq!((site.agent.last_number, &site.agent.last_id), (number, &id));
    site.works().await?;

    // A session without a stream that answers pings, by pull and push, is not superseded.
    let hello = site.agent.hello_again(first_hello());
    let opening = HandAgent::open(&client, hello);
    let refused = site.agent.while_answering(opening).await?;
    let refused = refused.err().context("two sessions")?;
    let refused = refused.downcast_ref::<Error>().context("no refusal")?;
    assert!(refused.is(ErrorReason::RepositoryCloned), "{refused:?}");
    site.works().await?;

    // One that pulls and does not answer is, and its next pull ends with it.
    let hello = site.agent.hello_again(first_hello());
    let calls = site.agent.calls()?.clone();
    let pulling = tokio::spawn(async move {
        let mut calls = calls;
        loop {
            match calls.pull(LONG_MILLISECONDS).await {
                Ok(answer) => calls.received = answer.number,
                Err(error) => return error,
            }
        }
    });
    site.agent = HandAgent::open_calls(&client, hello).await?;
    let end = pulling.await?;
    assert!(end.is(ErrorReason::SessionSuperseded), "{end:?}");
    site.works().await
}

#[tokio::test]
async fn r_agt_1_wrong_frames_in_a_push_end_the_session_and_the_next_goes_on() -> Result<()> {
    let mut site = Site::start_calls().await?;
    let wrong_key = ResumeKeyStored {
        resume_key: Bytes::from_static(b"short"),
    };
    let cases = [
        (Some(Frame::Hello(first_hello())), "comes once"),
        (None, "an arm that is not known"),
        (Some(Frame::ResumeKeyStored(wrong_key)), "16 bytes"),
    ];
    for (number, (wrong, rule)) in cases.into_iter().enumerate() {
        // What stands before the wrong frame has taken effect, as on a stream; its answer is had by asking again.
        let name = format!("before-{number}.txt");
        let good = site
            .agent
            .batch(vec![observed(document(&name, &name, &name))]);
        let calls = site.agent.calls()?;
        let frames = vec![batch(&good), ExchangeRequest { frame: wrong }];
        let refused = calls.push(frames).await.err().context("taken")?;
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains(rule), "{refused:?}");
        stale(&calls.push(Vec::new()).await.err().context("taken")?);
        site.reopen_calls().await?;
        let again = ChangeBatch {
            session_epoch: site.agent.welcome.session_epoch,
            ..good
        };
        let result = site.agent.report(again).await?;
        let accepted = matches!(result.answer, Some(batch_result::Answer::Accepted(_)));
        assert!(accepted, "{result:?}");
        site.also_has(&[&name]);
        site.works().await?;
    }
    Ok(())
}

#[tokio::test]
async fn r_agt_7_a_push_that_is_too_large_has_no_effect_and_the_session_goes_on() -> Result<()> {
    let mut site = Site::start_calls().await?;
    let good = site
        .agent
        .batch(vec![observed(document("a.txt", "a.txt", "a"))]);
    let large = site.agent.batch(vec![observed(document(
        "bad",
        &"x".repeat(5 * 1024 * 1024),
        "bad",
    ))]);
    let before = journal_at_rest(&site).await?;
    let calls = site.agent.calls()?;
    let nothing = || ExchangeRequest {
        frame: Some(Frame::Pong(tandem_proto::v1::Pong::default())),
    };
    let cases = [
        (vec![batch(&good), batch(&large)], "4194304"),
        (vec![batch(&good); 9], "among them 8 batches"),
        (vec![nothing(); 129], "at most 128"),
    ];
    for (frames, rule) in cases {
        let refused = calls.push(frames).await.err().context("taken")?;
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.is(ErrorReason::InvalidField), "{refused:?}");
        assert!(refused.message().contains(rule), "{refused:?}");
    }
    let wait = calls.pull(31_000).await.err().context("taken")?;
    assert_eq!(wait.metadata()["field"], "wait", "{wait:?}");
    assert_eq!(site.coordinator.journal(NETWORK).await?, before);
    site.works().await
}

#[tokio::test]
async fn r_agt_1_a_revoked_token_ends_a_session_without_a_stream() -> Result<()> {
    let mut site = Site::start_calls().await?;
    let revoke = RevokeTokenRequest {
        name: site.token.name.clone(),
    };
    let mut access = site.coordinator.operator().await?.access();
    access.revoke_token(revoke).await?;
    let end = site.agent.end().await?;
    assert!(end.is(ErrorReason::Unauthenticated), "{end:?}");
    site.client = site.coordinator.agent(NETWORK, "hq").await?;
    // The epoch alone gives no right to the session.
    site.reopen_calls().await?;
    site.works().await
}

#[tokio::test]
async fn r_agt_9_a_coordinator_that_stops_says_so_and_the_session_goes_on_at_the_next() -> Result<()>
{
    let mut site = Site::start_calls().await?;
    let calls = site.agent.calls()?.clone();
    let pulling = tokio::spawn(async move {
        let mut calls = calls;
        loop {
            let answer = calls.pull(LONG_MILLISECONDS).await?;
            calls.received = answer.number;
            let mut frames = answer.frames.into_iter();
            if let Some(frame) = frames.find_map(|frame| match frame.frame {
                Some(exchange_response::Frame::Drain(drain)) => Some(drain),
                _ => None,
            }) {
                return anyhow::Ok(frame);
            }
        }
    });
    // It waits before the coordinator is told to stop.
    site.works().await?;
    let begun = std::time::Instant::now();
    site.coordinator.stop().await?;
    assert!(begun.elapsed().as_secs() < 9, "nothing holds it up");
    let drain = pulling.await??;
    assert!(drain.reconnect_delay.is_some());
    site.coordinator.go_on().await?;
    let calls = site.agent.calls()?.clone();
    let gone = poll(PATIENCE, "it is connected again", async || {
        let refused = calls.push(Vec::new()).await.err()?;
        refused.is(ErrorReason::StaleEpoch).then_some(())
    });
    gone.await?;
    site.reopen_calls().await?;
    site.works().await
}
