//! A new image that is about to be started: what a strategy can change, then spawn or exec.

mod environment;
mod error;
mod start;

use std::collections::BTreeMap;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

pub use self::error::LaunchError;
use crate::{GoSignal, Handoff, Image, ImageFile, Pid, Process, VARIABLES, sys};

/// A new image with its arguments, environment and handoff, about to be started.
///
/// [`spawn`](Launch::spawn) starts it in a new process, [`exec`](Launch::exec) in this one. A strategy gets a `Launch`
/// in [`Strategy::launch`](crate::Strategy::launch) and [`Strategy::exec`](crate::Strategy::exec), and can change it
/// first.
///
/// The new environment is that of this process, without these variables:
///
/// - the variables of the handoff, which are replaced by new ones at the end;
/// - the variables by which a supervisor passes descriptors (`LISTEN_FDS` and others);
/// - variables that name this process (`WATCHDOG_PID`, `SYSTEMD_EXEC_PID`, `MAINPID`), if the image gets a new process.
///
/// This process's own environment is not changed. `argv[0]` is that of this process.
pub struct Launch<'fd> {
    image: PathBuf,
    args: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: BTreeMap<OsString, OsString>,
    handoff: Handoff,
    descriptors: Vec<BorrowedFd<'fd>>,
}

impl<'fd> Launch<'fd> {
    /// Creates a launch of `image` with `args` (without `argv[0]`). `descriptors` must be exactly those whose numbers
    /// are in the handoff, including the channel.
    pub fn new(
        image: &Image,
        args: Vec<OsString>,
        handoff: Handoff,
        descriptors: Vec<BorrowedFd<'fd>>,
    ) -> Launch<'fd> {
        // If the successor is known, this process becomes the image, by exec in place.
        let same_process = handoff.successor.is_some();
        let environment = environment::passed_on(env::vars_os(), Pid::current(), same_process);
        Launch { image: image.path().to_owned(), args, directory: None, environment, handoff, descriptors }
    }

    /// Returns the path of the image.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Sets the image: an absolute path, or one relative to the directory in which the new process starts.
    pub fn set_image(&mut self, image: impl Into<PathBuf>) -> &mut Self {
        self.image = image.into();
        self
    }

    /// Returns the directory in which the new process starts. `None`: the directory of this process.
    pub fn working_directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Sets the directory in which the new process starts, and the variable `PWD`. It is entered by
    /// `posix_spawn_file_actions_addchdir_np(3)`, or by `chdir(2)` before an exec in place.
    pub fn set_working_directory(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        let path = path.into();
        self.env("PWD", &path);
        self.directory = Some(path);
        self
    }

    /// Returns the arguments after `argv[0]`.
    pub fn args(&self) -> &[OsString] {
        &self.args
    }

    /// Replaces the arguments after `argv[0]`.
    pub fn set_args(&mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> &mut Self {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl Into<OsString>) -> &mut Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable in the environment of the new process. The variables of the handoff override it.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.environment.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Removes a variable from the environment of the new process. The variables of the handoff are set in any case.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.environment.remove(name.as_ref());
        self
    }

    /// Sets GOAGAIN_SIGNAL: the signal that the new process sends to its predecessor once it serves, if the new process runs
    /// the Go package goagain. Between two processes of this library the variable has no effect. See [`GoSignal`].
    pub fn signal(&mut self, signal: GoSignal) -> &mut Self {
        self.handoff.signal = signal;
        self
    }

    /// Starts the image in a new process, by `posix_spawn(3)`, whose duration does not depend on the size of this
    /// process.
    ///
    /// The child gets copies of the descriptors, under the same numbers, that are not close-on-exec. In this process
    /// they stay close-on-exec at all times. HUP, USR1 and USR2 are blocked in the child until it has its handlers, in
    /// addition to the signals that this thread blocks. SIGPIPE, which Rust ignores, has its default action in the
    /// child.
    ///
    /// # Errors
    /// - [`LaunchError::Handoff`], [`LaunchError::Nul`], [`LaunchError::Descriptors`], [`LaunchError::Directory`]:
    ///   nothing was started.
    /// - [`LaunchError::Spawn`]: the errors of `posix_spawn` and `execve(2)`; or the child could not be opened
    ///   (`pidfd_open(2)`, EMFILE), and was killed and reaped.
    pub fn spawn(self) -> Result<Launched, LaunchError> {
        start::spawn(self)
    }

    /// Replaces this process by the image, by `execve(2)`: same process, same pid, same descriptors. Returns only on
    /// failure. Then everything is as before.
    ///
    /// HUP, USR1, USR2, INT, TERM and QUIT are blocked in this thread, and so in the new image until it has its
    /// handlers. SIGPIPE has its default action. Destructors do not run, and all other threads end.
    ///
    /// # Errors
    /// Returns one of
    /// - [`LaunchError::Handoff`], [`LaunchError::Nul`], [`LaunchError::Descriptors`], [`LaunchError::Directory`]:
    ///   nothing was tried.
    /// - [`LaunchError::Exec`]: the errors of `execve`, `fcntl(2)`, `sigaction(2)` and `pthread_sigmask(3)`.
    pub fn exec(self) -> LaunchError {
        start::exec(self)
    }

    /// Creates the file for the list of descriptors, if that is too long for a variable.
    fn list(&self) -> Result<Option<File>, LaunchError> {
        let Some(list) = self.handoff.long_list() else { return Ok(None) };
        let made = || -> io::Result<File> {
            let mut file = File::from(sys::anonymous_file()?);
            file.write_all(list.as_bytes())?;
            sys::seal(&file)?;
            Ok(file)
        };
        let failed = |error| {
            LaunchError::Descriptors(format!("cannot create the file that lists the descriptors: {error}"))
        };
        made().map(Some).map_err(failed)
    }

    /// Returns the strings for the system call, or why they are invalid.
    fn strings(&self, list: Option<&File>) -> Result<Strings, LaunchError> {
        let variables = self.handoff.encode_with(list.map(AsRawFd::as_raw_fd))?;
        self.check_descriptors()?;
        let own_name = env::args_os().next().unwrap_or_else(|| self.image.clone().into());
        let argv = [&own_name].into_iter().chain(&self.args);
        let mut environment = self.environment.clone();
        // A variable that a strategy has set must not remain next to the one of the handoff.
        VARIABLES.iter().for_each(|variable| drop(environment.remove(OsStr::new(variable))));
        let handed_over = variables.into_iter().map(|(name, value)| (OsString::from(name), value));
        let environment = environment.into_iter().chain(handed_over).map(|(name, value)| {
            let mut pair = name;
            pair.push("=");
            pair.push(value);
            pair
        });
        Ok(Strings {
            image: c_string("the image", self.image.clone().into())?,
            directory: self
                .directory
                .clone()
                .map(|path| c_string("the directory", path.into()))
                .transpose()?,
            argv: argv.map(|arg| c_string("an argument", arg.clone())).collect::<Result<_, _>>()?,
            environment: environment.map(|pair| c_string("a variable", pair)).collect::<Result<_, _>>()?,
        })
    }
}

struct Strings {
    image: CString,
    directory: Option<CString>,
    argv: Vec<CString>,
    environment: Vec<CString>,
}

fn c_string(what: &str, string: OsString) -> Result<CString, LaunchError> {
    CString::new(string.into_vec()).map_err(|error| {
        let string = OsString::from_vec(error.into_vec());
        LaunchError::Nul(format!("{what} contains a NUL: {string:?}"))
    })
}

/// Shows only the names of the variables: their values may be secrets, which do not belong in logs.
impl fmt::Debug for Launch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("image", &self.image)
            .field("args", &self.args)
            .field("directory", &self.directory)
            .field("environment", &self.environment.keys())
            .field("handoff", &self.handoff)
            .field("descriptors", &self.descriptors)
            .finish()
    }
}

/// A new process that was started: a child of this process, held by [`Process`].
#[derive(Debug)]
#[must_use = "a child that is dropped is never reaped"]
pub struct Launched {
    process: Process,
    file: Option<ImageFile>,
}

impl Launched {
    /// Returns the child's pid.
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Returns the file of its image, as it was just before the start. `None` if `stat(2)` failed.
    pub fn image_file(&self) -> Option<&ImageFile> {
        self.file.as_ref()
    }

    /// Returns the child.
    pub fn into_process(self) -> Process {
        self.process
    }
}

#[cfg(test)]
mod tests;
