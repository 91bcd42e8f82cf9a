//! ListPartitionReassignments: none, since partitions are not reassigned yet.

use wire::messages::ListPartitionReassignmentsResponse;

pub fn answer() -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}
