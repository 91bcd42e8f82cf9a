//! How many files this process may have open: each socket is one, and each file that a FUSE serves.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as the system allows from now on. Answers how many that is; `None`: nobody counts.
pub fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        // Not allowed: then whoever wants more than there is is told so.
        Err(_) => current,
    }
}
