//! Who enqueues and who works, in the benchmarks that have both.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bench::faults::Fault;
use crate::bench::ledger::Ledger;
use crate::bench::loader::{Leased, Loader};
use crate::bench::stop::Stop;
use crate::bench::tally::{Board, Timed};

/// How long a lease waits for work.
const LEASE_WAIT: Duration = Duration::from_secs(5);
/// After something went wrong a worker waits, so that it does not only make more of it.
const PAUSE: Duration = Duration::from_millis(20);

/// What all of them share.
#[derive(Clone, Debug)]
pub(crate) struct Crew {
    pub(crate) loader: Arc<Loader>,
    pub(crate) board: Arc<Board>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) stop: Stop,
}

/// What callers enqueue.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub(crate) callers: u32,
    /// Jobs of each call.
    pub(crate) batch: u32,
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) until: Instant,
    /// Room for jobs that have not ended; none: there may be any number.
    pub(crate) room: Option<Arc<Semaphore>>,
    /// All of the tenant whose turn this is; none: tenants take turns.
    pub(crate) turn: Option<u64>,
}

/// What workers work on.
#[derive(Clone, Debug)]
pub(crate) struct Shift {
    pub(crate) workers: u32,
    /// Most tasks of each lease.
    pub(crate) tasks: u32,
    /// Tasks that are left for them; none: any number.
    pub(crate) left: Option<Arc<AtomicU64>>,
    /// Ends it.
    pub(crate) done: CancellationToken,
    /// Where jobs that have ended make room.
    pub(crate) room: Option<Arc<Semaphore>>,
    /// When each job was to come: then times are counted from there.
    pub(crate) schedule: Option<Schedule>,
}

/// When jobs come: evenly spaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) began: Instant,
    pub(crate) rate: u32,
    /// The number of the first.
    pub(crate) first: u64,
    /// How many there are. Jobs with other numbers come by no schedule.
    pub(crate) jobs: u64,
}

impl Schedule {
    /// The numbers of all of them.
    pub(crate) const fn numbers(&self) -> Range<u64> {
        self.first..self.first.saturating_add(self.jobs)
    }

    /// When a job comes.
    pub(crate) fn at(&self, number: u64) -> Instant {
        let rate = u64::from(self.rate.max(1));
        let number = number.saturating_sub(self.first);
        let seconds = number.checked_div(rate).unwrap_or(0);
        let rest = number.checked_rem(rate).unwrap_or(0);
        let nanos = rest.saturating_mul(1_000_000_000).checked_div(rate);
        let after =
            Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos.unwrap_or(0)));
        self.began.checked_add(after).unwrap_or(self.began)
    }
}

/// Job numbers, each given once.
#[derive(Debug)]
pub(crate) struct Numbers {
    next: AtomicU64,
    end: u64,
}

impl Numbers {
    /// From the first to before the second.
    pub(crate) fn new(numbers: Range<u64>) -> Arc<Self> {
        Arc::new(Self {
            next: AtomicU64::new(numbers.start),
            end: numbers.end,
        })
    }

    fn take(&self, count: u64) -> Option<Range<u64>> {
        let start = self.next.fetch_add(count, Ordering::Relaxed);
        let end = start.saturating_add(count).min(self.end);
        (start < end).then_some(start..end)
    }
}

impl Crew {
    pub(crate) fn new(loader: &Arc<Loader>, stop: &Stop) -> Self {
        Self {
            loader: Arc::clone(loader),
            board: Arc::default(),
            ledger: Arc::default(),
            stop: stop.clone(),
        }
    }

    /// Callers that enqueue one call after the other, until the time, the numbers or the patience
    /// is over.
    pub(crate) fn enqueue(&self, wishes: &Wishes) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for _ in 0..wishes.callers {
            let (crew, wishes) = (self.clone(), wishes.clone());
            tasks.spawn(async move { crew.caller(&wishes).await });
        }
        tasks
    }

    async fn caller(&self, wishes: &Wishes) {
        while Instant::now() < wishes.until && self.may_go_on() {
            if let Some(room) = &wishes.room {
                let until = tokio::time::Instant::from_std(wishes.until);
                let permits = room.acquire_many(wishes.batch);
                let permits = tokio::time::timeout_at(until, permits);
                match self.or_stop(permits).await {
                    // The permits come back when the jobs have ended.
                    Some(Ok(Ok(permits))) => permits.forget(),
                    Some(_) | None => return,
                }
            }
            let batch = u64::from(wishes.batch);
            let Some(numbers) = wishes.numbers.take(batch) else {
                return;
            };
            let in_turn = || numbers.start.checked_div(batch).unwrap_or(0);
            let turn = wishes.turn.unwrap_or_else(in_turn);
            let began = Instant::now();
            let results = self.loader.enqueue(turn, numbers.clone()).await;
            let took = began.elapsed();
            self.board.record(Timed::Enqueue, took);
            for (number, result) in numbers.zip(results) {
                match result {
                    Ok(()) => {
                        self.board.job();
                        self.ledger.acknowledged(number);
                    }
                    Err(fault) => self.board.fault(&fault),
                }
            }
        }
    }

    /// Waits until all jobs have ended that were acknowledged, or there is no hope for more.
    pub(crate) async fn drained(&self) {
        let acknowledged = self.ledger.acknowledged_so_far();
        tokio::select! {
            () = self.ledger.drained(acknowledged) => {}
            () = self.board.failed() => {}
        }
    }

    /// Workers that lease and report.
    pub(crate) fn work(&self, shift: &Shift) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for worker in 0..shift.workers {
            let (crew, shift) = (self.clone(), shift.clone());
            tasks.spawn(async move {
                let worker = u64::from(worker);
                let working = crew.worker(worker, &shift);
                // What a lease that is dropped here may still bring is nobody's any more: it is
                // dropped once all jobs have ended, or were given up.
                shift.done.run_until_cancelled(working).await;
            });
        }
        tasks
    }

    async fn worker(&self, worker: u64, shift: &Shift) {
        while !self.board.has_failed() {
            let Some(tasks_max) = shift.reserve() else {
                return;
            };
            let leased = match self.loader.lease(worker, tasks_max, LEASE_WAIT).await {
                Ok(leased) => leased,
                Err(fault) => {
                    self.board.fault(&fault);
                    shift.give_back(u64::from(tasks_max));
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let count = u64::try_from(leased.len()).unwrap_or(u64::MAX);
            shift.give_back(u64::from(tasks_max).saturating_sub(count));
            self.finish(worker, shift, &leased).await;
        }
    }

    async fn finish(&self, worker: u64, shift: &Shift, leased: &[Leased]) {
        if leased.is_empty() {
            return;
        }
        self.note(Timed::Leased, shift, leased.iter());
        for task in leased {
            match task.number {
                Some(number) => self.ledger.leased(number),
                None => self.board.fault(&Fault::STRANGE_PAYLOAD),
            }
        }
        let results = self.loader.report(worker, leased).await;
        let mut ended = Vec::new();
        for (task, result) in leased.iter().zip(results) {
            match result {
                Ok(()) => ended.push(task),
                Err(fault) => self.board.fault(&fault),
            }
        }
        self.note(Timed::Done, shift, ended.iter().copied());
        for number in ended.iter().filter_map(|task| task.number) {
            self.ledger.ended(number);
        }
        if let Some(room) = &shift.room {
            room.add_permits(ended.len());
        }
    }

    /// Notes how long ago these jobs were to come.
    fn note<'a>(&self, what: Timed, shift: &Shift, tasks: impl Iterator<Item = &'a Leased>) {
        let Some(schedule) = shift.schedule else {
            return;
        };
        let now = Instant::now();
        let mut sheet = self.board.sheet();
        let numbers = tasks.filter_map(|task| task.number);
        for number in numbers.filter(|number| schedule.numbers().contains(number)) {
            sheet.record(what, now.saturating_duration_since(schedule.at(number)));
        }
    }

    fn may_go_on(&self) -> bool {
        !self.stop.is_over() && !self.board.has_failed()
    }

    /// What comes of something, unless the word to stop comes first.
    async fn or_stop<F: Future>(&self, future: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.stop.over() => None,
            output = future => Some(output),
        }
    }
}

impl Shift {
    /// How many tasks to lease next. None: there are none left.
    fn reserve(&self) -> Option<u32> {
        let Some(left) = &self.left else {
            return Some(self.tasks);
        };
        let tasks = u64::from(self.tasks);
        let take = |left: u64| (left > 0).then(|| left.saturating_sub(tasks));
        let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        u32::try_from(before.ok()?.min(tasks)).ok()
    }

    /// What was not leased after all is left for others.
    fn give_back(&self, tasks: u64) {
        if let Some(left) = &self.left {
            left.fetch_add(tasks, Ordering::Relaxed);
        }
    }
}
