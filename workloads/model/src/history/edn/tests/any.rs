//! Any operation comes back as it was written, in any pieces; no bytes make the reader panic.

use crate::history::edn::{EdnError, Ending, Reader, read, write_line};
use crate::operation::*;
use proptest::prelude::*;

/// An atom of a history whose only name is number 0.
fn atom() -> impl Strategy<Value = Atom> {
    prop_oneof![8 => (0..50u32).prop_map(Atom::from), 1 => Just(name())]
}

fn name() -> Atom {
    Names::default().atom(":x").expect("room")
}

fn forms() -> impl Strategy<Value = String> {
    let forms: &[&str] =
        &["nil", ":a/b", "\"a \\\" b\n\"", "[1 #{2}]", "{:a (1 2)}", "#t [\\( \\a]", "1.5", "x"];
    prop::sample::select(forms).prop_map(str::to_owned)
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![Just(Place::Unsaid), Just(Place::Unknown), (-2..99i64).prop_map(Place::At)]
}

type Records = Vec<(Option<i64>, Atom)>;

/// Micro-operations before they lie flat.
#[derive(Clone, Debug)]
enum Micro {
    Send(Atom, Atom, Place),
    Pending,
    Poll(Vec<(Atom, Records)>),
    Verbatim,
}

fn micro() -> impl Strategy<Value = Micro> {
    let record = (prop::option::of(-2..99i64), atom());
    let batch = (atom(), prop::collection::vec(record, 0..4));
    prop_oneof![
        (atom(), atom(), place()).prop_map(|(key, value, place)| Micro::Send(key, value, place)),
        Just(Micro::Pending),
        prop::collection::vec(batch, 0..3).prop_map(Micro::Poll),
        Just(Micro::Verbatim),
    ]
}

fn flatten(operation: &mut Operation, micros: Vec<Micro>) {
    operation.shape = Shape::MicroOperations;
    for micro in micros {
        let flat = match micro {
            Micro::Send(key, value, place) => MicroOperation::Send { key, value, place },
            Micro::Pending => MicroOperation::PollPending,
            Micro::Verbatim => {
                operation.verbatim.push("[:r 1 nil]".into());
                MicroOperation::Verbatim(operation.verbatim.len() as u32 - 1)
            }
            Micro::Poll(batches) => {
                let first = operation.batches.len() as u32;
                for (key, records) in &batches {
                    let first = operation.polled.len() as u32;
                    operation.batches.push(Batch { key: *key, first, count: records.len() as u32 });
                    let polled = records
                        .iter()
                        .map(|(offset, value)| Polled { offset: *offset, value: *value });
                    operation.polled.extend(polled);
                }
                MicroOperation::Poll { first, count: batches.len() as u32 }
            }
        };
        operation.micro_operations.push(flat);
    }
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let stage = prop::sample::select(&[Stage::Invoke, Stage::Ok, Stage::Fail, Stage::Info][..]);
    let rebalance = (prop::option::of(forms()), prop::collection::vec(atom(), 0..3))
        .prop_map(|(what, keys)| Rebalance { what, keys, rest: vec![(":x".into(), "1".into())] });
    let head = (
        prop::option::of(any::<u32>().prop_map(u64::from)),
        prop::option::of(-5..1_000_000i64),
        prop::option::of(atom()),
        prop::option::of(stage),
        0..6u8,
    );
    let tail = (
        prop::option::of(forms()),
        prop::option::of(prop::collection::vec(rebalance, 0..2)),
        prop::option::of(any::<bool>()),
        prop::option::of(0..5000i64),
        prop::collection::vec(forms().prop_map(|form| (":other".to_owned(), form)), 0..2),
    );
    let value =
        (prop::collection::vec(micro(), 0..4), prop::collection::vec(atom(), 0..3), forms());
    (head, value, tail).prop_map(|(head, (micros, keys, form), tail)| {
        let mut operation = Operation::default();
        (operation.index, operation.time_ns, operation.process, operation.stage, _) = head;
        match head.4 {
            0 => operation.function = None,
            1 => {
                operation.function = Some(Function::Assign);
                (operation.shape, operation.keys) = (Shape::Keys, keys);
            }
            2 => {
                operation.function = Some(Function::Other(name()));
                operation.shape = Shape::Verbatim(form);
            }
            _ => {
                operation.function = Some(Function::Txn);
                flatten(&mut operation, micros);
            }
        }
        (
            operation.error,
            operation.rebalance_log,
            operation.seek_to_beginning,
            operation.poll_ms,
            operation.rest,
        ) = tail;
        operation
    })
}

fn history(operations: &[Operation]) -> String {
    let mut names = Names::default();
    names.atom(":x");
    let mut text = String::new();
    for (index, operation) in operations.iter().enumerate() {
        text.push_str(["", "\n", "#jepsen.history.Op", " ; c\n"][index % 4]);
        write_line(&mut text, operation, &names);
    }
    text
}

/// Fed in pieces, the operations asked for after each, as the reader of a file does it.
fn in_pieces(bytes: &[u8], size: usize) -> Result<(Vec<Operation>, Vec<String>, Ending), EdnError> {
    // How much an error quotes depends on how much there was.
    read_pieces(bytes, size).map_err(|error| EdnError { found: String::new(), ..error })
}

fn read_pieces(
    bytes: &[u8],
    size: usize,
) -> Result<(Vec<Operation>, Vec<String>, Ending), EdnError> {
    let mut reader = Reader::new();
    let mut operations = Vec::new();
    let mut operation = Operation::default();
    for piece in bytes.chunks(size.max(1)) {
        reader.feed(piece);
        while reader.next(&mut operation)? {
            operations.push(operation.clone());
        }
    }
    let ending = reader.finish()?;
    let shown = operations.iter().filter_map(|op| op.process.map(|p| reader.names().show(p)));
    let shown = shown.collect();
    Ok((operations, shown, ending))
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..Default::default() }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn what_is_written_is_read_again(operations in prop::collection::vec(any_operation(), 0..6)) {
        // The first operation makes `:x` the first name.
        let mut first = Operation { process: Some(name()), ..Operation::default() };
        first.index = Some(0);
        let operations = [vec![first], operations].concat();
        let text = history(&operations);
        let (read, _, ending) = read(text.as_bytes()).expect("what was written");
        prop_assert_eq!(ending, Ending::Whole);
        for (read, written) in read.iter().zip(&operations) {
            // Other forms may have made names of their own; by text they are the same.
            prop_assert_eq!(read, written, "{}", text);
        }
        prop_assert_eq!(read.len(), operations.len());
    }

    #[test]
    fn any_pieces_give_the_same(
        operations in prop::collection::vec(any_operation(), 0..5),
        sizes in prop::collection::vec(1..40usize, 3),
        cut in 0..1000usize,
    ) {
        let text = history(&operations);
        let bytes = &text.as_bytes()[..text.len() * cut.clamp(200, 999) / 999];
        let whole = in_pieces(bytes, bytes.len());
        for size in sizes {
            prop_assert_eq!(&in_pieces(bytes, size), &whole);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        operations in prop::collection::vec(any_operation(), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), mutation()), 1..8),
        size in 1..64usize,
    ) {
        let mut bytes = history(&operations).into_bytes();
        for (at, (remove, put)) in changes {
            let at = at.index(bytes.len() + 1);
            let end = (at + remove).min(bytes.len());
            bytes.splice(at..end, put);
        }
        let whole = in_pieces(&bytes, bytes.len());
        // An error is the same error whichever piece it was met in; so is everything else.
        prop_assert_eq!(in_pieces(&bytes, size), whole);
    }

    #[test]
    fn noise_does_not_either(bytes in prop::collection::vec(noise(), 0..200), size in 1..16usize) {
        let whole = in_pieces(&bytes, bytes.len());
        prop_assert_eq!(in_pieces(&bytes, size), whole);
    }
}

fn noise() -> impl Strategy<Value = u8> {
    let syntax: &[u8] = b"{}[]()\"\\;#_:, \n09-aN/.";
    prop_oneof![8 => prop::sample::select(syntax), 1 => any::<u8>()]
}

/// How many bytes to take away, and what to put there.
fn mutation() -> impl Strategy<Value = (usize, Vec<u8>)> {
    (0..3usize, prop::collection::vec(noise(), 0..3))
}
