//! The directory that a new image starts in: the one that was meant, not the one that a link led to once.

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

/// The directory that a new image starts in.
///
/// Symbolic links in its path are left as they are, and followed anew at each start: a server that was started in
/// `/srv/app/current` starts again in what `current` is by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkingDirectory {
    path: Option<PathBuf>,
    is_chosen: bool,
}

impl WorkingDirectory {
    /// The directory of this process: by the name in `$PWD` if that is absolute and names it (same device and inode), and
    /// by `getcwd(3)` otherwise. To be asked early, before the program changes its directory.
    pub fn current() -> WorkingDirectory {
        WorkingDirectory { path: current().ok(), is_chosen: false }
    }

    /// The directory at a path, made absolute from the directory of this process. Whether it is there is not asked before
    /// an image is started in it.
    ///
    /// # Errors
    /// The path is empty, or those of `getcwd(3)`.
    pub fn at(path: impl AsRef<Path>) -> io::Result<WorkingDirectory> {
        Ok(WorkingDirectory { path: Some(absolute(path.as_ref())?), is_chosen: true })
    }

    /// The path, absolute. `None` if the directory of this process has none: it is deleted, or cannot be reached.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether this process is in it now.
    pub(crate) fn is_here(&self) -> bool {
        self.path().is_some_and(|path| is_same(path, Path::new(".")))
    }

    /// Whether it was [chosen](WorkingDirectory::at), and is not just where this process was.
    pub fn is_chosen(&self) -> bool {
        self.is_chosen
    }

    /// The path, if a process of this user can start there now (`faccessat(2)`).
    ///
    /// # Errors
    /// Those of `faccessat` and `stat(2)`; ENOTDIR if it is no directory; ENOENT if it has no path.
    pub fn available(&self) -> io::Result<&Path> {
        let path = self.path().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        enterable(path)?;
        Ok(path)
    }
}

/// Who is asked for: the user that the process acts as. Android knows the real one alone.
#[cfg(not(target_os = "android"))]
const EFFECTIVE: AtFlags = AtFlags::AT_EACCESS;
#[cfg(target_os = "android")]
const EFFECTIVE: AtFlags = AtFlags::empty();

/// Whether a process of this user can enter it.
pub(crate) fn enterable(path: &Path) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::ENOTDIR));
    }
    Ok(faccessat(AT_FDCWD, path, AccessFlags::X_OK, EFFECTIVE)?)
}

/// This process is in another directory, with all its threads, until this is dropped: then it is back where it was, also if
/// that is deleted by now.
pub(crate) struct Entered(OwnedFd);

impl Entered {
    /// `chdir(2)`.
    pub(crate) fn new(directory: &CStr) -> io::Result<Entered> {
        let before = open(c".", sys::HERE | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        chdir(directory)?;
        Ok(Entered(before))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // It was this process's directory, and is open.
        let _ = fchdir(&self.0);
    }
}

/// The directory of this process, as it was meant.
pub(crate) fn current() -> io::Result<PathBuf> {
    let is_here = |path: &Path| is_same(path, Path::new("."));
    match meant(env::var_os("PWD").as_deref(), is_here) {
        Some(path) => Ok(path),
        None => env::current_dir(),
    }
}

/// A path, made absolute from the directory of this process.
pub(crate) fn absolute(path: &Path) -> io::Result<PathBuf> {
    if path.is_absolute() || path.as_os_str().is_empty() {
        return std::path::absolute(path);
    }
    Ok(current()?.join(path))
}

/// `$PWD`, if it can be believed: as `pwd -L` does, only if it is absolute, has no `..`, and names the directory.
fn meant(pwd: Option<&OsStr>, is_here: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let path = Path::new(pwd?);
    let goes_back = path.components().any(|part| part == Component::ParentDir);
    (path.is_absolute() && !goes_back && is_here(path)).then(|| path.to_owned())
}

/// Whether two paths lead to one file: same device and inode.
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
    fn pwd_is_believed_if_it_names_the_directory() {
        let meant = |pwd: &str, here: bool| meant(Some(pwd.as_ref()), |_| here);
        assert_eq!(meant("/srv/current", true).as_deref(), Some(Path::new("/srv/current")));
        for (pwd, here) in [("/srv/current", false), ("srv", true), ("", true), ("/srv/../x", true)] {
            assert_eq!(meant(pwd, here), None, "{pwd}");
        }
        assert_eq!(super::meant(None, |_| true), None);
    }

    #[test]
    fn a_link_is_the_same_until_it_leads_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two, link] = ["one", "two", "link"].map(|name| folder.path().join(name));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&two).unwrap();
        symlink(&one, &link).unwrap();
        assert!(is_same(&link, &one) && !is_same(&link, &two));
        fs::remove_file(&link).unwrap();
        assert!(!is_same(&link, &one), "it is gone");
    }

    #[test]
    fn what_cannot_be_entered_says_why() {
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
