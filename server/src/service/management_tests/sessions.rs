//! What a session is sent while something is on its way to its agent already.

use std::time::Duration;

use crate::domain::access::{Role, Side};
use crate::domain::delivery::Action;
use crate::domain::ids::MemberId;
use crate::domain::sync_set::{Gate, Options};
use crate::service::exchange::{Outgoing, Session};
use crate::service::sync_sets::HoldDecision;
use crate::service::testing::{Fixture, NOW, absent, hello, present};
use crate::storage::sync::due::After;

/// Long enough for a machine under load; nothing waits so long when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until so many deliveries are handed to a session.
async fn delivered(session: &mut Session, count: usize) {
    let handed = async {
        let mut handed = 0;
        while handed < count {
            session.wait().await;
            let outgoing = session.next().await.unwrap();
            handed += outgoing.iter().map(deliveries).sum::<usize>();
        }
        assert_eq!(handed, count);
    };
    tokio::time::timeout(PATIENCE, handed).await.unwrap();
}

fn deliveries(outgoing: &Outgoing) -> usize {
    match outgoing {
        Outgoing::Deliver(ready) => ready.len(),
        Outgoing::Watch(_) | Outgoing::Observe(..) => 0,
    }
}

#[tokio::test]
async fn r_agt_7_older_work_that_is_let_go_does_not_wait_for_what_is_on_its_way() {
    let fixture = Fixture::new().await;
    let names: Vec<String> = (0..24).map(|at| format!("d{at:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let set = fixture.synced(Options::default(), &names).await.set.id;
    let gone = names[..20].iter().map(|name| absent(name)).collect();
    fixture.report(Side::OnPremise, gone).await;
    let alice = fixture.user("alice", Role::User).await;
    let held = alice.sync_set(set).await.unwrap();
    assert_eq!(held.set.guard.gate, Gate::Held);

    let mut session = fixture.session(Side::Cloud).await;
    // Reading begins at the start here, so it does not again for a while.
    let nothing = session.next().await.unwrap();
    assert_eq!(nothing.iter().map(deliveries).sum::<usize>(), 0);
    let new = present("new", "docs", "1", Some("new".to_owned()));
    fixture.report(Side::OnPremise, vec![new]).await;
    delivered(&mut session, 1).await;
    // Its outcome does not come. What is let go now stands before it in the order of what is due.
    alice
        .resolve_hold(set, HoldDecision::Confirm)
        .await
        .unwrap();
    delivered(&mut session, 20).await;
}

#[tokio::test]
async fn r_prj_3_a_type_is_sent_at_creation_and_only_to_who_knows_it() {
    let fixture = Fixture::new().await;
    fixture.synced(Options::default(), &["a"]).await;
    // Here the type of a document is its text.
    let known = ["second", "known"].map(str::to_owned);
    let mut hello = hello(None);
    hello.declared.node_types = known.into();
    let cloud = fixture.agent_scope(Side::Cloud);
    cloud.open_session(hello).await.unwrap();
    let texts = [("a", "second"), ("b", "known"), ("c", "unknown")];
    let seen = texts.map(|(name, text)| present(name, "docs", "2", Some(text.to_owned())));
    fixture.report(Side::OnPremise, seen.into()).await;

    let store = &fixture.coordinator.store;
    let due = store.due(fixture.cloud.id, After::default(), NOW, 100);
    let members: Vec<MemberId> = due
        .await
        .unwrap()
        .iter()
        .filter_map(|due| due.member)
        .collect();
    let ready = store.deliveries(fixture.network.id, Side::Cloud, &members);
    let mut types: Vec<(String, String)> = Vec::new();
    for (delivery, _) in ready.await.unwrap() {
        let (Action::Create { projection, .. } | Action::Update { projection, .. }) =
            delivery.action
        else {
            panic!("{delivery:?}");
        };
        types.push((projection.name.clone(), projection.node_type.clone()));
    }
    types.sort();
    let expected = [("a", ""), ("b", "known"), ("c", "")];
    assert_eq!(
        types,
        expected.map(|(name, sent)| (name.to_owned(), sent.to_owned()))
    );
}
