//! Deeds on clocks as plans write them: their parameters, and on whom they can be proved.

use super::Checker;
use crate::clock_deed::ClockDeed;
use crate::deed::DeedName;
use crate::plan::{Controllers, Plan};
use crate::raw::RawParameters;
use crate::units::{Drift, Millis, Shift};
use model::fault::Role;

/// Below this a deviation would drown in round trips on a busy machine.
const SHIFT_MS_MIN: u64 = 100;
/// Nothing slower than 0.1 % shows within the life of a fault.
const DRIFT_PPM_MIN: i32 = 1_000;
/// A clock goes forward.
const SLOWEST_PPM: i32 = -900_000;
const FASTEST_PPM: i32 = 9_000_000;
const STROBE_DEFAULT: Millis = Millis(500);
/// A probe has to come back within half a period.
const STROBE_MS: std::ops::RangeInclusive<u64> = 100..=10_000;

impl Checker<'_> {
    pub(super) fn clock_deed(
        &mut self,
        at: &str,
        name: DeedName,
        raw: &mut RawParameters,
    ) -> Option<ClockDeed> {
        match name {
            DeedName::ClockJump => Some(ClockDeed::Jump { by: self.shift(at, raw)? }),
            DeedName::ClockDrift => Some(ClockDeed::Drift { rate: self.drift(at, raw)? }),
            DeedName::ClockStrobe => {
                let period = raw.period.take().unwrap_or(STROBE_DEFAULT);
                if !STROBE_MS.contains(&period.0) {
                    let help = format!(
                        "from {} to {}",
                        Millis(*STROBE_MS.start()),
                        Millis(*STROBE_MS.end())
                    );
                    self.wrong(&format!("{at}.period"), format!("a period of {period}"), help);
                }
                Some(ClockDeed::Strobe { by: self.shift(at, raw)?, period })
            }
            other => unreachable!("`{other}` is no deed on clocks"),
        }
    }

    fn shift(&mut self, at: &str, raw: &mut RawParameters) -> Option<Shift> {
        let Some(by) = raw.by.take() else {
            self.wrong(at, "by how much?", "by = \"5m\", or back with by = \"-5m\"");
            return None;
        };
        if by.ms.unsigned_abs() < SHIFT_MS_MIN {
            let message = format!("a clock that is off by {by}");
            self.wrong(&format!("{at}.by"), message, format!("{} or more", Millis(SHIFT_MS_MIN)));
            return None;
        }
        Some(by)
    }

    fn drift(&mut self, at: &str, raw: &mut RawParameters) -> Option<Drift> {
        let Some(rate) = raw.rate.take() else {
            self.wrong(
                at,
                "how fast does it run?",
                "rate = \"+5%\", or slower with rate = \"-5%\"",
            );
            return None;
        };
        let fits = (SLOWEST_PPM..=FASTEST_PPM).contains(&rate.ppm);
        if !fits || rate.ppm.abs() < DRIFT_PPM_MIN {
            let (least, slow, fast) = (DRIFT_PPM_MIN, SLOWEST_PPM, FASTEST_PPM);
            let [least, slow, fast] = [least, slow, fast].map(|ppm| Drift { ppm });
            let help = format!("from {slow} to {fast}, and {least} at least, either way");
            self.wrong(&format!("{at}.rate"), format!("a clock that drifts by {rate}"), help);
            return None;
        }
        Some(rate)
    }

    /// A node proves its time by telling it. A broker does; of controllers with nodes of their own the active one does.
    pub(super) fn tells_its_time(&mut self, path: &str, on: &Role, plan: &Plan) {
        if plan.target.controllers == Controllers::Combined || *on != Role::ControllerFollower {
            return;
        }
        self.wrong(
            path,
            "a controller that is not active tells nobody its time",
            "on = \"controller\", or controllers = \"combined\"",
        );
    }
}
