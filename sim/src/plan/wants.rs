//! The limits of jobs: in a stream of their own, so that worlds without limits are what they were
//! before there were any.

use crate::clock::MS;
use crate::plan::Want;
use crate::plan::profile::Profile;
use crate::random::Draw;

/// Most limits of one job; the core has it so.
const WANTS_MAX: u64 = 16;

/// Which limits the jobs of a world have.
#[derive(Debug)]
pub struct Wants {
    draw: Draw,
    /// Of how many limits of its tenant a job may want a slot.
    keys: u64,
    /// How many in a million jobs have limits.
    limited: u32,
    /// How many of them a job has at the most.
    most: u64,
    /// How many slots each has, as most jobs say.
    maxima: Vec<u32>,
    /// How many in a million say something else.
    restless: u32,
    /// How many of these say that there are none.
    paused: u32,
}

/// Many jobs at once, all of which want slots of the same limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// What each wants.
    pub wants: Vec<Vec<Want>>,
    /// Over how long they come, in microseconds.
    pub width: u64,
    /// What is said when they are there, and how long after they began to come.
    pub then: Option<(Vec<Want>, u64)>,
}

impl Wants {
    /// What this world's jobs want.
    pub fn draw(seed: u64, profile: Profile) -> Self {
        let mut draw = Draw::new(seed ^ 0x006c_696d_6974_7300);
        let kind = draw.between(0, 9);
        let (limited, keys, most) = match (profile, kind) {
            (Profile::Canary, _) => (0, 1, 1),
            (Profile::Limits, _) | (_, 8..) => (
                draw.one(&[500_000, 900_000, 1_000_000], 900_000),
                draw.one(&[1, 2, 2, 3, 5, 16], 2),
                draw.one(&[1, 2, 2, 3, 16], 2),
            ),
            (_, 5..8) => (
                draw.one(&[50_000, 300_000], 50_000),
                draw.between(1, 4),
                draw.one(&[1, 1, 2], 1),
            ),
            _ => (0, 1, 1),
        };
        let maxima = (0..keys).map(|_| draw.one(&[1, 1, 1, 2, 3, 10], 1));
        let maxima = maxima.collect();
        Self {
            keys,
            limited,
            most,
            maxima,
            restless: draw.one(&[0, 20_000, 20_000, 200_000], 20_000),
            paused: draw.one(&[0, 300_000], 0),
            draw,
        }
    }

    /// Of how many limits of its tenant a job may want a slot.
    pub const fn keys(&self) -> u64 {
        self.keys
    }

    /// What the next job wants.
    pub fn of_job(&mut self) -> Vec<Want> {
        if self.limited == 0 || !self.draw.chance(self.limited) {
            return Vec::new();
        }
        let most = self.most.min(WANTS_MAX);
        let count = self.draw.skewed(1, most);
        (0..count).map(|_| self.one()).collect()
    }

    /// One slot. Hot limits more often than others; a job may name one twice.
    fn one(&mut self) -> Want {
        let key = self.draw.skewed(0, self.keys - 1);
        let maximum = if self.draw.chance(self.restless) {
            if self.draw.chance(self.paused) {
                0
            } else {
                self.draw.one(&[1, 1, 2, 3, 10, 100], 1)
            }
        } else {
            let usual = self.maxima.get(key as usize);
            usual.copied().unwrap_or(1)
        };
        want(key, maximum)
    }

    /// A crowd: one line that is let go at once, many lines on one limit, or jobs that want two
    /// limits between many that want one of them.
    pub fn crowd(&mut self) -> Crowd {
        let count = self.draw.between(40, 320);
        let width = self.draw.one(&[0, 10 * MS, 1_000 * MS], 0);
        let then = self.draw.between(0, 3_000 * MS);
        let slots = self.draw.one(&[1, 3, 20, 300], 20);
        let paused = want(0, 0);
        match self.draw.between(0, 2) {
            0 => Crowd {
                wants: (0..count).map(|_| vec![paused]).collect(),
                width,
                then: Some((vec![want(0, slots)], then)),
            },
            1 => {
                let shut = self.draw.between(0, 1) as u32;
                let other = self.draw.one(&[1, 1, 2], 1);
                let mut one = || {
                    let mut wants = vec![want(0, shut)];
                    for key in 1..16 {
                        if self.draw.chance(300_000) {
                            wants.push(want(key, other));
                        }
                    }
                    wants
                };
                Crowd {
                    wants: (0..count).map(|_| one()).collect(),
                    width,
                    then: Some((vec![want(0, slots)], then)),
                }
            }
            _ => {
                let most = self.draw.between(1, 4);
                let mut one = || match self.draw.between(0, 20) {
                    0 => (0..=most).map(|key| want(key, 1)).collect(),
                    n => vec![want(n % (most + 1), 1)],
                };
                Crowd {
                    wants: (0..count).map(|_| one()).collect(),
                    width: width.max(100 * MS),
                    then: None,
                }
            }
        }
    }
}

fn want(key: u64, maximum: u32) -> Want {
    Want {
        key: u8::try_from(key).unwrap_or(0),
        maximum,
    }
}
