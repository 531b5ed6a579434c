//! The whole life as a future, and listeners as tokio's.
//!
//! ```no_run
//! use goagain::{Guard, Single, tokio::Stream};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), goagain::Error> {
//!     goagain::tokio::run(Single, async |again| {
//!         Ok(goagain::tokio::server(again.listen("echo", "127.0.0.1:3000")?, echo))
//!     })
//!     .await
//! }
//!
//! async fn echo(mut stream: Stream, mut guard: Guard) -> std::io::Result<()> {
//!     let mut buffer = [0; 1024];
//!     // Waits for a request, and ends the loop when this process asks its idle connections to close.
//!     while guard.readable(&stream).await? {
//!         let read = stream.read(&mut buffer).await?;
//!         stream.write_all(&buffer[..read]).await?;
//!         if read == 0 || guard.should_close(&stream, b"") {
//!             break;
//!         }
//!     }
//!     stream.close(guard).await;
//!     Ok(())
//! }
//! ```
//!
//! # By hand
//! [`Goagain::into_tokio`](crate::Goagain::into_tokio) gives the calls of which [`run`] is made, for a program that has its own
//! order of things; the example `by_hand_tokio` shows them. Signals, messages and deadlines are handled while
//! [`ready`](Goagain::ready), [`wait`](Goagain::wait), [`drain`](Goagain::drain) or [`finish`](Goagain::finish) is awaited, by the
//! task that awaits it: there is no other task, and no thread. Each of these futures can be dropped and called again at any time,
//! as `select!` does.
//!
//! Both flavors of runtime do, with IO and time enabled. [`Goagain`] and [`run`] exist on Linux, where one descriptor stands for
//! everything that the loop waits for.
//!
//! A runtime that is dropped waits for every `spawn_blocking` closure that runs. If one of yours can run for long, build the runtime
//! yourself and end it with `shutdown_timeout`, or the process stays after it has handed over.

mod acceptor;
pub(crate) mod guard;
#[cfg(all(target_os = "linux", not(goagain_portable)))]
mod life;
mod listener;
mod migrated;
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub(crate) mod run;
mod serve;
mod stream;

pub use acceptor::Acceptor;
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub use life::Goagain;
pub use migrated::Migrated;
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub use run::run;
pub use serve::{Serve, ServeFn, Server, serve_fn, server};
pub use stream::Stream;
