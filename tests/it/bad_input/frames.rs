//! Frames that cannot be read, come in the wrong order or are too large, and a credential that ends (R-AGT-1, R-AGT-7).

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes};
use tandem_client::client::{Authorized, Client};
use tandem_client::error::Error;
use tandem_proto::v1::{
    ErrorReason, ExchangeRequest, Hello, ResumeKeyStored, RevokeTokenRequest, Side, Window,
    WriteRequest, exchange_request::Frame,
};
use tandem_tests::coordinator::{Coordinator, ON_PREMISE, repository_name};
use tandem_tests::hand_agent::{call, document, folder, frame, observed};
use tandem_tests::pair::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

use super::{NETWORK, Site, first_hello};

/// Sends bytes as they are, where a message is expected.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, bytes: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(bytes);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, _: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        Ok(Some(()))
    }
}

/// What a stream of these bytes is ended with.
async fn refused_bytes(channel: Authorized, path: &'static str, bytes: Bytes) -> Result<Error> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready()
        .await
        .map_err(|_| Status::unavailable("not ready"))?;
    let request = Request::new(tokio_stream::once(bytes));
    let path = tonic::codegen::http::uri::PathAndQuery::from_static(path);
    match grpc.streaming(request, path, Raw).await {
        Err(status) => Ok(status.into()),
        Ok(answers) => {
            let end = answers.into_inner().message().await;
            end.err().map(Error::from).context("the bytes were taken")
        }
    }
}

fn assert_told(refusal: &Error, code: Code, reason: &str, rule: &str) {
    assert_eq!(
        (refusal.code(), refusal.reason()),
        (code, reason),
        "{refusal:?}"
    );
    assert!(refusal.message().contains(rule), "{refusal:?}");
}

/// What a call with these frames is refused with.
async fn refused_call(client: &Client, frames: Vec<ExchangeRequest>) -> Result<Error> {
    let (sender, answers) = match call(client, frames).await {
        Err(error) => return Ok(error),
        Ok(stream) => stream,
    };
    let mut answers = answers;
    loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => anyhow::bail!("the stream ended well"),
            Err(status) => {
                drop(sender);
                return Ok(status.into());
            }
        }
    }
}

#[tokio::test]
async fn r_agt_1_a_stream_that_does_not_begin_with_hello_is_refused() -> Result<()> {
    let mut site = Site::start().await?;
    let batch = site.agent.batch(vec![observed(folder("bad", "bad"))]);
    let stored = ResumeKeyStored {
        resume_key: site.agent.welcome.resume_key.clone(),
    };
    for first in [
        frame(Frame::ChangeBatch(batch)),
        frame(Frame::ResumeKeyStored(stored)),
        ExchangeRequest { frame: None },
    ] {
        let refusal = refused_call(&site.client, vec![first]).await?;
        let rule = "the first frame of a stream is `hello`";
        assert_told(&refusal, Code::InvalidArgument, "PROTOCOL_VIOLATION", rule);
    }
    // None of these calls had any business with the session that stands.
    site.works().await
}

#[tokio::test]
async fn r_agt_1_frames_out_of_order_end_their_session_and_the_next_goes_on() -> Result<()> {
    let mut site = Site::start().await?;
    let wrong_key = ResumeKeyStored {
        resume_key: Bytes::from_static(b"short"),
    };
    let cases = [
        (
            Some(Frame::Hello(first_hello())),
            "PROTOCOL_VIOLATION",
            "comes once",
        ),
        (None, "PROTOCOL_VIOLATION", "an arm that is not known"),
        (
            Some(Frame::ResumeKeyStored(wrong_key)),
            "INVALID_FIELD",
            "16 bytes",
        ),
    ];
    for (wrong, reason, rule) in cases {
        site.agent
            .send_frame(ExchangeRequest { frame: wrong })
            .await?;
        let end = site.agent.end().await?;
        assert_told(&end, Code::InvalidArgument, reason, rule);
        site.reopen().await?;
        site.works().await?;
    }
    Ok(())
}

#[tokio::test]
async fn r_agt_1_a_hello_that_is_malformed_is_refused_by_its_field() -> Result<()> {
    let mut site = Site::start().await?;
    let window = |deliveries_max, bytes_max| {
        Some(Window {
            deliveries_max,
            bytes_max,
        })
    };
    let hello = first_hello;
    let cases = [
        (
            Hello {
                installation_id: String::new(),
                ..hello()
            },
            "hello.installation_id",
            "1 to 128",
        ),
        (
            Hello {
                index_id: "i".repeat(129),
                ..hello()
            },
            "hello.index_id",
            "1 to 128",
        ),
        (
            Hello {
                resume_key: vec![0; 15].into(),
                ..hello()
            },
            "hello.resume_key",
            "16 bytes",
        ),
        (Hello { side: 0, ..hello() }, "hello.side", "ON_PREMISE"),
        (Hello { side: 7, ..hello() }, "hello.side", "ON_PREMISE"),
        (
            Hello {
                window: window(-1, 0),
                ..hello()
            },
            "hello.window.deliveries_max",
            "1 to 4000",
        ),
        (
            Hello {
                window: window(4001, 0),
                ..hello()
            },
            "hello.window.deliveries_max",
            "1 to 4000",
        ),
        (
            Hello {
                window: window(0, 1),
                ..hello()
            },
            "hello.window.bytes_max",
            "at least",
        ),
    ];
    for (wrong, field, rule) in cases {
        let refusal = refused_call(&site.client, vec![frame(Frame::Hello(wrong))]).await?;
        assert_told(&refusal, Code::InvalidArgument, "INVALID_FIELD", rule);
        assert_eq!(
            refusal.metadata().get("field").map(String::as_str),
            Some(field)
        );
    }
    site.works().await
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused_as_a_violation_not_as_a_fault_of_ours() -> Result<()>
{
    let mut site = Site::start().await?;
    let exchange = "/tandem.v1.ExchangeService/Exchange";
    let write = "/tandem.v1.ContentService/Write";
    let malformed: [&'static [u8]; 3] = [b"\xff\xff\xff\xff", b"\x0a\xff\x01a", b"not a message"];
    for bytes in malformed {
        for path in [exchange, write] {
            let channel = site.client.content_channel();
            let refusal = refused_bytes(channel, path, Bytes::from_static(bytes)).await?;
            let rule = "cannot be decoded";
            assert_told(&refusal, Code::InvalidArgument, "PROTOCOL_VIOLATION", rule);
        }
    }
    site.works().await
}

#[tokio::test]
async fn r_agt_7_a_frame_above_the_limit_is_refused_with_the_limit() -> Result<()> {
    let mut site = Site::start().await?;
    let large = document("bad", &"x".repeat(5 * 1024 * 1024), "bad");
    let batch = site.agent.batch(vec![observed(large)]);
    site.agent.send(Frame::ChangeBatch(batch)).await?;
    let end = site.agent.end().await?;
    assert_told(
        &end,
        Code::InvalidArgument,
        "INVALID_FIELD",
        "at most 4194304 bytes",
    );
    site.reopen().await?;
    site.works().await?;

    let piece = WriteRequest {
        data: vec![7; 5 * 1024 * 1024].into(),
        ..WriteRequest::default()
    };
    let mut content = site.client.content().max_encoding_message_size(usize::MAX);
    let refused = content.write(tokio_stream::once(piece)).await;
    let refused = Error::from(refused.err().context("five MiB were taken")?);
    assert_told(
        &refused,
        Code::InvalidArgument,
        "INVALID_FIELD",
        "at most 4194304 bytes",
    );
    site.works().await
}

#[tokio::test]
async fn a_port_that_is_sent_noise_goes_on_serving() -> Result<()> {
    let mut site = Site::start().await?;
    let address = site.coordinator.address();
    let noise: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0x5a; 100_000],
    ];
    for bytes in noise {
        closed_after(address, bytes).await?;
    }
    // Neither do connections that say nothing keep others out.
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(address).await?);
    }
    site.works().await?;
    drop(silent);
    Ok(())
}

/// Sends bytes that are no HTTP/2 and waits until the coordinator hangs up.
async fn closed_after(address: SocketAddr, bytes: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    // It may hang up before everything is written.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    ensure!(read.is_ok(), "the connection was kept: {:?}", &bytes[..8]);
    Ok(())
}

#[tokio::test]
async fn r_agt_1_a_revoked_token_ends_its_session_and_the_next_token_goes_on() -> Result<()> {
    let mut site = Site::start().await?;
    let before = site.agent.last_number;
    let revoke = RevokeTokenRequest {
        name: site.token.name.clone(),
    };
    let mut access = site.coordinator.operator().await?.access();
    access.revoke_token(revoke).await?;
    let end = site.agent.end().await?;
    assert_told(
        &end,
        Code::Unauthenticated,
        "UNAUTHENTICATED",
        "authorization",
    );
    let hello = frame(Frame::Hello(site.agent.hello_again(first_hello())));
    let refusal = refused_call(&site.client, vec![hello]).await?;
    assert_told(
        &refusal,
        Code::Unauthenticated,
        "UNAUTHENTICATED",
        "authorization",
    );

    site.client = site.coordinator.agent(NETWORK, ON_PREMISE).await?;
    site.reopen().await?;
    assert_eq!(
        site.agent.welcome.last_batch_number, before,
        "nothing was lost"
    );
    site.works().await
}

#[tokio::test]
async fn r_agt_1_the_credential_decides_repository_and_side() -> Result<()> {
    let mut site = Site::start().await?;
    let named = |repository: String| Hello {
        repository,
        ..first_hello()
    };
    let cases = [
        named(repository_name(NETWORK, "site")),
        named(repository_name("other", ON_PREMISE)),
        named(repository_name(NETWORK, "missing")),
        named(String::new()),
        Hello {
            side: Side::Cloud.into(),
            ..first_hello()
        },
    ];
    let mut answers = Vec::new();
    for wrong in cases {
        let refusal = refused_call(&site.client, vec![frame(Frame::Hello(wrong))]).await?;
        assert_told(
            &refusal,
            Code::PermissionDenied,
            "NOT_ALLOWED",
            "does not allow",
        );
        answers.push(format!("{refusal:?}"));
    }
    answers.dedup();
    assert_eq!(
        answers.len(),
        1,
        "whether a thing exists is not told: {answers:?}"
    );
    site.works().await
}

#[tokio::test]
async fn a_protocol_of_the_future_is_refused_with_the_versions_that_are_spoken() -> Result<()> {
    let coordinator = Coordinator::start().await?;
    coordinator.network(NETWORK).await?;
    let client = coordinator.agent(NETWORK, ON_PREMISE).await?;
    let future = Hello {
        protocol_min: 2,
        protocol_max: 9,
        ..first_hello()
    };
    let refusal = refused_call(&client, vec![frame(Frame::Hello(future))]).await?;
    let rule = "upgrade the older side";
    assert_told(
        &refusal,
        Code::FailedPrecondition,
        "PROTOCOL_UNSUPPORTED",
        rule,
    );
    assert_eq!(refusal.metadata()["protocol_max"], "1");
    assert!(!refusal.is(ErrorReason::RepositoryCloned));
    Ok(())
}
