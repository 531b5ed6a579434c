//! Servers behind a load balancer that announces the client of a connection with a line of the PROXY protocol. They answer with
//! that line and their identity.

use crate::serve;
use axum::Router;
use axum::routing::get;
use goagain::migrate::Migrator;
use goagain::tokio::{Acceptor as AsyncAcceptor, Stream as AsyncStream};
use goagain::{Acceptor, Guard, Stream};
use hyper_util::service::TowerToHyperService;
use std::io::{self, Read};
use std::thread::JoinHandle;
use tokio::io::AsyncReadExt;

pub(crate) fn threads(acceptor: Acceptor, migrator: Migrator, identity: &str) -> JoinHandle<io::Result<()>> {
    let identity = identity.to_owned();
    std::thread::spawn(move || {
        for accepted in acceptor {
            let (stream, guard) = accepted?;
            let (migrator, identity) = (migrator.clone(), identity.clone());
            std::thread::spawn(move || connection(stream, guard, &migrator, &identity));
        }
        Ok(())
    })
}

fn connection(mut stream: Stream, mut guard: Guard, migrator: &Migrator, identity: &str) -> io::Result<()> {
    if !guard.is_migrated() {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.extend(byte);
        }
        guard.attach(line);
    }
    let answer = String::from_utf8_lossy(guard.attached()).into_owned() + identity;
    serve::connection(stream, guard, migrator, &answer)
}

pub(crate) async fn tasks(
    mut acceptor: AsyncAcceptor,
    migrator: Migrator,
    identity: String,
) -> io::Result<()> {
    while let Some(accepted) = acceptor.accept().await {
        let (stream, guard) = accepted?;
        tokio::spawn(task(stream, guard, migrator.clone(), identity.clone()));
    }
    Ok(())
}

async fn task(
    mut stream: AsyncStream,
    mut guard: Guard,
    migrator: Migrator,
    identity: String,
) -> io::Result<()> {
    if !guard.is_migrated() {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.push(stream.read_u8().await?);
        }
        guard.attach(line);
    }
    let answer = String::from_utf8_lossy(guard.attached()).into_owned() + &identity;
    let app = Router::new().route("/", get(|| async move { answer }));
    let served =
        goagain::hyper::serve_or_migrate(stream, guard, migrator, TowerToHyperService::new(app)).await;
    served.map_err(io::Error::other)
}
