/*
 * What a shard is, and each step that it, its storage or the world around it can take. What must
 * hold of all that, and what this model leaves out, says ../shard.als.
 */
module shard/machine

sig Tenant {}
sig Worker {}
-- A lease is what its nonce is: no two are the same.
sig Lease { worker: one Worker }
sig Job { tenant: one Tenant, allows: set Budget }
-- Jobs that are removed some time after their end.
sig Kept in Job {}

abstract sig Budget {}
one sig Retries, Crashes, Losses extends Budget {}

abstract sig Position {}
one sig Due, Ready, Leased, Aside extends Position {}
abstract sig Over extends Position {}
one sig Succeeded, Failed, Cancelled extends Over {}

abstract sig Table {}
one sig DueRows, ReadyRows, ExpiryRows, AsideRows extends Table {}

-- How a lease ended. The last three leave the number of the attempt to be used again.
abstract sig End {}
one sig Success, Failure, Stopped, Crashed, Released, Snoozed, Lost extends End {}

-- What a caller may be told of a job.
abstract sig Fact {}
one sig Taken, Gone, Ended, Asked extends Fact {}

abstract sig Stage {
  var described: set Job,           -- jobs with a description
  var position: Job -> Position,    -- states
  var rows: Table -> Job,           -- indexes
  var lease: Job -> Lease,          -- the lease that the state names
  var running: Job -> Lease,        -- the lease that the running row names
  var opened: Job -> Lease,           -- the attempt that has not ended
  var had: Job -> Lease,            -- the leases that have ended
  var how: Lease -> End,            -- how
  var asked: set Job,               -- cancellation was asked for
  var spent: Budget -> Job,
  var tally: Position -> Job,       -- a tenant's tallies; what is ready is counted as due
  var tenants: set Tenant,          -- tenants that have a row
  -- Replies and tasks that have seen these rows. Those of what is durable are out.
  var told: Fact -> Job,
  var tasks: set Lease
}
one sig Decided, Handed, Durable extends Stage {}

one sig Soft {
  var watched: Job -> Lease,   -- leases with a deadline
  var beaten: set Lease,       -- that were heartbeated
  var ring: set Tenant,        -- tenants that have a turn
  var wakes: set Tenant        -- tenants for whom a wake-up is set
}
-- Soft state was lost and has not been found again.
var lone sig Blind in Soft {}
-- What the job waits for has come: its start, the end of its lease, the end of its retention.
var sig Ripe in Job {}

-- Kept by nobody: nonces that were drawn, and leases of which the end was decided.
var sig Issued, Finished in Lease {}

abstract sig Step {}
one sig Enqueue, Cancel, Delete, Restart, Expedite, Import, Grant, Heartbeat, Report, GiveBack,
  Expire, Start, Clean, SetAside, Again, Pass, HandOver, Flush, Crash, Forget, Recover,
  Idle extends Step {}
var one sig Event in Step {}
var lone sig Subject in Job {}
var lone sig Task in Lease {}
var lone sig Caller in Worker {}

-- What a stage says --------------------------------------------------------------------------

fun tables[j: Job, p: set Position]: set Table {
  { t: Table | (t = DueRows and Due in p) or (t = ReadyRows and Ready in p)
    or (t = AsideRows and Aside in p) or (t = ExpiryRows and some p & Over and j in Kept) }
}
fun counted[p: set Position]: set Position { p - Ready + { d: Due | Ready in p } }
fun jobs[s: Stage]: set Job { s.position.Position }
fun at[s: Stage, p: set Position]: set Job { s.position.p }
fun log[s: Stage, j: Job]: Lease -> End { j.(s.had) <: s.how }
fun facts[s: Stage]: Fact -> Job {
  Taken -> jobs[s] + Gone -> (Job - jobs[s]) + Ended -> at[s, Over] + Asked -> s.asked
}
fun waiting[s: Stage, t: set Table]: set Tenant { t.(s.rows).tenant }

-- How rows change ----------------------------------------------------------------------------

-- What is written of a job when it comes to stand at `p`, or nowhere.
pred put[j: Job, p: set Position] {
  j.(Decided.position') = p
  -- mutant row_stays breaks JOB_1 IDX_1:
  --   tables[j, p] in Decided.rows'.j and Decided.rows.j in Decided.rows'.j
  -- mutant no_row breaks JOB_1: no Decided.rows'.j
  -- mutant no_expiry breaks JOB_1: Decided.rows'.j = tables[j, p] - ExpiryRows
  -- mutant aside_unlisted breaks QUAR_1: Decided.rows'.j = tables[j, p] - AsideRows
  Decided.rows'.j = tables[j, p]
  -- mutant tally_stays breaks TEN_1: Decided.tally'.j = Decided.tally.j + counted[p]
  Decided.tally'.j = counted[p]
  -- mutant tenant_stays breaks TEN_2: Decided.tenants' = Decided.tenants + j.tenant
  -- mutant tenant_goes breaks TEN_2: Decided.tenants' = Decided.tenants - j.tenant
  Decided.tenants' = (Decided.tenants - j.tenant) + (jobs[Decided])'.tenant & j.tenant
}

-- Soft state learns of it.
pred learn[j: Job] {
  -- mutant no_turn breaks SOFT_1: Soft.ring' = Soft.ring
  -- mutant turn_stays breaks SOFT_1:
  --   Soft.ring' = Soft.ring + (waiting[Decided, ReadyRows])' & j.tenant
  Soft.ring' = (Soft.ring - j.tenant) + (waiting[Decided, ReadyRows])' & j.tenant
  -- mutant no_wake breaks SOFT_1: Soft.wakes' = Soft.wakes
  Soft.wakes' = (Soft.wakes - j.tenant) + (waiting[Decided, DueRows + ExpiryRows])' & j.tenant
  -- mutant unwatched breaks SOFT_2: Soft.watched' = Soft.watched & Decided.lease'
  -- mutant watch_stays breaks SOFT_2:
  --   Soft.watched' = Soft.watched + j <: (Decided.lease' - Decided.lease)
  Soft.watched' = (Soft.watched & Decided.lease') + j <: (Decided.lease' - Decided.lease)
  Soft.beaten' = Soft.beaten & Job.(Soft.watched')
  Blind' = Blind
}

-- The rows of other jobs stay as they are, and so does whatever is with storage already.
pred only[j: Job] {
  let o = Job - j {
    Decided.described' & o = Decided.described & o
    o <: Decided.position' = o <: Decided.position
    Decided.rows' :> o = Decided.rows :> o
    o <: Decided.lease' = o <: Decided.lease
    o <: Decided.running' = o <: Decided.running
    o <: Decided.opened' = o <: Decided.opened
    o <: Decided.had' = o <: Decided.had
    o.(Decided.had) <: Decided.how' = o.(Decided.had) <: Decided.how
    Decided.how'.End = Job.(Decided.had')
    Decided.asked' & o = Decided.asked & o
    Decided.spent' :> o = Decided.spent :> o
    Decided.tally' :> o = Decided.tally :> o
  }
  all s: Stage - Decided | same[s, s]
}
-- The rows of `s` will be what those of `t` are.
pred same[s, t: Stage] {
  s.described' = t.described and s.position' = t.position and s.rows' = t.rows
  s.lease' = t.lease and s.running' = t.running and s.opened' = t.opened
  s.had' = t.had and s.how' = t.how
  s.asked' = t.asked and s.spent' = t.spent and s.tally' = t.tally and s.tenants' = t.tenants
}
pred rowsStay { all s: Stage | same[s, s] }
pred softStays {
  Soft.watched' = Soft.watched and Soft.beaten' = Soft.beaten
  Soft.ring' = Soft.ring and Soft.wakes' = Soft.wakes and Blind' = Blind
}
pred leaseless[j: Job] {
  no j.(Decided.lease')
  -- mutant running_stays breaks LEASE_1 IDX_1: j.(Decided.running') = j.(Decided.running)
  no j.(Decided.running')
}
pred noteStays[j: Job] {
  j in Decided.asked' iff j in Decided.asked
  Decided.spent'.j = Decided.spent.j
}
pred noted[n, f: set Lease] { Issued' = Issued + n and Finished' = Finished + f }

-- Who is told what ---------------------------------------------------------------------------

-- What was told and is overturned now is claimed no longer. That is the world's, not the shard's.
pred claims[j: Job, overturned: set Fact, news: Fact -> Job, given: set Lease] {
  -- mutant told_when_decided breaks ToldIsTrue:
  --   Decided.told' = Decided.told and Durable.told' = Durable.told + news
  -- mutant untold breaks Answered: Decided.told' = Decided.told - overturned -> j
  Decided.told' = Decided.told - overturned -> j + news
  Handed.told' = Handed.told - overturned -> j
  -- mutant told_at_once breaks ToldIsTrue: Durable.told' = Durable.told - overturned -> j + news
  Durable.told' = Durable.told - overturned -> j
  Decided.tasks' = Decided.tasks + given
  Handed.tasks' = Handed.tasks
  -- mutant given_at_once breaks WorkersHold: Durable.tasks' = Durable.tasks + given
  Durable.tasks' = Durable.tasks
}
-- The reply says all that is so of the job now.
pred answers[j: Job, overturned: set Fact] {
  claims[j, overturned, (facts[Decided] :> j)', none]
}
pred silent[j: Job, overturned: set Fact] { claims[j, overturned, none -> none, none] }
pred nothingSaid { all s: Stage | s.told' = s.told and s.tasks' = s.tasks }

-- Commands -----------------------------------------------------------------------------------

-- SILO-JOB-T1
pred enqueue[j: Job] {
  -- mutant enqueue_twice breaks JOB_4 OneOutcome
  j not in Decided.described
  -- then
  some p: Due + Ready | put[j, p]
  -- mutant undescribed breaks JOB_2: Decided.described' = Decided.described
  Decided.described' = Decided.described + j
  leaseless[j] and no j.(Decided.opened') and no (log[Decided, j])'
  j not in Decided.asked' and no Decided.spent'.j
  answers[j, Gone]
  learn[j] and only[j] and noted[none, none] and Ripe' = Ripe - j
}

-- SILO-JOB-T2, of a job that waits
pred cancelWaiting[j: Job] {
  -- mutant cancel_any breaks JOB_4 OneOutcome JOB_2
  j in at[Decided, Due + Ready]
  -- then
  put[j, Cancelled]
  Decided.described' = Decided.described
  leaseless[j]
  j.(Decided.opened') = j.(Decided.opened) and (log[Decided, j])' = log[Decided, j]
  j in Decided.asked' and Decided.spent'.j = Decided.spent.j
  answers[j, none]
  learn[j] and only[j] and noted[none, none] and Ripe' = Ripe - j
}

-- SILO-JOB-T2, of a job that runs
pred cancelRunning[j: Job] {
  -- mutant flag_any breaks JOB_4
  j in at[Decided, Leased]
  -- then
  put[j, j.(Decided.position)]
  keepLease[j]
  j in Decided.asked' and Decided.spent'.j = Decided.spent.j
  answers[j, none]
  learn[j] and only[j] and noted[none, none] and Ripe' = Ripe
}
pred keepLease[j: Job] {
  Decided.described' = Decided.described
  j.(Decided.lease') = j.(Decided.lease) and j.(Decided.running') = j.(Decided.running)
  j.(Decided.opened') = j.(Decided.opened) and (log[Decided, j])' = log[Decided, j]
}

-- SILO-JOB-T3
pred delete[j: Job] {
  -- mutant delete_running breaks JOB_3 OneOutcome
  j not in at[Decided, Leased]
  -- then
  remove[j]
  answers[j, Taken + Ended + Asked]
}
pred remove[j: Job] {
  put[j, none]
  -- mutant description_stays breaks JOB_2: Decided.described' = Decided.described
  Decided.described' = Decided.described - j
  leaseless[j] and no j.(Decided.opened')
  -- mutant log_stays breaks NothingIsLeft: (log[Decided, j])' = log[Decided, j]
  no (log[Decided, j])'
  j not in Decided.asked' and no Decided.spent'.j
  learn[j] and only[j] and noted[none, none] and Ripe' = Ripe - j
}

-- SILO-JOB-T4, and SILO-QUAR-T2 of a job that was set aside
pred restart[j: Job] {
  -- mutant restart_any breaks JOB_4 WorkersHold JOB_2
  j in at[Decided, Failed + Cancelled + Aside]
  -- then
  put[j, Ready]
  Decided.described' = Decided.described
  leaseless[j]
  -- mutant open_stays breaks OpenIsLeased: j.(Decided.opened') = j.(Decided.opened)
  no j.(Decided.opened')
  -- mutant restart_forgets breaks ATT_2: no (log[Decided, j])'
  (log[Decided, j])' = log[Decided, j] + j.(Decided.opened) -> Lost
  -- mutant restart_asked breaks RestartBeginsAnew: j in Decided.asked' iff j in Decided.asked
  j not in Decided.asked'
  -- mutant restart_spent breaks RestartBeginsAnew: Decided.spent'.j = Decided.spent.j
  no Decided.spent'.j
  answers[j, Ended + Asked]
  learn[j] and only[j] and noted[none, none] and Ripe' = Ripe - j
}

-- SILO-JOB-T5
pred expedite[j: Job] {
  -- mutant expedite_any breaks JOB_4 OneOutcome JOB_2
  j in at[Decided, Due]
  -- then
  put[j, Ready]
  Decided.described' = Decided.described
  leaseless[j]
  j.(Decided.opened') = j.(Decided.opened) and (log[Decided, j])' = log[Decided, j]
  noteStays[j]
  answers[j, none]
  learn[j] and only[j] and noted[none, none] and Ripe' = Ripe - j
}

-- SILO-JOB-T6: `l` is its newest attempt elsewhere, if it had any.
pred import_[j: Job, l: lone Lease] {
  -- mutant import_running breaks OneOutcome
  j not in at[Decided, Leased]
  -- mutant import_succeeded breaks JOB_4
  j not in at[Decided, Succeeded]
  -- mutant import_aside breaks OpenIsLeased
  j not in at[Decided, Aside]
  -- given: nonces are drawn anew
  no l & Issued
  -- mutant import_nothing breaks ImportSaysWhy
  j in jobs[Decided] implies some l
  -- then
  some p: Due + Ready + Over, e: Success + Failure + Stopped {
    put[j, p]
    no l implies p in Due + Ready
    some l implies p in (e = Success implies Succeeded else e = Stopped implies Cancelled
      else Due + Ready + Failed)
    (log[Decided, j])' = log[Decided, j] + l -> e
  }
  Decided.described' = Decided.described + j
  leaseless[j] and j.(Decided.opened') = j.(Decided.opened)
  j not in Decided.asked'
  Decided.spent'.j in Retries
  answers[j, Gone + Ended + Asked]
  learn[j] and only[j] and noted[l, l] and Ripe' = Ripe - j
}

-- SILO-LEASE-T1, and SILO-LEASE-T2 of a job whose time has not come
pred grant[j: Job, l: Lease] {
  -- mutant lease_any breaks JOB_4 OneOutcome JOB_2
  j in at[Decided, Due + Ready]
  -- mutant nonce_again breaks OneOutcome
  l not in Issued
  -- mutant no_turn_asked breaks ServedInTurn
  j in at[Decided, Ready] implies j.tenant in Soft.ring
  -- then
  put[j, Leased]
  Decided.described' = Decided.described
  -- mutant leases_twice breaks LEASE_1: some k: Lease | j.(Decided.lease') = l + k
  j.(Decided.lease') = l
  -- mutant no_running breaks LEASE_1: no j.(Decided.running')
  j.(Decided.running') = l
  -- mutant not_opened breaks LEASE_1: no j.(Decided.opened')
  j.(Decided.opened') = l
  (log[Decided, j])' = log[Decided, j]
  noteStays[j]
  claims[j, none, none -> none, l]
  learn[j] and only[j] and noted[l, none] and Ripe' = Ripe - j
}

-- SILO-LEASE-T3
pred heartbeat[j: Job, l: Lease, w: Worker] {
  -- mutant heartbeat_old breaks SOFT_2
  l in j.(Decided.lease)
  -- mutant heartbeat_other breaks KeptByItsWorker
  w = l.worker
  -- then
  Soft.watched' = Soft.watched ++ j -> l
  Soft.beaten' = Soft.beaten + l
  Soft.ring' = Soft.ring and Soft.wakes' = Soft.wakes and Blind' = Blind
  Ripe' = Ripe - j
  rowsStay and answers[j, none] and noted[none, none]
}

-- SILO-LEASE-T4, an outcome
pred report[j: Job, l: Lease, e: End] {
  -- mutant report_late breaks OneOutcome JOB_4
  l in j.(Decided.lease)
  -- given: the other ends are not outcomes
  e in Success + Failure + Stopped
  -- then
  closed[j, l, e]
  let again = Retries in j.allows - Decided.spent.j,
      may = j in Decided.asked implies Cancelled
        else (again implies Due + Ready + Failed else Failed) {
    e = Success implies put[j, Succeeded]
    e = Stopped implies put[j, Cancelled]
    -- mutant asked_again breaks AskedIsOver:
    --   e = Failure implies some p: may + Due + Ready | put[j, p] and (again or p in may)
    -- mutant retried_for_ever breaks RetriesAreSpent:
    --   e = Failure implies some p: may + Due | put[j, p] and (j in Decided.asked implies p in may)
    e = Failure implies some p: may | put[j, p]
    -- mutant free_retry breaks RetriesAreSpent:
    --   Decided.spent'.j = Decided.spent.j - Crashes - Losses
    -- mutant outcome_keeps breaks OutcomeResets:
    --   Decided.spent'.j = Decided.spent.j + { b: Retries | some (at[Decided, Due + Ready])' & j }
    Decided.spent'.j = Decided.spent.j & Retries + { b: Retries | j in (at[Decided, Due + Ready])' }
  }
  answers[j, none]
}
-- The lease is over. What becomes of the job, and of its budgets, the caller says.
pred closed[j: Job, l: Lease, e: End] {
  Decided.described' = Decided.described
  leaseless[j]
  -- mutant stays_open breaks OpenIsLeased: j.(Decided.opened') = j.(Decided.opened)
  no j.(Decided.opened')
  -- mutant ends_unsaid breaks OneOutcome: (log[Decided, j])' = log[Decided, j]
  -- mutant ends_rewritten breaks ATT_2: (log[Decided, j])' = l -> e
  (log[Decided, j])' = log[Decided, j] + l -> e
  j in Decided.asked' iff j in Decided.asked
  learn[j] and only[j] and noted[none, l] and Ripe' = Ripe - j
}

-- SILO-LEASE-T4, given back
pred giveBack[j: Job, l: Lease, e: End] {
  -- mutant give_back_late breaks OneOutcome JOB_4
  l in j.(Decided.lease)
  -- given: the other ends give nothing back
  e in Released + Snoozed
  -- then
  closed[j, l, e]
  -- mutant asked_back breaks AskedIsOver: some p: Due + Ready | put[j, p]
  j in Decided.asked implies put[j, Cancelled] else some p: Due + Ready | put[j, p]
  -- mutant release_costs breaks OnlyFailuresCost: Decided.spent'.j = Decided.spent.j + Retries
  Decided.spent'.j = Decided.spent.j - Losses - { b: Crashes | e = Snoozed }
  answers[j, none]
}

-- SILO-LEASE-T5
pred expire[j: Job, l: Lease] {
  -- mutant expire_unwatched breaks OneOutcome OnlyWatchedExpire
  l in j.(Soft.watched)
  -- mutant expire_early breaks NotBeforeItsTime
  j in Ripe
  -- then
  isLoss[j, l] implies lost[j, l] else crashed[j, l]
  silent[j, none]
}
pred isLoss[j: Job, l: Lease] {
  -- mutant heartbeated_lost breaks LossIsUnseen
  l not in Soft.beaten
  -- mutant lost_for_ever breaks LossesAreSpent
  Losses in j.allows - Decided.spent.j
  -- mutant asked_lost breaks AskedIsOver
  j not in Decided.asked
}
pred lost[j: Job, l: Lease] {
  closed[j, l, Lost]
  some p: Due + Ready | put[j, p]
  -- mutant free_loss breaks LossesAreSpent: Decided.spent'.j = Decided.spent.j
  -- mutant loss_costs breaks OnlyFailuresCost:
  --   Decided.spent'.j = Decided.spent.j + Losses + Retries
  Decided.spent'.j = Decided.spent.j + Losses
}
pred crashed[j: Job, l: Lease] {
  closed[j, l, Crashed]
  let again = j not in Decided.asked and Crashes in j.allows - Decided.spent.j {
    -- mutant asked_crashed breaks AskedIsOver:
    --   put[j, again implies Due else j in Decided.asked implies Ready else Failed]
    -- mutant crash_fails breaks CrashIsNoFailure:
    --   put[j, j in Decided.asked implies Cancelled else Failed]
    -- mutant crashes_for_ever breaks CrashesAreSpent:
    --   put[j, j in Decided.asked implies Cancelled else Due]
    put[j, j in Decided.asked implies Cancelled else again implies Due else Failed]
    -- mutant crash_costs breaks OnlyFailuresCost:
    --   Decided.spent'.j = Decided.spent.j + Crashes + Retries
    -- mutant free_crash breaks CrashesAreSpent: Decided.spent'.j = Decided.spent.j
    Decided.spent'.j = Decided.spent.j - { b: Losses | l in Soft.beaten } + { b: Crashes | again }
  }
}

-- SILO-TICK-T2 (the job's part of SILO-TICK-T1)
pred start[j: Job] {
  -- mutant start_any breaks JOB_4 OneOutcome JOB_2
  j in at[Decided, Due]
  -- mutant start_early breaks NotBeforeItsTime
  j in Ripe
  -- mutant start_unwoken breaks OnlyWokenStart
  j.tenant in Soft.wakes
  -- then
  put[j, Ready]
  Decided.described' = Decided.described
  leaseless[j]
  j.(Decided.opened') = j.(Decided.opened) and (log[Decided, j])' = log[Decided, j]
  noteStays[j]
  silent[j, none]
  learn[j] and only[j] and noted[none, none] and Ripe' = Ripe - j
}

-- SILO-TICK-T3
pred clean[j: Job] {
  -- mutant clean_any breaks JOB_3 OneOutcome
  j in at[Decided, Over]
  -- mutant clean_kept breaks JOB_3
  j in Kept
  -- mutant clean_early breaks JOB_3
  j in Ripe
  -- mutant clean_unwoken breaks OnlyWokenStart
  j.tenant in Soft.wakes
  -- then
  remove[j]
  silent[j, Taken + Ended + Asked]
}

-- SILO-QUAR-T1. Its open attempt stays open: it is not known how it ended.
pred setAside[j: Job] {
  -- mutant aside_none breaks JOB_2
  j in jobs[Decided]
  -- then
  put[j, Aside]
  Decided.described' = Decided.described
  leaseless[j]
  j.(Decided.opened') = j.(Decided.opened) and (log[Decided, j])' = log[Decided, j]
  noteStays[j]
  answers[j, Ended]
  learn[j] and only[j] and noted[none, j.(Decided.lease)] and Ripe' = Ripe - j
}

-- A read, a refusal, a call that is sent again: says what it sees, and changes nothing.
pred again[j: Job] {
  rowsStay and softStays and answers[j, none] and noted[none, none] and Ripe' = Ripe
}

-- Storage, time and crashes ------------------------------------------------------------------

pred handOver {
  same[Handed, Decided] and same[Decided, Decided] and same[Durable, Durable]
  Handed.told' = Handed.told + Decided.told and no Decided.told'
  Handed.tasks' = Handed.tasks + Decided.tasks and no Decided.tasks'
  -- mutant told_when_handed breaks ToldIsTrue: Durable.told' = Durable.told + Decided.told
  Durable.told' = Durable.told
  -- mutant given_when_handed breaks WorkersHold: Durable.tasks' = Durable.tasks + Decided.tasks
  Durable.tasks' = Durable.tasks
  softStays and noted[none, none] and Ripe' = Ripe
}

pred flush {
  same[Durable, Handed] and same[Decided, Decided] and same[Handed, Handed]
  Decided.told' = Decided.told and Decided.tasks' = Decided.tasks
  no Handed.told' and no Handed.tasks'
  -- mutant flush_tells_all breaks ToldIsTrue:
  --   Durable.told' = Durable.told + Handed.told + Decided.told
  -- mutant never_told breaks Flushed: Durable.told' = Durable.told
  Durable.told' = Durable.told + Handed.told
  -- mutant never_given breaks Flushed: Durable.tasks' = Durable.tasks
  Durable.tasks' = Durable.tasks + Handed.tasks
  softStays and noted[none, none] and Ripe' = Ripe
}

-- The process ends, or a write failed. What was with storage has landed or has not.
pred crash {
  -- mutant opens_empty breaks ToldIsTrue: all t: Stage | no t.position'
  some s: Handed + Durable | all t: Stage | same[t, s]
  -- mutant told_from_before breaks ToldIsTrue: Decided.told' = Decided.told and no Handed.told'
  no (Decided + Handed).told'
  no (Decided + Handed).tasks'
  Durable.told' = Durable.told and Durable.tasks' = Durable.tasks
  forgotten and noted[none, none] and Ripe' in Ripe
}
pred forgotten {
  -- mutant deadlines_stay breaks SOFT_2: Soft.watched' = Soft.watched
  no Soft.watched'
  no Soft.beaten'
  -- mutant turns_stay breaks SOFT_1: Soft.ring' = Soft.ring
  no Soft.ring'
  no Soft.wakes'
  -- mutant not_blind breaks SOFT_1 SOFT_2: no Blind'
  Blind' = Soft
}
-- All of soft state may go at any time.
pred forget {
  rowsStay and nothingSaid and forgotten and noted[none, none] and Ripe' = Ripe
}
-- It is found again in the rows; a lease that was not watched gets its whole duration anew.
pred recover {
  -- mutant ring_not_found breaks SOFT_1: Soft.ring' = Soft.ring
  Soft.ring' = waiting[Decided, ReadyRows]
  -- mutant wakes_not_found breaks SOFT_1: Soft.wakes' = Soft.wakes
  Soft.wakes' = waiting[Decided, DueRows + ExpiryRows]
  -- mutant leases_not_found breaks SOFT_2: Soft.watched' = Soft.watched
  Soft.watched' = Decided.running
  Soft.beaten' = Soft.beaten
  no Blind'
  -- mutant found_over breaks FoundAnew: Ripe' = Ripe
  Ripe' = Ripe - (Decided.running - Soft.watched).Lease
  rowsStay and nothingSaid and noted[none, none]
}
pred pass { Ripe in Ripe' and rowsStay and softStays and nothingSaid and noted[none, none] }
pred idle { Ripe' = Ripe and rowsStay and softStays and nothingSaid and noted[none, none] }

pred step {
  Event in Enqueue + Cancel + Delete + Restart + Expedite + Import + Grant + Heartbeat + Report
    + GiveBack + Expire + Start + Clean + SetAside + Again iff some Subject
  Event not in Grant + Heartbeat + Report + GiveBack + Expire + Import implies no Task
  Event = Heartbeat iff some Caller
  -- Bound once, as what stands under a prime is of the next state.
  all j: Subject {
    Event = Enqueue implies enqueue[j]
    Event = Cancel implies (cancelWaiting[j] or cancelRunning[j])
    Event = Delete implies delete[j]
    Event = Restart implies restart[j]
    Event = Expedite implies expedite[j]
    Event = Import implies (no Task and import_[j, none] or some l: Task | import_[j, l])
    Event = Grant implies some l: Task | grant[j, l]
    Event = Heartbeat implies some l: Task, w: Caller | heartbeat[j, l, w]
    Event = Report implies some l: Task, e: End | report[j, l, e]
    Event = GiveBack implies some l: Task, e: End | giveBack[j, l, e]
    Event = Expire implies some l: Task | expire[j, l]
    Event = Start implies start[j]
    Event = Clean implies clean[j]
    Event = SetAside implies setAside[j]
    Event = Again implies again[j]
  }
  Event = Pass implies pass
  Event = HandOver implies handOver
  Event = Flush implies flush
  Event = Crash implies crash
  Event = Forget implies forget
  Event = Recover implies recover
  Event = Idle implies idle
}
-- The only fact: what the world may do next.
fact { always step }
