//! Requests that only the active controller can answer: a broker sends them on in an Envelope and hands its answer back.
//!
//! Promises: the client gets the controller's own bytes. While there is no active controller, or it is just changing, the
//! request is tried again until its time is up; then it is refused, or the connection closed where no refusal can be
//! written. Not promised: that a request is carried out at most once; one whose answer was lost is sent again, as Kafka does.

use bytes::Bytes;
use rustc_hash::FxHashMap;
use wire::api::key;
use wire::error::ErrorCode;
use wire::messages::{
    DescribeQuorumRequest, DescribeQuorumResponse, EnvelopeRequest, EnvelopeResponse,
};

use crate::context::{CallAnswer, CallTag, Context, Lane, Peer, Request, RequestId, Severity};
use crate::controller::ControllerRequest;

/// Wait before the next try.
const RETRY_MS: u64 = 30;

/// Kafka's `DefaultPrincipalData` version 0 for `User:ANONYMOUS`: who everybody is without authentication.
const ANONYMOUS: &[u8] = b"\x00\x00\x05User\x0aANONYMOUS\x00\x00";

struct Forwarded {
    request: Request,
    frame: Bytes,
    due_ms: u64,
    /// `None`: with the controller.
    retry_at_ms: Option<u64>,
}

#[derive(Default)]
pub struct Forwards {
    open: FxHashMap<RequestId, Forwarded>,
}

impl Forwards {
    /// `frame` is the request as it came, header included.
    pub fn forward(&mut self, ctx: &mut Context<'_>, request: Request, frame: Bytes) {
        let due_ms = ctx.now.mono_ms() + ctx.config.request_timeout_ms;
        let id = request.id;
        send(ctx, &request, frame.clone());
        self.open.insert(id, Forwarded { request, frame, due_ms, retry_at_ms: None });
    }

    pub fn on_response(&mut self, ctx: &mut Context<'_>, id: RequestId, answer: CallAnswer) {
        let Some(forwarded) = self.open.get_mut(&id) else { return };
        let envelope = answer.ok().and_then(|(version, mut body)| {
            wire::frame::decode::<EnvelopeResponse>(&mut body, version).ok()
        });
        match envelope {
            Some(EnvelopeResponse { error_code: 0, response_data: Some(data), .. }) => {
                self.open.remove(&id);
                ctx.reply(id, vec![data]);
            }
            Some(envelope) if envelope.error_code != ErrorCode::NotController.code() => {
                ctx.say(
                    Severity::Warn,
                    format!(
                        "the controller refused an envelope with error {}",
                        envelope.error_code
                    ),
                );
                self.open.remove(&id);
                ctx.drop_connection(id.conn);
            }
            _ => forwarded.retry_at_ms = Some(ctx.now.mono_ms() + RETRY_MS),
        }
    }

    /// Tries again what waits for it, and ends what waited too long.
    pub fn on_tick(&mut self, ctx: &mut Context<'_>) {
        let now_ms = ctx.now.mono_ms();
        let mut over = Vec::new();
        for (id, forwarded) in &mut self.open {
            if forwarded.retry_at_ms.is_none_or(|at_ms| now_ms < at_ms) {
                continue;
            }
            if now_ms >= forwarded.due_ms {
                over.push(*id);
                continue;
            }
            forwarded.retry_at_ms = None;
            send(ctx, &forwarded.request, forwarded.frame.clone());
        }
        over.sort_unstable();
        for id in over {
            if let Some(forwarded) = self.open.remove(&id) {
                refuse(ctx, &forwarded.request);
            }
        }
    }

    /// There is a new controller: what waits is tried at once.
    pub fn on_controller(&mut self, now_ms: u64) {
        for forwarded in self.open.values_mut() {
            forwarded.retry_at_ms = forwarded.retry_at_ms.map(|at_ms| at_ms.min(now_ms));
        }
    }

    pub fn deadline_ms(&self) -> Option<u64> {
        self.open.values().filter_map(|forwarded| forwarded.retry_at_ms).min()
    }
}

fn send(ctx: &mut Context<'_>, request: &Request, frame: Bytes) {
    let address: Bytes = match request.peer_host.parse() {
        Ok(std::net::IpAddr::V4(address)) => address.octets().to_vec().into(),
        Ok(std::net::IpAddr::V6(address)) => address.octets().to_vec().into(),
        Err(_) => Bytes::from_static(&[127, 0, 0, 1]),
    };
    let body = EnvelopeRequest::default()
        .with_request_data(frame)
        .with_request_principal(Some(Bytes::from_static(ANONYMOUS)))
        .with_client_host_address(address);
    let peer = Peer::active_controller(Lane::Controller);
    ctx.call(peer, key::ENVELOPE, 0, &body, CallTag::Forward { request: request.id });
}

/// Nobody answered in time.
fn refuse(ctx: &mut Context<'_>, request: &Request) {
    if request.head.api_key == key::DESCRIBE_QUORUM {
        if request.decode::<DescribeQuorumRequest>(ctx).is_some() {
            let code = ErrorCode::RequestTimedOut.code();
            ctx.respond(request, &DescribeQuorumResponse::default().with_error_code(code));
        }
        return;
    }
    if let Some(body) = ControllerRequest::read(request, ctx) {
        body.refusal(ErrorCode::RequestTimedOut).send(request, ctx);
    }
}
