//! Accounts of a cloud repository with users: linked by those who own sets, used for what is pushed (R-IDN-1).

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tandem_client::agent::memory::{MemoryRepository, People, ROOT, Rules};
use tandem_client::error::Error;
use tandem_proto::v1::{ErrorReason, FailureReason, MemberState, Side, SyncSetOptions};
use tandem_tests::agents::{TaskAgent, memory};
use tandem_tests::coordinator::{CLOUD, Coordinator};
use tandem_tests::pair::PATIENCE;
use tandem_tests::wait::{eventually, poll};

const NETWORK: &str = "acme";
/// Whom `Coordinator::create_set` makes sets for.
const OWNER: &str = "operator";
const ACCOUNT: &str = "operator@cloud.example";
const CREDENTIAL: &str = "open-sesame-4711";
const OTHER_CREDENTIAL: &str = "close-sesame-4712";

/// A coordinator, and an agent on each side; the cloud has users.
struct Site {
    coordinator: Coordinator,
    on_premise: TaskAgent<MemoryRepository>,
    cloud: TaskAgent<MemoryRepository>,
}

impl Site {
    async fn start() -> Result<Self> {
        let coordinator = Coordinator::start().await?;
        coordinator.network(NETWORK).await?;
        let left = memory(Side::OnPremise, Rules::default());
        let right = memory(Side::Cloud, Rules::default());
        let folder = left.with(|tree| tree.create_folder(ROOT, "docs"))?;
        left.with(|tree| tree.create_document(&folder, "a.txt", "first"))?;
        right.with(|tree| {
            let people = tree.people.insert(People::default());
            people.add_account(ACCOUNT, CREDENTIAL);
        });
        Ok(Self {
            on_premise: TaskAgent::start(&coordinator, NETWORK, Side::OnPremise, left).await?,
            cloud: TaskAgent::start(&coordinator, NETWORK, Side::Cloud, right).await?,
            coordinator,
        })
    }

    /// `tandem account link`, with the credential in a file that is gone afterwards.
    async fn link(&self, credential: &str) -> Result<serde_json::Value> {
        let file = self.coordinator.directory().join("credential");
        fs::write(&file, format!("{credential}\n"))?;
        let path = file.to_string_lossy();
        let link = [
            "account",
            "link",
            CLOUD,
            ACCOUNT,
            "--credential-file",
            &path,
        ];
        let linked = self.coordinator.tandem(NETWORK, &link).await;
        fs::remove_file(&file)?;
        linked
    }

    async fn create(&self) -> Result<()> {
        let options = SyncSetOptions::default();
        let made = self.coordinator.create_set(NETWORK, "docs", options).await;
        made.map(|_| ())
    }

    /// Waits until the cloud's copy of `a.txt` holds this.
    async fn holds(&self, text: &str) -> Result<String> {
        let right = &self.cloud.repository;
        let copy = || right.with(|tree| tree.find("docs/a.txt"));
        let there = eventually(PATIENCE, "the text is on the cloud", || {
            let content = copy().and_then(|copy| right.with(|tree| tree.content(&copy)));
            content.as_deref() == Some(text.as_bytes())
        });
        there
            .await
            .context(self.coordinator.story(NETWORK).await?)?;
        copy().context("the copy is gone again")
    }

    /// No credential that was ever given lies in what the coordinator or the agents keep.
    fn assert_secrets_are_nowhere(&self) -> Result<()> {
        let (data, logs) = (self.coordinator.data(), self.coordinator.logs());
        let secrets = [CREDENTIAL, OTHER_CREDENTIAL, "a-wrong-one-4713"];
        let none: [String; 0] = [];
        assert_eq!(holding(data, &secrets)?, none, "while it runs");
        assert_eq!(holding(&logs, &secrets)?, none);
        assert_ne!(holding(data, &[ACCOUNT])?, none, "what is there is found");
        let directory = self.coordinator.directory();
        assert_eq!(holding(directory, &secrets)?, none, "nor in an outbox");
        Ok(())
    }

    async fn stop(mut self) -> Result<()> {
        self.on_premise.stop().await?;
        self.cloud.stop().await?;
        self.coordinator.stop().await
    }
}

fn reason(error: &anyhow::Error) -> Option<bool> {
    let status = error.downcast_ref::<tonic::Status>()?;
    Some(Error::from(status.clone()).is(ErrorReason::AccountNotLinked))
}

/// Every file below a directory that holds one of these texts.
fn holding(directory: &Path, texts: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(holding(&path, texts)?);
            continue;
        }
        let bytes = fs::read(&path)?;
        let holds = |text: &&str| {
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        if texts.iter().any(holds) {
            found.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

#[tokio::test]
async fn r_idn_1_pushes_act_as_the_linked_account_whose_credential_is_kept_by_the_agent_only()
-> Result<()> {
    let site = Site::start().await?;
    let refused = site.create().await.expect_err("nobody is linked");
    assert_eq!(reason(&refused), Some(true), "{refused:?}");

    let refused = site
        .link("a-wrong-one-4713")
        .await
        .expect_err("it is wrong");
    let said = format!("{refused:#}");
    assert!(said.contains("does not accept"), "{said}");
    assert!(!said.contains("a-wrong-one"), "{said}");
    let linked = site.link(CREDENTIAL).await?;
    assert_eq!(
        (&linked["user"], &linked["account"]),
        (&OWNER.into(), &ACCOUNT.into())
    );
    let shown = site
        .coordinator
        .tandem(NETWORK, &["account", "show", CLOUD])
        .await?;
    assert_eq!(shown, linked);

    site.create().await?;
    let copy = site.holds("first").await?;
    let actor = site
        .cloud
        .repository
        .with(|tree| tree.observation(&copy).actor);
    assert_eq!(actor, ACCOUNT, "a push acts as the cloud account");
    let edit = |text: &'static str| {
        let left = &site.on_premise.repository;
        left.with(|tree| {
            let node = tree.find("docs/a.txt").unwrap_or_default();
            tree.write(&node, text)
        })
    };
    site.cloud
        .repository
        .with(|tree| tree.write(&copy, "theirs"))?;
    let left = &site.on_premise.repository;
    let pulled = || {
        left.with(|tree| {
            let node = tree.find("docs/a.txt")?;
            Some((tree.content(&node)?, tree.observation(&node).actor))
        })
    };
    let there = ("theirs".into(), OWNER.to_owned());
    eventually(PATIENCE, "a pull acts as the owner", || {
        pulled() == Some(there.clone())
    })
    .await?;

    // The account gets another credential: the next push fails, until the account is linked again.
    site.cloud.repository.with(|tree| {
        let people = tree.people.get_or_insert_default();
        people.add_account(ACCOUNT, OTHER_CREDENTIAL);
    });
    edit("second")?;
    poll(PATIENCE, "the push fails", async || {
        let members = site.coordinator.members(NETWORK).await.ok()?;
        let failed = |state| state == MemberState::Failed;
        let failed = members.into_iter().find(|member| failed(member.state()))?;
        let reason = failed.failure?.reason();
        (reason == FailureReason::AuthenticationError).then_some(())
    })
    .await?;
    site.link(OTHER_CREDENTIAL).await?;
    site.holds("second").await?;

    site.assert_secrets_are_nowhere()?;
    site.stop().await
}

#[tokio::test]
async fn r_idn_1_a_new_target_folder_is_made_as_the_linked_account() -> Result<()> {
    let site = Site::start().await?;
    site.link(CREDENTIAL).await?;
    let create = [
        "set",
        "create",
        "--source",
        "hq:docs",
        "--target",
        CLOUD,
        "--new-folder",
        "inbox",
    ];
    let right = &site.cloud.repository;
    // The account gets another credential, which its agent does not have yet.
    let credential = |credential: &str| {
        right.with(|tree| {
            let people = tree.people.get_or_insert_default();
            people.add_account(ACCOUNT, credential);
        });
    };
    credential(OTHER_CREDENTIAL);
    let refused = site.coordinator.tandem(NETWORK, &create).await;
    let refused = format!("{:#}", refused.expect_err("the account does not work"));
    assert!(refused.contains(ACCOUNT), "{refused}");
    let folder = || right.with(|tree| tree.find("inbox"));
    assert_eq!(folder(), None);
    credential(CREDENTIAL);
    site.coordinator.tandem(NETWORK, &create).await?;
    let actor = folder().map(|folder| right.with(|tree| tree.observation(&folder).actor));
    assert_eq!(actor.as_deref(), Some(ACCOUNT));
    let pushed = || right.with(|tree| tree.find("inbox/docs/a.txt")).is_some();
    eventually(PATIENCE, "the set is pushed", pushed).await?;
    site.stop().await
}
