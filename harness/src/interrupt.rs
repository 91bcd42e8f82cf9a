//! SIGINT and SIGTERM: the first one ends the load, heals, and reads what there is; the second one stops at once.

use crate::exit::Exit;
use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Clone, Default)]
pub struct Interrupt {
    count: Arc<AtomicUsize>,
    last: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Takes over both signals for this process.
    pub fn install() -> Result<Interrupt> {
        let interrupt = Interrupt::default();
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
            .context("cannot watch for signals")?;
        let seen = interrupt.clone();
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for signal in signals.forever() {
                    seen.last.store(signal as usize, Ordering::Relaxed);
                    seen.count.fetch_add(1, Ordering::Relaxed);
                }
            })
            .context("the operating system refused a thread")?;
        Ok(interrupt)
    }

    /// Somebody asked us to stop.
    pub fn is_set(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Somebody asked twice.
    pub fn is_urgent(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 1
    }

    pub fn exit(&self) -> Exit {
        if self.last.load(Ordering::Relaxed) == SIGTERM as usize {
            Exit::Terminated
        } else {
            Exit::Interrupted
        }
    }
}
