//! Unary sessions over a real database, with the principal that the auth layer would have found.

use std::time::Duration;

use tandem_proto::v1::{self as wire, exchange_request, exchange_response};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::*;
use crate::domain::access::Side;
use crate::domain::ids::TokenId;
use crate::service::Principal;
use crate::service::command::{Command, Reply};
use crate::service::testing::Fixture;

const LIVES: Duration = Duration::from_millis(150);

struct Site {
    fixture: Fixture,
    handler: Handler,
    token: TokenId,
}

impl Site {
    async fn living(lives: Duration) -> Self {
        let fixture = Fixture::new().await;
        let handler = Handler {
            coordinator: fixture.coordinator.clone(),
            unary: UnarySessions::living(lives),
        };
        Self {
            fixture,
            handler,
            token: TokenId(Uuid::now_v7()),
        }
    }

    fn from<T>(&self, message: T) -> Request<T> {
        let hq = &self.fixture.hq;
        let mut request = Request::new(message);
        request.extensions_mut().insert(Principal::Agent {
            network: self.fixture.network.id,
            network_name: "acme".to_owned(),
            repository: hq.id,
            repository_name: "hq".to_owned(),
            side: Side::OnPremise,
            token: self.token,
        });
        request
    }

    async fn open(&self) -> wire::Welcome {
        let hello = wire::Hello {
            repository: "networks/acme/repositories/hq".to_owned(),
            side: wire::Side::OnPremise.into(),
            installation_id: "hq".to_owned(),
            index_id: "hq".to_owned(),
            protocol_min: 1,
            protocol_max: 1,
            ..wire::Hello::default()
        };
        let request = wire::OpenSessionRequest { hello: Some(hello) };
        let opened = self.handler.open_session(self.from(request)).await;
        opened.unwrap().into_inner().welcome.unwrap()
    }

    async fn push(
        &self,
        epoch: i64,
        frames: Vec<exchange_request::Frame>,
    ) -> Result<Vec<wire::ExchangeResponse>, Status> {
        let frames = frames
            .into_iter()
            .map(|frame| wire::ExchangeRequest { frame: Some(frame) });
        let request = wire::PushRequest {
            session_epoch: epoch,
            frames: frames.collect(),
        };
        let pushed = self.handler.push(self.from(request)).await?;
        Ok(pushed.into_inner().frames)
    }

    async fn pull(
        &self,
        epoch: i64,
        received_number: i64,
        wait: Duration,
    ) -> Result<wire::PullResponse, Status> {
        let request = wire::PullRequest {
            session_epoch: epoch,
            wait: prost_types::Duration::try_from(wait).ok(),
            received_number,
        };
        Ok(self.handler.pull(self.from(request)).await?.into_inner())
    }

    fn connected(&self) -> bool {
        let presence = &self.fixture.coordinator.presence;
        presence.is_connected(self.fixture.hq.id)
    }
}

fn reason(refused: Status) -> String {
    refused.get_details_error_info().unwrap().reason
}

#[tokio::test]
async fn r_agt_9_a_session_ends_some_time_after_its_last_call() {
    let site = Site::living(LIVES).await;
    let epoch = site.open().await.session_epoch;
    // A call that runs longer than a session lives keeps it.
    let first = site.pull(epoch, 0, 2 * LIVES).await.unwrap();
    let again = site.pull(epoch, first.number, 2 * LIVES).await.unwrap();
    assert!(again.frames.is_empty(), "{again:?}");
    assert!(site.connected());
    let gone = async {
        while site.connected() {
            tokio::task::yield_now().await;
        }
    };
    let begun = std::time::Instant::now();
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .unwrap();
    assert!(begun.elapsed() > LIVES / 2, "not at once");
    let refused = site.push(epoch, Vec::new()).await.unwrap_err();
    assert_eq!(reason(refused), "STALE_EPOCH");
    assert!(site.open().await.session_epoch > epoch);
}

#[tokio::test]
async fn r_agt_8_a_command_goes_down_in_a_pull_and_its_answer_up_in_a_push() {
    let site = Site::living(Duration::from_secs(60)).await;
    let epoch = site.open().await.session_epoch;
    let sessions = site.fixture.coordinator.sessions.clone();
    let hq = site.fixture.hq.id;
    let asking = tokio::spawn(async move {
        let command = Command::ResolveNodes {
            nodes: Vec::new(),
            paths: vec!["docs".to_owned()],
        };
        sessions
            .ask((hq, "hq"), command, Duration::from_secs(30))
            .await
    });
    let mut received = 0;
    let id = loop {
        let answer = site.pull(epoch, received, Duration::from_secs(20)).await;
        let answer = answer.unwrap();
        received = answer.number;
        let asked = answer
            .frames
            .into_iter()
            .find_map(|frame| match frame.frame {
                Some(exchange_response::Frame::Command(command))
                    if matches!(
                        command.request,
                        Some(wire::command::Request::ResolveNodes(_))
                    ) =>
                {
                    Some(command.id)
                }
                _ => None,
            });
        if let Some(id) = asked {
            break id;
        }
    };
    let result = wire::CommandResult {
        id,
        result: Some(wire::command_result::Result::Done(wire::CommandDone {})),
    };
    let frame = exchange_request::Frame::CommandResult(result);
    assert_eq!(site.push(epoch, vec![frame]).await.unwrap(), vec![]);
    assert_eq!(asking.await.unwrap().unwrap(), Reply::Done);
}

#[tokio::test]
async fn r_agt_9_one_pull_waits_at_a_time_and_the_latest_one_has_the_turn() {
    let site = Site::living(Duration::from_secs(60)).await;
    let epoch = site.open().await.session_epoch;
    let long = Duration::from_secs(25);
    let first = site.pull(epoch, 0, long).await.unwrap();
    assert!(!first.frames.is_empty(), "the roots are told at once");
    let mut older = Box::pin(site.pull(epoch, first.number, long));
    let waits = tokio::time::timeout(Duration::from_millis(50), &mut older);
    assert!(waits.await.is_err(), "there is nothing to tell");
    let newer = site.pull(epoch, first.number, Duration::from_millis(50));
    let (newer, older) = tokio::join!(newer, older);
    assert_eq!(newer.unwrap().number, first.number);
    assert_eq!(reason(older.unwrap_err()), "PROTOCOL_VIOLATION");
    assert!(site.push(epoch, Vec::new()).await.is_ok(), "it lives on");
}

#[tokio::test]
async fn r_agt_9_a_pull_whose_caller_went_away_loses_nothing() {
    let site = Site::living(Duration::from_secs(60)).await;
    let epoch = site.open().await.session_epoch;
    // Given up at every moment from its beginning on, whatever it had taken by then.
    for microseconds in 0..200_u64 {
        let pull = site.pull(epoch, 0, Duration::from_secs(25));
        let given_up = tokio::time::timeout(Duration::from_micros(microseconds * 20), pull);
        let _ = given_up.await;
    }
    let last = site.pull(epoch, 0, Duration::from_secs(25)).await.unwrap();
    assert_eq!(last.number, 1);
    let first = last.frames.first().and_then(|frame| frame.frame.as_ref());
    assert!(
        matches!(first, Some(exchange_response::Frame::Command(_))),
        "{last:?}"
    );
}

#[tokio::test]
async fn r_agt_7_nothing_is_taken_up_before_a_pull_waits_for_it() {
    let site = Site::living(Duration::from_secs(60)).await;
    let epoch = site.open().await.session_epoch;
    let command = Command::ResolveNodes {
        nodes: Vec::new(),
        paths: vec!["docs".to_owned()],
    };
    let sessions = &site.fixture.coordinator.sessions;
    let asked = (site.fixture.hq.id, "hq");
    let unheard = sessions.ask(asked, command, Duration::from_millis(30));
    assert!(matches!(unheard.await, Err(Error::AgentTimeout { .. })));
    let mut received = 0;
    for _ in 0..3 {
        let answer = site.pull(epoch, received, Duration::from_millis(100)).await;
        let answer = answer.unwrap();
        received = answer.number;
        let stale = answer.frames.iter().any(|frame| match &frame.frame {
            Some(exchange_response::Frame::Command(command)) => matches!(
                command.request,
                Some(wire::command::Request::ResolveNodes(_))
            ),
            _ => false,
        });
        assert!(!stale, "nobody waits for it any more");
    }
}

#[tokio::test]
async fn r_agt_2_a_ping_is_pulled_and_its_pong_pushed_and_a_stranger_waits_in_vain() {
    let site = Site::living(Duration::from_secs(60)).await;
    let epoch = site.open().await.session_epoch;
    let sessions = site.fixture.coordinator.sessions.clone();
    let hq = site.fixture.hq.id;
    let answers = tokio::spawn({
        let sessions = sessions.clone();
        async move { sessions.answers(hq).await }
    });
    let mut received = 0;
    let nonce = loop {
        let answer = site.pull(epoch, received, Duration::from_secs(20)).await;
        let answer = answer.unwrap();
        received = answer.number;
        let ping = answer
            .frames
            .into_iter()
            .find_map(|frame| match frame.frame {
                Some(exchange_response::Frame::Ping(ping)) => Some(ping.nonce),
                _ => None,
            });
        if let Some(nonce) = ping {
            break nonce;
        }
    };
    let pong = exchange_request::Frame::Pong(wire::Pong { nonce });
    site.push(epoch, vec![pong]).await.unwrap();
    assert!(answers.await.unwrap());
    // Nobody pulls: the pings wait, and whoever sent them waits no longer than two seconds.
    let both = futures::future::join(sessions.answers(hq), sessions.answers(hq));
    let both = tokio::time::timeout(Duration::from_secs(10), both).await;
    assert_eq!(both.unwrap(), (false, false));
}
