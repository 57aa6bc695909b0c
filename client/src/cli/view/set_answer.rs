//! What became of each of several sync sets.

use serde::Serialize;
use tandem_proto::v1::SetAnswer;

use super::{
    Row,
    label::{self, Label},
    text,
};
use crate::cli::ids::short;

/// What became of one sync set.
#[derive(Debug, Serialize)]
pub(crate) struct SetAnswerView {
    name: String,
    /// It is done.
    pub(crate) done: bool,
    reason: Label,
    message: Option<String>,
}

impl From<SetAnswer> for SetAnswerView {
    fn from(answer: SetAnswer) -> Self {
        let reason = label::error_reason(answer.reason());
        Self {
            done: reason.is_none(),
            reason,
            name: answer.name,
            message: Some(answer.message).filter(|message| !message.is_empty()),
        }
    }
}

impl Row for SetAnswerView {
    const HEADINGS: &'static [&'static str] = &["SET", "RESULT", "MESSAGE"];
    const EMPTY: &'static str = "No sync sets were named.";

    fn cells(&self) -> Vec<String> {
        vec![
            short(&self.name),
            self.reason.unwrap_or("DONE").to_owned(),
            text::or_dash(self.message.as_deref().unwrap_or_default()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::ErrorReason;

    use super::*;
    use crate::cli::paging::Listed;
    use crate::cli::view::Show;

    #[test]
    fn r_adm_1_each_set_is_answered() {
        let answer = |uid: &str, reason: ErrorReason, message: &str| SetAnswer {
            name: format!("networks/default/syncSets/{uid}"),
            reason: reason.into(),
            message: message.to_owned(),
        };
        let answers = [
            answer("s1", ErrorReason::Unspecified, ""),
            answer("s2", ErrorReason::SyncSetNotFound, "there is none"),
        ];
        let listed: Listed<SetAnswerView> = Listed {
            items: answers.map(Into::into).into(),
            more: false,
        };
        assert_eq!(
            listed.human(),
            "SET  RESULT              MESSAGE\n\
             s1   DONE                -\n\
             s2   SYNC_SET_NOT_FOUND  there is none\n"
        );
        assert!(!listed.items[1].done);
    }
}
