//! What the rules that look at frames make of requests and responses.
//!
//! Promises: a response goes on, is changed or is forged in its turn: a broker answers in the order of the requests, and so
//! does the proxy for it. A rule takes hold of frames that begin after it was laid, of nothing that is half through.

use crate::frames::{Fate, Head, RequestHead, Sink};
use crate::links::{Direction, Standing};
use crate::metadata::Snapshot;
use crate::refusal::refuse;
use crate::rule::{Effect, Rule};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A request that has not been answered.
#[derive(Debug)]
struct Asked {
    api: i16,
    version: i16,
    correlation: i32,
    /// An answer that the broker will not be asked for.
    forged: Option<Vec<u8>>,
}

/// What of a connection's talk is to be remembered.
#[derive(Debug, Default)]
pub struct Talk {
    asked: VecDeque<Asked>,
}

/// Bytes that go on, and how much later because of what they are.
pub type Pieces = Vec<(Bytes, Duration)>;

/// Takes requests.
pub struct Requests<'a> {
    pub talk: &'a mut Talk,
    pub standing: &'a mut [Standing],
    pub out: Pieces,
    open: BytesMut,
    later: Duration,
    /// Of the request that is being collected.
    collected: Option<(RequestHead, Arc<Rule>)>,
}

impl<'a> Requests<'a> {
    pub fn new(talk: &'a mut Talk, standing: &'a mut [Standing], kept: Kept) -> Requests<'a> {
        let (out, open, later) = (Vec::new(), BytesMut::new(), Duration::ZERO);
        Requests { talk, standing, out, open, later, collected: kept.0 }
    }

    /// What goes on, and what is to be kept until more comes.
    pub fn finish(mut self) -> (Pieces, Kept) {
        self.close();
        (self.out, Kept(self.collected))
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.out.push((self.open.split().freeze(), self.later));
            self.later = Duration::ZERO;
        }
    }
}

/// A request that is being collected, between two reads.
#[derive(Debug, Default)]
pub struct Kept(Option<(RequestHead, Arc<Rule>)>);

impl Sink for Requests<'_> {
    fn head(&mut self, head: &Head, held: bool) -> Fate {
        let Head::Request(head) = head else { return Fate::Pass };
        if held {
            for one in self.standing.iter_mut() {
                match &one.rule.effect {
                    Effect::DelayApi { api, delay } if *api == head.api => {
                        let delay = *delay;
                        one.rule.tally.meet();
                        one.rule.tally.wait(delay);
                        // What came before goes on as it is.
                        if !self.open.is_empty() {
                            self.out.push((self.open.split().freeze(), self.later));
                            self.later = Duration::ZERO;
                        }
                        self.later += delay;
                    }
                    Effect::FailApi { api, percent, .. }
                        if *api == head.api && head.is_answered =>
                    {
                        let percent = *percent;
                        if one.draws(Direction::ToBroker).percent(percent) {
                            self.collected = Some((head.clone(), one.rule.clone()));
                            return Fate::Collect;
                        }
                    }
                    _ => {}
                }
            }
        }
        self.talk.ask(head, None);
        Fate::Pass
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
    }

    fn whole(&mut self, frame: Vec<u8>) {
        let Some((head, rule)) = self.collected.take() else { return };
        let Effect::FailApi { error, .. } = rule.effect else { return };
        let frame = Bytes::from(frame);
        match refuse(frame.slice(4..), error) {
            Ok(answer) => {
                rule.tally.meet();
                self.talk.ask(&head, Some(answer));
            }
            // What can't be read is the broker's to refuse.
            Err(_) => {
                self.talk.ask(&head, None);
                self.open.extend_from_slice(&frame);
            }
        }
    }

    fn end(&mut self) {
        // A delay is of one frame; the order of the line makes the others wait for it.
        if !self.later.is_zero() {
            self.close();
        }
    }
}

impl Talk {
    fn ask(&mut self, head: &RequestHead, forged: Option<Vec<u8>>) {
        if head.is_answered {
            let (api, version, correlation) = (head.api, head.version, head.correlation);
            self.asked.push_back(Asked { api, version, correlation, forged });
        }
    }

    /// The request that a response answers; those before it were not answered.
    fn answered(&mut self, correlation: i32) -> Option<Asked> {
        let at = self.asked.iter().position(|asked| asked.correlation == correlation)?;
        self.asked.drain(..at);
        self.asked.pop_front()
    }

    /// An answer was forged that is not out yet.
    pub fn has_forged(&self) -> bool {
        self.asked.iter().any(|asked| asked.forged.is_some())
    }

    /// Forged answers whose turn it is.
    pub fn forged(&mut self) -> Vec<u8> {
        let mut due = Vec::new();
        while let Some(answer) = self.asked.front_mut().and_then(|asked| asked.forged.take()) {
            due.extend(answer);
            self.asked.pop_front();
        }
        due
    }
}

/// Takes responses.
pub struct Responses<'a> {
    pub talk: &'a mut Talk,
    pub standing: &'a mut [Standing],
    pub out: BytesMut,
    /// A response was lost: the connection ends with what went before it.
    pub lost: bool,
    pub changing: &'a mut Option<(i16, Arc<Rule>, Arc<Snapshot>)>,
}

impl Sink for Responses<'_> {
    fn head(&mut self, head: &Head, held: bool) -> Fate {
        let Head::Response { correlation } = head else { return Fate::Pass };
        if self.lost {
            return Fate::Drop;
        }
        let Some(asked) = self.talk.answered(*correlation) else { return Fate::Pass };
        if !held {
            return Fate::Pass;
        }
        for one in self.standing.iter_mut() {
            match &one.rule.effect {
                Effect::LoseResponse { api, percent } if *api == asked.api => {
                    let percent = *percent;
                    if one.draws(Direction::FromBroker).percent(percent) {
                        one.rule.tally.meet();
                        self.lost = true;
                        return Fate::Drop;
                    }
                }
                Effect::StaleMetadata(snapshot) if asked.api == METADATA => {
                    *self.changing = Some((asked.version, one.rule.clone(), snapshot.clone()));
                    return Fate::Collect;
                }
                _ => {}
            }
        }
        Fate::Pass
    }

    fn pass(&mut self, bytes: &[u8]) {
        if !self.lost {
            self.out.extend_from_slice(bytes);
        }
    }

    fn whole(&mut self, frame: Vec<u8>) {
        let Some((version, rule, snapshot)) = self.changing.take() else { return };
        let frame = Bytes::from(frame);
        match snapshot.changed_back(frame.slice(4..), version) {
            Ok(changed) => {
                rule.tally.meet();
                self.out.extend_from_slice(&(changed.len() as u32).to_be_bytes());
                self.out.extend_from_slice(&changed);
            }
            Err(_) => self.out.extend_from_slice(&frame),
        }
    }

    fn end(&mut self) {
        if !self.lost {
            let forged = self.talk.forged();
            self.out.extend_from_slice(&forged);
        }
    }
}

const METADATA: i16 = kafka_protocol::messages::ApiKey::Metadata as i16;
