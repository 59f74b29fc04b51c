//! Turns. While a tenant has ready jobs in a task group that may be leased, no other one gets more
//! tasks of it than its weight says before this one gets its next: one turn of the ring; and nobody
//! else gets a task in the middle of a turn of a tenant that has ready jobs all the time. A weight
//! that is changed meanwhile counts as the highest that it was when a task went out, and says
//! nothing of how long the turn must be. Within a tenant tasks go out in order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use silo_core::shard::command::Command;
use silo_core::shard::reply::{Reply, Task};
use silo_core::shard::view::Rows;
use silo_core::table::Table;
use silo_core::table::place::Place;
use silo_core::table::ready::{Readies, ReadyKey};
use silo_core::table::tenant::{Queue, Tenants};
use silo_core::types::name::{Priority, TaskGroup};
use silo_core::types::tenant::Tenant;
use silo_core::types::time::Timestamp;
use silo_runtime::executor::trace::Decided;

use crate::check::shadow::Shadow;
use crate::check::{Checked, Promise, ensure};
use crate::cover::{Cover, Mark};
use crate::world::event::ProcessId;

/// Tasks that others got while a tenant waited for its turn, and what they weighed at the most.
type Passed = BTreeMap<Tenant, (u32, u32)>;

/// Whose turn it is, by process.
#[derive(Debug, Default)]
pub struct Fairness {
    rings: BTreeMap<ProcessId, Rings>,
    checked: u64,
}

/// What is known of the turns of one process.
#[derive(Debug, Default)]
struct Rings {
    waiting: BTreeMap<(TaskGroup, Tenant), Passed>,
    /// Whose turn it is of each task group, as far as somebody has begun one.
    turns: BTreeMap<TaskGroup, Turn>,
    /// The task groups of which tasks have gone out since: the first ones may have gone out in the
    /// middle of a turn.
    known: BTreeSet<TaskGroup>,
}

/// A turn that has begun.
#[derive(Debug)]
struct Turn {
    of: Tenant,
    got: u32,
    weight: u32,
    /// Whether its beginning was seen, and its weight has stayed as it was since.
    is_whole: bool,
}

impl Fairness {
    /// How many turns were checked.
    pub const fn checked(&self) -> u64 {
        self.checked
    }

    /// The ring of a process was lost.
    pub fn reset(&mut self, process: ProcessId) {
        self.rings.remove(&process);
    }

    /// A decision: who got something, and who waits from now on.
    ///
    /// # Errors
    /// [`crate::check::Violation`] when somebody was passed over, or jobs out of order.
    pub fn decided(
        &mut self,
        process: ProcessId,
        shadow: &Shadow,
        decided: &Decided,
        cover: &mut Cover,
    ) -> Checked {
        if !shadow.is_recovered() {
            return Ok(());
        }
        let rings = self.rings.entry(process).or_default();
        let mut begins = Vec::new();
        for change in &decided.decision.changes {
            let Ok(tenant) = Tenants::read_key(&change.key) else {
                continue;
            };
            let row = change
                .value
                .as_ref()
                .and_then(|v| Tenants::read_row(v).ok());
            begins.push((tenant, row.map(|row| row.groups()).unwrap_or_default()));
        }
        rings.leave(&begins);
        if let (Command::Lease(lease), Reply::Leased(tasks)) =
            (&decided.command, &decided.decision.reply)
        {
            let waiters = rings.waiting.keys().filter(|(of, _)| *of == lease.group);
            if waiters.count() > 1 && !tasks.is_empty() {
                cover.hit(Mark::SharedOut);
            }
            for task in tasks {
                self.checked += 1;
                let tenant = &task.id.tenant;
                let weight = shadow.settings.weight(tenant, &lease.weights);
                rings.served(&lease.group, (tenant, weight), cover)?;
            }
            in_order(shadow.rows(), &lease.group, tasks)?;
            // Whoever had its last job leased begins anew when it comes back.
            rings.leave(&begins);
        }
        for (tenant, groups) in begins {
            for group in groups {
                rings.waiting.entry((group, tenant.clone())).or_default();
            }
        }
        Ok(())
    }
}

impl Rings {
    /// These tenants have ready work of these task groups, and of no others.
    fn leave(&mut self, rows: &[(Tenant, Vec<TaskGroup>)]) {
        for (tenant, groups) in rows {
            self.waiting
                .retain(|(group, of), _| of != tenant || groups.contains(group));
            self.turns
                .retain(|group, turn| turn.of != *tenant || groups.contains(group));
        }
    }

    fn served(
        &mut self,
        group: &TaskGroup,
        (tenant, weight): (&Tenant, u32),
        cover: &mut Cover,
    ) -> Checked {
        let of_group = |((of, _), _): &(&(TaskGroup, Tenant), &mut Passed)| of == group;
        for ((_, waiter), passed) in self.waiting.iter_mut().filter(of_group) {
            if waiter == tenant {
                passed.clear();
                continue;
            }
            let (count, most) = passed.entry(tenant.clone()).or_default();
            *count += 1;
            *most = weight.max(*most);
            if *count > 1 {
                cover.hit(Mark::LongTurn);
            }
            ensure(*count <= *most, Promise::Fairness, || {
                format!("{waiter} waits in {group}, {tenant} of {most} got {count} meanwhile")
            })?;
        }
        self.goes_on(group, tenant, weight)
    }

    /// A turn goes on, or another begins: then the one before had got what it weighs.
    fn goes_on(&mut self, group: &TaskGroup, tenant: &Tenant, weight: u32) -> Checked {
        let begun = self.turns.remove(group);
        let mut turn = Turn {
            of: tenant.clone(),
            got: 0,
            weight,
            is_whole: !self.known.insert(group.clone()),
        };
        match begun {
            Some(begun) if begun.of == *tenant => turn = begun,
            Some(begun) => {
                let waits = (group.clone(), begun.of.clone());
                let is_cut = begun.is_whole && self.waiting.contains_key(&waits);
                ensure(!is_cut, Promise::Fairness, || {
                    format!(
                        "{} of {} got {} tasks in {group} and has more: it is {tenant}'s turn",
                        begun.of, begun.weight, begun.got
                    )
                })?;
            }
            None => {}
        }
        turn.got += 1;
        turn.is_whole &= turn.weight == weight;
        // One that is not whole is over when somebody else has a turn.
        if turn.got < turn.weight || !turn.is_whole {
            self.turns.insert(group.clone(), turn);
        }
        Ok(())
    }
}

/// The tasks of each tenant are its first ones.
fn in_order(rows: &Rows, group: &TaskGroup, tasks: &[Task]) -> Checked {
    let mut of_tenants: BTreeMap<&Tenant, Vec<&Task>> = BTreeMap::new();
    for task in tasks {
        of_tenants.entry(&task.id.tenant).or_default().push(task);
    }
    for (tenant, got) in of_tenants {
        let queue = Queue {
            group: group.clone(),
            priority: Priority::default(),
        };
        let first = Place {
            at: Timestamp::MIN,
            seq: 0,
        };
        let start = ReadyKey::from(tenant, &queue, first).start;
        let ready = rows.map.range((Bound::Included(start), Bound::Unbounded));
        for ((key, _), task) in ready.zip(got) {
            let is_it = Readies::read_key(key)
                .is_ok_and(|ready| ready.tenant == *tenant && ready.job == task.id.job);
            ensure(is_it, Promise::Fairness, || {
                format!("job {} of {tenant} went out of order", task.id.job)
            })?;
        }
    }
    Ok(())
}
