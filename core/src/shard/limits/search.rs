//! Whoever waits for what a command freed is looked at, in order and a bounded number of them.
//! (SILO-LIMIT-T1)

use std::collections::{BTreeMap, BTreeSet};

use crate::shard::command::Command;
use crate::shard::decision::Notice;
use crate::shard::draft::{Draft, Halt, ask, gather};
use crate::shard::limits::ledger::{drop_lowest, fits, limit, line, put_line};
use crate::shard::limits::{ahead, hold, name, without};
use crate::shard::moves::{full, queue, wait};
use crate::shard::soft::SoftStep;
use crate::shard::view::Need;
use crate::table::job::JobKey;
use crate::table::key::{Key, successor};
use crate::table::limit::{AdmitRow, Admits, LimitName};
use crate::table::line::{LineId, LineName, LineRow, Parked, ParkedKey, ParkedRow, WaitPlace};
use crate::table::line::{WaiterKey, Waiters};
use crate::table::state::Position;
use crate::table::{Table, TableId};
use crate::types::name::LimitKey;
use crate::types::tenant::Tenant;

/// Lines that a command looks at, of all that wait for what it freed.
pub const LOOKS_MAX: usize = 64;
/// Lines that a tick looks at.
pub const TICK_LOOKS_MAX: usize = 256;
/// Searches that look at a line first and serve another, before it gets a ticket.
pub const PASSES_MAX: u32 = 16;
/// Limits with lines still to be looked at that a tick goes on with.
pub const TICK_ADMITS_MAX: usize = 4;
/// Lines of a limit that are read at first, and how many times as many after them each time: most
/// searches end with the first that are looked at, and what was read for nothing was decoded for
/// nothing.
const PAGE: usize = 4;
const PAGE_GROWS: usize = 4;

/// How many lines a command may look at.
pub(crate) const fn looks(command: &Command) -> usize {
    if matches!(command, Command::Tick) {
        TICK_LOOKS_MAX
    } else {
        LOOKS_MAX
    }
}

/// Looks at whoever waits for what this command freed; what is not come to stands in rows.
pub(crate) fn search(draft: &mut Draft<'_>, looks: usize) -> Result<(), Halt> {
    let mut left = looks;
    let mut need = Need::default();
    while let Some((tenant, freed)) = draft.ledger.take_freed() {
        // What one tenant has to be searched keeps none of the others waiting.
        let others = draft.ledger.freed_tenants();
        let share = left.div_ceil(others.saturating_add(1));
        let mut search = Search {
            tenant,
            lanes: BTreeMap::new(),
            candidates: BTreeMap::new(),
            blocked: Vec::new(),
            seen: BTreeSet::new(),
            first: None,
            first_open: None,
            left: share,
        };
        // What is missing for any tenant is loaded at once for all of them.
        gather(&mut need, search.run(draft, freed))?;
        left = left.saturating_sub(share.saturating_sub(search.left));
    }
    need.settled()
}

/// What earlier searches left is gone on with, a bounded number of limits. (SILO-LIMIT-T2)
pub(crate) fn go_on(draft: &mut Draft<'_>, name: &LimitName) {
    draft.delete::<Admits>(name);
    draft.step(SoftStep::Searched(name.clone()));
    draft.ledger.free(name.clone());
}

/// A search of the lines that are parked on some limits of a tenant.
struct Search {
    tenant: Tenant,
    lanes: BTreeMap<LimitKey, Lane>,
    /// The first lines of each lane that is not done, in the order in which they are looked at.
    candidates: BTreeMap<(WaitPlace, LimitKey, LineId), ParkedRow>,
    /// Lines that were looked at and not served, and where they are parked.
    blocked: Vec<(LineId, LimitKey)>,
    seen: BTreeSet<LineId>,
    /// The line that was looked at first, and whether it was served.
    first: Option<(LineId, bool)>,
    /// The same of those that want nothing that is paused.
    first_open: Option<(LineId, bool)>,
    /// Lines that may still be looked at.
    left: usize,
}

/// The lines that are parked on one limit.
struct Lane {
    /// Where reading goes on; none when all has been read.
    next: Option<Key>,
    /// How many lines are read next.
    page: usize,
    /// How far it was read.
    horizon: Option<WaitPlace>,
    /// How many of its lines are candidates.
    waiting: usize,
    /// Only the line for which the last slot is kept can be one.
    is_kept: bool,
}

impl Lane {
    /// Nothing of it is, or will be, a candidate.
    const DONE: Self = Self {
        next: None,
        page: PAGE,
        horizon: None,
        waiting: 0,
        is_kept: false,
    };
}

impl Search {
    fn run(&mut self, draft: &mut Draft<'_>, freed: BTreeSet<LimitKey>) -> Result<(), Halt> {
        let freed = self.suspend(draft, freed)?;
        let mut need = Need::default();
        for key in freed {
            gather(&mut need, self.open(draft, key))?;
        }
        need.settled()?;
        while self.left > 0
            && let Some((candidate, row)) = self.candidates.pop_first()
        {
            let looked = self
                .look(draft, candidate.clone(), &row)
                .and_then(|()| self.fill(draft, &candidate.1));
            match looked {
                Err(Halt::Need(mut need)) => {
                    // Whatever those behind it take is asked for with it.
                    self.candidates.insert(candidate, row);
                    gather(&mut need, self.ask_for_all(draft))?;
                    return Err(need.into());
                }
                looked => looked?,
            }
        }
        let mut need = Need::default();
        gather(&mut need, self.move_blocked(draft))?;
        gather(&mut need, self.note(draft))?;
        gather(&mut need, self.raise_marks(draft))?;
        need.settled()?;
        self.leave_rest(draft)
    }

    /// Takes the tickets of those that want a limit that is paused: they would keep slots of their
    /// other limits for nothing. What was kept for them may go to others. (SILO-LIMIT-6)
    fn suspend(
        &mut self,
        draft: &mut Draft<'_>,
        freed: BTreeSet<LimitKey>,
    ) -> Result<BTreeSet<LimitKey>, Halt> {
        ahead::for_tickets(draft, &self.tenant, &freed, self.left)?;
        let mut todo: Vec<LimitKey> = freed.iter().cloned().collect();
        let mut all = freed;
        while let Some(key) = todo.pop() {
            while self.left > 0 {
                let Some(row) = limit(draft, &name(&self.tenant, &key))? else {
                    break;
                };
                let lowest = row.lowest.filter(|_| row.slots() == 0);
                let Some((_, holder)) = lowest else { break };
                let holder = self.line_name(holder);
                self.left = self.left.saturating_sub(1);
                let Some(mut row) = line(draft, &holder)? else {
                    drop_lowest(draft, &name(&self.tenant, &key))?;
                    continue;
                };
                row.ticket = None;
                row.passes = 0;
                let wanted = row.wanted.clone();
                put_line(draft, &holder, Some(row))?;
                todo.extend(wanted.into_iter().filter(|key| all.insert(key.clone())));
            }
        }
        Ok(all)
    }

    /// Begins to read the lines that are parked on a limit, if it has a slot for any.
    fn open(&mut self, draft: &mut Draft<'_>, key: LimitKey) -> Result<(), Halt> {
        let name = name(&self.tenant, &key);
        let mut lane = Lane::DONE;
        if let Some(row) = limit(draft, &name)?
            && let Some(parked) = row.parked
            && row.free() > 0
        {
            lane.next = Some(ParkedKey::from(&name, parked.low).start);
        }
        self.lanes.insert(key.clone(), lane);
        self.fill(draft, &key)
    }

    /// Reads on when none of the lane's lines is a candidate.
    fn fill(&mut self, draft: &mut Draft<'_>, key: &LimitKey) -> Result<(), Halt> {
        let name = name(&self.tenant, key);
        let Some(lane) = self.lanes.get_mut(key) else {
            return Ok(());
        };
        let end = ParkedKey::all(&name).end;
        while self.left > 0
            && lane.waiting == 0
            && let Some(start) = lane.next.clone()
        {
            let page = lane.page.min(self.left);
            lane.page = lane.page.saturating_mul(PAGE_GROWS);
            let rows = draft.range_now(&(start..end.clone()), page)?;
            lane.next = None;
            for (bytes, value) in &rows {
                let Ok(parked) = Parked::read_key(bytes) else {
                    draft.notice(Notice::Unreadable(TableId::Parked));
                    continue;
                };
                lane.horizon = Some(parked.head);
                if self.seen.contains(&parked.line) {
                    continue;
                }
                let Some(row) = judged_by(draft, &parked, bytes, value)? else {
                    continue;
                };
                let candidate = (parked.head, key.clone(), parked.line);
                self.candidates.insert(candidate, row);
                lane.waiting = lane.waiting.saturating_add(1);
            }
            if rows.len() == page {
                lane.next = rows.last().map(|(last, _)| successor(last));
            }
        }
        Ok(())
    }

    /// Asks at once for all that the rest of the search may take, as far as it can be told by now.
    fn ask_for_all(&self, draft: &mut Draft<'_>) -> Result<(), Halt> {
        let mut need = Need::default();
        for (key, lane) in &self.lanes {
            let name = self.limit_name(key);
            if let Some(start) = &lane.next {
                let all = start.clone()..ParkedKey::all(&name).end;
                gather(&mut need, draft.range_now(&all, self.left).map(|_| ()))?;
            }
            let row = ask(&mut need, limit(draft, &name).map(|row| row.cloned()))?;
            if let Some((_, holder)) = row.flatten().and_then(|row| row.lowest) {
                gather(&mut need, line(draft, &self.line_name(holder)).map(|_| ()))?;
            }
        }
        let lines = self.candidates.iter();
        let lines = lines.map(|((head, _, id), row)| (*head, *id, row));
        gather(
            &mut need,
            ahead::for_lines(draft, &self.tenant, lines, self.left),
        )?;
        need.settled()
    }

    /// Looks at the line that is first: it is served, or blocked elsewhere.
    fn look(
        &mut self,
        draft: &mut Draft<'_>,
        (head, key, id): (WaitPlace, LimitKey, LineId),
        row: &ParkedRow,
    ) -> Result<(), Halt> {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.waiting = lane.waiting.saturating_sub(1);
        }
        if !fits(draft, &name(&self.tenant, &key), id)? {
            return self.narrow(draft, &key);
        }
        self.left = self.left.saturating_sub(1);
        if !self.is_runnable(draft, id, &row.wanted)? {
            self.first.get_or_insert((id, false));
            if !self.wants_paused(draft, &row.wanted)? {
                self.first_open.get_or_insert((id, false));
            }
            self.seen.insert(id);
            self.blocked.push((id, key));
            return Ok(());
        }
        self.first.get_or_insert((id, true));
        self.first_open.get_or_insert((id, true));
        let Some(rest) = self.serve(draft, (head, &key, id))? else {
            return Ok(());
        };
        // It stays where it is, and is looked at again in its new place. So is one for which a slot
        // is kept: its first job may not have taken it.
        let is_read = |lane: &&mut Lane| lane.next.is_none() || lane.horizon >= Some(rest.head);
        if let Some(lane) = self.lanes.get_mut(&key).filter(is_read) {
            lane.waiting = lane.waiting.saturating_add(1);
            let row = ParkedRow::from(&rest);
            self.candidates.insert((rest.head, key, id), row);
        }
        Ok(())
    }

    /// The limit has no slot for this line: for none, or for the one that its last is kept for.
    fn narrow(&mut self, draft: &mut Draft<'_>, key: &LimitKey) -> Result<(), Halt> {
        self.candidates.retain(|(_, limit, _), _| limit != key);
        let row = limit(draft, &name(&self.tenant, key))?;
        let lowest = row.filter(|row| row.free() > 0).and_then(|row| row.lowest);
        let mut lane = Lane::DONE;
        let was_kept = self.lanes.get(key).is_some_and(|lane| lane.is_kept);
        if let Some((_, id)) = lowest
            && !was_kept
            && !self.seen.contains(&id)
            && let Some(row) = line(draft, &self.line_name(id))?
            && row.at == *key
        {
            lane.waiting = 1;
            let parked = ParkedRow::from(&row);
            self.candidates.insert((row.head, key.clone(), id), parked);
        }
        lane.is_kept = true;
        self.lanes.insert(key.clone(), lane);
        Ok(())
    }

    fn is_runnable(
        &self,
        draft: &mut Draft<'_>,
        id: LineId,
        wanted: &[LimitKey],
    ) -> Result<bool, Halt> {
        for key in wanted {
            if !fits(draft, &name(&self.tenant, key), id)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The first job of a line that fits takes its slots and enters its queue, at a new place: at
    /// the old one it would pull the queue's mark back over all that was consumed since. What is
    /// left of the line, if anything is.
    fn serve(
        &self,
        draft: &mut Draft<'_>,
        (head, at, id): (WaitPlace, &LimitKey, LineId),
    ) -> Result<Option<LineRow>, Halt> {
        let name = self.line_name(id);
        let row = line(draft, &name)?.filter(|row| (&row.at, row.head) == (at, head));
        let Some(row) = row else {
            let parked = ParkedKey {
                limit: self.limit_name(at),
                head,
                line: id,
            };
            draft.drop_index(TableId::Parked, &Parked::key(&parked));
            return Ok(None);
        };
        let key = JobKey {
            tenant: self.tenant.clone(),
            job: row.first.clone(),
        };
        let waiter = WaiterKey::of(&key, id, row.head);
        let place = row.head;
        let stands = Position::Parked { line: id, place };
        let state = draft.state_now(&key)?;
        let mut had_turn = false;
        match state.filter(|state| state.position == stands) {
            None => draft.drop_index(TableId::Waiter, &Waiters::key(&waiter)),
            Some(mut state) => {
                draft.delete::<Waiters>(&waiter);
                state.waited = Some(head);
                if let Some(later) = full(draft, &key, &state)? {
                    wait(draft, &key, &mut state, later)?;
                } else {
                    hold(draft, &self.tenant, &state.slots)?;
                    let now = draft.now();
                    let place = draft.tenant(&self.tenant)?.place(now);
                    queue(draft, &key, &mut state, place)?;
                    had_turn = true;
                }
                let status = state.status();
                draft.put_state(&key, Some(status), &mut state)?;
            }
        }
        let (ticket, wanted) = (row.ticket, row.wanted.clone());
        let mut rest = without(draft, &name, row, place)?;
        if had_turn && let Some(rest) = &mut rest {
            rest.passes = 0;
            rest.ticket = None;
        }
        if !had_turn && rest.is_none() && ticket.is_some() {
            for key in &wanted {
                draft.ledger.free(self.limit_name(key));
            }
        }
        put_line(draft, &name, rest.clone())?;
        Ok(rest)
    }

    /// Whoever was looked at and is blocked elsewhere goes there, if the limit where it is parked
    /// still has a slot for it: what stays blocked here need not be looked at for what is freed
    /// there. Its place, its passes and its ticket stay.
    fn move_blocked(&mut self, draft: &mut Draft<'_>) -> Result<(), Halt> {
        let mut need = Need::default();
        for (id, key) in &self.blocked {
            if fits(draft, &name(&self.tenant, key), *id)? {
                gather(&mut need, line(draft, &self.line_name(*id)).map(|_| ()))?;
            }
        }
        need.settled()?;
        for (id, key) in std::mem::take(&mut self.blocked) {
            if !fits(draft, &name(&self.tenant, &key), id)? {
                continue;
            }
            let line_name = self.line_name(id);
            let Some(mut row) = line(draft, &line_name)? else {
                continue;
            };
            let mut blocking = None;
            for wanted in &row.wanted {
                if !fits(draft, &name(&self.tenant, wanted), id)? {
                    blocking = Some(wanted.clone());
                    break;
                }
            }
            match blocking {
                Some(blocking) => {
                    row.at = blocking;
                    put_line(draft, &line_name, Some(row))?;
                }
                // Serving makes nothing easier for anybody, so this cannot be.
                None => self.leave(draft, &key),
            }
        }
        Ok(())
    }

    /// Notes that the first line that was looked at was not served; too often, and it gets a
    /// ticket, which comes after all others. One that wants what is paused gets none, and keeps
    /// nobody who comes after it from one.
    fn note(&self, draft: &mut Draft<'_>) -> Result<(), Halt> {
        let both = [self.first, self.first_open];
        let passed = both.iter().flatten().filter(|(_, is_served)| !is_served);
        let passed: BTreeSet<LineId> = passed.map(|(id, _)| *id).collect();
        let mut need = Need::default();
        for id in passed {
            gather(&mut need, self.pass(draft, id))?;
        }
        need.settled()
    }

    /// Notes that a line was passed over.
    fn pass(&self, draft: &mut Draft<'_>, id: LineId) -> Result<(), Halt> {
        let name = self.line_name(id);
        let Some(mut row) = line(draft, &name)?.filter(|row| row.ticket.is_none()) else {
            return Ok(());
        };
        row.passes = row.passes.saturating_add(1).min(PASSES_MAX);
        if row.passes == PASSES_MAX && !self.wants_paused(draft, &row.wanted)? {
            let now = draft.now();
            row.ticket = Some(draft.tenant(&self.tenant)?.place(now).seq);
        }
        put_line(draft, &name, Some(row))
    }

    /// Whether one of these limits is paused. One that cannot be read has no slot either.
    fn wants_paused(&self, draft: &mut Draft<'_>, wanted: &[LimitKey]) -> Result<bool, Halt> {
        for key in wanted {
            let row = limit(draft, &self.limit_name(key))?;
            if row.is_none_or(|row| row.slots() == 0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whatever was not come to is left as rows. (SILO-LIMIT-4)
    fn leave_rest(&self, draft: &mut Draft<'_>) -> Result<(), Halt> {
        for (key, lane) in &self.lanes {
            let Some(row) = limit(draft, &self.limit_name(key))? else {
                continue;
            };
            let is_read = lane.next.is_none() && lane.waiting == 0;
            let has_tickets = row.slots() == 0 && row.tickets > 0;
            if !is_read && row.free() > 0 || has_tickets {
                self.leave(draft, key);
            }
        }
        Ok(())
    }

    fn leave(&self, draft: &mut Draft<'_>, key: &LimitKey) {
        let name = self.limit_name(key);
        draft.put::<Admits>(&name, &AdmitRow {});
        draft.step(SoftStep::ToSearch(name));
    }

    /// The mark of each limit may stand at its first line.
    fn raise_marks(&self, draft: &mut Draft<'_>) -> Result<(), Halt> {
        let mut need = Need::default();
        for (key, lane) in &self.lanes {
            if lane.horizon.is_some() {
                gather(&mut need, self.raise_mark(draft, key))?;
            }
        }
        need.settled()
    }

    fn raise_mark(&self, draft: &mut Draft<'_>, key: &LimitKey) -> Result<(), Halt> {
        let name = self.limit_name(key);
        let Some(parked) = limit(draft, &name)?.and_then(|row| row.parked) else {
            return Ok(());
        };
        let rows = draft.range_now(&ParkedKey::from(&name, parked.low), 1)?;
        let first = rows.first().and_then(|(key, _)| Parked::read_key(key).ok());
        let raised = first.map(|first| parked.raised(first.head));
        if raised.is_none() {
            draft.notice(Notice::Mended("a limit counted lines that are not there"));
        }
        if let Some(row) = limit(draft, &name)? {
            row.parked = raised;
        }
        Ok(())
    }

    fn line_name(&self, id: LineId) -> LineName {
        LineName {
            tenant: self.tenant.clone(),
            id,
        }
    }

    fn limit_name(&self, key: &LimitKey) -> LimitName {
        name(&self.tenant, key)
    }
}

/// What a line is judged by: the row where it is parked, or the line's own if that is damaged.
fn judged_by(
    draft: &mut Draft<'_>,
    parked: &ParkedKey,
    bytes: &Key,
    value: &[u8],
) -> Result<Option<ParkedRow>, Halt> {
    if let Ok(row) = Parked::read_row(value) {
        return Ok(Some(row));
    }
    let name = LineName {
        tenant: parked.limit.tenant.clone(),
        id: parked.line,
    };
    let place = |row: &LineRow| (row.at == parked.limit.key) && row.head == parked.head;
    let Some(row) = line(draft, &name)?.filter(place) else {
        draft.drop_index(TableId::Parked, bytes);
        return Ok(None);
    };
    let row = ParkedRow::from(&row);
    draft.put::<Parked>(parked, &row);
    draft.notice(Notice::Mended("the row of a parked line did not decode"));
    Ok(Some(row))
}
