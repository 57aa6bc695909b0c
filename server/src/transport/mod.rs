//! Bytes, headers and codes.
