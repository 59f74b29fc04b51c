/*
 * One job's attempts: their numbers, which of them are kept, and the data that they left.
 *
 * The latest attempt stands in the job's state, earlier ones have rows. Here at most two are kept
 * beside the latest; in the code it is a thousand. Data is a word; what is large has a row of its
 * own, in the slot of its attempt, or in slot zero when the job came with it.
 *
 * Abstracted: what else becomes of the job (shard.als), durability (one batch is all or nothing),
 * digests and lengths, several attempts in one import (as many steps).
 */
module attempts
open util/ordering[Number]

sig Number {}
sig Word {}
sig Large in Word {}
sig Nonce {}

one sig Job {
  var brought: lone Word,           -- what the job came with: its description
  var knows: lone Number,           -- the state knows that this has a row
  var ended: lone Number,           -- attempts that have ended; none: there is no state
  var earlier: lone Number,          -- of earlier runs
  var from: lone Number,            -- the first that is kept
  var last: lone Number,            -- the latest, if it was not given back
  var lastSaid: lone Word,          -- what it said, once it has ended
  var leased: lone Number,
  var rows: Number -> Word,         -- earlier attempts
  var payloads: set Number          -- rows of large data, by slot
}
var lone sig Aside in Job {}

abstract sig Step {}
one sig Take, Grant, Close, GiveBack, Restart, Import, Remove, SetAside, Mend, Idle extends Step {}
var one sig Event in Step {}

fun zero: Number { first }
fun upTo[n: Number]: set Number { n + prevs[n] }
fun between[a, b: Number]: set Number { (a + nexts[a]) & upTo[b] }
fun large[n: Number, w: set Word]: set Number { { m: n | some w & Large } }
-- The first that is kept when `n` is the latest of those that have rows.
fun keptFrom[n: Number]: set Number { n.prev & nexts[zero] + { m: n | n.prev in zero } }

-- Writes the latest attempt as an earlier one, and lets the oldest go.
pred keepLast {
  -- mutant keeps_all breaks ATT_1:
  --   Job.rows' = Job.rows + Job.last -> Job.lastSaid and Job.from' = Job.from
  -- mutant keeps_none breaks ATT_1: Job.rows' = Job.rows
  -- mutant drops_more breaks ATT_2: no Job.rows'.Word - Job.last and Job.from' = Job.last
  some Job.last implies rowsFrom[keptFrom[Job.last]] else rowsStay
}
pred rowsStay { Job.rows' = Job.rows and Job.from' = Job.from }
pred rowsFrom[oldest: Number] {
  let start = oldest in upTo[Job.from] implies Job.from else oldest {
    Job.from' = start
    Job.rows' = (start + nexts[start]) <: (Job.rows + Job.last -> Job.lastSaid)
  }
}
-- What is dropped takes its data with it.
fun dropped: set Number { { n: Number | n in Job.rows.Word and n not in Job.rows'.Word } }

pred take[w: Word] {
  -- mutant take_twice breaks ATT_2 JOB_3
  no Job.ended
  -- then
  Job.brought' = w
  -- mutant payload_unknown breaks DATA_1: no Job.knows'
  Job.knows' = large[zero, w]
  Job.ended' = zero and Job.earlier' = zero and Job.from' = zero.next
  no Job.last' and no Job.lastSaid' and no Job.leased' and no Job.rows' and no Aside'
  Job.payloads' = large[zero, w]
}
pred samePlea { Job.brought' = Job.brought and Job.knows' = Job.knows }

pred grant {
  -- given: only what waits is leased (shard.als)
  some Job.ended and no Job.leased and no Aside
  -- given: there are numbers left
  some Job.ended.next
  -- then
  keepLast
  -- mutant skips_a_number breaks ATT_1: Job.last' = Job.ended.next.next and some Job.last'
  -- mutant same_number breaks ATT_1: Job.last' = Job.ended
  Job.last' = Job.ended.next
  no Job.lastSaid'
  -- mutant leases_another breaks LEASE_1: Job.leased' = Job.ended
  Job.leased' = Job.ended.next
  Job.ended' = Job.ended and Job.earlier' = Job.earlier
  -- mutant data_stays breaks DATA_1: Job.payloads' = Job.payloads
  Job.payloads' = Job.payloads - dropped
  samePlea and no Aside'
}
pred close[w: Word] {
  -- mutant close_twice breaks ATT_2
  some Job.leased
  -- then
  Job.lastSaid' = w and Job.last' = Job.last and no Job.leased'
  -- mutant not_counted breaks ATT_1: Job.ended' = Job.ended
  Job.ended' = Job.last
  Job.earlier' = Job.earlier and Job.from' = Job.from and Job.rows' = Job.rows
  -- mutant no_data_row breaks DATA_1: Job.payloads' = Job.payloads
  -- mutant data_always breaks DATA_1: Job.payloads' = Job.payloads + Job.last
  Job.payloads' = Job.payloads + large[Job.last, w]
  samePlea and no Aside'
}
-- The number is used again.
pred giveBack {
  -- mutant give_back_ended breaks ATT_2
  some Job.leased
  -- then
  -- mutant given_back_kept breaks OpenIsLeased: Job.last' = Job.last
  no Job.last'
  no Job.lastSaid' and no Job.leased'
  -- mutant given_back_counts breaks ATT_1: Job.ended' = Job.leased
  Job.ended' = Job.ended
  Job.earlier' = Job.earlier and Job.from' = Job.from
  Job.rows' = Job.rows and Job.payloads' = Job.payloads and samePlea and no Aside'
}
pred restart {
  -- given: only what has ended is restarted (shard.als)
  some Job.ended and no Job.leased and no Aside
  -- then
  -- mutant numbers_anew breaks ATT_2: Job.ended' = zero
  Job.ended' = Job.ended
  -- mutant before_too_many breaks ATT_1: Job.earlier' = Job.ended.next and some Job.earlier'
  Job.earlier' = Job.ended
  Job.from' = Job.from and Job.last' = Job.last and Job.lastSaid' = Job.lastSaid and no Job.leased'
  Job.rows' = Job.rows and Job.payloads' = Job.payloads and samePlea and no Aside'
}
-- One more attempt, that ended elsewhere.
pred import_[w: Word] {
  -- given: only what does not run goes on elsewhere (shard.als)
  some Job.ended and no Job.leased and no Aside and some Job.ended.next
  -- then
  keepLast
  Job.last' = Job.ended.next and Job.lastSaid' = w and no Job.leased'
  -- mutant import_not_counted breaks ATT_1: Job.ended' = Job.ended
  Job.ended' = Job.ended.next
  Job.earlier' = Job.earlier
  -- mutant import_no_data breaks DATA_1: Job.payloads' = Job.payloads - dropped
  Job.payloads' = (Job.payloads - dropped) + large[Job.ended.next, w]
  samePlea and no Aside'
}
-- Reads nothing: what there is to remove the state knows.
pred remove {
  -- mutant remove_leased breaks JOB_3
  no Job.leased
  -- then
  no Job.brought' and no Job.knows' and no Job.ended' and no Job.earlier' and no Job.from'
  no Job.last' and no Job.lastSaid' and no Job.leased' and no Aside'
  -- mutant one_row_left breaks NothingIsLeft: Job.rows' = (Job.ended <: Job.rows)
  Job.rows' = (Number - between[Job.from, Job.ended]) <: Job.rows
  -- mutant payload_left breaks NothingIsLeft:
  --   Job.payloads' = Job.payloads - between[Job.from, Job.ended] - Job.last
  -- mutant last_data_left breaks NothingIsLeft:
  --   Job.payloads' = Job.payloads - Job.rows.Word - Job.knows
  Job.payloads' = Job.payloads - between[Job.from, Job.ended] - Job.last - Job.knows
}
-- Its lease goes, all else stays for whoever looks at it.
pred setAside {
  -- given: what is not there is not set aside (shard.als)
  some Job.ended
  -- then
  Aside' = Job
  -- mutant aside_leased breaks LEASE_1: Job.leased' = Job.leased
  no Job.leased'
  Job.ended' = Job.ended and Job.earlier' = Job.earlier and Job.from' = Job.from
  Job.last' = Job.last and Job.lastSaid' = Job.lastSaid
  Job.rows' = Job.rows and Job.payloads' = Job.payloads and samePlea
}
-- Given back: the open attempt is forgotten, and so is what came before a row that cannot be read.
pred mend[bad: lone Number] {
  -- given: only what was set aside is mended (shard.als)
  some Aside and bad in Job.rows.Word and some Job.ended.next
  -- then
  no Aside' and no Job.leased' and samePlea
  -- mutant mended_open breaks OpenIsLeased: Job.last' = Job.last and Job.lastSaid' = Job.lastSaid
  Job.last' = { n: Job.last | some Job.lastSaid } and Job.lastSaid' = Job.lastSaid
  Job.ended' = Job.ended and Job.earlier' = Job.ended
  -- mutant mended_gap breaks ATT_1: Job.from' = Job.from
  Job.from' = (some bad implies bad.next else Job.from)
  -- mutant mends_the_bad_only breaks ATT_1: Job.rows' = (Number - bad) <: Job.rows
  Job.rows' = (Number - upTo[bad]) <: Job.rows
  -- mutant mended_data_stays breaks DATA_1: Job.payloads' = Job.payloads
  Job.payloads' = Job.payloads - dropped
}
pred idle {
  Job.ended' = Job.ended and Job.earlier' = Job.earlier and Job.from' = Job.from
  Job.last' = Job.last and Job.lastSaid' = Job.lastSaid and Job.leased' = Job.leased
  Job.rows' = Job.rows and Job.payloads' = Job.payloads and samePlea and Aside' = Aside
}

pred step {
  Event = Take implies some w: Word | take[w]
  Event = Grant implies grant
  Event = Close implies some w: Word | close[w]
  Event = GiveBack implies giveBack
  Event = Restart implies restart
  Event = Import implies some w: Word | import_[w]
  Event = Remove implies remove
  Event = SetAside implies setAside
  Event = Mend implies (mend[none] or some n: Number | mend[n])
  Event = Idle implies idle
}
-- The only fact: what the world may do next.
fact { always step }

-- What is always so --------------------------------------------------------------------------

pred att_1 {
  some Job.ended and no Aside implies {
    Job.rows.Word = between[Job.from, (some Job.last implies Job.last.prev else Job.ended)]
    some Job.last implies Job.last = (some Job.lastSaid implies Job.ended else Job.ended.next)
    Job.earlier in upTo[Job.ended] and some Job.earlier
  }
  lone Job.rows.Word or some disj a, b: Number | a + b = Job.rows.Word
  all n: Number | lone n.(Job.rows)
}
pred openIsLeased {
  some Job.last and no Job.lastSaid and no Aside implies some Job.leased
}
pred lease_1 { some Job.leased implies Job.leased = Job.last and no Job.lastSaid and no Aside }
pred data_1 {
  Job.payloads = (Job.rows.Large + { n: Job.last | some Job.lastSaid & Large }
    + { n: zero | some Job.brought & Large })
  Job.brought in Large implies Job.knows = Job.brought.(Word -> zero)
  no Job.brought & Large implies no Job.knows
}
-- What a job that was set aside keeps, so that it can be removed or given back.
pred shape {
  some Job.ended implies one Job.brought and one Job.from and one Job.earlier
  some Job.last implies Job.last in Job.ended + Job.ended.next and Job.last not in zero
  some Job.lastSaid implies some Job.last
  some Aside implies {
    some Job.ended
    Job.rows.Word = between[Job.from, (some Job.last implies Job.last.prev else Job.ended)]
    some Job.last implies Job.last = (some Job.lastSaid implies Job.ended else Job.ended.next)
  }
  no Job.from & zero
  Job.earlier in upTo[Job.ended]
  some Job.from implies
    Job.from in upTo[some Job.last implies Job.last else Job.ended + Job.ended.next]
}
pred nothingIsLeft {
  no Job.ended implies {
    no Job.rows and no Job.payloads and no Job.brought and no Job.knows and no Job.last
    no Job.lastSaid and no Job.leased and no Job.from and no Job.earlier and no Aside
  }
}
pred sound { att_1 and openIsLeased and lease_1 and data_1 and shape and nothingIsLeft }
pred init {
  no Job.brought and no Job.knows and no Job.ended and no Job.earlier and no Job.from
  no Job.last and no Job.lastSaid and no Job.leased and no Aside
  -- mutant begins_with_rows breaks Begins
  no Job.rows and no Job.payloads
}

check Begins { init implies sound } for 2 but 6 Number, 1 steps expect 0
-- SILO-ATT-1
check ATT_1 { sound implies after (att_1 and shape) } for 2 but 6 Number, 2 steps expect 0
check OpenIsLeased { sound implies after openIsLeased } for 2 but 6 Number, 2 steps expect 0
-- SILO-LEASE-1
check LEASE_1 { sound implies after lease_1 } for 2 but 6 Number, 2 steps expect 0
-- SILO-DATA-1
check DATA_1 { sound implies after data_1 } for 2 but 6 Number, 2 steps expect 0
check NothingIsLeft { sound implies after nothingIsLeft } for 2 but 6 Number, 2 steps expect 0
-- SILO-ATT-2
check ATT_2 {
  sound and no Aside and some Job.ended and some Job.ended' implies {
    Job.ended in upTo[Job.ended']
    all n: (Job.from' + nexts[Job.from']) & upTo[Job.ended] |
      n.(Job.rows' + Job.last' -> Job.lastSaid') = n.(Job.rows + Job.last -> Job.lastSaid)
    Job.from' != Job.from implies #Job.rows' = 2
  }
} for 2 but 6 Number, 2 steps expect 0
-- SILO-JOB-3: what it brought stays, and it does not go while it runs.
check JOB_3 {
  sound and some Job.ended implies Job.brought' = Job.brought or (no Job.ended' and no Job.leased)
} for 2 but 6 Number, 2 steps expect 0

-- What can happen ----------------------------------------------------------------------------

-- Four attempts, the first of which is not kept any more; then it is removed.
run OldestGoes {
  init and eventually (#Job.rows = 2 and Job.from != zero.next and some Job.payloads & nexts[zero])
  eventually Event = Remove
} for 2 but 6 Number, 11 steps expect 1
run MendedWithoutHistory {
  init and eventually (Event = Mend and some Job.rows and after no Job.rows)
} for 2 but 6 Number, 8 steps expect 1
