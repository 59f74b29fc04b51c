/*
 * One shard: what becomes of a job, of its leases, and of what callers were told.
 *
 * Rows are kept three times: as decided, as handed over to storage, as durable. Commands decide on
 * the first alone; a crash goes on from one of the others. Replies and tasks wait with the rows
 * that they have seen, and are out once those are durable. The owner of the shard is one process
 * after the other; two at once are not in this model.
 *
 * Abstracted: time (what waits for its time turns ripe, whenever), places in a queue and low-water
 * marks (queue.als), numbers and data of attempts (attempts.als), budgets larger than one, a tick
 * or a lease of several jobs (as many steps), counts (a set instead of its size), damage (a job is
 * set aside, whenever), task groups and priorities.
 *
 * Rules are assertions, checked from any sound state over one step, so traces of any length are
 * covered; what a trace can reach the `run`s at the end show. README.md says how marks are read.
 */
module shard
open shard/machine

-- What is always so --------------------------------------------------------------------------

pred job_1[s: Stage] {
  all j: jobs[s] {
    j in at[s, Due] implies s.rows.j = DueRows and no j.(s.running)
    j in at[s, Ready] implies s.rows.j = ReadyRows and no j.(s.running)
    j in at[s, Leased] implies no s.rows.j and one j.(s.running)
    j in at[s, Over] implies s.rows.j = { t: ExpiryRows | j in Kept } and no j.(s.running)
    j in at[s, Aside] implies s.rows.j in AsideRows and no j.(s.running)
  }
}
pred job_2[s: Stage] { s.described = jobs[s] and all j: Job | lone j.(s.position) }
pred idx_1[s: Stage] {
  DueRows.(s.rows) in at[s, Due] and ReadyRows.(s.rows) in at[s, Ready]
  ExpiryRows.(s.rows) in at[s, Over] & Kept and s.running in s.lease
}
pred lease_1[s: Stage] {
  s.lease = s.running and s.lease in s.opened
  all j: Job | lone j.(s.lease) and (j in at[s, Leased] iff some j.(s.lease))
}
pred quar_1[s: Stage] { AsideRows.(s.rows) = at[s, Aside] }
pred ten_1[s: Stage] { all p: Position | p.(s.tally) = { j: Job | p in counted[j.(s.position)] } }
pred ten_2[s: Stage] { s.tenants = jobs[s].tenant }
pred openIsLeased[s: Stage] {
  all j: Job - at[s, Aside] | j.(s.opened) = j.(s.lease)
  all j: Job | lone j.(s.opened)
}
pred endsOnce[s: Stage] {
  Job.(s.had) = s.how.End
  all l: Lease | lone l.(s.how) and lone (s.opened + s.had).l
  no s.opened & s.had
  Job.(s.opened + s.had) in Issued
}
pred nothingIsLeft[s: Stage] {
  all j: Job - jobs[s] {
    no s.rows.j and no j.(s.lease) and no j.(s.running) and no j.(s.opened) and no j.(s.had)
    j not in s.asked and no s.spent.j and no s.tally.j
  }
}
pred soft_1 {
  Soft.ring in waiting[Decided, ReadyRows] and Soft.wakes in waiting[Decided, DueRows + ExpiryRows]
  no Blind implies Soft.ring = waiting[Decided, ReadyRows]
  no Blind implies Soft.wakes = waiting[Decided, DueRows + ExpiryRows]
}
pred soft_2 {
  Soft.watched in Decided.lease and Soft.beaten in Job.(Soft.watched)
  no Blind implies Soft.watched = Decided.lease
}
pred toldIsTrue {
  Decided.told in facts[Decided]
  Handed.told in facts[Handed] & facts[Decided]
  Durable.told in facts[Durable] & facts[Handed] & facts[Decided]
}
pred workersHold {
  Stage.tasks + Finished in Issued
  Decided.tasks - Finished in Job.(Decided.lease)
  Handed.tasks - Finished in Job.(Handed.lease) & Job.(Decided.lease)
  all s: Stage | Durable.tasks - Finished in Job.(s.lease)
}
pred sound {
  all s: Stage {
    job_1[s] and job_2[s] and idx_1[s] and lease_1[s] and quar_1[s] and ten_1[s] and ten_2[s]
    openIsLeased[s] and endsOnce[s] and nothingIsLeft[s]
  }
  soft_1 and soft_2 and toldIsTrue and workersHold
}

pred init {
  all s: Stage {
    no s.described and no s.position and no s.rows and no s.lease and no s.running and no s.opened
    no s.had and no s.how and no s.asked and no s.spent and no s.tally and no s.tenants
    -- mutant begins_told breaks Begins
    no s.told and no s.tasks
  }
  no Soft.watched and no Soft.beaten and no Soft.ring and no Soft.wakes and no Blind
  no Ripe and no Issued and no Finished
}

check Begins { init implies sound } for 2 but 3 Lease, 1 steps expect 0

-- SILO-JOB-1
check JOB_1 { sound implies after all s: Stage | job_1[s] } for 2 but 3 Lease, 2 steps expect 0
-- SILO-JOB-2
check JOB_2 { sound implies after all s: Stage | job_2[s] } for 2 but 3 Lease, 2 steps expect 0
-- SILO-IDX-1
check IDX_1 { sound implies after all s: Stage | idx_1[s] } for 2 but 3 Lease, 2 steps expect 0
-- SILO-LEASE-1
check LEASE_1 { sound implies after all s: Stage | lease_1[s] } for 2 but 3 Lease, 2 steps expect 0
-- SILO-QUAR-1
check QUAR_1 { sound implies after all s: Stage | quar_1[s] } for 2 but 3 Lease, 2 steps expect 0
-- SILO-TEN-1
check TEN_1 { sound implies after all s: Stage | ten_1[s] } for 2 but 3 Lease, 2 steps expect 0
-- SILO-TEN-2
check TEN_2 { sound implies after all s: Stage | ten_2[s] } for 2 but 3 Lease, 2 steps expect 0
-- SILO-SOFT-1
check SOFT_1 { sound implies after soft_1 } for 2 but 3 Lease, 2 steps expect 0
-- SILO-SOFT-2
check SOFT_2 { sound implies after soft_2 } for 2 but 3 Lease, 2 steps expect 0
-- All attempts have ended but a leased one. (SILO-ATT-1, with attempts.als)
check OpenIsLeased {
  sound implies after all s: Stage | openIsLeased[s]
} for 2 but 3 Lease, 2 steps expect 0
-- Nothing is left of a job that is gone.
check NothingIsLeft {
  sound implies after all s: Stage | nothingIsLeft[s]
} for 2 but 3 Lease, 2 steps expect 0

-- What a caller was told is so, also after any crash, until a later command changes it.
check ToldIsTrue { sound implies after toldIsTrue } for 2 but 3 Lease, 2 steps expect 0
-- A worker that has a task has its lease, also after any crash, until its end was decided.
check WorkersHold { sound implies after workersHold } for 2 but 3 Lease, 2 steps expect 0
-- Whoever waits for storage is told, and gets its task.
check Flushed {
  sound and Event = Flush implies Handed.told in Durable.told' and Handed.tasks in Durable.tasks'
} for 2 but 3 Lease, 2 steps expect 0
check Answered {
  sound and Event in Enqueue + Cancel + Delete + Restart + Report implies
    all j: Subject | (facts[Decided] :> j)' in Decided.told'
} for 2 but 3 Lease, 2 steps expect 0

-- SILO-JOB-3
check JOB_3 {
  sound and Event != Crash implies all j: jobs[Decided] | j in (jobs[Decided])'
    or (j = Subject and Event = Delete and j not in at[Decided, Leased])
    or (j = Subject and Event = Clean and j in at[Decided, Over] & Kept & Ripe)
} for 2 but 3 Lease, 2 steps expect 0

-- SILO-JOB-4
check JOB_4 {
  sound and Event not in Crash + SetAside implies
    all j: at[Decided, Over] & (jobs[Decided])' | {
      j.(Decided.position') = j.(Decided.position) and (log[Decided, j])' = log[Decided, j]
      no j.(Decided.opened') and noteStays[j]
    } or (j = Subject and j not in at[Decided, Succeeded] and Event in Restart + Import)
} for 2 but 3 Lease, 2 steps expect 0

-- SILO-ATT-2
check ATT_2 {
  sound and Event != Crash implies
    all j: jobs[Decided] & (jobs[Decided])' | log[Decided, j] in (log[Decided, j])'
} for 2 but 3 Lease, 2 steps expect 0

-- A lease ends once, and it is known how; a nonce is of one lease.
check OneOutcome {
  sound implies after all s: Stage | endsOnce[s]
  sound and Event not in Crash + SetAside implies
    all j: Job | j.(Decided.lease - Decided.lease') in j.(Decided.had')
} for 2 but 3 Lease, 2 steps expect 0

-- What a lease ended with in this step, of a job that was leased.
fun ends[j: Job]: Lease -> End { (log[Decided, j])' - log[Decided, j] }
fun leasedNow: set Job { at[Decided, Leased] }

-- Cancellation that was asked for is not undone by a failure, a crash, a loss or a release.
check AskedIsOver {
  sound and Event not in Crash + SetAside implies
    all j: leasedNow & Decided.asked - (at[Decided, Leased])' |
      j.(Decided.position') in Succeeded + Cancelled
} for 2 but 3 Lease, 2 steps expect 0

check RetriesAreSpent {
  sound and Event = Report and Subject in (at[Decided, Due + Ready])' implies
    Retries in Subject.allows - Decided.spent.Subject and Retries in Decided.spent'.Subject
} for 2 but 3 Lease, 2 steps expect 0
check CrashesAreSpent {
  sound and Event = Expire implies all j: Subject & (at[Decided, Due + Ready])' |
    Crashed in Lease.(ends[j]) implies
      Crashes in j.allows - Decided.spent.j and Crashes in Decided.spent'.j
} for 2 but 3 Lease, 2 steps expect 0
check LossesAreSpent {
  sound and Event = Expire implies all j: Subject | Lost in Lease.(ends[j]) implies
    Losses in j.allows - Decided.spent.j and Losses in Decided.spent'.j
} for 2 but 3 Lease, 2 steps expect 0
-- A crash, a loss, a release, a snooze cost no retry.
check OnlyFailuresCost {
  sound and Event != Crash implies all j: Job |
    j in Retries.(Decided.spent') - Retries.(Decided.spent) implies
      j = Subject and Event in Report + Import
} for 2 but 3 Lease, 2 steps expect 0
-- A job without retries survives a crash.
check CrashIsNoFailure {
  sound and Event = Expire implies all j: Subject - Decided.asked |
    Crashed in Lease.(ends[j]) and Crashes in j.allows - Decided.spent.j implies
      j in (at[Decided, Due])'
} for 2 but 3 Lease, 2 steps expect 0
check OutcomeResets {
  sound and Event = Report implies no (Crashes + Losses) & Decided.spent'.Subject
} for 2 but 3 Lease, 2 steps expect 0
check RestartBeginsAnew {
  sound and Event = Restart implies
    Subject in (at[Decided, Ready])' - Decided.asked' and no Decided.spent'.Subject
} for 2 but 3 Lease, 2 steps expect 0
check ImportSaysWhy {
  sound and Event = Import implies all j: Subject & jobs[Decided] | some ends[j]
} for 2 but 3 Lease, 2 steps expect 0

check LossIsUnseen {
  sound and Event != Crash implies
    all j: leasedNow | no ends[j].Lost & Soft.beaten
} for 2 but 3 Lease, 2 steps expect 0
check NotBeforeItsTime {
  sound and Event != Crash implies all j: Job - Ripe {
    j in leasedNow implies no (Lost + Crashed) & Lease.(ends[j])
    j in at[Decided, Due] & (at[Decided, Ready])' implies Event in Expedite + Import
  }
} for 2 but 3 Lease, 2 steps expect 0
check OnlyWatchedExpire {
  sound and Event != Crash implies
    all j: leasedNow | ends[j].(Lost + Crashed) in j.(Soft.watched)
} for 2 but 3 Lease, 2 steps expect 0
check OnlyWokenStart {
  sound and Event in Start + Clean implies Subject.tenant in Soft.wakes
} for 2 but 3 Lease, 2 steps expect 0
check ServedInTurn {
  sound and Event = Grant and Subject in at[Decided, Ready] implies Subject.tenant in Soft.ring
} for 2 but 3 Lease, 2 steps expect 0
check KeptByItsWorker {
  sound implies all l: Soft.beaten' - Soft.beaten | l.worker = Caller
} for 2 but 3 Lease, 2 steps expect 0
-- A lease that is found again gets its whole duration.
check FoundAnew {
  sound and Event = Recover implies no Ripe' & (Soft.watched' - Soft.watched).Lease
} for 2 but 3 Lease, 2 steps expect 0

-- What can happen, from an empty shard -------------------------------------------------------

-- What the code does where the model leaves it open; traces that the code is to follow keep to it.
pred asCoded {
  always {
    Event not in Import + SetAside
    Event = Grant implies Subject in at[Decided, Ready]
    Event in Expire + GiveBack + Start + Pass + Clean + Grant + Heartbeat implies no Blind
    all j: Subject | some ends[j].(Lost + Released) implies
      j in (at[Decided, Ready])' + Decided.asked
  }
  all j: Job | Losses in j.allows iff Crashes in j.allows
}

-- A job runs, and its caller and its worker know how it went once that is durable.
run Succeeds { -- trace
  asCoded and init and eventually (Event = Report and Task in Durable.tasks)
  eventually (some at[Durable, Succeeded] & Ended.(Durable.told))
} for 2 but exactly 1 Job, 8 steps expect 1
-- A crash takes back what nobody was told, and a command that was told stands.
run CrashTakesBack { -- trace
  asCoded and init
  eventually some j: at[Decided, Cancelled] & Taken.(Durable.told) |
    Event = Crash and after j in at[Decided, Ready]
} for 2 but exactly 1 Job, 6 steps expect 1
-- A write of which nobody was told lands all the same.
run LandsLate {
  init
  eventually (Event = Crash and no Durable.told and some at[Handed, Ready] - jobs[Durable]
    and after some at[Durable, Ready])
} for 2 but exactly 1 Job, 5 steps expect 1
-- A lease is found again after a crash, and its worker keeps it.
run Recovers { -- trace
  asCoded and init and eventually (Event = Crash and some Job.(Durable.lease) & Durable.tasks)
  eventually (Event = Heartbeat and no Blind and once Event = Recover)
} for 2 but exactly 1 Job, 8 steps expect 1
-- Lost, leased again, heartbeated, crashed, and run anew by hand.
run LossCrashRestart { -- trace
  asCoded and init and eventually (Event = Expire and after some Decided.how.Lost)
  eventually (Event = Restart and some Decided.how.Lost and some Decided.how.Crashed)
} for 2 but exactly 1 Job, 10 steps expect 1
-- Cancelled while it runs; its worker fails: it is over.
run CancelThenFailure { -- trace
  asCoded and init and eventually (Event = Cancel and some at[Decided, Leased])
  eventually (Event = Report and after (some Decided.how.Failure and some at[Decided, Cancelled]))
} for 2 but exactly 1 Job, 6 steps expect 1
-- Fails, waits, is due, runs again, is snoozed, expedited and released.
run ComesBack { -- trace
  asCoded and init
  eventually (Event = Report and after (some at[Decided, Due] and some Decided.how.Failure))
  eventually (Event = Start and some Decided.how.Failure)
  eventually (some Decided.how.Snoozed and Event = Expedite)
} for 2 but exactly 1 Job, 10 steps expect 1
-- Ends, is kept, goes, and its id is free again.
run IsKeptAndGoes { -- trace
  asCoded and init and eventually (Event = Clean and after eventually Event = Enqueue)
} for 2 but exactly 1 Job, 7 steps expect 1
-- Taken from elsewhere, goes on in it, and is deleted.
run ImportedTwice {
  init and eventually (Event = Import and some at[Decided, Failed]) and eventually Event = Delete
} for 2 but exactly 1 Job, 5 steps expect 1
-- Set aside while it runs, and given back.
run SetAsideAndBack {
  init and eventually (Event = SetAside and some at[Decided, Leased])
  eventually (Event = Restart and some at[Decided, Aside])
} for 2 but exactly 1 Job, 6 steps expect 1
-- Two jobs of two tenants run at once; soft state goes and is found again.
run TwoTenants {
  init
  eventually (some disj j, k: at[Decided, Leased] | j.tenant != k.tenant)
  eventually (Event = Forget and after eventually Event = Recover)
} for 2 but 8 steps expect 1
