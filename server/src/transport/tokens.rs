//! Page tokens: opaque, versioned, bound to their list; they carry a position and no authority.

use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::domain::limits::{
    PAGE_BYTES_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, PAGE_TOKEN_BYTES_MAX,
};
use crate::service::Error;

const VERSION: u8 = 1;
const CHECK_BYTES: usize = 8;

/// What a page token is bound to: the list, its parent, and every filter that shapes it.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// The name of the call, such as `ListRepositories`.
    pub call: &'static str,
    /// The parent and the filters.
    pub scope: &'a [&'a str],
}

impl List<'_> {
    /// The token for what follows a position (the keys of the last entry sent).
    ///
    /// # Errors
    /// [`Error::Internal`] when the position cannot be written, which no key of a table can cause.
    pub fn token<P: Serialize>(&self, position: &P) -> Result<String, Error> {
        let position = serde_json::to_vec(position).map_err(|error| Error::Internal {
            detail: format!("page token: {error}"),
        })?;
        let mut bytes = vec![VERSION];
        bytes.extend(self.check(&position));
        bytes.extend(position);
        Ok(hex::encode(bytes))
    }

    /// The position of a token that this list gave; none for the first page.
    ///
    /// # Errors
    /// [`Error::InvalidField`] for anything else.
    pub fn position<P: DeserializeOwned>(&self, token: &str) -> Result<Option<P>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let position = self.read(token).ok_or_else(|| {
            Error::invalid(
                "page_token",
                "must be the next_page_token of the same list with the same filters; leave it empty to start again",
            )
        })?;
        Ok(Some(position))
    }

    fn read<P: DeserializeOwned>(&self, token: &str) -> Option<P> {
        if token.len() > PAGE_TOKEN_BYTES_MAX {
            return None;
        }
        let bytes = hex::decode(token).ok()?;
        let (version, rest) = bytes.split_first()?;
        let (check, position) = rest.split_at_checked(CHECK_BYTES)?;
        if *version != VERSION || check != self.check(position) {
            return None;
        }
        serde_json::from_slice(position).ok()
    }

    /// Each part is hashed with its length, so that no two lists share a checksum by moving a boundary.
    fn check(&self, position: &[u8]) -> [u8; CHECK_BYTES] {
        let mut hash = Sha256::new();
        let parts = std::iter::once(self.call)
            .chain(self.scope.iter().copied())
            .map(str::as_bytes)
            .chain(std::iter::once(position));
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut check = [0; CHECK_BYTES];
        check.copy_from_slice(&hash.finalize()[..CHECK_BYTES]);
        check
    }
}

/// The entries of a page: 0 = the default, more than the limit counts as the limit.
///
/// # Errors
/// [`Error::InvalidField`] for a negative one.
pub fn page_size(asked: i32) -> Result<usize, Error> {
    match usize::try_from(asked) {
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        Ok(size) => Ok(size.min(PAGE_SIZE_MAX)),
        Err(_) => Err(Error::invalid(
            "page_size",
            format!("must not be negative; 0 stands for {PAGE_SIZE_DEFAULT}"),
        )),
    }
}

/// Cuts a page off what was read with one entry more than it holds, and makes the token for the next.
///
/// # Errors
/// As [`List::token`].
pub fn page<T, P: Serialize>(
    list: List<'_>,
    mut entries: Vec<T>,
    size: usize,
    position: impl Fn(&T) -> P,
) -> Result<(Vec<T>, String), Error> {
    if entries.len() <= size {
        return Ok((entries, String::new()));
    }
    entries.truncate(size);
    let next = entries
        .last()
        .map(|last| list.token(&position(last)))
        .transpose()?;
    Ok((entries, next.unwrap_or_default()))
}

/// Cuts a page off messages, one more than it holds, and makes the token for the next; a page also ends where an answer
/// would become too large.
///
/// # Errors
/// As [`List::token`].
pub fn fitting_page<M: Message, P: Serialize>(
    list: List<'_>,
    mut entries: Vec<(P, M)>,
    size: usize,
) -> Result<(Vec<M>, String), Error> {
    let fits = fitting(entries.iter().map(|(_, message)| message), PAGE_BYTES_MAX);
    let keep = size.min(fits);
    let mut next = String::new();
    if entries.len() > keep {
        entries.truncate(keep);
        if let Some((position, _)) = entries.last() {
            next = list.token(position)?;
        }
    }
    let messages = entries.into_iter().map(|(_, message)| message).collect();
    Ok((messages, next))
}

/// How many of the first messages fit together; the first always does.
pub fn fitting<'a, M: Message + 'a>(
    messages: impl Iterator<Item = &'a M>,
    bytes_max: usize,
) -> usize {
    let mut bytes = 0;
    let fits = messages.take_while(|message| {
        let first = bytes == 0;
        bytes += message.encoded_len() + 8;
        first || bytes <= bytes_max
    });
    fits.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: List<'_> = List {
        call: "ListRepositories",
        scope: &["networks/a"],
    };

    #[test]
    fn a_token_gives_its_position_back() {
        let token = LIST.token(&("hq", 7)).unwrap();
        assert_eq!(
            LIST.position::<(String, i64)>(&token).unwrap(),
            Some(("hq".to_owned(), 7))
        );
        assert_eq!(LIST.position::<String>("").unwrap(), None);
    }

    #[test]
    fn foreign_and_broken_tokens_are_refused() {
        let token = LIST.token(&"hq").unwrap();
        let other_parent = List {
            scope: &["networks/b"],
            ..LIST
        };
        let other_call = List {
            call: "ListTokens",
            ..LIST
        };
        let moved_boundary = List {
            scope: &["networks/", "a"],
            ..LIST
        };
        for list in [other_parent, other_call, moved_boundary] {
            assert!(list.position::<String>(&token).is_err());
        }
        let mut changed = token.clone();
        changed.replace_range(4..5, if &token[4..5] == "0" { "1" } else { "0" });
        let older = format!("00{}", &token[2..]);
        let long = "a".repeat(1_000_000);
        for bad in [
            "zz",
            "01",
            "é",
            changed.as_str(),
            older.as_str(),
            long.as_str(),
        ] {
            assert!(matches!(
                LIST.position::<String>(bad),
                Err(Error::InvalidField { field, .. }) if field == "page_token"
            ));
        }
    }

    #[test]
    fn page_sizes() {
        assert_eq!(page_size(0).unwrap(), PAGE_SIZE_DEFAULT);
        assert_eq!(page_size(7).unwrap(), 7);
        assert_eq!(page_size(i32::MAX).unwrap(), PAGE_SIZE_MAX);
        assert!(page_size(-1).is_err());
    }

    #[test]
    fn the_last_page_has_no_token() {
        let (entries, next) = page(LIST, vec![1, 2], 2, |last| *last).unwrap();
        assert_eq!((entries.len(), next.as_str()), (2, ""));
        let (entries, next) = page(LIST, vec![1, 2, 3], 2, |last| *last).unwrap();
        assert_eq!(entries, [1, 2]);
        assert_eq!(LIST.position::<i32>(&next).unwrap(), Some(2));
    }

    #[test]
    fn a_page_ends_where_an_answer_would_become_too_large() {
        let long = "x".repeat(PAGE_BYTES_MAX / 2);
        let entries = (0..4).map(|at| (at, long.clone())).collect();
        let (kept, next) = fitting_page(LIST, entries, 4).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(LIST.position::<i32>(&next).unwrap(), Some(0));
        let too_long = vec![(0, "x".repeat(PAGE_BYTES_MAX + 1))];
        let (kept, next) = fitting_page(LIST, too_long, 1).unwrap();
        assert_eq!((kept.len(), next.as_str()), (1, ""));
    }
}
