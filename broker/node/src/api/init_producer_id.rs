//! InitProducerId: producer ids for idempotent producers, out of blocks that the active controller gives.
//!
//! Promises: no id is given twice in the life of a cluster. Requests wait while there is no block, up to a time. Not
//! promised: transactions; a transactional id is refused.

use std::collections::VecDeque;
use std::ops::Range;

use wire::error::ErrorCode;
use wire::frame::RequestHead;
use wire::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, BrokerId, InitProducerIdRequest,
    InitProducerIdResponse, ProducerId,
};

use crate::context::{CallAnswer, CallTag, Context, Lane, Peer, Request, RequestId, Severity};
use crate::defect::Defect;

/// With fewer ids left than this, the next block is asked for.
const AHEAD: i64 = 100;
/// Wait before the next try after a failed one.
const RETRY_MS: u64 = 50;

struct Waiting {
    id: RequestId,
    head: RequestHead,
    due_ms: u64,
}

#[derive(Default)]
pub struct ProducerIds {
    current: Range<i64>,
    next: Option<Range<i64>>,
    waiting: VecDeque<Waiting>,
    asked: bool,
    retry_at_ms: u64,
}

impl ProducerIds {
    pub fn handle(&mut self, ctx: &mut Context<'_>, request: &Request, broker_epoch: Option<i64>) {
        let Some(body) = request.decode::<InitProducerIdRequest>(ctx) else { return };
        if body.transactional_id.is_some() {
            // Kafka's "this broker can't do that": transactions are not served.
            ctx.respond(request, &failed(ErrorCode::InvalidRequest));
            return;
        }
        if (body.producer_id == ProducerId(-1)) != (body.producer_epoch == -1) {
            // Half of what a producer would name that wants its epoch raised.
            ctx.respond(request, &failed(ErrorCode::InvalidRequest));
            return;
        }
        let (id, head) = (request.id, request.head.clone());
        let due_ms = ctx.now.mono_ms() + ctx.config.request_timeout_ms;
        self.waiting.push_back(Waiting { id, head, due_ms });
        self.drive(ctx, broker_epoch);
    }

    /// Gives ids to those who wait, asks for a block where needed, and refuses those who waited too long.
    pub fn drive(&mut self, ctx: &mut Context<'_>, broker_epoch: Option<i64>) {
        while !self.waiting.is_empty() {
            if self.current.is_empty() {
                match self.next.take() {
                    Some(block) => self.current = block,
                    None => break,
                }
            }
            let Some(waiting) = self.waiting.pop_front() else { break };
            let producer_id = ProducerId(self.current.start);
            if self.waiting.is_empty() || !ctx.config.highwater_defects.has(Defect::ProducerIdTwice)
            {
                self.current.start += 1;
            }
            let response = InitProducerIdResponse::default()
                .with_producer_id(producer_id)
                .with_producer_epoch(0);
            ctx.respond_to(waiting.id, &waiting.head, &response);
        }
        let now_ms = ctx.now.mono_ms();
        while self.waiting.front().is_some_and(|waiting| now_ms >= waiting.due_ms) {
            let Some(waiting) = self.waiting.pop_front() else { break };
            let response = failed(ErrorCode::CoordinatorLoadInProgress);
            ctx.respond_to(waiting.id, &waiting.head, &response);
        }
        self.ask(ctx, broker_epoch);
    }

    fn ask(&mut self, ctx: &mut Context<'_>, broker_epoch: Option<i64>) {
        let left = self.current.end - self.current.start;
        let wanted = self.next.is_none() && left < AHEAD && (left > 0 || !self.waiting.is_empty());
        if !wanted || self.asked || ctx.now.mono_ms() < self.retry_at_ms {
            return;
        }
        let Some(broker_epoch) = broker_epoch else {
            // Not registered yet.
            self.retry_at_ms = ctx.now.mono_ms() + RETRY_MS;
            return;
        };
        let body = AllocateProducerIdsRequest::default()
            .with_broker_id(BrokerId(ctx.config.node_id))
            .with_broker_epoch(broker_epoch);
        self.asked = true;
        let peer = Peer::active_controller(Lane::Controller);
        ctx.call(
            peer,
            wire::api::key::ALLOCATE_PRODUCER_IDS,
            0,
            &body,
            CallTag::AllocateProducerIds,
        );
    }

    pub fn on_response(
        &mut self,
        ctx: &mut Context<'_>,
        answer: CallAnswer,
        broker_epoch: Option<i64>,
    ) {
        self.asked = false;
        let block = answer.ok().and_then(|(version, mut body)| {
            wire::frame::decode::<AllocateProducerIdsResponse>(&mut body, version).ok()
        });
        match block {
            Some(block) if block.error_code == 0 && block.producer_id_len > 0 => {
                let start = block.producer_id_start.0;
                self.next = Some(start..start + i64::from(block.producer_id_len));
            }
            other => {
                self.retry_at_ms = ctx.now.mono_ms() + RETRY_MS;
                if let Some(block) = other {
                    ctx.say(
                        Severity::Debug,
                        format!("no block of producer ids: error {}", block.error_code),
                    );
                }
            }
        }
        self.drive(ctx, broker_epoch);
    }

    pub fn deadline_ms(&self) -> Option<u64> {
        let due = self.waiting.front().map(|waiting| waiting.due_ms)?;
        Some(if self.asked { due } else { due.min(self.retry_at_ms) })
    }
}

fn failed(error: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(error.code())
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}

#[cfg(test)]
mod tests {
    use log::io::IoQueue;
    use wire::Encodable;
    use wire::api::key;
    use wire::messages::{AllocateProducerIdsResponse, InitProducerIdRequest, ProducerId};

    use super::ProducerIds;
    use crate::config::NodeConfig;
    use crate::context::{ConnId, Context, Listener, Now, Outbox, Request, RequestId};

    /// The ids that two producers get, which both waited for a block.
    fn ids(properties: &str) -> Vec<i64> {
        let text = format!(
            "process.roles=broker\nnode.id=1\ncontroller.quorum.voters=9@127.0.0.1:9093\n\
             listeners=PLAINTEXT://127.0.0.1:9092\ncontroller.listener.names=CONTROLLER\nlog.dirs=d\n{properties}"
        );
        let (config, _) = NodeConfig::parse(&text).expect("a good configuration");
        let (mut io, mut outbox) = (IoQueue::default(), Outbox::default());
        let now = Now { mono_ns: 1_000_000_000, wall_ms: 1_700_000_000_000 };
        let mut ctx = Context { now, io: &mut io, outbox: &mut outbox, config: &config };
        let mut producer_ids = ProducerIds::default();
        let body = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        for slot in 0..2 {
            let encoded = wire::frame::encode_request(key::INIT_PRODUCER_ID, 4, 7, "client", &body);
            let mut frame = encoded.expect("a request");
            let head = wire::frame::read_request_head(&mut frame).expect("its header");
            let request = Request {
                id: RequestId { conn: ConnId(1), slot },
                head,
                listener: Listener::Broker,
                peer_host: "127.0.0.1".into(),
                body: frame,
            };
            producer_ids.handle(&mut ctx, &request, Some(1));
        }
        let block = AllocateProducerIdsResponse::default()
            .with_producer_id_start(ProducerId(1000))
            .with_producer_id_len(1000);
        let mut bytes = bytes::BytesMut::new();
        block.encode(&mut bytes, 0).expect("encodes");
        producer_ids.on_response(&mut ctx, Ok((0, bytes.freeze())), Some(1));
        let read = |frame: Vec<bytes::Bytes>| {
            let mut frame = bytes::Bytes::from(frame.concat());
            wire::frame::read_response_head(&mut frame, key::INIT_PRODUCER_ID, 4)
                .expect("a header");
            wire::frame::decode::<wire::messages::InitProducerIdResponse>(&mut frame, 4)
                .expect("a response")
                .producer_id
                .0
        };
        outbox.replies.into_iter().map(|(_, parts)| read(parts.expect("an answer"))).collect()
    }

    #[test]
    fn each_producer_has_an_id_of_its_own() {
        assert_eq!(ids(""), [1000, 1001]);
        assert_eq!(ids("highwater.defects=producer-id-twice\n"), [1000, 1000]);
    }
}
