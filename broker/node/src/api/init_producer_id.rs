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
            self.current.start += 1;
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
