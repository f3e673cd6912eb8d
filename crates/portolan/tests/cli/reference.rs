//! The reference pages of `docs/` name what the program has, and nothing else: commands, flags, members of the
//! report, metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;
use testkit::{TestRegistry, fixture};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    harness::{Thin, entry, run},
    help::{commands, options},
    servers::ServerProcess,
};

/// A page of `docs/reference/`.
fn page(name: &str) -> String {
    let path = format!("{}/../../docs/reference/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(path).expect("a page")
}

/// The text below a heading of two or three marks, up to the next heading that is not below it.
fn section<'p>(page: &'p str, heading: &str) -> Option<&'p str> {
    let (marks, _) = heading.split_once(' ').expect("a heading");
    let (_, text) = page.split_once(&format!("\n{heading}\n"))?;
    let end = (2..=marks.len()).filter_map(|marks| text.find(&format!("\n{} ", "#".repeat(marks))));
    Some(end.min().map_or(text, |end| &text[..end]))
}

/// The cells of the rows of all tables, without their headings.
fn rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut is_heading = true;
    for line in text.lines() {
        if line.starts_with("|---") {
            is_heading = false;
        } else if !line.starts_with('|') {
            is_heading = true;
        } else if !is_heading {
            let line = line.replace(r"\|", "/");
            let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
            rows.push(cells.collect());
        }
    }
    rows
}

/// The texts between backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The long flags in a cell.
fn flags(cell: &str) -> impl Iterator<Item = String> {
    let flags = quoted(cell).filter(|text| text.starts_with("--"));
    flags.filter_map(|flag| flag.split(' ').next()).map(str::to_owned)
}

#[tokio::test]
async fn the_page_of_commands_has_every_command_and_flag_and_no_other() {
    let page = page("commands.md");
    let commands: Vec<_> = commands().await.into_iter().filter(|it| !it.has_commands()).collect();
    let names: BTreeSet<_> = commands.iter().map(|command| command.path.join(" ")).collect();
    let (overview, _) = page.split_once("\n## ").expect("sections");
    let listed: BTreeSet<_> =
        rows(overview).iter().filter_map(|row| quoted(&row[0]).next().map(str::to_owned)).collect();
    assert_eq!(listed, names);
    let flags_below = |heading: &str| -> BTreeSet<String> {
        let rows = section(&page, heading).map(rows).unwrap_or_default();
        rows.iter().flat_map(|row| flags(&row[0]).collect::<Vec<_>>()).collect()
    };
    let global = flags_below("## Flags of every command");
    let shared = rows(section(&page, "## Registry access").expect("a section"));
    for command in &commands {
        let name = command.path.join(" ");
        let mut described = flags_below(&format!("## `portolan {name}`"));
        described.extend(global.clone());
        let shared = shared.iter().filter(|row| quoted(&row[1]).any(|it| it == name));
        described.extend(shared.flat_map(|row| flags(&row[0]).collect::<Vec<_>>()));
        let has: BTreeSet<_> = options(&command.help).into_iter().map(str::to_owned).collect();
        assert_eq!(described, has, "portolan {name}");
    }
    let headings = page.lines().filter_map(|line| line.strip_prefix("## `portolan "));
    for heading in headings {
        assert!(names.contains(heading.trim_end_matches('`')), "{heading} is no command");
    }
}

/// The names of the members below a schema, those of nested objects included, sorted.
fn members(root: &Value, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(name) = schema["$ref"].as_str().and_then(|it| it.strip_prefix("#/$defs/")) {
        found.extend(members(root, &root["$defs"][name]));
    }
    for alternative in schema["anyOf"].as_array().into_iter().flatten() {
        found.extend(members(root, alternative));
    }
    if schema["items"].is_object() {
        found.extend(members(root, &schema["items"]));
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        found.push(name.clone());
        found.extend(members(root, member));
    }
    found.sort();
    found
}

/// The names in the first cells of all tables in `text`, sorted.
fn first_names(text: &str) -> Vec<String> {
    let rows = rows(text);
    let names = rows.iter().flat_map(|row| quoted(&row[0]).map(str::to_owned).collect::<Vec<_>>());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Compares the members of a schema with the tables of a page: those of the root below `heading`, and those of each
/// member that has members below a heading of three marks that names it.
fn assert_members(page: &str, heading: &str, schema: &Value) {
    let text = section(page, heading).expect(heading);
    let (top, _) = text.split_once("\n### ").expect("sections");
    let properties = schema["properties"].as_object().expect("an object");
    let mut expected: Vec<_> = properties.keys().cloned().collect();
    expected.sort();
    assert_eq!(first_names(top), expected);
    for (name, property) in properties {
        let expected = members(schema, property);
        if expected.is_empty() {
            continue;
        }
        let headings = text.lines().filter(|line| line.starts_with("### "));
        let heading = headings.into_iter().find(|line| line.contains(&format!("`{name}`")));
        let below = section(page, heading.unwrap_or_else(|| panic!("no heading for `{name}`")));
        assert_eq!(first_names(below.expect("a section")), expected, "{name}");
    }
}

#[tokio::test]
async fn the_page_of_reports_has_every_member_of_the_schema_and_no_other() {
    let schema = run(&["schema", "report"]).await.expect(0).json();
    // The members of `summary` depend on `--confirm`, and are compared with reports in `docs.rs`.
    assert_members(&page("report.md"), "## The report of a promotion", &schema);
}

#[tokio::test]
async fn the_page_of_reports_has_every_member_of_the_schema_of_a_mirroring_and_no_other() {
    let schema = run(&["schema", "mirror"]).await.expect(0).json();
    assert_members(&page("report.md"), "## The report of a mirroring", &schema);
}

#[tokio::test]
async fn the_page_of_the_configuration_has_every_field_of_the_schema_and_no_other() {
    let schema = run(&["schema", "front"]).await.expect(0).json();
    assert_members(&page("configuration.md"), "## Fields", &schema);
}

/// A metric as it is scraped: its name, the names of its labels, its help.
type Metric = (String, BTreeSet<String>, String);

/// The metrics in a text of Prometheus.
fn printed(text: &str) -> BTreeSet<Metric> {
    let lines = |mark: &'static str| {
        text.lines().filter_map(move |line| line.strip_prefix(mark)?.split_once(' '))
    };
    let counters: BTreeSet<_> =
        lines("# TYPE ").filter(|(_, kind)| *kind == "counter").map(|(name, _)| name).collect();
    let help: BTreeMap<_, _> = lines("# HELP ").collect();
    let labels = |name: &str| -> BTreeSet<String> {
        let samples = text.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
        let sets = samples.filter_map(|line| line.split_once('{')?.1.split_once('}'));
        let names = sets.flat_map(|(set, _)| set.split(',').filter_map(|it| it.split_once("=\"")));
        names.map(|(name, _)| name.to_owned()).filter(|name| name != "le").collect()
    };
    let metric = |(name, help): (&&str, &&str)| {
        let scraped = format!("{name}{}", if counters.contains(name) { "_total" } else { "" });
        let samples = if counters.contains(name) { scraped.clone() } else { format!("{name}{{") };
        let samples = if text.contains(&format!("\n{name}_bucket")) {
            format!("{name}_bucket{{")
        } else {
            samples
        };
        (scraped, labels(&samples), help.trim_end_matches('.').to_owned())
    };
    help.iter().map(metric).collect()
}

/// The metrics in the table below a heading.
fn described(heading: &str) -> BTreeSet<Metric> {
    let page = page("metrics.md");
    let rows = rows(section(&page, heading).expect(heading));
    let metric = |row: &Vec<String>| {
        let name = quoted(&row[0]).next().expect("a name").to_owned();
        (name, quoted(&row[1]).map(str::to_owned).collect(), row[2].clone())
    };
    rows.iter().map(metric).collect()
}

/// What a server prints at `/metrics`, after one request.
async fn scraped(arguments: &[&str]) -> BTreeSet<Metric> {
    let server = ServerProcess::start("true", arguments).await;
    drop(server.idle().await);
    let admin = server.admin.as_deref().expect("an admin address");
    let mut stream = TcpStream::connect(admin).await.expect("it listens");
    let request = b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("text");
    server.terminated().await;
    printed(&text)
}

#[tokio::test]
async fn the_page_of_metrics_has_every_metric_and_no_other() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = |name: &str| directory.path().join(name).display().to_string();
    let front = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\ncache_dir: null\nupstream: {endpoint: \"https://registry.example\"}\n\
                 stores: [{name: a, url: \"https://a.example\", serves: [{cloud: \"*\"}]}]\n";
    fs::write(file("front.yaml"), front).expect("a file");
    let listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let registry = scraped(&[&["registry", "serve"], &listen[..]].concat()).await;
    assert_eq!(registry, described("## The embedded registry"));
    let store = directory.path().display().to_string();
    let store = scraped(&[&["store", "serve", &store], &listen[..]].concat()).await;
    assert_eq!(store, described("## The store server"));
    assert_eq!(
        scraped(&["serve", "--config", &file("front.yaml")]).await,
        described("## The front")
    );
    let (from, to) = (TestRegistry::start().await, TestRegistry::start().await);
    let image = fixture::image(1, 1);
    from.load("team/app", None, &image).await;
    let entry = entry("app", &image, &["v1"]);
    let thin = Thin::new().project("team", &from.prefix("team"), &to.prefix("images"), &entry);
    let prom = file("portolan.prom");
    run(&["promote", "--thin-manifest-dir", thin.path(), "--metrics-file", &prom]).await.expect(0);
    let promotion = printed(&fs::read_to_string(prom).expect("a file"));
    assert_eq!(promotion, described("## A promotion"));
}

/// The codes of a schema, each with its meaning; without a meaning where the schema has none.
fn codes(schema: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let described = schema["oneOf"].as_array().into_iter().flatten();
    let described = described.map(|code| (text(&code["const"]), text(&code["description"])));
    let listed = schema["enum"].as_array().into_iter().flatten();
    described.chain(listed.map(|code| (text(code), String::new()))).collect()
}

#[tokio::test]
async fn the_pages_of_codes_list_every_code_with_its_meaning_and_no_other() {
    let report = run(&["schema", "report"]).await.expect(0).json();
    let mirror = run(&["schema", "mirror"]).await.expect(0).json();
    for (name, heading, schema) in [
        ("codes.md", "## Reasons of outcomes", &report["$defs"]["ReasonCode"]),
        ("codes.md", "## Failures of a mirror run", &mirror["$defs"]["FailureCode"]),
        ("rules.md", "", &report["$defs"]["Problem"]["properties"]["rule"]),
    ] {
        let page = page(name);
        let text = if heading.is_empty() { Some(&*page) } else { section(&page, heading) };
        let rows = rows(text.expect(heading));
        let codes = codes(schema);
        assert_eq!(rows.len(), codes.len(), "{name} {heading}");
        for (row, (code, meaning)) in rows.iter().zip(codes) {
            assert_eq!(row[0], format!("`{code}`"), "{name} {heading}");
            assert!(row[1].starts_with(meaning.trim_end_matches('.')), "{code}: {}", row[1]);
        }
    }
}
