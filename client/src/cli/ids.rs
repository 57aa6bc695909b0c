//! The rules for ids inside names.

use uuid::Uuid;

use super::error::Error;

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

/// What may stand between two slashes of a name.
pub(crate) fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
}

/// What was given names nothing of this kind.
pub(crate) fn malformed(what: &str, text: &str, form: &str) -> Error {
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

/// The rule for ids that the coordinator chooses.
pub(crate) fn parse_uid(what: &str, text: &str) -> Result<Uuid, Error> {
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

    #[test]
    fn short_names_leave_out_what_people_can_do_without() {
        assert_eq!(short("networks/default/syncSets/s/members/m"), "s/m");
        assert_eq!(short("networks/default/repositories/hq"), "hq");
        assert_eq!(short("networks/default"), "networks/default");
        assert_eq!(short(""), "");
    }

    #[test]
    fn chosen_ids_follow_the_rule() {
        for id in ["a", "hq-2", &"a".repeat(63)] {
            assert!(check_id("repository", id).is_ok(), "{id}");
        }
        for id in ["", "A", "1a", "-a", "a_b", "a b", "ä", &"a".repeat(64)] {
            assert!(check_id("repository", id).is_err(), "{id}");
        }
    }
}
