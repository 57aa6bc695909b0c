//! What `member request-sync` and `member watch` tell.

use serde::Serialize;
use tandem_proto::v1::WatchMembersResponse;

use super::{Show, member::MemberView, text};

/// How many members are to be synced now.
#[derive(Debug, Serialize)]
pub(crate) struct Requested {
    pub(crate) requested: i64,
}

impl Show for Requested {
    fn human(&self) -> String {
        match self.requested {
            0 => "There was nothing to sync.\n".to_owned(),
            1 => "1 member is synced now.\n".to_owned(),
            many => format!("{many} members are synced now.\n"),
        }
    }
}

/// A step of what is watched.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Step {
    /// A member as it is now.
    Member(Box<MemberView>),
    /// A membership ended.
    Removed { uid: String },
    /// Everything up to now was told.
    Current,
}

impl Step {
    /// The steps that a message tells of.
    pub(crate) fn all(message: WatchMembersResponse) -> Vec<Self> {
        let mut steps = Vec::new();
        if let Some(member) = message.member {
            steps.push(Self::Member(Box::new(member.into())));
        }
        if !message.removed_uid.is_empty() {
            steps.push(Self::Removed {
                uid: message.removed_uid,
            });
        }
        if message.current {
            steps.push(Self::Current);
        }
        steps
    }
}

impl Show for Step {
    fn human(&self) -> String {
        match self {
            Self::Member(member) => {
                let mut line =
                    text::clean(&format!("{}  {}", member.readable_state(), member.place())) + "\n";
                if let Some(failure) = &member.failure {
                    line.push_str(&failure.note(&member.place()));
                }
                line
            }
            Self::Removed { uid } => format!("ENDED  {}\n", text::clean(uid)),
            Self::Current => "(this is all for now; waiting for changes)\n".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{Member, MemberCopy, MemberState};

    use super::*;

    #[test]
    fn a_watch_tells_members_then_ends_then_that_this_is_all() {
        let member = Member {
            state: MemberState::Synced.into(),
            cloud: Some(MemberCopy {
                path: "contracts/a.txt".to_owned(),
                ..MemberCopy::default()
            }),
            ..Member::default()
        };
        let steps = Step::all(WatchMembersResponse {
            member: Some(member),
            removed_uid: "m2".to_owned(),
            current: true,
        });
        let human: String = steps.iter().map(Show::human).collect();
        assert_eq!(
            human,
            "SYNCED  contracts/a.txt\nENDED  m2\n(this is all for now; waiting for changes)\n"
        );
        let json = serde_json::to_value(&steps[0]).expect("it is JSON");
        assert_eq!(json["type"], "member");
        assert_eq!(json["cloud"]["path"], "contracts/a.txt");
        assert_eq!(json["failure"], serde_json::Value::Null);
    }
}
