//! Reads the names that people give: whole resource names as well as bare ids.

use uuid::Uuid;

use super::error::Error;

/// Reads names; what carries no network belongs to this one.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    network: String,
}

/// A folder in a repository, given as `REPOSITORY[:PATH]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The repository's name.
    pub(crate) repository: String,
    /// The path below the directory that its agent was given; empty = that directory.
    pub(crate) path: String,
}

impl Names {
    /// Takes the network as id or name.
    pub(crate) fn new(network: &str) -> Result<Self, Error> {
        let id = network.strip_prefix("networks/").unwrap_or(network);
        check_id("network", id)?;
        Ok(Self {
            network: format!("networks/{id}"),
        })
    }

    /// The network's own name.
    pub(crate) fn network(&self) -> String {
        self.network.clone()
    }

    /// A repository: its id or name.
    pub(crate) fn repository(&self, text: &str) -> Result<String, Error> {
        let (network, id) = self
            .split(text, "repositories")
            .ok_or_else(|| malformed("repository", text, "ID"))?;
        check_id("repository", id)?;
        Ok(format!("{network}/repositories/{id}"))
    }

    /// A sync set: its uid or name.
    pub(crate) fn set(&self, text: &str) -> Result<String, Error> {
        let (network, uid) = self
            .split(text, "syncSets")
            .ok_or_else(|| malformed("sync set", text, "UID"))?;
        Ok(format!(
            "{network}/syncSets/{}",
            parse_uid("sync set", uid)?
        ))
    }

    /// A member: `SET/MEMBER` or its name.
    pub(crate) fn member(&self, text: &str) -> Result<String, Error> {
        let wrong = || malformed("member", text, "SET/MEMBER");
        let (set, uid) = match text.split_once("/members/") {
            Some((set, uid)) if set.starts_with("networks/") => (set, uid),
            _ => text.split_once('/').ok_or_else(wrong)?,
        };
        if uid.contains('/') {
            return Err(wrong());
        }
        Ok(format!(
            "{}/members/{}",
            self.set(set)?,
            parse_uid("member", uid)?
        ))
    }

    /// A kept version: `SET/MEMBER/VERSION` or its name.
    pub(crate) fn version(&self, text: &str) -> Result<String, Error> {
        let wrong = || malformed("version", text, "SET/MEMBER/VERSION");
        let (member, id) = match text.split_once("/versions/") {
            Some((member, id)) if member.starts_with("networks/") => (member, id),
            _ => text.rsplit_once('/').ok_or_else(wrong)?,
        };
        if !is_segment(id) || !member.contains('/') {
            return Err(wrong());
        }
        Ok(format!("{}/versions/{id}", self.member(member)?))
    }

    /// A conflict: its uid or name.
    pub(crate) fn conflict(&self, text: &str) -> Result<String, Error> {
        let (network, uid) = self
            .split(text, "conflicts")
            .ok_or_else(|| malformed("conflict", text, "UID"))?;
        Ok(format!(
            "{network}/conflicts/{}",
            parse_uid("conflict", uid)?
        ))
    }

    /// A token: its uid or name.
    pub(crate) fn token(&self, text: &str) -> Result<String, Error> {
        let (network, uid) = self
            .split(text, "tokens")
            .ok_or_else(|| malformed("token", text, "UID"))?;
        Ok(format!("{network}/tokens/{}", parse_uid("token", uid)?))
    }

    /// A folder in a repository: `REPOSITORY[:PATH]`.
    pub(crate) fn place(&self, text: &str) -> Result<Place, Error> {
        let (repository, path) = text.split_once(':').unwrap_or((text, ""));
        let path = path.trim_matches('/');
        if !path.is_empty() && path.split('/').any(|name| matches!(name, "" | "." | "..")) {
            return Err(Error::usage(
                format!("the path `{path}` has an empty name, `.` or `..` in it"),
                "Give the names of the folders from the agent's directory down, joined by `/`.",
            ));
        }
        Ok(Place {
            repository: self.repository(repository)?,
            path: path.to_owned(),
        })
    }

    /// What `request-sync` is to sync: the names of members by the name of their set; none = the whole set.
    pub(crate) fn targets(&self, texts: &[String]) -> Result<Vec<(String, Vec<String>)>, Error> {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        let mut texts = texts.iter().peekable();
        if let Some(set) = texts.peek().and_then(|text| self.set(text).ok()) {
            texts.next();
            let members = texts
                .map(|text| self.member_of(&set, text))
                .collect::<Result<_, _>>()?;
            return Ok(vec![(set, members)]);
        }
        for text in texts {
            let member = self.member(text)?;
            let set = member
                .split("/members/")
                .next()
                .unwrap_or_default()
                .to_owned();
            match groups.iter_mut().find(|(known, _)| *known == set) {
                Some((_, members)) => members.push(member),
                None => groups.push((set, vec![member])),
            }
        }
        Ok(groups)
    }

    /// A member after its set was named: its uid, too.
    fn member_of(&self, set: &str, text: &str) -> Result<String, Error> {
        if !text.contains('/') {
            return Ok(format!("{set}/members/{}", parse_uid("member", text)?));
        }
        let member = self.member(text)?;
        if member.starts_with(&format!("{set}/")) {
            return Ok(member);
        }
        Err(Error::usage(
            format!("the member `{text}` is not in the set that was named first"),
            "Name each member as SET/MEMBER, without a set before them.",
        ))
    }

    /// Splits `networks/N/collection/id`, or takes a bare id in the own network.
    fn split<'a>(&'a self, text: &'a str, collection: &str) -> Option<(&'a str, &'a str)> {
        if !text.contains('/') {
            return Some((&self.network, text));
        }
        let (network, id) = text.split_once(&format!("/{collection}/"))?;
        let network_id = network.strip_prefix("networks/")?;
        (is_segment(network_id) && is_segment(id)).then_some((network, id))
    }
}

/// Leaves out of a resource name what people can do without: `SET/MEMBER` instead of the whole.
pub(crate) fn short(name: &str) -> String {
    let mut parts = name.split('/').skip(2);
    let mut ids = Vec::new();
    while let (Some(_), Some(id)) = (parts.next(), parts.next()) {
        ids.push(id);
    }
    if ids.is_empty() {
        name.to_owned()
    } else {
        ids.join("/")
    }
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
}

fn malformed(what: &str, text: &str, form: &str) -> Error {
    Error::usage(
        format!("`{text}` does not name a {what}"),
        format!("Give {form}, or the whole name as the lists with --output json show it."),
    )
}

/// The rule for ids that people choose: those of networks and repositories.
pub(crate) fn check_id(what: &str, id: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let valid = id.len() <= 63
        && id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.chars().all(allowed);
    if valid {
        return Ok(());
    }
    Err(Error::usage(
        format!("`{id}` cannot be the id of a {what}"),
        "Use 1 to 63 of a-z, 0-9 and `-`, beginning with a letter.",
    ))
}

fn parse_uid(what: &str, text: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(text).map_err(|_| {
        Error::usage(
            format!("`{text}` is not the uid of a {what}"),
            format!("A uid looks like 01890a5d-ac96-774b-bcce-b302099a8057; the list shows that of each {what}."),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
    const M: &str = "01890a5d-ac96-774b-bcce-b302099a8058";

    fn names() -> Names {
        Names::new("default").expect("an ordinary network")
    }

    #[test]
    fn bare_ids_belong_to_the_network() {
        let names = names();
        assert_eq!(
            names.repository("hq").expect("an id"),
            "networks/default/repositories/hq"
        );
        assert_eq!(
            names.set(S).expect("a uid"),
            format!("networks/default/syncSets/{S}")
        );
        assert_eq!(
            names.conflict(S).expect("a uid"),
            format!("networks/default/conflicts/{S}")
        );
        assert_eq!(
            names.token(S).expect("a uid"),
            format!("networks/default/tokens/{S}")
        );
        let member = format!("networks/default/syncSets/{S}/members/{M}");
        assert_eq!(names.member(&format!("{S}/{M}")).expect("a pair"), member);
        let version = names.version(&format!("{S}/{M}/v1")).expect("a triple");
        assert_eq!(version, format!("{member}/versions/v1"));
    }

    #[test]
    fn whole_names_stay_as_they_are() {
        let names = names();
        let set = format!("networks/other/syncSets/{S}");
        let member = format!("{set}/members/{M}");
        let version = format!("{member}/versions/v1");
        assert_eq!(names.set(&set).expect("a name"), set);
        assert_eq!(names.member(&member).expect("a name"), member);
        assert_eq!(names.version(&version).expect("a name"), version);
        assert_eq!(
            Names::new("networks/other").expect("a name").network(),
            "networks/other"
        );
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let names = names();
        for text in [
            "",
            "x",
            "networks/default/syncSets/x",
            "a/b/c",
            "networks//syncSets/x",
            "..",
            "-",
        ] {
            assert!(names.set(text).is_err(), "{text}");
            assert!(names.member(text).is_err(), "{text}");
            assert!(names.version(text).is_err(), "{text}");
            assert!(names.conflict(text).is_err(), "{text}");
        }
        for text in [
            "",
            "HQ",
            "1a",
            "a_b",
            "a b",
            "networks/default/syncSets/hq",
            &"a".repeat(64),
        ] {
            assert!(names.repository(text).is_err(), "{text}");
        }
        assert!(names.version(&format!("{S}/{M}/")).is_err());
        assert!(names.member(&format!("{S}/{M}/{M}")).is_err());
    }

    #[test]
    fn places_are_a_repository_and_a_path() {
        let names = names();
        let place = names.place("hq:/contracts/2026/").expect("a place");
        assert_eq!(place.repository, "networks/default/repositories/hq");
        assert_eq!(place.path, "contracts/2026");
        assert_eq!(names.place("hq").expect("the root").path, "");
        assert_eq!(
            names.place("hq:a:b").expect("a colon is ordinary").path,
            "a:b"
        );
        for text in ["hq:a/../b", "hq:a//b", "hq:.", ":a", ""] {
            assert!(names.place(text).is_err(), "{text}");
        }
    }

    #[test]
    fn targets_are_a_whole_set_or_members_of_sets() {
        let names = names();
        let set = format!("networks/default/syncSets/{S}");
        let member = format!("{set}/members/{M}");
        let targets = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
            names.targets(&texts)
        };
        assert_eq!(targets(&[S]).expect("a set"), [(set.clone(), vec![])]);
        assert_eq!(
            targets(&[S, M]).expect("a member"),
            [(set.clone(), vec![member.clone()])]
        );
        let pairs = targets(&[&format!("{S}/{M}"), &format!("{M}/{S}")]).expect("members");
        assert_eq!(pairs.len(), 2);
        assert_eq!(pairs[0], (set, vec![member]));
        assert!(targets(&[S, &format!("{M}/{S}")]).is_err());
    }

    #[test]
    fn short_names_can_be_given_back() {
        let names = names();
        let member = names.member(&format!("{S}/{M}")).expect("a pair");
        assert_eq!(short(&member), format!("{S}/{M}"));
        assert_eq!(short("networks/default"), "networks/default");
        assert_eq!(short(""), "");
    }
}
