//! Where a reader stands in one log, and what it has to find out before it can read on.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Where does the log begin?
    Start,
    Fetch,
    /// Somebody else leads now: does its log have what was read?
    Validate,
    /// The position is not in the log: what are its bounds?
    Bounds {
        start: Option<i64>,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub stage: Stage,
    /// To be read next.
    pub offset: i64,
    /// The leader epoch of the last record that was read; -1: none was.
    pub last_epoch: i32,
    /// The epoch of the leader that the position was last known to be good for.
    leader_epoch: i32,
    /// A request for it is on its way.
    pub busy: bool,
    pub retry_at_ns: u64,
    /// The end of the log that was told last.
    pub end_told: Option<i64>,
}

impl Position {
    pub fn new(stage: Stage, offset: i64, last_epoch: i32) -> Position {
        Position {
            stage,
            offset,
            last_epoch,
            leader_epoch: -1,
            busy: false,
            retry_at_ns: 0,
            end_told: None,
        }
    }

    /// The leader of this epoch is asked next. If it is another than before, first whether it has what was read.
    pub fn led_in(&mut self, leader_epoch: i32) {
        if leader_epoch > self.leader_epoch {
            self.leader_epoch = leader_epoch;
            if self.stage == Stage::Fetch && self.last_epoch >= 0 {
                self.stage = Stage::Validate;
            }
        }
    }

    /// Goes on somewhere else.
    pub fn move_to(&mut self, offset: i64, last_epoch: i32) {
        self.offset = offset;
        self.last_epoch = last_epoch;
        self.stage = Stage::Fetch;
    }
}
