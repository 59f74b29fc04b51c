//! Which test shows what a flag does. `face.rs` checks that every flag of every command is here,
//! and that the tests are there.

/// These commands have these flags, and this test, as `file::test`, asserts their effect.
pub(crate) type Row = (
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
);

/// The same for groups of commands.
pub(crate) type Alike = (
    &'static [&'static [&'static str]],
    &'static [&'static str],
    &'static str,
);

/// Commands for jobs, without `silo job`.
const JOB: &[&str] = &[
    "silo job enqueue",
    "silo job get",
    "silo job explain",
    "silo job list",
    "silo job result",
    "silo job wait",
    "silo job cancel",
    "silo job restart",
    "silo job expedite",
    "silo job delete",
    "silo job import",
    "silo job quarantined",
];
/// Commands for limits, without `silo limit`.
const LIMIT: &[&str] = &[
    "silo limit list",
    "silo limit show",
    "silo limit set",
    "silo limit clear",
    "silo limit pause",
    "silo limit resume",
    "silo limit recount",
];
const SHARD: &[&str] = &[
    "silo shard list",
    "silo shard info",
    "silo shard flush",
    "silo shard compact",
];
const SET: &[&str] = &[
    "silo tenant show",
    "silo tenant set",
    "silo tenant clear",
    "silo tenant pause",
    "silo tenant resume",
    "silo queue pause",
    "silo queue resume",
    "silo queue list",
];
const WORK: &[&str] = &["silo work"];
const STANDARD: &[&str] = &["silo bench"];
const ENQUEUE: &[&str] = &["silo bench enqueue"];
const LIFECYCLE: &[&str] = &["silo bench lifecycle"];
const LATENCY: &[&str] = &["silo bench latency"];
const CLAIM: &[&str] = &["silo bench claim"];
const LIMITS: &[&str] = &["silo bench limits"];
const NOISY: &[&str] = &["silo bench noisy"];
const IDLE: &[&str] = &["silo bench idle"];
const BENCH: &[&[&str]] = &[ENQUEUE, LIFECYCLE, LATENCY, CLAIM, LIMITS, NOISY, IDLE];
const LOADED: &[&[&str]] = &[ENQUEUE, LIFECYCLE, LATENCY, CLAIM, LIMITS, NOISY];

/// How a server is reached.
const REACH: &[&str] = &["--server", "--connect-timeout-ms"];
const TLS: &[&str] = &["--tls-ca", "--tls-domain", "--tls-cert", "--tls-key"];

/// What several groups of commands have alike.
pub(crate) const ALIKE: &[Alike] = &[
    (
        &[
            JOB, LIMIT, SET, WORK, SHARD, STANDARD, ENQUEUE, LIFECYCLE, LATENCY, CLAIM, LIMITS,
            NOISY, IDLE,
        ],
        REACH,
        "everywhere::every_command_looks_for_its_server_where_it_is_told_and_as_long",
    ),
    (
        &[
            JOB, LIMIT, SET, WORK, SHARD, STANDARD, ENQUEUE, LIFECYCLE, LATENCY, CLAIM, LIMITS,
            NOISY, IDLE,
        ],
        &["--output"],
        "everywhere::every_command_looks_for_its_server_where_it_is_told_and_as_long",
    ),
    (
        &[
            JOB, LIMIT, SET, WORK, SHARD, STANDARD, ENQUEUE, LIFECYCLE, LATENCY, CLAIM, LIMITS,
            NOISY, IDLE,
        ],
        &["--token"],
        "everywhere::every_command_shows_the_token",
    ),
    (
        &[
            JOB, LIMIT, SET, WORK, SHARD, STANDARD, ENQUEUE, LIFECYCLE, LATENCY, CLAIM, LIMITS,
            NOISY, IDLE,
        ],
        TLS,
        "everywhere::every_command_speaks_tls",
    ),
    // One of them: all have the deadline from the same place.
    (
        &[
            JOB, LIMIT, SET, WORK, SHARD, STANDARD, ENQUEUE, LIFECYCLE, LATENCY, CLAIM, LIMITS,
            NOISY, IDLE,
        ],
        &["--timeout-ms"],
        "everywhere::a_call_takes_no_longer_than_it_may",
    ),
    (
        &[JOB, LIMIT, SET],
        &["--tenant"],
        "everywhere::every_command_that_has_one_names_its_tenant",
    ),
    (
        LOADED,
        &["--tenant"],
        "bench_flags::a_servers_jobs_are_of_the_tenants_that_are_named",
    ),
    (
        LOADED,
        &["--tenants", "--payload-bytes"],
        "bench_flags::a_servers_jobs_are_of_the_tenants_that_are_named",
    ),
    (
        BENCH,
        &["--store", "--shards", "--connections"],
        "bench_flags::it_tells_what_it_was_made_with",
    ),
    (
        BENCH,
        &["--fsync", "--no-fsync", "--data"],
        "bench_flags::each_keeps_files_where_and_as_it_is_told",
    ),
    (BENCH, &["--target"], "bench::each_measures_without_grpc"),
    (
        &[IDLE],
        &["--tenants", "--tenant"],
        "bench_flags::it_tells_what_it_was_made_with",
    ),
    (
        BENCH,
        &["--metrics"],
        "bench_flags::what_a_server_costs_is_read_where_it_is_told",
    ),
    (
        &[ENQUEUE, LIFECYCLE, LATENCY, LIMITS, NOISY, IDLE, CLAIM],
        &["--output"],
        "bench_flags::it_tells_what_it_was_made_with",
    ),
];

/// What single commands have.
pub(crate) const OWN: &[Row] = &[
    (
        &["silo"],
        &["--config"],
        "given::a_word_goes_before_a_variable_that_contradicts_it",
    ),
    (
        &["silo serve"],
        &["--config"],
        "processes::sigterm_drains_and_a_restart_finds_the_same_shards_and_every_job",
    ),
    (
        &["silo", "silo serve", "silo dev"],
        &["--metrics-addr", "--perfetto"],
        "given::flags_of_a_server_count_before_the_commands_name_and_behind_it",
    ),
    (
        &[
            "silo",
            "silo job",
            "silo limit",
            "silo shard",
            "silo tenant",
            "silo queue",
            "silo config",
        ],
        &["--output"],
        "given::a_command_that_is_missing_is_told_as_json",
    ),
    (
        &["silo serve", "silo completions"],
        &["--output"],
        "given::a_command_that_is_missing_is_told_as_json",
    ),
    (
        &["silo dev"],
        &["--data", "--grpc-addr", "--tenancy", "--output"],
        "face::dev_says_what_to_do_and_that_works",
    ),
    (
        &["silo demo"],
        &["--data", "--jobs", "--output"],
        "command_line::the_demo_keeps_its_data_where_it_is_told",
    ),
    (
        &["silo demo"],
        &["--log"],
        "command_line::the_demo_shows_the_log_of_its_server_without_colours_in_a_file",
    ),
    (
        &["silo config check"],
        &["--output"],
        "configuration::what_is_right_is_said_with_what_would_happen",
    ),
    (
        &["silo config show"],
        &["--output"],
        "configuration::secrets_are_never_shown",
    ),
    (
        &["silo config reference"],
        &["--output"],
        "configuration::the_schema_is_that_of_the_file",
    ),
    (
        &["silo job enqueue"],
        &["--file", "--msgpack"],
        "job::a_payload_comes_from_where_it_is_said_to",
    ),
    (
        &["silo job enqueue"],
        &["--lines"],
        "job_many::each_line_is_a_payload",
    ),
    (
        &["silo job enqueue"],
        &["--jobs"],
        "job_many::each_line_is_a_job",
    ),
    (
        &["silo job enqueue"],
        &["--atomic"],
        "job_many::all_or_none_are_taken",
    ),
    (
        &["silo job enqueue"],
        &["--wait"],
        "job::a_wait_ends_in_time_and_with_the_job",
    ),
    (
        &["silo job enqueue"],
        &[
            "--task-group",
            "--id",
            "--priority",
            "--delay",
            "--metadata",
            "--limit",
            "--retries",
            "--retry-initial",
            "--retry-max",
            "--retry-factor",
            "--retry-jitter",
        ],
        "job::a_job_is_shown_as_it_was_enqueued",
    ),
    (
        &["silo job enqueue"],
        &["--request-id"],
        "job::an_enqueue_may_be_repeated_and_an_id_is_taken_once",
    ),
    (
        &["silo job enqueue"],
        &["--start-at"],
        "job::a_job_starts_when_it_is_said_to",
    ),
    (
        &["silo job enqueue"],
        &["--max-crashes"],
        "stopping::a_job_survives_as_many_crashes_as_it_may",
    ),
    (
        &["silo job enqueue", "silo work"],
        &["--lease-ms"],
        "stopping::a_worker_that_is_killed_gives_its_job_to_another",
    ),
    (
        &["silo job enqueue"],
        &[
            "--retain-succeeded",
            "--retain-failed",
            "--retain-cancelled",
        ],
        "job::retention_is_kept",
    ),
    (
        &["silo limit list"],
        &["--prefix", "--limit", "--all", "--output"],
        "limit::limits_are_listed_filtered_and_cut_off",
    ),
    (
        &["silo limit show"],
        &["--jobs", "--output"],
        "limit::a_limit_is_shown_with_its_jobs",
    ),
    (
        &[
            "silo limit set",
            "silo limit clear",
            "silo limit pause",
            "silo limit resume",
        ],
        &["--output"],
        "limit::a_limit_is_set_cleared_paused_and_resumed",
    ),
    (
        &["silo limit recount"],
        &["--output"],
        "limit::limits_are_counted_anew",
    ),
    (
        &["silo job explain"],
        &["--output"],
        "limit::it_is_said_why_a_job_does_not_run",
    ),
    (
        &["silo job get"],
        &["--no-attempts"],
        "job::a_job_is_shown_as_it_was_enqueued",
    ),
    (
        &["silo job list"],
        &["--status", "--task-group", "--prefix", "--limit", "--ids"],
        "job::jobs_are_listed_filtered_and_cut_off",
    ),
    (
        &["silo job list"],
        &["--all"],
        "job_many::more_lines_than_a_call_takes",
    ),
    (
        &["silo job wait"],
        &["--timeout"],
        "job::a_wait_ends_in_time_and_with_the_job",
    ),
    (
        &["silo job quarantined"],
        &["--shard"],
        "quarantine::a_damaged_job_is_listed_and_given_back",
    ),
    (
        &[
            "silo job enqueue",
            "silo job restart",
            "silo job expedite",
            "silo job delete",
        ],
        &["--output"],
        "job::what_was_done_is_told_in_a_word",
    ),
    (
        &["silo job get"],
        &["--output"],
        "job::a_job_is_shown_as_it_was_enqueued",
    ),
    (
        &["silo job list"],
        &["--output"],
        "job::jobs_are_listed_filtered_and_cut_off",
    ),
    (
        &["silo job result", "silo job wait"],
        &["--output"],
        "job::an_end_is_shown_and_is_the_exit_code",
    ),
    (
        &["silo job cancel"],
        &["--output"],
        "job::what_is_asked_of_several_jobs_is_done_for_each_that_can_be",
    ),
    (
        &["silo job import"],
        &["--output"],
        "job_many::what_one_server_shows_another_imports",
    ),
    (
        &["silo job quarantined"],
        &["--output"],
        "quarantine::a_damaged_job_is_listed_and_given_back",
    ),
    (
        &["silo shard list"],
        &["--output"],
        "shard::shards_are_listed",
    ),
    (
        &["silo shard info", "silo shard flush", "silo shard compact"],
        &["--output"],
        "shard::a_shard_is_looked_at_flushed_and_compacted",
    ),
    (
        WORK,
        &["--task-group", "--worker-id", "--exec"],
        "work::a_command_is_told_what_its_job_is",
    ),
    (WORK, &["--concurrency"], "work::jobs_run_at_once"),
    (
        WORK,
        &["--max-jobs", "--exit-when-empty"],
        "work::it_ends_after_so_many_jobs_or_when_there_are_none",
    ),
    (
        WORK,
        &["--once"],
        "work::what_a_command_prints_is_the_result",
    ),
    (
        WORK,
        &["--timeout", "--snooze", "--result-bytes-max"],
        "work::an_exit_code_says_what_follows",
    ),
    (
        WORK,
        &["--kill-grace"],
        "stopping::the_longest_times_are_not_none",
    ),
    (
        WORK,
        &["--kill-grace"],
        "work::a_cancel_kills_the_whole_process_group",
    ),
    (
        WORK,
        &["--drain-timeout"],
        "work::a_drain_does_not_last_for_ever",
    ),
    (WORK, &["--output"], "work::each_run_is_a_line_of_json"),
    (
        STANDARD,
        &[
            "--target",
            "--store",
            "--shards",
            "--fsync",
            "--no-fsync",
            "--data",
            "--callers",
        ],
        "bench_flags::the_standard_set_is_made_with_the_same_flags",
    ),
    (
        STANDARD,
        &["--payload-bytes", "--tenants", "--output"],
        "bench_flags::the_standard_set_is_made_with_the_same_flags",
    ),
    (
        STANDARD,
        &["--connections", "--metrics", "--tenant"],
        "bench_flags::the_standard_set_measures_a_server_that_runs",
    ),
    (
        &[
            "silo bench enqueue",
            "silo bench lifecycle",
            "silo bench limits",
        ],
        &["--batch", "--callers"],
        "bench_flags::it_tells_what_it_was_made_with",
    ),
    (
        &[
            "silo bench lifecycle",
            "silo bench latency",
            "silo bench limits",
            "silo bench noisy",
        ],
        &["--workers", "--tasks"],
        "bench_flags::it_tells_what_it_was_made_with",
    ),
    (
        &[
            "silo bench enqueue",
            "silo bench lifecycle",
            "silo bench latency",
            "silo bench limits",
            "silo bench noisy",
            "silo bench idle",
        ],
        &["--duration"],
        "bench_flags::it_lasts_as_long_as_it_is_told",
    ),
    (
        &["silo bench claim", "silo bench noisy"],
        &["--fill"],
        "bench_flags::it_lasts_as_long_as_it_is_told",
    ),
    (
        &[
            "silo bench enqueue",
            "silo bench lifecycle",
            "silo bench limits",
        ],
        &["--jobs"],
        "bench_flags::it_does_as_much_as_it_is_told",
    ),
    (
        &["silo bench latency", "silo bench noisy"],
        &["--rate"],
        "bench_flags::it_does_as_much_as_it_is_told",
    ),
    (
        CLAIM,
        &["--depth", "--consumed", "--samples"],
        "bench_flags::it_does_as_much_as_it_is_told",
    ),
    (
        LIMITS,
        &["--waiters"],
        "bench_flags::it_does_as_much_as_it_is_told",
    ),
    (
        LIMITS,
        &["--read-delay", "--write-delay"],
        "bench_flags::a_store_is_as_slow_as_it_is_told",
    ),
    (
        NOISY,
        &["--backlog"],
        "bench_flags::it_does_as_much_as_it_is_told",
    ),
    (
        &["silo tenant set"],
        &["--weight"],
        "everywhere::every_command_that_has_one_names_its_tenant",
    ),
];
