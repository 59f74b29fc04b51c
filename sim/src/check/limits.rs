//! Limits, on the rows that a decision has touched: what is counted moves with the jobs, lines are
//! in order and where they are looked for, nobody waits beside a free slot. Whole images are
//! checked by the core's own invariants; here each count is checked against what has moved, and
//! heads and tickets against the first rows.

use std::collections::{BTreeMap, BTreeSet};

use silo_core::invariants::image::Image;
use silo_core::shard::command::Command;
use silo_core::shard::decision::Change;
use silo_core::shard::view::Rows;
use silo_core::table::job::JobKey;
use silo_core::table::key::{Key, KeyRange};
use silo_core::table::limit::{Admits, LimitName, LimitRow, Limits, TicketKey, Tickets};
use silo_core::table::line::{
    LineName, LineRow, Lines, Parked, ParkedKey, ParkedRow, WaitPlace, WaiterKey, Waiters,
};
use silo_core::table::place::Head;
use silo_core::table::state::{Position, Return, StateRow};
use silo_core::table::{Table, TableId};
use silo_core::types::name::LimitKey;
use silo_core::types::tenant::Tenant;
use silo_runtime::executor::trace::Decided;

use crate::check::settings::Settings;
use crate::check::touched::{Job, read};
use crate::check::{Checked, Promise};
use crate::cover::{Cover, Mark};

/// Limits and lines that a decision touches, as they were before.
#[derive(Debug, Default)]
pub struct TouchedLimits {
    /// None: there was no row.
    limits: BTreeMap<LimitName, Option<LimitRow>>,
    lines: BTreeMap<LineName, Option<LineRow>>,
    /// How many jobs have joined a line, less those that have left it.
    joined: BTreeMap<LineName, i64>,
    /// Limits on which somebody was parked.
    crowded: BTreeSet<LimitName>,
}

/// The slots that a job has taken, and how many there were of each limit then, at the most.
pub type Taken = (JobKey, Vec<(LimitKey, u32)>);

/// Whether a job in this state holds its slots.
pub const fn holds(state: &StateRow) -> bool {
    match &state.position {
        Position::Ready(_) | Position::Leased(_) => true,
        Position::Due(_)
        | Position::Parked { .. }
        | Position::Ended { .. }
        | Position::Quarantined { .. } => false,
    }
}

/// The limits of a job.
pub fn names<'a>(tenant: &'a Tenant, state: &'a StateRow) -> impl Iterator<Item = LimitName> + 'a {
    state.slots.iter().map(|slot| LimitName {
        tenant: tenant.clone(),
        key: slot.key.clone(),
    })
}

impl TouchedLimits {
    /// Takes in a row that is about to be changed. What is not of a limit is none of this.
    ///
    /// # Errors
    /// What is wrong with a key.
    pub fn take(&mut self, rows: &Rows, change: &Change) -> Result<(), String> {
        let bytes = &change.key;
        let none = |error: &dyn std::fmt::Display| format!("{bytes:?}: {error}");
        match TableId::of(bytes) {
            Some(TableId::Limit) => {
                let name = Limits::read_key(bytes).map_err(|e| none(&e))?;
                self.touch_limit(rows, name);
            }
            Some(TableId::Admit) => {
                let name = Admits::read_key(bytes).map_err(|e| none(&e))?;
                self.touch_limit(rows, name);
            }
            Some(TableId::Ticket) => {
                let key = Tickets::read_key(bytes).map_err(|e| none(&e))?;
                let (tenant, id) = (key.limit.tenant.clone(), key.line);
                self.touch_line(rows, LineName { tenant, id });
                self.touch_limit(rows, key.limit);
            }
            Some(TableId::Parked) => {
                let key = Parked::read_key(bytes).map_err(|e| none(&e))?;
                let (tenant, id) = (key.limit.tenant.clone(), key.line);
                self.touch_line(rows, LineName { tenant, id });
                self.touch_limit(rows, key.limit);
            }
            Some(TableId::Line) => {
                let name = Lines::read_key(bytes).map_err(|e| none(&e))?;
                let after = change.value.as_ref().map(|value| Lines::read_row(value));
                let after = after.transpose().map_err(|e| none(&e))?;
                self.touch_line(rows, name.clone());
                for key in after.map(|row| row.wanted).unwrap_or_default() {
                    let tenant = name.tenant.clone();
                    self.touch_limit(rows, LimitName { tenant, key });
                }
            }
            Some(TableId::Waiter) => {
                let key = Waiters::read_key(bytes).map_err(|e| none(&e))?;
                let was = i64::from(rows.map.contains_key(bytes));
                let is = i64::from(change.value.is_some());
                *self.joined.entry(key.line.clone()).or_default() += is - was;
                self.touch_line(rows, key.line);
            }
            _ => {}
        }
        Ok(())
    }

    /// A job that is touched wants these, and its line is this.
    pub fn touch(&mut self, rows: &Rows, key: &JobKey, state: &StateRow) {
        for name in names(&key.tenant, state) {
            self.touch_limit(rows, name);
        }
    }

    fn touch_limit(&mut self, rows: &Rows, name: LimitName) {
        if !self.limits.contains_key(&name) {
            let row = read::<Limits>(rows, &Limits::key(&name));
            if row.as_ref().is_some_and(|row| row.parked.is_some()) {
                self.crowded.insert(name.clone());
            }
            self.limits.insert(name, row);
        }
    }

    fn touch_line(&mut self, rows: &Rows, name: LineName) {
        if self.lines.contains_key(&name) {
            return;
        }
        let row = read::<Lines>(rows, &Lines::key(&name));
        for key in row.iter().flat_map(|row| row.wanted.clone()) {
            let tenant = name.tenant.clone();
            self.touch_limit(rows, LimitName { tenant, key });
        }
        self.lines.insert(name, row);
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.lines.is_empty()
    }

    /// Whether somebody was parked on one of a job's limits before, and none of these has another
    /// maximum since: whoever comes then is not the next.
    pub fn is_behind(&self, rows: &Rows, key: &JobKey, state: &StateRow) -> bool {
        let is_same = |name: &LimitName| {
            let before = self.limits.get(name).and_then(Option::as_ref);
            let after = read::<Limits>(rows, &Limits::key(name));
            before.map(LimitRow::slots) == after.as_ref().map(LimitRow::slots)
        };
        let mut of_job = names(&key.tenant, state);
        let is_crowded = names(&key.tenant, state).any(|name| self.crowded.contains(&name));
        is_crowded && of_job.all(|name| is_same(&name))
    }

    /// What a command of one job may be told of a limit that is full.
    pub fn image(&self) -> impl Iterator<Item = (LimitName, LimitRow)> {
        let limits = self.limits.iter();
        limits.filter_map(|(name, row)| Some((name.clone(), row.clone()?)))
    }

    /// Adds the limits as they are after the decision.
    pub fn fill(&self, rows: &Rows, image: &mut Image) {
        for name in self.limits.keys() {
            if let Some(row) = read::<Limits>(rows, &Limits::key(name)) {
                image.limits.insert(name.clone(), row);
            }
        }
    }

    /// What jobs have taken, and how many slots there were then.
    pub fn taken<'a>(
        &self,
        rows: &Rows,
        jobs: impl Iterator<Item = (&'a JobKey, &'a Job)>,
        command: &Command,
    ) -> Vec<Taken> {
        let mut taken = Vec::new();
        for (key, job) in jobs {
            let Some(after) = job.after.as_ref().filter(|after| holds(after)) else {
                continue;
            };
            let had_them = match job.before.as_ref().map(|before| &before.position) {
                Some(Position::Ready(_)) => true,
                Some(Position::Leased(_)) => matches!(after.position, Position::Leased(_)),
                _ => false,
            };
            if had_them || after.slots.is_empty() {
                continue;
            }
            let slots = after.slots.iter().map(|slot| {
                let tenant = key.tenant.clone();
                let key = slot.key.clone();
                let name = LimitName { tenant, key };
                let there = read::<Limits>(rows, &Limits::key(&name)).map_or(0, |row| row.slots());
                // A job that was here before comes in under what was said before.
                let had = match command {
                    Command::Import(_) => self.limits.get(&name).and_then(Option::as_ref),
                    _ => None,
                };
                let had = had.map_or(0, LimitRow::slots);
                let said = said(command, &slot.key);
                (slot.key.clone(), there.max(said).max(had))
            });
            taken.push((key.clone(), slots.collect()));
        }
        taken
    }

    /// Checks them after the decision.
    ///
    /// # Errors
    /// [`crate::check::Violation`] with the first that does not hold.
    pub fn check<'a>(
        &self,
        (rows, settings): (&Rows, &Settings),
        jobs: impl Iterator<Item = (&'a JobKey, &'a Job)> + Clone,
        decided: &Decided,
        cover: &mut Cover,
    ) -> Checked {
        if self.is_empty() {
            return Ok(());
        }
        let wrong = |what: String| format!("{what} after {:?}", decided.command);
        for (name, before) in &self.limits {
            let after = read::<Limits>(rows, &Limits::key(name));
            let moved = moved(name, jobs.clone());
            let fine = limit(rows, name, before.as_ref(), after.as_ref(), moved);
            fine.map_err(|what| violation(wrong(what)))?;
            settings.is_of_limit(name, after.as_ref())?;
            see_limit(rows, name, before.as_ref(), after.as_ref(), cover);
        }
        for (name, before) in &self.lines {
            let after = read::<Lines>(rows, &Lines::key(name));
            let joined = self.joined.get(name).copied().unwrap_or(0);
            let fine = line(rows, name, before.as_ref(), after.as_ref(), joined);
            fine.map_err(|what| violation(wrong(what)))?;
            see_line(before.as_ref(), after.as_ref(), joined, cover);
        }
        self.in_order(rows, jobs, cover)
            .map_err(|what| violation(wrong(what)))
    }

    /// Who was served stood before all that are left of its line.
    fn in_order<'a>(
        &self,
        rows: &Rows,
        jobs: impl Iterator<Item = (&'a JobKey, &'a Job)>,
        cover: &mut Cover,
    ) -> Result<(), String> {
        for (key, job) in jobs {
            let (Some(before), Some(after)) = (&job.before, &job.after) else {
                continue;
            };
            let (Position::Parked { line, place }, Position::Ready(_)) =
                (&before.position, &after.position)
            else {
                continue;
            };
            cover.hit(Mark::ServedFromLine);
            let name = LineName {
                tenant: key.tenant.clone(),
                id: *line,
            };
            if let Some(first) = first_waiter(rows, &name)
                && first.place <= *place
            {
                return Err(format!(
                    "job {} at {place:?} was served before job {} at {:?}",
                    key.job, first.job, first.place
                ));
            }
        }
        Ok(())
    }
}

fn violation(detail: String) -> crate::check::Violation {
    crate::check::Violation {
        promise: Promise::Invariant,
        detail,
    }
}

/// The highest maximum that a command with several jobs says of a limit: each of them may say
/// another, and hold for those after it.
fn said(command: &Command, key: &LimitKey) -> u32 {
    let limits: Vec<_> = match command {
        Command::EnqueueAll(all) => all.jobs.iter().flat_map(|job| &job.limits).collect(),
        Command::Import(import) => import.jobs.iter().flat_map(|job| &job.limits).collect(),
        _ => return 0,
    };
    let of_key = limits.into_iter().filter_map(|limit| {
        let silo_core::types::limit::Limit::Concurrency(slot) = limit;
        (slot.key == *key).then_some(slot.maximum)
    });
    of_key.max().unwrap_or(0)
}

/// By how much what is held of a limit has changed, going by the jobs.
fn moved<'a>(name: &LimitName, jobs: impl Iterator<Item = (&'a JobKey, &'a Job)>) -> i64 {
    let mut moved = 0;
    for (key, job) in jobs.filter(|(key, _)| key.tenant == name.tenant) {
        let of = |state: &Option<StateRow>| {
            let state = state.as_ref().filter(|state| holds(state));
            state.is_some_and(|state| names(&key.tenant, state).any(|of| of == *name))
        };
        moved += i64::from(of(&job.after)) - i64::from(of(&job.before));
    }
    moved
}

fn count(rows: &Rows, range: KeyRange) -> usize {
    rows.map.range(range).count()
}

fn first<T: Table>(rows: &Rows, range: KeyRange) -> Option<T::Key> {
    let (key, _) = rows.map.range::<Key, _>(range).next()?;
    T::read_key(key).ok()
}

fn first_waiter(rows: &Rows, name: &LineName) -> Option<WaiterKey> {
    first::<Waiters>(rows, WaiterKey::from(name, lowest_place()))
}

fn lowest_place() -> WaitPlace {
    use silo_core::table::place::Place;
    use silo_core::types::name::Priority;
    use silo_core::types::time::Timestamp;
    let place = Place {
        at: Timestamp::MIN,
        seq: 0,
    };
    WaitPlace::expedited(Priority::parse(0).unwrap_or_default(), place)
}

fn limit(
    rows: &Rows,
    name: &LimitName,
    before: Option<&LimitRow>,
    after: Option<&LimitRow>,
    moved: i64,
) -> Result<(), String> {
    let held = |row: Option<&LimitRow>| row.map_or(0, |row| i64::from(row.held));
    if held(after) - held(before) != moved {
        return Err(format!(
            "{name:?}: {} held, then {}, and {moved} have moved",
            held(before),
            held(after)
        ));
    }
    let is_admitted = rows.map.contains_key(&Admits::key(name));
    let lines = count(rows, ParkedKey::all(name));
    let known = after.and_then(|row| row.parked);
    let is_first = first::<Parked>(rows, ParkedKey::all(name))
        .is_none_or(|first| known.is_some_and(|head: Head<WaitPlace>| head.low <= first.head));
    if known.map_or(0, |head| head.count) != lines as u64 || !is_first {
        return Err(format!("{name:?}: {known:?}, with {lines} lines"));
    }
    let tickets = count(rows, TicketKey::all(name));
    let lowest =
        first::<Tickets>(rows, TicketKey::all(name)).map(|ticket| (ticket.ticket, ticket.line));
    let Some(after) = after else {
        return match tickets {
            0 => Ok(()),
            _ => Err(format!("{name:?}: {tickets} tickets and no row")),
        };
    };
    if (after.tickets as usize, after.lowest) != (tickets, lowest) {
        return Err(format!("{name:?}: {after:?}, with {tickets} of {lowest:?}"));
    }
    if !after.is_used() {
        return Err(format!("{name:?} is not in use and has a row"));
    }
    if after.slots() == 0 && tickets > 0 && !is_admitted {
        return Err(format!("{name:?} is paused, and wanted by tickets"));
    }
    if after.free() > 0 && !is_admitted {
        for (bytes, _) in rows.map.range(ParkedKey::all(name)) {
            let line = Parked::read_key(bytes).map(|parked| parked.line).ok();
            if after.fits(line) {
                return Err(format!("{name:?}: {after:?} has a slot for {line:?}"));
            }
        }
    }
    Ok(())
}

fn line(
    rows: &Rows,
    name: &LineName,
    before: Option<&LineRow>,
    after: Option<&LineRow>,
    joined: i64,
) -> Result<(), String> {
    let jobs = |row: Option<&LineRow>| row.map_or(0, |row| row.count as i64);
    if jobs(after) - jobs(before) != joined || after.is_some_and(|row| row.count == 0) {
        return Err(format!("{name:?}: {before:?}, {joined} more, {after:?}"));
    }
    let first = first_waiter(rows, name).map(|first| (first.place, first.job));
    if first != after.map(|row| (row.head, row.first.clone())) {
        return Err(format!("{name:?}: {after:?}, and the first is {first:?}"));
    }
    let place = |row: &LineRow| {
        let key = ParkedKey {
            limit: of(name, &row.at),
            head: row.head,
            line: name.id,
        };
        Parked::key(&key)
    };
    if let Some(before) = before
        && after.map(place) != Some(place(before))
        && rows.map.contains_key(&place(before))
    {
        return Err(format!("{name:?} stands where it was: {before:?}"));
    }
    let Some(after) = after else { return Ok(()) };
    let parked = ParkedRow {
        wanted: after.wanted.clone(),
        first: after.first.clone(),
    };
    if read::<Parked>(rows, &place(after)) != Some(parked) || !after.wanted.contains(&after.at) {
        return Err(format!("{name:?} does not stand where it is: {after:?}"));
    }
    for key in &after.wanted {
        let range = TicketKey::all(&of(name, key));
        let mine = rows.map.range(range).filter_map(|(bytes, _)| {
            let ticket = Tickets::read_key(bytes).ok()?;
            (ticket.line == name.id).then_some(ticket.ticket)
        });
        let mine: Vec<u64> = mine.collect();
        if mine != Vec::from_iter(after.ticket) {
            return Err(format!(
                "{name:?}: {after:?}, with tickets {mine:?} at {key}"
            ));
        }
    }
    Ok(())
}

fn of(name: &LineName, key: &LimitKey) -> LimitName {
    LimitName {
        tenant: name.tenant.clone(),
        key: key.clone(),
    }
}

fn see_limit(
    rows: &Rows,
    name: &LimitName,
    before: Option<&LimitRow>,
    after: Option<&LimitRow>,
    cover: &mut Cover,
) {
    if rows.map.contains_key(&Admits::key(name)) {
        cover.hit(Mark::SearchLeftRest);
    }
    if let (Some(before), Some(after)) = (before, after) {
        if after.is_set() && (after.held, after.lines) == (0, 0) && before.held > 0 {
            cover.hit(Mark::SetOfUnused);
        }
        let is_over = |row: &LimitRow| row.slots() > 0 && row.held > row.slots();
        if is_over(after) && !is_over(before) {
            cover.hit(Mark::LoweredBelowHeld);
        }
        if after.slots() == 0 && before.slots() > 0 {
            cover.hit(Mark::LimitPaused);
        }
        if after.slots() > 0 && before.slots() == 0 {
            cover.hit(Mark::LimitResumed);
        }
    }
}

fn see_line(before: Option<&LineRow>, after: Option<&LineRow>, joined: i64, cover: &mut Cover) {
    let ticket = |row: Option<&LineRow>| row.and_then(|row| row.ticket);
    if ticket(after).is_some() && ticket(before).is_none() {
        cover.hit(Mark::TicketGiven);
    }
    if ticket(before).is_some() && ticket(after).is_none() {
        cover.hit(if joined < 0 {
            Mark::TicketUsed
        } else {
            Mark::TicketTaken
        });
    }
    if let (Some(before), Some(after)) = (before, after)
        && before.at != after.at
    {
        cover.hit(Mark::LineMoved);
    }
}

/// Whether a limit has no slot for a job that asks for it out of turn.
pub fn is_full(rows: &Rows, key: &JobKey, state: &StateRow, limit: &LimitKey) -> bool {
    let line = match &state.position {
        Position::Parked { line, .. } => Some(*line),
        _ => None,
    };
    let Some(slot) = state.slots.iter().find(|slot| slot.key == *limit) else {
        return false;
    };
    let name = LimitName {
        tenant: key.tenant.clone(),
        key: limit.clone(),
    };
    match read::<Limits>(rows, &Limits::key(&name)) {
        Some(row) => !row.fits(line),
        None => slot.maximum == 0,
    }
}

/// Whether two states are the same but for where the job stands, and where it waited.
pub fn is_served(before: &StateRow, after: &StateRow) -> bool {
    let Position::Parked { place, .. } = before.position else {
        return false;
    };
    let moved = StateRow {
        position: after.position.clone(),
        waited: Some(place),
        changed_at: after.changed_at,
        ..before.clone()
    };
    moved == *after
}

/// Whether a job that was given back without an outcome stands where it had waited.
pub fn stands_again(job: &Job) -> bool {
    let (Some(before), Some(after)) = (&job.before, &job.after) else {
        return true;
    };
    let is_back = before.lease().is_some() && before.returned != after.returned;
    let how = after.returned.map(|returned| returned.how);
    let is_as_before = matches!(how, Some(Return::Released | Return::Lost));
    let Some(waited) = before.waited.filter(|_| is_back && is_as_before) else {
        return true;
    };
    match &after.position {
        Position::Parked { place, .. } => *place == waited,
        Position::Ended { .. } => true,
        _ => after.waited == Some(waited),
    }
}

/// Whether others may be served by this: whatever may free a slot.
pub const fn may_serve(command: &Command) -> bool {
    match command {
        Command::Enqueue(_)
        | Command::EnqueueAll(_)
        | Command::Import(_)
        | Command::Report(_)
        | Command::Cancel(_)
        | Command::Delete(_)
        | Command::LeaseJob(_)
        | Command::SetLimit(_)
        | Command::RecountLimits(_)
        | Command::Tick => true,
        Command::Lease(_)
        | Command::Heartbeat(_)
        | Command::Restart(_)
        | Command::Expedite(_)
        | Command::List(_)
        | Command::ListSetAside(_)
        | Command::Get(_)
        | Command::Result(_)
        | Command::Explain(_)
        | Command::ListLimits(_)
        | Command::ShowLimit(_)
        | Command::SetTenant(_)
        | Command::GetTenant(_)
        | Command::SetQueue(_)
        | Command::ListPaused
        | Command::SetAside(_) => false,
    }
}
