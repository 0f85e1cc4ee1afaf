//! Integers of any size: a machine word, or a big number where that is too small.

use std::cmp::Ordering;
use std::sync::Arc;

use num_bigint::{BigInt, Sign};
use num_traits::ToPrimitive;

/// An integer of any size. Two equal numbers have one form, so equality and hash are structural.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Integer(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Small(i64),
    /// Never a value that fits in an `i64`.
    Big(Arc<BigInt>),
}

impl Integer {
    /// The value, if it fits.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        match self.0 {
            Repr::Small(small) => Some(small),
            Repr::Big(_) => None,
        }
    }

    /// The value, if it is not negative and fits.
    #[must_use]
    pub fn to_u64(&self) -> Option<u64> {
        match &self.0 {
            Repr::Small(small) => u64::try_from(*small).ok(),
            Repr::Big(big) => big.to_u64(),
        }
    }

    /// The value as a big number.
    #[must_use]
    pub fn to_big(&self) -> BigInt {
        match &self.0 {
            Repr::Small(small) => BigInt::from(*small),
            Repr::Big(big) => BigInt::clone(big),
        }
    }

    /// The big number behind it, where the value does not fit in an `i64`.
    #[must_use]
    pub fn as_big(&self) -> Option<&BigInt> {
        match &self.0 {
            Repr::Small(_) => None,
            Repr::Big(big) => Some(big),
        }
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        match &self.0 {
            Repr::Small(small) => *small < 0,
            Repr::Big(big) => big.sign() == Sign::Minus,
        }
    }
}

impl Ord for Integer {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Repr::Small(a), Repr::Small(b)) => a.cmp(b),
            (Repr::Big(a), Repr::Big(b)) => a.cmp(b),
            // A big number is beyond every small one, on the side of its sign.
            (Repr::Small(_), Repr::Big(_)) if other.is_negative() => Ordering::Greater,
            (Repr::Small(_), Repr::Big(_)) => Ordering::Less,
            (Repr::Big(_), Repr::Small(_)) if self.is_negative() => Ordering::Less,
            (Repr::Big(_), Repr::Small(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Integer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Debug for Integer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for Integer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Repr::Small(small) => std::fmt::Display::fmt(small, f),
            Repr::Big(big) => std::fmt::Display::fmt(big, f),
        }
    }
}

impl From<i64> for Integer {
    fn from(value: i64) -> Self {
        Self(Repr::Small(value))
    }
}

impl From<BigInt> for Integer {
    fn from(value: BigInt) -> Self {
        match value.to_i64() {
            Some(small) => Self(Repr::Small(small)),
            None => Self(Repr::Big(Arc::new(value))),
        }
    }
}

macro_rules! from_primitive {
    (small: $($small:ty),*; wide: $($wide:ty),*) => {
        $(impl From<$small> for Integer {
            fn from(value: $small) -> Self {
                Self(Repr::Small(i64::from(value)))
            }
        })*
        $(impl From<$wide> for Integer {
            fn from(value: $wide) -> Self {
                match i64::try_from(value) {
                    Ok(small) => Self(Repr::Small(small)),
                    Err(_) => Self(Repr::Big(Arc::new(BigInt::from(value)))),
                }
            }
        })*
    };
}

from_primitive!(small: i8, i16, i32, u8, u16, u32; wide: u64, usize, isize, i128, u128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_form_whatever_it_came_from() {
        assert_eq!(Integer::from(BigInt::from(7)), Integer::from(7));
        assert_eq!(Integer::from(u64::MAX), Integer::from(BigInt::from(u64::MAX)));
        assert_eq!(Integer::from(i64::MIN).to_i64(), Some(i64::MIN));
    }

    #[test]
    fn big_numbers_order_around_small_ones() {
        let beyond = Integer::from(i128::from(i64::MAX) + 1);
        let below = Integer::from(i128::from(i64::MIN) - 1);
        assert!(below < Integer::from(i64::MIN));
        assert!(beyond > Integer::from(i64::MAX));
        assert!(below < beyond);
    }
}
