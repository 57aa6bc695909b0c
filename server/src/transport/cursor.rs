//! Cursors of the journal: opaque, versioned, with a checksum; they carry a place and no authority (R-JRN-1).

use super::tokens::List;
use crate::service::Error;
use crate::service::journal::{Mark, Place, Start};

/// Bound to no network, so that a foreign cursor is told from a broken one.
const LIST: List<'_> = List {
    call: "Journal",
    scope: &[],
};

/// The cursor of a place.
///
/// # Errors
/// [`Error::Internal`], which no place can cause.
pub fn cursor(place: &Place) -> Result<String, Error> {
    let at = place.at;
    LIST.token(&(
        place.network.as_str(),
        place.generation,
        at.position,
        at.mark,
    ))
}

/// Where a reader with this cursor begins; without one, with the first entry that is kept.
///
/// # Errors
/// [`Error::InvalidField`] for what is no cursor.
pub fn start(field: &str, cursor: &str) -> Result<Start, Error> {
    let read = LIST.position::<(String, i64, i64, i64)>(cursor);
    let place = read.map_err(|_| {
        let rule =
            "must be a cursor that the journal gave; leave it empty to begin with the first entry";
        Error::invalid(field, rule)
    })?;
    Ok(
        place.map_or(Start::First, |(network, generation, position, mark)| {
            Start::Behind(Place {
                network,
                generation,
                at: Mark { position, mark },
            })
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_gives_its_place_back_and_garbage_is_refused() {
        let place = Place {
            network: "acme".to_owned(),
            generation: 3,
            at: Mark {
                position: 7,
                mark: -9,
            },
        };
        let text = cursor(&place).unwrap();
        assert_eq!(start("cursor", &text).unwrap(), Start::Behind(place));
        assert_eq!(start("cursor", "").unwrap(), Start::First);
        let other_version = format!("02{}", &text[2..]);
        let cut = &text[..text.len() - 2];
        let list = List {
            call: "ListSyncSets",
            scope: &[],
        };
        let of_a_list = list.token(&("acme", 3, 7, -9)).unwrap();
        for bad in ["zz", "é", cut, &other_version, &of_a_list] {
            let refused = start("cursor", bad).unwrap_err();
            assert!(matches!(refused, Error::InvalidField { field, .. } if field == "cursor"));
        }
    }
}
