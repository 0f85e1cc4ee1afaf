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

/// No more than so many are noted: processes beyond are answered whatever is under way.
const MANY: usize = 4_096;

impl Dialogue {
    fn is_over(&self, now: u64, patience: u64) -> bool {
        let limit = if self.asked_for_data { patience } else { patience.min(self.wait) };
        now.saturating_sub(self.since) >= limit
    }
}

/// The comparisons of all processes, neighbours or not.
#[derive(Debug)]
pub(super) struct Dialogues {
    of: HashMap<Pid, Dialogue>,
    /// What was asked for is waited for so long, in milliseconds.
    patience: u64,
}

impl Dialogues {
    pub(super) fn new(patience: u64) -> Self {
        Self { of: HashMap::new(), patience }
    }

    /// Takes up the comparison that a process begins; `false` if one is under way, which finds the same. One that did not
    /// come to an end in its time was perhaps but slow: the next has twice as long.
    pub(super) fn begin(&mut self, originator: Pid, now: u64) -> bool {
        let wait = match self.of.get(&originator) {
            Some(dialogue) if !dialogue.is_over(now, self.patience) => return false,
            Some(dialogue) => self.patience.min(2 * dialogue.wait),
            None => BRIEFLY,
        };
        self.note(originator, Dialogue { since: now, asked_for_data: false, wait });
        true
    }

    /// A word of it has come, and is being answered. What was asked for is waited for no longer because of it.
    pub(super) fn go_on(&mut self, originator: Pid, now: u64) {
        if let Some(dialogue) = self.of.get_mut(&originator).filter(|dialogue| !dialogue.asked_for_data) {
            dialogue.since = now;
        }
    }

    /// It found something, which we ask for.
    pub(super) fn ask(&mut self, originator: Pid, now: u64) {
        let wait = self.of.get(&originator).map_or(BRIEFLY, |dialogue| dialogue.wait);
        self.note(originator, Dialogue { since: now, asked_for_data: true, wait });
    }

    /// Those that have ended without a word make room.
    fn note(&mut self, originator: Pid, dialogue: Dialogue) {
        if self.of.len() >= MANY && !self.of.contains_key(&originator) {
            let (now, patience) = (dialogue.since, self.patience);
            self.of.retain(|_, other| now.saturating_sub(other.since) < patience);
            if self.of.len() >= MANY {
                return;
            }
        }
        self.of.insert(originator, dialogue);
    }

    /// Whether data that we asked that process for has not come yet.
    pub(super) fn waits_for_data(&self, originator: Pid, now: u64) -> bool {
        self.of
            .get(&originator)
            .is_some_and(|dialogue| dialogue.asked_for_data && !dialogue.is_over(now, self.patience))
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

#[cfg(test)]
mod tests {
    use super::{Dialogues, MANY};
    use crate::term::{Atom, Creation, Pid};

    fn pid(id: usize) -> Pid {
        Pid { node: Atom::new("n@h"), id: u32::try_from(id).unwrap(), serial: 0, creation: Creation(1) }
    }

    #[test]
    fn what_was_asked_for_is_waited_for_no_longer_because_of_other_words() {
        let mut dialogues = Dialogues::new(10_000);
        assert!(dialogues.begin(pid(1), 0));
        dialogues.ask(pid(1), 100);
        dialogues.go_on(pid(1), 9_000);
        assert!(dialogues.waits_for_data(pid(1), 10_000));
        assert!(!dialogues.begin(pid(1), 10_000));
        assert!(!dialogues.waits_for_data(pid(1), 10_100));
        assert!(dialogues.begin(pid(1), 10_100));
    }

    #[test]
    fn processes_that_are_made_up_take_no_more_than_the_bound() {
        let mut dialogues = Dialogues::new(10_000);
        for id in 0..MANY + 50 {
            assert!(dialogues.begin(pid(id), 0));
            dialogues.ask(pid(id), 0);
        }
        assert_eq!(dialogues.of.len(), MANY);
        assert!(!dialogues.begin(pid(0), 1), "those that are noted are answered once");
        // Those that never said another word make room.
        assert!(dialogues.begin(pid(MANY), 10_000));
        assert!(!dialogues.begin(pid(MANY), 10_001));
        assert_eq!(dialogues.of.len(), 1);
    }
}
