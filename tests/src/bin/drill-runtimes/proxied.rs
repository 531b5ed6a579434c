//! Servers behind a load balancer that says whose connection it is by a line of the PROXY protocol: they answer with that line, and
//! who they are.

use crate::serve;
use axum::Router;
use axum::routing::get;
use goagain::tokio::{Acceptor as AsyncAcceptor, Stream as AsyncStream};
use goagain::{Acceptor, Guard, Mover, Stream};
use hyper_util::service::TowerToHyperService;
use std::io::{self, Read};
use std::thread::JoinHandle;
use tokio::io::AsyncReadExt;

pub(crate) fn threads(acceptor: Acceptor, mover: Mover, identity: &str) -> JoinHandle<io::Result<()>> {
    let identity = identity.to_owned();
    std::thread::spawn(move || {
        for accepted in acceptor {
            let (stream, guard) = accepted?;
            let (mover, identity) = (mover.clone(), identity.clone());
            std::thread::spawn(move || connection(stream, guard, &mover, &identity));
        }
        Ok(())
    })
}

fn connection(mut stream: Stream, mut guard: Guard, mover: &Mover, identity: &str) -> io::Result<()> {
    if !guard.is_moved() {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.extend(byte);
        }
        guard.carry(line);
    }
    let answer = String::from_utf8_lossy(guard.carried()).into_owned() + identity;
    serve::connection(stream, guard, mover, &answer)
}

pub(crate) async fn tasks(mut acceptor: AsyncAcceptor, mover: Mover, identity: String) -> io::Result<()> {
    while let Some(accepted) = acceptor.accept().await {
        let (stream, guard) = accepted?;
        tokio::spawn(task(stream, guard, mover.clone(), identity.clone()));
    }
    Ok(())
}

async fn task(mut stream: AsyncStream, mut guard: Guard, mover: Mover, identity: String) -> io::Result<()> {
    if !guard.is_moved() {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.push(stream.read_u8().await?);
        }
        guard.carry(line);
    }
    let answer = String::from_utf8_lossy(guard.carried()).into_owned() + &identity;
    let app = Router::new().route("/", get(|| async move { answer }));
    let served = goagain::hyper::serve_or_move(stream, guard, mover, TowerToHyperService::new(app)).await;
    served.map_err(io::Error::other)
}
