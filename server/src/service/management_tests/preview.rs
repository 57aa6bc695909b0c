//! What making a set would do (R-SET-6).

use crate::domain::access::{Role, Side};
use crate::domain::ids::NodeId;
use crate::domain::report::NodeTrait;
use crate::domain::sync_set::{Options, SetKind};
use crate::service::Error;
use crate::service::choice::Definition;
use crate::service::command::{Command, NewFolder, NodeInfo, Reply};
use crate::service::nodes::NodeChoice;
use crate::service::testing::{Fixture, document, folder, new_set, one, repository_of};

/// A node at a path, which is also its id.
fn at(path: &str, info: NodeInfo) -> NodeInfo {
    NodeInfo {
        node: NodeId(path.to_owned()),
        path: path.to_owned(),
        ..info
    }
}

fn definition(nodes: &[&str]) -> Definition {
    let choice = |node: &&str| NodeChoice::Id(NodeId((*node).to_owned()));
    Definition {
        nodes: nodes.iter().map(choice).collect(),
        ..new_set().definition
    }
}

#[tokio::test]
async fn r_set_6_a_folder_is_counted_with_all_that_would_be_pushed() {
    let fixture = Fixture::new().await;
    let mut link = at("docs/sub/link", document("link"));
    link.node_trait = NodeTrait::Link;
    let nodes = [
        folder("docs"),
        at("docs/a", document("a")),
        at("docs/sub", folder("sub")),
        at("docs/sub/b", document("b")),
        at("docs/sub/other", document("other")),
        link,
    ];
    fixture.agent(Side::OnPremise, repository_of(&nodes));
    fixture.agent(Side::Cloud, repository_of(&[folder("inbox")]));
    let alice = fixture.alice().await;
    let mut other = new_set();
    other.definition = definition(&["docs/sub/other"]);
    alice.create_set(&other).await.unwrap();
    let preview = alice.preview_set(&definition(&["docs"])).await.unwrap();
    assert_eq!(preview.kind, SetKind::Folder);
    let counted = (preview.folders, preview.documents, preview.bytes);
    assert_eq!(counted, (2, 2, 14));
    let mut skipped: Vec<(&str, &str)> = preview
        .skipped
        .iter()
        .map(|left| (left.path.as_str(), left.reason.as_str()))
        .collect();
    skipped.sort_unstable();
    assert_eq!(
        skipped,
        [
            ("docs/sub/link", "a link is never followed"),
            ("docs/sub/other", "it is in a sync set of its own"),
        ]
    );
    assert!(preview.clashes.is_empty() && !preview.incomplete);
    let mut flat = definition(&["docs"]);
    flat.options.include_subfolders = false;
    let preview = alice.preview_set(&flat).await.unwrap();
    assert_eq!((preview.folders, preview.documents), (1, 1));
    assert_eq!(preview.skipped[0].path, "docs/sub");
    assert_eq!(
        alice.sync_sets(None, 10).await.unwrap().len(),
        1,
        "nothing was made"
    );
}

#[tokio::test]
async fn r_set_6_a_folder_that_cannot_be_listed_is_told_and_the_rest_is_counted() {
    let fixture = Fixture::new().await;
    let nodes = [
        folder("docs"),
        at("docs/a", document("a")),
        at("docs/closed", folder("closed")),
    ];
    let answers = repository_of(&nodes);
    fixture.agent(Side::OnPremise, move |command| match &command {
        Command::ListFolder { folder, .. } if folder.0 == "docs/closed" => {
            Some(Reply::Refused("permission denied".to_owned()))
        }
        _ => answers(command),
    });
    fixture.agent(Side::Cloud, repository_of(&[folder("inbox")]));
    let alice = fixture.alice().await;
    let preview = alice.preview_set(&definition(&["docs"])).await.unwrap();
    assert_eq!((preview.folders, preview.documents), (2, 1));
    assert_eq!(preview.skipped[0].reason, "it cannot be listed now");
}

#[tokio::test]
async fn r_set_6_documents_that_would_be_skipped_or_clash_are_told() {
    let fixture = Fixture::new().await;
    let mut locked = document("locked");
    locked.locked_for_editing = true;
    let nodes = [
        at("x/a", document("a")),
        at("y/a", document("a")),
        document("b"),
        locked,
    ];
    fixture.agent(Side::OnPremise, repository_of(&nodes));
    let there = at("inbox/b", document("b"));
    fixture.agent(Side::Cloud, repository_of(&[folder("inbox"), there]));
    let alice = fixture.alice().await;
    let chosen = definition(&["x/a", "y/a", "b", "locked"]);
    let preview = alice.preview_set(&chosen).await.unwrap();
    assert_eq!((preview.kind, preview.documents), (SetKind::Documents, 3));
    assert_eq!(preview.skipped.len(), 1);
    let clashes: Vec<(&str, &str)> = preview
        .clashes
        .iter()
        .map(|clash| (clash.node.0.as_str(), clash.holder.0.as_str()))
        .collect();
    assert_eq!(clashes, [("y/a", "x/a"), ("b", "inbox/b")]);
    let mut into_new = chosen;
    into_new.new_folder = Some(NewFolder {
        name: "March".to_owned(),
        ..NewFolder::default()
    });
    let preview = alice.preview_set(&into_new).await.unwrap();
    assert_eq!(preview.clashes.len(), 1, "a new folder is empty");
    into_new.new_folder = Some(NewFolder {
        name: "b".to_owned(),
        ..NewFolder::default()
    });
    let taken = alice.preview_set(&into_new).await;
    assert!(matches!(taken, Err(Error::InvalidField { field, .. }) if field.ends_with("name")));
}

#[tokio::test]
async fn r_set_6_the_same_checks_refuse() {
    let fixture = Fixture::new().await;
    fixture.synced(Options::default(), &["a"]).await;
    fixture.agent(
        Side::OnPremise,
        repository_of(&[folder("docs"), document("b")]),
    );
    fixture.agent(Side::Cloud, |_| one(folder("inbox")));
    let alice = fixture.alice().await;
    let synced = alice.preview_set(&definition(&["docs"])).await;
    assert!(matches!(synced, Err(Error::AlreadySynced { .. })));
    let missing = alice.preview_set(&definition(&["none"])).await;
    assert!(matches!(missing, Err(Error::NodeNotFound { .. })));
    let mixed = alice.preview_set(&definition(&["docs", "b"])).await;
    assert!(matches!(mixed, Err(Error::MixedSelection { .. })));
    let viewer = fixture.user("eve", Role::Viewer).await;
    let refused = viewer.preview_set(&definition(&["b"])).await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
}
