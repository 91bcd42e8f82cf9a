//! Frames out of a byte stream that comes in pieces, however it was cut.
//!
//! Promises: a frame comes out whole or not at all, in order, and its bytes are copied at most once; memory for a frame
//! grows with the bytes that came, not with the length that was claimed. Not promised: anything after a
//! [`BadLength`]: the stream has no frames any more, and its connection has to be closed.

use bytes::Bytes;

/// A frame's buffer starts no larger than this, whatever length it claims, and then doubles.
const FIRST_BUFFER_BYTES_MAX: usize = 1 << 20;
/// With more than this missing of a frame, reading into the frame's own buffer saves the copy.
const DIRECT_BYTES_MIN: usize = 32 << 10;

/// A length prefix that no frame may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLength(pub i32);

/// What came of a frame so far.
#[derive(Debug, Default)]
pub struct Assembly {
    head: [u8; 4],
    head_len: usize,
    frame: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    bytes: Vec<u8>,
    len: usize,
}

impl Assembly {
    /// Whether the stream stands between two frames: nothing of the next has come.
    pub fn is_empty(&self) -> bool {
        self.head_len == 0 && self.frame.is_none()
    }

    /// The next bytes of the stream. Frames that came whole before a bad length are delivered too.
    pub fn feed(
        &mut self,
        mut data: &[u8],
        frame_bytes_max: i32,
        frames: &mut Vec<Bytes>,
    ) -> Result<(), BadLength> {
        while !data.is_empty() {
            if let Some(partial) = &mut self.frame {
                let take = data.len().min(partial.missing());
                partial.bytes.extend_from_slice(&data[..take]);
                data = &data[take..];
                if partial.missing() == 0 {
                    self.finish(frames);
                }
                continue;
            }
            let take = data.len().min(4 - self.head_len);
            self.head[self.head_len..self.head_len + take].copy_from_slice(&data[..take]);
            self.head_len += take;
            data = &data[take..];
            if self.head_len == 4 {
                self.head_len = 0;
                self.begin(i32::from_be_bytes(self.head), frame_bytes_max, frames)?;
            }
        }
        Ok(())
    }

    /// The buffer of the frame that is under way, with room at its end, if so much of it is missing that the stream
    /// should be read straight into it. Append what comes next, as much as there is room for, and call [`Assembly::fed`].
    pub fn direct(&mut self) -> Option<&mut Vec<u8>> {
        let partial =
            self.frame.as_mut().filter(|partial| partial.missing() >= DIRECT_BYTES_MIN)?;
        partial.make_room();
        Some(&mut partial.bytes)
    }

    /// Bytes were appended to the buffer that [`Assembly::direct`] gave.
    pub fn fed(&mut self, frame_bytes_max: i32, frames: &mut Vec<Bytes>) -> Result<(), BadLength> {
        let Some(partial) = self.frame.as_mut().filter(|p| p.bytes.len() >= p.len) else {
            return Ok(());
        };
        // The allocator may have given more room than was asked for: what lies beyond belongs to the next frame.
        let beyond = partial.bytes.split_off(partial.len);
        self.finish(frames);
        self.feed(&beyond, frame_bytes_max, frames)
    }

    fn begin(
        &mut self,
        length: i32,
        frame_bytes_max: i32,
        frames: &mut Vec<Bytes>,
    ) -> Result<(), BadLength> {
        let len = usize::try_from(length).ok().filter(|_| length <= frame_bytes_max);
        let len = len.ok_or(BadLength(length))?;
        let bytes = Vec::with_capacity(len.min(FIRST_BUFFER_BYTES_MAX));
        self.frame = Some(Partial { bytes, len });
        if len == 0 {
            self.finish(frames);
        }
        Ok(())
    }

    fn finish(&mut self, frames: &mut Vec<Bytes>) {
        if let Some(partial) = self.frame.take() {
            frames.push(partial.bytes.into());
        }
    }
}

impl Partial {
    /// Of a frame that is not finished: at least nothing.
    fn missing(&self) -> usize {
        self.len - self.bytes.len()
    }

    /// Room for what is missing, as long as it doubles the buffer at most.
    fn make_room(&mut self) {
        if self.bytes.len() == self.bytes.capacity() {
            let more = self.missing().min(self.bytes.len().max(FIRST_BUFFER_BYTES_MAX));
            self.bytes.reserve_exact(more);
        }
    }
}

#[cfg(test)]
mod tests;
