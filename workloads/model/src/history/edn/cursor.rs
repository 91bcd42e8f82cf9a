//! Walks over EDN text: blanks, tokens, numbers, whole forms. Iterative throughout.

use super::{DEPTH_MAX, quick};

/// Why it went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes end here; more may follow.
    Incomplete,
    /// This is no EDN, or no operation.
    Wrong { at: usize, expected: &'static str },
    /// It is EDN, but not of the shape that was tried.
    Odd,
}

pub(super) type Walk<T> = Result<T, Stop>;

pub(super) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

const BLANK: u8 = 1;
/// Ends a token.
const DELIMITER: u8 = 2;

/// What each byte is to a tokenizer.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut at = 0;
    while at < 256 {
        classes[at] = match at as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | 0x0b | 0x0c | 0x1c..=0x1f => BLANK | DELIMITER,
            b'{' | b'}' | b'[' | b']' | b'(' | b')' | b'"' | b';' | b'\\' => DELIMITER,
            _ => 0,
        };
        at += 1;
    }
    classes
};

pub(super) fn is_delimiter(byte: u8) -> bool {
    CLASSES[byte as usize] & DELIMITER != 0
}

pub(super) fn closer_of(open: u8) -> u8 {
    match open {
        b'{' => b'}',
        b'[' => b']',
        _ => b')',
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Cursor<'a> {
        Cursor { bytes, at }
    }

    pub(super) fn wrong<T>(&self, expected: &'static str) -> Walk<T> {
        Err(Stop::Wrong { at: self.at, expected })
    }

    #[inline]
    pub(super) fn peek(&self) -> Walk<u8> {
        self.bytes.get(self.at).copied().ok_or(Stop::Incomplete)
    }

    /// To the next form, over blanks, comments and discarded forms. The byte there.
    #[inline]
    pub(super) fn blank(&mut self) -> Walk<u8> {
        loop {
            let byte = self.peek()?;
            if CLASSES[byte as usize] & BLANK != 0 {
                self.at += 1;
            } else if byte == b';' || byte == b'#' {
                if !self.rare_blank(byte)? {
                    return Ok(byte);
                }
            } else {
                return Ok(byte);
            }
        }
    }

    /// A comment, or `#_` and the form after it. `false`: it is neither. Stays where it began if that is not whole.
    #[cold]
    fn rare_blank(&mut self, byte: u8) -> Walk<bool> {
        let start = self.at;
        if byte == b';' {
            self.comment()?;
            return Ok(true);
        }
        if !self.at_discard()? {
            return Ok(false);
        }
        let discarded = self.discard();
        if discarded.is_err() {
            self.at = start;
        }
        discarded.map(|()| true)
    }

    fn discard(&mut self) -> Walk<()> {
        // `#_ #_ a b` discards both.
        let mut discards = 0u64;
        loop {
            self.space()?;
            if self.at_discard()? {
                discards += 1;
                self.at += 2;
                continue;
            }
            self.form()?;
            discards -= 1;
            if discards == 0 {
                return Ok(());
            }
        }
    }

    fn comment(&mut self) -> Walk<()> {
        let end = self.bytes[self.at..].iter().position(|byte| *byte == b'\n');
        self.at += end.ok_or(Stop::Incomplete)? + 1;
        Ok(())
    }

    /// To the next form, over blanks and comments only.
    fn space(&mut self) -> Walk<u8> {
        loop {
            let byte = self.peek()?;
            if CLASSES[byte as usize] & BLANK != 0 {
                self.at += 1;
            } else if byte == b';' {
                self.comment()?;
            } else {
                return Ok(byte);
            }
        }
    }

    fn at_discard(&self) -> Walk<bool> {
        if self.peek()? != b'#' {
            return Ok(false);
        }
        Ok(*self.bytes.get(self.at + 1).ok_or(Stop::Incomplete)? == b'_')
    }

    /// Over a token: everything up to a delimiter.
    #[inline]
    pub(super) fn token(&mut self) -> Walk<&'a [u8]> {
        let start = self.at;
        let rest = &self.bytes[start..];
        let length = rest.iter().position(|byte| is_delimiter(*byte)).ok_or(Stop::Incomplete)?;
        self.at = start + length;
        Ok(&rest[..length])
    }

    /// Over a string, whose first quote is here.
    fn string(&mut self) -> Walk<()> {
        let mut at = self.at + 1;
        loop {
            match *self.bytes.get(at).ok_or(Stop::Incomplete)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.at = at + 1;
        Ok(())
    }

    /// Over a character, whose backslash is here: `\a`, `\newline`, `\u0041`, `\(`.
    fn character(&mut self) -> Walk<()> {
        self.at += 1;
        // The character itself may be a delimiter.
        self.peek()?;
        self.at += 1;
        self.token().map(|_| ())
    }

    /// Over `#`, as far as it belongs to the prefix of a form. `true`: the form follows.
    fn dispatch(&mut self) -> Walk<bool> {
        match *self.bytes.get(self.at + 1).ok_or(Stop::Incomplete)? {
            b'{' => {
                self.at += 1;
                Ok(true)
            }
            // `##Inf`
            b'#' => self.token().map(|_| false),
            // `#"…"`, a regular expression, which printers write.
            b'"' => {
                self.at += 1;
                Ok(true)
            }
            byte if is_delimiter(byte) => {
                self.at += 1;
                self.wrong("a tag after `#`")
            }
            _ => self.token().map(|_| true),
        }
    }

    /// Over one whole form, which begins here. Its text. A discarded form within it counts as a part of it.
    pub(super) fn form(&mut self) -> Walk<&'a [u8]> {
        let start = self.at;
        let mut open = [0u8; DEPTH_MAX];
        let mut depth = 0;
        loop {
            match self.space()? {
                byte @ (b'{' | b'[' | b'(') => {
                    if depth == DEPTH_MAX {
                        return self.wrong("fewer collections within collections");
                    }
                    open[depth] = closer_of(byte);
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                byte @ (b'}' | b']' | b')') => {
                    if depth == 0 {
                        return self.wrong("a value");
                    }
                    if open[depth - 1] != byte {
                        return self.wrong(match open[depth - 1] {
                            b'}' => "`}`",
                            b']' => "`]`",
                            _ => "`)`",
                        });
                    }
                    depth -= 1;
                    self.at += 1;
                }
                b'"' => self.string()?,
                b'\\' => self.character()?,
                b'#' if depth > 0 && self.at_discard()? => {
                    self.at += 2;
                    continue;
                }
                b'#' => {
                    if self.dispatch()? {
                        continue;
                    }
                }
                _ => {
                    if self.token()?.is_empty() {
                        return self.wrong("a value");
                    }
                }
            }
            if depth == 0 {
                return Ok(&self.bytes[start..self.at]);
            }
        }
    }

    /// A whole number, or `Odd` and not moved. `7N` is 7, as Clojure has it.
    #[inline]
    pub(super) fn number(&mut self) -> Walk<i64> {
        if let Some((number, end)) = quick::number(self.bytes, self.at)
            && is_delimiter(self.bytes[end])
        {
            self.at = end;
            return Ok(number);
        }
        self.any_number()
    }

    fn any_number(&mut self) -> Walk<i64> {
        let start = self.at;
        let mut at = start;
        let sign = self.peek()?;
        if sign == b'-' || sign == b'+' {
            at += 1;
        }
        let digits = at;
        let mut number: i64 = 0;
        let byte = loop {
            let byte = *self.bytes.get(at).ok_or(Stop::Incomplete)?;
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break byte;
            }
            // Negative numbers reach further.
            let next = number.checked_mul(10).and_then(|n| n.checked_sub(i64::from(digit)));
            number = next.ok_or(Stop::Odd)?;
            at += 1;
        };
        if at == digits {
            return Err(Stop::Odd);
        }
        let mut end = byte;
        if byte == b'N' {
            at += 1;
            end = *self.bytes.get(at).ok_or(Stop::Incomplete)?;
        }
        if !is_delimiter(end) {
            return Err(Stop::Odd);
        }
        if sign != b'-' {
            number = number.checked_neg().ok_or(Stop::Odd)?;
        }
        self.at = at;
        Ok(number)
    }
}
