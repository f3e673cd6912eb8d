//! One file a verb: each reads as its flow, and ends with an exit code.

mod completions;
mod demo;
mod explain;
mod front_inputs;
mod mirror;
mod mirror_report;
mod promote;
mod promote_files;
mod promote_outputs;
mod promote_summary;
mod registry_reload;
mod registry_security;
mod registry_serve;
mod schema;
mod serve;
mod serve_reload;
mod spooled_writer;
mod store_serve;
mod tls_settings;

use std::{io, time::Duration};

use http_client::Proxies;
use job::Stop;
use registry_client::{Quota, RegistryClient};

use self::tls_settings::tls_settings;
use crate::{
    arguments::{Arguments, Command, RegistryAccess, RegistryCommand, StoreCommand},
    credentials::{CredentialPlaces, credentials},
    exit::Exit,
    printer::{Printer, Screen, Verbosity},
};

/// Runs the command that `arguments` name.
///
/// # Errors
/// When it could not run.
pub(crate) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<Exit> {
    let verbosity = if arguments.global.quiet { Verbosity::Quiet } else { Verbosity::Normal };
    let printer = Printer::new(screen, verbosity);
    match arguments.command {
        Command::Promote(promote) => promote::run(&promote, &printer).await,
        Command::Mirror(mirror) => mirror::run(&mirror, &printer).await,
        Command::Serve(serve) => serve::run(&serve, &printer).await,
        Command::Explain(explain) => explain::run(&explain, &printer).await,
        Command::Store(StoreCommand::Serve(serve)) => store_serve::run(&serve).await,
        Command::Registry(RegistryCommand::Serve(serve)) => registry_serve::run(&serve).await,
        Command::Demo(demo) => demo::run(&demo, &printer).await,
        Command::Schema(schema) => schema::run(&schema),
        Command::Completions(completions) => completions::run(&completions),
    }
}

/// Stops a job at a signal or its deadline. The bar is not left on the terminal.
fn stop(deadline: Option<Duration>, printer: &Printer) -> io::Result<Stop> {
    let screen = printer.screen().clone();
    job::stop_on_termination(deadline, move || screen.end_progress())
}

/// A client as the flags say, with the credentials that other programs' files and variables have.
fn client(flags: &RegistryAccess) -> anyhow::Result<RegistryClient> {
    client_with(flags, None)
}

/// The same, which speaks plain HTTP to one more host.
fn client_with(
    flags: &RegistryAccess,
    plain: Option<&oci::Host>,
) -> anyhow::Result<RegistryClient> {
    if let Some(host) = flags.tls.iter().find(|host| flags.plain_http.contains(host)) {
        anyhow::bail!("{host}: --tls and --plain-http exclude each other; leave one out");
    }
    let mut builder = RegistryClient::builder().credentials(credentials(&places(flags))?);
    builder = builder.proxies(Proxies::new(&crate::environment::proxies())?);
    builder = builder.tls_settings(tls_settings(&flags.tls_files)?);
    for host in &flags.tls {
        builder = builder.tls(host.clone());
    }
    for host in flags.plain_http.iter().chain(plain) {
        builder = builder.plain_http(host.clone());
    }
    for host in &flags.allow_private {
        builder = builder.allow_private(host);
    }
    for (host, rate) in &flags.quota {
        let quota = Quota { requests_per_second: Some(*rate), ..Quota::of(host) };
        builder = builder.quota(host.clone(), quota);
    }
    Ok(builder.build())
}

/// Warns of flags for hosts that are not among `named` and that no request of `client` went to: most likely the name
/// is mistyped. Hosts of tokens and redirects are known only once the run has ended.
fn warn_of_unused_hosts(
    printer: &Printer,
    flags: &RegistryAccess,
    client: &RegistryClient,
    named: &[&oci::Host],
) {
    let usage = client.usage();
    let is_used = |host: &oci::Host| {
        named.contains(&host) || usage.iter().any(|usage| usage.host == host.as_str())
    };
    for (flag, host) in flags.hosts().filter(|(_, host)| !is_used(host)) {
        printer.warning(format_args!(
            "{flag} {host} had no effect: no request went to this host; check its name and port"
        ));
    }
}

/// Where credentials are, as the environment and the flags say.
fn places(flags: &RegistryAccess) -> CredentialPlaces {
    let mut places = crate::environment::credential_places();
    places.impersonated.clone_from(&flags.impersonate_service_account);
    places
}
