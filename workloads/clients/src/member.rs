//! Members of a consumer group: librdkafka consumers that subscribe, process what they are handed, and commit before or
//! after, or leave that to the library.
//!
//! Promises: a record is processed once the history says so, and that is written down before the next commit is asked for;
//! before its records are handed out, a partition's committed offset is asked of the coordinator and written down. A member
//! that loses a partition processes nothing more of it. Not here: what must not be skipped or repeated (the checker), and
//! generations, which librdkafka does not tell.

use crate::library::{self, Sign, Silence};
use crate::reader::{BATCH_RECORDS_MAX, Batch, ReaderTask, quiet_error, quiet_log};
use crate::seat::{Seat, Stance};
use crate::{History, outcome};
use model::history::{Ending, Event, LogRef, PassKind, ReaderEvent, Seen, Time};
use model::settings::Commits;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a member waits for its coordinator when it was given partitions.
const COMMITTED_WAIT: Duration = Duration::from_secs(5);
/// How long a poll waits for records.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Polls without any work of a member that is to die over it: while its group rebalances it owns nothing to work on.
const LAST_POLLS_MAX: u32 = 100;

/// What a member needs to know beside what every reader does.
#[derive(Clone)]
pub struct MemberTask {
    pub reader: ReaderTask,
    pub group: String,
    pub commits: Commits,
    /// Where it sits in its group.
    pub seat: Seat,
}

/// What a member is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    GoOn,
    /// Leave with a last commit, where it commits after it worked.
    Leave,
    /// Leave without one, as a process that dies between its work and its commit, or its commit and its work.
    Die,
}

/// The order that stands.
pub(crate) struct Standing(AtomicU8);

impl Standing {
    pub(crate) fn new() -> Standing {
        Standing(AtomicU8::new(Order::GoOn as u8))
    }

    pub(crate) fn set(&self, order: Order) {
        self.0.store(order as u8, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Order {
        match self.0.load(Ordering::Relaxed) {
            0 => Order::GoOn,
            1 => Order::Leave,
            _ => Order::Die,
        }
    }
}

/// A running member.
pub struct RunningMember {
    order: Arc<Standing>,
    thread: JoinHandle<()>,
}

impl RunningMember {
    pub(crate) fn spawn(
        name: String,
        work: impl FnOnce(Arc<Standing>) + Send + 'static,
    ) -> RunningMember {
        let order = Arc::new(Standing::new());
        let told = order.clone();
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || work(told))
            .expect("the operating system refused a thread");
        RunningMember { order, thread }
    }

    pub fn leave(&self) {
        self.order.set(Order::Leave);
    }

    pub fn leave_without_commit(&self) {
        self.order.set(Order::Die);
    }

    /// Waits until it has ended; one that waits for the answer of a dead library is left.
    pub fn join(self) -> std::thread::Result<()> {
        library::join(self.thread)
    }
}

/// Starts a member; it joins its group by itself.
pub fn start(task: MemberTask, history: Arc<dyn History>) -> Result<RunningMember, KafkaError> {
    let name = task.reader.name.clone();
    let mut member = Member::open(task, history)?;
    Ok(RunningMember::spawn(name, move |order| {
        let ended = work_until_told(&order, |dies| member.work(&order, dies));
        member.close(ended == Some(Order::Leave));
    }))
}

/// Works until it is to leave, or to die, which it does over its work, if any comes soon. `work` is told whether it is the
/// last, and answers whether there was any that was its own: a member that dies over what a rebalance gave to another has
/// left nothing half done. Returns what it was told; `None`: `work` broke off by itself.
pub(crate) fn work_until_told(
    order: &Standing,
    mut work: impl FnMut(bool) -> ControlFlow<(), bool>,
) -> Option<Order> {
    let mut polls_left = LAST_POLLS_MAX;
    loop {
        let now = order.get();
        if now == Order::Leave || polls_left == 0 {
            return Some(now);
        }
        let dies = now == Order::Die;
        let ControlFlow::Continue(worked) = work(dies) else { return None };
        if dies {
            polls_left = if worked { 0 } else { polls_left - 1 };
        }
    }
}

/// Asks a group's coordinator for its committed offsets, as a client that is no member.
pub fn ask_committed(
    task: &MemberTask,
    wait: Duration,
    history: &Arc<dyn History>,
) -> Result<(), KafkaError> {
    let context = MemberContext::new(task.clone(), history.clone());
    let consumer: BaseConsumer<MemberContext> =
        task.reader.config().create_with_context(context)?;
    let mut all = TopicPartitionList::new();
    for partition in 0..task.reader.partitions {
        all.add_partition(&task.reader.topic, partition as i32);
    }
    consumer.context().ask(&consumer, &all, wait).map(|_| ())
}

/// What the library calls back into.
pub(crate) struct MemberContext {
    task: MemberTask,
    history: Arc<dyn History>,
    /// Of each partition that is owned: the next offset to be processed, once any was.
    owned: Mutex<BTreeMap<u32, Option<i64>>>,
    /// When the library may have begun the commit whose end it tells next.
    commit_since: Mutex<Time>,
    commit_number: AtomicU64,
    /// How often partitions were given or taken.
    rebalances: AtomicU64,
    sign: Sign,
}

impl MemberContext {
    fn new(task: MemberTask, history: Arc<dyn History>) -> MemberContext {
        MemberContext {
            commit_since: Mutex::new(history.now()),
            task,
            history,
            owned: Mutex::default(),
            commit_number: AtomicU64::new(0),
            rebalances: AtomicU64::new(0),
            sign: Sign::default(),
        }
    }

    fn record(&self, event: Event) {
        self.history.record(self.history.now(), event);
    }

    fn record_reader(&self, what: ReaderEvent) {
        self.record(Event::Reader { reader: self.task.reader.session, pass: 0, what });
    }

    fn log(&self, partition: u32) -> LogRef {
        LogRef { topic: self.task.reader.topic_ref, partition }
    }

    fn partitions(&self, list: &TopicPartitionList) -> Vec<u32> {
        let of_topic = list.elements_for_topic(&self.task.reader.topic);
        of_topic.iter().filter_map(|one| u32::try_from(one.partition()).ok()).collect()
    }

    /// The coordinator's word on these partitions, written down. `None` of a partition: nothing was committed.
    fn ask(
        &self,
        consumer: &BaseConsumer<MemberContext>,
        partitions: &TopicPartitionList,
        wait: Duration,
    ) -> KafkaResult<BTreeMap<u32, Option<i64>>> {
        let asked_mono_ns = self.history.now().mono_ns;
        let answered = consumer.committed_offsets(partitions.clone(), wait)?;
        let mut offsets = BTreeMap::new();
        for element in answered.elements_for_topic(&self.task.reader.topic) {
            element.error()?;
            let Ok(partition) = u32::try_from(element.partition()) else { continue };
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let (group, log) = (self.task.group.clone(), self.log(partition));
            self.record(Event::CommittedSeen { group, log, offset, asked_mono_ns });
            offsets.insert(partition, offset);
        }
        Ok(offsets)
    }

    /// Where each partition that was given begins. Without an answer nothing is known of it, and the library looks itself.
    fn given(&self, consumer: &BaseConsumer<MemberContext>, list: &mut TopicPartitionList) {
        let partitions = self.partitions(list);
        let answer = self.ask(consumer, list, COMMITTED_WAIT);
        let mut owned = self.owned.lock().expect("no holder of this lock panics");
        owned.extend(partitions.iter().map(|partition| (*partition, None)));
        match answer {
            Ok(offsets) => {
                let mut logs = Vec::new();
                for (partition, offset) in &offsets {
                    let begin = offset.map_or(Offset::Beginning, Offset::Offset);
                    let topic = &self.task.reader.topic;
                    // The list holds each of these: it was answered for this list.
                    let _ = list.set_partition_offset(topic, *partition as i32, begin);
                    logs.push((self.log(*partition), *offset));
                }
                // A reader's assignment is all that it reads from then on; those it keeps go on where they stand.
                for partition in owned.keys().filter(|kept| !offsets.contains_key(kept)) {
                    let at = owned.get(partition).copied().flatten();
                    logs.extend(at.map(|at| (self.log(*partition), Some(at))));
                }
                self.task.seat.owns(owned.keys().copied().collect());
                self.record_reader(ReaderEvent::Assigned { logs });
            }
            Err(error) => {
                self.record_reader(ReaderEvent::Error {
                    code: outcome::name(&error),
                    fatal: false,
                });
                let logs = partitions.iter().map(|partition| self.log(*partition)).collect();
                self.record_reader(ReaderEvent::Revoked { logs });
            }
        }
    }

    fn taken(&self, consumer: &BaseConsumer<MemberContext>, list: &TopicPartitionList) {
        let partitions = self.partitions(list);
        let done = {
            let mut owned = self.owned.lock().expect("no holder of this lock panics");
            let of = |partition: &u32| owned.remove(partition).flatten().map(|at| (*partition, at));
            let done = partitions.iter().filter_map(of).collect::<BTreeMap<u32, i64>>();
            self.task.seat.owns(owned.keys().copied().collect());
            done
        };
        // The work is done: who comes next need not do it again.
        if self.task.commits == Commits::After && !done.is_empty() && !consumer.assignment_lost() {
            let _ = self.commit(consumer, &done);
        }
        let logs = partitions.iter().map(|partition| self.log(*partition)).collect();
        self.record_reader(ReaderEvent::Revoked { logs });
    }

    /// Commits the next offsets of these partitions and waits for the answer.
    fn commit(
        &self,
        consumer: &BaseConsumer<MemberContext>,
        next: &BTreeMap<u32, i64>,
    ) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in next {
            let offset = Offset::Offset(*offset);
            list.add_partition_offset(&self.task.reader.topic, *partition as i32, offset)?;
        }
        let (reader, commit) =
            (self.task.reader.session, self.commit_number.fetch_add(1, Ordering::Relaxed));
        let offsets = next.iter().map(|(partition, at)| (self.log(*partition), *at)).collect();
        self.record(Event::CommitBegan { reader, commit, offsets });
        self.history.commit();
        let answer = consumer.commit(&list, CommitMode::Sync);
        let (ending, error) = match &answer {
            Ok(()) => (Ending::Committed, None),
            Err(error) => (class_of(error), Some(outcome::name(error))),
        };
        self.record(Event::CommitEnded { reader, commit, ending, error });
        answer
    }
}

/// Refused before anything was kept, or nobody knows.
fn class_of(error: &KafkaError) -> Ending {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(
            Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::RebalanceInProgress
            | Code::FencedInstanceId
            | Code::StaleMemberEpoch
            | Code::FencedMemberEpoch
            | Code::NotCoordinator
            | Code::CoordinatorLoadInProgress
            | Code::InvalidCommitOffsetSize
            | Code::OffsetMetadataTooLarge
            | Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::NoOffset
            | Code::AssignmentLost,
        ) => Ending::Aborted,
        _ => Ending::Info,
    }
}

impl ClientContext for MemberContext {
    fn stats_raw(&self, _: &[u8]) {
        self.sign.came();
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quiet_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        quiet_error(&error, reason);
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        self.rebalances.fetch_add(1, Ordering::Relaxed);
        let piecemeal = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let result = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.given(consumer, list);
                if piecemeal { consumer.incremental_assign(list) } else { consumer.assign(list) }
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                self.taken(consumer, list);
                if piecemeal { consumer.incremental_unassign(list) } else { consumer.unassign() }
            }
            other => {
                let code = format!("{other:?}");
                self.record_reader(ReaderEvent::Error { code, fatal: false });
                consumer.unassign()
            }
        };
        if let Err(error) = result {
            self.record_reader(ReaderEvent::Error { code: outcome::name(&error), fatal: false });
        }
    }

    /// Of commits that the library made by itself.
    fn commit_callback(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        if self.task.commits != Commits::Automatic {
            return;
        }
        let now = self.history.now();
        let mut since = self.commit_since.lock().expect("no holder of this lock panics");
        let began = std::mem::replace(&mut *since, now);
        let (reader, commit) =
            (self.task.reader.session, self.commit_number.fetch_add(1, Ordering::Relaxed));
        let elements = list.elements_for_topic(&self.task.reader.topic);
        let offset = |one: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let partition = u32::try_from(one.partition()).ok()?;
            let Offset::Offset(offset) = one.offset() else { return None };
            Some((self.log(partition), offset))
        };
        let offsets: Vec<_> = elements.iter().filter_map(offset).collect();
        if offsets.is_empty() {
            return;
        }
        self.history.record(began, Event::CommitBegan { reader, commit, offsets });
        let (ending, error) = match &result {
            Ok(()) => (Ending::Committed, None),
            Err(error) => (class_of(error), Some(outcome::name(error))),
        };
        self.history.record(now, Event::CommitEnded { reader, commit, ending, error });
    }
}

pub(crate) struct Member {
    pub(crate) task: MemberTask,
    pub(crate) consumer: BaseConsumer<MemberContext>,
    silence: Silence,
}

/// What came of one poll.
pub(crate) struct Handed {
    /// Of each partition, some records.
    pub(crate) records: BTreeMap<u32, Vec<(i64, Seen)>>,
    errors: Vec<KafkaError>,
    /// Not to be worked on.
    pub(crate) is_anothers: bool,
}

impl Handed {
    /// Of each partition the first offset that came, and the one after the last.
    pub(crate) fn bounds(&self) -> (BTreeMap<u32, i64>, BTreeMap<u32, i64>) {
        let bounds = |(partition, records): (&u32, &Vec<(i64, Seen)>)| {
            let (first, last) = (records.first()?.0, records.last()?.0);
            Some(((*partition, first), (*partition, last + 1)))
        };
        self.records.iter().filter_map(bounds).unzip()
    }
}

impl Member {
    pub(crate) fn open(task: MemberTask, history: Arc<dyn History>) -> Result<Member, KafkaError> {
        let (session, name) = (task.reader.session, task.reader.name.clone());
        let settings = task.reader.settings.clone();
        history.record(history.now(), Event::ConsumerOpened { session, name, settings });
        let context = MemberContext::new(task.clone(), history);
        context.record(Event::PassBegan { reader: session, pass: 0, kind: PassKind::Live });
        let consumer: BaseConsumer<MemberContext> =
            task.reader.config().create_with_context(context)?;
        consumer.subscribe(&[&task.reader.topic])?;
        task.seat.taken_by(session);
        Ok(Member { task, consumer, silence: Silence::default() })
    }

    /// Takes what there is and works on it. `false`: there was nothing to work on. Breaks off where its library is dead.
    fn work(&mut self, order: &Standing, dies: bool) -> ControlFlow<(), bool> {
        let handed = self.take(BATCH_RECORDS_MAX);
        if self.is_dead() {
            return ControlFlow::Break(());
        }
        self.note(&handed);
        let (first, next) = handed.bounds();
        if handed.is_anothers {
            self.back_to(&first);
            return ControlFlow::Continue(false);
        }
        if !next.is_empty() {
            self.process(&first, &next, order, dies);
        }
        ControlFlow::Continue(!next.is_empty())
    }

    /// Nothing will come of its library any more.
    pub(crate) fn is_dead(&self) -> bool {
        self.silence.is_for_good()
    }

    /// What the library hands out now, up to so many records.
    pub(crate) fn take(&mut self, records_max: usize) -> Handed {
        let context = self.consumer.context();
        let rebalances = context.rebalances.load(Ordering::Relaxed);
        let Batch { mut records, errors, .. } = Batch::poll(
            &self.consumer,
            &self.task.reader,
            POLL_WAIT,
            records_max,
            &mut self.silence,
            &context.sign,
        );
        records.retain(|_, records| !records.is_empty());
        // Some of it was handed out before its partition was taken: that is another's work now.
        let is_anothers = context.rebalances.load(Ordering::Relaxed) != rebalances
            // It had not polled for too long, and was thrown out: the library says so before it takes the partitions.
            || self.consumer.assignment_lost();
        let stance = if self.consumer.assignment_lost() { Stance::Joins } else { Stance::Polls };
        self.task.seat.stance(stance);
        Handed { records, errors, is_anothers }
    }

    /// Writes down what was handed out.
    pub(crate) fn note(&self, handed: &Handed) {
        let context = self.consumer.context();
        for error in &handed.errors {
            let fatal = error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal);
            context.record_reader(ReaderEvent::Error { code: outcome::name(error), fatal });
        }
        for (partition, records) in &handed.records {
            let (reader, log) = (self.task.reader.session, context.log(*partition));
            let records = records.clone();
            context.record(Event::Polled { reader, pass: 0, log, records });
        }
    }

    /// Commits and works, or works and commits; `dies`: no more than the first of the two. In between is where it stands still.
    fn process(
        &self,
        first: &BTreeMap<u32, i64>,
        next: &BTreeMap<u32, i64>,
        order: &Standing,
        dies: bool,
    ) {
        let context = self.consumer.context();
        let seat = &self.task.seat;
        match self.task.commits {
            Commits::Before => match context.commit(&self.consumer, next) {
                Ok(()) if dies => {}
                Ok(()) => {
                    seat.stand_still(order);
                    self.done(first, next);
                }
                // Not to be worked on: whoever owns it then is handed it again.
                Err(_) => self.back_to(first),
            },
            Commits::After | Commits::InTransaction => {
                self.done(first, next);
                if !dies {
                    seat.stand_still(order);
                    let _ = context.commit(&self.consumer, next);
                }
            }
            Commits::Automatic => {
                self.done(first, next);
                if !dies {
                    seat.stand_still(order);
                }
                for (partition, at) in next.iter().filter(|_| !dies) {
                    let (topic, partition) = (&self.task.reader.topic, *partition as i32);
                    // Stored only now, so that the library never commits what is not done. Refused where it is not owned.
                    let _ = self.consumer.store_offset(topic, partition, *at - 1);
                }
            }
        }
    }

    fn done(&self, first: &BTreeMap<u32, i64>, next: &BTreeMap<u32, i64>) {
        let context = self.consumer.context();
        for ((partition, from), to) in first.iter().zip(next.values()) {
            let (reader, log) = (self.task.reader.session, context.log(*partition));
            context.record(Event::Processed { reader, log, from: *from, to: *to });
        }
        self.stands_at(next);
        context.history.commit();
    }

    /// What is before these offsets is done, as long as its partition is owned.
    pub(crate) fn stands_at(&self, next: &BTreeMap<u32, i64>) {
        let mut owned =
            self.consumer.context().owned.lock().expect("no holder of this lock panics");
        for (partition, to) in next {
            if let Some(at) = owned.get_mut(partition) {
                *at = Some(*to);
            }
        }
    }

    pub(crate) fn log(&self, partition: u32) -> LogRef {
        self.consumer.context().log(partition)
    }

    /// Has these handed out again, as far as they are owned.
    pub(crate) fn back_to(&self, first: &BTreeMap<u32, i64>) {
        let context = self.consumer.context();
        let owned = context.owned.lock().expect("no holder of this lock panics").clone();
        for (partition, offset) in
            first.iter().filter(|(partition, _)| owned.contains_key(partition))
        {
            // Given anew, it stands where its group had committed, and is handed out from there.
            let offset = &owned[partition].map_or(*offset, |done| done.max(*offset));
            let (topic, to) = (&self.task.reader.topic, Offset::Offset(*offset));
            if self.consumer.seek(topic, *partition as i32, to, POLL_WAIT).is_ok() {
                let (log, offset) = (context.log(*partition), *offset);
                context.record_reader(ReaderEvent::Seek { log, offset });
            }
        }
    }

    pub(crate) fn close(self, commits: bool) {
        let session = self.task.reader.session;
        let Member { consumer, silence, .. } = self;
        if !commits {
            consumer.context().owned.lock().expect("no holder of this lock panics").clear();
        }
        let (history, context) = (consumer.context().history.clone(), consumer.context().clone());
        let name = &context.task.reader.name;
        if silence.is_for_good() {
            let code = library::DEAD.to_string();
            context.record_reader(ReaderEvent::Error { code, fatal: true });
            library::leave(name, consumer);
        } else {
            // It leaves its group here, and may be told that its partitions are revoked.
            library::let_go(name, consumer);
        }
        context.record(Event::PassEnded { reader: session, pass: 0, complete: false });
        history.record(history.now(), Event::SessionClosed { session });
        history.commit();
    }
}
