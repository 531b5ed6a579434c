//! Why an image could not be started, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::HandoffError;

/// Why an image could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum LaunchError {
    /// The handoff cannot be encoded as variables.
    Handoff(HandoffError),
    /// The image's path, an argument or a variable contains a NUL, which no string of a system call can.
    Nul(String),
    /// The descriptors are not those whose numbers are in the handoff.
    Descriptors(String),
    /// `posix_spawn(3)` failed.
    Spawn {
        /// The image.
        image: PathBuf,
        /// The OS error.
        source: io::Error,
    },
    /// `execve(2)` failed, or a step before it.
    Exec {
        /// The image.
        image: PathBuf,
        /// The OS error.
        source: io::Error,
    },
    /// The directory in which the image should start cannot be entered.
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The OS error.
        source: io::Error,
    },
    /// The strategy refused to start the image.
    Refused(String),
}

impl LaunchError {
    /// Creates the error for a strategy that refuses to start the image.
    pub fn refused(reason: impl Into<String>) -> LaunchError {
        LaunchError::Refused(reason.into())
    }

    /// Returns whether the image's file is open for writing (ETXTBSY): a deployment is still writing it, and the caller
    /// should try again.
    pub fn is_busy(&self) -> bool {
        match self {
            LaunchError::Spawn { source, .. } | LaunchError::Exec { source, .. } => {
                source.raw_os_error() == Some(libc::ETXTBSY)
            }
            _ => false,
        }
    }
}

impl From<HandoffError> for LaunchError {
    fn from(error: HandoffError) -> LaunchError {
        LaunchError::Handoff(error)
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut failed = |verb: &str, image: &Path, source: &io::Error| {
            write!(f, "cannot {verb} {}: {source}", image.display())?;
            match remedy(source) {
                Some(remedy) => write!(f, ": {remedy}"),
                None => Ok(()),
            }
        };
        match self {
            LaunchError::Spawn { image, source } => failed("spawn", image, source),
            LaunchError::Exec { image, source } => failed("exec", image, source),
            LaunchError::Directory { directory, source } => write!(
                f,
                "cannot start an image in the working directory {}: {source}: create it, or choose another",
                directory.display()
            ),
            LaunchError::Handoff(error) => error.fmt(f),
            LaunchError::Nul(what) | LaunchError::Descriptors(what) | LaunchError::Refused(what) => {
                f.write_str(what)
            }
        }
    }
}

fn remedy(error: &io::Error) -> Option<&'static str> {
    Some(match error.raw_os_error()? {
        libc::ENOENT => "deploy the file, and the interpreter or loader that it names",
        libc::EACCES => "make it executable for this user, on a file system that allows it",
        libc::EPERM => "this user may not run it",
        libc::ENOEXEC => {
            "it is not a program for this machine: deploy one that is, or begin a script with `#!`"
        }
        libc::ETXTBSY => "it is still being written: write a new file and rename it over this one",
        libc::E2BIG => "arguments and environment together are too large: reduce them",
        libc::ENOMEM => "the system has no memory left",
        libc::EAGAIN => "this user has too many processes: raise the limit (ulimit -u, TasksMax)",
        libc::EMFILE => "this process has too many descriptors: raise the limit (ulimit -n, LimitNOFILE)",
        libc::ENFILE => "the system has too many open files: raise the limit (fs.file-max)",
        libc::ENOTDIR | libc::ELOOP | libc::ENAMETOOLONG => "give a path that leads to a file",
        libc::ENOSYS => "use Linux 5.4 or newer, and allow pidfd_open in the seccomp filter",
        _ => return None,
    })
}

impl Error for LaunchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            LaunchError::Handoff(error) => error.source(),
            LaunchError::Spawn { source, .. }
            | LaunchError::Exec { source, .. }
            | LaunchError::Directory { source, .. } => source.source(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_image_and_what_to_do() {
        let spawn = |errno| LaunchError::Spawn {
            image: "/srv/x".into(),
            source: io::Error::from_raw_os_error(errno),
        };
        assert_eq!(
            spawn(libc::ENOENT).to_string(),
            "cannot spawn /srv/x: No such file or directory (os error 2): \
             deploy the file, and the interpreter or loader that it names"
        );
        assert!(spawn(libc::ETXTBSY).is_busy() && !spawn(libc::ENOENT).is_busy());
        assert_eq!(spawn(libc::EIO).to_string(), "cannot spawn /srv/x: Input/output error (os error 5)");
        assert_eq!(LaunchError::refused("not now").to_string(), "not now");
        assert!(!LaunchError::refused("not now").is_busy());
    }
}
