//! Documents that somebody edits online (R-LCK-2).

use crate::domain::access::Side;
use crate::domain::ids::MemberId;
use crate::domain::member::{Hold, MemberState};
use crate::domain::report::{Observation, Seen};
use crate::domain::sync_set::Options;
use crate::service::members::ShownHold;
use crate::service::testing::{Fixture, NOW, present};
use crate::storage::sync::due::After;

/// A document as it is seen while somebody edits it online, or does so no more.
fn seen(revision: &str, content: &str, edited: bool) -> Observation {
    let mut observation = present("a", "docs", revision, Some(content.to_owned()));
    if let Seen::Present(presence) = &mut observation.seen {
        presence.edited = edited;
    }
    observation
}

async fn is_due(fixture: &Fixture, side: Side, member: MemberId) -> bool {
    let store = &fixture.coordinator.store;
    let repository = fixture.repository(side).id;
    let due = store.due(repository, After::default(), NOW, 100).await;
    let mut due = due.unwrap().into_iter();
    due.any(|due| due.member == Some(member))
}

#[tokio::test]
async fn r_lck_2_an_edit_may_begin_and_end_without_a_new_revision_and_is_kept_with_the_copy() {
    let fixture = Fixture::new().await;
    let view = fixture.synced(Options::default(), &["a"]).await;
    let member = fixture.member_named(&view, "a").await;
    let alice = fixture.alice().await;
    fixture
        .report(Side::OnPremise, vec![seen("2", "draft", false)])
        .await;
    assert!(is_due(&fixture, Side::Cloud, member).await);
    for (revision, text) in [("2", "draft"), ("3", "better")] {
        let edit = vec![seen(revision, text, true)];
        fixture.report(Side::OnPremise, edit).await;
        assert!(!is_due(&fixture, Side::Cloud, member).await, "{revision}");
        let shown = alice.member(view.set.id, member).await.unwrap();
        assert_eq!(shown.hold, Some(ShownHold::Own(Hold::Editing)));
        assert_eq!(shown.member.state, MemberState::Pending);
    }
    fixture
        .report(Side::OnPremise, vec![seen("3", "better", false)])
        .await;
    assert!(is_due(&fixture, Side::Cloud, member).await);
    let shown = alice.member(view.set.id, member).await.unwrap();
    assert_eq!(shown.hold, None);
}
