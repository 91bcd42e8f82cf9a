//! What drives the invariants, on a real node and on made-up operations.

use super::committed::Advance;
use super::ledger::Ledger;
use super::stage::{LOG, entry};
use super::state::{Loss, METADATA, Members};
use super::*;
use bytes::Bytes;
use log::io::{FileId, IoOp, IoResult, Token};
use log::memory_disk::MemoryDisk;
use node::config::NodeConfig;
use node::node::Node;
use node::step::{Effect, Input, Now, Step};
use std::collections::{BTreeSet, VecDeque};
use wire::batch::{Batch, BatchBuilder, Compression};

#[test]
fn each_has_a_name_of_its_own_and_a_source() {
    let all = all();
    let names: BTreeSet<&str> = all.iter().map(|invariant| invariant.name()).collect();
    assert_eq!(names.len(), all.len());
    for invariant in all {
        assert!(!invariant.source().is_empty() && !invariant.sees().is_empty());
    }
}

fn batch(base_offset: i64, records: usize) -> Batch {
    let mut builder = BatchBuilder::new(Compression::None);
    for _ in 0..records {
        builder.append(1, None, Some(b"value"), &[]);
    }
    Batch::new(builder.build(base_offset, 3)).expect("a batch")
}

/// The disk of one node, and the tokens of its operations.
#[derive(Default)]
struct Bench {
    ledger: Ledger,
    disk: MemoryDisk,
    token: u64,
}

impl Files for MemoryDisk {
    fn content(&self, path: &str) -> Option<Cow<'_, [u8]>> {
        self.content(path).map(Cow::Borrowed)
    }
}

impl Bench {
    fn submit(&mut self, op: &IoOp) -> Token {
        self.token += 1;
        self.ledger.submitted(1, Token(self.token), op);
        Token(self.token)
    }

    fn carry_out(&mut self, op: &IoOp) -> Option<super::ledger::Cut> {
        let token = self.submit(op);
        let result = self.disk.execute(op);
        self.ledger.completed(1, token, &result)
    }

    fn open() -> Bench {
        let mut bench = Bench::default();
        bench.ledger.name(LOG, "orders-0");
        bench.carry_out(&IoOp::CreateDir { path: "orders-0".to_owned() });
        let path = "orders-0/00000000000000000000.log".to_owned();
        bench.carry_out(&IoOp::Open { file: FileId(1), path, create: true });
        bench
    }

    fn ends(&self) -> Vec<i64> {
        let copy = self.ledger.copy(1, LOG).expect("something was written");
        copy.entries.iter().map(|entry| entry.next_offset).collect()
    }
}

fn append(at: u64, batches: &[Batch]) -> IoOp {
    let parts = batches.iter().flat_map(|batch| batch.parts()).collect();
    IoOp::Append { file: FileId(1), at, parts }
}

#[test]
fn the_ledger_follows_appends_and_truncations() {
    let mut bench = Bench::open();
    let batches = [batch(0, 2), batch(2, 1), batch(3, 4)];
    let first = batches[0].len() as u64;
    bench.carry_out(&append(0, &batches[..1]));
    bench.carry_out(&append(first, &batches[1..]));
    assert_eq!(bench.ends(), [2, 3, 7]);
    let cut = bench.carry_out(&IoOp::Truncate { file: FileId(1), len: first });
    assert_eq!(cut.map(|cut| (cut.id, cut.end_offset)), Some((LOG, 2)));
    assert_eq!(bench.ends(), [2]);
}

#[test]
fn pieces_may_be_cut_anywhere() {
    let mut bench = Bench::open();
    let whole = [batch(0, 2).to_contiguous(), batch(2, 1).to_contiguous()].concat();
    let parts = whole.chunks(37).map(Bytes::copy_from_slice).collect();
    bench.carry_out(&IoOp::Append { file: FileId(1), at: 0, parts });
    assert_eq!(bench.ends(), [2, 3]);
}

#[test]
fn a_log_that_is_open_again_is_known_by_its_files() {
    let mut bench = Bench::open();
    bench.carry_out(&append(0, &[batch(0, 2)]));
    let half_done = append(batch(0, 2).len() as u64, &[batch(2, 1)]);
    bench.submit(&half_done);
    bench.disk.execute(&half_done);
    bench.ledger.died(1);
    assert_eq!(bench.ends(), [2], "whether it was written is not known");
    let segments = || std::iter::once((0, u64::MAX));
    assert_eq!(bench.ledger.reopen(1, LOG, segments(), &bench.disk), None);
    assert_eq!(bench.ends(), [2, 3]);
    // Somebody else writes into it.
    let at = (batch(0, 2).len() + batch(2, 1).len()) as u64;
    bench.disk.execute(&IoOp::Open {
        file: FileId(9),
        path: "orders-0/00000000000000000000.log".to_owned(),
        create: false,
    });
    let IoOp::Append { parts, .. } = append(at, &[batch(3, 1)]) else { unreachable!() };
    bench.disk.execute(&IoOp::Append { file: FileId(9), at, parts });
    let strange = bench.ledger.reopen(1, LOG, segments(), &bench.disk).expect("a stranger");
    assert!(strange.contains("the batch at offset 3 of epoch 3"), "{strange}");
}

#[test]
fn a_file_that_is_being_created_is_not_missing() {
    let mut bench = Bench::open();
    bench.carry_out(&append(0, &[batch(0, 2)]));
    bench.ledger.died(1);
    let path = "orders-0/00000000000000000002.log".to_owned();
    let create = IoOp::Open { file: FileId(2), path, create: true };
    let token = bench.submit(&create);
    let segments = || [(0, u64::MAX), (2, 80)].into_iter();
    assert_eq!(bench.ledger.reopen(1, LOG, segments(), &bench.disk), None);
    assert!(!bench.ledger.copy(1, LOG).expect("it").is_damaged);
    // It was opened, and is gone.
    let result = bench.disk.execute(&create);
    bench.ledger.completed(1, token, &result);
    let IoOp::Open { path, .. } = create else { unreachable!() };
    bench.disk.execute(&IoOp::Delete { path });
    let strange = bench.ledger.reopen(1, LOG, segments(), &bench.disk).expect("no such file");
    assert!(strange.ends_with("00000000000000000002.log is not there"), "{strange}");
}

/// One real node alone in the world.
struct Alone {
    node: Node,
    disk: MemoryDisk,
    invariants: Invariants,
    now_ns: u64,
    inputs: VecDeque<Input>,
}

impl Alone {
    fn new(disk: MemoryDisk, mut invariants: Invariants, now_ns: u64) -> Alone {
        let config = "process.roles=broker,controller\nnode.id=1\n\
            controller.quorum.voters=1@n1:9101\n\
            listeners=PLAINTEXT://n1:9001,CONTROLLER://n1:9101\n\
            controller.listener.names=CONTROLLER\nlog.dirs=data\n";
        let config = NodeConfig::parse(config).expect("a good configuration").0;
        invariants.started(1);
        let inputs = VecDeque::from([Input::Start]);
        Alone { node: Node::new(config, 7), disk, invariants, now_ns, inputs }
    }

    fn step(&mut self, input: Input) -> Result<(), Violation> {
        if let Input::Io { token, result } = &input {
            self.invariants.completed(self.now_ns, 1, *token, result)?;
        }
        let now = Now { mono_ns: self.now_ns, wall_ms: 1_700_000_000_000 };
        let mut effects = Vec::new();
        self.node.step(now, input, &mut effects);
        let inspection = self.node.inspect();
        self.invariants.stepped(self.now_ns, 1, &inspection, &effects, &self.disk)?;
        for effect in effects {
            if let Effect::Io { token, op } = effect {
                let result: IoResult = self.disk.execute(&op);
                self.inputs.push_back(Input::Io { token, result });
            }
        }
        Ok(())
    }

    fn run_for(&mut self, ms: u64) -> Result<(), Violation> {
        let until_ns = self.now_ns + ms * 1_000_000;
        loop {
            if let Some(input) = self.inputs.pop_front() {
                self.step(input)?;
                continue;
            }
            match self.node.deadline().filter(|due_ns| *due_ns <= until_ns) {
                Some(due_ns) => self.now_ns = self.now_ns.max(due_ns),
                None => break,
            }
            self.step(Input::Tick)?;
        }
        self.now_ns = until_ns;
        Ok(())
    }
}

#[test]
fn a_healthy_node_violates_nothing_and_its_metadata_is_known() {
    let mut alone = Alone::new(MemoryDisk::default(), Invariants::default(), 1_000_000);
    assert_eq!(alone.run_for(3_000), Ok(()));
    let glimpse = alone.invariants.glimpse();
    let image = alone.node.inspect().image;
    assert!(image.is_unfenced(1), "{image:?}");
    assert_eq!(&glimpse.replay.image, image);
    let metadata = glimpse.committed.log(METADATA).expect("something was committed");
    assert_eq!(metadata.end_offset(), image.offset + 1);
    assert_eq!(metadata.ranges().len(), 1, "{:?}", metadata.ranges());

    let (mut disk, mut invariants, now_ns) = (alone.disk, alone.invariants, alone.now_ns);
    invariants.ended(1);
    disk.kill();
    let mut again = Alone::new(disk, invariants, now_ns);
    assert_eq!(again.run_for(3_000), Ok(()));
    assert!(again.node.inspect().image.is_unfenced(1));
    assert_eq!(again.invariants.glimpse().nodes[&1].life, 2);
}

#[test]
fn a_log_that_lost_its_end_is_noticed_unless_a_fault_took_it() {
    for (loss, fine) in
        [(None, false), (Some(Loss::Unsynced), false), (Some(Loss::Destroyed), true)]
    {
        let mut alone = Alone::new(MemoryDisk::default(), Invariants::default(), 1_000_000);
        assert_eq!(alone.run_for(3_000), Ok(()));
        let (mut disk, mut invariants) = (alone.disk, alone.invariants);
        invariants.ended(1);
        disk.kill();
        let path = "__cluster_metadata-0/00000000000000000000.log".to_owned();
        let file = FileId(u64::MAX);
        disk.execute(&IoOp::Open { file, path, create: false });
        disk.execute(&IoOp::Truncate { file, len: 0 });
        disk.kill();
        if let Some(loss) = loss {
            assert_eq!(invariants.lost(alone.now_ns, 1, loss), Ok(()));
        }
        let mut again = Alone::new(disk, invariants, alone.now_ns);
        let told = again.run_for(3_000);
        assert_eq!(told.is_ok(), fine, "{loss:?}: {told:?}");
        if let Err(violation) = told {
            assert_eq!(violation.invariant, "recovered-prefix");
        }
    }
}

#[test]
fn what_a_node_submits_in_its_last_step_may_be_in_its_log() {
    let mut alone = Alone::new(MemoryDisk::default(), Invariants::default(), 1_000_000);
    assert_eq!(alone.run_for(3_000), Ok(()));
    let Alone { node, mut invariants, now_ns, .. } = alone;
    invariants.glimpse.ledger.name(LOG, "orders-0");
    let mut disk = MemoryDisk::default();
    disk.execute(&IoOp::CreateDir { path: "orders-0".to_owned() });
    let path = "orders-0/00000000000000000000.log".to_owned();
    let open = IoOp::Open { file: FileId(1), path, create: true };
    let mut last_step = Vec::new();
    for (token, op) in (1_000_000..).zip([open, append(0, &[batch(0, 2)])]) {
        disk.execute(&op);
        last_step.push(Effect::Io { token: Token(token), op });
    }
    last_step.push(Effect::Exit { code: 1 });
    assert_eq!(invariants.stepped(now_ns, 1, &node.inspect(), &last_step, &disk), Ok(()));
    invariants.ended(1);
    let segments = std::iter::once((0, u64::MAX));
    assert_eq!(invariants.glimpse.ledger.reopen(1, LOG, segments, &disk), None);
}

#[test]
fn nothing_is_known_of_a_disk_on_which_a_bit_flipped_under_a_process() {
    let mut alone = Alone::new(MemoryDisk::default(), Invariants::default(), 1_000_000);
    assert_eq!(alone.run_for(3_000), Ok(()));
    let (mut disk, mut invariants) = (alone.disk, alone.invariants);
    assert_eq!(invariants.lost(alone.now_ns, 1, Loss::Rotted), Ok(()));
    // What it holds for committed from now on is not on its disk for sure.
    let end_offset = invariants.glimpse.committed.log(METADATA).expect("it").end_offset() + 1;
    let advance = Advance {
        now_ns: alone.now_ns,
        node: 1,
        leads: true,
        counts: true,
        log_start_offset: 0,
        high_watermark: end_offset,
        leader_epoch: 1,
        holders: Members(0b10),
    };
    assert_eq!(invariants.advance(METADATA, &advance), Ok(()));
    let log = invariants.glimpse.committed.log(METADATA).expect("it");
    assert!(log.ranges().last().is_some_and(|range| range.owed.is_empty() && range.excused));
    invariants.ended(1);
    // Recovery stops at the batch with the flipped bit.
    let path = "__cluster_metadata-0/00000000000000000000.log".to_owned();
    let file = FileId(u64::MAX);
    disk.execute(&IoOp::Open { file, path, create: false });
    disk.execute(&IoOp::Truncate { file, len: 0 });
    disk.kill();
    let mut again = Alone::new(disk, invariants, alone.now_ns);
    assert_eq!(again.run_for(3_000), Ok(()));
}

#[test]
fn an_entry_is_the_same_only_in_its_place_and_epoch() {
    let one = entry(0, 4, 1);
    assert!(one.is_same(&one.clone()));
    assert!(!one.is_same(&entry(0, 4, 2)) && !one.is_same(&entry(4, 8, 1)));
}
