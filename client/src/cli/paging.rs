//! Reads lists page by page to their end.

use tonic::Status;

use super::{arguments::Limit, error::Error};

/// How many entries are asked for at once: a page of members with the longest paths stays below the limit of a message.
const PAGE_SIZE: u32 = 200;

/// One page: its entries and the token of the next, empty at the end.
pub(crate) type Page<T> = (Vec<T>, String);

/// A list as far as it was wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed<T> {
    /// The entries.
    pub(crate) items: Vec<T>,
    /// True when the limit left some out.
    pub(crate) more: bool,
}

/// Asks for pages, each with size and token, until the end or the limit.
pub(crate) async fn collect<T, V: From<T>>(
    limit: Limit,
    start: String,
    mut page: impl AsyncFnMut(i32, String) -> Result<Page<T>, Status>,
) -> Result<Listed<V>, Error> {
    let wanted = limit.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut items: Vec<V> = Vec::new();
    let mut token = start;
    loop {
        let size = PAGE_SIZE.min(u32::try_from(wanted - items.len()).unwrap_or(PAGE_SIZE));
        let (entries, next) = page(size.cast_signed(), token.clone()).await?;
        let over = entries.len() > wanted - items.len();
        let room = wanted - items.len();
        items.extend(entries.into_iter().take(room).map(V::from));
        if next.is_empty() || items.len() == wanted {
            let more = over || !next.is_empty();
            return Ok(Listed { items, more });
        }
        if next == token {
            return Err(Error::contract("the coordinator sent the same page twice"));
        }
        token = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn numbers(limit: Option<u32>) -> Result<Listed<u32>, Error> {
        collect(Limit { limit }, String::new(), async |size, token| {
            let from: u32 = token.parse().unwrap_or(0);
            let to = (from + size.cast_unsigned()).min(1200);
            let next = if to < 1200 {
                to.to_string()
            } else {
                String::new()
            };
            Ok(((from..to).collect::<Vec<u32>>(), next))
        })
        .await
    }

    #[tokio::test]
    async fn lists_are_read_to_their_end() {
        let listed = numbers(None).await.expect("a list");
        assert_eq!(listed.items, (0..1200).collect::<Vec<_>>());
        assert!(!listed.more);
    }

    #[tokio::test]
    async fn a_limit_is_kept_and_tells_that_more_exist() {
        for limit in [1, 199, 200, 201, 1199] {
            let listed = numbers(Some(limit)).await.expect("a list");
            assert_eq!(listed.items, (0..limit).collect::<Vec<_>>());
            assert!(listed.more, "{limit}");
        }
        for limit in [1200, 1201, u32::MAX] {
            let listed = numbers(Some(limit)).await.expect("a list");
            assert_eq!(listed.items.len(), 1200);
            assert!(!listed.more, "{limit}");
        }
    }

    #[tokio::test]
    async fn a_page_that_repeats_ends_with_an_error() {
        let endless = async |_, _| Ok((vec![1_u32], "again".to_owned()));
        let listed = collect::<u32, u32>(Limit { limit: None }, String::new(), endless).await;
        assert!(listed.is_err());
    }
}
