//! What transactions promise: that nobody reads what is not committed, and all of it or nothing stands in the logs.
//!
//! By Kafka's own words (KIP-98): `read_committed` readers get committed records alone. Write cycles are legal there: two
//! transactions may write to two logs in either order (no write isolation), so that only a cycle without write edges accuses
//! a broker, and the checker looks for those apart.

use super::Inputs;
use super::parts::{Weight, part, unless_withdrawn};
use model::finding::Kind;
use model::verdict::Promise;

pub(super) fn isolation(inputs: &Inputs) -> Promise {
    if !has_transactions(inputs) {
        let promised = "a write that certainly failed is never read";
        return part("isolation", promised, &[Kind::Resurrected], inputs, |_| Weight::Broken);
    }
    let promised = "a write that certainly failed is never read, and a reader of committed records is handed nothing of a \
                    transaction that was aborted or whose commit nobody had asked for";
    let mut kinds = vec![Kind::Resurrected, Kind::G1a, Kind::G1b, Kind::PrecommittedRead];
    // Cycles of writes alone nobody promised to prevent; those with reads are looked for without the edges of writes.
    let with_reads = Kind::CYCLES.into_iter().filter(|kind| kind.has_reads());
    kinds.extend(with_reads.filter(|kind| inputs.check(*kind).is_some()));
    part("isolation", promised, &kinds, inputs, |_| Weight::Broken)
}

/// `None`: there were no transactions.
pub(super) fn atomicity(inputs: &Inputs) -> Option<Promise> {
    let kinds = [Kind::TornTransaction, Kind::StaleEpochWrite];
    let promised = "a transaction stands in the logs as a whole or not at all, and whoever was fenced writes nothing more";
    has_transactions(inputs).then(|| {
        part("atomicity", promised, &kinds, inputs, |finding| match finding.kind {
            // What tore it is a loss, and follows its promise.
            Kind::TornTransaction => unless_withdrawn(finding, inputs),
            _ => Weight::Broken,
        })
    })
}

fn has_transactions(inputs: &Inputs) -> bool {
    inputs.check(Kind::TornTransaction).is_some()
}
