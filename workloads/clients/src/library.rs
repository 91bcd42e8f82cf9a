//! Whether a consumer's library still lives, and how it is let go of where it does not.
//!
//! librdkafka can lock itself up: its main thread waits for a lock that a broker's thread holds, which waits for one of the main
//! thread's (its issue 5476: a broker is decommissioned while an OffsetForLeaderEpoch is on its way to it). From then on such
//! a consumer is handed nothing, and closing it never comes back. To the checker that would be a cluster that does not hand out its
//! records. So the library's main thread gives a sign of life every three seconds, its statistics, and who goes without one for
//! long is taken for dead.
//!
//! Promises: a consumer that is handed anything at all is alive; only time spent asking the library counts as silence, so that
//! a slow machine or a long wait of our own kills nobody; letting go comes back, whatever the library does.

use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the library is to say that it lives.
pub(crate) const SIGN_OF_LIFE: (&str, &str) = ("statistics.interval.ms", "3000");
/// Silence after which it is dead.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long closing a consumer may take: with a group, it may wait for a coordinator.
const CLOSES_WITHIN: Duration = Duration::from_secs(30);
/// How long a client that was told to end may take: longer than any request of the library, and than [`CLOSES_WITHIN`].
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);
/// What a reader that met it says in the history.
pub(crate) const DEAD: &str = "LibraryDead";

/// Set by a context that was handed statistics.
#[derive(Debug, Default)]
pub(crate) struct Sign(AtomicBool);

impl Sign {
    pub(crate) fn came(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How long a library has been silent, and whether it was for so long that nothing will come of it any more.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    lasts: Duration,
    is_dead: bool,
}

impl Silence {
    /// The library was asked for `asked` long; `handed`: it handed something out. Whether it is dead.
    pub(crate) fn after(&mut self, asked: Duration, handed: bool, sign: &Sign) -> bool {
        let lives = sign.0.swap(false, Ordering::Relaxed) || handed;
        self.lasts = if lives { Duration::ZERO } else { self.lasts + asked };
        self.is_dead |= self.lasts >= SILENCE_MAX;
        self.is_dead
    }

    pub(crate) fn is_for_good(&self) -> bool {
        self.is_dead
    }
}

/// Closes a consumer, on a thread of its own: from a library that is dead that thread never comes back, and is left.
pub(crate) fn let_go<C: ConsumerContext + 'static>(name: &str, consumer: BaseConsumer<C>) {
    let (closed, done) = channel();
    let closing = std::thread::Builder::new().name(format!("{name} closes")).spawn(move || {
        drop(consumer);
        // Whoever waited may have given up.
        let _ = closed.send(());
    });
    closing.expect("the operating system refused a thread");
    if done.recv_timeout(CLOSES_WITHIN).is_err() {
        tracing::warn!(
            client = name,
            "librdkafka does not close this consumer, {CLOSES_WITHIN:?} after it was told to; it is left alone (its issue 5476?)"
        );
    }
}

/// Leaves a consumer of a dead library as it is.
pub(crate) fn leave<C: ConsumerContext>(name: &str, consumer: BaseConsumer<C>) {
    tracing::warn!(
        client = name,
        "librdkafka has given no sign of life for {SILENCE_MAX:?}: this consumer is left as it is (its issue 5476?)"
    );
    std::mem::forget(consumer);
}

/// Waits for a thread that may be waiting for an answer of a library that is dead: a commit has no deadline of its own. Such a one
/// is left.
pub(crate) fn join(thread: JoinHandle<()>) -> std::thread::Result<()> {
    let deadline = Instant::now() + ANSWERS_WITHIN;
    while !thread.is_finished() {
        if Instant::now() >= deadline {
            let client = thread.thread().name().unwrap_or_default();
            tracing::warn!(
                client,
                "this client has not come back for {ANSWERS_WITHIN:?}, and is left alone"
            );
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    thread.join()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_silence_while_it_is_asked_kills() {
        let (mut silence, sign) = (Silence::default(), Sign::default());
        let second = Duration::from_secs(1);
        for _ in 0..9 {
            assert!(!silence.after(second, false, &sign));
        }
        sign.came();
        assert!(!silence.after(second, false, &sign), "it was heard of");
        for _ in 0..9 {
            assert!(!silence.after(second, false, &sign));
        }
        assert!(!silence.after(second, true, &sign), "it handed something out");
        for _ in 0..9 {
            assert!(!silence.after(second, false, &sign));
        }
        assert!(silence.after(second, false, &sign));
    }
}
