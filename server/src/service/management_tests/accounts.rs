//! Links of accounts (R-IDN-1), and what is refused without one (R-SET-4).

use std::sync::{Arc, Mutex};

use crate::domain::access::{Role, Side};
use crate::domain::failure::Reason;
use crate::domain::member::MemberState;
use crate::domain::report::{Answer, Item};
use crate::domain::sync_set::Options;
use crate::service::accounts::NewLink;
use crate::service::command::{Access, Command, Credential, Reply};
use crate::service::testing::{ALICE, Fixture, NOW, folder, new_set, one, present};
use crate::service::{Error, UserScope};
use crate::storage::sync::due::After;

const SECRET: &str = "open sesame";

/// The account to which a user is linked.
pub(super) fn new_link(user: &str) -> NewLink {
    NewLink {
        repository: "cloud".to_owned(),
        user: user.to_owned(),
        account: "alice@cloud".to_owned(),
        credential: Credential(SECRET.to_owned()),
    }
}

/// A cloud with users and a folder `inbox`, which is shown credentials and accepts one; it repeats what it refuses.
async fn cloud(fixture: &Fixture) -> Arc<Mutex<Vec<String>>> {
    fixture.declare_users(Side::Cloud).await;
    fixture.agent(Side::OnPremise, |_| one(folder("docs")));
    let shown = Arc::new(Mutex::new(Vec::new()));
    let seen = shown.clone();
    fixture.agent(Side::Cloud, move |command| match command {
        Command::VerifyAccount { credential, .. } => {
            seen.lock().unwrap().push(credential.0.clone());
            Some(match credential.0.as_str() {
                SECRET => Reply::Done,
                other => Reply::Refused(format!("`{other}` opens nothing")),
            })
        }
        Command::CheckAccess { nodes, .. } => {
            let all = Access {
                read: true,
                write: true,
                delete: true,
            };
            Some(Reply::Access(
                nodes.into_iter().map(|node| (node, all)).collect(),
            ))
        }
        _ => one(folder("inbox")),
    });
    shown
}

async fn refused(scope: &UserScope, link: NewLink) -> Error {
    scope.link_account(link).await.unwrap_err()
}

#[tokio::test]
async fn r_idn_1_an_account_is_linked_once_its_agent_has_verified_it() {
    let fixture = Fixture::new().await;
    let shown = cloud(&fixture).await;
    let alice = fixture.alice().await;
    let none = alice.account_link("cloud", "").await;
    assert!(matches!(none, Err(Error::AccountLinkNotFound { .. })));
    let wrong = NewLink {
        credential: Credential("a wrong one".to_owned()),
        ..new_link("")
    };
    assert!(!format!("{wrong:?}").contains("wrong one"), "{wrong:?}");
    let error = refused(&alice, wrong).await;
    assert!(matches!(error, Error::AccountRefused { .. }), "{error:?}");
    assert!(error.to_string().contains("opens nothing"), "{error}");
    assert!(
        !error.to_string().contains("a wrong one"),
        "R-ERR-2: {error}"
    );
    let none = alice.account_link("cloud", "").await;
    assert!(matches!(none, Err(Error::AccountLinkNotFound { .. })));

    let linked = alice.link_account(new_link("")).await.unwrap();
    assert_eq!(
        (linked.owner.as_str(), linked.account.as_str()),
        (ALICE, "alice@cloud")
    );
    assert_eq!(alice.account_link("cloud", ALICE).await.unwrap(), linked);
    assert_eq!(*shown.lock().unwrap(), ["a wrong one", SECRET]);
    let journal = fixture.test.store.journal_after(fixture.network.id, 0, 10);
    let told = journal.await.unwrap();
    assert_eq!(told[0].message, "alice linked the account alice@cloud");
}

#[tokio::test]
async fn r_idn_1_users_link_their_own_account_and_admins_everybodys() {
    let fixture = Fixture::new().await;
    cloud(&fixture).await;
    let alice = fixture.alice().await;
    let error = refused(&alice, new_link("bob")).await;
    assert!(matches!(error, Error::NotAllowed));
    let seen = alice.account_link("cloud", "bob").await;
    assert!(matches!(seen, Err(Error::NotAllowed)));
    let viewer = fixture.user("eve", Role::Viewer).await;
    let error = refused(&viewer, new_link("")).await;
    assert!(matches!(error, Error::NotAllowed));
    let admin = fixture.user("root", Role::Admin).await;
    admin.link_account(new_link("bob")).await.unwrap();
    assert_eq!(
        admin.account_link("cloud", "bob").await.unwrap().owner,
        "bob"
    );
    for (link, wrong) in [
        (
            NewLink {
                repository: "hq".to_owned(),
                ..new_link("")
            },
            "repository",
        ),
        (
            NewLink {
                account: String::new(),
                ..new_link("")
            },
            "account",
        ),
        (
            NewLink {
                credential: Credential("x".repeat(20_000)),
                ..new_link("")
            },
            "credential",
        ),
    ] {
        let error = refused(&alice, link).await;
        assert!(
            matches!(&error, Error::InvalidField { field, .. } if field == wrong),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn r_set_4_a_cloud_with_users_takes_nothing_from_whoever_has_no_account_there() {
    let fixture = Fixture::new().await;
    cloud(&fixture).await;
    let alice = fixture.alice().await;
    let none = alice.create_set(&new_set()).await;
    assert!(matches!(none, Err(Error::AccountNotLinked { user, .. }) if user == ALICE));
    let none = alice.preview_set(&new_set().definition).await;
    assert!(matches!(none, Err(Error::AccountNotLinked { .. })));
    alice.link_account(new_link("")).await.unwrap();
    let set = alice.create_set(&new_set()).await.unwrap().set.set.id;
    let admin = fixture.principal("root", Role::Admin);
    let admin = fixture.coordinator.for_admin(&admin, "acme").await.unwrap();
    let answers = admin.transfer_ownership(&[set], "bob").await.unwrap();
    assert!(matches!(&answers[0].1, Err(Error::AccountNotLinked { user, .. }) if user == "bob"));
    admin.user.link_account(new_link("bob")).await.unwrap();
    let answers = admin.transfer_ownership(&[set], "bob").await.unwrap();
    assert!(answers[0].1.is_ok());
}

#[tokio::test]
async fn r_idn_1_pushes_act_as_the_account_and_a_new_link_tries_again_what_failed() {
    let fixture = Fixture::new().await;
    let view = fixture.synced(Options::default(), &["a"]).await;
    let (set, member) = (view.set.id, fixture.member_named(&view, "a").await);
    cloud(&fixture).await;
    let alice = fixture.alice().await;
    let edited = present("a", "docs", "2", Some("second".to_owned()));
    fixture.report(Side::OnPremise, vec![edited]).await;
    let store = &fixture.coordinator.store;
    let push = async || {
        let members = [member];
        let ready = store.deliveries(fixture.network.id, Side::Cloud, &members);
        let delivery = ready.await.unwrap()[0].0.clone();
        (delivery.act_as, delivery.owner)
    };
    assert_eq!(
        push().await,
        (ALICE.to_owned(), ALICE.to_owned()),
        "a cloud without users"
    );
    let version = alice.member(set, member).await.unwrap().member.version;
    let gone = Item::Outcome {
        member,
        version,
        answer: Answer::Failed {
            reason: Reason::AuthenticationError,
            message: "the credential is no longer accepted".to_owned(),
            detail: String::new(),
            retry_delay: None,
        },
    };
    fixture.batch(Side::Cloud, vec![gone]).await;
    let state = async || alice.member(set, member).await.unwrap().member.state;
    assert!(matches!(state().await, MemberState::Failed(_)));
    alice.link_account(new_link("")).await.unwrap();
    let mut bell = fixture.coordinator.wakeup.network(fixture.network.id);
    while state().await != MemberState::Pending {
        bell.changed().await.unwrap();
    }
    let due = store.due(fixture.cloud.id, After::default(), NOW, 10).await;
    assert_eq!(due.unwrap().len(), 1, "at once");
    assert_eq!(push().await, ("alice@cloud".to_owned(), ALICE.to_owned()));
}
