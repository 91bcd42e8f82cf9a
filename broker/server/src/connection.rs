//! One socket: whole frames in, parts out.
//!
//! Promises: a frame is delivered whole or not at all, and its bytes are copied at most once (small frames) or not at all
//! after the kernel's own copy (large ones); memory for a frame grows with the bytes that came, not with the length that was claimed.
//! What is queued to be sent is bounded by the caller. Not promised: fairness among connections; the caller gives each read a budget.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::time::Instant;

use bytes::Bytes;
use mio::net::TcpStream;
use wire::frame::assembly::{Assembly, BadLength};

/// Slices in one gathering write.
const SLICES_MAX: usize = 256;

pub struct Connection {
    pub stream: TcpStream,
    /// Dialed and not up yet.
    pub dialing: bool,
    pub inbound: bool,
    /// The node closed it: gone as soon as what is queued is sent.
    pub closing: bool,
    pub last_active: Instant,
    pub peer: String,
    /// There may be more to read than was read.
    pub readable: bool,
    writable: bool,
    assembly: Assembly,
    out: VecDeque<Bytes>,
    out_bytes: u64,
}

/// Why nothing more will be read.
#[derive(Debug)]
pub enum End {
    /// The peer closed, or the network did.
    Gone,
    /// A length prefix that no frame may have.
    BadLength(i32),
}

impl Connection {
    pub fn new(stream: TcpStream, inbound: bool, peer: String, now: Instant) -> Connection {
        Connection {
            stream,
            dialing: !inbound,
            inbound,
            closing: false,
            last_active: now,
            peer,
            readable: false,
            writable: inbound,
            assembly: Assembly::default(),
            out: VecDeque::new(),
            out_bytes: 0,
        }
    }

    /// Reads about `budget` bytes at most. Frames that came whole before the end are delivered too.
    pub fn read(
        &mut self,
        scratch: &mut [u8],
        frame_bytes_max: i32,
        budget: usize,
        frames: &mut Vec<Bytes>,
    ) -> Result<(), End> {
        let mut read = 0;
        while read < budget {
            let got = match self.read_once(scratch, frame_bytes_max, frames) {
                Ok(0) => return Err(End::Gone),
                Ok(got) => got,
                Err(ReadError::Bad(BadLength(length))) => return Err(End::BadLength(length)),
                Err(ReadError::Io(error)) => match error.kind() {
                    ErrorKind::WouldBlock => {
                        self.readable = false;
                        return Ok(());
                    }
                    ErrorKind::Interrupted => continue,
                    _ => return Err(End::Gone),
                },
            };
            read += got;
        }
        Ok(())
    }

    fn read_once(
        &mut self,
        scratch: &mut [u8],
        frame_bytes_max: i32,
        frames: &mut Vec<Bytes>,
    ) -> Result<usize, ReadError> {
        let Some(buffer) = self.assembly.direct() else {
            let got = io::Read::read(&mut self.stream, scratch).map_err(ReadError::Io)?;
            self.assembly.feed(&scratch[..got], frame_bytes_max, frames)?;
            return Ok(got);
        };
        let before = buffer.len();
        let spare = rustix::buffer::spare_capacity(buffer);
        let got = rustix::io::read(&self.stream, spare).map_err(|e| ReadError::Io(e.into()))?;
        debug_assert_eq!(buffer.len(), before + got);
        self.assembly.fed(frame_bytes_max, frames)?;
        Ok(got)
    }

    /// Queues one frame, with its length prefix. The answer: how many bytes now wait.
    pub fn queue(&mut self, parts: Vec<Bytes>) -> u64 {
        let len: usize = parts.iter().map(Bytes::len).sum();
        let length = u32::try_from(len).expect("a frame is shorter than 4 GiB");
        self.out.push_back(Bytes::copy_from_slice(&length.to_be_bytes()));
        self.out.extend(parts.into_iter().filter(|part| !part.is_empty()));
        self.out_bytes += len as u64 + 4;
        self.out_bytes
    }

    pub fn has_unsent(&self) -> bool {
        !self.out.is_empty()
    }

    pub fn set_writable(&mut self) {
        self.writable = true;
    }

    /// Sends what the network takes. An error means that the connection is gone.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.writable && !self.out.is_empty() {
            let slices: Vec<IoSlice<'_>> =
                self.out.iter().take(SLICES_MAX).map(|part| IoSlice::new(part)).collect();
            match self.stream.write_vectored(&slices) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => self.sent(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sent(&mut self, mut bytes: usize) {
        self.out_bytes -= bytes as u64;
        while bytes > 0 {
            let first = self.out.front_mut().expect("no more was sent than was queued");
            if first.len() > bytes {
                bytes::Buf::advance(first, bytes);
                return;
            }
            bytes -= first.len();
            self.out.pop_front();
        }
    }
}

enum ReadError {
    Io(io::Error),
    Bad(BadLength),
}

impl From<BadLength> for ReadError {
    fn from(length: BadLength) -> ReadError {
        ReadError::Bad(length)
    }
}

#[cfg(test)]
mod tests;
