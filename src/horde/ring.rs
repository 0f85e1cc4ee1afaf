//! The hash ring by which members agree, as `libring` builds it.

use std::collections::BTreeMap;

use super::member::MemberName;
use crate::phash2::phash2_range;
use crate::term::Term;

/// Members on a circle of hashes: a key belongs to the member whose point comes next.
///
/// Each member has 128 points, `phash2({Member, I}, 2^32 - 1)`. Where two members meet in one point, the one that was
/// added first has it.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    points: BTreeMap<u32, MemberName>,
}

impl Ring {
    /// A ring of these members, added in the order of their names, which is that of the map Horde keeps them in.
    pub fn new(members: impl IntoIterator<Item = MemberName>) -> Self {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_unstable_by(MemberName::in_order);
        members.dedup();
        let mut points = BTreeMap::new();
        for member in members {
            for i in 1..=POINTS {
                points.entry(hash(&Term::tuple([member.term(), i.into()]))).or_insert(member);
            }
        }
        Self { points }
    }

    /// The member that a key belongs to; `None` where there is no member.
    #[must_use]
    pub fn owner(&self, key: &Term) -> Option<MemberName> {
        let next = self.points.range(hash(key)..).next();
        next.or_else(|| self.points.first_key_value()).map(|(_, member)| *member)
    }

    /// The points, smallest first, and whose each is.
    pub fn points(&self) -> impl Iterator<Item = (u32, MemberName)> + '_ {
        self.points.iter().map(|(point, member)| (*point, *member))
    }
}

const POINTS: i64 = 128;

fn hash(term: &Term) -> u32 {
    phash2_range(term, u64::from(u32::MAX)).expect("the range is one of phash2's")
}
