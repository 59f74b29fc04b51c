/*
 * One queue of a tenant: places, the low-water mark that reads begin at, and the row that knows it.
 *
 * A place is a time and a sequence number; here places stand in one order and each has a number.
 * The tenant's row has the next number and, while the queue has rows, its head: the mark and how
 * many rows there are (here: whose). Reads begin at the mark, so a row below it is never found.
 *
 * Abstracted: which queue (one of due, ready, expiry; a job that leaves this one may go to another
 * or have ended), time, the state of a job beside its place (shard.als), durability (one batch is
 * all or nothing).
 */
module queue
open util/ordering[Place] as order
open util/ordering[Seq] as seqs

sig Seq {}
sig Place { number: one Seq }
sig Job {}

one sig Tenant {
  var rows: Job -> Place,       -- the queue
  var held: Job -> Place,       -- places of jobs that are leased, to come back to
  var counted: set Job,         -- the head: how many rows
  var mark: lone Place,         -- the head: none stands below
  var next: lone Seq            -- the next number; none: the tenant has no row
}

abstract sig Step {}
one sig Enter, Serve, Pick, Back, Leave, Drop, Tick, Idle extends Step {}
var one sig Event in Step {}
-- What a tick takes off, and puts back.
var sig Page, Lost in Job {}

fun isThere: set Job { Tenant.rows.Place + Tenant.held.Place }

-- The head with one more row, and with one less.
pred with[j: Job, p: Place] {
  Tenant.counted' = Tenant.counted + j
  -- mutant mark_stays breaks IDX_2: Tenant.mark' = (some Tenant.mark implies Tenant.mark else p)
  Tenant.mark' = order/min[Tenant.mark + p]
}
pred without[j: Job, low: lone Place] {
  -- mutant count_stays breaks IDX_2: Tenant.counted' = Tenant.counted
  Tenant.counted' = Tenant.counted - j
  -- mutant head_stays breaks IDX_2: Tenant.mark' = low
  Tenant.mark' = (some Tenant.counted' implies low else none)
}
-- The row comes with the tenant's first job and goes with its last; a new one counts anew.
pred row[nextOne: lone Seq] {
  -- mutant row_goes_with_the_queue breaks TEN_2:
  --   Tenant.next' = (some Tenant.rows' implies nextOne else none)
  -- mutant row_never_goes breaks TEN_2: Tenant.next' = nextOne
  Tenant.next' = (some isThere' implies nextOne else none)
}
fun nextNow: one Seq { some Tenant.next implies Tenant.next else seqs/first }

-- A new place, wherever its time says.
pred enter[j: Job, p: Place] {
  -- given: one that is here enters by `back`
  j not in isThere
  -- mutant any_number breaks TEN_3 OnePlaceEach
  p.number = nextNow
  -- given: there are numbers left
  some nextNow.seqs/next
  -- then
  Tenant.rows' = Tenant.rows + j -> p and Tenant.held' = Tenant.held
  with[j, p]
  -- mutant number_stays breaks TEN_3: row[nextNow]
  row[nextNow.seqs/next]
}
-- The front is leased: all before it is served, so the mark may stand after it.
pred serve[j: Job] {
  -- mutant serve_another breaks IDX_2 InOrder
  j.(Tenant.rows) = order/min[Job.(Tenant.rows)]
  -- given: there is one
  some j.(Tenant.rows)
  -- then
  Tenant.rows' = Tenant.rows - j -> Place
  Tenant.held' = Tenant.held + j <: Tenant.rows
  without[j, j.(Tenant.rows).order/next]
  row[Tenant.next]
}
-- One given job is leased, out of its turn: the mark stays.
pred pick[j: Job] {
  -- given: there is one
  some j.(Tenant.rows)
  -- then
  Tenant.rows' = Tenant.rows - j -> Place
  Tenant.held' = Tenant.held + j <: Tenant.rows
  -- mutant pick_raises breaks IDX_2: without[j, j.(Tenant.rows).order/next]
  without[j, Tenant.mark]
  row[Tenant.next]
}
-- Given back or lost: at its old place, which may be below the mark by now.
pred back[j: Job] {
  -- given: there is one
  some j.(Tenant.held)
  -- then
  Tenant.rows' = Tenant.rows + j <: Tenant.held
  Tenant.held' = Tenant.held - j -> Place
  with[j, j.(Tenant.held)]
  row[Tenant.next]
}
-- A lease ends otherwise: nothing of the place is left.
pred drop[j: Job] {
  -- given: there is one
  some j.(Tenant.held)
  -- then
  Tenant.rows' = Tenant.rows and Tenant.held' = Tenant.held - j -> Place
  Tenant.counted' = Tenant.counted and Tenant.mark' = Tenant.mark
  row[Tenant.next]
}
-- Cancelled, deleted, expedited: out of the queue from wherever it stands.
pred leave[j: Job] {
  -- given: there is one
  some j.(Tenant.rows)
  -- then
  -- mutant row_stays breaks OnePlaceEach:
  --   Tenant.rows' = Tenant.rows and Tenant.held' = Tenant.held + j <: Tenant.rows
  Tenant.rows' = Tenant.rows - j -> Place and Tenant.held' = Tenant.held
  without[j, Tenant.mark]
  row[Tenant.next]
}
-- One command takes the front of the queue, as it stood before, and puts back those whose leases
-- have expired: the mark is raised by the first and lowered by the second, in this order.
pred tick[page, lost: set Job] {
  -- given: a page is what stands before some row, or all
  page in Tenant.rows.Place and no Tenant.rows[Job - page] & order/prevs[Tenant.rows[page]]
  -- given: those were leased
  lost in Tenant.held.Place
  -- then
  Tenant.rows' = (Tenant.rows - page -> Place) + lost <: Tenant.held
  Tenant.held' = Tenant.held - lost -> Place
  Tenant.counted' = (Tenant.counted - page) + lost
  let stays = order/min[Tenant.rows[Tenant.rows.Place - page]] {
    -- mutant raises_last breaks IDX_2:
    --   Tenant.mark' = (some stays implies stays else order/min[Job.(Tenant.rows')])
    -- mutant raises_too_far breaks IDX_2:
    --   Tenant.mark' = (some stays implies stays.order/next else order/min[Job.(Tenant.rows')])
    Tenant.mark' = order/min[stays + lost.(Tenant.held)]
  }
  row[Tenant.next]
}
pred idle {
  Tenant.rows' = Tenant.rows and Tenant.held' = Tenant.held and Tenant.counted' = Tenant.counted
  Tenant.mark' = Tenant.mark and Tenant.next' = Tenant.next
}

pred step {
  Event = Enter implies some j: Job, p: Place | enter[j, p]
  Event = Serve implies some j: Job | serve[j]
  Event = Pick implies some j: Job | pick[j]
  Event = Back implies some j: Job | back[j]
  Event = Leave implies some j: Job | leave[j]
  Event = Drop implies some j: Job | drop[j]
  Event = Tick implies tick[Page, Lost]
  Event = Idle implies idle
}
-- The only fact: what the world may do next.
fact { always step }

-- What is always so --------------------------------------------------------------------------

pred idx_2 {
  Tenant.counted = Tenant.rows.Place
  some Tenant.mark iff some Tenant.rows
  no Job.(Tenant.rows) & order/prevs[Tenant.mark]
}
pred ten_2 { some Tenant.next iff some isThere }
pred ten_3 { Job.(Tenant.rows + Tenant.held).number in seqs/prevs[Tenant.next] }
pred onePlaceEach {
  all j: Job | lone j.(Tenant.rows + Tenant.held)
  no Tenant.rows.Place & Tenant.held.Place
  all s: Seq | lone (Tenant.rows + Tenant.held).number.s
}
pred sound { idx_2 and ten_2 and ten_3 and onePlaceEach }
pred init {
  no Tenant.rows and no Tenant.held and no Tenant.counted
  -- mutant begins_counted breaks Begins
  no Tenant.mark and no Tenant.next
}

check Begins { init implies sound } for 3 but 1 steps expect 0
-- SILO-IDX-2
check IDX_2 { sound implies after idx_2 } for 4 but 2 steps expect 0
-- SILO-TEN-2
check TEN_2 { sound implies after ten_2 } for 4 but 2 steps expect 0
-- SILO-TEN-3
check TEN_3 { sound implies after ten_3 } for 4 but 2 steps expect 0
-- No two jobs of a tenant have the same place, and none has two.
check OnePlaceEach { sound implies after onePlaceEach } for 4 but 2 steps expect 0
-- Whoever is served has nobody before it.
check InOrder {
  sound and Event = Serve implies
    no Job.(Tenant.rows) & order/prevs[(Tenant.rows.Place - Tenant.rows'.Place).(Tenant.rows)]
} for 4 but 2 steps expect 0

-- What can happen ----------------------------------------------------------------------------

-- A job comes back below the mark, while another stands above it.
run BackBelowTheMark {
  init and eventually (Event = Back and some Tenant.mark
    and Tenant.mark' in order/prevs[Tenant.mark])
} for 4 but 7 steps expect 1
-- A tick takes one job and puts another back, and one stays.
run TickDoesBoth {
  init and eventually (Event = Tick and some Tenant.rows - Tenant.rows'
    and some Tenant.rows' - Tenant.rows and some Tenant.rows & Tenant.rows')
} for 4 but 8 steps expect 1
