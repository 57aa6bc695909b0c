//! The schema history of the coordinator.
