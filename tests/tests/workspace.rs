//! What the manifests guarantee: few crates, no C, dependencies in one direction, versions and texts in their places.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The maximum number of crates that a user's build gets in addition to ours.
const CRATES: usize = 12;

const PUBLIC: [&str; 5] = ["goagain", "goagain-double", "goagain-env", "goagain-signals", "goagain-single"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the workspace").to_owned()
}

/// Returns what `cargo` prints, with the locked versions.
fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).arg("--locked").current_dir(root()).output();
    let output = output.expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("cargo prints text")
}

fn metadata() -> Vec<Value> {
    let printed =
        cargo(&["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let metadata: Value = serde_json::from_str(&printed).expect("cargo prints JSON");
    metadata["packages"].as_array().expect("a list of packages").clone()
}

fn package<'a>(packages: &'a [Value], name: &str) -> &'a Value {
    packages.iter().find(|package| package["name"] == name).unwrap_or_else(|| panic!("no package `{name}`"))
}

/// Returns the names of what is built for the default facade on Linux, including itself.
fn built() -> BTreeSet<String> {
    let edges = ["--edges", "normal,build", "--target", "x86_64-unknown-linux-gnu"];
    let format = ["--prefix", "none", "--no-dedupe", "--format", "{p}"];
    let tree = cargo(&[&["tree", "--package", "goagain"], &edges[..], &format[..]].concat());
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Returns what a package of ours depends on, by its manifest, except for what only its tests need.
fn depends_on(packages: &[Value], name: &str) -> BTreeSet<String> {
    let declared = package(packages, name)["dependencies"].as_array().expect("a list of dependencies").iter();
    let used = declared.filter(|dependency| dependency["kind"] != "dev");
    used.map(|dependency| dependency["name"].as_str().expect("a name").to_owned()).collect()
}

fn ours(names: BTreeSet<String>) -> Vec<String> {
    names.into_iter().filter(|name| name.starts_with("goagain")).collect()
}

#[test]
fn the_default_facade_pulls_few_crates() {
    let others: Vec<String> = built().into_iter().filter(|name| !PUBLIC.contains(&name.as_str())).collect();
    assert!(others.len() <= CRATES, "{} crates: {}", others.len(), others.join(", "));
    assert!(others.contains(&"nix".to_owned()), "the list is the right one: {}", others.join(", "));
}

#[test]
fn the_default_facade_builds_no_c() {
    let built = built();
    for builder in ["bindgen", "cc", "cmake", "pkg-config", "vcpkg"] {
        assert!(!built.contains(builder), "{builder} is built");
    }
    for package in metadata() {
        let name = package["name"].as_str().expect("a name");
        assert!(!built.contains(name) || package["links"].is_null(), "{name} links {}", package["links"]);
    }
}

#[test]
fn dependencies_point_in_one_direction() {
    let packages = metadata();
    let of = |name| ours(depends_on(&packages, name));
    assert_eq!(of("goagain"), ["goagain-double", "goagain-env", "goagain-signals", "goagain-single"]);
    assert_eq!(of("goagain-signals"), ["goagain-env"]);
    assert_eq!(of("goagain-env"), [""; 0]);
}

#[test]
fn a_strategy_depends_on_the_contract_only() {
    let packages = metadata();
    for strategy in ["goagain-single", "goagain-double"] {
        assert_eq!(Vec::from_iter(depends_on(&packages, strategy)), ["goagain-env"], "{strategy}");
    }
    let below = depends_on(&packages, "goagain-env");
    assert!(!below.iter().any(|name| name.starts_with("signal-hook")), "{below:?}");
}

#[test]
fn the_strategies_except_single_are_additive_features() {
    let packages = metadata();
    assert_eq!(package(&packages, "goagain")["features"]["default"], serde_json::json!(["single"]));
    let mut optional = package(&packages, "goagain")["dependencies"]
        .as_array()
        .expect("a list of dependencies")
        .iter()
        .filter(|dependency| dependency["kind"] != "dev" && dependency["optional"] == true)
        .map(|dependency| dependency["name"].as_str().expect("a name"));
    assert!(optional.any(|name| name == "goagain-double"));
}

#[test]
fn every_public_crate_is_described() {
    let packages = metadata();
    for name in PUBLIC {
        let package = package(&packages, name);
        let has = |key: &str| package[key].as_str().is_some_and(|text| !text.trim().is_empty());
        for key in ["description", "documentation", "license", "readme", "rust_version"] {
            assert!(has(key), "{name} has no {key}");
        }
        let folder =
            Path::new(package["manifest_path"].as_str().expect("a path")).parent().expect("a folder");
        let readme = folder.join(package["readme"].as_str().expect("a path"));
        let text =
            fs::read_to_string(&readme).unwrap_or_else(|error| panic!("{}: {error}", readme.display()));
        assert!(text.starts_with("# "), "{} begins with its title", readme.display());
    }
}

/// A registry's page has no files next to it.
#[test]
fn the_links_of_a_published_readme_are_absolute() {
    for name in PUBLIC {
        let text = fs::read_to_string(root().join(name).join("README.md")).expect("a README");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(target.starts_with("https://"), "{name}: {target}");
        }
    }
}

#[test]
fn every_public_crate_contains_the_licenses() {
    for name in PUBLIC {
        for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let text = |path: PathBuf| {
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            };
            let carried = text(root().join(name).join(license));
            assert_eq!(carried, text(root().join(license)), "{name}: {license}");
        }
    }
}

#[test]
fn only_the_public_crates_are_published() {
    let published: BTreeSet<String> = metadata()
        .iter()
        .filter(|package| package["source"].is_null() && package["publish"].is_null())
        .map(|package| package["name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(Vec::from_iter(published), PUBLIC);
}

/// Each defect of the Go package is answered by drills and tests, which can be renamed.
#[test]
fn the_drills_and_tests_that_answer_a_defect_exist() {
    let crates = PUBLIC.iter().flat_map(|name| ["src", "tests"].map(|folder| root().join(name).join(folder)));
    let folders = crates.filter(|folder| folder.is_dir()).chain([root().join("tests/src")]);
    let code = goagain_tests::sources::below(folders).expect("the code can be read").concat();
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("it can be read");
    let (_, table) = architecture.split_once("| # | defect of the Go package |").expect("the table");
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let answers = rows.filter_map(|row| row.split(" | ").nth(2));
    let names: BTreeSet<&str> = answers.flat_map(|answer| answer.split('`').skip(1).step_by(2)).collect();
    let names: Vec<_> = names.into_iter().filter(|name| name.contains('_')).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let stands = code.contains(&format!("\"{name}\"")) || code.contains(&format!("fn {name}("));
        assert!(stands, "ARCHITECTURE.md: `{name}` is neither a drill nor a test");
    }
}

#[test]
fn the_changelog_has_the_version_of_all_crates() {
    let packages = metadata();
    let version = env!("CARGO_PKG_VERSION");
    for name in PUBLIC {
        assert_eq!(package(&packages, name)["version"], version, "{name}");
    }
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).expect("CHANGELOG.md is there");
    assert!(changelog.contains(&format!("\n## [{version}]")), "CHANGELOG.md has no heading for {version}");
}
