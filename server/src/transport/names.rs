//! Resource names such as `networks/{network}/repositories/{repository}`.

use uuid::Uuid;

use crate::domain::access::is_slug;
use crate::domain::ids::SyncSetId;
use crate::service::Error;

/// Stands for "no network" where operators' tokens are named.
pub const NO_NETWORK: &str = "-";

/// Reads `networks/{network}`.
///
/// # Errors
/// [`Error::InvalidField`] with the field and the form that is expected.
pub fn network<'a>(field: &str, name: &'a str) -> Result<&'a str, Error> {
    let [network] = parts(name, ["networks"]).ok_or_else(|| wrong(field, "networks/{network}"))?;
    checked(network, field, "networks/{network}")
}

/// Reads `networks/{network}`, where `networks/-` stands for none.
///
/// # Errors
/// As [`network`].
pub fn network_or_none<'a>(field: &str, name: &'a str) -> Result<Option<&'a str>, Error> {
    if name == "networks/-" {
        return Ok(None);
    }
    network(field, name).map(Some)
}

/// Reads `networks/{network}/repositories/{repository}`.
///
/// # Errors
/// As [`network`].
pub fn repository<'a>(field: &str, name: &'a str) -> Result<(&'a str, &'a str), Error> {
    const FORM: &str = "networks/{network}/repositories/{repository}";
    let [network, repository] =
        parts(name, ["networks", "repositories"]).ok_or_else(|| wrong(field, FORM))?;
    Ok((
        checked(network, field, FORM)?,
        checked(repository, field, FORM)?,
    ))
}

/// Reads `networks/{network}/tokens/{uid}`; no network for operators' tokens.
///
/// # Errors
/// As [`network`].
pub fn token<'a>(field: &str, name: &'a str) -> Result<(Option<&'a str>, Uuid), Error> {
    const FORM: &str = "networks/{network}/tokens/{uid}";
    let [network, token] = parts(name, ["networks", "tokens"]).ok_or_else(|| wrong(field, FORM))?;
    let network = match network {
        NO_NETWORK => None,
        network => Some(checked(network, field, FORM)?),
    };
    Ok((network, uid(token, field, FORM)?))
}

/// Reads `networks/{network}/{collection}/{uid}`, the form of sync sets, conflicts and the like.
///
/// # Errors
/// As [`network`].
pub fn uid_in_network<'a>(
    field: &str,
    name: &'a str,
    collection: &'static str,
) -> Result<(&'a str, Uuid), Error> {
    let form = format!("networks/{{network}}/{collection}/{{uid}}");
    let [network, last] =
        parts(name, ["networks", collection]).ok_or_else(|| wrong(field, &form))?;
    Ok((checked(network, field, &form)?, uid(last, field, &form)?))
}

/// Reads the names of several sets of one network.
///
/// # Errors
/// As [`network`].
pub fn sets_of(field: &str, network: &str, named: &[String]) -> Result<Vec<SyncSetId>, Error> {
    let read = |(at, name): (usize, &String)| {
        let field = format!("{field}[{at}]");
        let (of, id) = uid_in_network(&field, name, "syncSets")?;
        match of == network {
            true => Ok(SyncSetId(id)),
            false => Err(Error::invalid(field, "must belong to `parent`")),
        }
    };
    named.iter().enumerate().map(read).collect()
}

/// Reads `networks/{network}/{outer}/{uid}/{inner}/{uid}`, the form of members and versions.
///
/// # Errors
/// As [`network`].
pub fn uid_in_uid<'a>(
    field: &str,
    name: &'a str,
    outer: &'static str,
    inner: &'static str,
) -> Result<(&'a str, Uuid, Uuid), Error> {
    let form = format!("networks/{{network}}/{outer}/{{uid}}/{inner}/{{uid}}");
    let [network, first, last] =
        parts(name, ["networks", outer, inner]).ok_or_else(|| wrong(field, &form))?;
    Ok((
        checked(network, field, &form)?,
        uid(first, field, &form)?,
        uid(last, field, &form)?,
    ))
}

/// Splits `a/x/b/y` by the collections `[a, b]` into `[x, y]`.
fn parts<'a, const N: usize>(name: &'a str, collections: [&str; N]) -> Option<[&'a str; N]> {
    let mut segments = name.split('/');
    let mut ids = [""; N];
    for (id, collection) in ids.iter_mut().zip(collections) {
        if segments.next()? != collection {
            return None;
        }
        *id = segments.next()?;
    }
    segments.next().is_none().then_some(ids)
}

fn checked<'a>(slug: &'a str, field: &str, form: &str) -> Result<&'a str, Error> {
    if is_slug(slug) {
        Ok(slug)
    } else {
        Err(wrong(field, form))
    }
}

/// Only the usual form with hyphens, so that a resource has one name.
fn uid(text: &str, field: &str, form: &str) -> Result<Uuid, Error> {
    let uid = Uuid::try_parse(text).map_err(|_| wrong(field, form))?;
    if uid.to_string() == text {
        Ok(uid)
    } else {
        Err(wrong(field, form))
    }
}

fn wrong(field: &str, form: &str) -> Error {
    Error::invalid(
        field,
        format!("must have the form `{form}`, each id as the coordinator gave it"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0197c7a4-5d0b-7c3e-8a8e-0123456789ab";

    #[test]
    fn names_are_read() {
        assert_eq!(network("parent", "networks/acme").unwrap(), "acme");
        assert_eq!(network_or_none("parent", "networks/-").unwrap(), None);
        assert_eq!(
            repository("name", "networks/acme/repositories/hq").unwrap(),
            ("acme", "hq")
        );
        let operator = format!("networks/-/tokens/{UID}");
        let (none, uid) = token("name", &operator).unwrap();
        assert_eq!((none, uid.to_string().as_str()), (None, UID));
        let set = format!("networks/acme/syncSets/{UID}");
        assert_eq!(uid_in_network("name", &set, "syncSets").unwrap().0, "acme");
        let member = format!("networks/acme/syncSets/{UID}/members/{UID}");
        let (_, outer, inner) = uid_in_uid("name", &member, "syncSets", "members").unwrap();
        assert_eq!(outer, inner);
    }

    #[test]
    fn other_forms_are_refused_with_the_field() {
        let upper = format!("networks/acme/tokens/{}", UID.to_uppercase());
        let plain = format!("networks/acme/tokens/{}", UID.replace('-', ""));
        for bad in [
            "",
            "acme",
            "networks/",
            "networks/-",
            "networks/a/",
            "networks/A",
            "networks/../a",
        ] {
            assert!(network("parent", bad).is_err(), "{bad}");
        }
        for bad in [
            "networks/a/repositories/",
            "networks/a/tokens/b",
            "networks/a/repositories/b/c",
        ] {
            let refused = repository("name", bad).unwrap_err();
            assert!(matches!(refused, Error::InvalidField { field, .. } if field == "name"));
        }
        for bad in [upper.as_str(), plain.as_str(), "networks/acme/tokens/7"] {
            assert!(token("name", bad).is_err(), "{bad}");
        }
    }
}
