use super::*;

fn observation() -> wire::Observation {
    let projection = wire::Projection {
        kind: wire::NodeKind::Folder as i32,
        name: "a".into(),
        ..Default::default()
    };
    wire::Observation {
        node_id: "n".into(),
        state: Some(wire::observation::State::Present(projection)),
        ..Default::default()
    }
}

fn decoded(change: impl FnOnce(&mut wire::Observation)) -> Result<Batch, Error> {
    let mut observation = observation();
    change(&mut observation);
    let item = wire::change_item::Item::Observation(observation);
    let message = wire::ChangeBatch {
        number: 1,
        id: vec![0; 16].into(),
        items: vec![wire::ChangeItem { item: Some(item) }],
        ..Default::default()
    };
    batch(RepositoryId(1), message)
}

fn named(name: &str) -> Result<Batch, Error> {
    decoded(|observation| {
        if let Some(wire::observation::State::Present(projection)) = &mut observation.state {
            projection.name = name.to_owned();
        }
    })
}

fn field_of(result: Result<Batch, Error>) -> String {
    match result {
        Err(Error::InvalidField { field, .. }) => field,
        other => panic!("not refused for a field: {other:?}"),
    }
}

#[test]
fn a_good_batch_is_taken() {
    assert_eq!(decoded(|_| {}).unwrap().items.len(), 1);
}

#[test]
fn names_that_leave_their_folder_are_named_by_field() {
    for name in ["", ".", "..", "a/b", "a\0", &"x".repeat(256)] {
        assert_eq!(
            field_of(named(name)),
            "items[0].observation.present.name",
            "{name:?}"
        );
    }
}

#[test]
fn every_malformed_field_is_named() {
    for wrong in ["x".repeat(256), "a\0".to_owned()] {
        assert_eq!(
            field_of(decoded(|observation| observation
                .node_id
                .clone_from(&wrong))),
            "items[0].observation.node_id"
        );
        assert_eq!(
            field_of(decoded(|observation| observation
                .revision
                .clone_from(&wrong))),
            "items[0].observation.revision"
        );
    }
    assert_eq!(
        field_of(decoded(|observation| observation.state = None)),
        "items[0].observation.state"
    );
}

#[test]
fn inline_bytes_must_have_their_digest_and_size() {
    let with = |content: wire::ContentRef| {
        decoded(|observation| {
            if let Some(wire::observation::State::Present(projection)) = &mut observation.state {
                projection.kind = wire::NodeKind::Document as i32;
                projection.content = Some(content);
            }
        })
    };
    let content = |inline: &'static [u8], size: i64| wire::ContentRef {
        digest: crate::service::content::digest_of(b"abc").0.to_vec().into(),
        size,
        inline: Some(Bytes::from_static(inline)),
    };
    assert!(with(content(b"abc", 3)).is_ok());
    assert!(matches!(
        with(content(b"abd", 3)),
        Err(Error::DigestMismatch { .. })
    ));
    assert!(matches!(
        with(content(b"abc", 4)),
        Err(Error::DigestMismatch { .. })
    ));
    assert!(field_of(with(content(b"abc", -1))).ends_with("content.size"));
}

#[test]
fn r_agt_3_a_node_too_large_is_taken_and_told_apart() {
    let with = |name: &str, value: wire::property_value::Kind, count: usize| {
        let names = [
            "cm:title",
            "cm:description",
            "cm:author",
            "sys:locale",
            name,
        ];
        let property = |name: &&str| wire::Property {
            name: (*name).to_owned(),
            value: Some(wire::PropertyValue {
                kind: Some(value.clone()),
            }),
        };
        let batch = decoded(|observation| {
            if let Some(wire::observation::State::Present(projection)) = &mut observation.state {
                projection.properties = names.iter().rev().take(count).map(property).collect();
            }
        });
        let items = batch.unwrap().items;
        match &items[0] {
            Item::Observed(Observation {
                seen: Seen::Present(presence),
                ..
            }) => (presence.node_trait, presence.projection.properties.len()),
            other => panic!("no observation: {other:?}"),
        }
    };
    let text = |bytes: usize| wire::property_value::Kind::Text("x".repeat(bytes));
    let list = |texts: usize| {
        wire::property_value::Kind::TextList(wire::TextList {
            values: vec![String::new(); texts],
        })
    };
    let name = "exif:model";
    let (kept, lost) = ((NodeTrait::Ordinary, 1), (NodeTrait::TooLarge, 0));
    assert_eq!(with(name, text(PROPERTY_BYTES_MAX), 1), kept);
    assert_eq!(with(name, text(PROPERTY_BYTES_MAX + 1), 1), lost);
    assert_eq!(with(name, list(PROPERTY_TEXTS_MAX), 1), kept);
    assert_eq!(with(name, list(PROPERTY_TEXTS_MAX + 1), 1), lost);
    let all = PROPERTIES_BYTES_MAX / 5;
    assert_eq!(with(name, text(all), 5), (NodeTrait::Ordinary, 5));
    assert_eq!(with(name, text(all + 1), 5), lost);
    // What nobody syncs is dropped before it is weighed.
    let dropped = with("acme:secret", text(PROPERTY_BYTES_MAX + 1), 1);
    assert_eq!(dropped, (NodeTrait::Ordinary, 0));
}

#[test]
fn r_agt_3_a_batch_above_its_bytes_is_refused_by_what_makes_it_so() {
    let sized = |items: usize, bytes: usize| {
        let mut observation = observation();
        observation.actor = "x".repeat(bytes);
        let item = wire::change_item::Item::Observation(observation);
        let message = wire::ChangeBatch {
            number: 1,
            id: vec![0; 16].into(),
            items: vec![wire::ChangeItem { item: Some(item) }; items],
            ..Default::default()
        };
        batch(RepositoryId(1), message)
    };
    assert!(sized(1, BATCH_BYTES_MAX - 1_000).is_ok());
    assert_eq!(field_of(sized(1, BATCH_BYTES_MAX)), "items[0]");
    assert_eq!(field_of(sized(2, BATCH_BYTES_MAX / 2)), "items");
}

#[test]
fn long_error_texts_are_cut_at_a_character() {
    assert_eq!(shortened("äää".to_owned(), 3), "ä");
}
