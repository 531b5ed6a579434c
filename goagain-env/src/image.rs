//! The image: the executable file to run. Its path is resolved again at each start, so that a deployment is noticed.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::{WorkingDirectory, directory};

/// The absolute path of the image (the executable file) to run.
///
/// Symbolic links in the path are kept, and each exec follows them again. So a deployment can point `current` to
/// another release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    path: PathBuf,
}

impl Image {
    /// Returns the file from which this process was started: `argv[0]`, looked up in PATH if it has no slash, relative
    /// to the current directory as [`WorkingDirectory::current`](crate::WorkingDirectory::current) names it. Call this
    /// early, before the program changes its directory.
    ///
    /// If `argv[0]` does not name an executable file (it can be any text), returns the file that the system reports
    /// ([`std::env::current_exe`]).
    ///
    /// # Errors
    /// The errors of `getcwd(3)` and of `current_exe`, if these are needed.
    pub fn current() -> io::Result<Image> {
        Image::find_current(directory::current().ok())
    }

    /// As [`Image::current`], but uses the path of `directory` for the current directory if this process is in it.
    ///
    /// # Errors
    /// The errors of [`Image::current`].
    pub fn current_in(directory: &WorkingDirectory) -> io::Result<Image> {
        let here = directory.path().filter(|_| directory.is_here()).map(Path::to_owned);
        Image::find_current(here.or_else(|| directory::current().ok()))
    }

    fn find_current(here: Option<PathBuf>) -> io::Result<Image> {
        let argv0 = env::args_os().next().unwrap_or_default();
        let path = env::var_os("PATH").unwrap_or_default();
        let found = here.and_then(|here| find(&argv0, &path, &here, is_executable));
        match found {
            Some(path) => Ok(Image { path }),
            None => Ok(Image { path: without_deleted_suffix(env::current_exe()?, Path::exists) }),
        }
    }

    /// Returns the file at `path`, made absolute as in [`Image::current`]. Its existence is checked only when it is
    /// run.
    ///
    /// # Errors
    /// The path is empty, or `getcwd(3)` fails.
    pub fn at(path: impl AsRef<Path>) -> io::Result<Image> {
        Ok(Image { path: directory::absolute(path.as_ref())? })
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The file that was at a path at one moment. A later check tells whether a deployment has replaced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    path: PathBuf,
    identity: Identity,
}

/// What changes when another file is renamed over a file, or the file is written in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    fn at(path: &Path) -> io::Result<Identity> {
        let file = path.metadata()?;
        Ok(Identity {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

impl ImageFile {
    /// Returns the file that is at `path` now (`stat(2)`, which follows symbolic links).
    ///
    /// # Errors
    /// The errors of `stat`.
    pub fn at(path: impl Into<PathBuf>) -> io::Result<ImageFile> {
        let path = path.into();
        Ok(ImageFile { identity: Identity::at(&path)?, path })
    }

    /// Returns whether the path now leads to another file, or to the same file with another size, mtime or ctime
    /// (`stat(2)`). Returns false if there is no file: a deployment may be halfway, and there is nothing to start.
    pub fn is_replaced(&self) -> bool {
        Identity::at(&self.path).is_ok_and(|now| now != self.identity)
    }
}

/// Finds a file as `execvp(3)` does: a name with a slash is a path, any other name is looked up in PATH.
fn find(argv0: &OsStr, path: &OsStr, cwd: &Path, is_executable: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    if argv0.is_empty() {
        return None;
    }
    if argv0.as_bytes().contains(&b'/') {
        return Some(cwd.join(argv0)).filter(|file| is_executable(file));
    }
    // An empty folder in PATH means the current directory, and so does `join` with an empty path.
    env::split_paths(path).map(|folder| cwd.join(folder).join(argv0)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Linux reports the running file as "x (deleted)" once a deployment has replaced it. The new file is the one to run.
fn without_deleted_suffix(path: PathBuf, exists: impl Fn(&Path) -> bool) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(before) if !exists(&path) => PathBuf::from(OsString::from_vec(before.to_vec())),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(argv0: &str, path: &str, files: &[&str]) -> Option<String> {
        let file = find(argv0.as_ref(), path.as_ref(), "/cwd".as_ref(), |file| {
            files.iter().any(|each| file == Path::new(each))
        });
        file.map(|file| file.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_name_with_a_slash_is_a_path() {
        assert_eq!(
            found("./server", "/bin", &["/cwd/server", "/bin/server"]).as_deref(),
            Some("/cwd/./server")
        );
        assert_eq!(
            found("/srv/current/server", "", &["/srv/current/server"]).as_deref(),
            Some("/srv/current/server")
        );
        assert_eq!(found("../server", "/bin", &["/bin/server"]), None);
    }

    #[test]
    fn a_name_without_a_slash_is_looked_up_in_path() {
        assert_eq!(found("server", "/a:/b:/c", &["/b/server", "/c/server"]).as_deref(), Some("/b/server"));
        assert_eq!(found("server", "rel:/b", &["/cwd/rel/server"]).as_deref(), Some("/cwd/rel/server"));
        assert_eq!(found("server", "/a::/b", &["/cwd/server"]).as_deref(), Some("/cwd/server"));
        assert_eq!(found("server", "/a", &["/cwd/server"]), None);
        assert_eq!(found("-sh", "/bin", &["/bin/sh"]), None);
        assert_eq!(found("", "/bin", &["/bin/", "/cwd/"]), None);
    }

    #[test]
    fn a_deleted_file_is_replaced_by_the_new_one_at_its_path() {
        assert_eq!(without_deleted_suffix("/a/x (deleted)".into(), |_| false), Path::new("/a/x"));
        assert_eq!(without_deleted_suffix("/a/x (deleted)".into(), |_| true), Path::new("/a/x (deleted)"));
        assert_eq!(without_deleted_suffix("/a/x".into(), |_| true), Path::new("/a/x"));
    }

    #[test]
    fn links_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("current");
        std::os::unix::fs::symlink("/bin", &link).unwrap();
        assert_eq!(Image::at(link.join("sh")).unwrap().path(), link.join("sh"));
    }

    #[test]
    fn a_rename_a_write_and_a_changed_link_replace_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("one"), "1").unwrap();
        std::fs::write(path("two"), "2").unwrap();
        std::os::unix::fs::symlink("one", path("current")).unwrap();
        let (direct, linked) = (ImageFile::at(path("one")).unwrap(), ImageFile::at(path("current")).unwrap());
        assert!(!direct.is_replaced() && !linked.is_replaced());
        std::os::unix::fs::symlink("two", path("next")).unwrap();
        std::fs::rename(path("next"), path("current")).unwrap();
        assert!(!direct.is_replaced() && linked.is_replaced());
        std::fs::write(path("one"), "longer").unwrap();
        assert!(direct.is_replaced());
        let direct = ImageFile::at(path("one")).unwrap();
        std::fs::rename(path("two"), path("one")).unwrap();
        assert!(direct.is_replaced());
        std::fs::remove_file(path("one")).unwrap();
        assert!(!direct.is_replaced(), "there is nothing to start");
    }

    #[test]
    fn this_process_has_an_image() {
        assert!(Image::current().unwrap().path().is_absolute());
        assert!(Image::at("x").unwrap().path().is_absolute());
        assert!(Image::at("").is_err());
    }
}
