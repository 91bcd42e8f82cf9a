//! What is read in quick steps is what the general rules read.

use super::super::cursor::Cursor;
use super::super::quick;
use crate::operation::{Atom, Polled};
use proptest::prelude::*;

/// The general rules alone apply to a number that begins with its sign.
fn generally(digits: &str, after: &str) -> Option<(i64, usize)> {
    let text = format!("+{digits}{after}");
    let mut cursor = Cursor::new(text.as_bytes(), 0);
    cursor.number().ok().map(|number| (number, cursor.at - 1))
}

proptest! {
    #[test]
    fn a_number_is_read_as_by_the_general_rules(
        digits in "[0-9]{1,18}",
        after in "[ \\]}\n,][ -~]{0,20}",
    ) {
        let text = format!("{digits}{after}");
        let bytes = text.as_bytes();
        if let Some(read) = quick::number(bytes, 0) {
            prop_assert_eq!(Some(read), generally(&digits, &after));
        }
        let mut cursor = Cursor::new(bytes, 0);
        let read = cursor.number().ok().map(|number| (number, cursor.at));
        prop_assert_eq!(read, generally(&digits, &after));
    }

    #[test]
    fn a_record_is_read_as_it_was_written(offset in 0..9_999_999u32, value in 0..9_999_999u32) {
        let text = format!("[{offset} {value}] [1 2]");
        let polled = Polled { offset: Some(i64::from(offset)), value: Atom::from(value) };
        let read = quick::pair(text.as_bytes(), 0);
        prop_assert_eq!(read, Some((polled, text.len() - 6)));
    }

    #[test]
    fn no_bytes_are_taken_for_a_record_that_they_are_not(text in "[\\[\\] 0-9,+N-]{0,24}") {
        let Some((polled, end)) = quick::pair(text.as_bytes(), 0) else { return Ok(()) };
        let Some(offset) = polled.offset else { return Err(TestCaseError::fail("no offset")) };
        let Some(value) = polled.value.as_number() else { return Err(TestCaseError::fail("no value")) };
        let inner = text[1..end - 1].split_once(' ').map(|(a, b)| (a.parse(), b.parse()));
        prop_assert_eq!(inner, Some((Ok(offset), Ok(value))));
    }
}

#[test]
fn what_is_not_of_the_commonest_form_is_left_to_the_general_rules() {
    for text in [
        "",
        "[",
        "[1 2]",
        "[1  2]       ",
        "[-1 2]      ",
        "[1 2N]      ",
        "[1,2]       ",
        "[12345678 1]        ",
    ] {
        assert_eq!(quick::pair(text.as_bytes(), 0), None, "{text}");
    }
}
