//! Deployments: the image is looked up anew at each restart, and one that cannot be executed does no harm.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::{Context, Drill, restarts_well, serves_as_before};
use crate::client::Connection;
use crate::config::StrategyKind;
use crate::events::Event;
use crate::image::Image;
use crate::service::{DEADLINE, Service};

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "deploy_replaced_file",
            "the new file at the image's path is executed, not the old one",
            replaced_file,
        ),
        Drill::both("deploy_symlink", "the link at the image's path is resolved anew", by_symlink),
        Drill::both(
            "missing_image",
            "a missing image: the old process keeps serving, a retry works (Go defect 5)",
            missing,
        ),
        Drill::both(
            "not_executable_image",
            "an image without permission, and one that is not a program: the old process keeps serving, a retry works (Go defect 5)",
            not_executable,
        ),
        Drill::both(
            "deploy_release_directory",
            "started in a link to the release's folder: the next release runs there, the old folder is gone",
            release_directory,
        ),
        Drill::both(
            "working_directory_gone",
            "a working directory that is gone is reported; if it was configured, restarts fail until it exists",
            working_directory_gone,
        ),
    ]
}

fn replaced_file(context: &Context) -> anyhow::Result<()> {
    deployed_image_runs(context.start()?)
}

fn by_symlink(context: &Context) -> anyhow::Result<()> {
    let mut options = context.options();
    options.by_link = true;
    deployed_image_runs(context.start_options(options)?)
}

fn deployed_image_runs(mut service: Service) -> anyhow::Result<()> {
    for _ in 0..2 {
        let old = running(&service)?;
        service.deploy(&service.image())?;
        restarts_well(&mut service)?;
        let new = running(&service)?;
        ensure!(new != old, "image: expected another file than {old:?}");
        let deployed = fs::metadata(service.folder().image())?;
        ensure!(new == (deployed.dev(), deployed.ino()), "image: expected the deployed file, found {new:?}");
    }
    service.end()
}

/// Returns the file that the owner executes: device and inode.
fn running(service: &Service) -> anyhow::Result<(u64, u64)> {
    let owner = service.owner()?;
    let image = fs::metadata(format!("/proc/{owner}/exe")).with_context(|| format!("{owner}: its image"))?;
    Ok((image.dev(), image.ino()))
}

fn missing(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    service.folder().remove()?;
    spawn_fails(&mut service)?;
    service.deploy(&service.image())?;
    restarts_well(&mut service)?;
    service.end()
}

fn not_executable(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    service.deploy(&service.image().mode(0o644))?;
    spawn_fails(&mut service).context("EACCES")?;
    service.deploy(&Image::bytes("neither a program nor a script\n"))?;
    spawn_fails(&mut service).context("ENOEXEC")?;
    service.deploy(&service.image())?;
    restarts_well(&mut service)?;
    service.end()
}

/// Restarts twice, since a failed attempt must not change what the next one does.
fn spawn_fails(service: &mut Service) -> anyhow::Result<()> {
    let owner = service.owner()?;
    for _ in 0..2 {
        service.restart()?;
        let failed = service.await_name("failed")?;
        ensure!(!failed.reason().is_empty(), "reason: expected one, found none");
        serves_as_before(service, owner)?;
    }
    Ok(())
}

/// Releases, each in a folder of its own, and `current`, which links to the last one.
struct Releases(PathBuf);

impl Releases {
    /// Creates a release with the service's image. It replaces the previous release, which is removed.
    fn release(&self, number: u32) -> anyhow::Result<PathBuf> {
        let (release, link) = (self.0.join(format!("release {number}")), self.0.join("next"));
        fs::create_dir(&release)?;
        fs::hard_link(self.0.join("server"), release.join("server"))?;
        symlink(&release, &link)?;
        fs::rename(link, self.0.join("current"))?;
        if number > 1 {
            fs::remove_dir_all(self.0.join(format!("release {}", number - 1)))?;
        }
        Ok(release)
    }
}

/// A script that creates the first release and starts it as a shell does.
const IN_CURRENT: &str = r#"mkdir "release 1" && ln server "release 1/server" && ln -s "release 1" current &&
    cd current && exec ./server"#;
/// The same without the variable in which a shell keeps the logical path.
const WITHOUT_PWD: &str = r#"mkdir "release 1" && ln server "release 1/server" && ln -s "release 1" current &&
    cd current && unset PWD && exec "$0""#;

fn runs_in(service: &Service, folder: &Path) -> anyhow::Result<()> {
    let found = fs::read_link(format!("/proc/{}/cwd", service.owner()?))?;
    ensure!(found == folder, "working directory: expected {}, found {}", folder.display(), found.display());
    Ok(())
}

fn release_directory(context: &Context) -> anyhow::Result<()> {
    let mut options = context.options().config(|config| config.behaviour = "environment".into());
    options.script = Some(IN_CURRENT);
    let mut service = context.start_options(options)?;
    let releases = Releases(service.folder().path().to_owned());
    for number in 2..=4 {
        let release = releases.release(number)?;
        restarts_well(&mut service).with_context(|| format!("release {number}"))?;
        runs_in(&service, &release)?;
        let image = fs::read_link(format!("/proc/{}/exe", service.owner()?))?;
        ensure!(image == release.join("server"), "image: found {}", image.display());
        let owner = service.owner()?;
        let pwd = service.await_event(|event| event.name == "environment" && event.pid == owner, DEADLINE)?;
        let expected = releases.0.join("current");
        ensure!(pwd.detail["PWD"].as_str() == expected.to_str(), "PWD: found {}", pwd.detail["PWD"]);
    }
    service.end()
}

fn working_directory_gone(context: &Context) -> anyhow::Result<()> {
    let mut options = context.options();
    options.script = Some(WITHOUT_PWD);
    let mut service = context.start_options(options)?;
    let releases = Releases(service.folder().path().to_owned());
    releases.release(2)?;
    restarts_well(&mut service)?;
    let warns =
        |event: &Event| event.name == "warning" && event.reason().contains("release 1 cannot be entered");
    service.await_event(warns, DEADLINE)?;
    service.end()?;

    let folder = tempfile::tempdir()?;
    let chosen = folder.path().canonicalize()?.join("current");
    let mut service = context.start_with(|config| config.directory = chosen.clone())?;
    spawn_fails(&mut service)?;
    let failed = service.await_name("failed")?;
    ensure!(failed.reason().contains(&chosen.display().to_string()), "reason: found `{}`", failed.reason());
    fs::create_dir(&chosen)?;
    restarts_well(&mut service)?;
    runs_in(&service, &chosen)?;
    if context.strategy == StrategyKind::Double {
        // It exists for the child, and is gone when the process itself execs.
        exec_fails(&mut service, &chosen)?;
    }
    service.end()
}

/// Checks that the old image stays in its directory, and keeps serving.
fn exec_fails(service: &mut Service, chosen: &Path) -> anyhow::Result<()> {
    let owner = service.owner()?;
    let before = fs::read_link(format!("/proc/{owner}/cwd"))?;
    // The drain waits for the request, and the exec waits for the drain.
    let mut slow = Connection::open(&service.address("http")?.parse()?)?;
    slow.send("/slow?ms=1000", true)?;
    service.restart()?;
    service.await_event(|event| event.name == "owner" && event.pid != owner, DEADLINE)?;
    let aside = chosen.with_extension("aside");
    fs::rename(chosen, &aside)?;
    let failed = service.await_name("failed")?;
    ensure!(
        failed.reason().contains("cannot start an image in the working directory"),
        "{}",
        failed.reason()
    );
    fs::rename(&aside, chosen)?;
    service.await_event(|event| event.name == "owner" && event.pid == owner, DEADLINE)?;
    let after = fs::read_link(format!("/proc/{owner}/cwd"))?;
    ensure!(after == before, "working directory: expected {}, found {}", before.display(), after.display());
    slow.answer()?;
    restarts_well(service)
}
