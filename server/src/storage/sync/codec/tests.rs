//! Rows survive their bytes.

use super::*;
use crate::domain::free_name::{Renaming, Sibling};
use crate::domain::ids::SyncSetId;
use uuid::Uuid;

fn full_member() -> Member {
    let id = MemberId(Uuid::from_u128(1));
    let mut member = Member::new(id, SyncSetId::default(), NodeKind::Document, false);
    let properties = [
        ("a".to_owned(), PropertyValue::Text(String::new())),
        ("b".to_owned(), PropertyValue::Number(1.5_f64.to_bits())),
        ("c".to_owned(), PropertyValue::Timestamp(-1, 5)),
        ("d".to_owned(), PropertyValue::TextList(vec!["x".into()])),
    ];
    let content = ContentRef {
        digest: Digest([7; 32]),
        size: 3,
    };
    let projection = Projection {
        kind: NodeKind::Document,
        name: "n".into(),
        content: Some(content),
        properties: properties.into(),
        node_type: "t".into(),
    };
    member.base = Some(State {
        projection: Arc::new(projection),
        parent: Some(id),
    });
    let failed = Failure {
        reason: Reason::Unknown,
        message: "m".into(),
        detail: "d".into(),
        since: 4,
        attempts: 5,
    };
    member.state = MemberState::Failed(failed.clone());
    member.transient = Some(failed);
    member.hold = Some(Hold::Name);
    member.conflict = Some(ConflictId(Uuid::from_u128(2)));
    member.open = Some(ConflictId(Uuid::from_u128(3)));
    member.sibling = member
        .base
        .clone()
        .map(|state| Sibling { state, number: 2 });
    member.renaming = Some(Renaming {
        from: "n".into(),
        number: 3,
    });
    member.true_name = Some("t".into());
    member.given_name = Some("g".into());
    member.name_only = Some((4, 5));
    member.deleting = Some((Side::Cloud, PeerChoice::Keep));
    member.restoring = Some(content);
    member.choice = Some(PeerChoice::Remove);
    member.due = Some(Due {
        side: Side::Cloud,
        lane: Lane::Aside,
        not_before: 9,
    });
    member.blocked = Some((Side::Cloud, Obstacle::Name(NodeId("f".into()), "k".into())));
    member.last_synced_at = Some(0);
    member.made = Some(Side::OnPremise);
    member.home = Some(NodeId("h".into()));
    member.leaving = Some(Leaving {
        removal: Removal::Members,
        actor: "alice".into(),
    });
    member.restlessness = Restlessness {
        stale: 1,
        flips: 2,
        flips_since: 3,
        delivered: Some((Side::Cloud, 4)),
    };
    member
}

#[test]
fn a_member_survives_its_row() {
    let member = full_member();
    let bytes = encode_member(&member);
    let mut read = Member::new(member.id, member.set, member.kind, member.direct);
    decode_member(&mut read, 2, &bytes).unwrap();
    assert_eq!(read, member);
    // A type does not count when projections are compared.
    let node_type = |member: &Member| {
        member
            .base
            .as_ref()
            .map(|base| base.projection.node_type.clone())
    };
    assert_eq!(node_type(&read).as_deref(), Some("t"));
}

#[test]
fn bytes_of_something_else_are_an_error() {
    assert!(decode_projection(&[255, 255, 255]).is_err());
}
