//! A raw connection: whole frames out and in, and as broken as a test wants them.

use bytes::Bytes;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use wire::frame;
use wire::{Encodable, Guarded};

/// Only so that a broker which says nothing fails a test instead of holding it for ever.
const SILENCE_MAX: Duration = Duration::from_secs(30);

pub struct Connection {
    stream: TcpStream,
    correlation_id: i32,
}

impl Connection {
    pub fn to(port: u16) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the listener accepts");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(SILENCE_MAX)).expect("a socket option");
        Connection { stream, correlation_id: 0 }
    }

    /// How long [`Connection::receive`] waits for anything at all.
    pub fn be_patient_for(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("a socket option");
    }

    /// Sends a request; its correlation id.
    pub fn send(&mut self, api_key: i16, version: i16, body: &impl Encodable) -> i32 {
        self.correlation_id += 1;
        let frame = frame::encode_request(api_key, version, self.correlation_id, "protocol", body);
        let frame = frame.unwrap_or_else(|error| panic!("{api_key} version {version}: {error}"));
        self.send_frame(&frame);
        self.correlation_id
    }

    pub fn send_frame(&mut self, frame: &[u8]) {
        self.send_raw(&prefixed(frame));
    }

    /// Bytes as they are. The broker may have closed already: that is the reader's to find out.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// No more will be sent; answers can still come.
    pub fn end_sending(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// The next frame.
    pub fn receive(&mut self) -> Received {
        let mut length = [0; 4];
        if let Some(end) = self.fill(&mut length) {
            return end;
        }
        let length = usize::try_from(i32::from_be_bytes(length)).expect("a length of a response");
        let mut frame = vec![0; length];
        match self.fill(&mut frame) {
            Some(end) => end,
            None => Received::Frame(frame.into()),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Option<Received> {
        match self.stream.read_exact(buffer) {
            Ok(()) => None,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Some(Received::Nothing),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    Some(Received::Closed)
                }
                other => panic!("reading: {other}"),
            },
        }
    }

    /// The next response, which has to be the one to this request.
    pub fn answer<A: Guarded>(&mut self, api_key: i16, version: i16, correlation_id: i32) -> A {
        let mut frame = match self.receive() {
            Received::Frame(frame) => frame,
            other => panic!("{} version {version}: {other:?}", wire::api::api_name(api_key)),
        };
        let answered = frame::read_response_head(&mut frame, api_key, version).expect("a header");
        assert_eq!(answered, correlation_id, "answers come in the order of the requests");
        frame::decode(&mut frame, version)
            .unwrap_or_else(|error| panic!("{api_key} version {version}: {error}"))
    }

    /// A request and its response.
    pub fn ask<A: Guarded>(&mut self, api_key: i16, version: i16, body: &impl Encodable) -> A {
        let correlation_id = self.send(api_key, version, body);
        self.answer(api_key, version, correlation_id)
    }
}

#[derive(Debug)]
pub enum Received {
    Frame(Bytes),
    /// The broker closed the connection.
    Closed,
    /// Nothing came, and the connection is open.
    Nothing,
}

/// A frame behind its length.
pub fn prefixed(frame: &[u8]) -> Vec<u8> {
    let length = i32::try_from(frame.len()).expect("a frame of less than 2 GiB");
    [&length.to_be_bytes(), frame].concat()
}
