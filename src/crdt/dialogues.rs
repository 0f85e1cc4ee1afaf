//! Comparisons that other processes began and that are under way: of each process one at a time is answered.
//!
//! Elixir's replicas begin one every interval, whatever is under way (`DeltaCrdt.CausalCrdt`, `:sync`). Who answered them
//! all would give a busy one more to do with every answer, until none comes to its end.

use hashbrown::HashMap;

use crate::term::Pid;

/// A comparison of another process, from our first answer on.
#[derive(Debug, Clone, Copy)]
struct Dialogue {
    /// When we last answered, in milliseconds.
    since: u64,
    /// Data was asked for, and will come. Without, the comparison may have ended there without a word.
    asked_for_data: bool,
    /// Where nothing comes for so long, in milliseconds, it has ended.
    wait: u64,
}

/// An answer that needs no further word is waited for so long at first, in milliseconds.
const BRIEFLY: u64 = 500;

/// With more than so many, those that have ended without a word are looked for.
const MANY: usize = 64;

impl Dialogue {
    fn is_over(&self, now: u64, patience: u64) -> bool {
        let limit = if self.asked_for_data { patience } else { patience.min(self.wait) };
        now.saturating_sub(self.since) >= limit
    }
}

/// The comparisons of all processes, neighbours or not.
#[derive(Debug, Default)]
pub(super) struct Dialogues {
    of: HashMap<Pid, Dialogue>,
}

impl Dialogues {
    /// Takes up the comparison that a process begins; `false` if one is under way, which finds the same. One that did not
    /// come to an end in its time was perhaps but slow: the next has twice as long.
    pub(super) fn begin(&mut self, originator: Pid, now: u64, patience: u64) -> bool {
        let wait = match self.of.get(&originator) {
            Some(dialogue) if !dialogue.is_over(now, patience) => return false,
            Some(dialogue) => patience.min(2 * dialogue.wait),
            None => BRIEFLY,
        };
        if self.of.len() >= MANY {
            self.of.retain(|_, dialogue| now.saturating_sub(dialogue.since) < patience);
        }
        self.of.insert(originator, Dialogue { since: now, asked_for_data: false, wait });
        true
    }

    /// A word of it has come, and is being answered.
    pub(super) fn go_on(&mut self, originator: Pid, now: u64) {
        if let Some(dialogue) = self.of.get_mut(&originator) {
            dialogue.since = now;
        }
    }

    /// It found something, which we ask for.
    pub(super) fn ask(&mut self, originator: Pid, now: u64) {
        let wait = self.of.get(&originator).map_or(BRIEFLY, |dialogue| dialogue.wait);
        self.of.insert(originator, Dialogue { since: now, asked_for_data: true, wait });
    }

    /// Whether data that we asked that process for has not come yet.
    pub(super) fn waits_for_data(&self, originator: Pid, now: u64, patience: u64) -> bool {
        self.of.get(&originator).is_some_and(|dialogue| dialogue.asked_for_data && !dialogue.is_over(now, patience))
    }

    /// It has come to its end.
    pub(super) fn end(&mut self, originator: Pid) {
        self.of.remove(&originator);
    }

    /// Data came that does not say whose it is; comparing once too often does no harm.
    pub(super) fn end_all(&mut self) {
        self.of.retain(|_, dialogue| !dialogue.asked_for_data);
    }

    /// Those that were answered from `began` on wait from `now` on for what follows.
    pub(super) fn answered(&mut self, began: u64, now: u64) {
        for dialogue in self.of.values_mut().filter(|dialogue| dialogue.since == began) {
            dialogue.since = now;
        }
    }
}
