//! Repositories.

use serde::Serialize;
use tandem_proto::v1::Repository;

use super::{
    Row, Show,
    label::{self, Label},
    text, time,
};
use crate::cli::ids::short;

/// A content store that takes part.
#[derive(Debug, Serialize)]
pub(crate) struct RepositoryView {
    name: String,
    display_name: String,
    side: Label,
    connected: bool,
    installation_id: Option<String>,
    generation: i64,
    cloned: bool,
    paused: bool,
    create_time: Option<String>,
}

impl From<Repository> for RepositoryView {
    fn from(repository: Repository) -> Self {
        let bound = !repository.installation_id.is_empty();
        Self {
            side: label::side(repository.side()),
            create_time: time::rfc3339(repository.create_time.as_ref()),
            name: repository.name,
            display_name: repository.display_name,
            connected: repository.connected,
            installation_id: bound.then_some(repository.installation_id),
            generation: repository.generation,
            cloned: repository.cloned,
            paused: repository.paused,
        }
    }
}

impl RepositoryView {
    fn agent(&self) -> String {
        let paused = if self.paused { " (paused)" } else { "" };
        format!("{}{paused}", self.session())
    }

    fn session(&self) -> &'static str {
        match (self.cloned, self.connected, &self.installation_id) {
            (true, ..) => "cloned",
            (_, true, _) => "connected",
            (_, false, Some(_)) => "away",
            (_, false, None) => "never seen",
        }
    }
}

impl Row for RepositoryView {
    const HEADINGS: &'static [&'static str] = &[
        "REPOSITORY",
        "SIDE",
        "AGENT",
        "GENERATION",
        "CREATED",
        "DISPLAY NAME",
    ];
    const EMPTY: &'static str =
        "There are no repositories. `tandem repository create` registers one.";

    fn cells(&self) -> Vec<String> {
        vec![
            short(&self.name),
            label::readable(self.side),
            self.agent(),
            self.generation.to_string(),
            time::readable(self.create_time.as_deref()),
            text::or_dash(&self.display_name),
        ]
    }

    fn notes(repositories: &[Self]) -> String {
        if repositories.iter().any(|repository| repository.cloned) {
            return "\nA cloned repository takes part again after its copy was stopped, or after \
                    `tandem repository rebind`.\n"
                .to_owned();
        }
        String::new()
    }
}

impl Show for RepositoryView {
    fn human(&self) -> String {
        let fields = text::fields(&[
            ("Repository", short(&self.name)),
            ("Display name", text::or_dash(&self.display_name)),
            ("Side", label::readable(self.side)),
            ("Agent", self.agent()),
            (
                "Installation",
                text::or_dash(self.installation_id.as_deref().unwrap_or_default()),
            ),
            ("Generation", self.generation.to_string()),
            ("Created", time::readable(self.create_time.as_deref())),
        ]);
        fields + &Self::notes(std::slice::from_ref(self))
    }
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::Side;

    use super::*;
    use crate::cli::paging::Listed;

    #[test]
    fn repositories_are_listed_with_what_their_agents_do() {
        let repository = |connected, installation: &str, cloned| Repository {
            name: "networks/default/repositories/hq".to_owned(),
            side: Side::OnPremise.into(),
            connected,
            installation_id: installation.to_owned(),
            generation: 1,
            cloned,
            ..Repository::default()
        };
        let mut paused = repository(true, "i", false);
        paused.paused = true;
        let repositories = [
            paused,
            repository(false, "i", false),
            repository(false, "", false),
            repository(true, "i", true),
        ];
        let listed: Listed<RepositoryView> = Listed {
            items: repositories.map(Into::into).into(),
            more: false,
        };
        assert_eq!(
            listed.human(),
            "REPOSITORY  SIDE        AGENT               GENERATION  CREATED  DISPLAY NAME\n\
             hq          ON_PREMISE  connected (paused)  1           -        -\n\
             hq          ON_PREMISE  away                1           -        -\n\
             hq          ON_PREMISE  never seen          1           -        -\n\
             hq          ON_PREMISE  cloned              1           -        -\n\n\
             A cloned repository takes part again after its copy was stopped, or after \
             `tandem repository rebind`.\n"
        );
    }
}
