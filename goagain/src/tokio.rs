//! The same life as futures, and listeners as tokio's.
//!
//! ```no_run
//! use goagain::{Finish, Goagain, Guard, Single, tokio::Stream};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Before the runtime, which has threads.
//!     let mut again = Goagain::builder(Single).start()?;
//!     let echo = again.listen("echo", "127.0.0.1:48879")?;
//!     let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
//!     let result = runtime.block_on(async {
//!         let mut again = again.into_tokio()?;
//!         again.ready().await?;
//!         loop {
//!             // Ends by itself when the successor owns, or at a stop.
//!             let mut acceptor = echo.to_tokio()?;
//!             let accepting = tokio::spawn(async move {
//!                 while let Some(accepted) = acceptor.accept().await {
//!                     let (stream, guard) = accepted?;
//!                     tokio::spawn(serve(stream, guard));
//!                 }
//!                 Ok::<(), std::io::Error>(())
//!             });
//!             again.wait().await?;
//!             accepting.await??;
//!             match again.finish().await? {
//!                 Finish::Exit => return Ok(()),
//!                 Finish::Resume => continue,
//!             }
//!         }
//!     });
//!     // Dropping the runtime would wait for what `spawn_blocking` runs, for ever.
//!     runtime.shutdown_timeout(std::time::Duration::from_secs(1));
//!     result
//! }
//!
//! async fn serve(mut stream: Stream, mut guard: Guard) -> std::io::Result<()> {
//!     let mut word = [0; 64];
//!     while guard.readable(&stream).await? {
//!         match stream.read(&mut word).await? {
//!             0 => break,
//!             read => stream.write_all(&word[..read]).await?,
//!         }
//!         // A drain ends the connection after its last answer: when its client has sent nothing more.
//!         if guard.should_close(&stream, b"") {
//!             break;
//!         }
//!     }
//!     stream.close(guard).await;
//!     Ok(())
//! }
//! ```
//!
//! Signals, messages and deadlines are acted on while [`ready`](Goagain::ready), [`wait`](Goagain::wait),
//! [`drain`](Goagain::drain) or [`finish`](Goagain::finish) is awaited, by the task that awaits it: there is no other
//! task, and no thread. Each starts from what is so at that moment, and can be dropped and called again at any time, as
//! `select!` does.
//!
//! Both flavours of runtime do, with `enable_all`. [`Builder::start`](crate::Builder::start) wants to be called before
//! there are other threads: with `#[tokio::main]` that is so for `flavor = "current_thread"` alone. [`Goagain`] is there on
//! Linux, where one descriptor stands for everything that the loop waits for.

mod acceptor;
pub(crate) mod guard;
#[cfg(all(target_os = "linux", not(goagain_portable)))]
mod life;
mod listener;
mod migrated;
mod stream;

pub use acceptor::Acceptor;
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub use life::Goagain;
pub use migrated::Migrated;
pub use stream::Stream;
