//! Browsing and making target folders (R-SET-3).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use crate::domain::access::{Role, Side};
use crate::domain::ids::NodeId;
use crate::domain::projection::NodeKind;
use crate::service::Error;
use crate::service::command::{Command, NewFolder, Reply};
use crate::service::nodes::NodeChoice;
use crate::service::testing::{Fixture, folder, new_set, one};

/// The folders that a cloud was asked to make, by request.
type Made = Arc<Mutex<BTreeMap<Uuid, NewFolder>>>;

/// A cloud with `inbox` that makes what it is asked for, once for each request.
fn cloud(fixture: &Fixture) -> Made {
    let made = Made::default();
    let making = made.clone();
    fixture.agent(Side::Cloud, move |command| match command {
        Command::CreateFolder {
            parent,
            folder: new,
            request,
            ..
        } => {
            assert_eq!(parent.0, "inbox");
            making.lock().unwrap().insert(request, new.clone());
            one(folder(&new.name))
        }
        _ => one(folder("inbox")),
    });
    made
}

fn march() -> NewFolder {
    NewFolder {
        name: "March".to_owned(),
        title: "For the auditors".to_owned(),
        description: String::new(),
    }
}

#[tokio::test]
async fn r_set_3_target_folders_are_browsed_page_by_page() {
    let fixture = Fixture::new().await;
    fixture.agent(Side::Cloud, |command| match command {
        Command::ResolveNodes { .. } => one(folder("root")),
        Command::ListFolder {
            folder: of,
            after,
            max,
        } => {
            assert_eq!((of.0.as_str(), max), ("root", 2));
            let mut document = folder("b-document");
            document.kind = NodeKind::Document;
            Some(match after.0.as_str() {
                "" => Reply::Nodes(vec![folder("a"), document], true),
                "b-document" => Reply::Nodes(vec![folder("c")], false),
                other => panic!("{other}"),
            })
        }
        Command::CreateFolder { .. }
        | Command::VerifyAccount { .. }
        | Command::CheckAccess { .. } => None,
    });
    let viewer = fixture.user("eve", Role::Viewer).await;
    let root = NodeChoice::Path(String::new());
    let (page, next) = viewer
        .browse_folders("cloud", &root, None, 2)
        .await
        .unwrap();
    assert_eq!((page.len(), page[0].name.as_str()), (1, "a"));
    let (page, next) = viewer
        .browse_folders("cloud", &root, next, 2)
        .await
        .unwrap();
    assert_eq!((page[0].name.as_str(), next), ("c", None));
    let refused = viewer.browse_folders("hq", &root, None, 2).await;
    assert!(matches!(refused, Err(Error::InvalidField { .. })));
}

#[tokio::test]
async fn r_set_3_a_new_target_folder_is_made_in_the_same_call_and_once() {
    let fixture = Fixture::new().await;
    fixture.agent(Side::OnPremise, |_| one(folder("docs")));
    let made = cloud(&fixture);
    let alice = fixture.alice().await;
    let mut new = new_set();
    let request = Uuid::now_v7();
    new.request_id = Some(request);
    new.definition.new_folder = Some(march());
    let set = alice.create_set(&new).await.unwrap().set;
    assert_eq!(set.set.target, NodeId("March".to_owned()));
    assert_eq!(*made.lock().unwrap(), [(request, march())].into());
    let again = alice.create_set(&new).await.unwrap().set;
    assert_eq!(again.set.id, set.set.id);
    assert_eq!(made.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn r_set_3_nothing_is_made_for_a_set_that_is_refused() {
    let fixture = Fixture::new().await;
    fixture.agent(Side::OnPremise, |_| {
        let mut info = folder("docs");
        info.library_root = true;
        one(info)
    });
    let made = cloud(&fixture);
    let alice = fixture.alice().await;
    let mut new = new_set();
    new.definition.new_folder = Some(march());
    let refused = alice.create_set(&new).await;
    assert!(matches!(refused, Err(Error::LibraryRoot { .. })));
    new.definition.new_folder = Some(NewFolder {
        name: "a/b".to_owned(),
        ..march()
    });
    let refused = alice.create_set(&new).await.unwrap_err();
    assert!(
        matches!(&refused, Error::InvalidField { field, .. } if field == "definition.new_target_folder.name"),
        "{refused:?}"
    );
    assert!(made.lock().unwrap().is_empty());
}

#[tokio::test]
async fn r_set_3_a_target_folder_is_made_alone_by_users_in_folders_only() {
    let fixture = Fixture::new().await;
    let made = cloud(&fixture);
    let inbox = NodeChoice::Path("inbox".to_owned());
    let alice = fixture.alice().await;
    let request = Some(Uuid::now_v7());
    let folder_of = async || {
        alice
            .create_folder("cloud", &inbox, &march(), request)
            .await
    };
    assert_eq!(folder_of().await.unwrap().name, "March");
    folder_of().await.unwrap();
    assert_eq!(made.lock().unwrap().len(), 1);
    let viewer = fixture.user("eve", Role::Viewer).await;
    let refused = viewer.create_folder("cloud", &inbox, &march(), None).await;
    assert!(matches!(refused, Err(Error::NotAllowed)));
    let refused = alice.create_folder("hq", &inbox, &march(), None).await;
    assert!(matches!(refused, Err(Error::InvalidField { .. })));
    let long = NewFolder {
        title: "x".repeat(2_000),
        ..march()
    };
    let refused = alice.create_folder("cloud", &inbox, &long, None).await;
    assert!(matches!(refused, Err(Error::InvalidField { field, .. }) if field == "title"));
    fixture.agent(Side::Cloud, |command| match command {
        Command::ResolveNodes { .. } => {
            let mut info = folder("inbox");
            info.kind = NodeKind::Document;
            one(info)
        }
        _ => Some(Reply::Done),
    });
    let refused = alice.create_folder("cloud", &inbox, &march(), None).await;
    assert!(matches!(refused, Err(Error::TargetNotUsable { .. })));
}
