//! The kernel's side of a file system that can fail: every operation is done on the directory below, unless a rule says otherwise.
//!
//! Promises: an operation that is slow holds up no other one. Locks are the kernel's own. Not there: links, special files and
//! extended attributes, which no broker uses.

use super::below::{SetAttributes, Shared, attributes, errno};
use super::rules::{Fate, Kind};
use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{AtFlags, FallocateFlags};
use std::ffi::OsStr;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The kernel asks again each time: the directory below may have been changed.
const NO_TIME: Duration = Duration::ZERO;
const GENERATION: Generation = Generation(0);

/// One node's file system.
#[derive(Debug)]
pub struct PassThrough(pub Arc<Shared>);

impl PassThrough {
    /// Does it when the time has come: a slow operation must not hold up the others.
    fn after(&self, delay: Duration, act: impl FnOnce(&Shared) + Send + 'static) {
        if delay.is_zero() {
            return act(&self.0);
        }
        let shared = self.0.clone();
        let due = std::time::Instant::now() + delay;
        let wait = move || {
            while let Some(left) = due.checked_duration_since(std::time::Instant::now()) {
                std::thread::park_timeout(left);
            }
            act(&shared);
        };
        // Without a thread the request goes with its closure, and is answered with EIO as it does.
        let _ = std::thread::Builder::new().name("slow".to_string()).spawn(wait);
    }
}

/// Answers a request that is done by now.
macro_rules! answer {
    ($reply:expr, $result:expr, |$value:pat_param| $good:expr) => {
        match $result {
            Ok($value) => $good,
            Err(error) => $reply.error(error),
        }
    };
}

/// Decides over an operation on an inode, waits, and does it or fails.
macro_rules! decided {
    ($self:expr, $reply:expr, $decided:expr, |$shared:pat_param| $act:expr) => {{
        let (delay, fate) = $decided;
        $self.after(delay, move |$shared| match fate {
            Fate::Error | Fate::Lost => $reply.error(Errno::EIO),
            Fate::Done => $act,
        })
    }};
}

/// The value, or the request is answered with the error.
macro_rules! or_error {
    ($reply:expr, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return $reply.error(error),
        }
    };
}

impl Filesystem for PassThrough {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer!(reply, self.0.lookup(parent, name), |(_, attr)| {
            reply.entry(&NO_TIME, &attr, GENERATION)
        });
    }

    fn forget(&self, _: &Request, number: INodeNo, lookups: u64) {
        self.0.tables.forget(number.0, lookups);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let inode = or_error!(reply, self.0.inode(number));
        answer!(reply, inode.file.metadata().map_err(Errno::from), |metadata| {
            reply.attr(&NO_TIME, &attributes(inode.number, &metadata))
        });
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        owner: Option<u32>,
        group: Option<u32>,
        len: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = SetAttributes { mode, owner, group, len, accessed, modified, handle };
        let inode = or_error!(reply, self.0.inode(number));
        // A file's length is data, its other attributes are nobody's loss.
        let decided = match len {
            Some(_) => self.0.decide(Kind::Write, &inode),
            None => (Duration::ZERO, Fate::Done),
        };
        decided!(self, reply, decided, |shared| {
            answer!(reply, shared.set_attributes(number, &set), |attr| {
                reply.attr(&NO_TIME, &attr)
            })
        });
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        let inode = or_error!(reply, self.0.inode(parent));
        let (decided, name) = (self.0.decide_name(&inode, name), name.to_owned());
        decided!(self, reply, decided, |shared| {
            answer!(reply, shared.make_directory(parent, &name, mode), |attr| {
                reply.entry(&NO_TIME, &attr, GENERATION)
            })
        });
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let inode = or_error!(reply, self.0.inode(parent));
        let (decided, name) = (self.0.decide_name(&inode, name), name.to_owned());
        decided!(self, reply, decided, |shared| {
            answer!(reply, shared.remove(parent, &name, AtFlags::empty()), |()| reply.ok())
        });
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let inode = or_error!(reply, self.0.inode(parent));
        let (decided, name) = (self.0.decide_name(&inode, name), name.to_owned());
        decided!(self, reply, decided, |shared| {
            answer!(reply, shared.remove(parent, &name, AtFlags::REMOVEDIR), |()| reply.ok())
        });
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to_parent: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let inode = or_error!(reply, self.0.inode(parent));
        let decided = self.0.decide_name(&inode, name);
        let (name, to_name) = (name.to_owned(), to_name.to_owned());
        decided!(self, reply, decided, |shared| {
            let renamed = shared.rename((parent, &name), (to_parent, &to_name), flags);
            answer!(reply, renamed, |()| reply.ok())
        });
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let inode = or_error!(reply, self.0.inode(parent));
        let (decided, name) = (self.0.decide_name(&inode, name), name.to_owned());
        decided!(self, reply, decided, |shared| {
            answer!(reply, shared.create(parent, &name, mode, flags), |(attr, handle)| {
                let handle = FileHandle(handle);
                reply.created(&NO_TIME, &attr, GENERATION, handle, FopenFlags::empty())
            })
        });
    }

    fn open(&self, _: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        answer!(reply, self.0.open(number, flags), |handle| {
            // Not FOPEN_KEEP_CACHE: who opens a file anew sees what is below.
            reply.opened(FileHandle(handle), FopenFlags::empty())
        });
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        at: u64,
        len: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let inode = or_error!(reply, self.0.inode(number));
        decided!(self, reply, self.0.decide(Kind::Read, &inode), |shared| {
            answer!(reply, shared.read(handle, at, len), |data| reply.data(&data))
        });
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        at: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let inode = or_error!(reply, self.0.inode(number));
        let (delay, fate) = self.0.decide(Kind::Write, &inode);
        if delay.is_zero() && fate == Fate::Done {
            // The common case: without a copy of the data.
            return answer!(reply, self.0.write(handle, at, data), |count| reply.written(count));
        }
        let data = data.to_vec();
        decided!(self, reply, (delay, fate), |shared| {
            answer!(reply, shared.write(handle, at, &data), |count| reply.written(count))
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.0.tables.release(handle.0);
        reply.ok();
    }

    fn fsync(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        let inode = or_error!(reply, self.0.inode(number));
        let (delay, fate) = self.0.decide(Kind::Fsync, &inode);
        self.after(delay, move |shared| match fate {
            Fate::Error => reply.error(Errno::EIO),
            fate => answer!(reply, shared.fsync(handle, data_only, fate), |()| reply.ok()),
        });
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        answer!(reply, self.0.list(number), |handle| {
            reply.opened(FileHandle(handle), FopenFlags::empty())
        });
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        from: u64,
        mut reply: ReplyDirectory,
    ) {
        let Some(entries) = self.0.tables.directory(handle.0) else {
            return reply.error(Errno::EBADF);
        };
        for (at, entry) in entries.iter().enumerate().skip(from as usize) {
            if reply.add(INodeNo(entry.number), at as u64 + 1, entry.kind, &entry.name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.0.tables.release(handle.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let inode = or_error!(reply, self.0.inode(number));
        decided!(self, reply, self.0.decide(Kind::FsyncDirectory, &inode), |_| {
            let synced = File::open(inode.path()).and_then(|directory| directory.sync_all());
            answer!(reply, synced.map_err(Errno::from), |()| reply.ok())
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let stat = rustix::fs::fstatvfs(&self.0.tables.root().file).map_err(errno);
        answer!(reply, stat, |s| {
            let (block, fragment) = (s.f_bsize as u32, s.f_frsize as u32);
            reply.statfs(
                s.f_blocks,
                s.f_bfree,
                s.f_bavail,
                s.f_files,
                s.f_ffree,
                block,
                s.f_namemax as u32,
                fragment,
            )
        });
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        at: u64,
        len: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let inode = or_error!(reply, self.0.inode(number));
        decided!(self, reply, self.0.decide(Kind::Write, &inode), |shared| {
            let mode = FallocateFlags::from_bits_retain(mode as u32);
            let file = shared.file(handle);
            let done = file.and_then(|handle| {
                rustix::fs::fallocate(&handle.file, mode, at, len).map_err(errno)
            });
            answer!(reply, done, |()| reply.ok())
        });
    }
}
