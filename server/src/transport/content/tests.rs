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

mod calls {
    //! The handler over real SQLite and real files, with the principal that the auth layer would have found.

    use futures::stream;

    use super::*;
    use crate::domain::access::Role;
    use crate::domain::ids::{NetworkId, RepositoryId, TokenId};
    use crate::service::Clock;
    use crate::service::content::{Objects, digest_of};
    use crate::storage::testing::TestStore;

    struct Fixture {
        _test: TestStore,
        handler: Handler,
    }

    async fn fixture() -> Fixture {
        let test = TestStore::new().await;
        let objects = Objects::open(&test.home.path().join("content")).unwrap();
        let coordinator = Coordinator::new(test.store.clone(), Clock::manual(0));
        let content = Content::new(coordinator.clone(), objects);
        Fixture {
            _test: test,
            handler: Handler::new(coordinator, content),
        }
    }

    fn agent() -> Principal {
        Principal::Agent {
            network: NetworkId(1),
            network_name: "acme".to_owned(),
            repository: RepositoryId(1),
            repository_name: "hq".to_owned(),
            side: Side::OnPremise,
            token: TokenId::default(),
        }
    }

    fn user() -> Principal {
        Principal::User {
            network: NetworkId(1),
            network_name: "acme".to_owned(),
            user: "ann".to_owned(),
            role: Role::Admin,
            token: TokenId::default(),
        }
    }

    fn from<T>(caller: Principal, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(caller);
        request
    }

    const SENDER: Sender = Sender {
        network: NetworkId(1),
        repository: RepositoryId(1),
    };

    fn claim(bytes: &[u8]) -> wire::ContentRef {
        wire::ContentRef {
            digest: wire_digest(digest_of(bytes)),
            size: i64::try_from(bytes.len()).unwrap(),
            inline: None,
        }
    }

    fn message(content: Option<wire::ContentRef>, offset: i64, data: &[u8]) -> wire::WriteRequest {
        wire::WriteRequest {
            content,
            offset,
            data: Bytes::copy_from_slice(data),
            chunk: None,
        }
    }

    async fn written(
        fixture: &Fixture,
        messages: Vec<Result<wire::WriteRequest, Status>>,
    ) -> Result<i64, Error> {
        let mut messages = messages_of(stream::iter(messages), CancellationToken::new());
        write(&fixture.handler.content, SENDER, &mut messages).await
    }

    async fn progress(fixture: &Fixture, bytes: &[u8]) -> (i64, bool) {
        let digest = wire_digest(digest_of(bytes));
        let request = from(agent(), wire::QueryWriteRequest { digest });
        let answer = fixture.handler.query_write(request).await.unwrap();
        let wire::QueryWriteResponse {
            committed,
            complete,
        } = answer.into_inner();
        (committed, complete)
    }

    #[tokio::test]
    async fn r_cnt_1_a_broken_stream_is_committed_and_gone_on_with() {
        let fixture = fixture().await;
        let bytes = vec![7; 300_000];
        let first = message(Some(claim(&bytes)), 0, &bytes[..100_000]);
        let broken = Err(Status::cancelled("the client went away"));
        assert!(written(&fixture, vec![Ok(first), broken]).await.is_err());
        assert_eq!(progress(&fixture, &bytes).await, (100_000, false));
        let rest = [
            Ok(message(Some(claim(&bytes)), 100_000, &[])),
            Ok(message(None, 100_000, &bytes[100_000..])),
        ];
        let size = written(&fixture, rest.into()).await.unwrap();
        assert_eq!(size, 300_000);
        assert_eq!(progress(&fixture, &bytes).await, (300_000, true));
        let again = message(Some(claim(&bytes)), 0, &bytes[..1]);
        assert_eq!(written(&fixture, vec![Ok(again)]).await.unwrap(), 300_000);
    }

    #[tokio::test]
    async fn draining_commits_what_came() {
        let fixture = fixture().await;
        let bytes = vec![7; 300_000];
        let draining = CancellationToken::new();
        let first = Ok(message(Some(claim(&bytes)), 0, &bytes[..100_000]));
        let stop = draining.clone();
        let then_drain = stream::once(async move {
            stop.cancel();
            std::future::pending().await
        });
        let stream = Box::pin(stream::iter([first]).chain(then_drain));
        let mut messages = messages_of(stream, draining);
        let ended = write(&fixture.handler.content, SENDER, &mut messages).await;
        assert!(matches!(ended, Err(Error::Draining)));
        assert_eq!(progress(&fixture, &bytes).await, (100_000, false));
    }

    #[tokio::test]
    async fn messages_out_of_order_are_refused() {
        let fixture = fixture().await;
        let bytes = vec![7; 300_000];
        let first = || Ok(message(Some(claim(&bytes)), 0, &bytes[..10]));
        let inline = wire::ContentRef {
            inline: Some(Bytes::new()),
            ..claim(&bytes)
        };
        for bad in [
            Vec::new(),
            vec![Ok(message(None, 0, &bytes[..10]))],
            vec![Ok(message(Some(inline), 0, &[]))],
            vec![first(), first()],
            vec![first(), Ok(message(None, 11, &bytes[..10]))],
            vec![first()],
        ] {
            let refused = written(&fixture, bad).await;
            assert!(matches!(
                refused,
                Err(Error::ProtocolViolation { .. }
                    | Error::InvalidField { .. }
                    | Error::WrongState { .. })
            ));
        }
    }

    #[tokio::test]
    async fn only_agents_write_and_foreign_names_are_not_looked_up() {
        let fixture = fixture().await;
        let request = wire::FindMissingRequest {
            digests: vec![wire_digest(digest_of(b"x"))],
        };
        let refused = fixture
            .handler
            .find_missing(from(user(), request.clone()))
            .await;
        assert_eq!(refused.unwrap_err().code(), tonic::Code::PermissionDenied);
        let refused = fixture
            .handler
            .find_missing(Request::new(request.clone()))
            .await;
        assert_eq!(refused.unwrap_err().code(), tonic::Code::Unauthenticated);
        let missing = fixture
            .handler
            .find_missing(from(agent(), request.clone()))
            .await;
        assert_eq!(missing.unwrap().into_inner().missing, request.digests);
        let name = format!("networks/other/syncSets/{UID}/members/{UID}/versions/42-cloud");
        let request = wire::ReadRequest {
            source: Some(source(Some(WireSource::Version(name.clone())), 32)),
            offset: 0,
            length: 0,
        };
        let Err(refused) = fixture.handler.read(from(user(), request)).await else {
            panic!("a foreign network was read");
        };
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
        let request = wire::BatchReadRequest {
            sources: vec![source(Some(WireSource::Version(name)), 32)],
        };
        let read = fixture.handler.batch_read(from(user(), request)).await;
        assert!(read.unwrap().into_inner().contents.is_empty());
    }
}
