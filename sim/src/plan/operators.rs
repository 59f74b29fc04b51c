//! Operators: what they set, pause and resume, in a stream of their own, so that worlds without
//! operators are what they were before there were any.

use crate::clock::{At, MS};
use crate::plan::config::Config;
use crate::plan::profile::Profile;
use crate::plan::{Ask, Said, Step, What};
use crate::random::Draw;

/// Most things that operators do in a world.
const DONE_MAX: u64 = 80;

/// What operators do in a world.
#[derive(Debug)]
pub struct Operators {
    draw: Draw,
    /// Whether they do anything.
    are_there: bool,
    /// Which of the kinds of [`Operators::one`] come up, and how often.
    kinds: [u64; 7],
    tenants: u64,
    groups: u64,
    keys: u64,
    /// The highest number of a job.
    last_job: u32,
    span: At,
}

impl Operators {
    /// Those of a world whose jobs want slots of so many limits of their tenant.
    pub fn draw(seed: u64, config: &Config, keys: u64) -> Self {
        let mut draw = Draw::new(seed ^ 0x006f_7065_7261_746f);
        let share = match config.profile {
            Profile::Canary => 0,
            Profile::Limits => 600_000,
            _ => 300_000,
        };
        let are_there = draw.chance(share);
        // Some only pause, some only override.
        let kinds = std::array::from_fn(|_| draw.one(&[0, 1, 1, 4], 1));
        Self {
            are_there,
            kinds,
            tenants: config.tenants.into(),
            groups: config.groups.into(),
            keys,
            last_job: 0,
            span: config.span_ms * MS,
            draw,
        }
    }

    /// The weights of the configuration: none in most worlds.
    pub fn weights(&mut self) -> Vec<u32> {
        if !self.are_there || !self.draw.chance(400_000) {
            return Vec::new();
        }
        (0..self.tenants).map(|_| self.weight()).collect()
    }

    /// What they ask for, and when: beside these other steps, often while these have their effect.
    pub fn steps(&mut self, others: &[Step]) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.are_there {
            return steps;
        }
        let jobs = others.iter().filter_map(|step| match &step.what {
            What::Ask(ask) => ask.jobs().into_iter().max(),
            _ => None,
        });
        self.last_job = jobs.max().unwrap_or(0);
        let mut left = self.draw.skewed(2, DONE_MAX);
        while left > 0 {
            // Often several things are done at once, also by several people to one thing.
            let burst = self.draw.skewed(1, 8).min(left);
            let from = self.begin(others);
            let width = self.draw.one(&[0, MS, 50 * MS, 1_000 * MS], MS);
            let is_one_thing = self.draw.chance(500_000);
            let mut thing = self.thing();
            for _ in 0..burst {
                if !is_one_thing {
                    thing = self.thing();
                }
                let at = from + self.draw.between(0, width);
                self.one(at, thing, &mut steps);
            }
            left -= burst;
        }
        steps
    }

    fn begin(&mut self, others: &[Step]) -> At {
        let at = self.draw.between(0, self.span);
        let last = (others.len() as u64).saturating_sub(1);
        let other = self.draw.between(0, last) as usize;
        let after = self.draw.skewed(0, 300 * MS);
        match others.get(other) {
            Some(step) if self.draw.chance(500_000) => step.at + after,
            _ => at,
        }
    }

    /// What something is done to: kind, tenant, task group, limit. The first of each more often
    /// than the last.
    fn thing(&mut self) -> (usize, u32, u32, u8) {
        let total: u64 = self.kinds.iter().sum();
        let mut left = self.draw.between(0, total.max(1) - 1);
        let mut kind = 0;
        for (index, weight) in self.kinds.iter().enumerate() {
            kind = index;
            if left < *weight {
                break;
            }
            left -= weight;
        }
        let tenant = u32_of(self.draw.skewed(0, self.tenants - 1));
        let group = u32_of(self.draw.between(0, self.groups - 1));
        let key = self.draw.skewed(0, self.keys - 1);
        (kind, tenant, group, u8::try_from(key).unwrap_or(0))
    }

    /// Something is done, and maybe undone before long.
    fn one(&mut self, at: At, thing: (usize, u32, u32, u8), steps: &mut Vec<Step>) {
        let (kind, tenant, group, key) = thing;
        let ask = match kind {
            0 => {
                let maximum = self.draw.one(&[0, 1, 1, 1, 2, 3, 50], 1);
                let change = match self.draw.between(0, 5) {
                    0 => Said::Pause,
                    1 => Said::Resume,
                    2 => Said::Clear,
                    _ => Said::Maximum(maximum),
                };
                let change_back = match change {
                    Said::Pause => Said::Resume,
                    _ => Said::Clear,
                };
                self.undo(
                    at,
                    steps,
                    Ask::SetLimit {
                        tenant,
                        key,
                        change: change_back,
                    },
                );
                Ask::SetLimit {
                    tenant,
                    key,
                    change,
                }
            }
            1 => {
                let weight = if self.draw.chance(200_000) {
                    0
                } else {
                    self.weight()
                };
                Ask::SetTenant {
                    tenant,
                    weight: Some(weight),
                    paused: None,
                }
            }
            2 => {
                let weight = self.draw.chance(100_000).then(|| self.weight());
                self.undo(
                    at,
                    steps,
                    Ask::SetTenant {
                        tenant,
                        weight: None,
                        paused: Some(false),
                    },
                );
                Ask::SetTenant {
                    tenant,
                    weight,
                    paused: Some(true),
                }
            }
            3 | 4 => {
                let tenant = (kind == 3).then_some(tenant);
                let queue = |paused| Ask::SetQueue {
                    tenant,
                    group,
                    paused,
                };
                self.undo(at, steps, queue(false));
                queue(true)
            }
            5 => match self.draw.between(0, 3) {
                0 => Ask::GetTenant(tenant),
                1 => Ask::ListPaused,
                _ => Ask::Recount(tenant),
            },
            _ => {
                let many = self.draw.one(&[1, 2, 10, 1000], 1000);
                match self.draw.between(0, 3) {
                    0 => Ask::ListLimits(tenant, many),
                    1 => Ask::ShowLimit {
                        tenant,
                        key,
                        jobs: many,
                    },
                    _ => Ask::Explain(u32_of(self.draw.between(0, self.last_job.into()))),
                }
            }
        };
        steps.push(step(at, ask));
    }

    /// Most things are undone before the world's last phase undoes them, some at once.
    fn undo(&mut self, at: At, steps: &mut Vec<Step>, ask: Ask) {
        if self.draw.chance(800_000) {
            let after = self.draw.skewed(0, self.span / 2);
            steps.push(step(at + after, ask));
        }
    }

    fn weight(&mut self) -> u32 {
        self.draw.one(&[1, 1, 2, 3, 5, 20, 1_000], 2)
    }
}

const fn step(at: At, ask: Ask) -> Step {
    Step {
        at,
        id: 0,
        what: What::Ask(ask),
    }
}

fn u32_of(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
