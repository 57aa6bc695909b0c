//! A directory of the file system as a repository.
