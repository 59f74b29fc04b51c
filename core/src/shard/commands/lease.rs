//! Lease: hand out ready jobs of a task group, fair over tenants, priority first. (SILO-LEASE-T1)
//!
//! Tenants with ready work are served in turn, one task each (deficit round robin with weight 1:
//! Shreedhar and Varghese, 1995). Within a tenant: priority, the time a job became ready, arrival.

use std::collections::{BTreeSet, VecDeque};

use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt};
use crate::shard::moves::{grant, leave};
use crate::shard::reply::Reply;
use crate::shard::soft::SoftStep;
use crate::shard::view::Need;
use crate::table::job::{JobKey, JobRow};
use crate::table::key::Key;
use crate::table::place::Place;
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
    let share = tasks_max.div_ceil(ring.len().max(1));

    let mut turns = ring.iter();
    let mut again: VecDeque<Walk> = VecDeque::new();
    let mut served: Vec<Tenant> = Vec::new();
    let mut tasks = Vec::new();
    let mut bytes: u64 = 0;
    // What is missing is gathered over all tenants that would be served, and loaded at once.
    let mut need = Need::default();
    let mut awaited: usize = 0;

    while tasks.len().saturating_add(awaited) < tasks_max {
        let mut walk = match turns.next() {
            Some(tenant) => Walk::new(tenant.clone(), share),
            None => match again.pop_front() {
                Some(walk) => walk,
                None => break,
            },
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
        leave(draft, &key, &state)?;
        walk.raise_mark(draft, &state.queue, place)?;
        tasks.push(grant(draft, &key, &job, state, place, &lease.grantee)?);
        served.push(walk.tenant.clone());
        again.push_back(walk);
    }
    if !need.is_empty() {
        return Err(need.into());
    }
    for tenant in in_order_of_last(served) {
        draft.step(SoftStep::Served(lease.group.clone(), tenant));
    }
    Ok(Reply::Leased(tasks))
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
    /// Where the next read of the first queue begins, if one was read.
    next: Option<(Queue, Place)>,
}

impl Walk {
    const fn new(tenant: Tenant, share: usize) -> Self {
        Self {
            tenant,
            share,
            rows: VecDeque::new(),
            next: None,
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
            if self.rows.is_empty() && !self.read(draft, group)? {
                return Ok(None);
            }
            self.ask_for_all(draft)?;
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
            match draft.job_and_state(&key)? {
                Some((job, state))
                    if state.position == Position::Ready(ready.place)
                        && state.queue == ready.queue =>
                {
                    return Ok(Some(Candidate {
                        key,
                        place: ready.place,
                        job,
                        state,
                    }));
                }
                Some(_) | None => self.drop_row(draft, &row, &ready.queue, ready.place)?,
            }
        }
    }

    /// Reads the first rows of the tenant's first queue that has any. False when none has.
    fn read(&mut self, draft: &mut Draft<'_>, group: &TaskGroup) -> Result<bool, Halt> {
        loop {
            let tenant = draft.tenant(&self.tenant)?;
            let Some((queue, head)) = tenant.queues(group).next() else {
                return Ok(false);
            };
            let (queue, mark) = (queue.clone(), head.low);
            let low = match self.next.take() {
                Some((at, low)) if at == queue => low.max(mark),
                Some(_) | None => mark,
            };
            let rows = draft.range(&ReadyKey::from(&self.tenant, &queue, low), self.share)?;
            if let Some(last) = rows.last().and_then(|(key, _)| Readies::read_key(key).ok()) {
                self.next = Some((queue.clone(), last.place.next()));
            }
            if !rows.is_empty() {
                self.rows = rows.into_iter().map(|(key, _)| key).collect();
                return Ok(true);
            }
            // The tenant's row counts jobs that are not there: without this the walk would not end.
            draft.tenant(&self.tenant)?.ready.remove(&queue);
            draft.notice(Notice::Mended(
                "a queue's head counted jobs that are not there",
            ));
        }
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
        if need.is_empty() {
            Ok(())
        } else {
            Err(need.into())
        }
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
