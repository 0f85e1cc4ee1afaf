//! Times of writes that hold their own beside those of BEAMs.
//!
//! A BEAM stamps with its monotonic time, which starts at -2^59 nanoseconds with the emulator; of concurrent writes that
//! of the oldest emulator wins. This clock follows the highest stamp it has seen, so it neither loses to what it has
//! read, nor wins over what it has not.

use super::elements::Stamp;

/// Where a BEAM's monotonic time begins; its negative is the end of what fits a small integer there.
const START: i64 = -(1 << 59);

#[derive(Debug, Clone)]
pub(crate) struct Stamps {
    /// What is added to local time.
    offset: i64,
    last: i64,
}

impl Stamps {
    /// Begins at a local time in nanoseconds, which only grows.
    pub(crate) fn new(local: i64) -> Self {
        Self { offset: START.saturating_sub(local), last: START }
    }

    /// A stamp came from elsewhere.
    pub(crate) fn see(&mut self, stamp: &Stamp, local: i64) {
        match stamp {
            Stamp::Nanos(nanos) if nanos.checked_abs().is_some_and(|size| size < -START) => {
                self.offset = self.offset.max(nanos.saturating_sub(local));
            }
            _ => {}
        }
    }

    /// The stamp of a write now, after every one in `replaced`.
    pub(crate) fn next<'a>(&mut self, local: i64, replaced: impl Iterator<Item = &'a Stamp>) -> Stamp {
        let replaced = replaced.filter_map(|stamp| match stamp {
            Stamp::Nanos(nanos) => Some(*nanos),
            Stamp::Other(_) => None,
        });
        self.last = local.saturating_add(self.offset).max(self.last.saturating_add(1));
        // An absurd stamp is exceeded where it stands, and nowhere else.
        Stamp::Nanos(replaced.max().map_or(self.last, |replaced| self.last.max(replaced.saturating_add(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::{START, Stamp, Stamps};

    #[test]
    fn stamps_follow_what_was_seen_and_never_fall() {
        let mut stamps = Stamps::new(1000);
        assert_eq!(stamps.next(1000, [].iter()), Stamp::Nanos(START + 1));
        assert_eq!(stamps.next(1000, [].iter()), Stamp::Nanos(START + 2));
        stamps.see(&Stamp::Nanos(START + 500), 1000);
        assert_eq!(stamps.next(1001, [].iter()), Stamp::Nanos(START + 501));
        // One of the wall clock would win over every BEAM for years: it is not followed, only exceeded where it stands.
        let absurd = Stamp::Nanos(1_700_000_000_000_000_000);
        stamps.see(&absurd, 1001);
        assert_eq!(stamps.next(1002, [].iter()), Stamp::Nanos(START + 502));
        assert_eq!(stamps.next(1003, [&absurd].into_iter()), Stamp::Nanos(1_700_000_000_000_000_001));
        assert_eq!(stamps.next(1004, [].iter()), Stamp::Nanos(START + 504));
    }
}
