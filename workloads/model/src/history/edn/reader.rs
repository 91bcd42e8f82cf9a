//! Operations from bytes that come in pieces.

use super::cursor::{Cursor, Stop};
use super::scan::Scan;
use super::{DEPTH_MAX, EdnError, OPERATION_BYTES_MAX, read as read_map};
use crate::operation::{Names, Operation};

/// A comment or a discarded form between operations is looked at anew with each piece.
const BLANK_BYTES_MAX: usize = 1024 * 1024;

/// How a history ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Behind a whole operation.
    Whole,
    /// Every operation before `byte` was given; the rest is the beginning of one, or the end of a vector is missing.
    Cut { byte: u64, line: u64, because: String },
}

/// Turns bytes into operations, in whatever pieces they come.
///
/// `feed` bytes and take operations with `next` until it has none; after the last bytes, `finish` says how it ended.
#[derive(Default)]
pub struct Reader {
    names: Names,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were taken already.
    taken: usize,
    /// Of `buffer[0]` in the file: its byte, its line from 1, and the bytes before it on that line.
    byte: u64,
    lines_before: u64,
    column: u64,
    /// What closes the collections around the operations.
    around: Vec<u8>,
    /// Of an operation that was not whole when it was first met.
    scan: Option<Scan>,
    failed: Option<EdnError>,
}

impl Reader {
    pub fn new() -> Reader {
        Reader::default()
    }

    /// What the atoms that are no numbers stand for.
    pub fn names(&self) -> &Names {
        &self.names
    }

    pub fn into_names(self) -> Names {
        self.names
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        if self.taken > 0 {
            let taken = &self.buffer[..self.taken];
            let lines = lines_of(taken);
            self.column = match taken.iter().rposition(|byte| *byte == b'\n') {
                Some(at) => (self.taken - at - 1) as u64,
                None => self.column + self.taken as u64,
            };
            self.lines_before += lines;
            self.byte += self.taken as u64;
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next operation, into `operation`; `false`: nothing until more is fed.
    pub fn next(&mut self, operation: &mut Operation) -> Result<bool, EdnError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.advance(operation, false) {
            Ok(()) => Ok(true),
            Err(Stop::Wrong { at, expected }) => Err(self.fail(at, expected)),
            Err(Stop::Incomplete | Stop::Odd) => Ok(false),
        }
    }

    /// Nothing of what was fed is left but blanks: the operation that was taken last was the last one so far.
    pub fn is_between(&self) -> bool {
        let left = &self.buffer[self.taken..];
        self.around.is_empty() && left.iter().all(u8::is_ascii_whitespace)
    }

    /// To be asked once no more bytes will come and `next` has no operation left.
    pub fn finish(&mut self) -> Result<Ending, EdnError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut begun = Operation::default();
        // What begins here is not whole, but what there is of it may be wrong already.
        let taken = self.taken;
        match self.advance(&mut begun, true) {
            Err(Stop::Wrong { at, expected }) => return Err(self.fail(at, expected)),
            // The caller did not take all that there was.
            Ok(()) => self.taken = taken,
            Err(_) => {}
        }
        let left = &self.buffer[self.taken..];
        let because = match (left.first(), self.around.last()) {
            (None | Some(b';'), None) => return Ok(Ending::Whole),
            (None | Some(b';'), Some(closer)) => {
                format!("the `{}` that ends it is missing", *closer as char)
            }
            (Some(_), _) => format!("its last operation is not whole: {} bytes", left.len()),
        };
        let (line, _) = self.place(self.taken);
        Ok(Ending::Cut { byte: self.byte + self.taken as u64, line, because })
    }

    /// Over everything up to the next operation, and over it.
    fn advance(&mut self, operation: &mut Operation, last: bool) -> Result<(), Stop> {
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.advance_in(&buffer, operation, last);
        self.buffer = buffer;
        result
    }

    fn advance_in(
        &mut self,
        buffer: &[u8],
        operation: &mut Operation,
        last: bool,
    ) -> Result<(), Stop> {
        let mut cursor = Cursor::new(buffer, self.taken);
        if self.byte == 0 && self.taken == 0 && buffer.starts_with(b"\xef\xbb\xbf") {
            cursor.at = 3;
        }
        if let Some(scan) = &mut self.scan {
            let begun = &buffer[self.taken..];
            if !scan.is_whole(begun) && !last {
                if begun.len() > OPERATION_BYTES_MAX {
                    return cursor.wrong("the end of this operation long before");
                }
                return Err(Stop::Incomplete);
            }
        }
        loop {
            let byte = match cursor.blank() {
                Ok(byte) => byte,
                Err(stop) => {
                    // Blanks that were walked over are not walked over again with the next piece.
                    self.taken = cursor.at.min(buffer.len());
                    if buffer.len() - self.taken > BLANK_BYTES_MAX {
                        return cursor
                            .wrong("the end of this comment or discarded form long before");
                    }
                    return Err(stop);
                }
            };
            self.taken = cursor.at;
            match byte {
                b'{' => break,
                b'[' | b'(' => {
                    if self.around.len() == DEPTH_MAX {
                        return cursor.wrong("fewer collections around operations");
                    }
                    self.around.push(super::cursor::closer_of(byte));
                    cursor.at += 1;
                }
                b']' | b')' if self.around.last() == Some(&byte) => {
                    self.around.pop();
                    cursor.at += 1;
                }
                b'#' => tag(&mut cursor)?,
                _ => return cursor.wrong("an operation: a map like {:type :invoke, …}"),
            }
            self.taken = cursor.at;
        }
        operation.clear();
        match read_map::operation(&mut cursor, &mut self.names, operation) {
            Ok(()) => {
                self.scan = None;
                self.taken = cursor.at;
                Ok(())
            }
            Err(Stop::Incomplete) => {
                // Whole by its brackets, and yet not to be read to its end.
                if self.scan.take().is_some() && !last {
                    return cursor.wrong("the end of this operation");
                }
                self.scan = Some(Scan::new());
                Err(Stop::Incomplete)
            }
            Err(stop) => Err(stop),
        }
    }

    /// Line from 1 and column from 1 of a byte of the buffer.
    fn place(&self, at: usize) -> (u64, u64) {
        let before = &self.buffer[..at.min(self.buffer.len())];
        let lines = lines_of(before);
        let column = match before.iter().rposition(|byte| *byte == b'\n') {
            Some(feed) => before.len() - feed,
            None => self.column as usize + before.len() + 1,
        };
        (self.lines_before + lines + 1, column as u64)
    }

    fn fail(&mut self, at: usize, expected: &str) -> EdnError {
        let (line, column) = self.place(at);
        let rest = &self.buffer[at.min(self.buffer.len())..];
        let found = String::from_utf8_lossy(&rest[..rest.len().min(60)]);
        let mut found: String =
            found.chars().take_while(|char| !char.is_control()).take(24).collect();
        found = if found.is_empty() { "nothing more".into() } else { format!("`{found}`") };
        let byte = self.byte + at as u64;
        let error = EdnError { line, column, byte, expected: expected.to_owned(), found };
        self.failed = Some(error.clone());
        error
    }
}

/// How many lines end within these bytes.
fn lines_of(bytes: &[u8]) -> u64 {
    // So few at a time that a byte holds the count: checked sums of full width would take as long as the reading.
    let of =
        |few: &[u8]| few.iter().fold(0u8, |sum, byte| sum.wrapping_add(u8::from(*byte == b'\n')));
    bytes.chunks(128).map(|few| u64::from(of(few))).sum()
}

/// Over the tag of an operation.
fn tag(cursor: &mut Cursor) -> Result<(), Stop> {
    let start = cursor.at;
    cursor.at += 1;
    // The namespace of `#:name{…}` is dropped like any other tag.
    let named = !cursor.token()?.is_empty();
    if !named || cursor.blank()? != b'{' {
        cursor.at = start;
        return cursor.wrong("an operation: a map like {:type :invoke, …}");
    }
    Ok(())
}

/// A whole history at once.
pub fn read(bytes: &[u8]) -> Result<(Vec<Operation>, Names, Ending), EdnError> {
    let mut reader = Reader::new();
    reader.feed(bytes);
    let mut operations = Vec::new();
    let mut operation = Operation::default();
    while reader.next(&mut operation)? {
        operations.push(operation.clone());
    }
    let ending = reader.finish()?;
    Ok((operations, reader.into_names(), ending))
}
