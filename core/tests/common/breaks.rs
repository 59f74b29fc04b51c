//! For each registered invariant, states that break it. The tests run each of these, and fail when
//! a registered invariant has none, so the table cannot go stale.

mod limits;

use bytes::Bytes;
use silo_core::invariants::image::Image;
use silo_core::invariants::{Violation, check_all, check_soft, check_step};
use silo_core::shard::command::Command;
use silo_core::shard::decision::Decision;
use silo_core::shard::fold;
use silo_core::shard::refusal::Refusal;
use silo_core::shard::reply::Reply;
use silo_core::shard::soft::{Soft, SoftStep};
use silo_core::table::attempt::{AttemptEnd, AttemptKey, Attempts, Ending};
use silo_core::table::codec::encode;
use silo_core::table::due::{DueKey, DueRow, Dues};
use silo_core::table::expiry::{Expiries, ExpiryRow};
use silo_core::table::job::{JobKey, Jobs};
use silo_core::table::key::Key;
use silo_core::table::payload::PayloadKey;
use silo_core::table::place::{Place, Spot as _};
use silo_core::table::quarantine::{QuarantineRow, Quarantines};
use silo_core::table::ready::{Readies, ReadyKey, ReadyRow};
use silo_core::table::running::{RunningRow, Runnings};
use silo_core::table::singleton::{PausedQueues, PausedQueuesKey};
use silo_core::table::state::{Ended, Position, States};
use silo_core::table::tenant::Tenants;
use silo_core::table::{Table, TableId};
use silo_core::types::data::Data;
use silo_core::types::time::{Millis, Timestamp};

use crate::common::{
    LEASE, Shard, failure, heartbeat, job, kept, lease_job, limited, of_tenant, pause_queue, plain,
    queue, retrying, success, tenant,
};

/// A way to break a shard in which everything holds.
pub struct Break {
    /// What must be reported.
    pub sigil: &'static str,
    /// What is done to it.
    pub name: &'static str,
    break_it: fn(&mut World),
}

/// A shard, and what the checks compare it with.
pub struct World {
    shard: Shard,
    before: Image,
    /// What is said to have been done.
    command: Command,
}

impl World {
    /// Jobs in every position: ready, due, leased, retried, failed, succeeded, with large data.
    fn new() -> Self {
        let mut shard = Shard::new();
        let large = Bytes::from(vec![7; 5000]);
        let mut succeeded = plain("succeeded");
        succeeded.payload = large.clone();
        shard.enqueue(succeeded);
        let task = shard.lease_one();
        shard.report(&task.id, success());
        shard.enqueue(retrying("retried", 3));
        for _ in 0..2 {
            let task = shard.lease_one();
            shard.report(&task.id, failure());
            shard.pass(5000);
        }
        shard.lease_one();
        shard.enqueue(plain("leased"));
        shard.lease_one();
        let mut due = plain("due");
        due.start_at = Some(Timestamp::from_millis(shard.now + 60_000));
        shard.enqueue(due);
        shard.enqueue(plain("ready"));
        shard.enqueue(of_tenant("u", "other"));
        for id in ["holds", "first", "second"] {
            shard.enqueue(limited(id, &[("a", 1), ("b", 2)]));
        }
        let over = shard.enqueue(kept("kept", 60_000));
        shard.cancel(&over);
        let failed = shard.enqueue(plain("failed"));
        if let Reply::Leased(tasks) = shard.run(&lease_job(&failed)) {
            shard.report(&tasks[0].id, failure());
        }
        let before = shard.image();
        let command = Command::Tick;
        Self {
            shard,
            before,
            command,
        }
    }

    /// Everything that the checks say.
    pub fn violations(&self) -> Vec<Violation> {
        let image = self.shard.image();
        let now = Timestamp::from_millis(self.shard.now);
        let mut violations = check_all(&image);
        violations.extend(check_step(&self.before, &image, Some(&self.command), now));
        violations.extend(check_soft(&image, &self.shard.soft, self.shard.time()));
        violations
    }

    fn put<T: Table>(&mut self, key: &T::Key, row: &T::Row) {
        self.shard.rows.map.insert(T::key(key), encode(row));
    }

    fn edit<T: Table>(&mut self, key: &T::Key, edit: impl FnOnce(&mut T::Row)) {
        let mut row = T::read_row(&self.shard.rows.map[&T::key(key)]).unwrap();
        edit(&mut row);
        self.put::<T>(key, &row);
    }

    fn remove(&mut self, key: &Key) {
        assert!(self.shard.rows.map.remove(key).is_some(), "{key:?}");
    }

    fn position(&self, id: &str) -> Position {
        self.shard.state(&job("t", id)).position
    }

    fn ready_row(&self) -> ReadyKey {
        let Position::Ready(place) = self.position("ready") else {
            panic!("a ready job");
        };
        ReadyKey::of(&job("t", "ready"), &queue("g", 10), place)
    }

    fn expiry_row(&self) -> DueKey {
        let Position::Ended { expires, .. } = self.position("kept") else {
            panic!("a job that has ended");
        };
        DueKey::of(&job("t", "kept"), expires.expect("kept for a while"))
    }

    /// Has soft state learn something that is not so.
    fn step(&mut self, step: SoftStep) {
        let mut decision = Decision::refused(Refusal::TenantDamaged(tenant("none")));
        decision.steps.push(step);
        fold(&mut self.shard.soft, &mut self.shard.rows, &decision);
    }

    /// Takes every row of a job away but those of its tenant.
    fn erase(&mut self, id: &str) {
        let key = t(id);
        self.shard.is_checked = false;
        self.shard.delete(&key);
        assert!(!self.shard.has_rows(&key), "{id} is gone");
    }

    fn due_row(&self) -> DueKey {
        let Position::Due(place) = self.position("due") else {
            panic!("a due job");
        };
        DueKey::of(&job("t", "due"), place)
    }
}

impl Break {
    /// What the checks say of a sound shard after this was done to it.
    pub fn violations(&self) -> Vec<Violation> {
        let mut world = World::new();
        assert_eq!(world.violations(), Vec::new(), "sound before");
        (self.break_it)(&mut world);
        world.violations()
    }
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Break> {
    BREAKS.iter().chain(limits::BREAKS)
}

fn t(id: &str) -> JobKey {
    job("t", id)
}

const fn place(at: i64, seq: u64) -> Place {
    let at = Timestamp::from_millis(at);
    Place { at, seq }
}

const fn broken(sigil: &'static str, name: &'static str, break_it: fn(&mut World)) -> Break {
    Break {
        sigil,
        name,
        break_it,
    }
}

/// Every way to break a shard that must be noticed.
const BREAKS: &[Break] = &[
    broken("SILO-JOB-1", "a ready job loses its row", |w| {
        let key = Readies::key(&w.ready_row());
        w.remove(&key);
    }),
    broken("SILO-JOB-1", "a ready job is due as well", |w| {
        let key = DueKey::of(&t("ready"), place(1, 1));
        w.put::<Dues>(&key, &DueRow::Start);
    }),
    broken("SILO-JOB-1", "an ended job has a lease", |w| {
        let row = RunningRow {
            attempt: 1,
            nonce: 1,
            duration: Millis::new(LEASE),
        };
        w.put::<Runnings>(&t("succeeded"), &row);
    }),
    broken("SILO-JOB-1", "an ended job loses its expiry row", |w| {
        let key = Expiries::key(&w.expiry_row());
        w.remove(&key);
    }),
    broken("SILO-JOB-1", "a job kept for ever has an expiry row", |w| {
        let key = DueKey::of(&t("succeeded"), place(1, 1));
        w.put::<Expiries>(&key, &ExpiryRow {});
    }),
    broken("SILO-JOB-1", "a leased job loses its row", |w| {
        w.remove(&Runnings::key(&t("leased")));
    }),
    broken("SILO-JOB-2", "a job loses its description", |w| {
        w.remove(&Jobs::key(&t("ready")));
    }),
    broken("SILO-JOB-2", "a job loses its state", |w| {
        w.remove(&States::key(&t("succeeded")));
    }),
    broken("SILO-JOB-2", "a job waits elsewhere", |w| {
        w.edit::<States>(&t("ready"), |s| s.queue = queue("h", 10));
    }),
    broken("SILO-IDX-1", "a ready row of no job", |w| {
        let key = ReadyKey::of(&t("nobody"), &queue("g", 10), place(1, 1));
        w.put::<Readies>(&key, &ReadyRow {});
    }),
    broken(
        "SILO-IDX-1",
        "a due row of a job due at another time",
        |w| {
            let old = w.due_row();
            w.remove(&Dues::key(&old));
            let key = DueKey::of(&t("due"), place(1, 1));
            w.put::<Dues>(&key, &DueRow::Start);
        },
    ),
    broken("SILO-IDX-1", "an expiry row of another time", |w| {
        let old = w.expiry_row();
        w.remove(&Expiries::key(&old));
        w.put::<Expiries>(&DueKey::of(&t("kept"), place(1, 1)), &ExpiryRow {});
    }),
    broken("SILO-IDX-1", "a ready row of another queue", |w| {
        w.edit::<States>(&t("ready"), |s| s.queue = queue("h", 10));
    }),
    broken("SILO-IDX-1", "a running row of another lease", |w| {
        w.edit::<Runnings>(&t("leased"), |row| row.nonce ^= 1);
    }),
    broken("SILO-IDX-2", "a mark above a row", |w| {
        let row = w.ready_row();
        w.edit::<Tenants>(&tenant("t"), |tenant| {
            let head = tenant.ready.get_mut(&row.queue).unwrap();
            head.low = row.place.next();
        });
    }),
    broken("SILO-IDX-2", "a due head that counts one too many", |w| {
        w.edit::<Tenants>(&tenant("t"), |tenant| {
            tenant.due.as_mut().unwrap().count += 1;
        });
    }),
    broken("SILO-IDX-2", "an expiry mark above a row", |w| {
        let row = w.expiry_row();
        w.edit::<Tenants>(&tenant("t"), |tenant| {
            tenant.expiry.as_mut().unwrap().low = row.place.next();
        });
    }),
    broken("SILO-IDX-2", "expiry rows without a head", |w| {
        w.edit::<Tenants>(&tenant("t"), |tenant| tenant.expiry = None);
    }),
    broken("SILO-IDX-2", "rows without a head", |w| {
        w.edit::<Tenants>(&tenant("t"), |tenant| tenant.ready.clear());
    }),
    broken("SILO-IDX-2", "a head without rows", |w| {
        let key = Dues::key(&w.due_row());
        w.remove(&key);
    }),
    broken("SILO-TEN-1", "a tally one too high", |w| {
        w.edit::<Tenants>(&tenant("t"), |tenant| tenant.tallies.failed += 1);
    }),
    broken("SILO-TEN-2", "jobs of a tenant without a row", |w| {
        w.remove(&Tenants::key(&tenant("u")));
    }),
    broken("SILO-TEN-2", "a tenant without jobs", |w| {
        w.put::<Tenants>(&tenant("v"), &Default::default());
    }),
    broken("SILO-TEN-3", "a place is drawn twice", |w| {
        w.edit::<Tenants>(&tenant("t"), |tenant| tenant.next_seq = 1);
    }),
    broken("SILO-LEASE-1", "a running row of another duration", |w| {
        w.edit::<Runnings>(&t("leased"), |row| row.duration = Millis::new(1));
    }),
    broken("SILO-LEASE-1", "a lease without its attempt", |w| {
        w.edit::<States>(&t("leased"), |state| state.last = None);
    }),
    broken("SILO-LEASE-1", "an attempt of another lease", |w| {
        w.edit::<States>(&t("leased"), |s| s.last.as_mut().unwrap().nonce ^= 1);
    }),
    broken("SILO-ATT-1", "an earlier attempt is missing", |w| {
        w.remove(&Attempts::key(&AttemptKey::of(&t("retried"), 1)));
    }),
    broken("SILO-ATT-1", "an earlier attempt has not ended", |w| {
        w.edit::<Attempts>(&AttemptKey::of(&t("retried"), 2), |a| a.end = None);
    }),
    broken("SILO-ATT-1", "an earlier attempt has another number", |w| {
        w.edit::<Attempts>(&AttemptKey::of(&t("retried"), 1), |a| a.number = 2);
    }),
    broken("SILO-ATT-1", "an attempt of no job", |w| {
        let attempt = w.before.states[&t("succeeded")].last.clone().unwrap();
        w.put::<Attempts>(&AttemptKey::of(&t("nobody"), 1), &attempt);
    }),
    broken("SILO-ATT-1", "an attempt too few is counted", |w| {
        w.edit::<States>(&t("succeeded"), |state| state.attempts_ended = 0);
    }),
    broken("SILO-ATT-1", "an earlier attempt than is kept", |w| {
        w.edit::<States>(&t("retried"), |state| state.attempts_from = 2);
    }),
    broken("SILO-ATT-1", "an open attempt that is not leased", |w| {
        w.edit::<States>(&t("succeeded"), |state| {
            state.last.as_mut().unwrap().end = None;
            state.attempts_ended = 0;
        });
    }),
    broken(
        "SILO-ATT-1",
        "more attempts of earlier runs than of all",
        |w| {
            w.edit::<States>(&t("retried"), |state| {
                state.attempts_before = state.attempts_ended + 1;
            });
        },
    ),
    broken("SILO-ATT-1", "more earlier attempts than are kept", |w| {
        let mut attempt = w.before.states[&t("succeeded")].last.clone().unwrap();
        for number in 1..=1001 {
            attempt.number = number;
            w.put::<Attempts>(&AttemptKey::of(&t("ready"), number), &attempt);
        }
        w.edit::<States>(&t("ready"), |state| state.attempts_ended = 1001);
    }),
    broken("SILO-ATT-2", "attempts are dropped that may be kept", |w| {
        w.remove(&Attempts::key(&AttemptKey::of(&t("retried"), 1)));
        w.edit::<States>(&t("retried"), |state| state.attempts_from = 2);
    }),
    broken("SILO-ATT-2", "the number of attempts shrinks", |w| {
        w.edit::<States>(&t("retried"), |state| state.attempts_ended -= 1);
    }),
    broken("SILO-ATT-2", "an ended attempt ends otherwise", |w| {
        w.edit::<Attempts>(&AttemptKey::of(&t("retried"), 1), |attempt| {
            let at = Timestamp::from_millis(1);
            attempt.end = Some(AttemptEnd {
                at,
                how: Ending::Crashed,
            });
        });
    }),
    broken("SILO-ATT-2", "an ended attempt becomes another one", |w| {
        w.edit::<Attempts>(&AttemptKey::of(&t("retried"), 2), |a| a.nonce ^= 1);
    }),
    broken("SILO-DATA-1", "a large payload is missing", |w| {
        w.remove(&PayloadKey::key(&t("succeeded"), 0));
    }),
    broken(
        "SILO-DATA-1",
        "a state does not know of a payload row",
        |w| {
            w.edit::<States>(&t("succeeded"), |state| state.has_payload_row = false);
        },
    ),
    broken("SILO-DATA-1", "a large payload is cut short", |w| {
        let key = PayloadKey::key(&t("succeeded"), 0);
        w.shard.rows.map.insert(key, Bytes::from(vec![7; 4999]));
    }),
    broken("SILO-DATA-1", "a large payload is other data", |w| {
        let key = PayloadKey::key(&t("succeeded"), 0);
        w.shard.rows.map.insert(key, Bytes::from(vec![8; 5000]));
    }),
    broken("SILO-DATA-1", "nobody's data", |w| {
        let key = PayloadKey::key(&t("ready"), 3);
        w.shard.rows.map.insert(key, Bytes::from_static(b"x"));
    }),
    broken("SILO-DATA-1", "data that stands inline and in a row", |w| {
        let key = PayloadKey::key(&t("ready"), 0);
        w.shard.rows.map.insert(key, Bytes::from_static(b"x"));
    }),
    broken("SILO-DATA-1", "data too long to stand inline", |w| {
        w.edit::<Jobs>(&t("ready"), |job| {
            job.payload = Data::Inline(Bytes::from(vec![1; 4097]));
        });
    }),
    broken("SILO-KEY-1", "a tenant's queues out of order", |w| {
        let bytes = twice_the_same_queue(w);
        w.shard.rows.map.insert(Tenants::key(&tenant("u")), bytes);
    }),
    broken("SILO-KEY-1", "a row of a newer version", |w| {
        let key = States::key(&t("ready"));
        let mut bytes = w.shard.rows.map[&key].to_vec();
        bytes[0] = u8::MAX;
        w.shard.rows.map.insert(key, bytes.into());
    }),
    broken("SILO-KEY-1", "a row of no table", |w| {
        let key = Bytes::from_static(&[0xee, 1]);
        w.shard.rows.map.insert(key, Bytes::new());
    }),
    broken("SILO-KEY-1", "a row of a limit with another key", |w| {
        let key = Bytes::copy_from_slice(&[TableId::Limit.byte(), 1]);
        w.shard.rows.map.insert(key, Bytes::new());
    }),
    broken("SILO-QUAR-1", "a sound job is listed", |w| {
        let row = QuarantineRow {
            at: Timestamp::from_millis(1),
            reason: "none".to_owned(),
        };
        w.put::<Quarantines>(&t("ready"), &row);
    }),
    broken("SILO-QUAR-1", "a job set aside is not listed", |w| {
        let at = Timestamp::from_millis(1);
        w.edit::<States>(&t("ready"), |s| s.position = Position::Quarantined { at });
    }),
    broken("SILO-QUAR-1", "a job that is not there is listed", |w| {
        let row = QuarantineRow {
            at: Timestamp::from_millis(1),
            reason: "none".to_owned(),
        };
        w.put::<Quarantines>(&t("nobody"), &row);
    }),
    broken("SILO-JOB-3", "a job is another job", |w| {
        w.edit::<Jobs>(&t("ready"), |job| job.max_crashes += 1);
    }),
    broken("SILO-JOB-3", "a job vanishes", |w| {
        w.remove(&Jobs::key(&t("ready")));
        w.remove(&States::key(&t("ready")));
    }),
    broken("SILO-JOB-3", "a tick removes a job that is kept", |w| {
        w.erase("kept");
    }),
    broken("SILO-JOB-3", "a tick removes a job that waits", |w| {
        w.erase("due");
    }),
    broken("SILO-JOB-3", "a delete removes another job", |w| {
        w.erase("kept");
        w.command = Command::Delete(t("succeeded"));
    }),
    broken("SILO-JOB-3", "a restart removes its job", |w| {
        w.erase("kept");
        w.command = Command::Restart(t("kept"));
    }),
    broken("SILO-JOB-4", "a tick restarts a job", |w| {
        w.shard.is_checked = false;
        w.shard.restart(&t("failed"));
    }),
    broken("SILO-JOB-4", "a restart of one job restarts another", |w| {
        w.shard.is_checked = false;
        w.shard.restart(&t("failed"));
        w.command = Command::Restart(t("kept"));
    }),
    broken("SILO-JOB-4", "a restart of a job that has succeeded", |w| {
        w.edit::<States>(&t("succeeded"), |state| state.retries_used += 1);
        w.command = Command::Restart(t("succeeded"));
    }),
    broken("SILO-JOB-4", "an ended job ends otherwise", |w| {
        w.edit::<States>(&t("succeeded"), |state| {
            state.position = Position::Ended {
                status: Ended::Failed,
                at: Timestamp::from_millis(1),
                code: None,
                expires: None,
            };
        });
    }),
    broken("SILO-SOFT-1", "a tenant with work has no turn", |w| {
        w.shard.soft = recovered_without(w, &Tenants::key(&tenant("u")));
    }),
    broken("SILO-SOFT-1", "a tenant without work has a turn", |w| {
        let key = Readies::key(&ReadyKey::of(
            &job("u", "other"),
            &queue("g", 10),
            place(w.shard.now, 0),
        ));
        w.remove(&key);
        w.edit::<Tenants>(&tenant("u"), |tenant| tenant.ready.clear());
    }),
    broken("SILO-SOFT-1", "a tenant is due sooner than is known", |w| {
        w.edit::<Tenants>(&tenant("t"), |tenant| {
            tenant.due.as_mut().unwrap().low = place(w_past(), 0);
        });
    }),
    broken("SILO-SOFT-1", "a job is to go sooner than is known", |w| {
        w.edit::<Tenants>(&tenant("t"), |tenant| {
            tenant.expiry.as_mut().unwrap().low = place(w_past(), 0);
        });
    }),
    broken("SILO-SOFT-1", "a tenant that is paused has a turn", |w| {
        w.edit::<Tenants>(&tenant("u"), |tenant| tenant.paused = Some(Timestamp::MIN));
    }),
    broken("SILO-SOFT-1", "a task group is held to be paused", |w| {
        w.shard.run(&pause_queue("g", None, true));
        w.remove(&PausedQueues::key(&PausedQueuesKey));
    }),
    broken(
        "SILO-SOFT-1",
        "a tenant is due sooner than is known, and a lease ends before",
        |w| {
            let soon = Timestamp::from_millis(w.shard.now + 30_000);
            w.edit::<Tenants>(&tenant("t"), |tenant| {
                tenant.due.as_mut().unwrap().low = Place { at: soon, seq: 0 };
            });
        },
    ),
    broken(
        "SILO-SOFT-1",
        "nobody wakes for a tenant that is due",
        |w| {
            let past = Timestamp::from_millis(w_past());
            w.edit::<Tenants>(&tenant("t"), |tenant| {
                tenant.due.as_mut().unwrap().low = place(w_past(), 0);
            });
            let row = w.shard.image().tenants[&tenant("t")].clone();
            let known = SoftStep::Tenant {
                tenant: tenant("t"),
                groups: row.groups().into_iter().collect(),
                due: Some(past),
                tallies: row.tallies,
            };
            let tomorrow = Timestamp::from_millis(w.shard.now + 86_400_000);
            w.step(known);
            w.step(SoftStep::DueServed(tomorrow, tenant("t")));
        },
    ),
    broken("SILO-SOFT-2", "a lease that nobody watches", |w| {
        w.shard.soft = recovered_without(w, &Runnings::key(&t("leased")));
    }),
    broken("SILO-SOFT-2", "another lease is watched", |w| {
        let key = t("leased");
        let known = w.shard.soft.lease(&key).unwrap();
        w.step(SoftStep::Leased {
            key,
            nonce: known.nonce ^ 1,
            deadline: known.deadline,
        });
    }),
    broken("SILO-SOFT-2", "a lease that lasts too long", |w| {
        let lease = w.shard.state(&t("leased")).lease().unwrap().clone();
        let task = lease.task(&tenant("t"), &t("leased").job);
        let mut later = w.shard.clone();
        later.now += 1000;
        later.run(&heartbeat(&task, "w"));
        w.shard.soft = later.soft;
    }),
    broken("SILO-SOFT-2", "a lease that ended is watched", |w| {
        w.remove(&Runnings::key(&t("leased")));
    }),
];

const fn w_past() -> i64 {
    1
}

/// Soft state as it would be without a row.
fn recovered_without(world: &World, key: &Key) -> Soft {
    let mut copy = world.shard.clone();
    copy.is_checked = false;
    copy.rows.map.remove(key);
    copy.soft = Soft::lost();
    while !copy.soft.is_recovered() {
        let stamp = copy.stamp();
        let tick = silo_core::shard::command::Command::Tick;
        let decision = silo_core::shard::decide(&copy.soft, &copy.rows, &stamp, &tick).unwrap();
        fold(&mut copy.soft, &mut copy.rows, &decision);
    }
    copy.soft
}

/// A tenant's row in which one queue stands twice: a map that would be written with one.
fn twice_the_same_queue(world: &World) -> Bytes {
    let mut row = Tenants::read_row(&world.shard.rows.map[&Tenants::key(&tenant("u"))]).unwrap();
    let head = row.ready[&queue("g", 10)];
    row.ready.insert(queue("h", 10), head);
    let mut bytes = encode(&row).to_vec();
    let at = bytes.iter().position(|byte| *byte == b'h').unwrap();
    bytes[at] = b'g';
    bytes.into()
}
