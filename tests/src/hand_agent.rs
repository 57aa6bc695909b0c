//! An agent that is led by hand, frame by frame, over a real connection: what a wrong or hostile agent may send.

use std::collections::VecDeque;
use std::future::Future;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tandem_client::client::Client;
use tandem_client::error::Error;
use tandem_proto::v1::{
    Absence, AbsenceKind, Applied, BatchResult, Capabilities, ChangeBatch, ChangeItem, Command,
    CommandResult, ContentRef, Delivery, ExchangeRequest, ExchangeResponse, Hello, NodeInfo,
    NodeInfos, NodeKind, Observation, OpenSessionRequest, Outcome, Pong, Projection, PullRequest,
    PullResponse, PushRequest, PushResponse, ResumeKeyStored, ScanEnd, ScanOutcome, ScanPage, Side,
    WatchRoot, Welcome, batch_result, change_item, command, command_result, delivery::Action,
    exchange_request, exchange_response, observation, outcome,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use uuid::Uuid;

use crate::coordinator::repository_name;
use crate::pair::PATIENCE;

/// How long a pull waits.
const PULL_MILLISECONDS: u64 = 20_000;
/// Frames that wait to be sent.
const FRAMES_MAX: usize = 16;
/// The folder that [`HandAgent`] says it has, at this path.
pub const FOLDER: &str = "contracts";

/// How the frames of a session travel.
#[derive(Debug)]
enum Wire {
    /// Over a stream.
    Stream {
        frames: mpsc::Sender<ExchangeRequest>,
        answers: Box<Streaming<ExchangeResponse>>,
    },
    /// In calls (R-AGT-9).
    Calls(Box<Calls>),
}

/// A unary session.
#[derive(Debug, Clone)]
pub struct Calls {
    client: Client,
    /// The epoch that every call carries.
    pub epoch: i64,
    /// The number of the last answer of a pull that came.
    pub received: i64,
    /// Frames that came and were not looked at.
    waiting: VecDeque<ExchangeResponse>,
}

impl Calls {
    /// One push of these frames.
    ///
    /// # Errors
    /// The refusal.
    pub async fn push(&self, frames: Vec<ExchangeRequest>) -> Result<PushResponse, Error> {
        let request = PushRequest {
            session_epoch: self.epoch,
            frames,
        };
        let exchange = self.client.exchange();
        let exchange = exchange.max_encoding_message_size(usize::MAX);
        Ok({ exchange }.push(request).await?.into_inner())
    }

    /// One pull that waits so many milliseconds at most; whether its answer came is the caller's to say.
    ///
    /// # Errors
    /// The refusal.
    pub async fn pull(&self, milliseconds: u64) -> Result<PullResponse, Error> {
        let wait = prost_types::Duration::try_from(std::time::Duration::from_millis(milliseconds));
        let request = PullRequest {
            session_epoch: self.epoch,
            wait: wait.ok(),
            received_number: self.received,
        };
        Ok(self.client.exchange().pull(request).await?.into_inner())
    }
}

impl Wire {
    async fn send(&mut self, frame: ExchangeRequest) -> Result<()> {
        match self {
            Self::Stream { frames, .. } => {
                let sent = frames.send(frame).await;
                sent.context("the stream is over")
            }
            Self::Calls(calls) => {
                let pushed = calls.push(vec![frame]).await?;
                calls.waiting.extend(pushed.frames);
                Ok(())
            }
        }
    }

    /// The next frame; none when the session is over and well.
    async fn next(&mut self) -> Result<Option<ExchangeResponse>, Error> {
        match self {
            Self::Stream { answers, .. } => Ok(answers.message().await?),
            Self::Calls(calls) => loop {
                if let Some(frame) = calls.waiting.pop_front() {
                    return Ok(Some(frame));
                }
                let pulled = calls.pull(PULL_MILLISECONDS).await?;
                calls.received = pulled.number;
                calls.waiting.extend(pulled.frames);
            },
        }
    }
}

/// A session, and what the agent remembers.
#[derive(Debug)]
pub struct HandAgent {
    wire: Wire,
    /// What the coordinator said at the beginning.
    pub welcome: Welcome,
    /// The number of the last batch accepted.
    pub last_number: i64,
    /// Its id.
    pub last_id: Bytes,
    /// Scans that were asked for and are not answered.
    pub scans: Vec<WatchRoot>,
    /// Deliveries that came and are not answered.
    pub deliveries: Vec<Delivery>,
}

/// A correct first frame of an agent that was never here before.
#[must_use]
pub fn hello(network: &str, repository: &str, side: Side) -> Hello {
    Hello {
        repository: repository_name(network, repository),
        side: side.into(),
        installation_id: "by hand".to_owned(),
        index_id: "by hand".to_owned(),
        protocol_min: 1,
        protocol_max: 1,
        capabilities: Some(Capabilities {
            properties: vec!["*".to_owned()],
            ..Capabilities::default()
        }),
        ..Hello::default()
    }
}

/// Any frame, as the agent sends it.
#[must_use]
pub fn frame(frame: exchange_request::Frame) -> ExchangeRequest {
    ExchangeRequest { frame: Some(frame) }
}

/// A document as it is reported, its content inline.
#[must_use]
pub fn document(node_id: &str, name: &str, content: &str) -> Observation {
    let content = Bytes::copy_from_slice(content.as_bytes());
    let content = ContentRef {
        digest: Bytes::copy_from_slice(&Sha256::digest(&content)),
        size: i64::try_from(content.len()).unwrap_or(i64::MAX),
        inline: Some(content),
    };
    node(node_id, name, NodeKind::Document, Some(content))
}

/// A folder as it is reported.
#[must_use]
pub fn folder(node_id: &str, name: &str) -> Observation {
    node(node_id, name, NodeKind::Folder, None)
}

fn node(node_id: &str, name: &str, kind: NodeKind, content: Option<ContentRef>) -> Observation {
    let projection = Projection {
        kind: kind.into(),
        name: name.to_owned(),
        content,
        ..Projection::default()
    };
    Observation {
        node_id: node_id.to_owned(),
        parent_node_id: FOLDER.to_owned(),
        revision: Uuid::new_v4().to_string(),
        state: Some(observation::State::Present(projection)),
        ..Observation::default()
    }
}

/// An observation as an item of a batch.
#[must_use]
pub fn observed(observation: Observation) -> ChangeItem {
    item(change_item::Item::Observation(observation))
}

/// Any item of a batch.
#[must_use]
pub fn item(item: change_item::Item) -> ChangeItem {
    ChangeItem { item: Some(item) }
}

/// The outcome of an agent that does exactly what it is told.
///
/// # Errors
/// The delivery says nothing that can be done.
pub fn applied(delivery: &Delivery) -> Result<ChangeItem> {
    let id = delivery.id.clone().context("a delivery without an id")?;
    let (node_id, projection) = match delivery.action.clone().context("no action")? {
        Action::Create(create) => (Uuid::new_v4().to_string(), create.projection),
        Action::Update(update) => (update.node_id, update.projection),
        Action::Delete(delete) => (delete.node_id, None),
        Action::Release(release) => (release.node_id, None),
    };
    let result = projection.map_or_else(
        || deleted(&node_id),
        |projection| Observation {
            node_id: node_id.clone(),
            parent_node_id: FOLDER.to_owned(),
            revision: Uuid::new_v4().to_string(),
            state: Some(observation::State::Present(projection)),
            member_mark: id.member_id.clone(),
            ..Observation::default()
        },
    );
    let applied = Applied {
        result: Some(result),
        ..Applied::default()
    };
    Ok(item(change_item::Item::Outcome(Outcome {
        delivery_id: Some(id),
        answer: Some(outcome::Answer::Applied(applied)),
    })))
}

/// A node that a user deleted.
#[must_use]
pub fn deleted(node_id: &str) -> Observation {
    let absent = Absence {
        kind: AbsenceKind::Deleted.into(),
        ..Absence::default()
    };
    Observation {
        node_id: node_id.to_owned(),
        state: Some(observation::State::Absent(absent)),
        ..Observation::default()
    }
}

/// Calls with these frames; the answer is the stream, or what the coordinator refused it with.
///
/// # Errors
/// The refusal.
pub async fn call(
    client: &Client,
    first: Vec<ExchangeRequest>,
) -> Result<(mpsc::Sender<ExchangeRequest>, Streaming<ExchangeResponse>), Error> {
    let (frames, waiting) = mpsc::channel(FRAMES_MAX.max(first.len()));
    for frame in first {
        // There is room for them, and nobody has closed the queue.
        let _ = frames.try_send(frame);
    }
    let exchange = client.exchange().max_encoding_message_size(usize::MAX);
    let answers = { exchange }.exchange(ReceiverStream::new(waiting)).await?;
    Ok((frames, answers.into_inner()))
}

impl HandAgent {
    /// Opens a session and confirms its key.
    ///
    /// # Errors
    /// The refusal.
    pub async fn open(client: &Client, hello: Hello) -> Result<Self> {
        let first = frame(exchange_request::Frame::Hello(hello));
        let (frames, mut answers) = call(client, vec![first]).await?;
        let first = answers.message().await?.context("no first frame")?;
        let Some(exchange_response::Frame::Welcome(welcome)) = first.frame else {
            bail!("the first frame is no welcome: {first:?}");
        };
        let answers = Box::new(answers);
        Self::begin(Wire::Stream { frames, answers }, welcome).await
    }

    /// Opens a session without a stream, and confirms its key.
    ///
    /// # Errors
    /// The refusal.
    pub async fn open_calls(client: &Client, hello: Hello) -> Result<Self> {
        let hello = Some(hello);
        let opened = client
            .exchange()
            .open_session(OpenSessionRequest { hello })
            .await
            .map_err(Error::from)?;
        let welcome = opened.into_inner().welcome.context("no welcome")?;
        let calls = Calls {
            client: client.clone(),
            epoch: welcome.session_epoch,
            received: 0,
            waiting: VecDeque::new(),
        };
        Self::begin(Wire::Calls(Box::new(calls)), welcome).await
    }

    async fn begin(wire: Wire, welcome: Welcome) -> Result<Self> {
        let stored = ResumeKeyStored {
            resume_key: welcome.resume_key.clone(),
        };
        let mut agent = Self {
            wire,
            last_number: welcome.last_batch_number,
            last_id: welcome.last_batch_id.clone(),
            welcome,
            scans: Vec::new(),
            deliveries: Vec::new(),
        };
        agent
            .send(exchange_request::Frame::ResumeKeyStored(stored))
            .await?;
        Ok(agent)
    }

    /// The calls of a session without a stream, to be made by hand.
    ///
    /// # Errors
    /// It has a stream.
    pub fn calls(&mut self) -> Result<&mut Calls> {
        match &mut self.wire {
            Wire::Calls(calls) => Ok(calls.as_mut()),
            Wire::Stream { .. } => bail!("the session has a stream"),
        }
    }

    /// The first frame of this agent's next session.
    #[must_use]
    pub fn hello_again(&self, hello: Hello) -> Hello {
        Hello {
            generation: self.welcome.generation,
            resume_key: self.welcome.resume_key.clone(),
            last_batch_number: self.last_number,
            last_batch_id: self.last_id.clone(),
            ..hello
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The stream is over.
    pub async fn send(&mut self, arm: exchange_request::Frame) -> Result<()> {
        self.send_frame(frame(arm)).await
    }

    /// Sends a frame, with or without an arm.
    ///
    /// # Errors
    /// The stream is over.
    pub async fn send_frame(&mut self, frame: ExchangeRequest) -> Result<()> {
        self.wire.send(frame).await
    }

    /// The next batch, with these items.
    #[must_use]
    pub fn batch(&self, items: Vec<ChangeItem>) -> ChangeBatch {
        ChangeBatch {
            number: self.last_number + 1,
            id: Bytes::copy_from_slice(Uuid::new_v4().as_bytes()),
            session_epoch: self.welcome.session_epoch,
            items,
            cursor: Bytes::new(),
        }
    }

    /// Sends a batch and waits for its answer; an accepted one counts.
    ///
    /// # Errors
    /// The stream ends instead.
    pub async fn report(&mut self, batch: ChangeBatch) -> Result<BatchResult> {
        let id = batch.id.clone();
        self.send(exchange_request::Frame::ChangeBatch(batch))
            .await?;
        let result = self.result().await?;
        let accepted = matches!(result.answer, Some(batch_result::Answer::Accepted(_)));
        if accepted && result.number > self.last_number {
            (self.last_number, self.last_id) = (result.number, id);
        }
        Ok(result)
    }

    /// Waits for the answer to a batch, and does meanwhile what the coordinator asks.
    ///
    /// # Errors
    /// The stream ends instead.
    pub async fn result(&mut self) -> Result<BatchResult> {
        loop {
            if let Some(result) = self.step().await? {
                return Ok(result);
            }
        }
    }

    /// Does what the coordinator asks while something else runs.
    ///
    /// # Errors
    /// The stream ends meanwhile.
    pub async fn while_answering<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                step = self.step() => drop(step?),
            }
        }
    }

    /// Waits for what the stream ends with.
    ///
    /// # Errors
    /// It ends without a status, or not in time.
    pub async fn end(&mut self) -> Result<Error> {
        let ending = async {
            loop {
                match self.wire.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => bail!("the stream ended well"),
                    Err(error) => return Ok(error),
                }
            }
        };
        tokio::time::timeout(PATIENCE, ending)
            .await
            .context("the stream goes on")?
    }

    /// Lists the folder, which is empty, for every scan that waits.
    ///
    /// # Errors
    /// The stream ends, or the scan is refused.
    pub async fn scan(&mut self) -> Result<()> {
        while self.scans.is_empty() {
            self.step().await?;
        }
        for root in std::mem::take(&mut self.scans) {
            let page = ScanPage {
                scan_id: root.scan_id.clone(),
                folder_node_id: root.node_id,
                readable: true,
                ..ScanPage::default()
            };
            let mut end = ScanEnd {
                scan_id: root.scan_id,
                ..ScanEnd::default()
            };
            end.set_outcome(ScanOutcome::Complete);
            let items = vec![
                item(change_item::Item::ScanPage(page)),
                item(change_item::Item::ScanEnd(end)),
            ];
            self.tell(items).await?;
        }
        Ok(())
    }

    /// Waits for a delivery, and takes it.
    ///
    /// # Errors
    /// The stream ends instead.
    pub async fn delivery(&mut self) -> Result<Delivery> {
        while self.deliveries.is_empty() {
            self.step().await?;
        }
        Ok(self.deliveries.remove(0))
    }

    /// Reports items in the next batch, which must be accepted.
    ///
    /// # Errors
    /// It is refused, or the stream ends instead.
    pub async fn tell(&mut self, items: Vec<ChangeItem>) -> Result<()> {
        let result = self.report(self.batch(items)).await?;
        match result.answer {
            Some(batch_result::Answer::Accepted(_)) => Ok(()),
            other => bail!("refused: {other:?}"),
        }
    }

    /// Takes one frame; the answer to a batch is handed out.
    async fn step(&mut self) -> Result<Option<BatchResult>> {
        let next = tokio::time::timeout(PATIENCE, self.wire.next());
        let response = next.await.context("the coordinator says nothing")??;
        match response.context("the stream ended")?.frame {
            Some(exchange_response::Frame::BatchResult(result)) => return Ok(Some(result)),
            Some(exchange_response::Frame::Command(command)) => self.obey(command).await?,
            Some(exchange_response::Frame::Deliveries(new)) => {
                self.deliveries.extend(new.deliveries);
            }
            Some(exchange_response::Frame::Ping(ping)) => {
                let pong = Pong { nonce: ping.nonce };
                self.send(exchange_request::Frame::Pong(pong)).await?;
            }
            _ => {}
        }
        Ok(None)
    }

    async fn obey(&mut self, command: Command) -> Result<()> {
        let result = match command.request {
            Some(command::Request::ResolveNodes(_)) => {
                command_result::Result::Nodes(the_only_folder())
            }
            Some(command::Request::WatchRoots(watch)) => {
                let asked = watch.roots.into_iter();
                self.scans = asked.filter(|root| !root.scan_id.is_empty()).collect();
                return Ok(());
            }
            _ => return Ok(()),
        };
        let answer = CommandResult {
            id: command.id,
            result: Some(result),
        };
        self.send(exchange_request::Frame::CommandResult(answer))
            .await
    }
}

fn the_only_folder() -> NodeInfos {
    let info = NodeInfo {
        node_id: FOLDER.to_owned(),
        kind: NodeKind::Folder.into(),
        name: FOLDER.to_owned(),
        path: FOLDER.to_owned(),
        in_library: true,
        writable: true,
        ..NodeInfo::default()
    };
    NodeInfos {
        nodes: vec![info],
        more: false,
    }
}
