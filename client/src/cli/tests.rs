//! Whole commands against a coordinator that knows only its journal.

use std::{
    ffi::OsString,
    io::{self, Write},
    pin::Pin,
    sync::{Arc, Mutex},
};

use clap::Parser;
use futures::{Stream, StreamExt, stream};
use tandem_proto::v1::{
    JournalEntry, JournalKind, ListJournalRequest, ListJournalResponse, WatchJournalRequest,
    WatchJournalResponse,
    journal_service_server::{JournalService, JournalServiceServer},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use super::{arguments::Cli, error::Error, exit::Kind, output::Output, run_with};

const ENTRIES: i64 = 450;

/// Answers with entries that are numbered from 1, and refuses every token but `good`.
struct Journal;

type Answers = Pin<Box<dyn Stream<Item = Result<WatchJournalResponse, Status>> + Send>>;

#[tonic::async_trait]
impl JournalService for Journal {
    async fn list_journal(
        &self,
        request: Request<ListJournalRequest>,
    ) -> Result<Response<ListJournalResponse>, Status> {
        authorize(request.metadata())?;
        let request = request.into_inner();
        let from = request.page_token.parse().unwrap_or(1);
        let to = (from + i64::from(request.page_size)).min(ENTRIES + 1);
        let next_page_token = match to {
            to if to > ENTRIES => String::new(),
            to => to.to_string(),
        };
        Ok(Response::new(ListJournalResponse {
            entries: (from..to).map(entry).collect(),
            next_page_token,
            cursor: String::new(),
        }))
    }

    type WatchJournalStream = Answers;

    async fn watch_journal(
        &self,
        request: Request<WatchJournalRequest>,
    ) -> Result<Response<Answers>, Status> {
        authorize(request.metadata())?;
        let answer = WatchJournalResponse {
            entries: vec![entry(1)],
            cursor: "c1".to_owned(),
        };
        let answers = [Ok(answer), Err(Status::unavailable("it stops"))];
        Ok(Response::new(stream::iter(answers).boxed()))
    }
}

fn entry(position: i64) -> JournalEntry {
    JournalEntry {
        position,
        kind: JournalKind::Entered.into(),
        node_name: "a.txt".to_owned(),
        ..JournalEntry::default()
    }
}

fn authorize(metadata: &tonic::metadata::MetadataMap) -> Result<(), Status> {
    match metadata.get("authorization") {
        Some(value) if value == "Bearer good" => Ok(()),
        _ => Err(Status::unauthenticated("the token is unknown")),
    }
}

/// Where a test reads what was written.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics with it").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a command against the coordinator; gives what it wrote, and how it ended.
async fn tandem(line: &str) -> (String, Result<(), Error>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(
        Server::builder()
            .add_service(JournalServiceServer::new(Journal))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let line = format!("tandem --server http://{address} {line}");
    let cli = Cli::try_parse_from(line.split(' ').map(OsString::from)).expect("it parses");
    let page = Page::default();
    let output = Output::to(cli.global.output, page.clone());
    let end = run_with(cli, output).await;
    server.abort();
    let written = page.0.lock().expect("no test panics with it").clone();
    (String::from_utf8(written).expect("it is text"), end)
}

#[tokio::test]
async fn a_list_is_one_array_of_all_pages() {
    let (written, end) = tandem("--token good --output json journal list").await;
    end.expect("it ends well");
    let document: Vec<serde_json::Value> = serde_json::from_str(&written).expect("an array");
    let positions: Vec<_> = document
        .iter()
        .filter_map(|entry| entry["position"].as_i64())
        .collect();
    assert_eq!(positions, (1..=ENTRIES).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_list_for_people_is_a_table_that_tells_that_there_is_more() {
    let (written, end) = tandem("--token good journal list --cursor 7 --limit 1").await;
    end.expect("it ends well");
    assert_eq!(
        written,
        "POSITION  TIME  KIND     SIDE  NODE   ACTOR  MESSAGE\n\
         7         -     ENTERED  -     a.txt  -      -\n\n\
         There are more; raise --limit or leave it out.\n"
    );
}

#[tokio::test]
async fn a_watch_that_is_interrupted_tells_how_to_go_on() {
    let (written, end) = tandem("--token good --output json journal watch").await;
    assert_eq!(written.lines().count(), 2, "{written}");
    let error = end.expect_err("the stream broke");
    assert_eq!(error.kind, Kind::Unavailable);
    let remedy = error.remedy.expect("there is one");
    assert!(remedy.ends_with("Go on with --cursor c1."), "{remedy}");
}

#[tokio::test]
async fn a_token_that_is_not_valid_and_a_call_that_is_not_offered_have_their_kinds() {
    let (written, end) = tandem("--token bad journal list").await;
    assert_eq!(end.expect_err("it is unknown").kind, Kind::NotAllowed);
    assert_eq!(written, "");
    let (_, end) = tandem("--token good set list").await;
    assert_eq!(
        end.expect_err("there is no such service").kind,
        Kind::Refused
    );
}
