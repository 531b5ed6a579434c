//! The new image, about to be started: what a strategy may change, then spawn or exec.

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

/// A new image with its arguments, environment and handoff, about to be spawned or exec'd.
///
/// Its environment is this process's own without the handoff's variables, without those by which a supervisor hands over
/// descriptors (`LISTEN_FDS`), and, if the new image is another process, without those that name this one (`WATCHDOG_PID`,
/// `SYSTEMD_EXEC_PID`, `MAINPID`). The handoff's variables are added at the end, and this process's own environment is not
/// touched. `argv[0]` is this process's own.
pub struct Launch<'fd> {
    image: PathBuf,
    args: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: BTreeMap<OsString, OsString>,
    handoff: Handoff,
    descriptors: Vec<BorrowedFd<'fd>>,
}

impl<'fd> Launch<'fd> {
    /// A launch of `image` with `args` (without `argv[0]`), handing over `descriptors`: exactly those whose numbers are in the
    /// handoff, the channel's included.
    pub fn new(
        image: &Image,
        args: Vec<OsString>,
        handoff: Handoff,
        descriptors: Vec<BorrowedFd<'fd>>,
    ) -> Launch<'fd> {
        // Where the successor is known, this very process becomes the image.
        let stays = handoff.successor.is_some();
        let environment = environment::passed_on(env::vars_os(), Pid::current(), stays);
        Launch { image: image.path().to_owned(), args, directory: None, environment, handoff, descriptors }
    }

    /// The path of the image.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Runs another file: an absolute path, or one from the directory that the new image starts in.
    pub fn set_image(&mut self, image: impl Into<PathBuf>) -> &mut Self {
        self.image = image.into();
        self
    }

    /// The directory that the new image starts in; `None`: that of this process.
    pub fn working_directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Starts the new image in another directory (`posix_spawn_file_actions_addchdir_np(3)`, or `chdir(2)` before an own exec),
    /// and sets the variable `PWD` to it.
    pub fn set_working_directory(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        let path = path.into();
        self.env("PWD", &path);
        self.directory = Some(path);
        self
    }

    /// The arguments behind `argv[0]`.
    pub fn args(&self) -> &[OsString] {
        &self.args
    }

    /// Replaces the arguments behind `argv[0]`.
    pub fn set_args(&mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> &mut Self {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl Into<OsString>) -> &mut Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable in the environment of the new image. The handoff's own are set over it.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.environment.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Leaves a variable out of the environment of the new image. The handoff's own are set nevertheless.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.environment.remove(name.as_ref());
        self
    }

    /// GOAGAIN_SIGNAL: what a seed, if the new image is one, sends to its predecessor when it serves.
    pub fn signal(&mut self, signal: GoSignal) -> &mut Self {
        self.handoff.signal = signal;
        self
    }

    /// Starts the image in a new process, by `posix_spawn(3)`, which takes as long for a big process as for a small one.
    ///
    /// The child has the descriptors under the same numbers, as copies that are not close-on-exec; here they stay
    /// close-on-exec at all times. HUP, USR1 and USR2 are blocked in it, beside what this thread blocks, until it has its
    /// handlers, and SIGPIPE, which Rust ignores, has its default action.
    ///
    /// # Errors
    /// - [`LaunchError::Handoff`], [`LaunchError::Nul`], [`LaunchError::Descriptors`]: nothing was started.
    /// - [`LaunchError::Spawn`]: those of `posix_spawn` and `execve(2)`; or the child could not be held (EMFILE), and was killed
    ///   and reaped.
    pub fn spawn(self) -> Result<Launched, LaunchError> {
        start::spawn(self)
    }

    /// Becomes the image, by `execve(2)`: same process, same pid, same descriptors. Returns on failure only; then
    /// everything is as before.
    ///
    /// HUP, USR1, USR2, INT, TERM and QUIT are blocked in this thread, and so in the new image until it has its handlers; SIGPIPE has
    /// its default action. Destructors do not run, and all other threads end.
    ///
    /// This returns one of
    /// - [`LaunchError::Handoff`], [`LaunchError::Nul`], [`LaunchError::Descriptors`]: nothing was tried.
    /// - [`LaunchError::Exec`]: those of `execve`, `fcntl(2)`, `sigaction(2)` and `pthread_sigmask(3)`.
    pub fn exec(self) -> LaunchError {
        start::exec(self)
    }

    /// The file for the list of descriptors, where that is too long for a variable.
    fn list(&self) -> Result<Option<File>, LaunchError> {
        let Some(list) = self.handoff.long_list() else { return Ok(None) };
        let made = || -> io::Result<File> {
            let mut file = File::from(sys::nameless_file()?);
            file.write_all(list.as_bytes())?;
            sys::seal(&file)?;
            Ok(file)
        };
        let failed =
            |error| LaunchError::Descriptors(format!("cannot make the file that lists them: {error}"));
        made().map(Some).map_err(failed)
    }

    /// The strings for the system, or what is wrong with them.
    fn strings(&self, list: Option<&File>) -> Result<Strings, LaunchError> {
        let variables = self.handoff.encode_with(list.map(AsRawFd::as_raw_fd))?;
        self.check_descriptors()?;
        let own_name = env::args_os().next().unwrap_or_else(|| self.image.clone().into());
        let argv = [&own_name].into_iter().chain(&self.args);
        let mut environment = self.environment.clone();
        // One that a strategy has set must not stand beside the handoff's.
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
        LaunchError::Nul(format!("{what} holds a NUL: {string:?}"))
    })
}

/// Values of the environment are secrets of the service's; they do not belong into logs.
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

/// A new image that was started: a child of this process, held by [`Process`].
#[derive(Debug)]
#[must_use = "a child that nobody holds is never reaped"]
pub struct Launched {
    process: Process,
    file: Option<ImageFile>,
}

impl Launched {
    /// The child's id.
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// The file that was its image, as it was just before; `None` where it could not be looked at.
    pub fn image_file(&self) -> Option<&ImageFile> {
        self.file.as_ref()
    }

    /// The child.
    pub fn into_process(self) -> Process {
        self.process
    }
}

#[cfg(test)]
mod tests;
