//! One step of reading: a whole leaf, or the head of a container.
//!
//! Every reader of terms (the decoder, `skip`, `phash2` over bytes, serde) takes its steps here, so
//! that all of them accept and refuse the same bytes.

use super::error::{DecodeError, DecodeErrorKind};
use super::reader::{Reader, Shared};
use super::tag::Tag;
use crate::term::atom::hashpjw;
use crate::term::{Atom, AtomError, Creation, Pid, Port, Ref, small};

/// A leaf, or the head of a container whose elements follow.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Token<'a> {
    Integer(i64),
    /// An integer beyond 64 bits.
    Big(Big<'a>),
    Float(f64),
    Atom(AtomText<'a>),
    Pid(RawPid<'a>),
    Port(RawPort<'a>),
    Ref(RawRef<'a>),
    Nil,
    /// A list of bytes; never empty.
    String(&'a [u8]),
    Binary(Shared<'a>),
    /// The last byte counts for this many bits, 1 to 7.
    Bits(Shared<'a>, u8),
    Local(Shared<'a>),
    /// `fun module:function/arity`.
    Export(AtomText<'a>, AtomText<'a>, u8),
    Tuple(usize),
    /// At least one element, then a tail.
    List(usize),
    /// So many pairs.
    Map(usize),
    /// [`Reader::fun_head`] reads on.
    Fun,
    /// [`Reader::record_head`] reads on.
    Record,
}

/// The sign and the little-endian magnitude, without leading zeros.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Big<'a> {
    pub(crate) negative: bool,
    pub(crate) magnitude: &'a [u8],
}

/// An atom whose text was not looked at yet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AtomText<'a> {
    Utf8(&'a [u8]),
    Latin1(&'a [u8]),
    Known(Atom),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct RawPid<'a> {
    pub(crate) node: AtomText<'a>,
    pub(crate) id: u32,
    pub(crate) serial: u32,
    pub(crate) creation: u32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct RawPort<'a> {
    pub(crate) node: AtomText<'a>,
    pub(crate) id: u64,
    pub(crate) creation: u32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct RawRef<'a> {
    pub(crate) node: AtomText<'a>,
    pub(crate) creation: u32,
    /// One to five words, big-endian, in wire order.
    pub(crate) words: &'a [u8],
}

/// What stands in a fun before its free variables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FunHead<'a> {
    pub(crate) arity: u8,
    pub(crate) uniq: [u8; 16],
    pub(crate) index: u32,
    /// At most 255.
    pub(crate) free: usize,
    pub(crate) module: AtomText<'a>,
    pub(crate) old_index: Whole<'a>,
    pub(crate) old_uniq: Whole<'a>,
    pub(crate) pid: RawPid<'a>,
}

/// An integer of any size.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whole<'a> {
    Small(i64),
    Big(Big<'a>),
}

/// What stands in a native record before its field names and values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordHead<'a> {
    pub(crate) exported: bool,
    pub(crate) module: AtomText<'a>,
    pub(crate) name: AtomText<'a>,
    pub(crate) fields: usize,
}

/// The first word of a reference in the old tags has 18 bits.
const OLD_REF_LIMIT: u32 = 1 << 18;

/// What is done with a token; see [`Reader::step`].
pub(crate) trait Take<'a> {
    type Out;

    /// `#[inline(always)]` in all implementations.
    fn take(self, reader: &mut Reader<'a>, token: Token<'a>) -> Result<Self::Out, DecodeError>;
}

struct Itself;

impl<'a> Take<'a> for Itself {
    type Out = Token<'a>;

    #[inline(always)]
    fn take(self, _: &mut Reader<'a>, token: Token<'a>) -> Result<Token<'a>, DecodeError> {
        Ok(token)
    }
}

impl<'a> Reader<'a> {
    /// Reads a leaf, or the head of a container.
    #[inline]
    pub(crate) fn token(&mut self) -> Result<Token<'a>, DecodeError> {
        self.step(Itself)
    }

    /// Reads a leaf, or the head of a container, and passes it on.
    ///
    /// What is done with a token is compiled into each branch, so that a frequent token never exists
    /// as such: building one, and taking it apart again, costs more than all else.
    #[inline(always)]
    pub(crate) fn step<T: Take<'a>>(&mut self, take: T) -> Result<T::Out, DecodeError> {
        loop {
            let tag = Tag(self.u8()?);
            return match tag {
                Tag::SMALL_INTEGER => {
                    let value = i64::from(self.u8()?);
                    take.take(self, Token::Integer(value))
                }
                Tag::INTEGER => {
                    let value = i64::from(i32::from_be_bytes(self.array()?));
                    take.take(self, Token::Integer(value))
                }
                Tag::SMALL_ATOM_UTF8 => {
                    let len = usize::from(self.u8()?);
                    let text = self.take(len)?;
                    take.take(self, Token::Atom(AtomText::Utf8(text)))
                }
                Tag::ATOM_CACHE_REF => {
                    let atom = self.cached_atom()?;
                    take.take(self, Token::Atom(AtomText::Known(atom)))
                }
                Tag::BINARY => {
                    let len = self.u32()? as usize;
                    let shared = self.shared(len)?;
                    take.take(self, Token::Binary(shared))
                }
                Tag::SMALL_TUPLE => {
                    let claimed = u32::from(self.u8()?);
                    let count = self.count(claimed, 1)?;
                    take.take(self, Token::Tuple(count))
                }
                Tag::NIL => take.take(self, Token::Nil),
                Tag::LIST => {
                    let claimed = self.u32()?;
                    if claimed == 0 {
                        // A list of no elements is its tail.
                        continue;
                    }
                    let count = self.count(claimed, 1)?;
                    take.take(self, Token::List(count))
                }
                Tag::MAP => {
                    let claimed = self.u32()?;
                    let pairs = self.count(claimed, 2)?;
                    take.take(self, Token::Map(pairs))
                }
                Tag::NEW_FLOAT => {
                    let value = self.float()?;
                    take.take(self, Token::Float(value))
                }
                Tag::SMALL_BIG => {
                    let len = usize::from(self.u8()?);
                    let (negative, magnitude) = self.sign_and_magnitude(len)?;
                    match small(negative, magnitude) {
                        Some(value) => take.take(self, Token::Integer(value)),
                        None => take.take(self, Token::Big(Big { negative, magnitude })),
                    }
                }
                _ => {
                    let token = self.rare(tag)?;
                    take.take(self, token)
                }
            };
        }
    }

    /// Reads an atom, which has to stand here.
    pub(crate) fn atom(&mut self) -> Result<AtomText<'a>, DecodeError> {
        match Tag(self.u8()?) {
            Tag::SMALL_ATOM_UTF8 => {
                let len = usize::from(self.u8()?);
                self.take(len).map(AtomText::Utf8)
            }
            Tag::ATOM_UTF8 => {
                let len = usize::from(self.u16()?);
                self.take(len).map(AtomText::Utf8)
            }
            Tag::ATOM_CACHE_REF => self.cached_atom().map(AtomText::Known),
            Tag::SMALL_ATOM => {
                let len = usize::from(self.u8()?);
                self.take(len).map(AtomText::Latin1)
            }
            Tag::ATOM => {
                let len = usize::from(self.u16()?);
                self.take(len).map(AtomText::Latin1)
            }
            _ => Err(self.fail(DecodeErrorKind::Expected("an atom"))),
        }
    }

    /// Reads on after [`Token::Fun`], up to the free variables.
    pub(crate) fn fun_head(&mut self) -> Result<FunHead<'a>, DecodeError> {
        // "The total number of bytes": advisory, and the BEAM takes any number here.
        self.u32()?;
        let (arity, uniq, index) = (self.u8()?, self.array()?, self.u32()?);
        let free = self.u32()?;
        if free > 255 {
            return Err(self.fail(DecodeErrorKind::Fun));
        }
        let free = self.count(free, 1)?;
        let module = self.atom()?;
        let (old_index, old_uniq) = (self.whole()?, self.whole()?);
        let Token::Pid(pid) = self.token()? else {
            return Err(self.fail(DecodeErrorKind::Expected("a pid")));
        };
        Ok(FunHead { arity, uniq, index, free, module, old_index, old_uniq, pid })
    }

    /// Reads on after [`Token::Record`], up to the names of the fields.
    pub(crate) fn record_head(&mut self) -> Result<RecordHead<'a>, DecodeError> {
        let (claimed, flags) = (self.u32()?, self.u8()?);
        if flags > 1 {
            return Err(self.fail(DecodeErrorKind::Record));
        }
        let (module, name) = (self.atom()?, self.atom()?);
        // A field is an atom of at least two bytes, and its value.
        let fields = self.count(claimed, 3)?;
        Ok(RecordHead { exported: flags == 1, module, name, fields })
    }

    fn rare(&mut self, tag: Tag) -> Result<Token<'a>, DecodeError> {
        match tag {
            Tag::LARGE_BIG => {
                let len = self.u32()? as usize;
                let (negative, magnitude) = self.sign_and_magnitude(len)?;
                let big = Token::Big(Big { negative, magnitude });
                Ok(small(negative, magnitude).map_or(big, Token::Integer))
            }
            Tag::ATOM_UTF8 => {
                let len = usize::from(self.u16()?);
                Ok(Token::Atom(AtomText::Utf8(self.take(len)?)))
            }
            Tag::SMALL_ATOM => {
                let len = usize::from(self.u8()?);
                Ok(Token::Atom(AtomText::Latin1(self.take(len)?)))
            }
            Tag::ATOM => {
                let len = usize::from(self.u16()?);
                Ok(Token::Atom(AtomText::Latin1(self.take(len)?)))
            }
            Tag::STRING => {
                let len = usize::from(self.u16()?);
                let bytes = self.take(len)?;
                Ok(if bytes.is_empty() { Token::Nil } else { Token::String(bytes) })
            }
            Tag::LARGE_TUPLE => {
                let claimed = self.u32()?;
                self.count(claimed, 1).map(Token::Tuple)
            }
            Tag::BIT_BINARY => self.bits(),
            Tag::FLOAT => self.text_float().map(Token::Float),
            Tag::NEW_PID | Tag::PID => self.pid(tag),
            Tag::NEW_PORT | Tag::V4_PORT | Tag::PORT => self.port(tag),
            Tag::NEWER_REFERENCE | Tag::NEW_REFERENCE | Tag::REFERENCE => self.reference(tag),
            Tag::EXPORT => {
                let (module, function) = (self.atom()?, self.atom()?);
                let Whole::Small(arity) = self.whole()? else {
                    return Err(self.fail(DecodeErrorKind::Fun));
                };
                let arity = u8::try_from(arity).map_err(|_beyond_255| self.fail(DecodeErrorKind::Fun))?;
                Ok(Token::Export(module, function, arity))
            }
            Tag::NEW_FUN => Ok(Token::Fun),
            Tag::RECORD => Ok(Token::Record),
            Tag::LOCAL => Ok(Token::Local(self.rest())),
            Tag(other) => Err(self.fail(DecodeErrorKind::Tag(other))),
        }
    }

    fn cached_atom(&mut self) -> Result<Atom, DecodeError> {
        let at = self.u8()?;
        match self.atoms.get(usize::from(at)) {
            Some(atom) => Ok(*atom),
            None => Err(self.fail(DecodeErrorKind::CachedAtom(at))),
        }
    }

    fn whole(&mut self) -> Result<Whole<'a>, DecodeError> {
        match self.token()? {
            Token::Integer(small) => Ok(Whole::Small(small)),
            Token::Big(big) => Ok(Whole::Big(big)),
            _ => Err(self.fail(DecodeErrorKind::Expected("an integer"))),
        }
    }

    fn float(&mut self) -> Result<f64, DecodeError> {
        let float = f64::from_be_bytes(self.array()?);
        if float.is_finite() { Ok(float) } else { Err(self.fail(DecodeErrorKind::Float)) }
    }

    /// 31 bytes as `%.20e` prints, NUL padded.
    fn text_float(&mut self) -> Result<f64, DecodeError> {
        let bytes = self.take(31)?;
        let text = bytes.split(|byte| *byte == 0).next().and_then(|text| std::str::from_utf8(text).ok());
        let float = text.filter(|text| is_erlang_float(text)).and_then(|text| text.parse::<f64>().ok());
        float.filter(|float| float.is_finite()).ok_or_else(|| self.fail(DecodeErrorKind::Float))
    }

    fn sign_and_magnitude(&mut self, len: usize) -> Result<(bool, &'a [u8]), DecodeError> {
        // The BEAM takes every sign byte but 0 as negative.
        let negative = self.u8()? != 0;
        let bytes = self.take(len)?;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Ok((negative, &bytes[..used]))
    }

    fn bits(&mut self) -> Result<Token<'a>, DecodeError> {
        let (len, bits) = (self.u32()? as usize, self.u8()?);
        if len == 0 || !(1..=8).contains(&bits) {
            return Err(self.fail(DecodeErrorKind::Bits));
        }
        let shared = self.shared(len)?;
        Ok(if bits == 8 { Token::Binary(shared) } else { Token::Bits(shared, bits) })
    }

    /// The creation of the old tags: one byte, of which two bits count.
    fn tiny_creation(&mut self) -> Result<u32, DecodeError> {
        let creation = self.u8()?;
        if creation > 3 { Err(self.fail(DecodeErrorKind::Creation)) } else { Ok(u32::from(creation)) }
    }

    fn pid(&mut self, tag: Tag) -> Result<Token<'a>, DecodeError> {
        let (node, id, serial) = (self.atom()?, self.u32()?, self.u32()?);
        let creation = if tag == Tag::PID { self.tiny_creation()? } else { self.u32()? };
        Ok(Token::Pid(RawPid { node, id, serial, creation }))
    }

    fn port(&mut self, tag: Tag) -> Result<Token<'a>, DecodeError> {
        let node = self.atom()?;
        let id = if tag == Tag::V4_PORT { self.u64()? } else { u64::from(self.u32()?) };
        let creation = if tag == Tag::PORT { self.tiny_creation()? } else { self.u32()? };
        Ok(Token::Port(RawPort { node, id, creation }))
    }

    fn reference(&mut self, tag: Tag) -> Result<Token<'a>, DecodeError> {
        if tag == Tag::REFERENCE {
            let (node, words) = (self.atom()?, self.words(1)?);
            self.check_old_words(words)?;
            return Ok(Token::Ref(RawRef { node, words, creation: self.tiny_creation()? }));
        }
        let count = self.u16()?;
        let node = self.atom()?;
        if tag == Tag::NEWER_REFERENCE {
            let creation = self.u32()?;
            return Ok(Token::Ref(RawRef { node, creation, words: self.words(count)? }));
        }
        let creation = self.tiny_creation()?;
        let words = self.words(count)?;
        self.check_old_words(words)?;
        Ok(Token::Ref(RawRef { node, creation, words }))
    }

    fn words(&mut self, count: u16) -> Result<&'a [u8], DecodeError> {
        if !(1..=5).contains(&count) {
            return Err(self.fail(DecodeErrorKind::Reference));
        }
        self.take(usize::from(count) * 4)
    }

    fn check_old_words(&self, words: &[u8]) -> Result<(), DecodeError> {
        match words.first_chunk().map(|first| u32::from_be_bytes(*first)) {
            Some(first) if first < OLD_REF_LIMIT => Ok(()),
            Some(_) | None => Err(self.fail(DecodeErrorKind::Reference)),
        }
    }
}

/// Digits, a point, digits, and perhaps an exponent: what `sys_chars_to_double` of the emulator takes.
fn is_erlang_float(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = |text: &str| text.strip_prefix(['+', '-']).unwrap_or(text).to_owned();
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let mantissa = unsigned(mantissa);
    let Some((whole, fraction)) = mantissa.split_once('.') else { return false };
    digits(whole) && digits(fraction) && exponent.is_none_or(|exponent| digits(&unsigned(exponent)))
}

impl AtomText<'_> {
    /// The atom of this text, made if it is new.
    #[inline(always)]
    pub(crate) fn intern(self) -> Result<Atom, DecodeErrorKind> {
        match self {
            Self::Known(atom) => Ok(atom),
            Self::Utf8(bytes) => match Atom::recent(bytes) {
                Some(atom) => Ok(atom),
                None => intern_text(std::str::from_utf8(bytes).map_err(|_utf8| DecodeErrorKind::AtomText)?),
            },
            Self::Latin1(bytes) => intern_text(&latin1(bytes)),
        }
    }

    /// The hash of its text that `phash2` starts from; no atom is made for it.
    pub(crate) fn phash(self) -> Result<u32, DecodeErrorKind> {
        match self {
            Self::Known(atom) => Ok(atom.phash()),
            Self::Utf8(bytes) => match Atom::recent(bytes) {
                Some(atom) => Ok(atom.phash()),
                None => {
                    self.check()?;
                    std::str::from_utf8(bytes).map(hashpjw).map_err(|_utf8| DecodeErrorKind::AtomText)
                }
            },
            Self::Latin1(bytes) => {
                self.check()?;
                Ok(hashpjw(&latin1(bytes)))
            }
        }
    }

    /// Whether it would become an atom, which it need not be.
    #[inline]
    pub(crate) fn check(self) -> Result<(), DecodeErrorKind> {
        match self {
            Self::Known(_) => Ok(()),
            Self::Utf8(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_utf8| DecodeErrorKind::AtomText)?;
                if text.len() > 255 && text.chars().count() > 255 {
                    return Err(DecodeErrorKind::AtomTooLong);
                }
                Ok(())
            }
            Self::Latin1(bytes) if bytes.len() > 255 => Err(DecodeErrorKind::AtomTooLong),
            Self::Latin1(_) => Ok(()),
        }
    }
}

#[cold]
fn intern_text(text: &str) -> Result<Atom, DecodeErrorKind> {
    Atom::try_new(text).map_err(|error| match error {
        AtomError::TooLong => DecodeErrorKind::AtomTooLong,
        AtomError::TableFull => DecodeErrorKind::AtomTableFull,
    })
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

impl Reader<'_> {
    #[inline]
    pub(crate) fn intern(&self, text: AtomText<'_>) -> Result<Atom, DecodeError> {
        text.intern().map_err(|kind| self.fail(kind))
    }

    #[inline]
    pub(crate) fn make_pid(&self, raw: RawPid<'_>) -> Result<Pid, DecodeError> {
        let node = self.intern(raw.node)?;
        Ok(Pid { node, id: raw.id, serial: raw.serial, creation: Creation(raw.creation) })
    }

    pub(crate) fn make_port(&self, raw: RawPort<'_>) -> Result<Port, DecodeError> {
        Ok(Port { node: self.intern(raw.node)?, id: raw.id, creation: Creation(raw.creation) })
    }

    pub(crate) fn make_ref(&self, raw: RawRef<'_>) -> Result<Ref, DecodeError> {
        let mut words = [0; Ref::MAX_WORDS];
        let chunks = raw.words.chunks_exact(4).filter_map(|word| word.first_chunk());
        for (word, bytes) in words.iter_mut().zip(chunks) {
            *word = u32::from_be_bytes(*bytes);
        }
        let words = words.get(..raw.words.len() / 4).unwrap_or_default();
        let made = Ref::new(self.intern(raw.node)?, Creation(raw.creation), words);
        made.ok_or_else(|| self.fail(DecodeErrorKind::Reference))
    }
}
