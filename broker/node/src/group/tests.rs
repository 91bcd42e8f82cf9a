//! The coordinator against a make-believe `__consumer_offsets`, driven by encoded requests as a client sends them.

mod defects;
mod failover;
mod offsets;
mod random;
mod rebalance;
mod statics;
mod world;
