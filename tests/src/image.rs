//! Images, and the folder that they are deployed to: by rename, as a deployment does, never by writing to the old file.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The name under which a service's image is deployed.
const NAME: &str = "server";

/// Locked while a program is written and while one is spawned. A program that another thread spawns would inherit the
/// writer for a moment, and then nobody can execute what was written (ETXTBSY).
static WRITERS: Mutex<()> = Mutex::new(());

/// Waits until no image is being written, and prevents writing while the guard lives. Callers keep it while they spawn.
pub fn no_writers() -> MutexGuard<'static, ()> {
    WRITERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program while no image is being written.
///
/// # Errors
/// - as [`Command::spawn`].
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let _quiet = no_writers();
    command.spawn()
}

/// A program to deploy, with the sidecar that changes what it does.
#[derive(Clone, Debug)]
pub struct Image {
    source: Source,
    mode: u32,
    sidecar: Value,
}

#[derive(Clone, Debug)]
enum Source {
    Copy(PathBuf),
    Link(PathBuf),
    Bytes(Vec<u8>),
}

impl Image {
    /// Returns a copy of `program`.
    pub fn of(program: &Path) -> Self {
        Self { source: Source::Copy(program.to_owned()), mode: 0o755, sidecar: json!({}) }
    }

    /// Returns `program` under another name (`link(2)`), or a copy if it cannot be linked: for drills with many services.
    pub fn link(program: &Path) -> Self {
        Self { source: Source::Link(program.to_owned()), mode: 0o755, sidecar: json!({}) }
    }

    /// Returns an executable file with these bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self { source: Source::Bytes(bytes.into()), mode: 0o755, sidecar: json!({}) }
    }

    /// Sets other permissions.
    #[must_use]
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// Adds a sidecar that overrides the field `name` of the server's configuration.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.sidecar[name] = value.into();
        self
    }

    /// Sets a behavior that is wrong on purpose.
    #[must_use]
    pub fn behaviour(self, behaviour: &str) -> Self {
        self.with("behaviour", behaviour)
    }
}

/// A temporary folder that a service runs in. Its path is canonical, as `/proc` shows it.
#[derive(Debug)]
pub struct Folder {
    _temporary: TempDir,
    path: PathBuf,
    deploys: u32,
}

impl Folder {
    /// Creates the folder.
    ///
    /// # Errors
    /// - it cannot be created.
    pub fn new() -> anyhow::Result<Self> {
        let temporary =
            tempfile::Builder::new().prefix("goagain-").tempdir().context("a temporary folder")?;
        let path = temporary.path().canonicalize().context("the temporary folder's path")?;
        Ok(Self { _temporary: temporary, path, deploys: 0 })
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path that a service is started and restarted by.
    pub fn image(&self) -> PathBuf {
        self.path.join(NAME)
    }

    /// Puts `image` at [`image`](Self::image) by rename.
    ///
    /// # Errors
    /// - a file cannot be written.
    pub fn deploy(&mut self, image: &Image) -> anyhow::Result<()> {
        let fresh = self.write(image)?;
        let place = self.image();
        fs::rename(&fresh, &place).with_context(|| format!("{}: rename", place.display()))
    }

    /// Writes `image` to another path and points the symbolic link [`image`](Self::image) at it, by renaming the link.
    ///
    /// # Errors
    /// - a file cannot be written.
    pub fn deploy_by_link(&mut self, image: &Image) -> anyhow::Result<()> {
        let fresh = self.write(image)?;
        let (link, place) = (self.path.join("link"), self.image());
        symlink(fresh, &link).with_context(|| format!("{}: symlink", link.display()))?;
        fs::rename(&link, &place).with_context(|| format!("{}: rename", place.display()))
    }

    /// Removes the image.
    ///
    /// # Errors
    /// - there is none.
    pub fn remove(&self) -> anyhow::Result<()> {
        let place = self.image();
        fs::remove_file(&place).with_context(|| format!("{}: remove", place.display()))
    }

    /// Writes the image under a name of its own, and its sidecar to where the server looks for it.
    fn write(&mut self, image: &Image) -> anyhow::Result<PathBuf> {
        self.deploys += 1;
        let fresh = self.path.join(format!("{NAME}-{}", self.deploys));
        let context = || format!("{}: deploy", fresh.display());
        {
            let _alone = no_writers();
            match &image.source {
                Source::Link(program) if fs::hard_link(program, &fresh).is_ok() => {}
                Source::Copy(program) | Source::Link(program) => fs::copy(program, &fresh)
                    .map(drop)
                    .with_context(|| format!("{}: deploy {}", fresh.display(), program.display()))?,
                Source::Bytes(bytes) => fs::write(&fresh, bytes).with_context(context)?,
            }
        }
        fs::set_permissions(&fresh, Permissions::from_mode(image.mode)).with_context(context)?;
        let (new, place) = (self.path.join("sidecar"), self.sidecar());
        fs::write(&new, image.sidecar.to_string()).with_context(context)?;
        fs::rename(new, place).with_context(context)?;
        Ok(fresh)
    }

    fn sidecar(&self) -> PathBuf {
        let mut name = OsString::from(NAME);
        name.push(".json");
        self.path.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deploy_replaces_image_and_sidecar() {
        let mut folder = Folder::new().unwrap();
        folder.deploy(&Image::bytes("one").behaviour("panic")).unwrap();
        assert_eq!(fs::read_to_string(folder.image()).unwrap(), "one");
        assert_eq!(
            fs::read_to_string(folder.path().join("server.json")).unwrap(),
            r#"{"behaviour":"panic"}"#
        );
        folder.deploy_by_link(&Image::bytes("two").mode(0o600)).unwrap();
        assert_eq!(fs::read_to_string(folder.image()).unwrap(), "two");
        assert!(folder.image().is_symlink());
        assert_eq!(fs::metadata(folder.image()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(folder.path().join("server.json")).unwrap(), "{}");
        folder.remove().unwrap();
        assert!(!folder.image().exists());
    }
}
