//! Deeds on disks and files as plans write them: their parameters, their defaults, and what can't be in one plan.

use super::Checker;
use crate::deed::{Deed, DeedName, Needs};
use crate::files::{Operation, PATTERN_BYTES_MAX, Pattern};
use crate::plan::Plan;
use crate::raw::RawParameters;
use crate::units::{Bytes, Millis};

const DELAY_DEFAULT: Millis = Millis(100);
/// A probe of ours has to come back while the fault is confirmed.
const DELAY_MS_MAX: u64 = 10_000;
const BITS_DEFAULT: u64 = 1;
const BITS_MAX: u64 = 10_000;
const BYTES_DEFAULT: Bytes = Bytes(1000);

impl Checker<'_> {
    /// A deed on disks or files; the others are none of its business.
    pub(super) fn file_deed(
        &mut self,
        at: &str,
        name: DeedName,
        raw: &mut RawParameters,
        plan: &Plan,
    ) -> Deed {
        // The logs that acknowledged records are in.
        let logs = format!("{}-*.log", plan.topic.name);
        match name {
            DeedName::TornWrite => Deed::TornWrite { path: self.pattern(at, raw, &logs) },
            DeedName::BitFlip => {
                let path = self.pattern(at, raw, &logs);
                let bits = raw.bits.take().unwrap_or(BITS_DEFAULT);
                let bits = self.number(at, "bits", bits, BITS_MAX) as u32;
                Deed::BitFlip { path, bits }
            }
            DeedName::TruncateTail => {
                let path = self.pattern(at, raw, &logs);
                let bytes = raw.bytes.take().unwrap_or(BYTES_DEFAULT);
                Deed::TruncateTail {
                    path,
                    bytes: Bytes(self.number(at, "bytes", bytes.0, u64::MAX)),
                }
            }
            DeedName::OldSnapshot => Deed::OldSnapshot,
            DeedName::IoError => {
                let operation = raw.operation.take().unwrap_or_default();
                let percent = raw.probability.take().unwrap_or(100);
                let probability = self.number(at, "probability", percent, 100) as u8;
                Deed::IoError { operation, probability, path: self.pattern(at, raw, "") }
            }
            DeedName::FsyncError => Deed::FsyncError { path: self.pattern(at, raw, "") },
            DeedName::LogDirOffline => {
                let directories = plan.target.log_dirs;
                if directories < 2 {
                    let help = "set target.log_dirs to 2 or more, with kind = \"kafka\"; a broker that loses its only one ends: that is \
                                `io-error`";
                    self.wrong(at, "the brokers have one log directory each", help);
                }
                let given = raw.directory.take().unwrap_or(directories.into());
                let directory = self.number(at, "directory", given, directories.into()) as u32;
                if directory == 1 && directories > 1 {
                    let help = format!("from 2 to {directories}; the metadata log is in the first");
                    self.wrong(
                        &format!("{at}.directory"),
                        "a broker without its first log directory ends",
                        help,
                    );
                }
                Deed::LogDirOffline { directory }
            }
            DeedName::Slow => {
                let operation = raw.operation.take().unwrap_or(Operation::All);
                let delay = raw.delay.take().unwrap_or(DELAY_DEFAULT);
                Deed::Slow {
                    operation,
                    delay: Millis(self.number(at, "delay", delay.0, DELAY_MS_MAX)),
                }
            }
            DeedName::Full => Deed::Full,
            other => unreachable!("`{other}` is no deed on files"),
        }
    }

    /// A number from 1 on.
    pub(super) fn number(&mut self, at: &str, key: &str, number: u64, most: u64) -> u64 {
        if (1..=most).contains(&number) {
            return number;
        }
        let (unit, shown) = match key {
            "delay" => (" ms", Millis(number).to_string()),
            _ => ("", number.to_string()),
        };
        let help = match most {
            u64::MAX => format!("1{unit} or more"),
            _ => format!("from 1{unit} to {most}{unit}"),
        };
        self.wrong(&format!("{at}.{key}"), format!("`{key}` of {shown}"), help);
        1
    }

    fn pattern(&mut self, at: &str, raw: &mut RawParameters, default: &str) -> Pattern {
        let text = raw.path.take().unwrap_or_else(|| default.to_string());
        Pattern::new(&text).unwrap_or_else(|| {
            let message = format!("a pattern of {} bytes", text.len());
            let help = format!("at most {PATTERN_BYTES_MAX}; `*` stands for any characters");
            self.wrong(&format!("{at}.path"), message, help);
            Pattern::ANY
        })
    }

    /// A disk whose power goes is mounted anew, which nobody may have files open on; a file system that can fail does.
    pub(super) fn disks_go_together(&mut self, plan: &Plan) {
        let power = plan.deeds().any(|deed| deed == Deed::PowerLoss);
        let fuse = plan.deeds().find(|deed| deed.name().needs() == Needs::Fuse);
        if let (true, Some(other)) = (power, fuse) {
            self.wrong(
                "fault",
                format!("`power-loss` and `{other}` can't be in one plan"),
                "make two plans of it: a disk whose power goes is mounted anew, and what serves the other faults would hold it",
            );
        }
    }
}
