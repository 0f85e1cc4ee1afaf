//! `phash2` straight over a term's bytes: a walk with a stack of its own, so any depth will do.

use super::{
    MASK, Run, digits, fold_atom, fold_bytes, fold_digits, fold_export, fold_float, fold_fun_head, fold_i64, fold_nil,
    fold_partial, fold_pid, fold_port, fold_ref, low, low_digits, mix_one, mix_two, record_definition, within,
};
use crate::etf::reader::Reader;
use crate::etf::token::{AtomText, Token, Whole};
use crate::etf::{DecodeError, Encoded};

impl Encoded {
    /// `erlang:phash2(Term)`: 27 bits.
    ///
    /// # Errors
    /// If the bytes are no term.
    pub fn phash2(&self) -> Result<u32, DecodeError> {
        self.hash32().map(|hash| hash & MASK)
    }

    /// `erlang:phash2(Term, Range)`, for a range of 1 to 2^32; `None` for any other.
    ///
    /// # Errors
    /// If the bytes are no term.
    pub fn phash2_range(&self, range: u64) -> Result<Option<u32>, DecodeError> {
        self.hash32().map(|hash| within(hash, range))
    }

    /// `erlang:phash2(Term, 1 bsl 32)`: all 32 bits.
    ///
    /// # Errors
    /// If the bytes are no term.
    pub fn hash32(&self) -> Result<u32, DecodeError> {
        hash32(&mut self.reader())
    }
}

/// Hashes the next term.
pub(crate) fn hash32(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let mut walk = Walk { hash: 0, open: Vec::new() };
    loop {
        let token = reader.token()?;
        if walk.opens(reader, token)? {
            continue;
        }
        if walk.close_finished(reader)? {
            return Ok(walk.hash);
        }
    }
}

struct Walk {
    hash: u32,
    open: Vec<Open>,
}

/// A container whose elements are being hashed.
enum Open {
    /// So many terms are to come, one after the other into the same hash.
    Terms(usize),
    List {
        left: usize,
        run: Run,
    },
    Map {
        /// Keys and values to come.
        left: usize,
        /// The hash to go on with, its size already in it.
        outer: u32,
        /// The pairs so far.
        pairs: u32,
    },
}

impl Walk {
    /// Hashes a leaf, or the head of a container. True if terms of the container follow.
    #[inline]
    fn opens(&mut self, reader: &mut Reader<'_>, token: Token<'_>) -> Result<bool, DecodeError> {
        let hash = self.hash;
        self.hash = match token {
            Token::Integer(value) => fold_i64(hash, value),
            Token::Atom(text) => fold_atom(hash, text_hash(reader, text)?),
            Token::Binary(shared) => fold_bytes(hash, shared.bytes),
            Token::Tuple(count) => {
                self.hash = mix_one(hash, low(count), 9);
                return Ok(self.expects(count));
            }
            Token::List(count) => {
                self.open.push(Open::List { left: count, run: Run::default() });
                return self.next_of_list(reader).map(|ended| !ended);
            }
            Token::Map(0) => mix_one(hash, 0, 16),
            Token::Map(count) => {
                self.open.push(Open::Map { left: count * 2, outer: mix_one(hash, low(count), 16), pairs: 0 });
                self.hash = 0;
                return Ok(true);
            }
            Token::Nil => fold_nil(hash),
            Token::String(bytes) => {
                let mut run = Run::default();
                let hash = bytes.iter().fold(hash, |hash, byte| run.push(hash, *byte));
                fold_nil(run.end(hash))
            }
            Token::Float(value) => fold_float(hash, value),
            Token::Big(big) => fold_digits(hash, big.negative, digits(big.magnitude)),
            Token::Pid(raw) => {
                check(reader, raw.node)?;
                fold_pid(hash, raw.id)
            }
            Token::Port(raw) => {
                check(reader, raw.node)?;
                fold_port(hash, raw.id)
            }
            Token::Ref(raw) => fold_ref(hash, &reader.make_ref(raw)?),
            Token::Bits(shared, bits) => fold_partial(hash, shared.bytes, bits),
            Token::Local(shared) => fold_bytes(hash, shared.bytes),
            Token::Export(module, function, arity) => {
                fold_export(hash, text_hash(reader, module)?, text_hash(reader, function)?, arity)
            }
            Token::Fun => return self.open_fun(reader),
            Token::Record => return self.open_record(reader),
        };
        Ok(false)
    }

    fn open_fun(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        let head = reader.fun_head()?;
        check(reader, head.pid.node)?;
        let old_uniq = match head.old_uniq {
            Whole::Small(small) => small as u32,
            Whole::Big(big) => low_digits(big.negative, big.magnitude),
        };
        self.hash = fold_fun_head(self.hash, head.free, text_hash(reader, head.module)?, head.index, old_uniq);
        Ok(self.expects(head.free))
    }

    fn open_record(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        let head = reader.record_head()?;
        let mut names = Vec::new();
        for _ in 0..head.fields {
            let name = reader.atom()?;
            names.push(text_hash(reader, name)?);
        }
        let (module, name) = (text_hash(reader, head.module)?, text_hash(reader, head.name)?);
        let definition = record_definition(module, name, head.exported, names.into_iter());
        self.hash = mix_two(self.hash, low(head.fields), definition, 23);
        Ok(self.expects(head.fields))
    }

    fn expects(&mut self, count: usize) -> bool {
        if count > 0 {
            self.open.push(Open::Terms(count));
        }
        count > 0
    }

    /// After a term: closes every container that it completed. True when the whole term is done.
    #[inline]
    fn close_finished(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        while let Some(top) = self.open.last_mut() {
            match top {
                Open::Terms(left) => {
                    *left -= 1;
                    if *left > 0 {
                        return Ok(false);
                    }
                }
                Open::Map { left, outer, pairs } => {
                    *left -= 1;
                    if *left % 2 == 1 {
                        return Ok(false);
                    }
                    *pairs ^= std::mem::take(&mut self.hash);
                    if *left > 0 {
                        return Ok(false);
                    }
                    self.hash = mix_one(*outer, *pairs, 19);
                }
                Open::List { .. } => {
                    if !self.next_of_list(reader)? {
                        return Ok(false);
                    }
                    continue;
                }
            }
            self.open.pop();
        }
        Ok(true)
    }

    /// Goes on with the list on top up to the next element that is no byte. True if the list ended,
    /// and was taken from the top; false if a term is to come.
    #[inline]
    fn next_of_list(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        let Some(Open::List { left, run }) = self.open.last_mut() else { return Ok(true) };
        loop {
            let mut ahead = reader.clone();
            let token = ahead.token()?;
            let tail = *left == 0;
            match token {
                Token::Integer(byte @ 0..=255) if !tail => {
                    self.hash = run.push(self.hash, byte as u8);
                    *left -= 1;
                }
                // A tail that is a list makes one longer list.
                Token::List(count) if tail => *left = count,
                Token::String(bytes) if tail => {
                    self.hash = bytes.iter().fold(self.hash, |hash, byte| run.push(hash, *byte));
                    self.hash = fold_nil(run.end(self.hash));
                    self.open.pop();
                    *reader = ahead;
                    return Ok(true);
                }
                Token::Nil if tail => {
                    self.hash = fold_nil(run.end(self.hash));
                    self.open.pop();
                    *reader = ahead;
                    return Ok(true);
                }
                _ => {
                    self.hash = run.end(self.hash);
                    match tail {
                        // The tail is the last term of this container.
                        true => *self.open.last_mut().expect("the list is on top") = Open::Terms(1),
                        false => *left -= 1,
                    }
                    return Ok(false);
                }
            }
            *reader = ahead;
        }
    }
}

/// The hash of an atom's text; unlike the decoder, hashing makes no atoms.
#[inline]
fn text_hash(reader: &Reader<'_>, text: AtomText<'_>) -> Result<u32, DecodeError> {
    text.phash().map_err(|kind| reader.fail(kind))
}

fn check(reader: &Reader<'_>, text: AtomText<'_>) -> Result<(), DecodeError> {
    text.check().map_err(|kind| reader.fail(kind))
}
