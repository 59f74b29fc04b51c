//! Worlds from seeds keep every promise; what is checked, and what is seen, is not nothing.

#![cfg(test)]
#![allow(clippy::arithmetic_side_effects)]

use clap::ValueEnum as _;
use silo_sim::campaign::{Campaign, Seen};
use silo_sim::cover::Mark;
use silo_sim::plan::profile::Profile;

fn campaign(profile: Profile, first: u64, last: u64) -> Seen {
    let campaign = Campaign {
        first,
        last,
        profile,
        jobs: 2,
        time_max: None,
    };
    let seen = campaign.run(3);
    assert!(seen.wrong.is_empty(), "{profile:?}: {:#?}", seen.wrong);
    assert_eq!(seen.worlds, last - first + 1);
    seen
}

#[silo::test]
fn worlds_with_any_faults_keep_every_promise_and_every_check_checks_something() {
    let seen = campaign(Profile::Swarm, 1, 60);
    for (name, count) in seen.checked.named() {
        assert!(count > 0, "{name}: none");
    }
    assert_eq!(
        seen.checked.rested, seen.worlds,
        "every world comes to rest"
    );
    let common = [
        Mark::Enqueued,
        Mark::Leased,
        Mark::Succeeded,
        Mark::Retried,
        Mark::Crashed,
        Mark::Lost,
        Mark::Restarted,
        Mark::Imported,
        Mark::Removed,
        Mark::DiedBetweenEffects,
        Mark::Fenced,
        Mark::PutLandedUnheard,
        Mark::TenantPaused,
        Mark::TenantResumed,
        Mark::GroupOfTenantPaused,
        Mark::GroupOfTenantResumed,
        Mark::GroupPaused,
        Mark::GroupResumed,
        Mark::WeightSet,
        Mark::LongTurn,
        Mark::SaidAgain,
        Mark::LeasedBesidePause,
        Mark::OpenedPaused,
        Mark::Recounted,
        Mark::ResumedInTheEnd,
    ];
    for mark in common {
        assert!(seen.cover.count(mark) > 0, "never seen: {}", mark.words());
    }
}

#[silo::test]
fn worlds_with_limits_reach_what_is_rare() {
    let seen = campaign(Profile::Limits, 1, 30);
    let common = [
        Mark::JobParked,
        Mark::ServedFromLine,
        Mark::LineMoved,
        Mark::TicketGiven,
        Mark::SearchLeftRest,
        Mark::ExpeditedParked,
        Mark::LoweredBelowHeld,
        Mark::LimitPaused,
        Mark::LimitResumed,
        Mark::MaximumSet,
        Mark::MaximumCleared,
        Mark::LimitPausedByHand,
        Mark::LimitResumedByHand,
    ];
    for mark in common {
        assert!(seen.cover.count(mark) > 0, "never seen: {}", mark.words());
    }
}

#[silo::test]
fn worlds_of_every_profile_keep_every_promise() {
    let quick = |profile: &&Profile| !matches!(profile, Profile::Canary | Profile::Long);
    for profile in Profile::value_variants().iter().filter(quick) {
        campaign(*profile, 1_000, 1_008);
    }
}

#[silo::test]
fn the_same_seeds_make_the_same_worlds_on_one_thread_and_on_several() {
    let of = |jobs| {
        let campaign = Campaign {
            first: 1,
            last: 12,
            profile: Profile::Swarm,
            jobs,
            time_max: None,
        };
        let seen = campaign.run(usize::MAX);
        (seen.hash, seen.events, seen.cover)
    };
    assert_eq!(of(1), of(3));
}
