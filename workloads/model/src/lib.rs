//! The words that load, faults, checkers, judge and reports say to each other, and no behaviour.
//!
//! Promises: plain data, stable names (they are written to disk and read by people), nothing here decides anything.
//! The field's terms are used unchanged: Jepsen's for operations and anomalies, Kafka's for the rest.

pub mod cluster;
pub mod facts;
pub mod fault;
pub mod finding;
pub mod history;
pub mod metrics;
pub mod operation;
pub mod replicas;
pub mod settings;
pub mod verdict;
