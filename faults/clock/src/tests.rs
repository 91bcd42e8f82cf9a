use super::table::{self, SHIFTS_MAX, Shift, Table, WORDS};
use super::{ClockFile, FILE_VARIABLE, SHIM, true_ns};
use std::process::Command;
use std::sync::atomic::AtomicU64;

const SECOND_NS: i64 = 1_000_000_000;
const BASE_NS: i64 = 1_700_000_000 * SECOND_NS;

fn jump(by_s: i64) -> Shift {
    Shift { offset_ns: by_s * SECOND_NS, ..Shift::default() }
}

fn drift(gain_ns: i64) -> Shift {
    Shift { gain_ns, base_ns: BASE_NS, ..Shift::default() }
}

fn strobe(by_s: i64, period_ns: i64) -> Shift {
    Shift { offset_ns: by_s * SECOND_NS, gain_ns: 0, base_ns: BASE_NS, period_ns }
}

fn table(shifts: &[Shift]) -> Table {
    let mut table = Table::TRUE;
    assert!(shifts.iter().all(|shift| table.push(*shift)));
    table
}

#[test]
fn a_jump_stays_a_drift_grows_and_a_strobe_comes_and_goes() {
    for after_s in [0, 1, 7, 100_000] {
        let now_ns = BASE_NS + after_s * SECOND_NS;
        assert_eq!(jump(-300).at(now_ns), -300 * SECOND_NS);
        // 5 % fast, and 5 % slow.
        assert_eq!(drift(50_000_000).at(now_ns), after_s * 50_000_000);
        assert_eq!(drift(-50_000_000).at(now_ns), -after_s * 50_000_000);
    }
    let strobe = strobe(60, SECOND_NS / 2);
    let told: Vec<i64> =
        (0..6).map(|half| strobe.at(BASE_NS + half * SECOND_NS / 2) / SECOND_NS).collect();
    assert_eq!(told, [60, 0, 60, 0, 60, 0]);
    assert_eq!(strobe.at(BASE_NS + SECOND_NS / 2 - 1), 60 * SECOND_NS, "until the period is over");
}

#[test]
fn what_stands_adds_up_in_any_order_and_nothing_stays_of_what_is_gone() {
    let all = [jump(3600), drift(-100_000_000), strobe(-60, SECOND_NS / 4), jump(-5)];
    let now_ns = BASE_NS + 10 * SECOND_NS;
    let sum = (3600 - 1 - 60 - 5) * SECOND_NS;
    assert_eq!(table(&all).at(now_ns), sum);
    let mut backwards = all;
    backwards.reverse();
    assert_eq!(table(&backwards).at(now_ns), sum);
    // Each of them may be the first to go.
    for gone in 0..all.len() {
        let left: Vec<Shift> = (0..all.len()).filter(|at| *at != gone).map(|at| all[at]).collect();
        assert_eq!(table(&left).at(now_ns), sum - all[gone].at(now_ns));
    }
    assert_eq!(table(&[]).at(now_ns), 0);
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let mut table = Table::TRUE;
    assert!((0..SHIFTS_MAX).all(|_| table.push(jump(1))));
    assert!(!table.push(jump(1)));
    assert_eq!(table.at(BASE_NS), SHIFTS_MAX as i64 * SECOND_NS);
}

#[test]
fn a_file_says_true_time_until_it_is_written_and_tells_all_who_follow_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clock");
    let written = ClockFile::create(&path).unwrap();
    let followed = ClockFile::follow(&path).unwrap();
    assert_eq!(followed.read(), Table::TRUE);
    for shifts in [&[jump(3600), drift(7)][..], &[strobe(-1, 50)], &[]] {
        written.write(&table(shifts)).unwrap();
        assert_eq!(followed.read(), table(shifts));
    }
    assert!(followed.write(&Table::TRUE).is_err(), "who follows does not write");
    written.write(&table(&[jump(-3600)])).unwrap();
    let (before, told, after) = (true_ns(), followed.now_ns(), true_ns());
    assert!((before..=after).contains(&(told + 3600 * SECOND_NS)));
    std::fs::write(directory.path().join("other"), "no clock").unwrap();
    assert!(ClockFile::follow(&directory.path().join("other")).is_err());
}

#[test]
fn nobody_reads_a_half_of_one_table_and_a_half_of_another() {
    let words: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];
    table::make(&words);
    // Of each table all numbers are alike.
    let whole = |number: i64| {
        let shift =
            Shift { offset_ns: number, gain_ns: number, base_ns: number, period_ns: number };
        table(&[shift; SHIFTS_MAX])
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (1..20_000).for_each(|n| table::write(&words, &whole(n))));
        while !writer.is_finished() {
            let seen = table::read(&words);
            let number = seen.shifts().first().map_or(0, |shift| shift.offset_ns);
            assert!(seen == Table::TRUE || seen == whole(number), "{seen:?}");
        }
    });
    assert_eq!(table::read(&words), whole(19_999));
}

/// The wall clock in seconds as a dynamically linked program tells it.
#[cfg(target_os = "linux")]
fn told_by_date(path: &std::path::Path, shim: &std::path::Path) -> i64 {
    let output = Command::new("date")
        .arg("+%s")
        .env("LD_PRELOAD", shim)
        .env(FILE_VARIABLE, path)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn the_shim_moves_a_programs_wall_clock_and_not_its_monotonic_one() {
    let directory = tempfile::tempdir().unwrap();
    let [path, shim] = ["clock", "shim.so"].map(|name| directory.path().join(name));
    std::fs::write(&shim, SHIM).unwrap();
    let file = ClockFile::create(&path).unwrap();
    for by_s in [0, 3600, -86_400, 30 * 86_400] {
        file.write(&table(&[jump(by_s)])).unwrap();
        let before = true_ns() / SECOND_NS;
        let told = told_by_date(&path, &shim);
        let after = true_ns() / SECOND_NS;
        assert!((before..=after).contains(&(told - by_s)), "{told}, {by_s} s from {before}");
    }
    // Without a file, or with another one in its place, time is true.
    std::fs::write(directory.path().join("other"), "no clock").unwrap();
    for other in ["missing", "other"] {
        let before = true_ns() / SECOND_NS;
        let told = told_by_date(&directory.path().join(other), &shim);
        assert!((before..=true_ns() / SECOND_NS).contains(&told), "{other}");
    }
    // This test itself, as a program that asks for both clocks.
    file.write(&table(&[jump(3600)])).unwrap();
    let before = monotonic_ns();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "--ignored", "tests::both_clocks"])
        .env("LD_PRELOAD", &shim)
        .env(FILE_VARIABLE, &path)
        .output()
        .unwrap();
    let after = monotonic_ns();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().find_map(|line| line.split_once("clocks: ")).expect("it told").1;
    let told: Vec<i64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    assert!((before..=after).contains(&told[0]), "the monotonic clock is the machine's: {line}");
    let wall_ns = true_ns();
    assert!((wall_ns - told[1] + 3600 * SECOND_NS).abs() < 600 * SECOND_NS, "{line}, {wall_ns}");
}

/// As the C library tells it, for that is who the shim stands in for.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "no library asks the C library and not the kernel")]
fn monotonic_ns() -> i64 {
    unsafe extern "C" {
        fn clock_gettime(clock: i32, into: *mut [i64; 2]) -> i32;
    }
    const CLOCK_MONOTONIC: i32 = 1;
    let mut now = [0; 2];
    // SAFETY: two words, as a `struct timespec` of 64 bits is.
    assert_eq!(unsafe { clock_gettime(CLOCK_MONOTONIC, &mut now) }, 0);
    now[0] * SECOND_NS + now[1]
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "the program that the test of the shim runs"]
fn both_clocks() {
    println!("clocks: {} {}", monotonic_ns(), true_ns());
}
