//! The table of codes and reasons, for every way to say no that does not need a server to be seen.

#![cfg(test)]

mod common;

use silo_core::shard::refusal::{Gone, ImportFault, Paused, Refusal};
use silo_core::table::job::JobKey;
use silo_core::table::state::Status as Stands;
use silo_core::types::name::{LimitKey, TaskGroup};
use silo_core::types::task::TaskId;
use silo_runtime::executor::replies::Failure;
use silo_runtime::node::NodeError;
use silo_runtime::service::denial::Denial;
use silo_runtime::service::status::{DOMAIN, PUSHBACK};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::common::say;

fn key() -> JobKey {
    say::job("t", "j")
}

fn task() -> TaskId {
    TaskId {
        tenant: key().tenant,
        job: key().job,
        attempt: 1,
        nonce: 1,
    }
}

/// Code, reason and metadata of a denial as its caller sees it.
fn seen(denial: impl Into<Denial>) -> (Code, String, Status) {
    let status = Status::from(denial.into());
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.domain, DOMAIN);
    (status.code(), info.reason, status)
}

fn is(denial: impl Into<Denial>, code: Code, reason: &str) {
    let (seen_code, seen_reason, status) = seen(denial);
    assert_eq!((seen_code, seen_reason.as_str()), (code, reason));
    assert!(!status.message().is_empty());
}

#[test]
fn failures_of_a_shard() {
    is(
        Failure::Unavailable,
        Code::Unavailable,
        "STORAGE_UNAVAILABLE",
    );
    is(Failure::Unreadable, Code::Unavailable, "STORAGE_UNREADABLE");
    is(Failure::Unproven, Code::Unavailable, "OWNERSHIP_UNPROVEN");
    is(Failure::Opening, Code::Unavailable, "SHARD_OPENING");
    is(Failure::Closing, Code::Unavailable, "SHARD_CLOSING");
    is(
        Failure::Overloaded,
        Code::ResourceExhausted,
        "SHARD_OVERLOADED",
    );
    is(Failure::OutcomeUnknown, Code::Aborted, "OUTCOME_UNKNOWN");
    let (_, _, status) = seen(Failure::Overloaded);
    assert!(
        status.metadata().get(PUSHBACK).is_some(),
        "with a time to wait"
    );
}

#[test]
fn refusals_about_a_job() {
    let precondition = Code::FailedPrecondition;
    is(Refusal::JobNotFound(key()), Code::NotFound, "JOB_NOT_FOUND");
    is(
        Refusal::JobExists(key().job),
        Code::AlreadyExists,
        "JOB_EXISTS",
    );
    is(
        Refusal::AlreadyCancelled(key()),
        precondition,
        "JOB_CANCELLED",
    );
    is(
        Refusal::AlreadyTerminal(key()),
        precondition,
        "JOB_TERMINAL",
    );
    is(
        Refusal::NotTerminal(key(), Stands::Running),
        precondition,
        "JOB_NOT_TERMINAL",
    );
    is(
        Refusal::NotLeasable(key(), Stands::Running),
        precondition,
        "JOB_NOT_LEASABLE",
    );
    let group = TaskGroup::parse("g").unwrap();
    for (by, reason) in [
        (Paused::Tenant(key().tenant), "TENANT_PAUSED"),
        (Paused::QueueOfTenant(group.clone()), "QUEUE_PAUSED"),
        (Paused::Queue(group), "QUEUE_PAUSED"),
    ] {
        is(Refusal::Paused { key: key(), by }, precondition, reason);
    }
    is(Refusal::JobRunning(key()), precondition, "JOB_RUNNING");
    is(
        Refusal::NotRestartable(key(), Stands::Running),
        precondition,
        "JOB_NOT_RESTARTABLE",
    );
    is(
        Refusal::NotExpeditable(key(), Stands::Running),
        precondition,
        "JOB_NOT_EXPEDITABLE",
    );
    is(Refusal::AlreadyReady(key()), precondition, "JOB_READY");
    is(Refusal::Quarantined(key()), precondition, "JOB_QUARANTINED");
    for (fault, reason) in [
        (ImportFault::Succeeded, "JOB_SUCCEEDED"),
        (ImportFault::Differs, "IMPORT_DIFFERS"),
        (ImportFault::NothingNew, "IMPORT_NOTHING_NEW"),
        (ImportFault::Twice, "IMPORT_TWICE"),
    ] {
        is(Refusal::NotImportable(key(), fault), precondition, reason);
    }
}

#[test]
fn refusals_about_a_tenant() {
    let tenant = key().tenant;
    is(
        Refusal::TenantDamaged(tenant.clone()),
        Code::Internal,
        "TENANT_DAMAGED",
    );
    is(
        Refusal::TooManyToCount(tenant.clone()),
        Code::FailedPrecondition,
        "TOO_MANY_TO_COUNT",
    );
    is(
        Refusal::TooManyQueues { tenant },
        Code::ResourceExhausted,
        "TOO_MANY_QUEUES",
    );
    is(
        Refusal::TooManyPaused,
        Code::ResourceExhausted,
        "TOO_MANY_PAUSED",
    );
}

#[test]
fn refusals_about_a_limit() {
    let limit = LimitKey::parse("k").expect("a key");
    is(
        Refusal::LimitDamaged(limit.clone()),
        Code::Internal,
        "LIMIT_DAMAGED",
    );
    let key = key();
    is(
        Refusal::LimitFull { key, limit },
        Code::FailedPrecondition,
        "LIMIT_FULL",
    );
}

#[test]
fn refusals_about_a_lease_say_what_clients_match() {
    for (gone, reason) in [
        (Gone::Unknown, "LEASE_UNKNOWN"),
        (Gone::Expired, "LEASE_EXPIRED"),
        (Gone::Released, "LEASE_RELEASED"),
        (Gone::Finished, "LEASE_FINISHED"),
    ] {
        let refusal = Refusal::LeaseNotFound { task: task(), gone };
        let (_, _, status) = seen(refusal.clone());
        assert_eq!(status.message(), "lease not found");
        is(refusal, Code::NotFound, reason);
    }
    let mismatch = Refusal::LeaseOwnerMismatch(task());
    let (_, _, status) = seen(mismatch.clone());
    assert_eq!(status.message(), "lease owner mismatch");
    is(mismatch, Code::FailedPrecondition, "LEASE_OWNER_MISMATCH");
}

#[test]
fn a_refusal_of_one_of_a_batch_keeps_its_code_and_says_which() {
    let refusal = Box::new(Refusal::JobExists(key().job));
    let in_core = Denial::from(Refusal::InBatch { index: 7, refusal });
    let denial = Box::new(Denial::TenancyOff);
    let in_service = Denial::OfBatch { index: 7, denial };
    for (denial, code, reason) in [
        (in_core, Code::AlreadyExists, "JOB_EXISTS"),
        (in_service, Code::FailedPrecondition, "TENANCY_OFF"),
    ] {
        let (_, _, status) = seen(denial.clone());
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata.get("index").map(String::as_str), Some("7"));
        assert!(status.message().starts_with("job 7 of the batch: "));
        is(denial, code, reason);
    }
}

#[test]
fn refusals_of_the_service() {
    is(
        Denial::NotImplemented("X"),
        Code::Unimplemented,
        "NOT_IMPLEMENTED",
    );
    let failed = Denial::ResetFailed(NodeError::Closing);
    is(failed, Code::Unavailable, "RESET_FAILED");
    is(
        Denial::ProfileRunning,
        Code::ResourceExhausted,
        "PROFILE_RUNNING",
    );
    let off = Denial::ProfileOff("start it so".to_owned());
    is(off, Code::FailedPrecondition, "PROFILE_OFF");
    let failed = Denial::ProfileFailed("so".to_owned());
    is(failed, Code::Internal, "PROFILE_FAILED");
    is(Denial::ShuttingDown, Code::Aborted, "OUTCOME_UNKNOWN");
    is(Denial::Bug("x"), Code::Internal, "BUG");
}
