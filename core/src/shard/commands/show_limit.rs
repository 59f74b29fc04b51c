//! ShowLimit: a limit, who holds its slots and who waits for one. It changes nothing.

use crate::shard::draft::{Draft, Halt, ask};
use crate::shard::limits::look;
use crate::shard::refusal::Refusal;
use crate::shard::reply::Reply;
use crate::shard::seen::LimitShown;
use crate::shard::view::Need;
use crate::table::Table as _;
use crate::table::key::Key;
use crate::table::limit::{LimitName, Limits};

/// Most jobs of each kind that are shown of a limit.
pub const LIMIT_JOBS_MAX: u32 = 1000;
/// Leases and ready jobs that one command looks through for those that hold a slot.
pub const HOLDERS_SCANNED_MAX: usize = 1000;
/// Lines that are counted, and gone through for their jobs.
pub const LINES_SHOWN: usize = 64;

/// A request to see a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowLimit {
    /// Which.
    pub limit: LimitName,
    /// At most so many who hold a slot, at most [`LIMIT_JOBS_MAX`].
    pub holders_max: u32,
    /// Where to go on looking for them, as an answer before has said.
    pub holders_after: Option<Key>,
    /// At most so many who wait, at most [`LIMIT_JOBS_MAX`].
    pub waiters_max: u32,
}

pub(crate) fn show(show: &ShowLimit, draft: &Draft<'_>) -> Result<Reply, Halt> {
    let name = &show.limit;
    let row = match draft.bytes(&Limits::key(name))? {
        None => {
            return Ok(Reply::Limit(Box::new(LimitShown {
                limit: None,
                holders: Vec::new(),
                next: None,
                waiters: Vec::new(),
            })));
        }
        Some(bytes) => Limits::read_row(&bytes)
            .map_err(|_| Halt::from(Refusal::LimitDamaged(name.key.clone())))?,
    };
    let found_max = many(show.holders_max.min(LIMIT_JOBS_MAX).min(row.held));
    let after = show.holders_after.as_ref();
    let bounds = (HOLDERS_SCANNED_MAX, found_max);
    let waiters_max = many(show.waiters_max.min(LIMIT_JOBS_MAX));
    let mut need = Need::default();
    let view = ask(&mut need, look::view(draft, name, &row, LINES_SHOWN))?;
    let holders = ask(&mut need, look::holders(draft, name, after, bounds))?;
    let waiters = look::waiters(draft, name, &row, (LINES_SHOWN, waiters_max));
    let waiters = ask(&mut need, waiters)?.unwrap_or_default();
    need.settled()?;
    let (found, next) = holders.map_or((Vec::new(), None), |it| (it.found, it.next));
    // Whoever asks from the beginning and has seen all of them need not look further.
    let are_all = after.is_none() && many(row.held) <= found.len();
    Ok(Reply::Limit(Box::new(LimitShown {
        limit: view,
        holders: found,
        next: next.filter(|_| !are_all),
        waiters,
    })))
}

fn many(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
