//! A server with actix-web.

use actix_web::{App, HttpServer, web};

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let app = || App::new().route("/", web::get().to(|| async { "hello\n" }));
    HttpServer::new(app).bind("127.0.0.1:3000")?.run().await?;
    Ok(())
}
