//! Lease: hand out ready jobs of a task group, fair over tenants, priority first. (SILO-LEASE-T1)
//!
//! Tenants with ready work are served in turn, one task each (deficit round robin with weight 1:
//! Shreedhar and Varghese, 1995). Within a tenant: priority, the time a job became ready, arrival.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt, gather};
use crate::shard::moves::{grant, step_out};
use crate::shard::reply::Reply;
use crate::shard::soft::SoftStep;
use crate::shard::view::Need;
use crate::table::job::{JobKey, JobRow};
use crate::table::key::{Key, successor};
use crate::table::place::{Head, Place, Spot as _};
use crate::table::ready::{Readies, ReadyKey};
use crate::table::state::{Position, StateRow};
use crate::table::tenant::Queue;
use crate::table::{Table, TableId};
use crate::types::name::{TaskGroup, WorkerId};
use crate::types::tenant::Tenant;
use crate::types::time::Millis;

/// Most tasks in one lease, whatever was asked for.
pub const TASKS_MAX: u32 = 1000;

/// A request for tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// From which task group.
    pub group: TaskGroup,
    /// For whom, and for how long.
    pub grantee: Grantee,
    /// At most so many; [`TASKS_MAX`] is the bound.
    pub tasks_max: u32,
    /// At most so many bytes of payload and metadata; a single larger task still goes out alone.
    pub bytes_max: u64,
}

/// Who gets a lease, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grantee {
    /// Who.
    pub worker: WorkerId,
    /// As the worker asked; else as the job says; else the default.
    pub lease: Option<Millis>,
    /// The server's default.
    pub lease_default: Millis,
}

pub(crate) fn decide(lease: &Lease, draft: &mut Draft<'_>) -> Result<Reply, Halt> {
    let soft = draft.soft;
    let Some(ring) = soft.ring(&lease.group) else {
        return Ok(Reply::Leased(Vec::new()));
    };
    let tasks_max = usize::try_from(lease.tasks_max.min(TASKS_MAX)).unwrap_or(usize::MAX);
    let mut turns = ring.iter();
    let mut first = walks(draft, &mut turns, &lease.group, tasks_max)?;
    let mut again: VecDeque<Walk> = VecDeque::new();
    let mut served: Vec<Tenant> = Vec::new();
    let mut tasks = Vec::new();
    let mut bytes: u64 = 0;
    // What is missing is gathered over all tenants that would be served, and loaded at once.
    let mut need = Need::default();
    let mut awaited: usize = 0;

    while tasks.len().saturating_add(awaited) < tasks_max {
        // Whoever had no turn yet comes first, also when those expected to yield something did not.
        let waiting = first.pop_front();
        let waiting = waiting.or_else(|| Some(Walk::new(turns.next()?.clone(), 1)));
        let Some(mut walk) = waiting.or_else(|| again.pop_front()) else {
            break;
        };
        let candidate = match walk.next(draft, &lease.group) {
            Ok(Some(candidate)) => candidate,
            Ok(None) => continue,
            Err(Halt::Need(missing)) => {
                need.add(missing);
                awaited = awaited.saturating_add(walk.awaits());
                continue;
            }
            // One tenant that cannot be read does not keep the others waiting.
            Err(Halt::Refused(_)) => {
                draft.forget(&walk.tenant);
                continue;
            }
            Err(Halt::Damaged(damage)) => return Err(Halt::Damaged(damage)),
        };
        let size = candidate.size();
        if !tasks.is_empty() && bytes.saturating_add(size) > lease.bytes_max {
            break;
        }
        bytes = bytes.saturating_add(size);
        let Candidate {
            key,
            place,
            job,
            state,
        } = candidate;
        step_out(draft, &key, &state)?;
        walk.raise_mark(draft, &state.queue, place)?;
        tasks.push(grant(draft, &key, &job, state, place, &lease.grantee)?);
        served.push(walk.tenant.clone());
        again.push_back(walk);
    }
    need.settled()?;
    for tenant in in_order_of_last(served) {
        draft.step(SoftStep::Served(lease.group.clone(), tenant));
    }
    Ok(Reply::Leased(tasks))
}

/// Whoever is expected to get a turn, in order. Everything that its tasks will come from is loaded
/// in three rounds, however many tenants, priorities and tasks there are: tenants, their queues,
/// the jobs in them.
fn walks<'a>(
    draft: &mut Draft<'_>,
    turns: &mut impl Iterator<Item = &'a Tenant>,
    group: &TaskGroup,
    tasks_max: usize,
) -> Result<VecDeque<Walk>, Halt> {
    let mut need = Need::default();
    let mut counts: Vec<(Tenant, u64)> = Vec::new();
    while counts.len() < tasks_max {
        let Some(tenant) = turns.next() else { break };
        match draft.tenant(tenant) {
            Ok(row) => {
                let heads = row.queues(group).map(|(_, head)| head.count);
                counts.push((tenant.clone(), heads.fold(0, u64::saturating_add)));
            }
            Err(Halt::Need(missing)) => {
                need.add(missing);
                counts.push((tenant.clone(), 0));
            }
            // One tenant that cannot be read does not keep the others waiting.
            Err(Halt::Refused(_)) => draft.forget(tenant),
            Err(Halt::Damaged(damage)) => return Err(Halt::Damaged(damage)),
        }
    }
    need.settled()?;
    let share = share(&counts, tasks_max);
    let mut walks = VecDeque::with_capacity(counts.len());
    let mut need = Need::default();
    for (tenant, _) in counts {
        let mut walk = Walk::new(tenant, share);
        gather(&mut need, walk.read(draft, group).map(|_| ()))?;
        walks.push_back(walk);
    }
    need.settled()?;
    let mut need = Need::default();
    for walk in &walks {
        gather(&mut need, walk.ask_for_all(draft))?;
    }
    need.settled()?;
    Ok(walks)
}

/// The most tasks that one tenant gets when these many are ready and everybody is served in turn.
fn share(counts: &[(Tenant, u64)], tasks_max: usize) -> usize {
    let bounded = |count: &u64| usize::try_from(*count).unwrap_or(usize::MAX).min(tasks_max);
    let mut counts: Vec<usize> = counts.iter().map(|(_, count)| bounded(count)).collect();
    counts.sort_unstable();
    let mut left = tasks_max;
    let mut tenants = counts.len();
    for count in counts {
        let level = left.div_ceil(tenants.max(1));
        if count >= level {
            return level;
        }
        left = left.saturating_sub(count);
        tenants = tenants.saturating_sub(1);
    }
    tasks_max
}

/// A job that may be leased next.
struct Candidate {
    key: JobKey,
    place: Place,
    job: JobRow,
    state: StateRow,
}

impl Candidate {
    fn size(&self) -> u64 {
        let pairs = self.job.metadata.iter().map(|(key, value)| {
            u64::try_from(key.len().saturating_add(value.len())).unwrap_or(u64::MAX)
        });
        pairs.fold(self.job.payload.len(), u64::saturating_add)
    }
}

/// A walk over one tenant's ready jobs of a group, from its low-water marks.
struct Walk {
    tenant: Tenant,
    /// How many rows are read at a time: the tenant's share of the request.
    share: usize,
    /// Rows read and not yet served.
    rows: VecDeque<Key>,
    /// Where the next read of each queue begins, if it was read before.
    next: BTreeMap<Queue, Key>,
}

impl Walk {
    const fn new(tenant: Tenant, share: usize) -> Self {
        Self {
            tenant,
            share,
            rows: VecDeque::new(),
            next: BTreeMap::new(),
        }
    }

    /// How many tasks a walk that is missing rows would yield, about.
    fn awaits(&self) -> usize {
        self.share.max(self.rows.len())
    }

    /// The next job, or none when the tenant has no more in this group.
    fn next(
        &mut self,
        draft: &mut Draft<'_>,
        group: &TaskGroup,
    ) -> Result<Option<Candidate>, Halt> {
        loop {
            if self.rows.is_empty() {
                if !self.read(draft, group)? {
                    return Ok(None);
                }
                self.ask_for_all(draft)?;
            }
            let Some(row) = self.rows.pop_front() else {
                return Ok(None);
            };
            let Ok(ready) = Readies::read_key(&row) else {
                draft.drop_index(TableId::Ready, &row);
                continue;
            };
            let key = JobKey {
                tenant: ready.tenant,
                job: ready.job,
            };
            // The state alone says whether the row is right: the description of a job that was set
            // aside may be as damaged as what it was set aside for.
            let stands = |state: &StateRow| {
                state.position == Position::Ready(ready.place) && state.queue == ready.queue
            };
            if !draft.state(&key)?.as_ref().is_some_and(stands) {
                self.drop_row(draft, &row, &ready.queue, ready.place)?;
                continue;
            }
            if let Some((job, state)) = draft.job_and_state(&key)? {
                return Ok(Some(Candidate {
                    key,
                    place: ready.place,
                    job,
                    state,
                }));
            }
        }
    }

    /// Reads the tenant's first rows, of as many queues as its share needs. False if there are
    /// none.
    fn read(&mut self, draft: &mut Draft<'_>, group: &TaskGroup) -> Result<bool, Halt> {
        let tenant = draft.tenant(&self.tenant)?;
        let heads: Vec<(Queue, Head)> = tenant
            .queues(group)
            .map(|(queue, head)| (queue.clone(), *head))
            .collect();
        let mut need = Need::default();
        let mut wanted = self.share;
        for (queue, head) in heads {
            if wanted == 0 {
                break;
            }
            let count = usize::try_from(head.count).unwrap_or(usize::MAX);
            let limit = count.min(wanted);
            let mut range = ReadyKey::from(&self.tenant, &queue, head.low);
            if let Some(next) = self.next.get(&queue) {
                range.start = range.start.max(next.clone());
            }
            match draft.range(&range, limit) {
                Ok(rows) => {
                    wanted = wanted.saturating_sub(rows.len());
                    self.take(draft, queue, rows)?;
                }
                Err(Halt::Need(missing)) => {
                    need.add(missing);
                    wanted = wanted.saturating_sub(limit);
                }
                Err(other) => return Err(other),
            }
        }
        need.settled()?;
        Ok(!self.rows.is_empty())
    }

    /// Takes in what was read of a queue that has a head.
    fn take(
        &mut self,
        draft: &mut Draft<'_>,
        queue: Queue,
        rows: Vec<(Key, Bytes)>,
    ) -> Result<(), Halt> {
        if let Some((last, _)) = rows.last() {
            self.next.insert(queue, successor(last));
            self.rows.extend(rows.into_iter().map(|(key, _)| key));
        } else {
            // The tenant's row counts jobs that are not there: it would have a turn for ever.
            draft.tenant(&self.tenant)?.ready.remove(&queue);
            draft.notice(Notice::Mended(
                "a queue's head counted jobs that are not there",
            ));
        }
        Ok(())
    }

    /// Asks for the rows of all jobs read so far at once, rather than one after the other.
    fn ask_for_all(&self, draft: &Draft<'_>) -> Result<(), Halt> {
        let mut need = Need::default();
        for row in &self.rows {
            let Ok(ready) = Readies::read_key(row) else {
                continue;
            };
            let key = JobKey {
                tenant: ready.tenant,
                job: ready.job,
            };
            if let Err(Halt::Need(missing)) = draft.job_and_state(&key) {
                need.add(missing);
            }
        }
        need.settled()
    }

    /// Everything before and at `place` has been served: the queue's mark may stand after it.
    fn raise_mark(&self, draft: &mut Draft<'_>, queue: &Queue, place: Place) -> Result<(), Halt> {
        if let Some(head) = draft.tenant(&self.tenant)?.ready.get_mut(queue) {
            *head = head.raised(place.next());
        }
        Ok(())
    }

    fn drop_row(
        &self,
        draft: &mut Draft<'_>,
        row: &Key,
        queue: &Queue,
        place: Place,
    ) -> Result<(), Halt> {
        draft.drop_index(TableId::Ready, row);
        let tenant = draft.tenant(&self.tenant)?;
        if let Some(head) = tenant
            .ready
            .remove(queue)
            .and_then(|head| head.without(place))
        {
            tenant
                .ready
                .insert(queue.clone(), head.raised(place.next()));
        }
        Ok(())
    }
}

/// Each tenant once, in the order in which it was served last.
fn in_order_of_last(served: Vec<Tenant>) -> Vec<Tenant> {
    let mut seen = BTreeSet::new();
    let mut order: Vec<Tenant> = served
        .into_iter()
        .rev()
        .filter(|tenant| seen.insert(tenant.clone()))
        .collect();
    order.reverse();
    order
}
