//! Points in time: RFC 3339 for programs, UTC to the second for people.

use prost_types::Timestamp;
use time::{
    OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339, macros::format_description,
};

use super::text;

/// For programs; `None` when it is absent or outside of all calendars.
pub(crate) fn rfc3339(timestamp: Option<&Timestamp>) -> Option<String> {
    moment(timestamp)?.format(&Rfc3339).ok()
}

/// For people, from the form for programs; a dash when it is absent.
pub(crate) fn readable(rfc3339: Option<&str>) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    rfc3339
        .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
        .and_then(|moment| moment.to_offset(UtcOffset::UTC).format(format).ok())
        .unwrap_or_else(|| text::NOTHING.to_owned())
}

fn moment(timestamp: Option<&Timestamp>) -> Option<OffsetDateTime> {
    let timestamp = timestamp?;
    let seconds = i128::from(timestamp.seconds) * 1_000_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(seconds + i128::from(timestamp.nanos)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_form_for_programs_and_one_for_people() {
        let timestamp = Timestamp {
            seconds: 1_700_000_000,
            nanos: 250_000_000,
        };
        let text = rfc3339(Some(&timestamp));
        assert_eq!(text.as_deref(), Some("2023-11-14T22:13:20.25Z"));
        assert_eq!(readable(text.as_deref()), "2023-11-14 22:13:20 UTC");
    }

    #[test]
    fn absent_and_impossible_times_show_as_nothing() {
        let impossible = Timestamp {
            seconds: i64::MAX,
            nanos: i32::MAX,
        };
        assert_eq!(rfc3339(Some(&impossible)), None);
        assert_eq!(readable(None), "-");
    }
}
