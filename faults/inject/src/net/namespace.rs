//! Network namespaces: making them, and doing something inside of one.
//!
//! Promises: the calling thread is moved by [`separate`] only; everything else happens on threads that end before the
//! call returns, and children that they start stay where they were started. Linux only; elsewhere every call fails.

use std::fs::File;
use std::io::{self, Write};
use std::process::{Command, Stdio};

/// Runs a program of the system to its end; what it printed, or why it failed.
pub fn run(program: &str, arguments: &[&str], input: &str) -> io::Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            io::Error::other(format!("the program `{program}` is missing: install it"))
        }
        _ => error,
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    Err(io::Error::other(format!("{program}: {words}")))
}

/// Does something inside of a namespace.
pub fn within<T: Send>(
    namespace: &File,
    act: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    on_a_thread(|| {
        system::move_into(namespace)?;
        act()
    })
}

/// A new namespace, with its loopback up.
pub fn create() -> io::Result<File> {
    let namespace = on_a_thread(system::unshare_and_open)?;
    within(&namespace, || run("ip", &["link", "set", "lo", "up"], ""))?;
    Ok(namespace)
}

/// Moves this thread, and those that it starts from now on, into network and mount namespaces of their own. Answers the
/// network's.
pub fn separate() -> io::Result<File> {
    system::separate()
}

/// Moves this thread, and those that it starts from now on, into a mount namespace of their own: what is mounted there is
/// seen by nobody else, and goes with the last process in it.
pub fn separate_mounts() -> io::Result<()> {
    system::separate_mounts()
}

fn on_a_thread<T: Send>(act: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, act)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
    })
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::io::Errno;
    use rustix::mount::{MountPropagationFlags, mount_change};
    use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
    use std::fs::File;
    use std::io;
    use std::os::fd::AsFd;

    const OWN: &str = "/proc/thread-self/ns/net";
    const REMEDY: &str = "run as root, or allow user namespaces \
        (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, \
        kernel.apparmor_restrict_unprivileged_userns)";

    #[allow(deprecated, reason = "its successor is unsafe because of flags that are not used here")]
    fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
        rustix::thread::unshare(flags)
    }

    pub fn move_into(namespace: &File) -> io::Result<()> {
        let kind = Some(LinkNameSpaceType::Network);
        Ok(move_into_link_name_space(namespace.as_fd(), kind)?)
    }

    pub fn unshare_and_open() -> io::Result<File> {
        unshare(UnshareFlags::NEWNET)?;
        File::open(OWN)
    }

    pub fn separate() -> io::Result<File> {
        let apart = UnshareFlags::NEWNET | UnshareFlags::NEWNS;
        match unshare(apart) {
            Ok(()) => {}
            Err(Errno::PERM) => separate_as_user(apart)?,
            Err(error) => return Err(explained(error)),
        }
        keep_mounts()?;
        File::open(OWN)
    }

    pub fn separate_mounts() -> io::Result<()> {
        unshare(UnshareFlags::NEWNS).map_err(explained)?;
        keep_mounts()
    }

    /// What is mounted in here stays in here.
    fn keep_mounts() -> io::Result<()> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        Ok(mount_change("/", private)?)
    }

    /// Without privileges: as root of a user namespace, in which this user is all there is.
    fn separate_as_user(apart: UnshareFlags) -> io::Result<()> {
        let user = rustix::process::geteuid().as_raw();
        let group = rustix::process::getegid().as_raw();
        unshare(apart | UnshareFlags::NEWUSER).map_err(explained)?;
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
        std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
    }

    fn explained(error: Errno) -> io::Error {
        let why = match error {
            Errno::INVAL => {
                "namespaces can only be made before any other thread runs, or by a kernel that has them"
            }
            Errno::PERM => "this user may make no namespaces",
            Errno::NOSPC => "there are too many namespaces already",
            _ => "no namespaces could be made",
        };
        io::Error::new(io::Error::from(error).kind(), format!("{why} ({error}): {REMEDY}"))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::fs::File;
    use std::io;

    fn unsupported<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "network namespaces need Linux"))
    }

    pub fn move_into(_: &File) -> io::Result<()> {
        unsupported()
    }

    pub fn unshare_and_open() -> io::Result<File> {
        unsupported()
    }

    pub fn separate() -> io::Result<File> {
        unsupported()
    }

    pub fn separate_mounts() -> io::Result<()> {
        unsupported()
    }
}
