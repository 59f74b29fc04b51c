//! How a process ends: storage failed it, or it died.

use crate::check::Checked;
use crate::clock::MS;
use crate::cover::Mark;
use crate::world::World;
use crate::world::event::{Event, ProcessId};

impl World<'_> {
    /// Storage failed, or belongs to somebody else: all callers are told, and the process ends.
    pub fn poison(&mut self, id: ProcessId) -> Checked {
        self.drain(id)?;
        let Some(process) = self.processes.get_mut(id as usize) else {
            return Ok(());
        };
        let Some(stage) = process.stage.take() else {
            return Ok(());
        };
        self.cover.hit(Mark::Poisoned);
        for (token, answer) in stage.fail() {
            self.check.failed_rightly(&answer)?;
            if let Some(process) = self.processes.get_mut(id as usize) {
                self.check.told(&mut process.shadow, token.number)?;
            }
            self.reply(id, token, answer);
        }
        if let Some(process) = self.processes.get(id as usize) {
            process.shadow.all_told()?;
        }
        self.buried(id, 50);
        Ok(())
    }

    /// A process dies on the spot: nobody is told anything.
    pub fn die(&mut self, id: ProcessId, back_ms: u64) {
        if let Some(process) = self.processes.get_mut(id as usize)
            && process.stage.take().is_some()
        {
            self.cover.hit(Mark::Died);
            self.buried(id, back_ms);
        }
    }

    fn buried(&mut self, id: ProcessId, back_ms: u64) {
        let machine = self.processes.get(id as usize).map_or(0, |p| p.machine);
        let at = self.now + back_ms * MS;
        self.heap.push(at, Event::Ensure(machine));
    }
}
