//! Jepsen's EDN: whatever the bytes, they are read to some end, in pieces as at once; an operation is written and read again
//! the same; and the checker of operations answers.
#![no_main]

use checker::operations::{OperationChecker, Options, Via};
use libfuzzer_sys::fuzz_target;
use model::history::edn::{EdnError, Ending, Reader, to_line};
use model::operation::{Names, Operation};

type Read = (Vec<String>, Result<Ending, EdnError>);

/// Every operation as it would be written, and what it is told to.
fn read<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    mut take: impl FnMut(&Operation, &Names),
) -> (Read, Names) {
    let mut reader = Reader::new();
    let mut operation = Operation::default();
    let mut lines = Vec::new();
    let mut failed = None;
    'pieces: for piece in pieces {
        reader.feed(piece);
        loop {
            match reader.next(&mut operation) {
                Ok(true) => {
                    lines.push(to_line(&operation, reader.names()));
                    take(&operation, reader.names());
                }
                Ok(false) => break,
                Err(error) => {
                    failed = Some(error);
                    break 'pieces;
                }
            }
        }
    }
    let ending = failed.map_or_else(|| reader.finish(), Err);
    ((lines, ending), reader.into_names())
}

fuzz_target!(|input: &[u8]| {
    let via = if input.len().is_multiple_of(2) { Via::Assign } else { Via::Subscribe };
    let ww_deps = !input.len().is_multiple_of(3);
    let mut checker = OperationChecker::new(Options { via, ww_deps, ..Options::default() });
    let (at_once, names) = read([input].into_iter(), |operation, _| checker.feed(operation));
    if at_once.1 != Ok(Ending::Whole) {
        checker.history_was_cut("cut");
    }
    checker.finish(&names);

    let (in_pieces, _) = read(input.chunks(5), |_, _| {});
    // What an error found there ends where the bytes did that were known.
    assert_eq!(in_pieces.0, at_once.0, "in pieces");
    assert_eq!(in_pieces.1.is_ok(), at_once.1.is_ok(), "in pieces");

    let written: String = at_once.0.iter().map(|line| format!("{line}\n")).collect();
    let (again, _) = read([written.as_bytes()].into_iter(), |_, _| {});
    assert_eq!(again, (at_once.0, Ok(Ending::Whole)));
});
