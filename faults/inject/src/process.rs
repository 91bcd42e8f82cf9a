//! Processes of this machine: identity, state and signals.
//!
//! Promises: a [`Process`] is one life of one pid. Linux is read from `/proc`; elsewhere `ps` is asked, which knows
//! less: start times to the second, and no time on the CPU that is fine enough to show progress.

use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::io;

/// One life of one pid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    /// When it started, in the system's own words: clock ticks since boot on Linux.
    pub start: String,
}

/// What the kernel says that a process is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Running, or waiting for something; the kernel's letter.
    Alive(char),
    /// Every thread is stopped by a signal.
    Stopped { threads: usize },
    /// It has ended; its parent has not collected it yet.
    Zombie,
    /// No such process, or the pid is another life's.
    Gone,
}

impl Process {
    /// The process that has this pid now.
    pub fn of(pid: u32) -> Option<Process> {
        system::start(pid).map(|start| Process { pid, start })
    }

    /// This process.
    pub fn own() -> io::Result<Process> {
        let pid = std::process::id();
        Process::of(pid).ok_or_else(|| io::Error::other(format!("can't read about pid {pid}")))
    }

    pub fn state(&self) -> State {
        if system::start(self.pid).as_ref() != Some(&self.start) {
            return State::Gone;
        }
        system::state(self.pid)
    }

    /// It runs, or could once it is continued.
    pub fn is_alive(&self) -> bool {
        matches!(self.state(), State::Alive(_) | State::Stopped { .. })
    }

    /// Nanoseconds that its threads have run, where the system tells them finely enough to show progress.
    pub fn cpu_ns(&self) -> Option<u64> {
        system::cpu_ns(self.pid)
    }

    /// Its command line, arguments separated by blanks.
    pub fn command_line(&self) -> String {
        system::command_line(self.pid)
    }

    /// SIGKILL. A process that is gone already is no error.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// SIGTERM: asks it to end in order. A process that is gone already is no error.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// SIGSTOP.
    pub fn stop(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other(format!("{} is no pid", self.pid)))?;
        match system::signal(pid, self, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it has ended, up to a deadline; answers whether it has.
    pub fn wait_gone(&self, within: std::time::Duration) -> bool {
        let deadline = std::time::Instant::now() + within;
        while self.is_alive() {
            if std::time::Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        true
    }
}

/// Processes whose command line holds a text. This process is never among them.
pub fn with_command_line(text: &str) -> Vec<Process> {
    let own = std::process::id();
    let mut found = Vec::new();
    for pid in system::pids() {
        if pid == own {
            continue;
        }
        // Identity first: if the pid changes hands in between, the command line is the other's and the start is not.
        if let Some(process) = Process::of(pid)
            && process.command_line().contains(text)
            && Process::of(pid).as_ref() == Some(&process)
        {
            found.push(process);
        }
    }
    found
}

/// Tells one boot of the machine from another; empty where the system does not say.
pub fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_string()
}

#[cfg(target_os = "linux")]
mod system {
    use super::{Process, State};
    use rustix::io::Errno;
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    use std::fs;

    /// The fields of `/proc/PID/stat` behind the command's name, which may hold blanks and parentheses.
    fn stat(path: &str) -> Option<Vec<String>> {
        let text = fs::read(path).ok()?;
        let text = String::from_utf8_lossy(&text);
        let behind = text.rsplit_once(')')?.1;
        Some(behind.split_whitespace().map(str::to_string).collect())
    }

    pub fn start(pid: u32) -> Option<String> {
        // Field 22 of the whole line, 20th behind the name.
        stat(&format!("/proc/{pid}/stat"))?.get(19).cloned()
    }

    pub fn state(pid: u32) -> State {
        let Some(fields) = stat(&format!("/proc/{pid}/stat")) else { return State::Gone };
        let letter = fields.first().and_then(|field| field.chars().next()).unwrap_or('?');
        match letter {
            'Z' | 'X' | 'x' => State::Zombie,
            'T' => all_threads_stopped(pid),
            letter => State::Alive(letter),
        }
    }

    fn all_threads_stopped(pid: u32) -> State {
        let mut threads = 0;
        for thread in threads_of(pid) {
            let letter = stat(&format!("/proc/{pid}/task/{thread}/stat"))
                .and_then(|fields| fields.first()?.chars().next());
            match letter {
                Some('T') => threads += 1,
                // A thread that ended between the listing and the look does not run.
                None | Some('Z' | 'X') => {}
                Some(letter) => return State::Alive(letter),
            }
        }
        State::Stopped { threads }
    }

    fn threads_of(pid: u32) -> Vec<u32> {
        numbers(&format!("/proc/{pid}/task"))
    }

    fn numbers(directory: &str) -> Vec<u32> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    pub fn cpu_ns(pid: u32) -> Option<u64> {
        let mut total = None;
        for thread in threads_of(pid) {
            let path = format!("/proc/{pid}/task/{thread}/schedstat");
            let text = fs::read_to_string(path).unwrap_or_default();
            if let Some(ns) = text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()) {
                total = Some(total.unwrap_or(0) + ns);
            }
        }
        total
    }

    pub fn command_line(pid: u32) -> String {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_string()
    }

    pub fn pids() -> Vec<u32> {
        numbers("/proc")
    }

    /// Through a pid file descriptor: between the look at the start time and the signal nobody can take the pid over.
    pub fn signal(pid: Pid, process: &Process, signal: Signal) -> Result<(), Errno> {
        let handle = pidfd_open(pid, PidfdFlags::empty())?;
        if start(process.pid).as_ref() != Some(&process.start) {
            return Err(Errno::SRCH);
        }
        pidfd_send_signal(handle, signal)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Process, State};
    use rustix::io::Errno;
    use rustix::process::{Pid, Signal, kill_process};
    use std::process::Command;

    fn ps(arguments: &[&str]) -> Option<String> {
        let output = Command::new("ps").args(arguments).env("LC_ALL", "C").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
        (output.status.success() && !text.is_empty()).then_some(text)
    }

    pub fn start(pid: u32) -> Option<String> {
        ps(&["-o", "lstart=", "-p", &pid.to_string()])
    }

    pub fn state(pid: u32) -> State {
        let state = ps(&["-o", "state=", "-p", &pid.to_string()]);
        match state.and_then(|state| state.chars().next()) {
            None => State::Gone,
            Some('Z') => State::Zombie,
            Some('T') => State::Stopped { threads: 1 },
            Some(letter) => State::Alive(letter),
        }
    }

    pub fn cpu_ns(_pid: u32) -> Option<u64> {
        None
    }

    pub fn command_line(pid: u32) -> String {
        ps(&["-ww", "-o", "command=", "-p", &pid.to_string()]).unwrap_or_default()
    }

    pub fn pids() -> Vec<u32> {
        let list = ps(&["-axo", "pid="]).unwrap_or_default();
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    pub fn signal(pid: Pid, process: &Process, signal: Signal) -> Result<(), Errno> {
        if start(process.pid).as_ref() != Some(&process.start) {
            return Err(Errno::SRCH);
        }
        kill_process(pid, signal)
    }
}

#[cfg(test)]
mod tests;
