//! Clusters to break. Each kind starts and stops nodes; faults reach them through `inject`.

pub mod bundled;
