//! `silo shard`: the shards of a server and their storage.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

mod process;

use process::Served;
use serde_json::{Value, json};

fn of_two() -> Served {
    Served::with("[shards]\ncount = 2")
}

#[silo::test]
fn shards_are_listed() {
    let served = of_two();
    let shards = served.run(&["shard", "list", "--output", "json"]).json();
    assert_eq!(shards.len(), 2);
    let (first, second) = (&shards[0], &shards[1]);
    assert_eq!(
        (&first["range_start"], &second["range_end"]),
        (&json!(""), &json!(""))
    );
    assert_eq!(first["range_end"], second["range_start"]);
    assert_eq!(
        (&first["node"], &first["addr"]),
        (&json!("silo"), &json!(served.site.addr))
    );

    let id = first["shard"].as_str().unwrap();
    let text = served.run(&["shard", "list"]).well();
    assert!(text.starts_with("SHARD "), "{text}");
    assert!(text.contains(id), "{text}");
    let one = served
        .run(&[
            "shard",
            "list",
            id.split('-').next().unwrap(),
            "--output",
            "json",
        ])
        .json();
    assert_eq!(one, shards[..1]);
    let said = served.run(&["shard", "list", ""]).failed(1);
    assert!(said.contains("silo::shard::ambiguous"), "{said}");
}

#[silo::test]
fn a_shard_is_looked_at_flushed_and_compacted() {
    let served = of_two();
    let lines: String = (0..50).map(|number| format!("{number}\n")).collect();
    let args = ["job", "enqueue", "--task-group", "g", "--lines"];
    served.run_on(lines, &args).well();
    served.work("g", "cat", &["--max-jobs", "1"]);

    let infos = || served.run(&["shard", "info", "--output", "json"]).json();
    let jobs = |infos: &[Value]| {
        let jobs = infos.iter().find(|it| it["total_jobs"] == 50).unwrap();
        assert_eq!(jobs["completed_jobs"], 1, "{jobs}");
        jobs.clone()
    };
    let before = jobs(&infos());
    assert!(before["created_at_ms"].as_i64().unwrap() > 0, "{before}");
    let id = before["shard"].as_str().unwrap().to_owned();
    let flushed = served.run(&["shard", "flush", &id]).well();
    assert_eq!(flushed, format!("{id}: flushed"));
    let after = jobs(&infos());
    let files = |info: &Value| {
        let runs = info["sorted_runs"].as_array().unwrap();
        let runs = runs
            .iter()
            .map(|run| run["files"].as_u64().unwrap())
            .sum::<u64>();
        info["l0_files"].as_u64().unwrap().saturating_add(runs)
    };
    assert!(files(&after) > 0, "{after}");

    let told = served.run(&["shard", "flush", &id, "--output", "json"]);
    assert_eq!(told.json(), [json!({"shard": id, "status": "flushed"})]);

    let all = served.run(&["shard", "compact", "--output", "json"]).json();
    assert_eq!(all.len(), 2);
    assert!(
        all[0]["status"]
            .as_str()
            .unwrap()
            .starts_with("compaction started"),
        "{all:?}"
    );

    let text = served.run(&["shard", "info"]).well();
    let is_there = |line: &str| text.lines().any(|it| it == line);
    assert!(is_there("jobs         50, 1 of them ended"), "{text}");
    assert!(is_there(&format!("shard        {id}")), "{text}");
    assert!(text.contains("\n\nshard "), "{text}");
}

#[silo::test]
fn an_unknown_shard_is_said() {
    let served = of_two();
    for verb in ["info", "flush", "compact", "list"] {
        let said = served.run(&["shard", verb, "zz", "--output", "json"]);
        assert_eq!((said.code, said.out.as_str()), (Some(4), ""), "{said:?}");
        let error = &said.errors()[0];
        assert_eq!(error["code"], "silo::shard::unknown");
        assert!(error["help"].as_str().unwrap().contains("silo shard list"));
    }
}
