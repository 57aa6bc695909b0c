//! Who may, in which order, in one transaction.
