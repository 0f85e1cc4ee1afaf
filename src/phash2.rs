//! `erlang:phash2`, over terms and straight over their bytes.
//!
//! "Portable hash function that gives the same hash for the same Erlang term regardless of machine
//! architecture and ERTS version" (`erlang:phash2/1`): replicas on different nodes agree by it. Each
//! term is folded into a running 32-bit hash by rounds of Bob Jenkins' mix. The exception are native
//! records of two fields and more, whose hash differs from one BEAM to the next (it follows internal
//! numbers of atoms); ours takes the fields in their order and is as good as any.

mod encoded;

use crate::term::{Atom, BitString, Fun, Integer, List, LocalFun, Map, Parts, Pid, Port, Record, Ref, Term};

/// `erlang:phash2(Term)`: 27 bits.
#[must_use]
pub fn phash2(term: &Term) -> u32 {
    hash32(term) & MASK
}

/// `erlang:phash2(Term, Range)`, for a range of 1 to 2^32; `None` for any other, as `badarg` there.
#[must_use]
pub fn phash2_range(term: &Term, range: u64) -> Option<u32> {
    within(hash32(term), range)
}

/// `erlang:phash2(Term, 1 bsl 32)`: all 32 bits, of which [`phash2`] shows 27.
#[must_use]
pub fn hash32(term: &Term) -> u32 {
    fold(0, term)
}

const MASK: u32 = 0x07FF_FFFF;

fn within(hash: u32, range: u64) -> Option<u32> {
    if range > 1 << 32 {
        return None;
    }
    u32::try_from(u64::from(hash).checked_rem(range)?).ok()
}

/// The golden ratio; each kind of term is mixed with its own multiple of it.
const GOLDEN: u32 = 0x9E37_79B9;

const fn kind(n: u32) -> u32 {
    GOLDEN.wrapping_mul(n)
}

#[inline(always)]
fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    a = a.wrapping_sub(b).wrapping_sub(c) ^ (c >> 13);
    b = b.wrapping_sub(c).wrapping_sub(a) ^ (a << 8);
    c = c.wrapping_sub(a).wrapping_sub(b) ^ (b >> 13);
    a = a.wrapping_sub(b).wrapping_sub(c) ^ (c >> 12);
    b = b.wrapping_sub(c).wrapping_sub(a) ^ (a << 16);
    c = c.wrapping_sub(a).wrapping_sub(b) ^ (b >> 5);
    a = a.wrapping_sub(b).wrapping_sub(c) ^ (c >> 3);
    b = b.wrapping_sub(c).wrapping_sub(a) ^ (a << 10);
    c = c.wrapping_sub(a).wrapping_sub(b) ^ (b >> 15);
    (a, b, c)
}

/// Mixes two words of a term of kind `n` into the hash (`UINT32_HASH_2` of the emulator).
#[inline(always)]
fn mix_two(hash: u32, x: u32, y: u32, n: u32) -> u32 {
    mix(kind(n).wrapping_add(x), kind(n).wrapping_add(y), hash).2
}

#[inline(always)]
fn mix_one(hash: u32, x: u32, n: u32) -> u32 {
    mix_two(hash, x, 0, n)
}

/// Begins a tuple of so many elements, which are folded one after the other.
pub(crate) fn fold_arity(hash: u32, arity: usize) -> u32 {
    mix_one(hash, low(arity), 9)
}

/// A map of so many pairs, each of which was folded into a hash of its own; `pairs` is all of these XORed.
pub(crate) fn fold_pairs(hash: u32, len: usize, pairs: u32) -> u32 {
    let hash = mix_one(hash, low(len), 16);
    if len == 0 { hash } else { mix_one(hash, pairs, 19) }
}

/// Folds a term into a running hash. Recursion goes as deep as the term, whose drop recurses too.
pub(crate) fn fold(hash: u32, term: &Term) -> u32 {
    match term {
        Term::Integer(value) => integer(hash, value),
        Term::Atom(atom) => fold_atom(hash, atom.phash()),
        Term::Binary(bytes) => fold_bytes(hash, bytes),
        Term::Tuple(items) => items.iter().fold(mix_one(hash, low(items.len()), 9), fold),
        Term::List(list) => fold_list(hash, list),
        Term::Map(map) => fold_map(hash, map),
        Term::Float(float) => fold_float(hash, *float),
        Term::Pid(Pid { id, .. }) => fold_pid(hash, *id),
        Term::Port(Port { id, .. }) => fold_port(hash, *id),
        Term::Ref(reference) => fold_ref(hash, reference),
        Term::BitString(bits) => fold_bits(hash, bits),
        Term::Fun(fun) => fold_fun(hash, fun),
        Term::Record(record) => fold_record(hash, record),
        // What hash it has is known to the node that made it alone.
        Term::Local(bytes) => fold_bytes(hash, bytes),
    }
}

/// Counts and sizes go in by their low 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "the truncation is part of the hash")]
fn low(count: usize) -> u32 {
    count as u32
}

#[inline]
fn fold_atom(hash: u32, text_hash: u32) -> u32 {
    if hash == 0 { text_hash } else { mix_one(hash, text_hash, 3) }
}

#[inline]
fn fold_nil(hash: u32) -> u32 {
    if hash == 0 { 3_468_870_702 } else { mix_one(hash, 2, 2) }
}

fn integer(hash: u32, value: &Integer) -> u32 {
    match value.parts() {
        Parts::Small(small) => fold_i64(hash, small),
        Parts::Big(negative, magnitude) => fold_digits(hash, negative, digits(magnitude)),
    }
}

/// The digits of a large integer to the base 2^64, the lowest first.
fn digits(magnitude: &[u8]) -> impl Iterator<Item = u64> {
    magnitude.chunks(8).map(|chunk| {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(bytes)
    })
}

#[inline]
fn fold_i64(hash: u32, value: i64) -> u32 {
    /// What a 32-bit emulator kept in a word.
    const SMALL: std::ops::Range<i64> = -(1 << 27)..1 << 27;
    if !SMALL.contains(&value) {
        return fold_digits(hash, value < 0, std::iter::once(value.unsigned_abs()));
    }
    let word = value as u32;
    let hash = if value < 0 { mix_one(hash, word.wrapping_neg(), 1) } else { hash };
    mix_one(hash, word, 1)
}

/// The digits of a large integer to the base 2^64, the lowest first.
fn fold_digits(hash: u32, negative: bool, digits: impl Iterator<Item = u64>) -> u32 {
    let n = if negative { 10 } else { 11 };
    digits.fold(hash, |hash, digit| mix_two(hash, digit as u32, (digit >> 32) as u32, n))
}

fn fold_float(hash: u32, float: f64) -> u32 {
    // Both zeros hash as the positive one.
    let word = if float == 0.0 { 0 } else { float.to_bits() };
    mix_two(hash, (word >> 32) as u32, word as u32, 12)
}

fn fold_pid(hash: u32, id: u32) -> u32 {
    mix_one(hash, id, 5)
}

fn fold_port(hash: u32, id: u64) -> u32 {
    mix_two(hash, id as u32, (id >> 32) as u32, 6)
}

fn fold_ref(hash: u32, reference: &Ref) -> u32 {
    mix_one(hash, reference.words().first().copied().unwrap_or(0), 7)
}

#[inline]
fn fold_bytes(hash: u32, bytes: &[u8]) -> u32 {
    let start = kind(13).wrapping_add(hash);
    if bytes.is_empty() { start } else { block(bytes, start) }
}

fn fold_bits(hash: u32, bits: &BitString) -> u32 {
    fold_partial(hash, bits.bytes(), bits.last_bits())
}

/// A bit string whose last byte counts for its `bits` highest bits, 1 to 7.
fn fold_partial(hash: u32, bytes: &[u8], bits: u8) -> u32 {
    let Some((last, whole)) = bytes.split_last() else { return fold_bytes(hash, bytes) };
    let hash = block(whole, kind(13).wrapping_add(hash));
    mix_two(hash, u32::from(bits), u32::from(last >> (8 - bits)), 15)
}

/// Bob Jenkins' hash of a block of bytes.
fn block(bytes: &[u8], start: u32) -> u32 {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
    let (mut a, mut b, mut c) = (GOLDEN, GOLDEN, start);
    let mut rest = bytes;
    while let Some((chunk, left)) = rest.split_first_chunk::<12>() {
        let [x0, x1, x2, x3, y0, y1, y2, y3, z0, z1, z2, z3] = *chunk;
        a = a.wrapping_add(u32::from_le_bytes([x0, x1, x2, x3]));
        b = b.wrapping_add(u32::from_le_bytes([y0, y1, y2, y3]));
        c = c.wrapping_add(u32::from_le_bytes([z0, z1, z2, z3]));
        (a, b, c) = mix(a, b, c);
        rest = left;
    }
    c = c.wrapping_add(low(bytes.len()));
    let (first, rest) = rest.split_at(rest.len().min(4));
    let (second, third) = rest.split_at(rest.len().min(4));
    a = a.wrapping_add(word(first));
    b = b.wrapping_add(word(second));
    c = c.wrapping_add(word(third) << 8);
    mix(a, b, c).2
}

/// A list hashes its runs of bytes four at a time.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    word: u32,
    len: u8,
}

impl Run {
    #[inline(always)]
    fn push(&mut self, hash: u32, byte: u8) -> u32 {
        self.word = self.word << 8 | u32::from(byte);
        self.len += 1;
        if self.len < 4 {
            return hash;
        }
        mix_one(hash, std::mem::take(self).word, 4)
    }

    /// Ends the run: what was not yet hashed goes in unpadded.
    #[inline(always)]
    fn end(&mut self, hash: u32) -> u32 {
        let ended = std::mem::take(self);
        if ended.len == 0 { hash } else { mix_one(hash, ended.word, 4) }
    }
}

fn fold_list(mut hash: u32, list: &List) -> u32 {
    let mut run = Run::default();
    if let Some(bytes) = list.as_bytes() {
        hash = bytes.iter().fold(hash, |hash, byte| run.push(hash, *byte));
    }
    for item in list.as_terms().unwrap_or_default() {
        hash = match item.as_i64().map(u8::try_from) {
            Some(Ok(byte)) => run.push(hash, byte),
            Some(Err(_)) | None => fold(run.end(hash), item),
        };
    }
    hash = run.end(hash);
    list.tail().map_or_else(|| fold_nil(hash), |tail| fold(hash, tail))
}

/// The pairs of a map have no order: each is hashed on its own and the hashes are combined.
fn fold_map(hash: u32, map: &Map) -> u32 {
    let pairs = map.iter().fold(0, |all, (key, value)| all ^ fold(fold(0, key), value));
    fold_pairs(hash, map.len(), pairs)
}

fn fold_fun(hash: u32, fun: &Fun) -> u32 {
    match fun {
        Fun::Export { module, function, arity } => fold_export(hash, module.phash(), function.phash(), *arity),
        Fun::Local(fun) => {
            let LocalFun { module, index, old_uniq, free, .. } = &**fun;
            let hash = fold_fun_head(hash, free.len(), module.phash(), *index, low_word(old_uniq));
            free.iter().fold(hash, fold)
        }
    }
}

fn fold_export(hash: u32, module: u32, function: u32, arity: u8) -> u32 {
    mix_one(mix_two(hash, u32::from(arity), module, 1), function, 14)
}

fn fold_fun_head(hash: u32, free: usize, module: u32, index: u32, old_uniq: u32) -> u32 {
    mix_two(mix_two(hash, low(free), module, 1), index, old_uniq, 1)
}

/// The low 32 bits, two's complement.
fn low_word(value: &Integer) -> u32 {
    match value.parts() {
        Parts::Small(small) => small as u32,
        Parts::Big(negative, magnitude) => low_digits(negative, magnitude),
    }
}

fn low_digits(negative: bool, magnitude: &[u8]) -> u32 {
    let low = digits(magnitude).next().unwrap_or(0) as u32;
    if negative { low.wrapping_neg() } else { low }
}

fn fold_record(hash: u32, record: &Record) -> u32 {
    let names = record.fields.iter().map(|(name, _)| name.phash());
    let definition = record_definition(record.module.phash(), record.name.phash(), record.exported, names);
    record
        .fields
        .iter()
        .fold(mix_two(hash, low(record.fields.len()), definition, 23), |hash, (_, value)| fold(hash, value))
}

/// The hash of `{Module, Name, IsExported, Field…}`.
fn record_definition(module: u32, name: u32, exported: bool, fields: impl ExactSizeIterator<Item = u32>) -> u32 {
    let hash = mix_one(0, low(fields.len() + 3), 9);
    let exported = Atom::from(exported).phash();
    [module, name, exported].into_iter().chain(fields).fold(hash, fold_atom)
}

#[cfg(test)]
mod tests;
