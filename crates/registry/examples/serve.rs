//! Serves a registry for trying things by hand: `cargo run -p registry --example serve -- ADDR [DIR]`.
//! Ends with the process; `portolan registry serve` is the command for people.

use std::{env, error::Error, io::Write as _, path::Path};

use registry::{Registry, Storage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".into());
    let storage = match arguments.next() {
        Some(directory) => Storage::directory(Path::new(&directory))?,
        None => Storage::memory(),
    };
    let listener = tokio::net::TcpListener::bind(address).await?;
    writeln!(std::io::stderr(), "listening on {}", listener.local_addr()?)?;
    registry::serve(Registry::new(storage), listener, std::future::pending()).await?;
    Ok(())
}
