//! Folders in repositories, as they are typed.

use super::{error::Error, names::Names};

/// A folder in a repository, given as `REPOSITORY[:PATH]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The repository's name.
    pub(crate) repository: String,
    /// The path below the directory that its agent was given; empty = that directory.
    pub(crate) path: String,
}

impl Names {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new("default").expect("an ordinary network")
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
}
