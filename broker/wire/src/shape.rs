//! A guard in front of the generated decoders: walks a message by its schema and touches no memory but the frame.
//!
//! Promises: a body that passes has every length within its bytes, and at most [`ELEMENTS_MAX`] array elements and tagged
//! fields in all. The generated decoders allocate what an array's length field says before they look for its elements;
//! five bytes could claim four thousand million. Not promised: anything about text or values; those they check themselves.

use crate::codec::{Malformed, Reader};
use kafka_protocol::protocol::Decodable;

#[rustfmt::skip]
mod table;

/// Array elements and tagged fields in one message, all levels together. Kafka has no such bound; the largest clusters
/// have some hundred thousand partitions.
const ELEMENTS_MAX: usize = 500_000;

/// The last version of a field that was never taken back.
const END: i16 = i16::MAX;

/// The first flexible version, and the fields in their order.
pub type Shape = (i16, &'static [Field]);

/// The first and last version that has the field, and what it is.
pub type Field = (i16, i16, Kind);

pub enum Kind {
    /// So many bytes.
    Fix(usize),
    Str,
    Byt,
    Arr(&'static Kind),
    Obj(&'static [Field]),
    /// An object behind a byte that says whether it is there.
    Opt(&'static [Field]),
    /// A tagged field: its tag, the first version in which it is tagged, what it is.
    Tag(u32, i16, &'static Kind),
}

/// A message that can be decoded from bytes that a stranger sent.
pub trait Guarded: Decodable {
    const SHAPE: &'static Shape;
}

/// Checks that `body` begins with a whole message of the shape; answers how many bytes come after it.
pub(crate) fn check(shape: &Shape, version: i16, body: &[u8]) -> Result<usize, Malformed> {
    let flexible = version >= shape.0;
    let mut walk = Walk { version, flexible, elements: 0, reader: Reader::new(body) };
    walk.object(shape.1)?;
    Ok(walk.reader.remaining())
}

struct Walk<'a> {
    version: i16,
    flexible: bool,
    elements: usize,
    reader: Reader<'a>,
}

impl Walk<'_> {
    fn object(&mut self, fields: &'static [Field]) -> Result<(), Malformed> {
        for (low, high, kind) in fields {
            if (*low..=*high).contains(&self.version) {
                match kind {
                    Kind::Tag(_, from, _) if self.version >= *from => {}
                    Kind::Tag(_, _, kind) => self.one(kind)?,
                    kind => self.one(kind)?,
                }
            }
        }
        if self.flexible { self.tagged(fields) } else { Ok(()) }
    }

    fn one(&mut self, kind: &'static Kind) -> Result<(), Malformed> {
        match kind {
            Kind::Fix(count) => self.skip(*count),
            Kind::Str => {
                let length = self.reader.string_length(self.flexible)?;
                self.skip(length.unwrap_or(0))
            }
            Kind::Byt => {
                let length = self.reader.bytes_length(self.flexible)?;
                self.skip(length.unwrap_or(0))
            }
            Kind::Arr(kind) => self.array(kind),
            Kind::Obj(fields) => self.object(fields),
            Kind::Opt(fields) if self.reader.i8()? == 1 => self.object(fields),
            Kind::Opt(_) => Ok(()),
            Kind::Tag(..) => unreachable!("a tag is a field's, not a value's"),
        }
    }

    fn array(&mut self, kind: &'static Kind) -> Result<(), Malformed> {
        let count = self.reader.array_length(self.flexible)?.unwrap_or(0);
        self.count(count)?;
        if let Kind::Fix(size) = kind {
            return self.skip(count.saturating_mul(*size));
        }
        for _ in 0..count {
            self.one(kind)?;
        }
        Ok(())
    }

    fn tagged(&mut self, fields: &'static [Field]) -> Result<(), Malformed> {
        let count = self.reader.uvarint()? as usize;
        self.count(count)?;
        for _ in 0..count {
            let tag = self.reader.uvarint()?;
            let size = self.reader.uvarint()? as usize;
            let inside = self.reader.take(size)?;
            let known = fields.iter().find_map(|(low, high, kind)| match kind {
                Kind::Tag(number, from, kind)
                    if *number == tag
                        && self.version >= *from
                        && (*low..=*high).contains(&self.version) =>
                {
                    Some(*kind)
                }
                _ => None,
            });
            if let Some(kind) = known {
                // The generated decoders trust a known field to be as long as its content: so it has to be.
                let outside = std::mem::replace(&mut self.reader, Reader::new(inside));
                self.one(kind)?;
                let left = std::mem::replace(&mut self.reader, outside).remaining();
                if left != 0 {
                    return Err(Malformed("a tagged field is longer than its content"));
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, count: usize) -> Result<(), Malformed> {
        self.elements = self.elements.saturating_add(count);
        if self.elements > ELEMENTS_MAX {
            return Err(Malformed("the message has too many elements"));
        }
        Ok(())
    }

    fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        self.reader.take(count).map(|_| ())
    }
}
