//! How often children may be restarted before their supervisor gives up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many restarts within so long: `intensity` and `period` of `supervisor:sup_flags()`, Elixir's `max_restarts` and
/// `max_seconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// How many.
    pub restarts: usize,
    /// Within how long.
    pub within: Duration,
}

impl Intensity {
    /// However often: for children whose end is no sign of anything.
    pub const UNLIMITED: Self = Self { restarts: usize::MAX, within: Duration::ZERO };
}

/// The restarts that still count.
#[derive(Debug)]
pub(crate) struct Restarts {
    intensity: Intensity,
    at: VecDeque<Instant>,
}

impl Restarts {
    pub(crate) fn new(intensity: Intensity) -> Self {
        Self { intensity, at: VecDeque::new() }
    }

    /// Counts one more; whether there may be so many.
    pub(crate) fn add(&mut self, now: Instant) -> bool {
        let within = self.intensity.within;
        self.at.retain(|at| now.duration_since(*at) <= within);
        self.at.push_back(now);
        let may = self.at.len() <= self.intensity.restarts;
        if !may {
            tracing::error!(restarts = self.intensity.restarts, ?within, "reached_max_restart_intensity");
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_count_for_as_long_as_the_period() {
        let second = Duration::from_secs(1);
        let mut restarts = Restarts::new(Intensity { restarts: 2, within: second });
        let start = Instant::now();
        assert!(restarts.add(start) && restarts.add(start));
        assert!(!restarts.add(start + second));
        assert!(restarts.add(start + second * 3));
    }
}
