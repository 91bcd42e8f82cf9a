//! Buckets of 100 ms by intended time, from which seconds and chart points are summed.

use hdrhistogram::Histogram;
use model::history::Phase;
use reports::facts::Series;

const WINDOW_MS: u64 = 100;
const WINDOW_NS: u64 = WINDOW_MS * 1_000_000;

/// The sends that were intended in one stretch of time, by what came of them.
#[derive(Clone, Debug, Default)]
pub struct Window {
    pub ok: u32,
    /// Acknowledged, but after the deadline.
    pub late: u32,
    pub unacknowledged: u32,
    pub fail: u32,
    pub info: u32,
    latency: Option<Box<Histogram<u32>>>,
}

impl Window {
    pub fn answered(&mut self, acknowledged: bool, in_time: bool, latency_us: u64) {
        match (acknowledged, in_time) {
            (true, true) => self.ok += 1,
            (true, false) => self.late += 1,
            (false, _) => self.unacknowledged += 1,
        }
        let histogram = self.latency.get_or_insert_with(|| {
            Box::new(
                Histogram::new_with_max(super::LATENCY_US_MAX, 1)
                    .expect("the bounds of the histogram are constants"),
            )
        });
        histogram.saturating_record(latency_us);
    }

    pub fn offered(&self) -> u32 {
        self.ok + self.late + self.unacknowledged + self.fail + self.info
    }

    fn success(&self) -> u32 {
        self.ok + self.unacknowledged
    }

    /// 1 where nothing was offered: nothing failed.
    pub fn success_share(&self) -> f64 {
        if self.offered() == 0 {
            1.0
        } else {
            f64::from(self.success()) / f64::from(self.offered())
        }
    }

    /// At least 99 % success.
    pub fn is_good(&self) -> bool {
        self.success_share() >= 0.99
    }

    fn add(&mut self, other: &Window) {
        self.ok += other.ok;
        self.late += other.late;
        self.unacknowledged += other.unacknowledged;
        self.fail += other.fail;
        self.info += other.info;
        if let Some(theirs) = &other.latency {
            match &mut self.latency {
                Some(ours) => ours.add(&**theirs).expect("histograms of the same bounds"),
                None => self.latency = Some(theirs.clone()),
            }
        }
    }

    fn quantile_ms(&self, quantile: f64) -> Option<f32> {
        self.latency.as_ref().map(|h| h.value_at_quantile(quantile) as f32 / 1000.0)
    }
}

impl<'a> std::iter::Sum<&'a Window> for Window {
    fn sum<I: Iterator<Item = &'a Window>>(windows: I) -> Window {
        windows.fold(Window::default(), |mut sum, window| {
            sum.add(window);
            sum
        })
    }
}

impl std::iter::Sum<Window> for Window {
    fn sum<I: Iterator<Item = Window>>(windows: I) -> Window {
        windows.fold(Window::default(), |mut sum, window| {
            sum.add(&window);
            sum
        })
    }
}

#[derive(Default)]
pub struct Windows {
    windows: Vec<Window>,
    /// Sends that were open, as changes by window.
    opened: Vec<i64>,
    unread: Vec<u64>,
}

fn slot<T: Clone + Default>(of: &mut Vec<T>, at_ns: u64) -> &mut T {
    let index = (at_ns / WINDOW_NS) as usize;
    if of.len() <= index {
        of.resize(index + 1, T::default());
    }
    &mut of[index]
}

impl Windows {
    pub fn at(&mut self, intended_ns: u64) -> &mut Window {
        slot(&mut self.windows, intended_ns)
    }

    pub fn opened(&mut self, now_ns: u64) {
        *slot(&mut self.opened, now_ns) += 1;
    }

    pub fn closed(&mut self, now_ns: u64) {
        *slot(&mut self.opened, now_ns) -= 1;
    }

    pub fn unread(&mut self, now_ns: u64, count: u64) {
        *slot(&mut self.unread, now_ns) = count;
    }

    pub fn iter(&self) -> impl Iterator<Item = &Window> {
        self.windows.iter()
    }

    /// Sends without an outcome at the end of the window that `at_ms` falls in.
    pub fn open_at(&self, at_ms: u64) -> u64 {
        let until = (at_ms / WINDOW_MS) as usize;
        let open: i64 = self.opened.iter().take(until + 1).sum();
        open.max(0) as u64
    }

    /// Sums over whole seconds, with the second's start in milliseconds.
    pub fn seconds_at(&self) -> impl Iterator<Item = (u64, Window)> + '_ {
        let of_a_second = (1000 / WINDOW_MS) as usize;
        self.windows
            .chunks(of_a_second)
            .enumerate()
            .map(|(second, windows)| (second as u64 * 1000, windows.iter().sum()))
    }

    pub fn seconds(&self) -> impl Iterator<Item = Window> + '_ {
        self.seconds_at().map(|(_, window)| window)
    }

    /// First bad send intended at or after `from_ms`, to the precision of a window, milliseconds.
    pub fn first_bad_ms(&self, from_ms: u64, to_ms: u64) -> Option<u64> {
        let from = (from_ms / WINDOW_MS) as usize;
        let to = (to_ms / WINDOW_MS) as usize;
        let bad = |w: &Window| w.late + w.fail + w.info > 0;
        (from..=to.min(self.windows.len().saturating_sub(1)))
            .find(|&index| self.windows.get(index).is_some_and(bad))
            .map(|index| (index as u64 * WINDOW_MS).max(from_ms))
    }

    pub fn bad_sends(&self, from_ms: u64, to_ms: u64) -> u64 {
        let (from, to) = ((from_ms / WINDOW_MS) as usize, (to_ms / WINDOW_MS) as usize);
        let within = self.windows.iter().take(to + 1).skip(from);
        within.map(|w| u64::from(w.late + w.fail + w.info)).sum()
    }

    /// The chart's points: windows summed so that there are at most `points_max`.
    pub fn series(&self, points_max: u64, phases: Vec<(Phase, u64)>) -> Series {
        let per_point = (self.windows.len() as u64).div_ceil(points_max).max(1);
        // A quarter of a second is as fine as a person can use.
        let per_point =
            if per_point == 1 && self.windows.len() > 300 { 2 } else { per_point } as usize;
        let mut series =
            Series { bucket_ms: per_point as u64 * WINDOW_MS, phases, ..Series::default() };
        let mut unread = 0;
        for (index, chunk) in self.windows.chunks(per_point).enumerate() {
            let sum: Window = chunk.iter().sum();
            let of_bucket = self.unread.iter().skip(index * per_point).take(per_point);
            unread = of_bucket.copied().max().unwrap_or(unread);
            series.offered.push(sum.offered());
            series.ok.push(sum.ok);
            series.fail.push(sum.fail);
            series.info.push(sum.info);
            series.unacknowledged.push(sum.unacknowledged);
            series.late.push(sum.late);
            series.latency_p50_ms.push(sum.quantile_ms(0.5));
            series.latency_p99_ms.push(sum.quantile_ms(0.99));
            series.latency_max_ms.push(sum.quantile_ms(1.0));
            series.unread.push(unread);
        }
        series
    }
}
