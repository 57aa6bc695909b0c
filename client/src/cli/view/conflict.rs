//! Conflicts.

use serde::Serialize;
use tandem_proto::v1::Conflict;

use super::{
    Row, Show,
    content::{self, ProjectionView},
    label::{self, Label},
    text, time,
};
use crate::cli::ids::short;

/// Both copies left the base, differently.
#[derive(Debug, Serialize)]
pub(crate) struct ConflictView {
    name: String,
    uid: String,
    member: String,
    kind: Label,
    state: Label,
    policy: Label,
    winner: Label,
    base: Option<ProjectionView>,
    on_premise: Option<ProjectionView>,
    on_premise_actor: String,
    cloud: Option<ProjectionView>,
    cloud_actor: String,
    create_time: Option<String>,
}

impl From<Conflict> for ConflictView {
    fn from(conflict: Conflict) -> Self {
        Self {
            kind: label::conflict_kind(conflict.kind()),
            state: label::conflict_state(conflict.state()),
            policy: label::conflict_policy(conflict.policy()),
            winner: label::side(conflict.winner()),
            create_time: time::rfc3339(conflict.create_time.as_ref()),
            name: conflict.name,
            uid: conflict.uid,
            member: conflict.member,
            base: conflict.base.map(Into::into),
            on_premise: conflict.on_premise.map(Into::into),
            on_premise_actor: conflict.on_premise_actor,
            cloud: conflict.cloud.map(Into::into),
            cloud_actor: conflict.cloud_actor,
        }
    }
}

impl ConflictView {
    /// The name that people know the node by.
    fn node_name(&self) -> String {
        let known = [&self.on_premise, &self.cloud, &self.base]
            .into_iter()
            .flatten()
            .next();
        known.map_or_else(
            || text::NOTHING.to_owned(),
            |projection| projection.name().to_owned(),
        )
    }
}

impl Row for ConflictView {
    const HEADINGS: &'static [&'static str] = &[
        "CONFLICT", "FOUND", "STATE", "KIND", "WINNER", "NAME", "MEMBER",
    ];
    const EMPTY: &'static str = "There are no conflicts.";

    fn cells(&self) -> Vec<String> {
        vec![
            self.uid.clone(),
            time::readable(self.create_time.as_deref()),
            label::readable(self.state),
            label::readable(self.kind),
            label::readable(self.winner),
            self.node_name(),
            short(&self.member),
        ]
    }

    fn notes(_: &[Self]) -> String {
        "\n`tandem conflict resolve CONFLICT --keep SIDE` decides an open one, \
         `tandem conflict restore CONFLICT` brings a loser back.\n"
            .to_owned()
    }
}

impl Show for ConflictView {
    fn human(&self) -> String {
        let by = |actor: &str| match actor {
            "" => String::new(),
            actor => format!(", by {actor}"),
        };
        let on_premise = content::readable(self.on_premise.as_ref(), "deleted");
        let cloud = content::readable(self.cloud.as_ref(), "deleted");
        text::fields(&[
            ("Conflict", self.uid.clone()),
            ("Member", short(&self.member)),
            ("Kind", label::readable(self.kind)),
            ("State", label::readable(self.state)),
            ("Winner", label::readable(self.winner)),
            ("Policy", label::readable(self.policy)),
            ("Found", time::readable(self.create_time.as_deref())),
            ("Base", content::readable(self.base.as_ref(), "none")),
            ("On-premise", on_premise + &by(&self.on_premise_actor)),
            ("Cloud", cloud + &by(&self.cloud_actor)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{
        ConflictKind, ConflictPolicy, ConflictState, NodeKind, Projection, Side,
    };

    use super::*;

    #[test]
    fn r_con_4_a_conflict_is_shown_with_both_sides() {
        let projection = |name: &str| Projection {
            kind: NodeKind::Folder.into(),
            name: name.to_owned(),
            ..Projection::default()
        };
        let view = ConflictView::from(Conflict {
            uid: "c1".to_owned(),
            member: "networks/default/syncSets/s1/members/m1".to_owned(),
            kind: ConflictKind::DeleteChange.into(),
            base: Some(projection("old")),
            cloud: Some(projection("new")),
            cloud_actor: "bert".to_owned(),
            policy: ConflictPolicy::CloudWins.into(),
            winner: Side::Cloud.into(),
            state: ConflictState::Resolved.into(),
            ..Conflict::default()
        });
        assert_eq!(
            view.human(),
            "Conflict:    c1\nMember:      s1/m1\nKind:        DELETE_CHANGE\nState:       RESOLVED\n\
             Winner:      CLOUD\nPolicy:      CLOUD_WINS\nFound:       -\nBase:        old\n\
             On-premise:  deleted\nCloud:       new, by bert\n"
        );
        assert_eq!(view.cells()[5], "new");
    }
}
