//! Reads the names that people give: whole resource names as well as bare ids.

use super::{
    error::Error,
    ids::{check_id, is_segment, malformed, parse_uid},
};

/// Reads names; what carries no network belongs to this one.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    network: String,
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
}
