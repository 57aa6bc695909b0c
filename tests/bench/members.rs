//! What one change costs in a small and in a large set; both agents are led by hand, so that only the coordinator works.

use std::time::Instant;

use anyhow::{Context, Result};
use tandem_proto::v1::{
    ChangeItem, Delivery, Observation, Outcome, Side, SyncSetOptions, change_item,
    delivery::Action, outcome, place,
};
use tandem_tests::{
    coordinator::Coordinator,
    hand_agent::{FOLDER, HandAgent, applied, document, hello, observed},
};
use tokio::task::JoinHandle;

use crate::{report::Report, statistics::median};

const NETWORK: &str = "acme";
const SMALL: usize = 10_000;
const LARGE: usize = 1_000_000;
const FOLDER_MEMBERS: usize = 500;
const CHANGES: usize = 200;
/// Deliveries that are answered together at most.
const ANSWERS_MAX: usize = 500;

/// The median time of one change, from its batch to the accepted outcome of the other side.
pub(crate) async fn one_change(report: &mut Report) -> Result<()> {
    const NAME: &str = "one change in a large set";
    let small = Box::pin(Stage::filled(SMALL)).await?.change_ms().await?;
    let started = Instant::now();
    let mut stage = Box::pin(Stage::filled(LARGE)).await?;
    report.note(
        NAME,
        "1,000,000 members pushed",
        started.elapsed().as_secs_f64(),
        "s",
    );
    let large = stage.change_ms().await?;
    report.note(NAME, "median at 10,000 members", small, "ms");
    report.note(NAME, "median at 1,000,000 members", large, "ms");
    report.judge(NAME, "1,000,000 / 10,000", large / small, "times", 1.3);
    Ok(())
}

/// A coordinator, its two agents and a set.
struct Stage {
    on_premise: HandAgent,
    cloud: HandAgent,
    members: usize,
    // It ends with the stage.
    _coordinator: Coordinator,
}

impl Stage {
    async fn filled(members: usize) -> Result<Self> {
        let coordinator = Coordinator::start().await?;
        coordinator.network(NETWORK).await?;
        let mut on_premise = agent(&coordinator, Side::OnPremise).await?;
        let mut cloud = agent(&coordinator, Side::Cloud).await?;
        let options = SyncSetOptions::default();
        let made = coordinator.create_set(NETWORK, FOLDER, options);
        let answered = on_premise.while_answering(made);
        Box::pin(cloud.while_answering(answered)).await???;
        on_premise.scan().await?;
        let receiver = receive(cloud, 1 + members + members.div_ceil(FOLDER_MEMBERS));
        for folder in 0..members.div_ceil(FOLDER_MEMBERS) {
            let mut items = vec![observed(tandem_tests::hand_agent::folder(
                &folder_id(folder),
                &folder_id(folder),
            ))];
            let numbers = folder * FOLDER_MEMBERS..members.min((folder + 1) * FOLDER_MEMBERS);
            items.extend(numbers.map(|number| observed(member(number, "the same in all"))));
            on_premise.tell(items).await?;
        }
        let cloud = receiver.await??;
        Ok(Self {
            on_premise,
            cloud,
            members,
            _coordinator: coordinator,
        })
    }

    async fn change_ms(&mut self) -> Result<f64> {
        let mut times = Vec::new();
        for change in 0..CHANGES {
            let number = change * (self.members / CHANGES);
            let change = observed(member(number, &format!("change {change}")));
            let started = Instant::now();
            self.on_premise.tell(vec![change]).await?;
            let delivery = self.cloud.delivery().await?;
            self.cloud.tell(vec![answer(&delivery)?]).await?;
            times.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(median(&times))
    }
}

async fn agent(coordinator: &Coordinator, side: Side) -> Result<HandAgent> {
    let repository = tandem_tests::agents::repository_of(side);
    let client = coordinator.agent(NETWORK, repository).await?;
    HandAgent::open(&client, hello(NETWORK, repository, side)).await
}

fn folder_id(number: usize) -> String {
    format!("folder-{number:04}")
}

fn member(number: usize, content: &str) -> Observation {
    let name = format!("document-{number:07}");
    Observation {
        parent_node_id: folder_id(number / FOLDER_MEMBERS),
        ..document(&name, &name, content)
    }
}

/// Takes every delivery and does what it says, until so many are done.
fn receive(mut cloud: HandAgent, members: usize) -> JoinHandle<Result<HandAgent>> {
    tokio::spawn(async move {
        let mut done = 0;
        while done < members {
            let first = cloud.delivery().await?;
            let more = cloud.deliveries.len().min(ANSWERS_MAX - 1);
            let rest = cloud.deliveries.drain(..more).collect::<Vec<_>>();
            let answers: Result<Vec<_>> = [first].iter().chain(&rest).map(answer).collect();
            done += rest.len() + 1;
            cloud.tell(answers?).await?;
            if done % 100_000 < ANSWERS_MAX {
                eprintln!("  {done} members");
            }
        }
        Ok(cloud)
    })
}

/// The outcome of an agent that does as it is told, and names what it makes after the member.
fn answer(delivery: &Delivery) -> Result<ChangeItem> {
    let id = delivery.id.as_ref().context("a delivery without an id")?;
    let mut outcome = applied(delivery)?;
    let Some(Action::Create(create)) = &delivery.action else {
        return Ok(outcome);
    };
    let folder = create
        .parent
        .as_ref()
        .and_then(|place| place.folder.clone());
    let parent = match folder.context("a node without a folder")? {
        place::Folder::NodeId(node) => node,
        place::Folder::MemberId(member) => named_after(&member),
    };
    if let Some(result) = result_of(&mut outcome) {
        result.node_id = named_after(&id.member_id);
        result.parent_node_id = parent;
    }
    Ok(outcome)
}

fn named_after(member: &[u8]) -> String {
    member.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn result_of(item: &mut ChangeItem) -> Option<&mut Observation> {
    match &mut item.item {
        Some(change_item::Item::Outcome(Outcome {
            answer: Some(outcome::Answer::Applied(applied)),
            ..
        })) => applied.result.as_mut(),
        _ => None,
    }
}
