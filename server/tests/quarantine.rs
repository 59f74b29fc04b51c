//! Damaged jobs as an operator meets them: said, listed, given back or removed.

#![cfg(test)]

mod process;

use std::sync::Arc;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use process::Served;
use serde_json::json;
use silo_core::table::Table as _;
use silo_core::table::state::States;
use silo_tests::damaged::{key, put};
use silo_tests::server::Setup;

#[silo::test(flavor = "multi_thread")]
async fn a_damaged_job_is_listed_and_given_back() {
    let two = "[shards]\ncount = 2";
    let served = Served::with(two);
    for id in ["bad", "worse", "good"] {
        served.enqueue("g", id, &[]);
    }
    let Served { site, server } = served;
    server.terminate();
    server.ended().await;
    let data = LocalFileSystem::new_with_prefix(site.folder().join("data")).unwrap();
    let setup = Setup {
        bucket: Arc::new(data),
        shards: 2,
        ..Setup::default()
    };
    for id in ["bad", "worse"] {
        let row = States::key(&key(id).unwrap());
        let garbage = Bytes::from_static(b"\xff garbage");
        put(&setup, row, Some(garbage)).await.unwrap();
    }
    let server = site.start_with(two);
    let served = Served { site, server };

    let said = served.run(&["job", "get", "bad", "worse"]).failed(5);
    assert!(said.contains("silo::call::job_quarantined"), "{said}");
    assert!(said.contains("`silo job quarantined` says"), "{said}");
    let listed = served.run(&["job", "list"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(
        listed.out.contains("good") && !listed.out.contains("bad"),
        "{listed:?}"
    );
    assert!(listed.err.contains("2 jobs are left out"), "{listed:?}");

    let told = served
        .run(&["job", "quarantined", "--output", "json"])
        .json();
    let ids: Vec<_> = told.iter().map(|job| job["id"].clone()).collect();
    assert_eq!(ids, ["bad", "worse"]);
    assert!(
        told[0]["quarantined_at_ms"].as_i64().unwrap() > 0,
        "{told:?}"
    );
    assert_eq!(told[0]["tenant"], json!(null));
    let shard = told[0]["shard"].as_str().unwrap();
    let text = served.run(&["job", "quarantined", "--shard", shard]).well();
    assert!(text.starts_with("ID     TENANT  SHARD"), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
    let shards = served.run(&["shard", "list", "--output", "json"]).json();
    let other = shards.iter().find(|other| other["shard"] != shard).unwrap();
    let other = other["shard"].as_str().unwrap();
    let none = served.run(&["job", "quarantined", "--shard", other]).well();
    assert_eq!(none, "no job is quarantined");

    assert_eq!(
        served.run(&["job", "restart", "bad"]).well(),
        "restarted bad"
    );
    assert_eq!(
        served.run(&["job", "delete", "worse"]).well(),
        "deleted worse"
    );
    let left = served.run(&["job", "quarantined"]).well();
    assert_eq!(left, "no job is quarantined");
}
