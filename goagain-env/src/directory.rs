//! The working directory of a new process: symbolic links in its path are followed again at each start.

use std::env;
use std::ffi::{CStr, OsStr};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, chdir, faccessat, fchdir};

use crate::sys;

/// The directory in which a new process starts.
///
/// Symbolic links in its path are kept, and followed again at each start: a server that was started in
/// `/srv/app/current` starts again in the directory to which `current` points by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkingDirectory {
    path: Option<PathBuf>,
    is_chosen: bool,
}

impl WorkingDirectory {
    /// Returns the directory of this process: the path in `$PWD` if that is absolute and names the directory (same
    /// device and inode), otherwise the path from `getcwd(3)`. Call this early, before the program changes its
    /// directory.
    pub fn current() -> WorkingDirectory {
        WorkingDirectory { path: current().ok(), is_chosen: false }
    }

    /// Returns the directory at `path`, made absolute from the directory of this process. Its existence is checked only
    /// when a process is started in it.
    ///
    /// # Errors
    /// The path is empty, or `getcwd(3)` fails.
    pub fn at(path: impl AsRef<Path>) -> io::Result<WorkingDirectory> {
        Ok(WorkingDirectory { path: Some(absolute(path.as_ref())?), is_chosen: true })
    }

    /// Returns the absolute path. `None`: the directory of this process has no path, because it was deleted or cannot
    /// be reached.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns whether this process is in the directory now.
    pub(crate) fn is_here(&self) -> bool {
        self.path().is_some_and(|path| is_same(path, Path::new(".")))
    }

    /// Returns whether the directory was [chosen](WorkingDirectory::at). Otherwise it is the one that this process was
    /// in.
    pub fn is_chosen(&self) -> bool {
        self.is_chosen
    }

    /// Returns the path, if a process of this user can start there now (`faccessat(2)`).
    ///
    /// # Errors
    /// - The errors of `faccessat` and `stat(2)`.
    /// - ENOTDIR: the path is not a directory.
    /// - ENOENT: there is no path.
    pub fn available(&self) -> io::Result<&Path> {
        let path = self.path().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        check_enterable(path)?;
        Ok(path)
    }
}

/// Checks access for the effective user of the process. Android can check only the real one.
#[cfg(not(target_os = "android"))]
const EFFECTIVE: AtFlags = AtFlags::AT_EACCESS;
#[cfg(target_os = "android")]
const EFFECTIVE: AtFlags = AtFlags::empty();

/// Checks whether a process of this user can enter the directory.
pub(crate) fn check_enterable(path: &Path) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
    }
    Ok(faccessat(AT_FDCWD, path, AccessFlags::X_OK, EFFECTIVE)?)
}

/// Keeps this process, with all its threads, in another directory until it is dropped. Then the process returns to its
/// old directory, even if that was deleted meanwhile.
pub(crate) struct Entered(OwnedFd);

impl Entered {
    /// Changes the directory, by `chdir(2)`.
    pub(crate) fn new(directory: &CStr) -> io::Result<Entered> {
        let before =
            open(c".", sys::DIRECTORY_ACCESS | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        chdir(directory)?;
        Ok(Entered(before))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // It was this process's directory and is still open, so this does not fail.
        let _ = fchdir(&self.0);
    }
}

/// Returns the directory of this process, by the path that the user gave.
pub(crate) fn current() -> io::Result<PathBuf> {
    let is_here = |path: &Path| is_same(path, Path::new("."));
    match trusted_pwd(env::var_os("PWD").as_deref(), is_here) {
        Some(path) => Ok(path),
        None => env::current_dir(),
    }
}

/// Makes a path absolute, from the directory of this process.
pub(crate) fn absolute(path: &Path) -> io::Result<PathBuf> {
    if path.is_absolute() || path.as_os_str().is_empty() {
        return std::path::absolute(path);
    }
    Ok(current()?.join(path))
}

/// Returns `$PWD` if it can be trusted. As for `pwd -L`, it must be absolute, contain no `..`, and name the directory.
fn trusted_pwd(pwd: Option<&OsStr>, is_here: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let path = Path::new(pwd?);
    let goes_back = path.components().any(|part| part == Component::ParentDir);
    (path.is_absolute() && !goes_back && is_here(path)).then(|| path.to_owned())
}

/// Returns whether two paths lead to one file: same device and inode.
fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn pwd_is_trusted_if_it_names_the_directory() {
        let trusted = |pwd: &str, here: bool| trusted_pwd(Some(pwd.as_ref()), |_| here);
        assert_eq!(trusted("/srv/current", true).as_deref(), Some(Path::new("/srv/current")));
        for (pwd, here) in [("/srv/current", false), ("srv", true), ("", true), ("/srv/../x", true)] {
            assert_eq!(trusted(pwd, here), None, "{pwd}");
        }
        assert_eq!(super::trusted_pwd(None, |_| true), None);
    }

    #[test]
    fn a_link_is_the_same_file_until_it_points_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two, link] = ["one", "two", "link"].map(|name| folder.path().join(name));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&two).unwrap();
        symlink(&one, &link).unwrap();
        assert!(is_same(&link, &one) && !is_same(&link, &two));
        fs::remove_file(&link).unwrap();
        assert!(!is_same(&link, &one), "it does not exist");
    }

    #[test]
    fn a_directory_that_cannot_be_entered_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let kind = |path: &Path| {
            WorkingDirectory::at(path).unwrap().available().map_err(|error| error.kind()).map(drop)
        };
        assert_eq!(kind(folder.path()), Ok(()));
        assert_eq!(kind(&folder.path().join("none")), Err(io::ErrorKind::NotFound));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(kind(&file), Err(io::ErrorKind::NotADirectory));
        let gone = WorkingDirectory { path: None, is_chosen: false };
        assert_eq!(gone.available().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn paths_become_absolute() {
        assert!(WorkingDirectory::at("x").unwrap().path().unwrap().is_absolute());
        assert!(WorkingDirectory::at("").is_err());
        assert!(WorkingDirectory::current().path().unwrap().is_absolute());
    }
}
