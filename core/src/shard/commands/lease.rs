//! Lease: hand out ready jobs of a task group, fair over tenants, priority first. (SILO-LEASE-T1)
//!
//! Tenants with ready work are served in turn (deficit round robin: Shreedhar and Varghese, 1995):
//! in its turn a tenant gets as many tasks as its weight says, over as many leases as that takes,
//! unless it has no more. A tenant that begins to wait comes last: before its first task each other
//! gets one turn at most. Within a tenant: priority, the time a job became ready, arrival.
//!
//! What is left of a turn is soft: when it is lost, one tenant begins its turn anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt, gather};
use crate::shard::moves::{grant, step_out};
use crate::shard::reply::Reply;
use crate::shard::ring::Ring;
use crate::shard::soft::SoftStep;
use crate::shard::view::Need;
use crate::table::job::{JobKey, JobRow};
use crate::table::key::{Key, successor};
use crate::table::place::{Head, Place, Spot as _};
use crate::table::ready::{Readies, ReadyKey};
use crate::table::state::{Position, StateRow};
use crate::table::tenant::{Queue, TenantRow};
use crate::table::{Table, TableId};
use crate::types::name::{TaskGroup, WorkerId};
use crate::types::tenant::Tenant;
use crate::types::time::Millis;
use crate::types::weight::Weights;

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
    /// Of tenants of which none was set.
    pub weights: Weights,
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
    if tasks_max == 0 {
        return Ok(Reply::Leased(Vec::new()));
    }
    let mut turns = ring.iter();
    let Some(mut first) = walks(draft, ring, &mut turns, lease, tasks_max)? else {
        return Ok(Reply::Leased(Vec::new()));
    };
    let mut again: VecDeque<Walk> = VecDeque::new();
    let mut served: Vec<Tenant> = Vec::new();
    // Whoever is in the middle of its turn, and what is left of it.
    let mut begun: Option<(Tenant, u32)> = None;
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
        let next = walk
            .begin(draft, lease, ring)
            .and_then(|()| walk.next(draft, &lease.group));
        let candidate = match next {
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
        walk.left = walk.left.saturating_sub(1);
        if walk.left == 0 {
            begun = None;
            served.push(walk.tenant.clone());
            again.push_back(walk);
        } else {
            begun = Some((walk.tenant.clone(), walk.left));
            first.push_front(walk);
        }
    }
    need.settled()?;
    for tenant in in_order_of_last(served) {
        draft.step(SoftStep::Served(lease.group.clone(), tenant));
    }
    if let Some((tenant, left)) = begun {
        let group = lease.group.clone();
        draft.step(SoftStep::Begun {
            group,
            tenant,
            left,
        });
    }
    Ok(Reply::Leased(tasks))
}

/// Whoever is expected to get a turn, in order. Everything that its tasks will come from is loaded
/// in three rounds, however many tenants, priorities and tasks there are: tenants, their queues,
/// the jobs in them. None if the task group is paused.
fn walks<'a>(
    draft: &mut Draft<'_>,
    ring: &Ring<Tenant>,
    turns: &mut impl Iterator<Item = &'a Tenant>,
    lease: &Lease,
    tasks_max: usize,
) -> Result<Option<VecDeque<Walk>>, Halt> {
    let group = &lease.group;
    let mut need = Need::default();
    let mut is_paused = false;
    match draft.paused_queues() {
        Ok(paused) => {
            is_paused = paused.since.contains_key(group);
            draft.knows_paused(paused);
        }
        Err(Halt::Need(missing)) => need.add(missing),
        Err(other) => return Err(other),
    }
    let mut claims: Vec<Claim> = Vec::new();
    // What one turn of each of those is good for: of no more than this needs to be asked at first.
    let mut first_turns: usize = 0;
    while !is_paused && first_turns < tasks_max {
        let Some(tenant) = turns.next() else { break };
        let mut claim = Claim::unknown(tenant);
        match draft.tenant(tenant) {
            Ok(row) => claim.learn(row, lease),
            Err(Halt::Need(missing)) => need.add(missing),
            // One tenant that cannot be read does not keep the others waiting.
            Err(Halt::Refused(_)) => {
                draft.forget(tenant);
                continue;
            }
            Err(Halt::Damaged(damage)) => return Err(Halt::Damaged(damage)),
        }
        let left = ring.left_of(tenant).and_then(|left| left.try_into().ok());
        let turn = claim.weight.min(left.unwrap_or(usize::MAX)).max(1);
        first_turns = first_turns.saturating_add(claim.count.clamp(1, turn));
        claims.push(claim);
    }
    need.settled()?;
    if is_paused {
        return Ok(None);
    }
    let turns = turns_of(&claims, tasks_max);
    let mut walks = VecDeque::with_capacity(claims.len());
    let mut need = Need::default();
    for Claim { tenant, weight, .. } in claims {
        let share = turns.saturating_mul(weight).min(tasks_max);
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
    Ok(Some(walks))
}

/// What a tenant can make of its turns.
struct Claim {
    tenant: Tenant,
    /// Its ready jobs.
    count: usize,
    /// How many of them one turn is good for.
    weight: usize,
}

impl Claim {
    /// Of a tenant whose row is not there yet.
    fn unknown(tenant: &Tenant) -> Self {
        Self {
            tenant: tenant.clone(),
            count: 0,
            weight: 1,
        }
    }

    fn learn(&mut self, row: &TenantRow, lease: &Lease) {
        let heads = row.queues(&lease.group).map(|(_, head)| head.count);
        let count = heads.fold(0, u64::saturating_add);
        self.count = usize::try_from(count).unwrap_or(usize::MAX);
        self.weight = row.weight_or(&lease.weights, &self.tenant).get().into();
    }

    /// The turns that it needs for all of its jobs.
    fn turns(&self) -> usize {
        self.count.div_ceil(self.weight.max(1))
    }
}

/// The most turns that one tenant gets when these many jobs are ready and everybody is served in
/// turn.
fn turns_of(claims: &[Claim], tasks_max: usize) -> usize {
    let mut in_order: Vec<&Claim> = claims.iter().collect();
    in_order.sort_unstable_by_key(|claim| claim.turns());
    let weights = claims.iter().map(|claim| claim.weight);
    let mut weights = weights.fold(0, usize::saturating_add);
    let mut left = tasks_max;
    for claim in in_order {
        let turns = left.div_ceil(weights.max(1));
        if claim.turns() >= turns {
            return turns;
        }
        left = left.saturating_sub(claim.count);
        weights = weights.saturating_sub(claim.weight);
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
    /// Tasks left of its turn; 0 before the next begins.
    left: u32,
    /// Whether it has had a turn, or a part of one, in this lease.
    has_begun: bool,
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
            left: 0,
            has_begun: false,
            share,
            rows: VecDeque::new(),
            next: BTreeMap::new(),
        }
    }

    /// Begins the tenant's turn, or goes on with it where the last lease has left it.
    fn begin(
        &mut self,
        draft: &mut Draft<'_>,
        lease: &Lease,
        ring: &Ring<Tenant>,
    ) -> Result<(), Halt> {
        if self.left > 0 {
            return Ok(());
        }
        let row = draft.tenant(&self.tenant)?;
        let whole = u32::from(row.weight_or(&lease.weights, &self.tenant).get());
        let begun = ring.left_of(&self.tenant).filter(|_| !self.has_begun);
        self.left = begun.map_or(whole, |left| left.min(whole));
        self.has_begun = true;
        Ok(())
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
