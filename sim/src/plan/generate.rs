//! The plan of a seed.

use crate::clock::MS;
use crate::plan::config::Config;
use crate::plan::operators::Operators;
use crate::plan::profile::{Family, Profile};
use crate::plan::wants::Wants;
use crate::plan::{Ask, JobSpec, Naming, PLAN_VERSION, Plan, Step, Want, What};
use crate::random::Draw;

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64, profile: Profile) -> Self {
        let mut draw = Draw::new(seed);
        let mut config = Config::draw(&mut draw, profile);
        let wants = Wants::draw(seed, profile);
        let mut operators = Operators::draw(seed, &config, wants.keys());
        config.weights = operators.weights();
        let mut makes = Makes::new(draw, config, wants);
        makes.asks();
        makes.crowds();
        makes.faults();
        let more = operators.steps(&makes.steps);
        makes.steps.extend(more);
        let mut steps = makes.steps;
        steps.sort_by_key(|step| step.at);
        for (id, step) in (0..).zip(&mut steps) {
            step.id = id;
        }
        Self {
            version: PLAN_VERSION,
            seed,
            config: makes.config,
            steps,
        }
    }
}

struct Makes {
    draw: Draw,
    config: Config,
    steps: Vec<Step>,
    jobs: u32,
    /// How many in a million asks name a job that is new.
    fresh: u32,
    weights: Vec<u64>,
    large: u32,
    delayed: u32,
    /// What was imported, with how many failures.
    imported: Vec<(Vec<JobSpec>, u32)>,
    wants: Wants,
}

/// Which kinds of asks are about limits: to expedite a job, to lease one out of turn.
const ABOUT_LIMITS: [usize; 2] = [5, 8];

impl Makes {
    fn new(mut draw: Draw, config: Config, wants: Wants) -> Self {
        let fresh = draw.one(&[300_000, 600_000, 900_000], 600_000);
        // Some worlds never cancel, some hardly do anything else.
        let mut weights: Vec<u64> = (0..13).map(|_| draw.one(&[0, 1, 1, 4], 1)).collect();
        for (which, weight) in weights.iter_mut().enumerate() {
            if config.profile == Profile::Limits && ABOUT_LIMITS.contains(&which) {
                *weight += 1;
            }
        }
        let large = draw.one(&[0, 20_000, 300_000], 0);
        let delayed = draw.one(&[0, 200_000, 700_000], 200_000);
        Self {
            draw,
            config,
            steps: Vec::new(),
            jobs: 0,
            fresh,
            weights,
            large,
            delayed,
            imported: Vec::new(),
            wants,
        }
    }

    fn at(&mut self) -> u64 {
        let span = self.config.span_ms * MS;
        self.draw.between(0, span)
    }

    fn add(&mut self, at: u64, what: What) {
        self.steps.push(Step { at, id: 0, what });
    }

    fn asks(&mut self) {
        let most = if self.config.profile == Profile::Long {
            8_000
        } else {
            1_200
        };
        let mut left = self.draw.skewed(20, most);
        while left > 0 {
            // Often several come at once.
            let burst = self.draw.skewed(1, 40).min(left);
            let at = self.at();
            let width = self.draw.one(&[0, MS, 100 * MS, 2_000 * MS], MS);
            for _ in 0..burst {
                let ask = self.ask();
                let at = at + self.draw.between(0, width);
                self.add(at, What::Ask(ask));
            }
            left -= burst;
        }
    }

    /// Many come at once that want the same.
    fn crowds(&mut self) {
        if self.config.profile != Profile::Limits || !self.draw.chance(400_000) {
            return;
        }
        for _ in 0..self.draw.between(1, 2) {
            let crowd = self.wants.crowd();
            let from = self.at();
            let tenant = self.a_tenant();
            let first = self.jobs;
            for limits in crowd.wants {
                let at = from + self.draw.between(0, crowd.width);
                let spec = self.of_crowd(tenant, limits);
                self.add(at, What::Ask(Ask::Enqueue(spec)));
            }
            if let Some((limits, after)) = crowd.then {
                let spec = self.of_crowd(tenant, limits.clone());
                self.add(from + after, What::Ask(Ask::Enqueue(spec)));
                // Somebody asks for one of them, or comes, before a tick has come to all.
                for _ in 0..self.draw.between(0, 12) {
                    let at = from + after + self.draw.between(0, MS);
                    let ask = if self.draw.chance(500_000) {
                        let all = u64::from(self.jobs - first);
                        Ask::LeaseJob(first + u32_of(self.draw.between(0, all)))
                    } else {
                        Ask::Enqueue(self.of_crowd(tenant, limits.clone()))
                    };
                    self.add(at, What::Ask(ask));
                }
            }
        }
    }

    fn of_crowd(&mut self, tenant: u32, limits: Vec<Want>) -> JobSpec {
        self.jobs += 1;
        JobSpec {
            job: self.jobs - 1,
            tenant,
            naming: Naming::Repeatable,
            start_in_ms: None,
            limits,
            ..self.spec()
        }
    }

    fn ask(&mut self) -> Ask {
        if self.jobs == 0 || self.draw.chance(550_000) {
            let spec = self.spec();
            return match self.draw.between(0, 19) {
                0 => {
                    let count = self.draw.between(1, 6);
                    let tenant = spec.tenant;
                    let rest = (0..count).map(|_| JobSpec {
                        tenant,
                        ..self.spec()
                    });
                    let jobs = std::iter::once(spec).chain(rest.collect::<Vec<_>>());
                    Ask::EnqueueAll(jobs.collect())
                }
                1 => self.import(spec),
                _ => Ask::Enqueue(spec),
            };
        }
        let job = self.known();
        let total: u64 = self.weights.iter().sum();
        let mut left = self.draw.between(0, total.max(1) - 1);
        let mut which = 0;
        for (index, weight) in self.weights.iter().enumerate() {
            which = index;
            if left < *weight {
                break;
            }
            left -= weight;
        }
        match which {
            0 | 1 => Ask::Cancel(job),
            2 => Ask::Delete(job),
            3 | 4 => Ask::Restart(job),
            5 => Ask::Expedite(job),
            6 => Ask::Get(job, self.draw.chance(500_000)),
            7 => Ask::Result(job),
            8 => Ask::LeaseJob(job),
            9 => Ask::Enqueue(JobSpec { job, ..self.spec() }),
            10 => Ask::List {
                tenant: self.a_tenant(),
                group: self.draw.one(&[None, None, Some(0), Some(1)], None),
                ended: self.draw.one(&[None, None, Some(true), Some(false)], None),
                page: self.draw.one(&[2, 10, 100, 1_000], 10),
            },
            11 => Ask::Await(job),
            _ => Ask::ListSetAside,
        }
    }

    /// New jobs, or such as were imported before with more of their history.
    fn import(&mut self, spec: JobSpec) -> Ask {
        let succeeded = self.draw.chance(100_000);
        let back = self.draw.skewed(1, self.imported.len().max(1) as u64) as usize;
        if self.draw.chance(500_000)
            && let Some((jobs, before)) = self.imported.iter().rev().nth(back - 1).cloned()
        {
            let failures = before + u32_of(self.draw.between(0, 3));
            return Ask::Import {
                jobs,
                failures,
                succeeded,
            };
        }
        let other = self.spec();
        let jobs: Vec<JobSpec> = [spec, other].into_iter().map(named).collect();
        let failures = u32_of(self.draw.skewed(0, 6));
        self.imported.push((jobs.clone(), failures));
        Ask::Import {
            jobs,
            failures,
            succeeded,
        }
    }

    /// Many ask about a few jobs, of whoever each takes for the owner.
    fn talk(&mut self, from: u64, ms: u64) {
        let about = self.known();
        for _ in 0..self.draw.between(10, 60) {
            let at = from + self.draw.between(0, ms * 2 * MS);
            let job = about.saturating_add(u32_of(self.draw.between(0, 2)));
            let ask = match self.draw.between(0, 7) {
                0 | 1 => Ask::Enqueue(JobSpec { job, ..self.spec() }),
                2 => Ask::Cancel(job),
                3 => Ask::Restart(job),
                4 => Ask::Delete(job),
                _ => Ask::Get(job, false),
            };
            self.add(at, What::Ask(ask));
        }
    }

    /// A job that was asked for before: a late one more often than an early one.
    fn known(&mut self) -> u32 {
        let back = self.draw.skewed(1, u64::from(self.jobs.max(1)));
        self.jobs.saturating_sub(u32_of(back))
    }

    /// One of the first more often than one of the last.
    fn a_tenant(&mut self) -> u32 {
        u32_of(self.draw.skewed(0, u64::from(self.config.tenants) - 1))
    }

    fn spec(&mut self) -> JobSpec {
        let fresh = self.jobs == 0 || self.draw.chance(self.fresh.max(500_000));
        let job = if fresh {
            self.jobs += 1;
            self.jobs - 1
        } else {
            self.known()
        };
        let naming = match self.draw.between(0, 9) {
            0..=4 => Naming::Repeatable,
            5 | 6 => Naming::ByRequest,
            7 | 8 => Naming::Once,
            _ => Naming::Made,
        };
        let start_in_ms = self.draw.chance(self.delayed).then(|| {
            let most = self.draw.one(&[100, 3_000, 20_000], 3_000);
            i64::try_from(self.draw.between(0, most)).unwrap_or(0)
        });
        let kept = [None, None, None, Some(0), Some(300), Some(10_000)];
        JobSpec {
            job,
            tenant: self.a_tenant(),
            naming,
            group: u32_of(self.draw.between(0, u64::from(self.config.groups) - 1)),
            priority: self.draw.one(&[0, 10, 10, 10, 50, 99], 10),
            start_in_ms,
            retries: self.draw.one(&[None, Some(0), Some(1), Some(3)], None),
            max_crashes: self.draw.one(&[0, 1, 2, 5], 5),
            lease_ms: self
                .draw
                .one(&[None, None, None, Some(800), Some(3_000)], None),
            kept_ms: self.draw.one(&kept, None),
            payload: if self.draw.chance(self.large) {
                5_000
            } else {
                3
            },
            limits: self.wants.of_job(),
        }
    }

    fn faults(&mut self) {
        let lease_ms = self.config.lease_ms;
        let workers = u64::from(self.config.workers) - 1;
        let endpoints = u64::from(self.config.endpoints()) - 1;
        for family in self.config.families.clone() {
            for _ in 0..self.draw.skewed(1, 16) {
                let at = self.at();
                let long = self.draw.skewed(1, lease_ms * 4);
                let what = match family {
                    Family::Network => {
                        let both = self.draw.between(0, 2);
                        What::Cut {
                            endpoint: u32_of(self.draw.between(0, endpoints)),
                            requests: both != 1,
                            answers: both != 0,
                            ms: long,
                        }
                    }
                    Family::Loads => What::StorageDown {
                        loads: true,
                        puts: false,
                        ms: long.min(5_000),
                    },
                    Family::Puts => What::StorageDown {
                        loads: false,
                        puts: true,
                        ms: long.min(5_000),
                    },
                    Family::Crashes => What::Crash {
                        effects: u32_of(self.draw.skewed(0, 40)),
                        back_ms: self.draw.skewed(1, 5_000),
                    },
                    Family::Owners if self.config.profile == Profile::Zombies => {
                        let ms = lease_ms / 2 + self.draw.between(0, lease_ms);
                        self.talk(at, ms);
                        What::Stall { ms }
                    }
                    Family::Owners => {
                        if self.draw.chance(700_000) {
                            let after = self.draw.skewed(0, long);
                            self.add(at + after * MS, What::TakeOver);
                        }
                        What::Pause { ms: long }
                    }
                    Family::Clocks => {
                        let by = i64::try_from(self.draw.skewed(1, 60_000)).unwrap_or(0);
                        let ms = if self.draw.chance(500_000) { by } else { -by };
                        What::SetClock { ms }
                    }
                    Family::Workers => {
                        let worker = u32_of(self.draw.between(0, workers));
                        if self.draw.chance(500_000) {
                            let back_ms = self.draw.skewed(1, 5_000);
                            What::KillWorker { worker, back_ms }
                        } else {
                            What::PauseWorker { worker, ms: long }
                        }
                    }
                    Family::Memory => {
                        if self.draw.chance(500_000) {
                            What::LoseSoft
                        } else {
                            What::ForgetRows
                        }
                    }
                };
                self.add(at, what);
            }
        }
    }
}

/// An import names its jobs.
fn named(spec: JobSpec) -> JobSpec {
    let naming = Naming::Once;
    JobSpec { naming, ..spec }
}

fn u32_of(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
