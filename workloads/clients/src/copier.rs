//! Members of a group that copy: whatever one is handed goes into another topic, in one transaction with the group's offsets
//! (consume–transform–produce, KIP-98 and KIP-447).
//!
//! Promises: which output was made from which input is written down before the output is sent, and where the group is to
//! stand before that is asked for. A copier whose transaction came to nobody knows what begins anew under its transactional
//! id, where the coordinator says that the group stands. Not here: how often a record may have been copied.

use crate::History;
use crate::fencing::TransactionalId;
use crate::member::{Handed, Member, MemberTask, Order, RunningMember, Standing, work_until_told};
use crate::producer::{SessionTask, ToSend, send_all};
use crate::transaction::{CALL_WAIT, Transactional, Wanted};
use generator::random::Random;
use model::history::{Ending, Event, LogRef, RecordId, TopicRef};
use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// What a copier needs beside what a member of a group does.
pub struct CopierTask {
    /// Of the topic that is read.
    pub member: MemberTask,
    /// Of the topic that is written, which has as many partitions.
    pub producer: SessionTask,
    pub to: TopicRef,
    /// Copies of one transaction: from one to so many, drawn.
    pub records_max: u64,
    /// Transactions that are aborted on purpose, of a thousand.
    pub aborts_per_mille: u64,
    /// The id that its sessions are under.
    pub id: TransactionalId,
    pub random: Random,
}

/// Starts a copier; it joins its group as soon as it has its transactional id.
pub fn start(task: CopierTask, history: Arc<dyn History>) -> RunningMember {
    let name = task.producer.name.clone();
    RunningMember::spawn(name, move |order| {
        let mut copier = Copier { task, history, value: Vec::new() };
        while copier.life(&order).is_continue() {
            // The next one has sessions of its own.
            copier.task.member.reader.session = copier.task.producer.sessions.open();
        }
        copier.history.commit();
    })
}

struct Copier {
    task: CopierTask,
    history: Arc<dyn History>,
    value: Vec<u8>,
}

impl Copier {
    /// From one transactional id to its loss; answers whether another life follows.
    fn life(&mut self, order: &Standing) -> ControlFlow<()> {
        let is_stopped = || order.get() != Order::GoOn;
        // The id comes first: what was left open under it is over before the group's offsets are asked for.
        let opened = Transactional::open(&self.task.producer, &self.history, &is_stopped);
        let Some(mut own) = opened else { return ControlFlow::Break(()) };
        let mut member = match Member::open(self.task.member.clone(), self.history.clone()) {
            Ok(member) => member,
            Err(error) => {
                tracing::error!(copier = self.task.producer.name, %error, "cannot join the group");
                own.close();
                return ControlFlow::Break(());
            }
        };
        let ended = work_until_told(order, |dies| self.round(&mut own, &mut member, order, dies));
        own.close();
        member.close(ended == Some(Order::Leave));
        match ended {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        }
    }

    /// Copies what is handed out now; `false`: that was nothing, or not its own. Breaks where the transactional id is lost, or may be.
    fn round(
        &mut self,
        own: &mut Transactional,
        member: &mut Member,
        order: &Standing,
        dies: bool,
    ) -> ControlFlow<(), bool> {
        let since = self.history.now();
        let records_max = 1 + self.task.random.below(self.task.records_max);
        let handed = member.take(usize::try_from(records_max).unwrap_or(usize::MAX));
        if member.is_dead() {
            return ControlFlow::Break(());
        }
        let (first, next) = handed.bounds();
        // Of the time when it was handed them: one that was thrown out of its group since is to be known as what it was. Asked
        // later, the library names no member at all.
        let membership = member.consumer.group_metadata();
        if next.is_empty() || handed.is_anothers || member.consumer.assignment_lost() {
            member.note(&handed);
            member.back_to(&first);
            own.client.poll(Duration::ZERO);
            return ControlFlow::Continue(false);
        }
        let (transaction, begun) = own.begin(member.task.reader.session, since);
        member.note(&handed);
        let aborts = self.task.random.below(1000) < self.task.aborts_per_mille;
        let (mut asked, mut other) = (false, None);
        let done = begun.and_then(|()| {
            self.copy(own, member, &handed);
            if !dies {
                member.task.seat.stand_still(order);
                asked = self.task.id.begins(own.session());
            }
            if asked {
                // The old session goes on as if nothing had happened: a zombie.
                let is_stopped = || order.get() != Order::GoOn;
                other = Transactional::open(&self.task.producer, &self.history, &is_stopped);
            }
            match dies || aborts {
                true => Ok(()),
                false => self.hand_in(own, member, membership, transaction, &next),
            }
        });
        if dies {
            // As far as that can be had its records are in the log then, of a transaction that nobody ends.
            let _ = own.client.flush(CALL_WAIT);
        }
        let wanted = match (dies, aborts) {
            (true, _) => Wanted::Leave,
            (false, true) => Wanted::Abort,
            (false, false) => Wanted::Commit,
        };
        let ending = own.end(transaction, wanted, done.err());
        if asked {
            self.task.id.tried(&own.client, other.as_ref().map(Transactional::session));
        }
        if let Some(other) = other {
            other.close();
        }
        self.task.id.transacted(own.session(), ending);
        match ending {
            Ending::Committed => member.stands_at(&next),
            Ending::Aborted if dies => {}
            Ending::Aborted => member.back_to(&first),
            Ending::Info => return ControlFlow::Break(()),
        }
        if own.has_fatal_error() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(true)
    }

    /// Sends a record for each one that was handed out, to the partition of the same number.
    fn copy(&mut self, own: &mut Transactional, member: &Member, handed: &Handed) {
        let session = own.session();
        let now = self.history.now();
        let mut sends = Vec::new();
        for (partition, records) in &handed.records {
            let from = member.log(*partition);
            let log = LogRef { topic: self.task.to, partition: *partition };
            for (offset, _) in records {
                let id = RecordId { session, sequence: own.sends };
                own.sends += 1;
                self.history.record(now, Event::Copied { id, log: from, offset: *offset });
                sends.push(ToSend { id, log, intended_mono_ns: now.mono_ns });
            }
        }
        send_all(&own.client, &self.task.producer, &sends, &self.history, &mut self.value);
    }

    /// Where the group stands if the transaction commits.
    fn hand_in(
        &self,
        own: &Transactional,
        member: &Member,
        membership: Option<ConsumerGroupMetadata>,
        transaction: u64,
        next: &BTreeMap<u32, i64>,
    ) -> Result<(), KafkaError> {
        let reader = &member.task.reader;
        let mut list = TopicPartitionList::new();
        for (partition, offset) in next {
            list.add_partition_offset(&reader.topic, *partition as i32, Offset::Offset(*offset))?;
        }
        let offsets = next.iter().map(|(partition, at)| (member.log(*partition), *at)).collect();
        let (session, reader) = (own.session(), reader.session);
        let asked = Event::OffsetsInTransaction { session, transaction, reader, offsets };
        self.history.record(self.history.now(), asked);
        self.history.commit();
        // It has been handed records, and so it is a member.
        let membership = membership.ok_or(KafkaError::Canceled)?;
        own.asked_until_told(|| {
            own.client.send_offsets_to_transaction(&list, &membership, CALL_WAIT)
        })
    }
}
