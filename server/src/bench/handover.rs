//! How soon the next in line is leased when its slot comes free, by a worker that waits for it;
//! and, in turn with that, what one durable write takes.

use std::collections::BTreeMap;
use std::future::ready;
use std::mem::swap;
use std::ops::Range;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::future::{Either, join, select};

use crate::bench::crew::Crew;
use crate::bench::enqueue::later;
use crate::bench::faults::Fault;
use crate::bench::limits::NEXT_WAIT;
use crate::bench::loader::Leased;
use crate::bench::tally::{LatencySummary, Sheet, Timed};

/// Two workers of whom one holds the only slot of a line and the other waits for it, in turn, for
/// so long and so many times. Each time a job of these numbers joins the line, so that it is as
/// long afterwards as it was.
pub(crate) async fn hand_over(crew: &Crew, mut numbers: Range<u64>, during: Duration) {
    let until = later(Instant::now(), during);
    let Some(number) = numbers.next() else { return };
    join_the_line(crew, number).await;
    let first = crew.loader.lease(0, 1, NEXT_WAIT).await;
    let Some(mut holds) = held(crew, first) else {
        return;
    };
    let (mut worker, mut other) = (0, 1);
    for number in numbers {
        if Instant::now() >= until || crew.stop.is_over() || crew.board.has_failed() {
            break;
        }
        let waits = pin!(crew.loader.lease(other, 1, NEXT_WAIT));
        // Looked at once, it has taken its place among those that wait.
        let waits = match select(waits, ready(())).await {
            Either::Left((leased, _)) => {
                held(crew, leased);
                crew.board.fault(&Fault::Strange("a slot was given twice"));
                return;
            }
            Either::Right(((), waits)) => waits,
        };
        crew.board
            .record(Timed::Write, join_the_line(crew, number).await);
        let began = Instant::now();
        let reported = async {
            report(crew, worker, &holds).await;
            began.elapsed()
        };
        let leased = async { (waits.await, began.elapsed()) };
        let (reported, (leased, took)) = join(reported, leased).await;
        crew.board.record(Timed::Reported, reported);
        crew.board.record(Timed::HandOver, took);
        match held(crew, leased) {
            Some(next) => holds = next,
            None => return,
        }
        swap(&mut worker, &mut other);
    }
    report(crew, worker, &holds).await;
}

/// What a hand-over takes longer than one durable write.
pub(crate) fn figures(sheet: &Sheet) -> BTreeMap<&'static str, f64> {
    let times = sheet.summaries();
    let both = times.get(&Timed::HandOver).zip(times.get(&Timed::Write));
    let more = |of: fn(&LatencySummary) -> f64| both.map(|(over, write)| of(over) - of(write));
    let figures = [
        (
            "ms that a hand-over takes longer than one write, p50",
            more(|it| it.p50),
        ),
        (
            "ms that a hand-over takes longer than one write, p99",
            more(|it| it.p99),
        ),
    ];
    let figure = |(name, figure): (_, Option<f64>)| Some((name, figure?));
    figures.into_iter().filter_map(figure).collect()
}

/// What was leased, noted; none if there was nothing.
pub(crate) fn held(crew: &Crew, leased: Result<Vec<Leased>, Fault>) -> Option<Vec<Leased>> {
    match leased {
        Ok(leased) if leased.is_empty() => crew.board.fault(&Fault::NoTask),
        Ok(leased) => {
            for number in leased.iter().filter_map(|task| task.number) {
                crew.ledger.leased(number);
            }
            return Some(leased);
        }
        Err(fault) => crew.board.fault(&fault),
    }
    None
}

/// Reports success, and notes it.
pub(crate) async fn report(crew: &Crew, worker: u64, tasks: &[Leased]) {
    let results = crew.loader.report(worker, tasks).await;
    for (task, result) in tasks.iter().zip(results) {
        match (task.number, result) {
            (Some(number), Ok(())) => crew.ledger.ended(number),
            (None, _) => crew.board.fault(&Fault::STRANGE_PAYLOAD),
            (_, Err(fault)) => crew.board.fault(&fault),
        }
    }
}

/// Enqueues one job; tells how long it took.
async fn join_the_line(crew: &Crew, number: u64) -> Duration {
    let began = Instant::now();
    let results = crew
        .loader
        .enqueue(0, number..number.saturating_add(1))
        .await;
    let took = began.elapsed();
    for result in results {
        match result {
            Ok(()) => crew.ledger.acknowledged(number),
            Err(fault) => crew.board.fault(&fault),
        }
    }
    took
}
