//! Which batches take effect (R-AGT-2, R-AGT-3), on a real database.

use uuid::Uuid;

use crate::domain::access::Side;
use crate::domain::ids::BatchId;
use crate::service::Error;
use crate::service::ingest::{Accepted, Batch};
use crate::service::testing::Fixture;

/// Sends a batch with nothing in it; no session was opened yet, so the epoch that counts is 0.
async fn send(fixture: &Fixture, epoch: i64, number: i64, id: u128) -> Result<Accepted, Error> {
    let batch = Batch {
        repository: fixture.repository(Side::OnPremise).id,
        epoch,
        number,
        id: BatchId(Uuid::from_u128(id)),
        cursor: Vec::new(),
        items: Vec::new(),
        inline: Vec::new(),
    };
    let ingest = &fixture.coordinator.ingest;
    let pending = ingest.begin(fixture.network.id, batch).await?;
    pending.answer().await
}

#[tokio::test]
async fn r_agt_3_a_batch_is_fenced_and_takes_effect_once_and_in_order() {
    let fixture = Fixture::new().await;
    let other_epoch = send(&fixture, 7, 1, 1).await;
    assert!(matches!(other_epoch, Err(Error::StaleEpoch)));
    let gap = send(&fixture, 0, 2, 1).await;
    let expected = |error| matches!(error, Err(Error::BatchGap { expected_number: 1 }));
    assert!(expected(gap));
    send(&fixture, 0, 1, 1).await.unwrap();
    send(&fixture, 0, 1, 1).await.unwrap();
    let other_id = send(&fixture, 0, 1, 2).await;
    assert!(matches!(other_id, Err(Error::RollbackSuspected { .. })));
    send(&fixture, 0, 2, 3).await.unwrap();
}
