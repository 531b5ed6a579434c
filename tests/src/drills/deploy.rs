//! Deploys: the image is looked up anew at each restart, and one that cannot be run costs nothing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, ensure};

use super::{Context, Drill, restarts_well, serves_as_before};
use crate::image::Image;
use crate::service::Service;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "deploy_replaced_file",
            "the new file at the image's path is run, not the old one",
            replaced_file,
        ),
        Drill::both("deploy_symlink", "the link at the image's path is followed anew", by_symlink),
        Drill::both(
            "missing_image",
            "an image that is not there: the old one serves, a retry works (seed 5)",
            missing,
        ),
        Drill::both(
            "not_executable_image",
            "an image without permission, and one that is no program: the old one serves, a retry works (seed 5)",
            not_executable,
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

/// The file that the owner runs: device and inode.
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

/// Twice, since a failed attempt must not change what the next one does.
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
