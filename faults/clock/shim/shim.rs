//! A preload library that moves the wall clock of a program, as a clock file says.
//!
//! Promises: the monotonic clocks, and those of processes and threads, are passed through untouched. After the library is
//! loaded nothing here allocates, locks or waits, so that it may be called from a signal handler; it calls no function that it
//! stands in for. Without the variable, or without a file behind it, everything is passed through. A write into its mapping
//! is impossible: it is mapped for reading.
//!
//! Not moved: waits that end at a moment of the wall clock (`pthread_cond_timedwait` and its like, timers), which the kernel
//! holds against its own clock, and programs that are linked statically or call the kernel themselves.
//!
//! Compiled by `build.rs` on its own, outside Cargo; of Rust's libraries it uses `core` alone.
#[path = "../src/table.rs"]
#[allow(dead_code, reason = "the writer is elsewhere")]
mod table;

use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use table::WORDS;

#[repr(C)]
pub struct Timespec {
    seconds: i64,
    nanoseconds: c_long,
}

#[repr(C)]
pub struct Timeval {
    seconds: i64,
    microseconds: c_long,
}

const CLOCK_REALTIME: c_int = 0;
const CLOCK_REALTIME_COARSE: c_int = 5;
const CLOCK_REALTIME_ALARM: c_int = 8;
const CLOCK_TAI: c_int = 11;
const TIME_UTC: c_int = 1;
const O_RDONLY_CLOEXEC: c_int = 0o2_000_000;
const PROT_READ: c_int = 1;
const MAP_SHARED: c_int = 1;
const SEEK_END: c_int = 2;
const RTLD_NEXT: *mut c_void = -1_isize as *mut c_void;
const SECOND_NS: i64 = 1_000_000_000;

unsafe extern "C" {
    fn getenv(name: *const c_char) -> *const c_char;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn close(descriptor: c_int) -> c_int;
    fn lseek(descriptor: c_int, offset: i64, whence: c_int) -> i64;
    fn mmap(
        at: *mut c_void,
        bytes: usize,
        rights: c_int,
        flags: c_int,
        descriptor: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn syscall(number: c_long, ...) -> c_long;
}

#[cfg(target_arch = "x86_64")]
const SYS_CLOCK_GETTIME: c_long = 228;
#[cfg(not(target_arch = "x86_64"))] // the table that all newer architectures share
const SYS_CLOCK_GETTIME: c_long = 113;

type ClockGettime = unsafe extern "C" fn(c_int, *mut Timespec) -> c_int;

/// The mapped file; null: there is none.
static FILE: AtomicPtr<[AtomicU64; WORDS]> = AtomicPtr::new(null_mut());
/// The C library's own `clock_gettime`; null: not found yet.
static NEXT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Run by the loader before the program's own code: here may still be allocated.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

extern "C" fn begin() {
    // SAFETY: plain calls of the C library with texts that end in 0; the file's length is checked before it is mapped whole.
    unsafe {
        NEXT.store(dlsym(RTLD_NEXT, text(c"clock_gettime")), Ordering::Relaxed);
        let path = getenv(text(c"HIGHWATER_CLOCK_FILE"));
        if path.is_null() {
            return;
        }
        let descriptor = open(path, O_RDONLY_CLOEXEC);
        if descriptor < 0 {
            return;
        }
        let bytes = size_of::<[AtomicU64; WORDS]>();
        if lseek(descriptor, 0, SEEK_END) == bytes as i64 {
            let at = mmap(null_mut(), bytes, PROT_READ, MAP_SHARED, descriptor, 0);
            if at as isize != -1 {
                FILE.store(at.cast(), Ordering::Release);
            }
        }
        close(descriptor);
    }
}

const fn text(text: &'static CStr) -> *const c_char {
    text.as_ptr()
}

/// What the machine says: through the C library, which asks the kernel's page of memory, or by a system call.
unsafe fn machine(clock: c_int, into: *mut Timespec) -> c_int {
    let next = NEXT.load(Ordering::Relaxed);
    if next.is_null() {
        // SAFETY: the caller's pointer is passed on as it is.
        return unsafe { syscall(SYS_CLOCK_GETTIME, clock as c_long, into) } as c_int;
    }
    // SAFETY: this is what the C library has under that name; the caller's pointer is passed on as it is.
    unsafe { core::mem::transmute::<*mut c_void, ClockGettime>(next)(clock, into) }
}

/// The wall clock in nanoseconds since the epoch as the program is told it. `None`: the machine does not tell.
fn told_ns(clock: c_int) -> Option<i64> {
    let mut now = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: it is ours to write to.
    if unsafe { machine(clock, &mut now) } != 0 {
        return None;
    }
    Some(shifted_ns(&now))
}

fn shifted_ns(now: &Timespec) -> i64 {
    let true_ns = now.seconds.saturating_mul(SECOND_NS).saturating_add(now.nanoseconds);
    let file = FILE.load(Ordering::Acquire);
    // SAFETY: once it is mapped it stays; all of it is atomic words.
    match unsafe { file.as_ref() } {
        // Before 1970 there is no time for many a program.
        Some(words) => true_ns.saturating_add(table::read(words).at(true_ns)).max(0),
        None => true_ns,
    }
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, into: *mut Timespec) -> c_int {
    // SAFETY: the caller's pointer is passed on as it is.
    let answer = unsafe { machine(clock, into) };
    let is_wall =
        matches!(clock, CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_REALTIME_ALARM | CLOCK_TAI);
    if answer == 0 && is_wall {
        // SAFETY: the machine has just written there.
        if let Some(into) = unsafe { into.as_mut() } {
            let told_ns = shifted_ns(into);
            into.seconds = told_ns / SECOND_NS;
            into.nanoseconds = told_ns % SECOND_NS;
        }
    }
    answer
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(into: *mut Timeval, zone: *mut c_void) -> c_int {
    let Some(told_ns) = told_ns(CLOCK_REALTIME) else { return -1 };
    // SAFETY: the caller's, or null.
    if let Some(into) = unsafe { into.as_mut() } {
        into.seconds = told_ns / SECOND_NS;
        into.microseconds = told_ns % SECOND_NS / 1000;
    }
    if !zone.is_null() {
        // SAFETY: of a `struct timezone`, two ints, which has said UTC for decades.
        unsafe { zone.cast::<[c_int; 2]>().write([0, 0]) };
    }
    0
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(into: *mut i64) -> i64 {
    let seconds = told_ns(CLOCK_REALTIME).map_or(-1, |told_ns| told_ns / SECOND_NS);
    // SAFETY: the caller's, or null.
    if let Some(into) = unsafe { into.as_mut() } {
        *into = seconds;
    }
    seconds
}

/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn timespec_get(into: *mut Timespec, base: c_int) -> c_int {
    if base != TIME_UTC {
        return 0;
    }
    // SAFETY: the caller's pointer is passed on as it is.
    match unsafe { clock_gettime(CLOCK_REALTIME, into) } {
        0 => base,
        _ => 0,
    }
}
