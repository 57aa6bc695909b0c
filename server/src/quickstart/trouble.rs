//! What does not sync, and why: failed members and skipped nodes, as tables for people and as JSON for programs.

use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};
use tandem_client::cli::clean;
use tandem_client::client::Client;
use tandem_client::error::Error;
use tandem_proto::v1 as wire;

use super::setup::NETWORK;

/// So many of each are shown; `tandem` shows all.
const SHOWN_MAX: i32 = 1000;

/// The failed members and the skipped nodes of a set.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Trouble {
    failed: Vec<wire::Member>,
    skipped: Vec<wire::SkippedCopy>,
    /// There are more of one or the other than are shown.
    more: [bool; 2],
    /// Conflicts that wait for a person (R-CON-3).
    pub(super) open_conflicts: usize,
}

impl Trouble {
    /// Asks the coordinator.
    pub(super) async fn of(client: &Client, set: &wire::SyncSet) -> anyhow::Result<Self> {
        let members = wire::ListMembersRequest {
            parent: set.name.clone(),
            page_size: SHOWN_MAX,
            state: wire::MemberState::Failed.into(),
            ..Default::default()
        };
        let nodes = wire::ListSkippedNodesRequest {
            parent: set.name.clone(),
            page_size: SHOWN_MAX,
            ..Default::default()
        };
        let mut service = client.members();
        let failed = service.list_members(members).await.map_err(Error::from);
        let failed = failed.context("failed members cannot be listed")?;
        let skipped = service.list_skipped_nodes(nodes).await.map_err(Error::from);
        let skipped = skipped.context("skipped nodes cannot be listed")?;
        let (failed, skipped) = (failed.into_inner(), skipped.into_inner());
        Ok(Self {
            open_conflicts: open_conflicts(client).await?,
            more: [&failed.next_page_token, &skipped.next_page_token].map(|next| !next.is_empty()),
            failed: failed.members,
            skipped: skipped.nodes,
        })
    }

    /// The failed members, for programs.
    pub(super) fn failed_json(&self) -> Vec<Value> {
        self.failed.iter().map(failed_json).collect()
    }

    /// The skipped nodes, for programs.
    pub(super) fn skipped_json(&self) -> Vec<Value> {
        let one = |node: &wire::SkippedCopy| {
            json!({
                "path": node.path,
                "side": side_name(node.side()),
                "node_id": node.node_id,
                "reason": node.reason,
            })
        };
        self.skipped.iter().map(one).collect()
    }

    /// A table of the failed members; nothing where none failed.
    pub(super) fn failed_table(&self) -> Option<String> {
        let headings = ["FAILED", "SIDE", "REASON", "REMEDY", "TRIED AGAIN"];
        let rows = self.failed.iter().map(failed_row);
        (!self.failed.is_empty()).then(|| table(headings, rows, self.more[0]))
    }

    /// A table of the skipped nodes; nothing where none are.
    pub(super) fn skipped_table(&self) -> Option<String> {
        let rows = self.skipped.iter().map(|node| {
            let side = side_text(node.side()).to_owned();
            [clean(&node.path), side, node.reason.clone()]
        });
        let headings = ["SKIPPED", "SIDE", "REASON"];
        (!self.skipped.is_empty()).then(|| table(headings, rows, self.more[1]))
    }
}

async fn open_conflicts(client: &Client) -> anyhow::Result<usize> {
    let conflicts = wire::ListConflictsRequest {
        parent: NETWORK.to_owned(),
        page_size: SHOWN_MAX,
        ..Default::default()
    };
    let found = client.conflicts().list_conflicts(conflicts).await;
    let found = found
        .map_err(Error::from)
        .context("conflicts cannot be listed")?;
    let found = found.into_inner().conflicts.into_iter();
    Ok(found
        .filter(|conflict| conflict.state() == wire::ConflictState::Open)
        .count())
}

fn table<const N: usize>(
    headings: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    more: bool,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headings);
    for row in rows {
        table.add_row(row);
    }
    let rest = if more { "\nand more; see `tandem`" } else { "" };
    format!("{}{rest}", table.trim_fmt())
}

fn failed_row(member: &wire::Member) -> [String; 5] {
    let failure = member.failure.clone().unwrap_or_default();
    let reason = format!("{}: {}", reason(&failure), clean(&failure.message));
    [
        clean(path(member)),
        side_text(side(member, &failure)).to_owned(),
        reason,
        failure.remedy.clone(),
        tried_again(&failure),
    ]
}

fn failed_json(member: &wire::Member) -> Value {
    let failure = member.failure.clone().unwrap_or_default();
    json!({
        "path": path(member),
        "side": side_name(side(member, &failure)),
        "reason": reason(&failure),
        "message": failure.message,
        "detail": failure.detail,
        "remedy": failure.remedy,
        "tried_again": tried_again(&failure),
        "next_try": failure.next_try.map(|at| at.to_string()),
    })
}

fn path(member: &wire::Member) -> &str {
    let copy = member.on_premise.as_ref().or(member.cloud.as_ref());
    copy.map_or("", |copy| copy.path.as_str())
}

fn reason(failure: &wire::Failure) -> &'static str {
    failure
        .reason()
        .as_str_name()
        .trim_start_matches("FAILURE_REASON_")
}

/// The side that could not be made so; where nobody told, the one without a copy.
fn side(member: &wire::Member, failure: &wire::Failure) -> wire::Side {
    match (failure.side(), &member.on_premise, &member.cloud) {
        (wire::Side::Unspecified, Some(_), None) => wire::Side::Cloud,
        (wire::Side::Unspecified, None, Some(_)) => wire::Side::OnPremise,
        (told, ..) => told,
    }
}

fn side_name(side: wire::Side) -> &'static str {
    side.as_str_name().trim_start_matches("SIDE_")
}

fn side_text(side: wire::Side) -> &'static str {
    match side {
        wire::Side::OnPremise => "on-premise",
        wire::Side::Cloud => "cloud",
        wire::Side::Unspecified => "both",
    }
}

/// When it is tried again (R-ERR-1).
fn tried_again(failure: &wire::Failure) -> String {
    match (failure.next_try, failure.retry_class()) {
        (Some(at), _) => format!("at {at}, and when the cause is seen to change"),
        (None, wire::RetryClass::Decision) => "when somebody requests it".to_owned(),
        (None, _) => "when the cause is seen to change".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clash() -> wire::Member {
        let failure = wire::Failure {
            reason: wire::FailureReason::TargetFolderNameClash.into(),
            message: "another node has that name".to_owned(),
            remedy: "rename one of the two nodes".to_owned(),
            retry_class: wire::RetryClass::Fix.into(),
            ..wire::Failure::default()
        };
        let copy = wire::MemberCopy {
            path: "contracts/a\u{1b}.txt".to_owned(),
            ..wire::MemberCopy::default()
        };
        wire::Member {
            failure: Some(failure),
            on_premise: Some(copy),
            ..wire::Member::default()
        }
    }

    fn link() -> wire::SkippedCopy {
        wire::SkippedCopy {
            side: wire::Side::Cloud.into(),
            node_id: "1".to_owned(),
            path: "contracts/link".to_owned(),
            kind: wire::NodeKind::Document.into(),
            reason: "a link is never followed".to_owned(),
        }
    }

    #[test]
    fn tables_tell_path_side_reason_remedy_and_when() {
        let trouble = Trouble {
            failed: vec![clash()],
            skipped: vec![link()],
            more: [false, true],
            open_conflicts: 0,
        };
        let table = trouble.failed_table().unwrap();
        for part in [
            "contracts/a\\u{1b}.txt",
            "cloud",
            "TARGET_FOLDER_NAME_CLASH: another node",
            "rename one",
            "when the cause is seen to change",
        ] {
            assert!(table.contains(part), "{part} in\n{table}");
        }
        let table = trouble.skipped_table().unwrap();
        assert!(table.contains("a link is never followed") && table.ends_with("see `tandem`"));
        assert_eq!(Trouble::default().failed_table(), None);
        assert_eq!(Trouble::default().skipped_table(), None);
    }

    #[test]
    fn programs_are_told_the_same() {
        let mut decided = clash();
        let failure = decided.failure.as_mut().unwrap();
        failure.side = wire::Side::OnPremise.into();
        failure.next_try = Some(prost_types::Timestamp {
            seconds: 0,
            nanos: 0,
        });
        let trouble = Trouble {
            failed: vec![clash(), decided],
            skipped: vec![link()],
            more: [false; 2],
            open_conflicts: 0,
        };
        let failed = trouble.failed_json();
        assert_eq!(failed[0]["side"], "CLOUD");
        assert_eq!(failed[0]["next_try"], Value::Null);
        assert_eq!(failed[1]["side"], "ON_PREMISE");
        assert_eq!(failed[1]["next_try"], "1970-01-01T00:00:00Z");
        assert_eq!(trouble.skipped_json()[0]["side"], "CLOUD");
    }
}
