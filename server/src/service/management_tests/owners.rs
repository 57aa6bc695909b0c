//! What admins do over the heads of owners (R-ADM-1).

use crate::domain::access::{Role, Side};
use crate::domain::failure::Reason;
use crate::domain::ids::{MemberId, SyncSetId};
use crate::domain::journal::JournalKind;
use crate::domain::member::MemberState;
use crate::domain::report::{Answer, Item};
use crate::domain::sync_set::Options;
use crate::service::testing::{Fixture, NOW, present};
use crate::service::{AdminScope, Error};
use crate::storage::sync::due::After;

async fn admin(fixture: &Fixture) -> AdminScope {
    let root = fixture.principal("root", Role::Admin);
    fixture.coordinator.for_admin(&root, "acme").await.unwrap()
}

async fn state(fixture: &Fixture, set: SyncSetId, member: MemberId) -> MemberState {
    let alice = fixture.user("alice", Role::User).await;
    alice.member(set, member).await.unwrap().member.state
}

async fn entries(fixture: &Fixture, kind: JournalKind) -> Vec<(String, String, Option<String>)> {
    let store = &fixture.coordinator.store;
    let rows = store.journal_after(fixture.network.id, 0, 1_000).await;
    let rows = rows.unwrap().into_iter();
    let of_kind = rows.filter(|row| row.kind == kind as i32);
    of_kind
        .map(|row| (row.actor, row.message, row.side))
        .collect()
}

#[tokio::test]
async fn r_adm_1_what_failed_without_its_owner_is_tried_again_under_another_one() {
    let fixture = Fixture::new().await;
    let view = fixture.synced(Options::default(), &["a", "b"]).await;
    let set = view.set.id;
    let member = fixture.member_named(&view, "a").await;
    let edited = present("a", "docs", "2", Some("second".to_owned()));
    fixture.report(Side::OnPremise, vec![edited]).await;
    let alice = fixture.alice().await;
    let version = alice.member(set, member).await.unwrap().member.version;
    let gone = Item::Outcome {
        member,
        version,
        answer: Answer::Failed {
            reason: Reason::OwnerNotFound,
            message: "alice has left".to_owned(),
            detail: String::new(),
            retry_delay: None,
        },
    };
    fixture.batch(Side::Cloud, vec![gone]).await;
    assert!(matches!(
        state(&fixture, set, member).await,
        MemberState::Failed(_)
    ));
    let unknown = SyncSetId::default();
    let admin = admin(&fixture).await;
    let answers = admin.transfer_ownership(&[unknown, set, set], "bob").await;
    let answers = answers.unwrap();
    assert!(matches!(answers[0], (id, Err(Error::SyncSetNotFound { .. })) if id == unknown));
    assert!(matches!(answers[1..], [(_, Ok(())), (_, Ok(()))]));
    let mut bell = fixture.coordinator.wakeup.network(fixture.network.id);
    while state(&fixture, set, member).await != MemberState::Pending {
        bell.changed().await.unwrap();
    }
    let store = &fixture.coordinator.store;
    let due = store.due(fixture.cloud.id, After::default(), NOW, 10).await;
    assert_eq!(due.unwrap().len(), 1, "at once");
    let ready = store
        .deliveries(fixture.network.id, Side::Cloud, &[member])
        .await;
    assert_eq!(ready.unwrap()[0].0.act_as, "bob");
    let told = entries(&fixture, JournalKind::OwnershipTransferred).await;
    assert_eq!(told.len(), 1, "twice is once");
    assert_eq!(told[0].0, "root");
    let refused = alice.pause_set(set, true).await;
    assert!(matches!(refused, Err(Error::NotAllowed)), "it is bob's now");
    let refused = admin.transfer_ownership(&[set], "").await;
    assert!(matches!(refused, Err(Error::InvalidField { field, .. }) if field == "owner"));
}

#[tokio::test]
async fn r_adm_1_an_admin_of_the_cloud_ends_sets_and_the_on_premise_side_hears_of_it() {
    let fixture = Fixture::new().await;
    let set = fixture.synced(Options::default(), &["a"]).await.set.id;
    let admin = admin(&fixture).await;
    let unknown = SyncSetId::default();
    let mut bell = fixture.coordinator.wakeup.watching(fixture.hq.id);
    bell.mark_unchanged();
    let answers = admin.force_unsync(&[set, unknown]).await;
    assert!(matches!(answers[0], (_, Ok(()))));
    assert!(matches!(
        answers[1],
        (_, Err(Error::SyncSetNotFound { .. }))
    ));
    bell.changed().await.unwrap();
    let roots = fixture.coordinator.store.roots(fixture.hq.id).await;
    assert_eq!(roots.unwrap(), [], "nothing is watched on-premise any more");
    let mut happened = fixture.coordinator.wakeup.network(fixture.network.id);
    while admin.user.sync_set(set).await.is_ok() {
        happened.changed().await.unwrap();
    }
    assert!(matches!(admin.force_unsync(&[set]).await[0], (_, Ok(()))));
    let told = entries(&fixture, JournalKind::SetEnded).await;
    let (actor, message, side) = &told[0];
    assert_eq!(
        (actor.as_str(), message.as_str()),
        ("root", "sync set ended from the cloud")
    );
    assert_eq!(side.as_deref(), Some(Side::Cloud.name()));
    let answers = admin.transfer_ownership(&[set], "bob").await.unwrap();
    assert!(matches!(
        answers[0],
        (_, Err(Error::SyncSetNotFound { .. }))
    ));
}
