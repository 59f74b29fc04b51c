//! Limits that are broken, and whoever waits for them.

use silo_core::shard::command::Command;
use silo_core::shard::commands::enqueue::{Enqueue, EnqueueAll};
use silo_core::table::limit::{
    AdmitRow, Admits, LimitName, LimitRow, Limits, TicketKey, TicketRow, Tickets,
};
use silo_core::table::line::{LineName, Lines, WaiterKey, WaiterRow, Waiters};
use silo_core::table::place::Spot as _;
use silo_core::table::state::{Position, States};
use silo_core::table::tenant::Tenants;

use crate::common::breaks::{Break, World, broken, t};
use crate::common::{limit_key, limited, tenant};

impl World {
    fn limit(&self, key: &str) -> LimitName {
        LimitName {
            tenant: tenant("t"),
            key: limit_key(key),
        }
    }

    /// The line in which two jobs wait.
    fn line(&self) -> LineName {
        let Position::Parked { line, .. } = self.position("first") else {
            panic!("a job that waits for a slot");
        };
        LineName {
            tenant: tenant("t"),
            id: line,
        }
    }

    /// The line has the ticket 0, as rows say so far.
    fn give_ticket(&mut self) {
        let name = self.line();
        self.edit::<Lines>(&name, |row| row.ticket = Some(0));
        for key in ["a", "b"] {
            let limit = self.limit(key);
            let row = TicketKey {
                limit: limit.clone(),
                ticket: 0,
                line: name.id,
            };
            self.put::<Tickets>(&row, &TicketRow {});
            self.edit::<Limits>(&limit, |row| {
                row.tickets = 1;
                row.lowest = Some((0, name.id));
            });
        }
    }
}

pub(crate) const BREAKS: &[Break] = &[
    broken("SILO-LIMIT-1", "a slot that nobody holds", |w| {
        w.edit::<Limits>(&w.limit("b"), |row| row.held = 2);
    }),
    broken("SILO-LIMIT-1", "a slot that is not counted", |w| {
        w.edit::<Limits>(&w.limit("a"), |row| row.held = 0);
    }),
    broken(
        "SILO-LIMIT-1",
        "a job that wants what it did not ask for",
        |w| {
            w.edit::<States>(&t("holds"), |state| {
                state.slots.pop();
            });
        },
    ),
    broken("SILO-LIMIT-2", "one slot too many", |w| {
        w.before.limits.get_mut(&w.limit("b")).unwrap().held = 0;
        w.edit::<Limits>(&w.limit("b"), |row| row.set = Some(0));
    }),
    broken(
        "SILO-LIMIT-2",
        "one slot too many, of what others say of others",
        |w| {
            w.before.limits.get_mut(&w.limit("b")).unwrap().held = 0;
            w.edit::<Limits>(&w.limit("b"), |row| row.maximum = 0);
            let of_other_tenant = Enqueue {
                tenant: tenant("u"),
                ..limited("2", &[("b", 9)])
            };
            let jobs = vec![limited("1", &[("b", 0), ("c", 9)]), of_other_tenant];
            w.command = Command::EnqueueAll(EnqueueAll { jobs });
        },
    ),
    broken("SILO-LIMIT-3", "a line that counts too many", |w| {
        w.edit::<Lines>(&w.line(), |row| row.count += 1);
    }),
    broken("SILO-LIMIT-3", "a line that is parked elsewhere", |w| {
        w.edit::<Lines>(&w.line(), |row| row.at = limit_key("b"));
    }),
    broken("SILO-LIMIT-3", "a line that is not its jobs'", |w| {
        w.edit::<Lines>(&w.line(), |row| row.wanted = vec![limit_key("a")]);
    }),
    broken("SILO-LIMIT-3", "a mark above a line", |w| {
        w.edit::<Limits>(&w.limit("a"), |row| {
            let head = row.parked.unwrap();
            row.parked = Some(head.raised(head.low.next()));
        });
    }),
    broken(
        "SILO-LIMIT-3",
        "a line that is not counted where it is not parked",
        |w| {
            w.edit::<Limits>(&w.limit("b"), |row| row.lines = 0);
        },
    ),
    broken("SILO-LIMIT-3", "a limit that nobody uses", |w| {
        w.put::<Limits>(&w.limit("c"), &LimitRow::new(1));
    }),
    broken("SILO-LIMIT-4", "a line beside a free slot", |w| {
        w.edit::<Limits>(&w.limit("a"), |row| row.maximum = 2);
    }),
    broken("SILO-LIMIT-5", "a slot that was kept is taken", |w| {
        w.give_ticket();
        w.before = w.shard.image();
        w.edit::<Limits>(&w.limit("b"), |row| row.held += 1);
    }),
    broken("SILO-LIMIT-6", "a ticket without a row", |w| {
        w.edit::<Lines>(&w.line(), |row| row.ticket = Some(0));
    }),
    broken("SILO-LIMIT-6", "another lowest ticket", |w| {
        w.give_ticket();
        w.edit::<Limits>(&w.limit("b"), |row| row.lowest = None);
    }),
    broken("SILO-LIMIT-6", "a slot is kept beside a pause", |w| {
        w.give_ticket();
        w.edit::<Limits>(&w.limit("a"), |row| row.is_paused = true);
    }),
    broken("SILO-TEN-3", "a ticket that is yet to be drawn", |w| {
        w.give_ticket();
        w.edit::<Tenants>(&tenant("t"), |row| row.next_seq = 0);
    }),
    broken("SILO-IDX-1", "a waiter row of another job", |w| {
        let name = w.line();
        let head = w.shard.image().lines[&name].head;
        let row = WaiterKey::of(&t("ready"), name.id, head);
        w.put::<Waiters>(&row, &WaiterRow {});
    }),
    broken("SILO-SOFT-1", "a limit to search that nobody knows", |w| {
        w.put::<Admits>(&w.limit("a"), &AdmitRow {});
    }),
];
