//! `posix_spawn(3)` of Android (API level 28), which neither libc nor nix has. Contains the part that is needed, with
//! the names that nix uses elsewhere.
//!
//! Its objects are pointers to memory that the C library allocates. Arguments of a call outlive the call. Data that is
//! added to an object is copied.

use std::ffi::{CStr, CString, c_char, c_int, c_short};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use libc::{posix_spawn_file_actions_t as Actions, posix_spawnattr_t as Attributes};

unsafe extern "C" {
    fn posix_spawnattr_init(attributes: *mut Attributes) -> c_int;
    fn posix_spawnattr_destroy(attributes: *mut Attributes) -> c_int;
    fn posix_spawnattr_setflags(attributes: *mut Attributes, flags: c_short) -> c_int;
    fn posix_spawnattr_setsigmask(attributes: *mut Attributes, mask: *const libc::sigset_t) -> c_int;
    fn posix_spawnattr_setsigdefault(attributes: *mut Attributes, signals: *const libc::sigset_t) -> c_int;
    fn posix_spawn_file_actions_init(actions: *mut Actions) -> c_int;
    fn posix_spawn_file_actions_destroy(actions: *mut Actions) -> c_int;
    fn posix_spawn_file_actions_adddup2(actions: *mut Actions, from: c_int, to: c_int) -> c_int;
    fn posix_spawn_file_actions_addclose(actions: *mut Actions, number: c_int) -> c_int;
    #[link_name = "posix_spawn"]
    fn system_spawn(
        child: *mut libc::pid_t,
        path: *const c_char,
        actions: *const Actions,
        attributes: *const Attributes,
        argv: *const *mut c_char,
        environment: *const *mut c_char,
    ) -> c_int;
}

/// These functions return the error, and do not set `errno`.
fn checked(error: c_int) -> nix::Result<()> {
    if error == 0 { Ok(()) } else { Err(Errno::from_raw(error)) }
}

/// POSIX_SPAWN_SETSIGDEF and POSIX_SPAWN_SETSIGMASK.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PosixSpawnFlags(c_short);

impl PosixSpawnFlags {
    pub(crate) const POSIX_SPAWN_SETSIGDEF: PosixSpawnFlags = PosixSpawnFlags(4);
    pub(crate) const POSIX_SPAWN_SETSIGMASK: PosixSpawnFlags = PosixSpawnFlags(8);
}

impl std::ops::BitOr for PosixSpawnFlags {
    type Output = PosixSpawnFlags;

    fn bitor(self, other: PosixSpawnFlags) -> PosixSpawnFlags {
        PosixSpawnFlags(self.0 | other.0)
    }
}

#[derive(Debug)]
pub(crate) struct PosixSpawnAttr(Attributes);

impl PosixSpawnAttr {
    pub(crate) fn init() -> nix::Result<PosixSpawnAttr> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the call writes the pointer, and has initialized it if it succeeds.
        checked(unsafe { posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: as above.
        Ok(PosixSpawnAttr(unsafe { attributes.assume_init() }))
    }

    pub(crate) fn set_flags(&mut self, flags: PosixSpawnFlags) -> nix::Result<()> {
        // SAFETY: the object is initialized.
        checked(unsafe { posix_spawnattr_setflags(&mut self.0, flags.0) })
    }

    pub(crate) fn set_sigmask(&mut self, mask: &SigSet) -> nix::Result<()> {
        // SAFETY: the object is initialized, and the call only reads the set.
        checked(unsafe { posix_spawnattr_setsigmask(&mut self.0, mask.as_ref()) })
    }

    pub(crate) fn set_sigdefault(&mut self, signals: &SigSet) -> nix::Result<()> {
        // SAFETY: as above.
        checked(unsafe { posix_spawnattr_setsigdefault(&mut self.0, signals.as_ref()) })
    }
}

impl Drop for PosixSpawnAttr {
    fn drop(&mut self) {
        // SAFETY: the object is initialized, and not used afterwards.
        unsafe { posix_spawnattr_destroy(&mut self.0) };
    }
}

#[derive(Debug)]
pub(crate) struct PosixSpawnFileActions(Actions);

impl PosixSpawnFileActions {
    pub(crate) fn init() -> nix::Result<PosixSpawnFileActions> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the call writes the pointer, and has initialized it if it succeeds.
        checked(unsafe { posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: as above.
        Ok(PosixSpawnFileActions(unsafe { actions.assume_init() }))
    }

    pub(crate) fn add_dup2(&mut self, from: RawFd, to: RawFd) -> nix::Result<()> {
        // SAFETY: the object is initialized. The numbers are used in the child.
        checked(unsafe { posix_spawn_file_actions_adddup2(&mut self.0, from, to) })
    }

    pub(crate) fn add_close(&mut self, number: RawFd) -> nix::Result<()> {
        // SAFETY: as above.
        checked(unsafe { posix_spawn_file_actions_addclose(&mut self.0, number) })
    }
}

impl Drop for PosixSpawnFileActions {
    fn drop(&mut self) {
        // SAFETY: the object is initialized, and not used afterwards.
        unsafe { posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

pub(crate) fn posix_spawn(
    path: &CStr,
    actions: &PosixSpawnFileActions,
    attributes: &PosixSpawnAttr,
    argv: &[CString],
    environment: &[CString],
) -> nix::Result<Pid> {
    let list = |strings: &[CString]| -> Vec<*mut c_char> {
        strings.iter().map(|string| string.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
    };
    let (argv, environment) = (list(argv), list(environment));
    let mut child = 0;
    // SAFETY: both lists end with a null pointer. They and their strings outlive the call, which does not change them.
    // Both objects are initialized.
    let error = unsafe {
        system_spawn(
            &mut child,
            path.as_ptr(),
            &actions.0,
            &attributes.0,
            argv.as_ptr(),
            environment.as_ptr(),
        )
    };
    checked(error).map(|()| Pid::from_raw(child))
}
