//! What the messages may say.

use uuid::Uuid;

use super::*;

const UID: &str = "0197c7a4-5d0b-7c3e-8a8e-0123456789ab";

fn source(arm: Option<WireSource>, digest: usize) -> wire::ContentSource {
    wire::ContentSource {
        source: arm,
        digest: vec![7; digest].into(),
    }
}

#[test]
fn version_names_read_back() {
    for side in [Side::OnPremise, Side::Cloud] {
        let id = version_id(Position(42), side);
        assert_eq!(parse_version_id(&id), Some((Position(42), side)));
    }
    for bad in [
        "",
        "42",
        "-cloud",
        "0-cloud",
        "-1-cloud",
        "042-cloud",
        "42-Cloud",
        "42-cloud-",
        "x-cloud",
    ] {
        assert_eq!(parse_version_id(bad), None, "{bad}");
    }
}

#[test]
fn a_source_has_one_arm_of_the_right_form() {
    let name = format!("networks/acme/syncSets/{UID}/members/{UID}/versions/42-cloud");
    let read = named("source", &source(Some(WireSource::Version(name)), 32)).unwrap();
    assert_eq!(read.network.as_deref(), Some("acme"));
    let id = Uuid::now_v7().as_bytes().to_vec();
    assert!(
        named(
            "source",
            &source(Some(WireSource::MemberId(id.clone().into())), 32)
        )
        .is_ok()
    );
    let cases = [
        (source(None, 32), "source.source"),
        (
            source(Some(WireSource::MemberId(id.clone().into())), 31),
            "source.digest",
        ),
        (
            source(Some(WireSource::MemberId(vec![1; 15].into())), 32),
            "source.member_id",
        ),
        (
            source(Some(WireSource::ConflictId(Bytes::new())), 32),
            "source.conflict_id",
        ),
        (
            source(Some(WireSource::Version("networks/acme".to_owned())), 32),
            "source.version",
        ),
    ];
    for (bad, expected) in cases {
        let refused = named("source", &bad).unwrap_err();
        assert!(
            matches!(refused, Error::InvalidField { field, .. } if field == expected),
            "{expected}"
        );
    }
}

#[test]
fn a_batch_carries_its_bytes_and_digests_of_32_bytes() {
    let content = wire::ContentRef {
        digest: vec![7; 32].into(),
        size: 0,
        inline: Some(Bytes::new()),
    };
    assert!(sent("contents[0]".to_owned(), content.clone()).is_ok());
    let without = wire::ContentRef {
        inline: None,
        ..content.clone()
    };
    let short = wire::ContentRef {
        digest: Bytes::new(),
        ..content
    };
    for (bad, expected) in [
        (without, "contents[0].inline"),
        (short, "contents[0].digest"),
    ] {
        let refused = sent("contents[0]".to_owned(), bad).unwrap_err();
        assert!(matches!(refused, Error::InvalidField { field, .. } if field == expected));
    }
}
