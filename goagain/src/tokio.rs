//! Servers for tokio: [`run`] as a future, and listeners and streams of tokio.
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
//! [`run`] decides the order of things. A program that needs another order makes the calls itself, on the [`Goagain`] that
//! [`Goagain::into_tokio`](crate::Goagain::into_tokio) returns. The example `by_hand_tokio` shows them.
//!
//! Signals, messages and deadlines are handled while [`ready`](Goagain::ready), [`wait`](Goagain::wait),
//! [`drain`](Goagain::drain) or [`finish`](Goagain::finish) is awaited, by the task that awaits it. There is no other task and
//! no thread. Each of these futures can be dropped at any time, as `select!` does, and the method can be called again.
//!
//! Both flavors of the runtime work. IO and time have to be enabled. [`Goagain`] and [`run`] exist on Linux only, because only
//! there does one descriptor stand for everything that the loop waits for.
//!
//! A runtime that is dropped waits for every `spawn_blocking` closure that runs. If one of your closures may run for long,
//! build the runtime yourself and end it with `shutdown_timeout`. Otherwise the process stays alive after it has handed over.

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
