//! A coordinator that says what a test tells it to.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use tandem_proto::v1::{
    Accepted, BatchReadRequest, BatchReadResponse, BatchResult, BatchWriteRequest,
    BatchWriteResponse, ChangeBatch, ChangeItem, Command, CommandResult, ContentRef, Deliveries,
    Delivery, ExchangeRequest, ExchangeResponse, FindMissingChunksRequest,
    FindMissingChunksResponse, FindMissingRequest, FindMissingResponse, Hello, ItemNote,
    ListChunksRequest, ListChunksResponse, Observation, OpenSessionRequest, OpenSessionResponse,
    PullRequest, PullResponse, PushRequest, PushResponse, QueryWriteRequest, QueryWriteResponse,
    ReadRequest, ReadResponse, Refusal, Side, WatchRoot, WatchRoots, Welcome, WriteRequest,
    WriteResponse, batch_result,
    change_item::Item,
    command, command_result,
    content_service_server::{ContentService, ContentServiceServer},
    exchange_request, exchange_response,
    exchange_service_server::{ExchangeService, ExchangeServiceServer},
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    agent::{
        memory::{MemoryRepository, MemoryTree, ROOT, Rules},
        outbox::Outbox,
        runtime::{Agent, Options, Progress},
    },
    client::Endpoint,
    error::Error,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits, but not for ever.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it did not happen in time")
}

/// One session, from the coordinator's side.
pub(super) struct Talk {
    pub(super) hello: Hello,
    /// Frames that came while another one was waited for.
    earlier: VecDeque<exchange_request::Frame>,
    incoming: Streaming<ExchangeRequest>,
    outgoing: mpsc::Sender<Result<ExchangeResponse, Status>>,
}

/// What the coordinator keeps.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) contents: HashMap<Bytes, Bytes>,
    /// How a hello is refused, if it is.
    pub(super) refuses: Option<Status>,
    /// How the next uploads of large content are refused, one each.
    pub(super) refused_uploads: Vec<Status>,
}

pub(super) type Store = Arc<Mutex<Kept>>;

struct Fake {
    talks: mpsc::Sender<Talk>,
    store: Store,
}

/// An agent beside a repository in memory, and the coordinator it talks to.
pub(super) struct Stage {
    pub(super) repository: Arc<MemoryRepository>,
    pub(super) outbox: Outbox,
    pub(super) store: Store,
    pub(super) folder: String,
    pub(super) progress: tokio::sync::watch::Receiver<Progress>,
    pub(super) shutdown: CancellationToken,
    pub(super) agent: JoinHandle<Result<(), Error>>,
    talks: mpsc::Receiver<Talk>,
    _server: tokio_util::task::AbortOnDropHandle<()>,
}

impl Stage {
    pub(super) async fn start() -> Self {
        let mut tree = MemoryTree::new("n", Rules::default());
        let folder = tree.create_folder(ROOT, "contracts").unwrap();
        let repository = Arc::new(MemoryRepository::new(tree));
        let outbox = Outbox::in_memory().unwrap();
        // It was watched in an earlier session.
        let watched = WatchRoot {
            node_id: folder.clone(),
            scan_id: Bytes::from_static(&[1; 16]),
            ..WatchRoot::default()
        };
        outbox.name_roots(vec![watched]).await.unwrap();
        let store = Store::default();
        let (talking, talks) = mpsc::channel(4);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let fake = Arc::new(Fake {
            talks: talking,
            store: Arc::clone(&store),
        });
        let server = tonic::transport::Server::builder()
            .add_service(ExchangeServiceServer::from_arc(Arc::clone(&fake)))
            .add_service(ContentServiceServer::from_arc(fake))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { server.await.unwrap() });
        let client = Endpoint::new(&address, "token").unwrap().connect_lazy();
        let options = Options {
            cloned_delay: Duration::from_millis(1),
            ..Options::new("networks/n/repositories/r", Side::OnPremise)
        };
        let agent = Agent::new(Arc::clone(&repository), client, outbox.clone(), options);
        let progress = agent.progress();
        let shutdown = CancellationToken::new();
        let agent = tokio::spawn(agent.run(shutdown.clone()));
        let _server = tokio_util::task::AbortOnDropHandle::new(server);
        Self {
            repository,
            outbox,
            store,
            folder,
            progress,
            shutdown,
            agent,
            talks,
            _server,
        }
    }

    /// The next session, not greeted yet.
    pub(super) async fn talk(&mut self) -> Talk {
        soon(self.talks.recv()).await.unwrap()
    }

    /// The next session, greeted and watching the folder.
    pub(super) async fn session(&mut self, welcome: Welcome) -> Talk {
        let mut talk = self.talk().await;
        talk.welcome(welcome).await;
        talk.watch(&self.folder, b"").await;
        talk
    }

    pub(super) async fn until(&mut self, condition: impl FnMut(&Progress) -> bool) {
        soon(self.progress.wait_for(condition)).await.unwrap();
    }

    pub(super) fn write(&self, name: &str, content: impl Into<Bytes>) -> String {
        self.repository
            .with(|tree| tree.create_document(&self.folder, name, content))
            .unwrap()
    }
}

pub(super) fn welcome(generation: i64, number: i64, id: &Bytes) -> Welcome {
    Welcome {
        session_epoch: 7,
        resume_key: Bytes::from(format!("key of {generation}/{number}")),
        protocol: 1,
        last_batch_number: number,
        last_batch_id: id.clone(),
        generation,
        ..Welcome::default()
    }
}

impl Talk {
    pub(super) async fn send(&self, frame: exchange_response::Frame) {
        self.outgoing
            .send(Ok(ExchangeResponse { frame: Some(frame) }))
            .await
            .unwrap();
    }

    /// Greets, and waits until the resume key is confirmed.
    pub(super) async fn welcome(&mut self, welcome: Welcome) {
        let key = welcome.resume_key.clone();
        self.send(exchange_response::Frame::Welcome(welcome)).await;
        match self.next().await {
            exchange_request::Frame::ResumeKeyStored(stored) => assert_eq!(stored.resume_key, key),
            other => panic!("not the confirmation: {other:?}"),
        }
    }

    pub(super) async fn next(&mut self) -> exchange_request::Frame {
        match self.earlier.pop_front() {
            Some(frame) => frame,
            None => self.receive().await,
        }
    }

    async fn receive(&mut self) -> exchange_request::Frame {
        soon(self.incoming.message())
            .await
            .unwrap()
            .unwrap()
            .frame
            .unwrap()
    }

    /// Waits until the agent half-closes.
    pub(super) async fn half_close(&mut self) {
        while soon(self.incoming.message()).await.unwrap().is_some() {}
    }

    /// Waits until the agent ends the session, in whatever way.
    pub(super) async fn end(&mut self) {
        while let Ok(Some(_)) = soon(self.incoming.message()).await {}
    }

    pub(super) async fn ask(&mut self, request: command::Request) -> command_result::Result {
        let id = Bytes::from_static(&[3; 16]);
        let asked = Command {
            id: id.clone(),
            deadline: None,
            request: Some(request),
        };
        self.send(exchange_response::Frame::Command(asked)).await;
        loop {
            match self.receive().await {
                exchange_request::Frame::CommandResult(CommandResult {
                    id: answered,
                    result,
                }) => {
                    assert_eq!(answered, id);
                    return result.unwrap();
                }
                other => self.earlier.push_back(other),
            }
        }
    }

    pub(super) async fn watch(&mut self, folder: &str, scan_id: &'static [u8]) {
        let root = WatchRoot {
            node_id: folder.to_owned(),
            include_subfolders: true,
            scan_id: Bytes::from_static(scan_id),
            read_content: false,
            document: false,
        };
        let answer = self
            .ask(command::Request::WatchRoots(WatchRoots {
                roots: vec![root],
            }))
            .await;
        assert!(
            matches!(answer, command_result::Result::Done(_)),
            "{answer:?}"
        );
    }

    pub(super) async fn batch(&mut self) -> ChangeBatch {
        match self.next().await {
            exchange_request::Frame::ChangeBatch(batch) => batch,
            other => panic!("not a batch: {other:?}"),
        }
    }

    /// Takes and accepts batches until all items are there that are waited for.
    pub(super) async fn items_until(
        &mut self,
        enough: impl Fn(&[ChangeItem]) -> bool,
    ) -> Vec<ChangeItem> {
        let mut items = Vec::new();
        while !enough(&items) {
            let batch = self.batch().await;
            items.extend(batch.items);
            self.accept(batch.number).await;
        }
        items
    }

    pub(super) async fn answer(
        &self,
        number: i64,
        answer: batch_result::Answer,
        missing: &[Bytes],
    ) {
        let missing_digests = missing.to_vec();
        let result = BatchResult {
            number,
            answer: Some(answer),
            missing_digests,
        };
        self.send(exchange_response::Frame::BatchResult(result))
            .await;
    }

    pub(super) async fn accept(&self, number: i64) {
        self.accept_with(number, Vec::new()).await;
    }

    pub(super) async fn accept_with(&self, number: i64, notes: Vec<ItemNote>) {
        self.answer(
            number,
            batch_result::Answer::Accepted(Accepted { notes }),
            &[],
        )
        .await;
    }

    pub(super) async fn refuse(&self, number: i64, refusal: Refusal, missing: &[Bytes]) {
        self.answer(number, batch_result::Answer::Refused(refusal), missing)
            .await;
    }

    pub(super) async fn deliver(&self, deliveries: Vec<Delivery>) {
        self.send(exchange_response::Frame::Deliveries(Deliveries {
            deliveries,
        }))
        .await;
    }
}

pub(super) fn observations(items: &[ChangeItem]) -> Vec<&Observation> {
    items
        .iter()
        .filter_map(|item| match &item.item {
            Some(Item::Observation(observation)) => Some(observation),
            _ => None,
        })
        .collect()
}

#[tonic::async_trait]
impl ExchangeService for Fake {
    type ExchangeStream = ReceiverStream<Result<ExchangeResponse, Status>>;

    async fn exchange(
        &self,
        request: Request<Streaming<ExchangeRequest>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        assert_eq!(
            request.metadata().get("authorization").unwrap(),
            "Bearer token"
        );
        let mut incoming = request.into_inner();
        let first = incoming.message().await?.and_then(|first| first.frame);
        let Some(exchange_request::Frame::Hello(hello)) = first else {
            return Err(Status::invalid_argument("no hello"));
        };
        if let Some(status) = self.store.lock().unwrap().refuses.clone() {
            return Err(status);
        }
        let (outgoing, frames) = mpsc::channel(64);
        self.talks
            .send(Talk {
                hello,
                earlier: VecDeque::new(),
                incoming,
                outgoing,
            })
            .await
            .unwrap();
        Ok(Response::new(ReceiverStream::new(frames)))
    }

    async fn open_session(
        &self,
        _: Request<OpenSessionRequest>,
    ) -> Result<Response<OpenSessionResponse>, Status> {
        Err(Status::unimplemented("streams only"))
    }

    async fn push(&self, _: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
        Err(Status::unimplemented("streams only"))
    }

    async fn pull(&self, _: Request<PullRequest>) -> Result<Response<PullResponse>, Status> {
        Err(Status::unimplemented("streams only"))
    }
}

impl Fake {
    fn content(&self, digest: &Bytes) -> Option<Bytes> {
        self.store.lock().unwrap().contents.get(digest).cloned()
    }

    fn keep(&self, digest: Bytes, bytes: Bytes) {
        self.store.lock().unwrap().contents.insert(digest, bytes);
    }
}

#[tonic::async_trait]
impl ContentService for Fake {
    async fn find_missing(
        &self,
        request: Request<FindMissingRequest>,
    ) -> Result<Response<FindMissingResponse>, Status> {
        let digests = request.into_inner().digests.into_iter();
        let missing = digests
            .filter(|digest| self.content(digest).is_none())
            .collect();
        Ok(Response::new(FindMissingResponse { missing }))
    }

    async fn find_missing_chunks(
        &self,
        request: Request<FindMissingChunksRequest>,
    ) -> Result<Response<FindMissingChunksResponse>, Status> {
        let missing = request.into_inner().digests;
        Ok(Response::new(FindMissingChunksResponse { missing }))
    }

    async fn list_chunks(
        &self,
        _: Request<ListChunksRequest>,
    ) -> Result<Response<ListChunksResponse>, Status> {
        Ok(Response::new(ListChunksResponse::default()))
    }

    async fn batch_write(
        &self,
        request: Request<BatchWriteRequest>,
    ) -> Result<Response<BatchWriteResponse>, Status> {
        for content in request.into_inner().contents {
            self.keep(content.digest, content.inline.unwrap());
        }
        Ok(Response::new(BatchWriteResponse {}))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<WriteResponse>, Status> {
        if let Some(status) = self.store.lock().unwrap().refused_uploads.pop() {
            return Err(status);
        }
        let mut frames = request.into_inner();
        let (mut content, mut bytes) = (None, Vec::new());
        while let Some(frame) = frames.message().await? {
            assert_eq!(frame.offset, bytes.len() as i64);
            bytes.extend_from_slice(&frame.data);
            content = content.or(frame.content);
        }
        let ContentRef { digest, size, .. } = content.unwrap();
        assert_eq!(size, bytes.len() as i64);
        self.keep(digest, bytes.into());
        Ok(Response::new(WriteResponse { size }))
    }

    async fn query_write(
        &self,
        request: Request<QueryWriteRequest>,
    ) -> Result<Response<QueryWriteResponse>, Status> {
        let complete = self.content(&request.into_inner().digest).is_some();
        Ok(Response::new(QueryWriteResponse {
            committed: 0,
            complete,
        }))
    }

    async fn batch_read(
        &self,
        request: Request<BatchReadRequest>,
    ) -> Result<Response<BatchReadResponse>, Status> {
        let found = |digest: Bytes| {
            let bytes = self.content(&digest)?;
            Some(ContentRef {
                digest,
                size: bytes.len() as i64,
                inline: Some(bytes),
            })
        };
        let sources = request.into_inner().sources.into_iter();
        let contents = sources.filter_map(|source| found(source.digest)).collect();
        Ok(Response::new(BatchReadResponse { contents }))
    }

    type ReadStream = Pin<Box<dyn Stream<Item = Result<ReadResponse, Status>> + Send>>;

    async fn read(
        &self,
        request: Request<ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let ReadRequest {
            source,
            offset,
            length,
        } = request.into_inner();
        let bytes = self.content(&source.unwrap().digest).unwrap();
        let length = usize::try_from(length).unwrap();
        let end = match length {
            0 => bytes.len(),
            length => bytes.len().min(offset as usize + length),
        };
        let bytes = bytes.slice(..end);
        let pieces: Vec<_> = (offset as usize..bytes.len())
            .step_by(100_000)
            .map(|from| {
                let data = bytes.slice(from..bytes.len().min(from + 100_000));
                Ok(ReadResponse {
                    offset: from as i64,
                    data,
                })
            })
            .collect();
        Ok(Response::new(Box::pin(futures::stream::iter(pieces))))
    }
}
