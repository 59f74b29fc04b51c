//! Sizes, speeds and chances of one world: each seed draws its own.

use serde::{Deserialize, Serialize};
use silo_core::types::retention::Retention;
use silo_core::types::time::Millis;
use silo_runtime::executor::flushing::FlushPolicy;
use silo_runtime::executor::limits::{Dispatch, StageLimits};

use crate::plan::profile::{Family, Profile};
use crate::random::{Draw, Noise, Of, spread};

/// From, to; both included.
pub type Span = (u64, u64);

/// Sizes, speeds and chances of one world. Chances are in a million.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// What kind of world.
    pub profile: Profile,
    /// Which faults there are.
    pub families: Vec<Family>,
    /// Clients.
    pub clients: u32,
    /// Workers.
    pub workers: u32,
    /// Tasks that a worker runs at once.
    pub slots: u32,
    /// Tenants.
    pub tenants: u32,
    /// Task groups; workers serve them in turn.
    pub groups: u32,
    /// Steps happen within this time.
    pub span_ms: u64,
    /// The bounds of the stage.
    pub stage: StageConfig,
    /// The server's default lease.
    pub lease_ms: u64,
    /// How messages travel.
    pub network: Network,
    /// How storage works.
    pub storage: Storage,
    /// How workers work.
    pub work: Work,
    /// How long a stage that has something to do waits for its turn, in microseconds.
    pub turn_us: Span,
    /// Forget all rows before a turn.
    pub forget: u32,
    /// Forget hints before a turn.
    pub lose_soft: u32,
    /// By how much machines' clocks run too fast, in millionths; negative: too slow.
    pub drift: i64,
    /// Whether an endpoint stays with the server that it found first, until a call fails.
    #[serde(default)]
    pub is_faithful: bool,
    /// The weights that the configuration gives to tenants, by number; 1 to those beyond.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<u32>,
    /// Whether each decision is taken again over a complete map and compared.
    pub replay: bool,
    /// What is wrong with this world on purpose, so that the checks can be checked.
    #[serde(default)]
    pub wrong: Option<Wrong>,
}

/// A way in which what is around the stage is wrong. The checks must notice each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wrong {
    /// Storage says that what it has accepted is durable.
    DurableWhenAccepted,
    /// One row of each object of the log is not there.
    LosesARow,
    /// Objects of deposed owners are made all the same.
    NoFence,
    /// Reads do not see what is not durable.
    StaleLoads,
    /// Workers go on for as long as they like.
    DeafToLeases,
    /// Ticks never come.
    NoTicks,
}

/// The bounds of the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageConfig {
    /// As in [`StageLimits`], and so are the others.
    pub commands_max: usize,
    /// Commands decided in one round.
    pub round_commands_max: usize,
    /// Bytes of a round.
    pub batch_bytes_max: usize,
    /// Bytes not durable.
    pub unflushed_bytes_max: u64,
    /// Bytes of the working set.
    pub cache_bytes_max: usize,
    /// Rows read ahead.
    pub read_ahead_rows: usize,
    /// How long a write waits for a flush.
    pub flush_interval_ms: u64,
    /// Whether tasks are handed out before their leases are durable.
    pub speculative: bool,
    /// How long jobs are kept by default.
    pub kept_ms: Option<u64>,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Most of them, in microseconds.
    pub usual_us: Span,
    /// Slow ones.
    pub slow_us: Span,
    /// How many are slow.
    pub slow: u32,
    /// How many are lost.
    pub lost: u32,
    /// How many requests come twice, of those that may.
    pub doubled: u32,
    /// How long a client waits for an answer.
    pub timeout_ms: u64,
}

/// How storage works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Reading rows, in microseconds.
    pub load_us: Span,
    /// Taking a batch in.
    pub write_us: Span,
    /// Making an object.
    pub put_us: Span,
    /// Loads that fail.
    pub load_fails: u32,
    /// Batches that are not taken in.
    pub write_fails: u32,
    /// Objects whose making is said to have failed, and did.
    pub put_fails: u32,
    /// Objects whose making is said to have failed, and that are made all the same, maybe later.
    pub put_unknown: u32,
    /// Reads of the manifest that fail.
    pub proof_fails: u32,
    /// Writes after which storage flushes on its own.
    pub own_flush: u32,
}

/// How workers work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// How long a task takes, in microseconds.
    pub takes_us: Span,
    /// Long ones.
    pub long_us: Span,
    /// How many are long.
    pub long: u32,
    /// How long until an idle worker asks again, in microseconds.
    pub poll_us: Span,
    /// Tasks that fail.
    pub fails: u32,
    /// Failures that are final.
    pub is_final: u32,
    /// Tasks that are put off.
    pub snoozes: u32,
    /// Tasks that are given back.
    pub releases: u32,
    /// Tasks that are not heartbeated.
    pub silent: u32,
    /// Reports that are sent again after their answer.
    pub again: u32,
    /// Those that then say something else.
    pub otherwise: u32,
    /// Workers that go on although they were asked to stop.
    pub deaf: u32,
}

impl Config {
    /// The configuration that this stream draws.
    pub fn draw(draw: &mut Draw, profile: Profile) -> Self {
        let families = profile.families(draw);
        let has = |family: Family| families.contains(&family);
        let is_long = profile == Profile::Long;
        let is_faithful = profile == Profile::Zombies;
        let mut network = Network::draw(draw, has(Family::Network));
        if is_faithful {
            // They have the patience to hear what their server says when it wakes up.
            network.timeout_ms = 5_000;
        }
        let storage = Storage::draw(draw, has(Family::Loads), has(Family::Puts));
        let lease_ms = if is_faithful {
            draw.one(&[1_000, 2_000], 1_000)
        } else {
            draw.one(&[1_000, 2_000, 5_000, 10_000], 5_000)
        };
        let span_ms = if is_long {
            draw.between(60_000, 120_000)
        } else {
            draw.skewed(2_000, 60_000)
        };
        Self {
            profile,
            clients: u32_of(draw.between(if is_faithful { 4 } else { 1 }, 6)),
            workers: u32_of(draw.between(1, 6)),
            slots: u32_of(draw.skewed(1, 16)),
            tenants: u32_of(draw.skewed(1, if profile == Profile::Limits { 3 } else { 12 })),
            groups: u32_of(draw.between(1, 3)),
            span_ms,
            stage: StageConfig::draw(draw),
            lease_ms,
            network,
            storage,
            work: Work::draw(draw, lease_ms),
            turn_us: draw.one(&[(0, 0), (0, 20), (50, 500), (0, 5_000)], (0, 20)),
            forget: if has(Family::Memory) {
                rate(draw, 200_000)
            } else {
                0
            },
            lose_soft: if has(Family::Memory) {
                rate(draw, 20_000)
            } else {
                0
            },
            drift: if has(Family::Clocks) {
                draw.one(&[-500, -100, 0, 100, 500], 0)
            } else {
                0
            },
            is_faithful,
            weights: Vec::new(),
            replay: draw.chance(250_000),
            families,
            wrong: None,
        }
    }

    /// The bounds of the stage, as it takes them.
    pub const fn limits(&self) -> StageLimits {
        let stage = self.stage;
        StageLimits {
            commands_max: stage.commands_max,
            command_bytes_max: 8 << 20,
            round_commands_max: stage.round_commands_max,
            batch_bytes_max: stage.batch_bytes_max,
            unflushed_bytes_max: stage.unflushed_bytes_max,
            cache_bytes_max: stage.cache_bytes_max,
            read_ahead_rows: stage.read_ahead_rows,
            proof_window: Millis::new(self.lease_ms / 3),
            flush: FlushPolicy {
                interval: Millis::new(stage.flush_interval_ms),
                bytes: 4 << 20,
            },
            dispatch: if stage.speculative {
                Dispatch::Speculative
            } else {
                Dispatch::Durable
            },
            retention: Retention {
                succeeded: match stage.kept_ms {
                    Some(ms) => Some(Millis::new(ms)),
                    None => None,
                },
                failed: None,
                cancelled: match stage.kept_ms {
                    Some(ms) => Some(Millis::new(ms)),
                    None => None,
                },
            },
        }
    }

    /// How many can send messages: clients, then workers.
    pub const fn endpoints(&self) -> u32 {
        self.clients.saturating_add(self.workers)
    }
}

impl StageConfig {
    fn draw(draw: &mut Draw) -> Self {
        let is_tight = draw.chance(300_000);
        Self {
            commands_max: if is_tight {
                draw.one(&[4, 16, 64], 16)
            } else {
                16_384
            },
            round_commands_max: draw.one(&[1, 3, 64, 1024, 1024, 1024], 1024),
            batch_bytes_max: draw.one(&[200, 4_000, 1 << 20, 8 << 20, 8 << 20], 8 << 20),
            unflushed_bytes_max: draw.one(&[1, 2_000, 64 << 20, 64 << 20], 64 << 20),
            cache_bytes_max: draw.one(&[0, 2_000, 40_000, 64 << 20, 64 << 20, 64 << 20], 64 << 20),
            read_ahead_rows: draw.one(&[1, 4, 64, 64], 64),
            flush_interval_ms: draw.one(&[0, 0, 1, 10, 100], 0),
            speculative: draw.chance(200_000),
            kept_ms: draw.one(
                &[None, None, Some(0), Some(500), Some(5_000), Some(30_000)],
                None,
            ),
        }
    }
}

impl Network {
    fn draw(draw: &mut Draw, is_faulty: bool) -> Self {
        let fast = draw.one(&[50, 200, 1_000], 200);
        let chance = |draw: &mut Draw, most| {
            if is_faulty { rate(draw, most) } else { 0 }
        };
        Self {
            usual_us: (fast, fast * draw.between(1, 8)),
            slow_us: (1_000, draw.one(&[10_000, 300_000, 8_000_000], 10_000)),
            slow: chance(draw, 100_000),
            lost: chance(draw, 100_000),
            doubled: chance(draw, 100_000),
            timeout_ms: draw.one(&[300, 1_000, 5_000], 1_000),
        }
    }
}

impl Storage {
    fn draw(draw: &mut Draw, loads_fail: bool, puts_fail: bool) -> Self {
        let put = draw.one(&[500, 2_000, 10_000, 50_000], 2_000);
        let load = draw.one(&[20, 200, 2_000], 200);
        let load_fails = if loads_fail { rate(draw, 100_000) } else { 0 };
        let chance = |draw: &mut Draw, most| {
            if puts_fail { rate(draw, most) } else { 0 }
        };
        Self {
            load_us: (load, load * draw.between(1, 10)),
            write_us: (5, draw.one(&[20, 200, 2_000], 20)),
            put_us: (put, put * draw.between(1, 6)),
            load_fails,
            write_fails: chance(draw, 5_000),
            put_fails: chance(draw, 20_000),
            put_unknown: chance(draw, 20_000),
            proof_fails: chance(draw, 50_000),
            own_flush: if draw.chance(300_000) {
                rate(draw, 300_000)
            } else {
                0
            },
        }
    }
}

impl Work {
    fn draw(draw: &mut Draw, lease_ms: u64) -> Self {
        let usual = draw.one(&[500, 5_000, 50_000, 500_000], 5_000);
        let poll = draw.one(&[5_000, 30_000, 200_000], 30_000);
        let chance = |draw: &mut Draw, most| {
            if draw.chance(500_000) {
                rate(draw, most)
            } else {
                0
            }
        };
        Self {
            takes_us: (usual / 4, usual * 2),
            long_us: (lease_ms * 300, lease_ms * 3_000),
            long: chance(draw, 200_000),
            poll_us: (poll / 2, poll * 2),
            fails: chance(draw, 700_000),
            is_final: chance(draw, 300_000),
            snoozes: chance(draw, 100_000),
            releases: chance(draw, 100_000),
            silent: chance(draw, 500_000),
            again: chance(draw, 300_000),
            otherwise: chance(draw, 500_000),
            deaf: chance(draw, 500_000),
        }
    }
}

impl Noise {
    /// A time within a span, in its unit.
    pub fn within(self, of: Of, first: u64, second: u64, span: Span) -> u64 {
        spread(self.number(of, first, second), span.0, span.1)
    }
}

fn u32_of(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A chance: at most so many in a million, often much less.
fn rate(draw: &mut Draw, most: u32) -> u32 {
    most >> draw.between(0, 6)
}
