/*
 * The limits of one tenant: who holds slots, who waits for them, and who is looked at when.
 *
 * A job wants a slot of each of its limits, all or none. Those that wait and want the same limits
 * stand in one *line*, in order; a line is parked on one limit that has no slot for it. A command
 * that gives slots back searches the lines parked there, together and in order, a bounded number
 * of them; what it does not come to it leaves as a row, so that another goes on. A line that was
 * passed over too often gets a ticket: one slot of each limit that it wants is kept for the lowest
 * ticket.
 *
 * The steps of a search follow the command that began it before anything else does: Now is what it
 * has still to search, Left how long it may. In the code they are one batch.
 *
 * Abstracted: a count is the set of jobs that it counts; a place is where a job stands among all
 * that wait (priority, time, arrival); jobs that are not there, have ended or are not due are one;
 * one line may be passed over before the one that is served, else two are moved (in the code
 * 64); one pass is noted, the next gives a ticket (in the code 16); rate limits; durability (one
 * batch is all or nothing); what else becomes of a job (shard.als).
 */
module limits
open util/ordering[Place] as places
open util/ordering[Ticket] as tickets

sig Place {}
sig Ticket {}
sig Look {}
sig Key {
  var max: one Int,
  var held: set Job             -- the limit's row: how many
}
sig Line {
  wants: some Key,
  var at: set Key,              -- where it is parked
  var ticket: set Ticket
}
sig Job {
  line: one Line,
  var place: set Place          -- a row of its line
}
var sig Ready, Leased in Job {}
-- Lines that were passed over.
var sig Passed in Line {}
-- Rows: limits to be searched.
var sig Admits in Key {}
-- Of the command that runs: what it has still to search, and how long it may.
var sig Now in Key {}
var sig Left in Look {}

abstract sig Step {}
one sig Enter, Lease, LeaseJob, Leave, Back, Quit, Expedite, SetMax, Admit, Search, Suspend, Rest,
  Crash, Idle extends Step {}
var one sig Event in Step {}

-- What rows say ------------------------------------------------------------------------------

fun waiting: set Job { place.Place }
fun running: set Job { Ready + Leased }
fun jobsOf[ls: set Line]: set Job { line.ls & waiting }
fun paused: set Key { { k: Key | k.max = 0 } }
fun ticketed: set Line { ticket.Ticket }

-- Whose tickets come first; all of them for whoever is in no line.
fun lower[l: lone Line]: set Line {
  { m: ticketed - l | no l.ticket or m.ticket in tickets/prevs[l.ticket] }
}
fun kept[l: lone Line, k: Key]: Int {
  -- mutant nothing_kept breaks LIMIT_5 EveryoneRuns: 0
  -- mutant kept_from_all breaks TicketsRun EveryoneRuns: some ticketed & wants.k implies 1 else 0
  some lower[l] & wants.k implies 1 else 0
}
-- Whether a limit has a slot for a line, once `gone` has given its own back.
pred fits[l: lone Line, k: Key, gone: set Job] {
  -- mutant one_too_many breaks LIMIT_2: #(k.held - gone) <= k.max.minus[kept[l, k]]
  #(k.held - gone) < k.max.minus[kept[l, k]]
}
fun fitting: Line -> Key { { l: Line, k: l.wants | fits[l, k, none] } }
-- The limits that block a line: without slots for it. Who is parked there does not matter: two
-- limits, each to be searched, would pass lines to and fro.
fun blocking: Line -> Key {
  -- mutant heeds_others breaks EveryoneRuns TicketsRun:
  --   wants - fitting + { l: Line, k: l.wants - l.at | some at.k }
  wants - fitting
}
fun runnable: set Line { at.Key - blocking.Key }

-- Limits with slots for lines that are parked there, or with tickets while they are paused.
fun toSearch: set Key { Line.(at & fitting) + (paused & ticketed.wants) }
fun candidates: set Line { (at & fitting).Now }
fun front[ls: set Line]: lone Line { { l: ls | places/min[jobsOf[ls].place] in jobsOf[l].place } }
fun head[l: Line]: lone Job { { j: jobsOf[l] | j.place = places/min[jobsOf[l].place] } }
fun ahead[l: lone Line]: set Line {
  { m: Line | some jobsOf[m].place & places/prevs[places/min[jobsOf[l].place]] }
}

-- How rows change ----------------------------------------------------------------------------

pred sameMax { all k: Key | k.max' = k.max }
pred sameHeld { held' = held }
pred sameLines { at' = at and ticket' = ticket and Passed' = Passed and place' = place }
pred sameRuns { Ready' = Ready and Leased' = Leased }
pred sameRows { sameMax and sameHeld and sameLines and sameRuns and Admits' = Admits }

-- Before a command: nothing is left of the last one.
pred quiet { no Now }
pred begins[ks: set Key] {
  -- mutant never_searched breaks LIMIT_4: no Now'
  Now' = ks & toSearch'
  Left' = Look
}
pred parks[j: Job, p: Place] { place' = place + j -> p }
-- A line without jobs has no row.
pred leaves[j: Job] {
  place' = place - j -> Place
  let over = { l: j.line | jobsOf[l] in j } {
    -- mutant parked_for_ever breaks LIMIT_3: at' = at
    at' = at - over -> Key
    -- mutant ticket_outlives breaks LIMIT_6: ticket' = ticket
    ticket' = ticket - over -> Ticket
    Passed' = Passed - over
  }
}
fun ended[j: Job]: set Line { { l: j.line | jobsOf[l] in j } }

-- A job arrives, whichever way: an enqueue, its time, a retry, a restart, an import.
pred enter[j: Job, p: Place] {
  -- given: one command after the other, and nobody arrives who is here
  quiet and j not in waiting + running
  -- given: places are drawn (queue.als)
  p not in Job.place
  -- then
  -- mutant overtakes breaks NewcomersBehind:
  --   let shut = { k: j.line.wants | not fits[none, k, none] } {
  let shut = { k: j.line.wants | not fits[none, k, none] or some at.k } {
    -- mutant waits_and_holds breaks LIMIT_1:
    --   some shut implies held' = held + Key -> j else takes[j]
    some shut + j.line.at implies held' = held else takes[j]
    some shut + j.line.at implies sameRuns and parks[j, p] else becomesReady[j] and place' = place
    (some j.line.at or no shut) implies at' = at else parksOn[j.line, shut]
  }
  ticket' = ticket and Passed' = Passed and sameMax and Admits' = Admits
  begins[none]
}
pred takes[j: Job] {
  -- mutant takes_one breaks LIMIT_1: some k: j.line.wants | held' = held + k -> j
  held' = held + j.line.wants -> j
}
pred gives[j: Job] {
  -- mutant gives_one breaks LIMIT_1: some k: j.line.wants | held' = held - k -> j
  held' = held - Key -> j
}
pred becomesReady[j: Job] { Ready' = Ready + j and Leased' = Leased - j }
-- One that blocks it; which one does not matter.
pred parksOn[l: Line, shut: set Key] {
  -- mutant parks_on_two breaks LIMIT_3: at' = at + l -> l.wants
  some k: shut | at' = at + l -> k
}

pred lease[j: Job] {
  -- given: one command after the other, and only what is ready is leased (shard.als)
  quiet and j in Ready
  -- then
  Ready' = Ready - j and Leased' = Leased + j
  sameMax and sameHeld and sameLines and Admits' = Admits
  begins[none]
}
-- One given job is leased: before those that wait, if all its limits have slots.
pred leaseJob[j: Job] {
  -- given: one command after the other
  quiet and j not in running
  -- mutant lease_any breaks LIMIT_2 LIMIT_5
  all k: j.line.wants | fits[lineOf[j], k, none]
  -- then
  takes[j]
  Ready' = Ready and Leased' = Leased + j
  j in waiting implies servedIn[j.line, j] else sameLines
  sameMax and Admits' = Admits
  begins[none]
}
-- The line that a job waits in.
fun lineOf[j: Job]: lone Line { (j & waiting).line }
-- A line has had a turn: how often it was passed over counts anew.
pred servedIn[l: Line, j: Job] {
  place' = place - j -> Place
  at' = at - ended[j] -> Key
  ticket' = ticket - l -> Ticket
  Passed' = Passed - l
}

-- A job gives its slots back: an end, a back-off, a cancel or a removal while it is ready.
pred leave[j: Job] {
  -- given: one command after the other, and whoever leaves was there
  quiet and j in running
  -- then
  gives[j]
  Ready' = Ready - j and Leased' = Leased - j
  sameMax and sameLines and Admits' = Admits
  -- mutant one_is_searched breaks LIMIT_4: begins[j.line.at]
  begins[j.line.wants]
}
-- It gives them back and waits at once: a release, a loss, a retry without delay.
pred back[j: Job, p: Place] {
  -- given: one command after the other, and whoever is given back was leased
  quiet and j in Leased
  -- given: places are drawn (queue.als)
  p not in Job.place
  -- then
  let shut = { k: j.line.wants | not fits[none, k, j] or some at.k } {
    some shut + j.line.at implies gives[j] else held' = held
    some shut + j.line.at implies Ready' = Ready and Leased' = Leased - j and parks[j, p]
      else becomesReady[j] and place' = place
    (some j.line.at or no shut) implies at' = at else parksOn[j.line, shut]
  }
  ticket' = ticket and Passed' = Passed and sameMax and Admits' = Admits
  -- mutant back_unsearched breaks LIMIT_4: begins[none]
  begins[j.line.wants]
}
-- One that waits is cancelled, removed, set aside.
pred quit[j: Job] {
  -- given: one command after the other, and whoever goes was there
  quiet and j in waiting
  -- then
  leaves[j]
  sameMax and sameHeld and sameRuns and Admits' = Admits
  -- mutant ticket_kept_elsewhere breaks LIMIT_4: begins[j.line.at]
  -- mutant quit_unsearched breaks LIMIT_4: begins[none]
  begins[ended[j].wants]
}
-- One that waits stands before all others of its line.
pred expedite[j: Job, p: Place] {
  -- given: one command after the other, and whoever is expedited waits
  quiet and j in waiting
  -- given: places are drawn (queue.als)
  p not in Job.place and p in places/prevs[places/min[Job.place]]
  -- then
  -- mutant expedite_stays breaks ExpeditedIsFirst: place' = place
  place' = (place - j -> Place) + j -> p
  at' = at and ticket' = ticket and Passed' = Passed
  sameMax and sameHeld and sameRuns and Admits' = Admits
  begins[none]
}
-- Another maximum, by an enqueue, an operator or a refresh; none pauses the limit.
-- (SILO-LIMIT-T3)
pred setMax[k: Key, n: Int] {
  -- given: one command after the other, and no maximum is below none
  quiet and n >= 0
  -- then
  k.max' = n
  all other: Key - k | other.max' = other.max
  sameHeld and sameLines and sameRuns and Admits' = Admits
  -- mutant raised_unsearched breaks LIMIT_4 LIMIT_6: begins[none]
  begins[k]
}
-- What an earlier command left is gone on with. (SILO-LIMIT-T2)
pred admit[k: Key] {
  -- given: one command after the other, and there is something left
  quiet and k in Admits
  -- then
  -- mutant admits_all breaks LIMIT_4: no Admits'
  Admits' = Admits - k
  sameMax and sameHeld and sameLines and sameRuns
  -- mutant admit_does_nothing breaks LIMIT_4: begins[none]
  begins[k]
}

-- The parts of a search ----------------------------------------------------------------------

-- Serves the first line that fits if at most one stands before it, else moves the first two.
-- (SILO-LIMIT-T1)
pred search {
  -- given: it goes on while it may
  some Now and some Left
  -- given: tickets that reserve for nothing are taken first
  no paused & Now & ticketed.wants
  -- then
  let c = candidates, g = choice[c & runnable] {
    some g and lone c & ahead[g] implies serve[g] else move[front[c] + front[c - front[c]]]
    passedOver[front[c] - choice[g], { l: choice[g] | lone c & ahead[g] }]
  }
  Now' = Now & toSearch'
  some look: Left | Left' = Left - look
  sameMax and Admits' = Admits
}
fun choice[ls: set Line]: lone Line {
  -- mutant serves_any breaks InOrder: { l: ls | one ls or l != front[ls] }
  front[ls]
}
pred serve[g: Line] {
  takes[head[g]]
  Ready' = Ready + head[g] and Leased' = Leased
  -- mutant served_waits breaks LIMIT_3: place' = place
  place' = place - head[g] -> Place
  at' = at - ended[head[g]] -> Key
}
-- To a limit that blocks it. Its place stays, and so do its passes and its ticket.
pred move[ls: set Line] {
  all l: Line - ls | l.at' = l.at
  -- mutant moves_anywhere breaks LIMIT_4: all l: ls | one l.at' and l.at' in l.wants
  -- mutant moves_nowhere breaks LIMIT_3: all l: ls | no l.at'
  all l: ls | one l.at' and l.at' in l.blocking
  sameHeld and sameRuns and place' = place
}
-- Notes the first line of a search if another was served or it was moved; the second time it gets
-- a ticket. Whoever was served is not known any more.
pred passedOver[f, g: lone Line] {
  let known = f & Passed - ticketed, gets = { l: known | no l.wants & paused } {
    -- mutant never_a_ticket breaks EveryoneRuns FirstIsNoted: ticket' = ticket - g -> Ticket
    numbers[gets, g]
    -- mutant forgets_passes breaks EveryoneRuns FirstIsNoted: Passed' = Passed - gets - g - f
    -- mutant never_noted breaks EveryoneRuns FirstIsNoted: Passed' = Passed - gets - g
    Passed' = (Passed + (f - ticketed)) - gets - g
  }
}

-- Tickets are numbers that are drawn from the tenant's row: a new one comes after all others.
pred numbers[gets: lone Line, served: lone Line] {
  no gets implies ticket' = ticket - served -> Ticket
  -- mutant any_number breaks TicketsInOrder LIMIT_6: some gets implies some t: Ticket |
  --   ticket' = (ticket - served -> Ticket) + gets -> t
  some gets implies some t: after_ | ticket' = (ticket - served -> Ticket) + gets -> t
}
fun after_: set Ticket { Ticket - Line.ticket - tickets/prevs[Line.ticket] }

-- A limit is paused: whoever wants it loses its ticket, which would keep slots for nothing.
pred suspend[l: Line] {
  -- given: it goes on while it may, and there is something to take
  some Left and l in ticketed and some l.wants & paused & Now
  -- then
  ticket' = ticket - l -> Ticket and Passed' = Passed - l
  at' = at and place' = place
  sameMax and sameHeld and sameRuns and Admits' = Admits
  -- mutant suspends_here breaks LIMIT_4: Now' = Now & toSearch'
  Now' = (Now + l.wants) & toSearch'
  some look: Left | Left' = Left - look
}
-- It may not go on: what is left stands in rows.
pred rest {
  -- given: there is something left
  some Now and no Left
  -- then
  -- mutant rest_forgets breaks LIMIT_4 LIMIT_6: Admits' = Admits
  Admits' = Admits + Now
  no Now' and Left' = Look
  sameMax and sameHeld and sameLines and sameRuns
}
-- What is not in rows is lost.
pred crash {
  -- given: one batch is all or nothing
  quiet
  -- then
  sameMax and sameHeld and sameLines and sameRuns
  -- mutant admits_are_soft breaks LIMIT_4 LIMIT_6: no Admits'
  Admits' = Admits
  no Now' and Left' = Look
}
pred idle { sameRows and Now' = Now and Left' = Left }

pred step {
  Event = Enter implies some j: Job, p: Place | enter[j, p]
  Event = Lease implies some j: Job | lease[j]
  Event = LeaseJob implies some j: Job | leaseJob[j]
  Event = Leave implies some j: Job | leave[j]
  Event = Back implies some j: Job, p: Place | back[j, p]
  Event = Quit implies some j: Job | quit[j]
  Event = Expedite implies some j: Job, p: Place | expedite[j, p]
  Event = SetMax implies some k: Key, n: Int | setMax[k, n]
  Event = Admit implies some k: Key | admit[k]
  Event = Search implies search
  Event = Suspend implies some l: Line | suspend[l]
  Event = Rest implies rest
  Event = Crash implies crash
  Event = Idle implies idle
}
-- The only fact: what the world may do next.
fact { always step }

-- What is always so --------------------------------------------------------------------------

-- Whoever runs holds a slot of each of its limits, and nobody else holds any.
pred limit_1 {
  all k: Key | k.held = { j: running | k in j.line.wants }
  no Ready & Leased
}
-- A line is parked, on one of its limits, exactly while jobs of it wait; these do not run.
pred limit_3 {
  all l: Line | some l.at iff some jobsOf[l]
  all l: Line | lone l.at and l.at in l.wants
  no waiting & running
}
-- A line that its limit has a slot for is searched, or will be.
pred limit_4 { toSearch in Now + Admits }
-- Tickets are a total order of lines that wait, and none keeps slots while a limit is paused.
pred limit_6 {
  ticketed in at.Key
  all t: Ticket | lone ticket.t
  all l: Line | lone l.ticket
  paused & ticketed.wants in Now + Admits
}
pred shape {
  all p: Place | lone place.p
  all j: Job | lone j.place
  all k: Key | k.max >= 0 and k.max <= 3
  Now in toSearch
  Passed in at.Key - ticketed
}
pred sound { limit_1 and limit_3 and limit_4 and limit_6 and shape }
pred init {
  no place and no Ready and no Leased and no held and no at and no ticket and no Passed
  -- mutant begins_left breaks Begins
  no Now
  no Admits
  all k: Key | k.max >= 0 and k.max <= 3
}
check Begins { init implies sound } for 3 but 4 Int, 1 steps expect 0
-- SILO-LIMIT-1: with it, nobody who waits holds anything, so nobody waits for one who waits.
check LIMIT_1 { sound implies after limit_1 } for 3 but 4 Job, 4 Int, 2 steps expect 0
-- SILO-LIMIT-2: a slot is given out only if there is one, also after the maximum was lowered.
check LIMIT_2 {
  sound implies all k: Key | some k.held' - k.held implies #k.held' <= k.max
} for 3 but 4 Job, 4 Int, 2 steps expect 0
-- SILO-LIMIT-3
check LIMIT_3 { sound implies after limit_3 } for 3 but 4 Job, 4 Place, 4 Int, 2 steps expect 0
-- SILO-LIMIT-4
check LIMIT_4 { sound implies after limit_4 } for 3 but 4 Job, 4 Place, 4 Int, 2 steps expect 0
-- SILO-LIMIT-5: a limit that has a slot for the line with the lowest ticket keeps it for that.
check LIMIT_5 {
  sound and Event != SetMax implies all l: ticketed |
    no lower[l] and l in ticketed' and jobsOf[l] in waiting' implies l.fitting in l.(fitting')
} for 3 but 4 Job, 4 Place, 4 Int, 2 steps expect 0
-- SILO-LIMIT-6
check LIMIT_6 { sound implies after limit_6 } for 3 but 4 Job, 4 Place, 4 Int, 2 steps expect 0
-- The first ticket is kept from by nobody: it is served once each of its limits has a slot at all.
check TicketsRun {
  sound implies all l: ticketed |
    no lower[l] and (all k: l.wants | #k.held < k.max) implies l in runnable
} for 3 but 4 Job, 4 Place, 4 Int, 1 steps expect 0
-- Nobody gets before a ticket, so a ticket waits for those before it, once each.
check TicketsInOrder {
  sound implies all l: ticketed' {
    l in ticketed implies (lower[l])' in lower[l] and l.ticket' = l.ticket
    l not in ticketed implies ticketed & ticketed' in (lower[l])'
  }
} for 3 but 4 Job, 4 Place, 4 Int, 2 steps expect 0
-- Whoever stands first in a search and is not served comes nearer to a ticket, also where it is
-- moved; nothing but a turn, its end or a pause takes that away.
check FirstIsNoted {
  sound implies {
    Event = Search implies all l: front[candidates] | some jobsOf[l] & Ready' or
      l in Passed' + ticketed' and (l in Passed implies l in ticketed' or some l.wants & paused)
    Event = Search implies all l: Passed + ticketed |
      some jobsOf[l] & Ready' or l in Passed' + ticketed' and (l in ticketed implies l in ticketed')
  }
} for 3 but 4 Job, 4 Place, 4 Int, 2 steps expect 0
-- Whoever is served was the first that could be.
check InOrder {
  sound and Event = Search implies all g: Line | some jobsOf[g] & Ready' implies
    no candidates & runnable & ahead[g] and head[g] in Ready'
} for 3 but 4 Job, 4 Place, 4 Int, 2 steps expect 0
-- Nobody who arrives goes past those that wait for a slot of the same limit.
check NewcomersBehind {
  sound and Event in Enter + Back implies all j: Ready' - Ready | no at.(j.line.wants)
} for 3 but 4 Job, 4 Place, 4 Int, 2 steps expect 0
check ExpeditedIsFirst {
  sound and Event = Expedite implies
    some j: waiting & waiting' | j.place' not in j.place and places/min[Job.place'] in j.place'
} for 3 but 4 Job, 4 Place, 4 Int, 2 steps expect 0

-- Whoever waits runs, if leases end, what is left is gone on with, and nobody pushes in.
pred fair {
  always Event in Enter + Leave + Admit + Search + Rest + Idle
  all j: Job | always (j in running implies eventually j not in running)
  all k: Key | always (k in Now + Admits implies eventually k not in Now + Admits)
  all j: Job | always (j in waiting' - waiting implies
    (j.place' in places/nexts[places/max[Job.place]] or no waiting))
}
check EveryoneRuns {
  sound and quiet and no paused and fair implies
    all j: waiting | eventually j not in waiting
} for 2 but 3 Job, 3 Line, 3 Place, 1 Look, 3 Int, 1..7 steps expect 0

-- What can happen ----------------------------------------------------------------------------

pred empty { init and no Admits and no paused }
-- Three jobs want a limit of two; the third waits, and runs when one of them ends.
run TwoOfThree {
  empty and some k: Key | k.max = 2 and eventually (#k.held = 2 and some at.k and Event = Leave
    and after (Event = Search and some jobsOf[at.k] & Ready'))
} for 3 but 1 Line, 4 Int, 1..7 steps expect 1
-- A line is served while one before it is blocked elsewhere, and that one stays where it is.
run PassedOver {
  empty and eventually (Event = Search and some f: front[candidates] |
    some Ready' - Ready and f not in (Ready' - Ready).line and f.at' = f.at and f in Passed')
} for 3 but 2 Line, 4 Job, 4 Int, 1..8 steps expect 1
-- A line is moved to the limit that blocks it, back again, gets its ticket on the way, and is
-- served while another waits for a slot that is kept.
run TicketIsServed {
  empty and eventually (Event = Search and some l: ticketed' - ticketed {
    l.at' != l.at
    eventually (some k: l.wants - l.at | l.ticket = l.ticket and k in l.fitting and some at.k - l
      and no (at & fitting).k and eventually (Event = Search and some jobsOf[l] & Ready'))
  })
  always Event in Enter + Leave + Search + Idle
} for 3 but 2 Key, 1 Ticket, 1 Look, 3 Int, 12 steps expect 1
-- A line that has its ticket is moved, and keeps it.
run TicketMoves {
  sound and quiet and Event = Leave and after (Event = Search and some l: ticketed & ticketed' |
    l.at' != l.at and no lower[l])
} for 3 but 4 Int, 1..4 steps expect 1
-- Two lines with tickets want the same two limits, parked on one each: the first goes first.
run TwoTickets {
  sound and quiet and some disj a, b: ticketed {
    a.wants = b.wants and #a.wants = 2 and a.at != b.at and a in lower[b]
    eventually (some jobsOf[a] & Ready' and after eventually (some jobsOf[b] & Ready'))
  }
  no paused and always Event in Leave + Search + Admit + Rest + Idle
} for 3 but 4 Job, 4 Place, 4 Int, 1..8 steps expect 1
-- A search ends before it is through, the process dies, and another goes on.
run LeftForLater {
  sound and quiet and no Admits and eventually (Event = Rest and after (Event = Crash
    and after (Event = Admit and after (Event = Search and some Ready' - Ready))))
} for 3 but 4 Job, 4 Place, 1 Look, 4 Int, 1..7 steps expect 1
-- A limit is paused: whoever had a ticket for it and for another makes way for those of the other.
run PausedMakesWay {
  sound and quiet and no Admits and some disj k, other: Key, l: ticketed {
    k + other in l.wants and other.max = 1 and no other.held and some at.other - l
    Event = SetMax and after (k in paused and Event = Suspend
      and after (Event = Search and some other.held'))
  }
} for 3 but 4 Int, 1..5 steps expect 1
-- A maximum is raised, and two run that waited; it is lowered, and what runs goes on.
run RaisedAndLowered {
  empty and some k: Key | k.max = 1 and eventually (Event = SetMax and k.max' = 3 and after after
    (#k.held = 2 and Event = Search and #k.held' = 3 and eventually (k in paused and #k.held = 3)))
} for 3 but 1 Line, 4 Int, 1..9 steps expect 1
