//! A server with actix-web.

use actix_web::{App, web};
use goagain::Single;

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let app = || App::new().route("/", web::get().to(|| async { "hello\n" }));
    goagain::actix::run(Single, "127.0.0.1:3000", app).await?;
    Ok(())
}
