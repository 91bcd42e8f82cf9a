//! One member, its peers played by the test; and what Kafka's own tool says to the files.

mod defects;

use bytes::Bytes;
use log::LogConfig;
use log::io::IoQueue;
use log::memory_disk::MemoryDisk;
use wire::error::ErrorCode;
use wire::messages::{BrokerId, FetchRequest, VoteRequest, fetch_request, vote_request};

use crate::{
    CallFailed, Config, Now, Output, Quorum, Request, RequestRef, Response, Voter,
    directory_id_for, rpc,
};

const CLUSTER: &str = "Z7CSBfMFRLGhqEbdyjnnLA";

/// A member whose disk completes everything at once.
struct Solo {
    quorum: Quorum,
    io: IoQueue,
    disk: MemoryDisk,
    now_ms: u64,
    next_request: u64,
    said: Vec<Output>,
}

impl Solo {
    fn start(disk: MemoryDisk, voters: i32, adjust: impl FnOnce(&mut Config)) -> Solo {
        let voter = |id| Voter {
            id,
            directory_id: directory_id_for(CLUSTER, id),
            host: "localhost".to_owned(),
            port: 9090 + id as u16,
        };
        let mut config = Config::new(1, CLUSTER, (1..=voters).map(voter).collect());
        adjust(&mut config);
        let mut solo = Solo {
            quorum: Quorum::new(config),
            io: IoQueue::default(),
            disk,
            now_ms: 1_000,
            next_request: 0,
            said: Vec::new(),
        };
        solo.act(|quorum, now, io, out| quorum.start(now, io, out));
        solo
    }

    fn act<T>(
        &mut self,
        act: impl FnOnce(&mut Quorum, Now, &mut IoQueue, &mut Vec<Output>) -> T,
    ) -> T {
        let now = Now { mono_ms: self.now_ms, wall_ms: 1_700_000_000_000 };
        let result = act(&mut self.quorum, now, &mut self.io, &mut self.said);
        loop {
            let submitted: Vec<_> = self.io.drain().collect();
            if submitted.is_empty() {
                return result;
            }
            for (token, op) in submitted {
                let done = self.disk.execute(&op);
                self.quorum.on_io(now, token, done, &mut self.io, &mut self.said);
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(at) = self.quorum.deadline().filter(|at| *at <= end) {
            self.now_ms = at;
            self.act(|quorum, now, io, out| quorum.on_tick(now, io, out));
        }
        self.now_ms = end;
    }

    fn said(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.said)
    }

    fn ask(&mut self, request: Request) -> Option<Response> {
        self.next_request += 1;
        let to = RequestRef(self.next_request);
        self.act(|quorum, now, io, out| quorum.on_request(now, to, request, io, out));
        self.answer_to(to)
    }

    fn answer_to(&mut self, to: RequestRef) -> Option<Response> {
        let at = self
            .said
            .iter()
            .position(|output| matches!(output, Output::Respond { to: it, .. } if *it == to))?;
        match self.said.remove(at) {
            Output::Respond { response, .. } => Some(response),
            _ => None,
        }
    }

    fn append(&mut self, records: &[&[u8]]) -> i64 {
        let records = records.iter().map(|record| Bytes::copy_from_slice(record)).collect();
        self.act(|quorum, now, io, out| quorum.append(now, records, io, out)).unwrap()
    }

    fn vote(
        &mut self,
        candidate: i32,
        epoch: i32,
        last: (i32, i64),
        pre_vote: bool,
    ) -> (i16, bool) {
        let partition = vote_request::PartitionData::default()
            .with_replica_epoch(epoch)
            .with_replica_id(BrokerId(candidate))
            .with_replica_directory_id(directory_id_for(CLUSTER, candidate))
            .with_voter_directory_id(directory_id_for(CLUSTER, 1))
            .with_last_offset_epoch(last.0)
            .with_last_offset(last.1)
            .with_pre_vote(pre_vote);
        let topic = vote_request::TopicData::default()
            .with_topic_name(rpc::topic_name())
            .with_partitions(vec![partition]);
        let body = VoteRequest::default()
            .with_cluster_id(Some(rpc::text(CLUSTER)))
            .with_voter_id(BrokerId(1))
            .with_topics(vec![topic]);
        match self.ask(Request::Vote { version: 2, body }) {
            Some(Response::Vote(body)) => {
                let partition = &body.topics[0].partitions[0];
                (partition.error_code, partition.vote_granted)
            }
            other => panic!("{other:?}"),
        }
    }

    /// A fetch as a follower (or an observer) sends it.
    fn fetch(
        &mut self,
        replica: i32,
        offset: i64,
        last_epoch: i32,
        known_hw: i64,
    ) -> Option<Response> {
        let partition = fetch_request::FetchPartition::default()
            .with_current_leader_epoch(self.quorum.epoch())
            .with_fetch_offset(offset)
            .with_last_fetched_epoch(last_epoch)
            .with_partition_max_bytes(1 << 20)
            .with_replica_directory_id(directory_id_for(CLUSTER, replica))
            .with_high_watermark(known_hw);
        let topic = fetch_request::FetchTopic::default()
            .with_topic_id(rpc::TOPIC_ID)
            .with_partitions(vec![partition]);
        let state = fetch_request::ReplicaState::default().with_replica_id(BrokerId(replica));
        let body = FetchRequest::default()
            .with_replica_state(state)
            .with_max_wait_ms(500)
            .with_topics(vec![topic]);
        self.ask(Request::Fetch { version: 18, body })
    }

    /// Gives it every vote that it asks for.
    fn elect(&mut self) {
        for _ in 0..10 {
            let asked: Vec<_> = self
                .said()
                .into_iter()
                .filter_map(|output| match output {
                    Output::Call { peer, call, request: Request::Vote { body, .. } } => {
                        Some((peer, call, body))
                    }
                    _ => None,
                })
                .collect();
            for (peer, call, body) in asked {
                let epoch = body.topics[0].partitions[0].replica_epoch;
                let yes = crate::answer::vote(2, ErrorCode::None, epoch, None, true, None);
                self.act(|q, now, io, out| q.on_response(now, peer, call, Ok(yes), io, out));
            }
            if self.quorum.is_leader() {
                return;
            }
            self.pass(50);
        }
        panic!("not elected: {:?}", self.quorum.describe());
    }
}

fn committed(said: &[Output]) -> Vec<(i64, Bytes)> {
    let of = |output: &Output| match output {
        Output::Committed { records, .. } => records.clone(),
        _ => Vec::new(),
    };
    said.iter().flat_map(of).collect()
}

#[test]
fn a_sole_voter_leads_at_once_and_again_after_a_restart() {
    let mut solo = Solo::start(MemoryDisk::new(), 1, |_| {});
    assert!(solo.quorum.is_leader());
    let said = solo.said();
    assert!(said.contains(&Output::Ready));
    assert!(said.contains(&Output::BecameLeader { epoch: 1, offset: 0 }), "{said:?}");
    // The leader change record, the kraft version and the voters come first.
    assert_eq!(solo.append(&[b"a", b"b"]), 4);
    assert_eq!(committed(&solo.said()), [(3, Bytes::from("a")), (4, Bytes::from("b"))]);

    let mut disk = solo.disk;
    disk.power_cut();
    let mut solo = Solo::start(disk, 1, |_| {});
    let said = solo.said();
    assert_eq!(committed(&said), [(3, Bytes::from("a")), (4, Bytes::from("b"))]);
    assert!(said.contains(&Output::BecameLeader { epoch: 2, offset: 5 }), "{said:?}");
    assert_eq!(solo.quorum.voters().len(), 1);
}

#[test]
fn every_voter_writes_the_same_bootstrap_snapshot() {
    let path = format!("{}/{}", crate::DIR, crate::snapshot::BOOTSTRAP.file_name());
    let file = |id| {
        let solo = Solo::start(MemoryDisk::new(), 3, |config| {
            config.node_id = id;
            config.directory_id = directory_id_for(CLUSTER, id);
        });
        solo.disk.content(&path).map(<[u8]>::to_vec)
    };
    assert!(file(1).is_some());
    assert_eq!(file(1), file(2));
    assert_eq!(file(4), None, "an observer has nothing to say about it");
}

#[test]
fn a_snapshot_takes_the_place_of_the_log() {
    let small = |config: &mut Config| {
        config.snapshot_max_new_record_bytes = 4_000;
        config.log = LogConfig { segment_bytes: 2_000, ..LogConfig::default() };
    };
    let mut solo = Solo::start(MemoryDisk::new(), 1, small);
    let mut state = Vec::new();
    let mut snapshots = 0;
    for i in 0..200_u32 {
        solo.append(&[&[&i.to_be_bytes()[..], &[0; 60]].concat()]);
        for output in solo.said() {
            match output {
                Output::Committed { records, .. } => {
                    state.extend(records.into_iter().map(|(_, record)| record));
                }
                Output::SnapshotWanted { offset, epoch } => {
                    snapshots += 1;
                    let records = state.clone();
                    solo.act(|q, now, io, out| {
                        q.write_snapshot(now, offset, epoch, records, io, out)
                    });
                }
                _ => {}
            }
        }
    }
    assert!(snapshots >= 3, "{snapshots}");
    let status = solo.quorum.describe();
    assert!(status.log_start_offset > 0);
    let files = solo.disk.paths().filter(|path| path.ends_with(".checkpoint")).count();
    assert_eq!(files, 2, "{:?}", solo.disk.paths().collect::<Vec<_>>());

    let mut solo = Solo::start(solo.disk, 1, small);
    let mut again = Vec::new();
    for output in solo.said() {
        match output {
            Output::LoadSnapshot { records, .. } => {
                assert!(again.is_empty());
                again = records;
            }
            Output::Committed { records, .. } => again.extend(records.into_iter().map(|(_, r)| r)),
            _ => {}
        }
    }
    assert_eq!(again, state);
}

#[test]
fn votes_follow_the_rules() {
    let mut solo = Solo::start(MemoryDisk::new(), 3, |_| {});
    let none = ErrorCode::None as i16;
    // An opinion binds nobody.
    assert_eq!(solo.vote(2, 5, (0, 0), true), (none, true));
    assert_eq!(solo.vote(3, 5, (0, 0), true), (none, true));
    assert_eq!(solo.vote(2, 5, (0, 0), false), (none, true));
    assert_eq!(solo.vote(2, 5, (0, 0), false), (none, true), "said again");
    assert_eq!(solo.vote(3, 5, (0, 0), false), (none, false));
    assert_eq!(solo.vote(3, 4, (0, 0), false), (ErrorCode::FencedLeaderEpoch as i16, false));
    assert_eq!(solo.vote(3, 6, (6, 1), false), (ErrorCode::InvalidRequest as i16, false));
    // The vote survives a power cut.
    let mut disk = solo.disk;
    disk.power_cut();
    let mut solo = Solo::start(disk, 3, |_| {});
    assert_eq!(solo.vote(3, 5, (0, 0), false), (none, false));
    assert_eq!(solo.vote(2, 5, (0, 0), false), (none, true));
    assert_eq!(solo.vote(3, 6, (0, 0), false), (none, true));
}

/// A vote that cannot be stored is not given, and the member ends.
#[test]
fn a_disk_that_fails_gives_no_vote() {
    let mut solo = Solo::start(MemoryDisk::new(), 3, |_| {});
    solo.disk.fail("Replace", log::io::IoErrorKind::NoSpace, 0);
    let partition =
        vote_request::PartitionData::default().with_replica_epoch(5).with_replica_id(BrokerId(2));
    let topic = vote_request::TopicData::default()
        .with_topic_name(rpc::topic_name())
        .with_partitions(vec![partition]);
    let body = VoteRequest::default().with_voter_id(BrokerId(1)).with_topics(vec![topic]);
    solo.said();
    assert_eq!(solo.ask(Request::Vote { version: 2, body }), None);
    let said = solo.said();
    assert!(
        matches!(said.as_slice(), [Output::Failed(reason)] if reason.contains("quorum-state")),
        "{said:?}"
    );
    solo.pass(10_000);
    assert_eq!(solo.said(), []);
}

#[test]
fn a_candidate_asks_first_and_a_majority_commits() {
    let mut solo = Solo::start(MemoryDisk::new(), 3, |_| {});
    solo.pass(2_100);
    let pre_votes = |output: &Output| {
        let Output::Call { request: Request::Vote { body, .. }, .. } = output else { return false };
        let partition = &body.topics[0].partitions[0];
        partition.pre_vote && partition.replica_epoch == 0
    };
    assert!(solo.said.iter().any(pre_votes));
    solo.elect();
    assert_eq!(solo.quorum.high_watermark(), None, "nobody else has anything");
    assert!(matches!(
        solo.act(|q, now, io, out| q.append(now, vec![Bytes::from("x")], io, out)),
        Err(crate::AppendError::NotLeader)
    ));
    // An observer's fetch commits nothing, a voter's does.
    solo.said();
    assert!(solo.fetch(9, 3, 1, -1).is_none());
    assert_eq!(solo.quorum.high_watermark(), None);
    let answer = solo.fetch(2, 3, 1, -1);
    assert!(
        matches!(&answer, Some(Response::Fetch(body))
        if body.responses[0].partitions[0].high_watermark == 3),
        "{answer:?}"
    );
    assert!(solo.said().contains(&Output::BecameLeader { epoch: 1, offset: 0 }));
    // A fetch that waits is answered by an append, and a second one by the commit of that.
    assert!(solo.fetch(2, 3, 1, 3).is_none());
    let waiting = RequestRef(solo.next_request);
    assert_eq!(solo.append(&[b"x"]), 3);
    assert!(solo.answer_to(waiting).is_some());
    assert_eq!(committed(&solo.said()), []);
    assert!(solo.fetch(3, 4, 1, 3).is_some());
    assert_eq!(committed(&solo.said()), [(3, Bytes::from("x"))]);
}

#[test]
fn a_follower_elsewhere_is_told_where_it_left_the_log() {
    let mut solo = Solo::start(MemoryDisk::new(), 3, |_| {});
    solo.pass(2_100);
    solo.elect();
    let diverging = |answer: Option<Response>| match answer {
        Some(Response::Fetch(body)) => {
            let at = &body.responses[0].partitions[0].diverging_epoch;
            (at.epoch, at.end_offset)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(diverging(solo.fetch(2, 7, 1, -1)), (1, 3));
    assert_eq!(diverging(solo.fetch(2, 3, 0, -1)), (0, 0));
    assert_eq!(solo.quorum.high_watermark(), None, "such a fetch counts for nothing");
}

#[test]
fn a_leader_nobody_fetches_from_resigns_and_tells() {
    let mut solo = Solo::start(MemoryDisk::new(), 3, |_| {});
    solo.pass(2_100);
    solo.elect();
    solo.fetch(2, 3, 1, -1);
    solo.said();
    solo.pass(2_990);
    assert!(solo.quorum.is_leader());
    solo.pass(20);
    assert!(!solo.quorum.is_leader());
    let said = solo.said();
    assert!(said.contains(&Output::LostLeadership { epoch: 1 }));
    let successors = said.iter().find_map(|output| match output {
        Output::Call { request: Request::EndQuorumEpoch { body, .. }, .. } => {
            let candidates = &body.topics[0].partitions[0].preferred_candidates;
            Some(candidates.iter().map(|c| c.candidate_id.0).collect::<Vec<_>>())
        }
        _ => None,
    });
    assert_eq!(successors, Some(vec![2, 3]), "the one that has most comes first");
}

#[test]
fn closing_gives_leadership_back_and_syncs() {
    let mut solo = Solo::start(MemoryDisk::new(), 3, |_| {});
    solo.pass(2_100);
    solo.elect();
    solo.said();
    solo.act(|q, now, io, out| q.close(now, io, out));
    let calls: Vec<_> = solo
        .said()
        .into_iter()
        .filter_map(|output| match output {
            Output::Call { peer, call, request: Request::EndQuorumEpoch { .. } } => {
                Some((peer, call))
            }
            _ => None,
        })
        .collect();
    assert_eq!(calls.len(), 2);
    for (peer, call) in calls {
        let done = crate::answer::end(1, ErrorCode::None, 1, Some(1), None);
        let result = if peer == 2 { Ok(done) } else { Err(CallFailed { refused: false }) };
        solo.act(|q, now, io, out| q.on_response(now, peer, call, result, io, out));
    }
    assert!(!solo.said.contains(&Output::Closed), "one has not been told");
    solo.pass(2_100);
    assert!(solo.said().contains(&Output::Closed));
    assert_eq!(solo.disk.open_files(), 0);
}

#[test]
fn closing_does_not_wait_to_tell_the_dead() {
    let mut solo = Solo::start(MemoryDisk::new(), 3, |_| {});
    solo.pass(2_100);
    solo.elect();
    solo.said();
    solo.act(|q, now, io, out| q.close(now, io, out));
    for output in solo.said() {
        if let Output::Call { peer, call, request: Request::EndQuorumEpoch { .. } } = output {
            let refused = Err(CallFailed { refused: true });
            solo.act(|q, now, io, out| q.on_response(now, peer, call, refused, io, out));
        }
    }
    assert!(solo.said().contains(&Output::Closed));
}

/// Whatever we say at a version can be written at that version, and read again.
#[test]
fn answers_fit_their_versions() {
    let mut solo = Solo::start(MemoryDisk::new(), 1, |_| {});
    let ranges = [
        (rpc::FETCH, 4..=18),
        (rpc::VOTE, 0..=2),
        (rpc::BEGIN_QUORUM_EPOCH, 0..=1),
        (rpc::END_QUORUM_EPOCH, 0..=1),
        (rpc::DESCRIBE_QUORUM, 0..=2),
        (rpc::FETCH_SNAPSHOT, 0..=1),
    ];
    for (api_key, versions) in ranges {
        for version in versions {
            for request in requests(api_key, version) {
                let head = wire::frame::RequestHead {
                    api_key,
                    api_version: version,
                    correlation_id: 7,
                    client_id: None,
                };
                let told = format!("{request:?}");
                let response = solo.ask(request).unwrap_or_else(|| panic!("no answer to {told}"));
                let mut frame =
                    response.encode(&head).unwrap_or_else(|e| panic!("{told}: {e}: {response:?}"));
                wire::frame::read_response_head(&mut frame, api_key, version).unwrap();
                let read = Response::decode(api_key, version, &mut frame).unwrap();
                assert_eq!(read.as_ref(), Some(&response), "{told}");
            }
        }
    }
}

/// A request that is right as far as the version allows, and an empty one.
fn requests(api_key: i16, version: i16) -> Vec<Request> {
    use wire::messages as m;
    let mut requests = Vec::new();
    for full in [false, true] {
        let name = rpc::topic_name;
        let one = |request: Request| request;
        requests.push(one(match api_key {
            rpc::FETCH => {
                let mut topic = m::fetch_request::FetchTopic::default()
                    .with_partitions(vec![m::fetch_request::FetchPartition::default()]);
                if version >= 13 {
                    topic.topic_id = rpc::TOPIC_ID;
                } else {
                    topic.topic = name();
                }
                let topics = if full { vec![topic] } else { vec![] };
                Request::Fetch { version, body: m::FetchRequest::default().with_topics(topics) }
            }
            rpc::VOTE => {
                let partition = m::vote_request::PartitionData::default().with_replica_epoch(1);
                let topic = m::vote_request::TopicData::default()
                    .with_topic_name(name())
                    .with_partitions(vec![partition]);
                let topics = if full { vec![topic] } else { vec![] };
                let body =
                    m::VoteRequest::default().with_voter_id(BrokerId(-1)).with_topics(topics);
                Request::Vote { version, body }
            }
            rpc::BEGIN_QUORUM_EPOCH => {
                let partition = m::begin_quorum_epoch_request::PartitionData::default()
                    .with_leader_id(BrokerId(2));
                let topic = m::begin_quorum_epoch_request::TopicData::default()
                    .with_topic_name(name())
                    .with_partitions(vec![partition]);
                let topics = if full { vec![topic] } else { vec![] };
                let body = m::BeginQuorumEpochRequest::default().with_topics(topics);
                Request::BeginQuorumEpoch { version, body }
            }
            rpc::END_QUORUM_EPOCH => {
                let partition = m::end_quorum_epoch_request::PartitionData::default()
                    .with_leader_id(BrokerId(2));
                let topic = m::end_quorum_epoch_request::TopicData::default()
                    .with_topic_name(name())
                    .with_partitions(vec![partition]);
                let topics = if full { vec![topic] } else { vec![] };
                let body = m::EndQuorumEpochRequest::default().with_topics(topics);
                Request::EndQuorumEpoch { version, body }
            }
            rpc::DESCRIBE_QUORUM => {
                let partition = m::describe_quorum_request::PartitionData::default();
                let topic = m::describe_quorum_request::TopicData::default()
                    .with_topic_name(name())
                    .with_partitions(vec![partition]);
                let topics = if full { vec![topic] } else { vec![] };
                let body = m::DescribeQuorumRequest::default().with_topics(topics);
                Request::DescribeQuorum { version, body }
            }
            _ => {
                let partition = m::fetch_snapshot_request::PartitionSnapshot::default()
                    .with_current_leader_epoch(1);
                let topic = m::fetch_snapshot_request::TopicSnapshot::default()
                    .with_name(name())
                    .with_partitions(vec![partition]);
                let topics = if full { vec![topic] } else { vec![] };
                let body = m::FetchSnapshotRequest::default().with_topics(topics);
                Request::FetchSnapshot { version, body }
            }
        }));
    }
    requests
}

/// Runs where `HIGHWATER_KAFKA_HOME` names a Kafka distribution.
#[test]
#[allow(clippy::disallowed_methods, reason = "the tool is another process and reads real files")]
fn kafkas_dump_tool_reads_log_and_snapshots() {
    use wire::metadata::MetadataRecord;
    let Some(home) = std::env::var_os("HIGHWATER_KAFKA_HOME") else {
        eprintln!("skipped: HIGHWATER_KAFKA_HOME is not set");
        return;
    };
    let mut solo = Solo::start(MemoryDisk::new(), 1, |config| {
        config.snapshot_max_new_record_bytes = 500;
    });
    let record = |i: u128| {
        let (name, topic_id) = (format!("topic-{i}"), uuid::Uuid::from_u128(100 + i));
        MetadataRecord::Topic { name, topic_id }.encode()
    };
    let records: Vec<Bytes> = (0..10).map(record).collect();
    let mut offset = 0;
    for pair in records.chunks(2) {
        offset = solo.append(&[&pair[0], &pair[1]]);
    }
    let epoch = solo.quorum.epoch();
    solo.act(|q, now, io, out| q.write_snapshot(now, offset + 1, epoch, records, io, out));
    solo.act(|q, now, io, out| q.close(now, io, out));

    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for path in solo.disk.paths() {
        let file = dir.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, solo.disk.content(path).unwrap()).unwrap();
        if path.ends_with(".log") || path.ends_with(".checkpoint") {
            files.push(file.display().to_string());
        }
    }
    assert_eq!(files.len(), 3, "{files:?}");
    let mut tool = std::path::PathBuf::from(home).join("bin/kafka-dump-log");
    if !tool.exists() {
        tool.set_extension("sh");
    }
    let output = std::process::Command::new(tool)
        .args(["--cluster-metadata-decoder", "--files", &files.join(",")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{complaints}");
    for said in [
        "LeaderChange",
        "KRaftVersion",
        "KRaftVoters",
        "SnapshotHeader",
        "SnapshotFooter",
        "TOPIC_RECORD",
        "topic-9",
        "isvalid: true",
    ] {
        assert!(text.contains(said), "`{said}` is missing in\n{text}\n{complaints}");
    }
    for bad in ["isvalid: false", "Could not", "Skipping", "Exception"] {
        assert!(!text.contains(bad) && !complaints.contains(bad), "{text}\n{complaints}");
    }
}
