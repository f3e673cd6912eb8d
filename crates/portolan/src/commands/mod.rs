//! One file a verb: each reads as its flow, and ends with an exit code.

mod completions;
mod demo;
mod explain;
mod mirror;
mod promote;
mod registry_serve;
mod serve;
mod store_serve;

use crate::{
    arguments::{Arguments, Command, Registries, Registry, Store},
    exit::Exit,
    printer::Printer,
};

/// Runs the command that `arguments` name.
///
/// # Errors
/// When it could not run.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let printer = if arguments.quiet { Printer::Quiet } else { Printer::Talkative };
    match arguments.command {
        Command::Promote(promote) => promote::run(&promote, printer).await,
        Command::Mirror(mirror) => mirror::run(&mirror, printer).await,
        Command::Serve(serve) => serve::run(&serve).await,
        Command::Explain(explain) => explain::run(&explain).await,
        Command::Store(Store::Serve(serve)) => store_serve::run(&serve).await,
        Command::Registry(Registry::Serve(serve)) => registry_serve::run(&serve).await,
        Command::Demo(demo) => demo::run(&demo, printer).await,
        Command::Completions(completions) => completions::run(&completions),
    }
}

/// A client as the flags say.
fn client(registries: &Registries) -> registry_client::Client {
    let builder = registry_client::Client::builder();
    registries
        .plain_http
        .iter()
        .cloned()
        .fold(builder, registry_client::ClientBuilder::plain_http)
        .build()
}
