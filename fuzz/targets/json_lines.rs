//! JSON Lines: a line is an event or says what is wrong; an event is written and read again the same; operations that events
//! carry are taken from them; and the checkers answer.
#![no_main]

use checker::operations::{self, OperationChecker};
use checker::{Checker, Options};
use libfuzzer_sys::fuzz_target;
use model::history::carried::{Carried, event_of};
use model::history::json;
use model::operation::Operation;

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let mut checker = Checker::new(Options { stuck_ms: Some(100), ..Options::default() });
    let mut of_operations = OperationChecker::new(operations::Options::default());
    let (mut carried, mut operation) = (Carried::new(), Operation::default());
    for line in text.lines() {
        match json::from_line(line) {
            Ok((time, event)) => {
                let again = json::to_line(&time, &event);
                assert_eq!(json::from_line(&again), Ok((time, event.clone())), "{again}");
                checker.feed(&time, &event);
                if carried.take(&event, &mut operation).is_ok() {
                    assert!(event_of(&operation, carried.names()).is_some());
                    of_operations.feed(&operation);
                }
            }
            Err(because) => assert!(!because.is_empty()),
        }
    }
    checker.finish();
    of_operations.finish(carried.names());
});
