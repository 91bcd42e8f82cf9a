//! The primitives of Kafka's binary formats, for what we read and write ourselves.
//!
//! Promises: a [`Reader`] never reads past its slice, and an array length is checked against the bytes that are left
//! before anybody may allocate for it. Not promised: anything about meaning.

use bytes::Bytes;
use uuid::Uuid;

/// Why bytes could not be read as what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

const SHORT: Malformed = Malformed("the bytes end too early");

/// Reads big-endian primitives off the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes not read yet, without reading them.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(SHORT)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(SHORT)?;
        self.bytes = rest;
        Ok(*taken)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub fn i8(&mut self) -> Result<i8, Malformed> {
        Ok(self.u8()?.cast_signed())
    }

    pub fn bool(&mut self) -> Result<bool, Malformed> {
        Ok(self.u8()? != 0)
    }

    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub fn i16(&mut self) -> Result<i16, Malformed> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub fn uuid(&mut self) -> Result<Uuid, Malformed> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    /// An unsigned variable-length integer of up to 32 bits.
    pub fn uvarint(&mut self) -> Result<u32, Malformed> {
        let mut value: u32 = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a variable-length integer is longer than five bytes"))
    }

    /// A zigzag variable-length integer of up to 32 bits, as records use for lengths and offsets.
    pub fn varint(&mut self) -> Result<i32, Malformed> {
        let raw = self.uvarint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// A zigzag variable-length integer of up to 64 bits, as records use for timestamps.
    pub fn varlong(&mut self) -> Result<i64, Malformed> {
        let mut raw: u64 = 0;
        for shift in [0, 7, 14, 21, 28, 35, 42, 49, 56, 63] {
            let byte = self.u8()?;
            raw |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed());
            }
        }
        Err(Malformed("a variable-length integer is longer than ten bytes"))
    }

    /// A string, or `None` for null. `flexible` chooses the compact form.
    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<String>, Malformed> {
        let Some(length) = self.string_length(flexible)? else { return Ok(None) };
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed("a string is not UTF-8"))?;
        Ok(Some(text.to_owned()))
    }

    pub fn string(&mut self, flexible: bool) -> Result<String, Malformed> {
        self.nullable_string(flexible)?.ok_or(Malformed("a string that must be there is null"))
    }

    /// The length of a string that follows, `None` for null.
    pub fn string_length(&mut self, flexible: bool) -> Result<Option<usize>, Malformed> {
        if flexible {
            return Ok(self.uvarint()?.checked_sub(1).map(|length| length as usize));
        }
        nullable_length(i32::from(self.i16()?))
    }

    /// Bytes, or `None` for null. `flexible` chooses the compact form.
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, Malformed> {
        let Some(length) = self.bytes_length(flexible)? else { return Ok(None) };
        Ok(Some(Bytes::copy_from_slice(self.take(length)?)))
    }

    pub fn bytes(&mut self, flexible: bool) -> Result<Bytes, Malformed> {
        self.nullable_bytes(flexible)?.ok_or(Malformed("bytes that must be there are null"))
    }

    /// The length of bytes that follow, `None` for null.
    pub fn bytes_length(&mut self, flexible: bool) -> Result<Option<usize>, Malformed> {
        if flexible {
            return Ok(self.uvarint()?.checked_sub(1).map(|length| length as usize));
        }
        nullable_length(self.i32()?)
    }

    /// The element count of an array that follows, `None` for null. Every element takes at least one byte, so a count
    /// above the bytes that are left is refused here.
    pub fn array_length(&mut self, flexible: bool) -> Result<Option<usize>, Malformed> {
        let length = self.bytes_length(flexible)?;
        if length.is_some_and(|length| length > self.remaining()) {
            return Err(Malformed("an array claims more elements than there are bytes"));
        }
        Ok(length)
    }

    /// An array of what `element` reads, or `None` for null.
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        mut element: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<Option<Vec<T>>, Malformed> {
        let Some(length) = self.array_length(flexible)? else { return Ok(None) };
        // Grown as elements prove to be there: an element in memory may be far larger than its one byte on the wire.
        let mut elements = Vec::with_capacity(length.min(1024));
        for _ in 0..length {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    pub fn array_of<T>(
        &mut self,
        flexible: bool,
        element: impl FnMut(&mut Reader<'a>) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        self.nullable_array(flexible, element)?
            .ok_or(Malformed("an array that must be there is null"))
    }

    /// Reads the tagged fields at the end of a flexible structure: `known` gets each tag with a reader over exactly its
    /// bytes, and says whether it used it.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut Reader<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            let mut field = Reader::new(self.take(size)?);
            known(tag, &mut field)?;
        }
        Ok(())
    }

    pub fn skip_tagged_fields(&mut self) -> Result<(), Malformed> {
        self.tagged_fields(|_, _| Ok(()))
    }
}

fn nullable_length(length: i32) -> Result<Option<usize>, Malformed> {
    match length {
        -1 => Ok(None),
        length => usize::try_from(length).map(Some).map_err(|_| Malformed("a length is negative")),
    }
}

/// Appends big-endian primitives. What does not fit its length prefix is a bug of the caller's.
pub trait Put {
    fn put_raw(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, value: u8) {
        self.put_raw(&[value]);
    }
    fn put_i8(&mut self, value: i8) {
        self.put_raw(&value.to_be_bytes());
    }
    fn put_bool(&mut self, value: bool) {
        self.put_u8(u8::from(value));
    }
    fn put_u16(&mut self, value: u16) {
        self.put_raw(&value.to_be_bytes());
    }
    fn put_i16(&mut self, value: i16) {
        self.put_raw(&value.to_be_bytes());
    }
    fn put_i32(&mut self, value: i32) {
        self.put_raw(&value.to_be_bytes());
    }
    fn put_u32(&mut self, value: u32) {
        self.put_raw(&value.to_be_bytes());
    }
    fn put_i64(&mut self, value: i64) {
        self.put_raw(&value.to_be_bytes());
    }
    fn put_uuid(&mut self, value: Uuid) {
        self.put_raw(value.as_bytes());
    }

    fn put_uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.put_u8((value as u8) | 0x80);
            value >>= 7;
        }
        self.put_u8(value as u8);
    }

    fn put_varint(&mut self, value: i32) {
        self.put_uvarint(((value << 1) ^ (value >> 31)).cast_unsigned());
    }

    fn put_varlong(&mut self, value: i64) {
        let mut raw = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while raw >= 0x80 {
            self.put_u8((raw as u8) | 0x80);
            raw >>= 7;
        }
        self.put_u8(raw as u8);
    }

    fn put_string(&mut self, flexible: bool, value: &str) {
        self.put_nullable_string(flexible, Some(value));
    }

    fn put_nullable_string(&mut self, flexible: bool, value: Option<&str>) {
        match (flexible, value) {
            (true, None) => self.put_uvarint(0),
            (true, Some(text)) => self.put_uvarint(length_u32(text.len()) + 1),
            (false, None) => self.put_i16(-1),
            (false, Some(text)) => {
                let length = i16::try_from(text.len()).expect("a string of at most 32767 bytes");
                self.put_i16(length);
            }
        }
        self.put_raw(value.unwrap_or_default().as_bytes());
    }

    fn put_bytes(&mut self, flexible: bool, value: &[u8]) {
        self.put_nullable_bytes(flexible, Some(value));
    }

    fn put_nullable_bytes(&mut self, flexible: bool, value: Option<&[u8]>) {
        self.put_nullable_length(flexible, value.map(<[u8]>::len));
        self.put_raw(value.unwrap_or_default());
    }

    /// The length prefix of bytes or of an array.
    fn put_length(&mut self, flexible: bool, length: usize) {
        self.put_nullable_length(flexible, Some(length));
    }

    fn put_nullable_length(&mut self, flexible: bool, length: Option<usize>) {
        match (flexible, length) {
            (true, None) => self.put_uvarint(0),
            (true, Some(length)) => self.put_uvarint(length_u32(length) + 1),
            (false, None) => self.put_i32(-1),
            (false, Some(length)) => self.put_i32(length_u32(length).cast_signed()),
        }
    }

    fn put_array<T>(
        &mut self,
        flexible: bool,
        elements: &[T],
        mut element: impl FnMut(&mut Self, &T),
    ) where
        Self: Sized,
    {
        self.put_length(flexible, elements.len());
        for one in elements {
            element(self, one);
        }
    }

    /// The tagged fields that end a flexible structure; they must come in ascending order of tag.
    fn put_tagged_fields(&mut self, fields: &[(u32, Vec<u8>)]) {
        assert!(fields.is_sorted_by(|a, b| a.0 < b.0), "tags ascend");
        self.put_uvarint(length_u32(fields.len()));
        for (tag, bytes) in fields {
            self.put_uvarint(*tag);
            self.put_uvarint(length_u32(bytes.len()));
            self.put_raw(bytes);
        }
    }
}

impl Put for Vec<u8> {
    fn put_raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Put for bytes::BytesMut {
    fn put_raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

fn length_u32(length: usize) -> u32 {
    assert!(length < i32::MAX as usize, "a length of {length} fits no Kafka message");
    length as u32
}

/// Bytes that an unsigned variable-length integer takes.
pub fn uvarint_len(value: u32) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        0x20_0000..=0xfff_ffff => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn varints_are_zigzag_and_refuse_a_sixth_byte() {
        let mut bytes = Vec::new();
        bytes.put_varint(-1);
        bytes.put_varint(1);
        bytes.put_varint(300);
        bytes.put_varint(i32::MIN);
        assert_eq!(bytes, [1, 2, 216, 4, 255, 255, 255, 255, 15]);
        assert!(Reader::new(&[0x80; 6]).uvarint().is_err());
        assert!(Reader::new(&[0x80; 11]).varlong().is_err());
        assert!(Reader::new(&[]).uvarint().is_err());
    }

    #[test]
    fn an_array_cannot_claim_more_elements_than_bytes() {
        let mut bytes = Vec::new();
        bytes.put_i32(i32::MAX);
        assert!(Reader::new(&bytes).array_length(false).is_err());
        assert!(Reader::new(&[255, 255, 255, 255, 15]).array_length(true).is_err());
        assert!(Reader::new(&[0x80, 0, 0, 0]).array_length(false).is_err());
    }

    proptest! {
        #[test]
        fn numbers_come_back(a: i32, b: i64, c: u32) {
            let mut bytes = Vec::new();
            bytes.put_varint(a);
            bytes.put_varlong(b);
            bytes.put_uvarint(c);
            let before = bytes.len();
            prop_assert_eq!(uvarint_len(c), { let mut one = Vec::new(); one.put_uvarint(c); one.len() });
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(a));
            prop_assert_eq!(reader.varlong(), Ok(b));
            prop_assert_eq!(reader.uvarint(), Ok(c));
            prop_assert_eq!(reader.remaining(), 0);
            prop_assert!(before <= 20);
        }

        #[test]
        fn strings_come_back(text in proptest::option::of(".{0,40}"), flexible: bool) {
            let mut bytes = Vec::new();
            bytes.put_nullable_string(flexible, text.as_deref());
            prop_assert_eq!(Reader::new(&bytes).nullable_string(flexible), Ok(text));
        }
    }
}
