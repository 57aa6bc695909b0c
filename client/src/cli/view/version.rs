//! Kept versions.

use serde::Serialize;
use tandem_proto::v1::Version;

use super::{
    Row,
    content::ContentView,
    label::{self, Label},
    text, time,
};
use crate::cli::ids::short;

/// Content that was kept of a member.
#[derive(Debug, Serialize)]
pub(crate) struct VersionView {
    name: String,
    content: Option<ContentView>,
    side: Label,
    reason: Label,
    create_time: Option<String>,
    keep_until: Option<String>,
}

impl From<Version> for VersionView {
    fn from(version: Version) -> Self {
        Self {
            side: label::side(version.side()),
            reason: label::version_reason(version.reason()),
            create_time: time::rfc3339(version.create_time.as_ref()),
            keep_until: time::rfc3339(version.keep_until.as_ref()),
            name: version.name,
            content: version.content.map(Into::into),
        }
    }
}

impl Row for VersionView {
    const HEADINGS: &'static [&'static str] = &[
        "ACCEPTED",
        "WHY KEPT",
        "FROM",
        "CONTENT",
        "KEPT UNTIL",
        "VERSION",
    ];
    const EMPTY: &'static str = "No version of this member is kept.";

    fn cells(&self) -> Vec<String> {
        let until = match &self.keep_until {
            Some(until) => time::readable(Some(until)),
            None => "no end".to_owned(),
        };
        vec![
            time::readable(self.create_time.as_deref()),
            label::readable(self.reason),
            label::readable(self.side),
            self.content
                .as_ref()
                .map_or_else(|| text::NOTHING.to_owned(), ContentView::readable),
            until,
            short(&self.name),
        ]
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::{ContentRef, Side, VersionReason};

    use super::*;
    use crate::cli::{paging::Listed, view::Show};

    #[test]
    fn versions_are_listed_under_names_that_can_be_given_back() {
        let version = Version {
            name: "networks/default/syncSets/s1/members/m1/versions/v1".to_owned(),
            content: Some(ContentRef {
                digest: vec![0xff; 32].into(),
                size: 1,
                inline: None,
            }),
            side: Side::OnPremise.into(),
            reason: VersionReason::ConflictLoser.into(),
            ..Version::default()
        };
        let listed: Listed<VersionView> = Listed {
            items: vec![version.into()],
            more: false,
        };
        assert_eq!(
            listed.human(),
            "ACCEPTED  WHY KEPT        FROM        CONTENT                   KEPT UNTIL  VERSION\n\
             -         CONFLICT_LOSER  ON_PREMISE  1 B, sha256 ffffffffffff  no end      s1/m1/v1\n"
        );
    }
}
