//! Bytes straight to Rust values.

use serde::de::value::{BytesDeserializer, SeqDeserializer};
use serde::de::{self, Deserializer as _, Visitor};
use serde::forward_to_deserialize_any;

use super::access::{Bare, Expected, Fixed, Items, Keywords, Pairs, Tagged};
use super::error::Error;
use super::tunnel::{self, Passed};
use crate::etf::decode::{Limits, decode_one};
use crate::etf::reader::Reader;
use crate::etf::token::{AtomText, Big, Token};
use crate::etf::walk::skip_one;
use crate::etf::{DecodeErrorKind, Encoded, encode_into};

/// How deep types are followed: each level takes several call frames.
const MAX_DEPTH: usize = 128;

/// Reads one value after the other.
pub(super) struct Deserializer<'de> {
    reader: Reader<'de>,
    /// What `reader` reads, to cut parts out of.
    whole: &'de Encoded,
    depth: usize,
}

impl<'de> Deserializer<'de> {
    pub(super) fn new(whole: &'de Encoded) -> Self {
        Self { reader: whole.reader(), whole, depth: MAX_DEPTH }
    }

    /// Makes sure that nothing is left.
    pub(super) fn end(&self) -> Result<(), Error> {
        if self.reader.left() == 0 { Ok(()) } else { Err(self.reader.fail(DecodeErrorKind::TrailingBytes).into()) }
    }

    /// The next token, and a way to leave it unread.
    fn peek(&self) -> Result<(Token<'de>, Reader<'de>), Error> {
        let mut ahead = self.reader.clone();
        let token = ahead.token()?;
        Ok((token, ahead))
    }

    pub(super) fn next(&mut self) -> Result<Token<'de>, Error> {
        Ok(self.reader.token()?)
    }

    fn text(&self, text: AtomText<'de>) -> Result<&'de str, Error> {
        match text {
            AtomText::Known(atom) => Ok(atom.as_str()),
            AtomText::Utf8(bytes) => {
                text.check().map_err(|kind| self.reader.fail(kind))?;
                std::str::from_utf8(bytes).map_err(|_utf8| self.reader.fail(DecodeErrorKind::AtomText).into())
            }
            // Interned, so that the text lives as long as the borrowed ones.
            AtomText::Latin1(_) => Ok(self.reader.intern(text)?.as_str()),
        }
    }

    /// The text of the next term, if it is an atom; it is left unread otherwise.
    pub(super) fn atom(&mut self) -> Result<Option<&'de str>, Error> {
        let (Token::Atom(text), ahead) = self.peek()? else { return Ok(None) };
        self.reader = ahead;
        self.text(text).map(Some)
    }

    /// The text of the next term, if it is an atom, which stays unread.
    pub(super) fn peek_atom(&self) -> Result<Option<&'de str>, Error> {
        match self.peek()?.0 {
            Token::Atom(text) => self.text(text).map(Some),
            _ => Ok(None),
        }
    }

    /// Runs something one level deeper.
    fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.depth = self.depth.checked_sub(1).ok_or(Error::TooDeep)?;
        let result = run(self);
        self.depth += 1;
        result
    }

    /// The elements of a tuple, or of anything of a known number of terms.
    pub(super) fn fixed<V: Visitor<'de>>(&mut self, count: usize, visitor: V) -> Result<V::Value, Error> {
        self.deeper(|de| {
            let mut elements = Fixed { de, left: count };
            let value = visitor.visit_seq(&mut elements)?;
            if elements.left > 0 {
                return Err(de::Error::invalid_length(count, &"fewer elements"));
            }
            Ok(value)
        })
    }

    fn list<V: Visitor<'de>>(&mut self, count: usize, visitor: V) -> Result<V::Value, Error> {
        self.deeper(|de| {
            let mut items = Items::new(de, count);
            let value = visitor.visit_seq(&mut items)?;
            if items.more()? {
                return Err(de::Error::custom("a list with more elements than expected"));
            }
            Ok(value)
        })
    }

    fn map<V: Visitor<'de>>(&mut self, pairs: usize, expected: Expected, visitor: V) -> Result<V::Value, Error> {
        self.deeper(|de| {
            let mut pairs = Pairs { de, left: pairs, expected };
            let value = visitor.visit_map(&mut pairs)?;
            if pairs.left > 0 {
                return Err(de::Error::custom("a map with more pairs than expected"));
            }
            Ok(value)
        })
    }

    /// A keyword list, `[{key, value}, …]`, read as a map.
    fn keywords<V: Visitor<'de>>(&mut self, count: usize, visitor: V) -> Result<V::Value, Error> {
        self.deeper(|de| {
            let mut keywords = Keywords { list: Items::new(de, count) };
            let value = visitor.visit_map(&mut keywords)?;
            if keywords.list.more()? {
                return Err(de::Error::custom("a keyword list with more pairs than expected"));
            }
            Ok(value)
        })
    }

    fn charlist<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let term = decode_one(&mut self.reader, &Limits::default())?;
        let text = term.as_list().and_then(crate::term::List::to_text);
        visitor.visit_string(text.ok_or_else(|| <Error as de::Error>::custom("a list that is no charlist"))?)
    }

    /// A term that serde has no word for: kept as bytes until a type that knows it asks.
    fn keep<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let term = decode_one(&mut self.reader, &Limits::default())?;
        let mut kept = tunnel::KEPT.to_vec();
        encode_into(&term, &mut kept)?;
        visitor.visit_newtype_struct(BytesDeserializer::new(&kept))
    }

    fn big<V: Visitor<'de>>(&mut self, big: Big<'de>, visitor: V) -> Result<V::Value, Error> {
        let mut bytes = [0; 16];
        let Some(low) = bytes.get_mut(..big.magnitude.len()) else {
            return Err(de::Error::custom("an integer beyond 128 bits"));
        };
        low.copy_from_slice(big.magnitude);
        let magnitude = u128::from_le_bytes(bytes);
        match (u64::try_from(magnitude), i128::try_from(magnitude)) {
            (Ok(word), _) if !big.negative => visitor.visit_u64(word),
            (_, Err(_)) if !big.negative => visitor.visit_u128(magnitude),
            (_, Ok(value)) => visitor.visit_i128(if big.negative { -value } else { value }),
            (_, Err(_)) if magnitude == 1 << 127 => visitor.visit_i128(i128::MIN),
            (_, Err(_)) => Err(de::Error::custom("an integer beyond 128 bits")),
        }
    }

    fn pairs<V: Visitor<'de>>(&mut self, expected: Expected, visitor: V) -> Result<V::Value, Error> {
        let (token, ahead) = self.peek()?;
        let pairs = match token {
            Token::Map(pairs) => pairs,
            Token::List(count) => {
                self.reader = ahead;
                return self.keywords(count, visitor);
            }
            Token::Nil => 0,
            _ => return self.deserialize_any(visitor),
        };
        self.reader = ahead;
        self.map(pairs, expected, visitor)
    }

    fn enum_tuple<V: Visitor<'de>>(&mut self, arity: usize, variants: Variants, visitor: V) -> Result<V::Value, Error> {
        let Some(left) = arity.checked_sub(1) else {
            return Err(de::Error::custom("an empty tuple where {tag, …} was expected"));
        };
        self.deeper(|de| {
            let mut variant = Tagged { de, left, ended: false, variants };
            let value = visitor.visit_enum(&mut variant)?;
            if !variant.ended {
                return Err(de::Error::custom("a tagged tuple with more elements than expected"));
            }
            Ok(value)
        })
    }
}

pub(super) type Variants = &'static [&'static str];

/// The names that `Result`'s variants have in Rust.
pub(super) fn rust_variant<'t>(variants: &[&str], tag: &'t str) -> &'t str {
    match (variants, tag) {
        (["Ok", "Err"], "ok") => "Ok",
        (["Ok", "Err"], "error") => "Err",
        _ => tag,
    }
}

impl<'de> de::Deserializer<'de> for &mut Deserializer<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let before = self.reader.clone();
        match self.next()? {
            Token::Integer(value) => match u64::try_from(value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(value),
            },
            Token::Big(big) => self.big(big, visitor),
            Token::Float(value) => visitor.visit_f64(value),
            Token::Atom(text) => match self.text(text)? {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                "nil" => visitor.visit_unit(),
                text => visitor.visit_borrowed_str(text),
            },
            Token::Binary(shared) => match std::str::from_utf8(shared.bytes) {
                Ok(text) => visitor.visit_borrowed_str(text),
                Err(_) => visitor.visit_borrowed_bytes(shared.bytes),
            },
            Token::Nil => visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<u8>())),
            Token::String(bytes) => bytes_as_seq(bytes, visitor),
            Token::Tuple(count) => self.fixed(count, visitor),
            Token::List(count) => self.list(count, visitor),
            Token::Map(pairs) => self.map(pairs, Expected::AnyMap, visitor),
            Token::Pid(_) | Token::Port(_) | Token::Ref(_) | Token::Bits(..) | Token::Local(_) => {
                self.reader = before;
                self.keep(visitor)
            }
            Token::Export(..) | Token::Fun | Token::Record => {
                self.reader = before;
                self.keep(visitor)
            }
        }
    }

    /// `nil`, and Erlang's `undefined`, are `None`.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let before = self.reader.clone();
        if let Some("nil" | "undefined") = self.atom()? {
            return visitor.visit_none();
        }
        self.reader = before;
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek()? {
            (Token::Atom(_), _) => match self.atom()? {
                Some("nil" | "undefined" | "ok") => visitor.visit_unit(),
                other => Err(de::Error::invalid_value(de::Unexpected::Str(other.unwrap_or("")), &"nil or ok")),
            },
            (Token::Nil | Token::Tuple(0), ahead) => {
                self.reader = ahead;
                visitor.visit_unit()
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match self.atom()? {
            Some(text) if text == name => visitor.visit_unit(),
            Some(text) => Err(de::Error::invalid_value(de::Unexpected::Str(text), &name)),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match name {
            tunnel::TERM => {
                let term = decode_one(&mut self.reader, &Limits::default())?;
                tunnel::hand_over(Passed::Term(term), visitor)
            }
            tunnel::ENCODED => {
                let from = self.reader.offset();
                skip_one(&mut self.reader)?;
                let part = self.whole.part(from, self.reader.offset());
                tunnel::hand_over(Passed::Encoded(part), visitor)
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.peek()? {
            // A text, whatever it says: `true` and `nil` too.
            (Token::Atom(_), _) => match self.atom()? {
                Some(text) => visitor.visit_borrowed_str(text),
                None => self.deserialize_any(visitor),
            },
            (Token::String(_) | Token::List(_), _) => self.charlist(visitor),
            (Token::Nil, ahead) => {
                self.reader = ahead;
                visitor.visit_borrowed_str("")
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.atom()? {
            Some(text) => visitor.visit_borrowed_str(text),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (token, ahead) = self.peek()?;
        let Token::Integer(value) = token else { return self.deserialize_str(visitor) };
        self.reader = ahead;
        let char = u32::try_from(value).ok().and_then(char::from_u32);
        let unexpected = || <Error as de::Error>::invalid_value(de::Unexpected::Signed(value), &"a character");
        visitor.visit_char(char.ok_or_else(unexpected)?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (token, ahead) = self.peek()?;
        let bytes = match token {
            Token::Binary(shared) => shared.bytes,
            Token::String(bytes) => bytes,
            Token::Nil => &[],
            _ => return self.deserialize_any(visitor),
        };
        self.reader = ahead;
        visitor.visit_borrowed_bytes(bytes)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    /// A binary is a sequence of bytes too, where a sequence is asked for.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (token, ahead) = self.peek()?;
        let Token::Binary(shared) = token else { return self.deserialize_any(visitor) };
        self.reader = ahead;
        bytes_as_seq(shared.bytes, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.pairs(Expected::AnyMap, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let expected = if fields.contains(&"__struct__") { Expected::AnyMap } else { Expected::Struct(name) };
        self.pairs(expected, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (token, ahead) = self.peek()?;
        match token {
            Token::Tuple(arity) => {
                self.reader = ahead;
                self.enum_tuple(arity, variants, visitor)
            }
            Token::Atom(text) => {
                self.reader = ahead;
                visitor.visit_enum(Bare(rust_variant(variants, self.text(text)?)))
            }
            Token::Binary(shared) => {
                self.reader = ahead;
                let text = std::str::from_utf8(shared.bytes).map_err(<Error as de::Error>::custom)?;
                visitor.visit_enum(Bare(rust_variant(variants, text)))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    /// Passed over without recursion, whatever it is.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        skip_one(&mut self.reader)?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }
}

fn bytes_as_seq<'de, V: Visitor<'de>>(bytes: &[u8], visitor: V) -> Result<V::Value, Error> {
    let mut seq = SeqDeserializer::<_, Error>::new(bytes.iter().copied());
    let value = visitor.visit_seq(&mut seq)?;
    seq.end()?;
    Ok(value)
}
