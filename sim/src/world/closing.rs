//! What is done once all faults have ended: what is paused is resumed, as often as it takes, so
//! that everything can come to rest. No message is lost any more.

use silo_core::shard::command::Command;
use silo_core::shard::commands::set_limit::{LimitChange, SetLimit};
use silo_core::table::key::whole;
use silo_core::table::limit::{LimitName, LimitRow, Limits};
use silo_core::table::{Table as _, TableId};

use crate::clock::{At, MS};
use crate::cover::Mark;
use crate::world::World;
use crate::world::call::For;
use crate::world::event::Event;
use crate::world::say;

/// How often it is looked whether anything is paused.
const LOOK_EVERY: At = 500 * MS;

impl World<'_> {
    /// Whatever operators have paused or left without slots is resumed and cleared. Whoever waits
    /// for a limit that has none all the same waits for somebody to say that it has: a job says
    /// so. Nothing else helps those who wait.
    pub fn unpause(&mut self, times: u32) {
        let mut times = times;
        for (name, row) in self.limits_without_slots() {
            if let Some(change) = undone(&row) {
                self.cover.hit(Mark::ResumedInTheEnd);
                let limit = name;
                self.close_call(Command::SetLimit(SetLimit { limit, change }));
            } else if row.parked.is_some() {
                let command = say::unpause(&name, times, self.names.group(0));
                times += 1;
                self.close_call(command);
            }
        }
        let owner = self.latest.and_then(|id| self.processes.get(id as usize));
        let set = owner.map(|process| process.shadow.settings.resuming());
        for command in set.unwrap_or_default() {
            self.cover.hit(Mark::ResumedInTheEnd);
            self.close_call(command);
        }
        if times == 0 {
            // Once: that nothing differs is checked like any answer.
            times = 1;
            for tenant in self.names.tenants().to_vec() {
                self.close_call(Command::RecountLimits(tenant));
            }
        }
        self.heap.push(self.now + LOOK_EVERY, Event::Unpause(times));
    }

    fn close_call(&mut self, command: Command) {
        let timeout = self.config.network.timeout_ms * MS;
        self.call(For::Nobody, 0, command, timeout);
    }

    fn limits_without_slots(&self) -> Vec<(LimitName, LimitRow)> {
        let owner = self.latest.and_then(|id| self.processes.get(id as usize));
        let rows = owner.map(|process| process.shadow.rows());
        let limits = rows
            .into_iter()
            .flat_map(|rows| rows.map.range(whole(TableId::Limit)));
        let shut = limits.filter_map(|(key, value)| {
            let row = Limits::read_row(value).ok()?;
            let name = Limits::read_key(key).ok()?;
            (row.slots() == 0).then_some((name, row))
        });
        shut.collect()
    }
}

/// What undoes that an operator has left a limit without slots.
fn undone(row: &LimitRow) -> Option<LimitChange> {
    if row.is_paused {
        return Some(LimitChange::Resume);
    }
    (row.set == Some(0)).then_some(LimitChange::Clear)
}
