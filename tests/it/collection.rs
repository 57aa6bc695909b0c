//! Collecting what nobody names, while content comes in over a real connection (R-CNT-2).

use std::fs;

use anyhow::{Context, Result};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tandem_proto::v1::{
    ContentRef, FindMissingRequest, Observation, Projection, WriteRequest, observation,
};
use tandem_server::domain::limits::CONTENT_TOUCH_AFTER_MICROSECONDS;
use tandem_server::service::content::{Collected, Collector, CollectorOptions};
use tandem_tests::coordinator::Coordinator;
use tandem_tests::hand_agent::{document, observed};
use tandem_tests::pair::PATIENCE;
use tandem_tests::wait::eventually;
use tokio_stream::wrappers::ReceiverStream;

use crate::bad_input::Site;

/// More than fits into the database, so that it becomes a file.
const LARGE: usize = 300_000;

fn named(bytes: &[u8]) -> ContentRef {
    ContentRef {
        digest: Bytes::copy_from_slice(&Sha256::digest(bytes)),
        size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        inline: None,
    }
}

/// A pass that spares nothing for its age: neither content that was sent a moment ago, nor uploads.
async fn collect(coordinator: &Coordinator) -> Result<Collected> {
    let options = CollectorOptions {
        grace: -CONTENT_TOUCH_AFTER_MICROSECONDS,
        upload_kept: 0,
        ..CollectorOptions::default()
    };
    let content = coordinator.within()?.content.clone();
    Ok(Collector::new(content, options).pass().await?)
}

async fn is_missing(site: &Site, content: &ContentRef) -> Result<bool> {
    let request = FindMissingRequest {
        digests: vec![content.digest.clone()],
    };
    let answer = site.client.content().find_missing(request).await?;
    Ok(!answer.into_inner().missing.is_empty())
}

async fn send_whole(site: &Site, bytes: &[u8]) -> Result<ContentRef> {
    let content = named(bytes);
    let message = WriteRequest {
        content: Some(content.clone()),
        offset: 0,
        data: Bytes::copy_from_slice(bytes),
        ..WriteRequest::default()
    };
    site.client
        .content()
        .write(tokio_stream::once(message))
        .await?;
    Ok(content)
}

fn document_of(name: &str, content: &ContentRef) -> Observation {
    let mut document = document(name, name, "");
    if let Some(observation::State::Present(Projection { content: held, .. })) = &mut document.state
    {
        *held = Some(content.clone());
    }
    document
}

#[tokio::test]
async fn r_cnt_2_collecting_during_an_upload_spares_it_and_what_is_named_and_nothing_else()
-> Result<()> {
    let mut site = Site::over(Coordinator::start_within().await?).await?;
    let kept = send_whole(&site, &[1; LARGE]).await?;
    let batch = vec![observed(document_of("kept.bin", &kept))];
    site.agent.tell(batch).await?;
    let unnamed = send_whole(&site, &[2; LARGE]).await?;
    assert!(!is_missing(&site, &unnamed).await?);

    let bytes = vec![3; 2 * LARGE];
    let content = named(&bytes);
    let (pieces, waiting) = tokio::sync::mpsc::channel(1);
    let mut service = site.client.content();
    let writing = tokio::spawn(async move { service.write(ReceiverStream::new(waiting)).await });
    let piece = |offset: usize, content: Option<ContentRef>| WriteRequest {
        content,
        offset: i64::try_from(offset).unwrap_or_default(),
        data: Bytes::copy_from_slice(&bytes[offset..offset + LARGE]),
        ..WriteRequest::default()
    };
    pieces.send(piece(0, Some(content.clone()))).await?;
    let uploads = site.coordinator.data().join("content/uploads");
    eventually(PATIENCE, "half of the upload is written", || {
        let files = fs::read_dir(&uploads).into_iter().flatten().flatten();
        let sizes = files.filter_map(|file| file.metadata().ok());
        sizes.map(|file| file.len()).sum::<u64>() >= LARGE as u64
    })
    .await?;

    let collected = collect(&site.coordinator).await?;
    assert_eq!(
        (collected.contents, collected.uploads),
        (1, 0),
        "{collected:?}"
    );
    assert!(is_missing(&site, &unnamed).await?, "nobody named it");
    assert!(!is_missing(&site, &kept).await?, "a member names it");
    pieces.send(piece(LARGE, None)).await?;
    drop(pieces);
    let written = writing.await?.context("the upload was hurt")?;
    assert_eq!(written.into_inner().size, content.size);

    site.agent
        .tell(vec![observed(document_of("late.bin", &content))])
        .await?;
    site.also_has(&["kept.bin", "late.bin"]);
    site.works().await?;
    assert_eq!(
        collect(&site.coordinator).await?.contents,
        0,
        "all is named"
    );
    site.works().await
}

#[tokio::test]
async fn r_cnt_2_content_collected_before_it_is_named_is_asked_for_again() -> Result<()> {
    let mut site = Site::over(Coordinator::start_within().await?).await?;
    let content = send_whole(&site, &[4; LARGE]).await?;
    collect(&site.coordinator).await?;
    let late = vec![observed(document_of("late.bin", &content))];
    let result = site.agent.report(site.agent.batch(late.clone())).await?;
    assert_eq!(result.missing_digests, [content.digest], "{result:?}");
    send_whole(&site, &[4; LARGE]).await?;
    site.agent.tell(late).await?;
    site.also_has(&["late.bin"]);
    site.works().await
}
