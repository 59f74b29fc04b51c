//! Who keeps data in files or memory compiles no client for the cloud.

#![cfg(test)]

use std::process::Command;

/// The names of the crates that another one is built from.
fn crates_of(package: &str) -> Vec<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal"])
        .args([
            "--prefix",
            "none",
            "--format",
            "{lib}",
            "--package",
            package,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8(tree.stderr).unwrap();
    assert!(tree.status.success(), "{said}");
    let names = String::from_utf8(tree.stdout).unwrap();
    names.lines().map(|line| line.trim().to_owned()).collect()
}

#[silo::test]
fn the_runtime_alone_has_no_clients_for_the_cloud() {
    let has = |package, name: &str| crates_of(package).iter().any(|found| found == name);
    assert!(has("silo-runtime", "object_store"));
    assert!(has("silo-cloud", "reqwest"));
    assert!(!has("silo-runtime", "reqwest"));
    assert!(!has("silo-runtime", "hyper_rustls"));
}
