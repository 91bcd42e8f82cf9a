//! Scenarios on a small cluster: real replica managers and logs, disks in memory, and a controller that does only what
//! it is told (and answers AlterPartition).

mod chaos;
mod cluster;
mod defects;
mod durability;
mod fetching;
mod internal;
mod isr;
mod measured;
mod producing;
mod restart;
