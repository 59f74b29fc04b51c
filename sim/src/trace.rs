//! What happened: a hash over all events, and, when somebody wants to read it, the events.

use crate::clock::At;
use crate::world::event::Event;

/// A running hash, and maybe the events.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    lines: Option<Vec<Line>>,
}

/// One event as it is shown.
#[derive(Clone, Debug)]
pub struct Line {
    /// When.
    pub at: At,
    /// Its number.
    pub number: u64,
    /// Its name.
    pub name: &'static str,
    /// In whose memory it happened.
    pub process: Option<u32>,
    /// Everything else.
    pub text: String,
}

impl Trace {
    /// Keeps the events too.
    pub const fn kept() -> Self {
        Self {
            hash: 0,
            lines: Some(Vec::new()),
        }
    }

    /// An event.
    pub fn event(&mut self, at: At, number: u64, event: &Event) {
        let (first, second) = event.mark();
        self.mix(at);
        self.mix(number ^ u64::from(event.name().as_bytes().first().copied().unwrap_or(0)) << 56);
        self.mix(first);
        self.mix(second);
        if let Some(lines) = &mut self.lines {
            let text = format!("{event:?}");
            lines.push(Line {
                at,
                number,
                name: event.name(),
                process: event.process(),
                text,
            });
        }
    }

    /// The hash so far.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// The events that were kept.
    pub fn lines(&self) -> &[Line] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// The events as a trace that Perfetto opens: one track for each process, one for all others.
    pub fn perfetto(&self) -> String {
        let event = |line: &Line| {
            serde_json::json!({
                "name": line.name,
                "ph": "X",
                "ts": line.at,
                "dur": 1,
                "pid": 1,
                "tid": line.process.map_or(0, |process| process + 1),
                "args": { "number": line.number, "text": line.text },
            })
        };
        let events: Vec<_> = self.lines().iter().map(event).collect();
        serde_json::json!({ "traceEvents": events }).to_string()
    }

    const fn mix(&mut self, number: u64) {
        let mixed = (self.hash ^ number).wrapping_mul(0x9fb2_1c65_1e98_df25);
        self.hash = mixed ^ (mixed >> 32);
    }
}
