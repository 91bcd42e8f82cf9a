//! What the process says to its caller when it ends.

use model::verdict::Word;
use std::process::ExitCode;

/// Exit codes, documented in docs/reference/exit-codes.md; every one is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Held, or nothing was promised.
    Held,
    /// A promise was broken.
    Broken,
    /// Too little evidence, or a budget ran out.
    Unknown,
    /// Cluster, port, privilege, too few nodes.
    CouldNotRun,
    /// Bad usage or a bad plan.
    Usage,
    /// A bug in highwater.
    Bug,
    /// SIGINT: healed, history kept.
    Interrupted,
    /// SIGTERM: healed, history kept.
    Terminated,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Held => 0,
            Exit::Broken => 1,
            Exit::Unknown => 2,
            Exit::CouldNotRun => 3,
            Exit::Usage => 64,
            Exit::Bug => 70,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }

    pub fn of(word: Word) -> Exit {
        match word {
            Word::Held | Word::NotPromised => Exit::Held,
            Word::Broken => Exit::Broken,
            Word::Unknown => Exit::Unknown,
        }
    }

    /// Over many cells: 1 beats 70 beats 3 beats 2 beats 0, so that nothing hides a violation. An interruption ends
    /// the whole and beats all but a violation that was already proved.
    pub fn worst(self, other: Exit) -> Exit {
        let rank = |exit: Exit| match exit {
            Exit::Held => 0,
            Exit::Unknown => 1,
            Exit::CouldNotRun => 2,
            Exit::Usage => 3,
            Exit::Bug => 4,
            Exit::Terminated => 5,
            Exit::Interrupted => 6,
            Exit::Broken => 7,
        };
        if rank(self) >= rank(other) { self } else { other }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// An error whose cause decides the exit code: the usage was bad, or the world would not let us run.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    pub exit: Exit,
    pub message: String,
}

impl Refused {
    pub fn usage(message: impl Into<String>) -> Refused {
        Refused { exit: Exit::Usage, message: message.into() }
    }

    pub fn could_not_run(message: impl Into<String>) -> Refused {
        Refused { exit: Exit::CouldNotRun, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides_a_violation() {
        let all = [Exit::Held, Exit::Unknown, Exit::CouldNotRun, Exit::Bug];
        for exit in all {
            assert_eq!(exit.worst(Exit::Broken), Exit::Broken);
            assert_eq!(Exit::Broken.worst(exit), Exit::Broken);
        }
        assert_eq!(Exit::CouldNotRun.worst(Exit::Bug), Exit::Bug);
        assert_eq!(Exit::Unknown.worst(Exit::CouldNotRun), Exit::CouldNotRun);
        assert_eq!(Exit::Held.worst(Exit::Unknown), Exit::Unknown);
    }
}
