//! Integers of any size: a machine word, or a big number where that is too small.

use std::cmp::Ordering;
use std::sync::Arc;

use num_bigint::{BigInt, Sign};
use num_traits::ToPrimitive;

/// An integer of any size. Two equal numbers have one form, so equality and hash are structural.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Integer(Repr);

/// What does not fit in an `i64` is kept as the format writes it: a sign and a magnitude, least byte
/// first, that ends in no zero. Terms are received, compared, hashed and sent on as that; who wants
/// to count with one asks for the [`BigInt`].
#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Small(i64),
    Inline(Inline),
    Long(Arc<Long>),
}

/// Aligned, so that the term around it is one tag and three words; the bytes beyond its length are 0.
#[derive(Clone, PartialEq, Eq, Hash)]
#[repr(align(8))]
struct Inline {
    negative: bool,
    len: u8,
    bytes: [u8; INLINE],
}

/// As many bytes as fit without making a term larger: numbers up to 2^176.
const INLINE: usize = 22;

#[derive(PartialEq, Eq, Hash)]
struct Long {
    negative: bool,
    magnitude: Box<[u8]>,
}

/// An integer as what it is made of.
pub(crate) enum Parts<'a> {
    Small(i64),
    /// What does not fit in an `i64`: whether it is negative, and its magnitude, least byte first.
    Big(bool, &'a [u8]),
}

impl Integer {
    /// The number of this sign and this magnitude, least byte first; zeros at its end are allowed.
    #[inline]
    pub(crate) fn from_magnitude(negative: bool, magnitude: &[u8]) -> Self {
        let used = magnitude.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let magnitude = &magnitude[..used];
        if let Some(small) = small(negative, magnitude) {
            return Self(Repr::Small(small));
        }
        if used > INLINE {
            return Self(Repr::Long(Arc::new(Long { negative, magnitude: magnitude.into() })));
        }
        let mut inline = Inline { negative, len: used as u8, bytes: [0; INLINE] };
        inline.bytes[..used].copy_from_slice(magnitude);
        Self(Repr::Inline(inline))
    }

    #[inline]
    pub(crate) fn parts(&self) -> Parts<'_> {
        match &self.0 {
            Repr::Small(small) => Parts::Small(*small),
            Repr::Inline(inline) => Parts::Big(inline.negative, &inline.bytes[..usize::from(inline.len)]),
            Repr::Long(long) => Parts::Big(long.negative, &long.magnitude),
        }
    }

    /// The value, if it fits.
    #[inline]
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        match self.0 {
            Repr::Small(small) => Some(small),
            Repr::Inline(_) | Repr::Long(_) => None,
        }
    }

    /// The value, if it is not negative and fits.
    #[must_use]
    pub fn to_u64(&self) -> Option<u64> {
        match self.parts() {
            Parts::Small(small) => u64::try_from(small).ok(),
            Parts::Big(false, magnitude) => word(magnitude),
            Parts::Big(true, _) => None,
        }
    }

    /// The value as a big number.
    #[must_use]
    pub fn to_big(&self) -> BigInt {
        match self.parts() {
            Parts::Small(small) => BigInt::from(small),
            Parts::Big(negative, magnitude) => {
                BigInt::from_bytes_le(if negative { Sign::Minus } else { Sign::Plus }, magnitude)
            }
        }
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        match self.parts() {
            Parts::Small(small) => small < 0,
            Parts::Big(negative, _) => negative,
        }
    }
}

/// The number of at most eight bytes, least first, if there are no more.
#[inline]
fn word(magnitude: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes.get_mut(..magnitude.len())?.copy_from_slice(magnitude);
    Some(u64::from_le_bytes(bytes))
}

/// The integer of this sign and this magnitude, least byte first, if it fits; no byte at the end may be 0.
#[inline]
pub(crate) fn small(negative: bool, magnitude: &[u8]) -> Option<i64> {
    let word = word(magnitude)?;
    if negative { 0_i64.checked_sub_unsigned(word) } else { i64::try_from(word).ok() }
}

impl Ord for Integer {
    fn cmp(&self, other: &Self) -> Ordering {
        let of_sign = |negative: bool, order: Ordering| if negative { order.reverse() } else { order };
        match (self.parts(), other.parts()) {
            (Parts::Small(a), Parts::Small(b)) => a.cmp(&b),
            // A big number is beyond every small one, on the side of its sign.
            (Parts::Small(_), Parts::Big(negative, _)) => of_sign(negative, Ordering::Less),
            (Parts::Big(negative, _), Parts::Small(_)) => of_sign(negative, Ordering::Greater),
            (Parts::Big(a_negative, a), Parts::Big(b_negative, b)) => {
                let larger = || a.len().cmp(&b.len()).then_with(|| a.iter().rev().cmp(b.iter().rev()));
                b_negative.cmp(&a_negative).then_with(|| of_sign(a_negative, larger()))
            }
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
            Repr::Inline(_) | Repr::Long(_) => std::fmt::Display::fmt(&self.to_big(), f),
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
            None => {
                let (sign, magnitude) = value.to_bytes_le();
                Self::from_magnitude(sign == Sign::Minus, &magnitude)
            }
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
                    Err(_) => BigInt::from(value).into(),
                }
            }
        })*
    };
}

from_primitive!(small: i8, i16, i32, u8, u16, u32; wide: u64, usize, isize, i128, u128);

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use proptest::collection::vec;
    use proptest::prelude::*;

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

    fn power(exponent: u32) -> BigInt {
        BigInt::from(2).pow(exponent)
    }

    /// Numbers around the edges of each form, of both signs.
    fn edges() -> Vec<BigInt> {
        let mut edges = Vec::new();
        for exponent in [0, 62, 63, 64, 72, 168, 175, 176, 177, 184, 2_040, 2_048] {
            for step in -1..=1 {
                edges.push(power(exponent) + step);
                edges.push(-power(exponent) + step);
            }
        }
        edges
    }

    fn hash(integer: &Integer) -> u64 {
        let mut hasher = DefaultHasher::new();
        integer.hash(&mut hasher);
        hasher.finish()
    }

    fn any_big() -> impl Strategy<Value = BigInt> {
        (any::<bool>(), vec(any::<u8>(), 0..40)).prop_map(|(negative, magnitude)| {
            BigInt::from_bytes_le(if negative { Sign::Minus } else { Sign::Plus }, &magnitude)
        })
    }

    #[test]
    fn every_form_keeps_the_number_and_its_order() {
        for a in edges() {
            let integer = Integer::from(a.clone());
            assert_eq!(integer.to_big(), a);
            assert_eq!(integer.to_i64(), a.to_i64());
            assert_eq!(integer.to_u64(), a.to_u64());
            assert_eq!(integer.to_string(), a.to_string());
            assert_eq!(integer.is_negative(), a.sign() == Sign::Minus);
            for b in edges() {
                assert_eq!(integer.cmp(&Integer::from(b.clone())), a.cmp(&b), "{a} and {b}");
            }
        }
    }

    #[test]
    fn zeros_at_the_end_of_a_magnitude_do_not_count() {
        for number in edges() {
            let (sign, mut magnitude) = number.to_bytes_le();
            magnitude.extend([0; 30]);
            let padded = Integer::from_magnitude(sign == Sign::Minus, &magnitude);
            let plain = Integer::from(number);
            assert_eq!(padded, plain);
            assert_eq!(hash(&padded), hash(&plain));
        }
        assert_eq!(Integer::from_magnitude(true, &[]), Integer::from(0));
        assert_eq!(Integer::from_magnitude(true, &[0; 9]), Integer::from(0));
    }

    proptest! {
        #[test]
        fn numbers_order_as_big_numbers_do(a in any_big(), b in any_big()) {
            let (x, y) = (Integer::from(a.clone()), Integer::from(b.clone()));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x == y, a == b);
            prop_assert_eq!(x.to_big(), a);
        }
    }
}
