//! The canonical form of a shard's rows: what two states of a model must share to be the same.
//! Places and nonces count by their rank alone, because no rule looks at more than their order, or
//! whether they are equal; times count from now, and those that are only shown are left out. Of the
//! low-water marks only those of what is due count: they say when somebody looks next.

use std::collections::BTreeMap;

use silo_core::invariants::image::Image;
use silo_core::shard::view::Rows;
use silo_core::table::attempt::{Attempt, Ending};
use silo_core::table::state::Position;
use silo_core::types::time::Timestamp;

/// Numbers by the order in which they are met.
#[derive(Default)]
pub struct Ranks(BTreeMap<u64, usize>);

impl Ranks {
    /// The rank of a number.
    pub fn rank(&mut self, number: u64) -> usize {
        let next = self.0.len();
        *self.0.entry(number).or_insert(next)
    }
}

/// Adds what a shard's rows say to a state's form.
pub fn describe(rows: &Rows, now: Timestamp, names: &mut Ranks, text: &mut String) {
    let image = Image::read(&rows.map);
    let places = image.states.values().map(|state| match &state.position {
        Position::Due(place) | Position::Ready(place) => Some(*place),
        Position::Leased(lease) => Some(lease.place),
        Position::Parked { place, .. } => Some(place.place()),
        Position::Ended { .. } | Position::Quarantined { .. } => None,
    });
    let waited = image.states.values().map(|state| state.waited);
    let waited = waited.map(|waited| waited.map(|waited| waited.place()));
    let mut places: Vec<_> = places.chain(waited).flatten().collect();
    places.sort();
    let rank = |place| places.iter().position(|known| *known == place);
    for (key, state) in &image.states {
        let position = match &state.position {
            Position::Due(place) => {
                format!("d{}@{:?}", place.at.since(now).get(), rank(*place))
            }
            Position::Ready(place) => format!("r{:?}", rank(*place)),
            Position::Parked { place, .. } => {
                format!("w{}{:?}", place.is_expedited(), rank(place.place()))
            }
            Position::Leased(lease) => {
                let later = lease.place.at.since(now).get();
                format!(
                    "l{}@{later}{:?}",
                    names.rank(lease.nonce),
                    rank(lease.place)
                )
            }
            Position::Ended { status, .. } => format!("e{status:?}"),
            Position::Quarantined { .. } => "q".to_owned(),
        };
        let last = state
            .last
            .as_ref()
            .map(|last| (names.rank(last.nonce), how(last)));
        let returned = state
            .returned
            .map(|returned| (names.rank(returned.nonce), returned.how));
        let waited = state.waited.map(|w| (w.is_expedited(), rank(w.place())));
        text.push_str(&format!(
            "{}{position}{last:?}{returned:?}{waited:?}{:?}{:?}|",
            key.job,
            (
                state.attempts_ended,
                state.attempts_before,
                state.retries_used
            ),
            (state.crashes, state.losses, state.cancel_asked_at.is_some()),
        ));
        let earlier = image.attempts.iter().filter(|(at, _)| at.job == key.job);
        for (at, attempt) in earlier {
            let nonce = names.rank(attempt.nonce);
            text.push_str(&format!("{}{nonce}{:?}", at.number, how(attempt)));
        }
    }
    for tenant in image.tenants.values() {
        let marks = [tenant.due, tenant.expiry].map(|head| head.map(|head| head.low.at));
        let marks = marks.map(|mark| mark.map(|mark| mark.since(now).get()));
        text.push_str(&format!("{marks:?}"));
    }
    text.push('/');
}

/// How an attempt has ended: a report that comes again is taken if it says the same.
fn how(attempt: &Attempt) -> Option<char> {
    attempt.end.as_ref().map(|end| match &end.how {
        Ending::Succeeded(_) => 's',
        Ending::Failed { .. } => 'f',
        Ending::Cancelled => 'c',
        Ending::Crashed => 'x',
    })
}
