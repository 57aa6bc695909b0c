//! Ids, digests and names of another network: as unknown as ones that never were (SPEC §12).

use anyhow::{Context, Result};
use bytes::Bytes;
use tandem_client::client::Client;
use tandem_client::error::Error;
use tandem_proto::v1::{
    Absence, BatchResult, ContentSource, DeliveryId, ErrorReason, Failed, FindMissingRequest,
    GetSyncSetRequest, Member, Outcome, ReadRequest, Side, change_item, content_source,
    observation, outcome,
};
use tandem_tests::coordinator::ON_PREMISE;
use tandem_tests::hand_agent::{HandAgent, document, hello, item, observed};
use uuid::Uuid;

use super::{NETWORK, Site, assert_says};

const OTHER: &str = "other";

/// The same agent, node ids included, in another network of the same coordinator.
async fn stranger(site: &Site) -> Result<(Client, HandAgent)> {
    site.coordinator.network(OTHER).await?;
    let client = site.coordinator.agent(OTHER, ON_PREMISE).await?;
    let hello = hello(OTHER, ON_PREMISE, Side::OnPremise);
    let agent = HandAgent::open(&client, hello).await?;
    Ok((client, agent))
}

async fn member_named(site: &Site, name: &str) -> Result<Member> {
    let members = site.coordinator.members(NETWORK).await?;
    let found = members.into_iter().find(|member| {
        let copy = member.on_premise.as_ref();
        copy.is_some_and(|copy| copy.name == name)
    });
    found.with_context(|| format!("no member {name}"))
}

/// The answer to an outcome for this member, without the number of its batch.
async fn answer_for(stranger: &mut HandAgent, member_id: Bytes) -> Result<BatchResult> {
    let mut failed = Failed {
        message: "a stranger was here".to_owned(),
        ..Failed::default()
    };
    failed.set_reason(tandem_proto::v1::FailureReason::RuleFailed);
    let outcome = Outcome {
        delivery_id: Some(DeliveryId {
            member_id,
            source_version: 1,
        }),
        answer: Some(outcome::Answer::Failed(failed)),
    };
    let batch = stranger.batch(vec![item(change_item::Item::Outcome(outcome))]);
    let result = stranger.report(batch).await?;
    Ok(BatchResult {
        number: 0,
        ..result
    })
}

fn id_of(uid: &str) -> Result<Bytes> {
    Ok(Bytes::copy_from_slice(Uuid::parse_str(uid)?.as_bytes()))
}

#[tokio::test]
async fn members_of_another_network_cannot_be_touched_nor_told_from_unknown_ones() -> Result<()> {
    let mut site = Site::start().await?;
    let (_, mut stranger) = stranger(&site).await?;
    let member = member_named(&site, "0.txt").await?;
    let before = site.coordinator.journal(NETWORK).await?;
    let foreign = answer_for(&mut stranger, id_of(&member.uid)?).await?;
    let unknown = Bytes::copy_from_slice(Uuid::new_v4().as_bytes());
    assert_eq!(foreign, answer_for(&mut stranger, unknown).await?);

    // The same node id, said to be gone by an agent of another network.
    let mut gone = document("0.txt", "0.txt", "");
    let absent = Absence {
        kind: 1,
        ..Absence::default()
    };
    gone.state = Some(observation::State::Absent(absent));
    let batch = stranger.batch(vec![observed(gone)]);
    stranger.report(batch).await?;
    assert_eq!(site.coordinator.journal(NETWORK).await?, before);
    assert_eq!(member_named(&site, "0.txt").await?, member);
    site.works().await
}

#[tokio::test]
async fn r_cnt_1_holding_a_digest_of_another_network_gives_no_right_to_its_bytes() -> Result<()> {
    let mut site = Site::start().await?;
    let (client, mut stranger) = stranger(&site).await?;
    let member = member_named(&site, "0.txt").await?;
    let copy = member.on_premise.context("no copy")?;
    let held = copy.content.context("no content")?;
    let find = FindMissingRequest {
        digests: vec![held.digest.clone()],
    };
    let missing = client.content().find_missing(find).await?.into_inner();
    assert_eq!(
        missing.missing,
        std::slice::from_ref(&held.digest),
        "as if it were nowhere"
    );

    let mut claims = document("claims", "claims.txt", "0.txt");
    if let Some(observation::State::Present(projection)) = &mut claims.state {
        projection
            .content
            .iter_mut()
            .for_each(|content| content.inline = None);
    }
    let result = stranger
        .report(stranger.batch(vec![observed(claims)]))
        .await?;
    let Some(tandem_proto::v1::batch_result::Answer::Refused(refusal)) = &result.answer else {
        anyhow::bail!("content was had for its digest: {result:?}");
    };
    assert_says(refusal, ErrorReason::ContentMissing, "", "send it");

    let mut answers = Vec::new();
    for member_id in [id_of(&member.uid)?, id_of(&Uuid::new_v4().to_string())?] {
        let source = ContentSource {
            digest: held.digest.clone(),
            source: Some(content_source::Source::MemberId(member_id)),
        };
        let request = ReadRequest {
            source: Some(source),
            ..ReadRequest::default()
        };
        let refused = client.content().read(request).await;
        let refused = Error::from(refused.err().context("foreign content was read")?);
        assert!(refused.is(ErrorReason::ContentNotFound), "{refused:?}");
        answers.push(format!("{refused:?}"));
    }
    assert_eq!(answers[0], answers[1]);
    site.works().await
}

#[tokio::test]
async fn sets_of_another_network_are_neither_shown_nor_denied() -> Result<()> {
    let mut site = Site::start().await?;
    site.coordinator.network(OTHER).await?;
    let stranger = site.coordinator.admin(OTHER).await?;
    let set = site.coordinator.members(NETWORK).await?[0].name.clone();
    let set = set.split("/members/").next().unwrap_or_default().to_owned();
    let mut answers = Vec::new();
    for name in [
        set,
        format!("networks/{NETWORK}/syncSets/{}", Uuid::new_v4()),
    ] {
        let refused = stranger
            .sync_sets()
            .get_sync_set(GetSyncSetRequest { name })
            .await;
        let refused = Error::from(refused.err().context("a foreign set was shown")?);
        assert!(refused.is(ErrorReason::NotAllowed), "{refused:?}");
        answers.push(format!("{refused:?}"));
    }
    assert_eq!(answers[0], answers[1]);
    site.works().await
}
