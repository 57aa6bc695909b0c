//! What a peer sends never brings a decoder down: the corpus of the fuzz targets, and valid frames with a few wrong bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use prost::Message as _;
use prost::bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tandem_proto::v1 as wire;
use tandem_tests::decoders::{DECODERS, Decoder, frames};

/// Where the fuzz targets are.
fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The files of the corpus of a fuzz target, sorted.
fn corpus(name: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(fuzz().join("corpus").join(name)).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_corpus_of_every_fuzz_target_is_answered() {
    let root = fuzz();
    for (name, decoder) in DECODERS {
        assert!(
            root.join(format!("fuzz_targets/{name}.rs")).exists(),
            "the decoder {name} has no fuzz target"
        );
        let files = corpus(name);
        assert!(files.len() >= 5, "{name} has a corpus of {}", files.len());
        for file in files {
            println!("{}", file.display());
            decoder(&fs::read(file).unwrap());
        }
    }
}

fn content(text: &'static str) -> wire::ContentRef {
    wire::ContentRef {
        digest: Sha256::digest(text).to_vec().into(),
        size: i64::try_from(text.len()).unwrap(),
        inline: Some(Bytes::from_static(text.as_bytes())),
    }
}

fn seen(state: wire::observation::State) -> wire::Observation {
    wire::Observation {
        node_id: "n1".to_owned(),
        parent_node_id: "root".to_owned(),
        revision: "7".to_owned(),
        state: Some(state),
        ..wire::Observation::default()
    }
}

/// One item of each kind.
fn items() -> Vec<wire::ChangeItem> {
    use wire::change_item::Item;
    let document = wire::Projection {
        kind: wire::NodeKind::Document.into(),
        name: "lease.txt".to_owned(),
        content: Some(content("text")),
        ..wire::Projection::default()
    };
    let present = seen(wire::observation::State::Present(document.clone()));
    let absent = seen(wire::observation::State::Absent(wire::Absence {
        kind: wire::AbsenceKind::Deleted.into(),
        ..wire::Absence::default()
    }));
    let outcome = wire::Outcome {
        delivery_id: Some(wire::DeliveryId {
            member_id: vec![1; 16].into(),
            source_version: 3,
        }),
        answer: Some(wire::outcome::Answer::Applied(wire::Applied {
            result: Some(present.clone()),
            delivered: Some(document),
            ..wire::Applied::default()
        })),
    };
    let page = wire::ScanPage {
        scan_id: vec![2; 16].into(),
        folder_node_id: "root".to_owned(),
        readable: true,
        children: vec![present.clone()],
        ..wire::ScanPage::default()
    };
    let end = wire::ScanEnd {
        scan_id: vec![2; 16].into(),
        outcome: wire::ScanOutcome::Complete.into(),
    };
    let cause = wire::CauseChanged {
        member_id: vec![3; 16].into(),
    };
    [
        Item::Observation(present),
        Item::Observation(absent),
        Item::Outcome(outcome),
        Item::ScanPage(page),
        Item::ScanEnd(end),
        Item::CauseChanged(cause),
    ]
    .map(|item| wire::ChangeItem { item: Some(item) })
    .to_vec()
}

fn frame(items: Vec<wire::ChangeItem>) -> Vec<u8> {
    let batch = wire::ChangeBatch {
        number: 1,
        id: vec![9; 16].into(),
        session_epoch: 1,
        items,
        cursor: Bytes::new(),
    };
    let frame = Some(wire::exchange_request::Frame::ChangeBatch(batch));
    wire::ExchangeRequest { frame }.encode_to_vec()
}

#[test]
fn the_frame_that_is_mutated_is_a_valid_one() {
    use tandem_server::domain::ids::RepositoryId;
    let request = wire::ExchangeRequest::decode(frame(items()).as_slice()).unwrap();
    let Some(wire::exchange_request::Frame::ChangeBatch(batch)) = request.frame else {
        panic!("no batch");
    };
    let read = tandem_server::transport::exchange::decode::batch(RepositoryId(1), batch).unwrap();
    assert_eq!(read.items.len(), items().len());
}

/// What happens to the bytes of a frame.
#[derive(Debug, Clone)]
enum Mutation {
    Set(usize, u8),
    Cut(usize),
    Remove(usize, usize),
    Repeat(usize, usize),
    Insert(usize, Vec<u8>),
}

impl Mutation {
    fn apply(self, bytes: &mut Vec<u8>) {
        let within = |at: usize, bytes: &Vec<u8>| at % (bytes.len() + 1);
        match self {
            Self::Set(at, byte) => {
                let at = within(at, bytes);
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
            }
            Self::Cut(at) => bytes.truncate(within(at, bytes)),
            Self::Remove(at, count) => {
                let start = within(at, bytes);
                let end = bytes.len().min(start + count % 16);
                bytes.drain(start..end);
            }
            Self::Repeat(at, count) => {
                let start = within(at, bytes);
                let end = bytes.len().min(start + count % 64);
                let piece = bytes[start..end].to_vec();
                bytes.splice(start..start, piece);
            }
            Self::Insert(at, piece) => {
                let at = within(at, bytes);
                bytes.splice(at..at, piece);
            }
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = || any::<prop::sample::Index>().prop_map(|index| index.index(4096));
    prop_oneof![
        6 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => at().prop_map(Mutation::Cut),
        2 => (at(), at()).prop_map(|(at, count)| Mutation::Remove(at, count)),
        2 => (at(), at()).prop_map(|(at, count)| Mutation::Repeat(at, count)),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..8))
            .prop_map(|(at, piece)| Mutation::Insert(at, piece)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_with_wrong_bytes_is_read_or_refused_with_its_field(
        which in 0..6_usize,
        mutations in prop::collection::vec(mutation(), 1..5),
    ) {
        let mut bytes = frame(vec![items().swap_remove(which)]);
        mutations.into_iter().for_each(|mutation| mutation.apply(&mut bytes));
        frames(&bytes);
    }
}

/// A decoder, and the bytes of a file of its corpus.
static SEEDS: LazyLock<Vec<(Decoder, Vec<u8>)>> = LazyLock::new(|| {
    let all = DECODERS.into_iter().flat_map(|decoder| {
        let files = corpus(decoder.0).into_iter();
        files.map(move |file| (decoder, fs::read(file).unwrap()))
    });
    all.collect()
});

/// More of them are a fuzz run for compilers that have none: `TANDEM_FUZZ_CASES=10000000`.
fn cases() -> u32 {
    let asked = std::env::var("TANDEM_FUZZ_CASES").ok();
    asked.map_or(20_000, |asked| asked.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_corpus_with_wrong_bytes_is_answered(
        which in any::<prop::sample::Index>(),
        mutations in prop::collection::vec(mutation(), 1..8),
    ) {
        let ((_, decoder), bytes) = which.get(&SEEDS);
        let mut bytes = bytes.clone();
        mutations.into_iter().for_each(|mutation| mutation.apply(&mut bytes));
        decoder(&bytes);
    }
}
