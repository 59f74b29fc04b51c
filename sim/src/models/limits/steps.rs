//! What happens in a state, and what must be true of it then.

use bytes::Bytes;
use silo_core::invariants::image::Image;
use silo_core::invariants::{check_all, check_soft, check_step};
use silo_core::shard::command::{Command, Stamp};
use silo_core::shard::commands::enqueue::Enqueue;
use silo_core::shard::commands::lease_job::LeaseJob;
use silo_core::shard::commands::report::{Outcome, Report};
use silo_core::shard::limits::search::PASSES_MAX;
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::Soft;
use silo_core::shard::{decide, fold};
use silo_core::table::codec::encode;
use silo_core::table::job::JobKey;
use silo_core::table::limit::{AdmitRow, Admits, LimitName, Limits};
use silo_core::table::line::{LineRow, Lines};
use silo_core::table::state::Position;
use silo_core::table::{Table as _, TableId};
use silo_core::types::entropy::Entropy;
use silo_core::types::limit::{Limit, Slot};
use silo_core::types::name::{JobId, LimitKey};
use silo_core::types::retention::Retention;
use silo_core::types::tenant::Tenant;
use silo_core::types::time::Millis;

use crate::models::form::{Ranks, describe};
use crate::models::jobs::{enqueue, key};
use crate::models::limits::{Action, How, Seen, Slots, Start, State, Wrong};
use crate::world::call::job_of;
use crate::world::say;

const LEASE: Millis = Millis::new(10_000);
/// Ticks that go by while everybody is to run, at the most.
const TURNS_MAX: u32 = 40;

impl State {
    /// What happens before it begins.
    pub(crate) fn begin(&mut self, model: &Slots) {
        self.recover();
        if model.start == Start::Empty {
            return;
        }
        for job in 0..model.count() {
            self.happen(model, &Action::Enqueue(job));
        }
        let (mut lines, mut admits) = (Vec::new(), Vec::new());
        let image = Image::read(&self.rows.map);
        match model.start {
            Start::Empty => {}
            Start::Passed => {
                let passes = PASSES_MAX.saturating_sub(1);
                let row =
                    |(name, row): (_, LineRow)| (Lines::key(&name), LineRow { passes, ..row });
                lines.extend(image.lines.into_iter().map(row));
            }
            Start::Left => admits.extend(name('b')),
        }
        for (key, line) in lines {
            self.rows.map.insert(key, encode(&line));
        }
        for name in admits {
            if let Some(mut row) = image.limits.get(&name).cloned() {
                row.maximum = 3;
                self.rows.map.insert(Limits::key(&name), encode(&row));
            }
            self.rows
                .map
                .insert(Admits::key(&name), encode(&AdmitRow {}));
            // Ticks find it again, and only then go on with it.
            self.soft = Soft::lost();
        }
        self.seen = Seen::default();
        self.check(None);
    }

    /// Finds again what was lost. What is to be searched is gone on with by the next tick.
    fn recover(&mut self) {
        while !self.soft.is_recovered() && self.broken.is_none() {
            self.run(&Command::Tick);
        }
    }

    pub(crate) fn happen(&mut self, model: &Slots, action: &Action) {
        let spend = |budget: &mut u8| *budget = budget.saturating_sub(1);
        match action {
            Action::Enqueue(job) => {
                self.asked |= 1 << job;
                if let Some(command) = model.enqueue(*job) {
                    self.run(&command);
                }
            }
            Action::Lease => {
                spend(&mut self.left.leases);
                self.lease();
            }
            Action::LeaseJob(job) => {
                spend(&mut self.left.people);
                let is_parked = self.is_parked(*job);
                let Command::Lease(lease) = lease() else {
                    return;
                };
                let command = Command::LeaseJob(LeaseJob {
                    key: key(*job),
                    grantee: lease.grantee,
                });
                match self.run(&command) {
                    Some(Reply::Leased(tasks)) => {
                        self.seen.out_of_turn |= is_parked;
                        self.tasks.extend(tasks.into_iter().map(|task| task.id));
                    }
                    Some(Reply::Refused(Refusal::LimitFull { .. })) => self.seen.full = true,
                    _ => {}
                }
            }
            Action::Report(index, how) => {
                spend(&mut self.left.reports);
                self.report(model, *index, *how);
            }
            Action::Cancel(job) => {
                spend(&mut self.left.people);
                self.seen.cancelled |= self.is_parked(*job);
                self.run(&Command::Cancel(key(*job)));
            }
            Action::Expedite(job) => {
                spend(&mut self.left.people);
                self.seen.expedited |= self.is_parked(*job);
                self.run(&Command::Expedite(key(*job)));
            }
            Action::Set(maximum) => {
                spend(&mut self.left.sets);
                self.set('a', *maximum);
            }
            Action::Tick => {
                if model.wrong != Some(Wrong::NobodySearches) {
                    self.run(&Command::Tick);
                }
            }
            Action::Advance => {
                spend(&mut self.left.clock);
                self.advance(model);
            }
            Action::LoseSoft => {
                spend(&mut self.left.soft);
                self.seen.lost |= self.soft.to_search().next().is_some();
                self.soft = Soft::lost();
                if model.wrong == Some(Wrong::AdmitsAreSoft) {
                    let is_admit = |key: &_| TableId::of(key) == Some(TableId::Admit);
                    self.rows.map.retain(|key, _| !is_admit(key));
                }
                self.check(None);
            }
        }
    }

    fn lease(&mut self) {
        if let Some(Reply::Leased(tasks)) = self.run(&lease()) {
            self.tasks.extend(tasks.into_iter().map(|task| task.id));
        }
    }

    /// A job that comes late says how many slots there are, and is gone.
    fn set(&mut self, limit: char, maximum: u32) {
        let (Command::Enqueue(request), Ok(id)) = (enqueue(8), JobId::parse("says")) else {
            return;
        };
        let start = self.now.wall.after(Millis::new(1_000_000));
        let request = Enqueue {
            id: Some(id.clone()),
            start_at: Some(start),
            limits: slot(limit, maximum).into_iter().collect(),
            ..*request
        };
        let says = JobKey {
            tenant: request.tenant.clone(),
            job: id,
        };
        self.run(&Command::Enqueue(Box::new(request)));
        self.run(&Command::Delete(says));
    }

    fn advance(&mut self, model: &Slots) {
        if let Some(wait) = self.soft.next_wake(self.now) {
            self.now.wall = self.now.wall.after(wait);
            self.now.uptime = self.now.uptime.after(wait);
            if model.wrong != Some(Wrong::NobodySearches) {
                self.run(&Command::Tick);
            }
        }
        // Whoever has lost its lease hears of it.
        let image = Image::read(&self.rows.map);
        self.tasks.retain(|task| {
            let state = image.states.get(&job_of(task));
            state.is_some_and(|state| state.lease().is_some_and(|lease| lease.is(task)))
        });
    }

    fn report(&mut self, model: &Slots, index: usize, how: How) {
        if index >= self.tasks.len() {
            return;
        }
        let task = self.tasks.remove(index);
        let data = Bytes::from_static(b"\xc0");
        let outcome = match how {
            How::Success => Outcome::Success { data },
            How::Failure => Outcome::Failure {
                code: "E".to_owned(),
                data,
                retryable: true,
                retry_after: None,
            },
            How::Release => Outcome::Release,
        };
        let kept = name('a').map(|name| Limits::key(&name));
        let kept = kept.and_then(|key| Some((self.rows.map.get(&key).cloned()?, key)));
        self.run(&Command::Report(Report { task, outcome }));
        if let Some((row, key)) = kept.filter(|_| model.wrong == Some(Wrong::KeepsASlot)) {
            self.rows.map.insert(key, row);
            self.check(None);
        }
    }

    fn is_parked(&self, job: u8) -> bool {
        let image = Image::read(&self.rows.map);
        let state = image.states.get(&key(job));
        state.is_some_and(|state| matches!(state.position, Position::Parked { .. }))
    }

    /// Whether all run in the end, when A and B have a slot and nobody does anything but work.
    pub(crate) fn everybody_runs(mut self, model: &Slots) -> bool {
        self.is_unchecked = true;
        for limit in ['a', 'b'] {
            let image = Image::read(&self.rows.map);
            let row = name(limit).and_then(|name| image.limits.get(&name).cloned());
            if row.is_some_and(|row| row.slots() == 0) {
                self.set(limit, 1);
            }
        }
        for _ in 0..TURNS_MAX {
            let totals = Image::read(&self.rows.map);
            let is_over = |position: &Position| matches!(position, Position::Ended { .. });
            if totals.states.values().all(|state| is_over(&state.position)) {
                return self.broken.is_none();
            }
            self.happen(model, &Action::Tick);
            self.lease();
            if self.tasks.is_empty() {
                self.advance(model);
            } else {
                self.report(model, 0, How::Success);
            }
        }
        false
    }

    fn run(&mut self, command: &Command) -> Option<Reply> {
        self.drawn += 1;
        let stamp = Stamp {
            now: self.now,
            entropy: Entropy(u128::from(self.drawn).to_be_bytes()),
            retention: Retention::FOREVER,
        };
        let before = match self.is_unchecked {
            true => Image::default(),
            false => Image::read(&self.rows.map),
        };
        match decide(&self.soft, &self.rows, &stamp, command) {
            Ok(decision) => {
                fold(&mut self.soft, &mut self.rows, &decision);
                self.check(Some((&before, command)));
                Some(decision.reply)
            }
            Err(need) => {
                self.broken = Some(format!("a complete map needs {need:?}"));
                None
            }
        }
    }

    fn check(&mut self, step: Option<(&Image, &Command)>) {
        if self.is_unchecked {
            return;
        }
        let image = Image::read(&self.rows.map);
        let mut found = check_all(&image);
        found.extend(check_soft(&image, &self.soft, self.now));
        if let Some((before, command)) = step {
            found.extend(check_step(before, &image, Some(command), self.now.wall));
            self.see(before, &image);
        }
        if !found.is_empty() && self.broken.is_none() {
            self.broken = Some(format!("{found:?}"));
        }
    }

    fn see(&mut self, before: &Image, after: &Image) {
        let seen = &mut self.seen;
        seen.parked |= !after.lines.is_empty();
        seen.joined |= after.lines.values().any(|line| line.count > 1);
        seen.ticket |= after.lines.values().any(|line| line.ticket.is_some());
        for (key, state) in &after.states {
            let was = before.states.get(key).map(|state| &state.position);
            let (from, to) = (was, &state.position);
            seen.served |= matches!(
                (from, to),
                (Some(Position::Parked { .. }), Position::Ready(_))
            );
        }
        for (name, old) in &before.lines {
            let new = after.lines.get(name);
            seen.moved |= new.is_some_and(|new| new.at != old.at);
            seen.passed |= new.is_some_and(|new| new.passes > old.passes);
            if old.ticket.is_some() && new.is_none_or(|new| new.ticket.is_none()) {
                match new {
                    Some(new) if new.count == old.count => seen.taken = true,
                    _ => seen.used = true,
                }
            }
        }
        for (name, limit) in &after.limits {
            seen.lowered |= limit.slots() > 0 && limit.held > limit.slots();
            seen.paused |= limit.slots() == 0;
            seen.kept |= limit.free() == 1
                && limit.lowest.is_some()
                && after.parked.keys().any(|row| row.limit == *name);
        }
    }
}

fn lease() -> Command {
    let group = say::Names::new(1, 1).group(0);
    say::lease(group, &say::worker("a"), 1, LEASE)
}

pub(crate) fn slot(key: char, maximum: u32) -> Option<Limit> {
    let key = LimitKey::parse(&key.to_string()).ok()?;
    Some(Limit::Concurrency(Slot { key, maximum }))
}

fn name(key: char) -> Option<LimitName> {
    let tenant = Tenant::single();
    let key = LimitKey::parse(&key.to_string()).ok()?;
    Some(LimitName { tenant, key })
}

/// What two states must share to be the same. Low-water marks are left out, as those of queues are:
/// a mark that is wrong is found where it is made.
pub(crate) fn canonical(state: &State) -> Vec<u8> {
    let mut names = Ranks::default();
    let mut text = String::new();
    describe(&state.rows, state.now.wall, &mut names, &mut text);
    let image = Image::read(&state.rows.map);
    let mut tickets: Vec<u64> = image
        .lines
        .values()
        .filter_map(|line| line.ticket)
        .collect();
    tickets.sort_unstable();
    let rank = |ticket: u64| tickets.iter().position(|known| *known == ticket);
    for (name, limit) in &image.limits {
        let (maximum, held) = (limit.maximum, limit.held);
        let is_admitted = image.admits.contains(name);
        text.push_str(&format!("{}{maximum}:{held}{is_admitted};", name.key));
    }
    for line in image.lines.values() {
        let ticket = line.ticket.map(rank);
        text.push_str(&format!(
            "{:?}{}{}{ticket:?};",
            line.wanted, line.at, line.passes
        ));
    }
    for task in &state.tasks {
        let nonce = names.rank(task.nonce);
        text.push_str(&format!("{}{}{nonce};", task.job, task.attempt));
        if let Some(lease) = state.soft.lease(&job_of(task)) {
            let left = lease.deadline.since(state.now.uptime).get();
            text.push_str(&format!("{left}{}", lease.heartbeated));
        }
    }
    for name in state.soft.to_search() {
        text.push_str(name.key.as_str());
    }
    let due = state.soft.due(&Tenant::single());
    let due = due.map(|at| at.since(state.now.wall).get());
    let (soft, left, asked) = (state.soft.recovery(), state.left, state.asked);
    let has_work = state.soft.groups().count();
    let (broken, seen) = (state.broken.is_some(), state.seen);
    text.push_str(&format!(
        "{due:?}{soft:?}{has_work}{left:?}{asked}{broken}{seen:?}"
    ));
    text.into_bytes()
}
