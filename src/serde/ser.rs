//! Rust values straight to bytes.

use serde::ser::{self, Serialize};

use super::error::Error;
use super::tunnel;
use crate::etf::EncodeError;
use crate::etf::encode::{Mark, Output};
use crate::etf::put;
use crate::etf::tag::Tag;
use crate::term::List;

/// Writes one value.
pub(super) struct Serializer<'o> {
    pub(super) out: &'o mut Output,
}

/// The names that `Result`'s variants have in Erlang.
pub(super) fn erlang_variant(name: &str, variant: &'static str) -> &'static str {
    match (name, variant) {
        ("Result", "Ok") => "ok",
        ("Result", "Err") => "error",
        _ => variant,
    }
}

impl<'o> Serializer<'o> {
    fn atom(self, text: &str) -> Result<(), Error> {
        atom(self.out, text)
    }

    fn list(self) -> Elements<'o> {
        put::tag_and(&mut self.out.bytes, Tag::LIST, [0; 4]);
        let count_at = count_mark(self.out);
        Elements { out: self.out, count_at, count: 0, only_bytes: true }
    }

    fn tuple(self, arity: usize) -> Result<Fixed<'o>, Error> {
        check(put::tuple(&mut self.out.bytes, arity))?;
        Ok(Fixed { out: self.out, left: arity })
    }

    fn map(self, unique: bool) -> Pairs<'o> {
        put::tag_and(&mut self.out.bytes, Tag::MAP, [0; 4]);
        let count_at = count_mark(self.out);
        Pairs { out: self.out, count_at, count: 0, keys: (!unique).then(Vec::new) }
    }

    fn tagged(self, name: &str, variant: &'static str, more: usize) -> Result<Fixed<'o>, Error> {
        let mut tuple = self.tuple(more + 1)?;
        tuple.left -= 1;
        atom(tuple.out, erlang_variant(name, variant))?;
        Ok(tuple)
    }

    fn wide(self, negative: bool, magnitude: u128) {
        match i64::try_from(magnitude) {
            Ok(small) => put::integer(&mut self.out.bytes, if negative { -small } else { small }),
            Err(_) => put::big(&mut self.out.bytes, negative, &magnitude.to_le_bytes()),
        }
    }
}

/// Where the count stands that was just written as 0.
fn count_mark(out: &Output) -> Mark {
    let mut mark = out.mark();
    mark.at -= 4;
    mark
}

fn atom(out: &mut Output, text: &str) -> Result<(), Error> {
    if text.len() > 255 && text.chars().count() > 255 {
        return Err(ser::Error::custom("an atom has at most 255 characters"));
    }
    put::atom_text(&mut out.bytes, text);
    Ok(())
}

fn check(fits: bool) -> Result<(), Error> {
    if fits { Ok(()) } else { Err(EncodeError::TooLarge.into()) }
}

macro_rules! integers {
    ($($method:ident($int:ty)),*) => {
        $(fn $method(self, value: $int) -> Result<(), Error> {
            put::integer(&mut self.out.bytes, i64::from(value));
            Ok(())
        })*
    };
}

impl<'o> ser::Serializer for Serializer<'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Elements<'o>;
    type SerializeTuple = Fixed<'o>;
    type SerializeTupleStruct = Fixed<'o>;
    type SerializeTupleVariant = Fixed<'o>;
    type SerializeMap = Pairs<'o>;
    type SerializeStruct = Pairs<'o>;
    type SerializeStructVariant = Pairs<'o>;

    integers! {
        serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32)
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.wide(false, value.into());
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), Error> {
        match i64::try_from(value) {
            Ok(small) => put::integer(&mut self.out.bytes, small),
            Err(_) => self.wide(value < 0, value.unsigned_abs()),
        }
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Error> {
        self.wide(false, value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        if !value.is_finite() {
            return Err(EncodeError::NotFinite.into());
        }
        put::float(&mut self.out.bytes, value);
        Ok(())
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.atom(if value { "true" } else { "false" })
    }

    /// As Erlang's `$c`: its code point.
    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_u32(value.into())
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        check(put::binary(&mut self.out.bytes, value.len()))?;
        self.out.bytes.extend_from_slice(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.atom("nil")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.atom("nil")
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), Error> {
        self.atom(name)
    }

    fn serialize_unit_variant(self, name: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.atom(erlang_variant(name, variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), Error> {
        if name != tunnel::TERM && name != tunnel::ENCODED {
            return value.serialize(self);
        }
        let before = self.out.mark().at;
        tunnel::want();
        value.serialize(Serializer { out: self.out })?;
        let Some(passed) = tunnel::received() else { return Ok(()) };
        // In place of the unit that a value leaves where it was asked for itself.
        self.out.bytes.truncate(before);
        passed.write(self.out).map_err(Error::from)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let mut tuple = self.tagged(name, variant, 1)?;
        tuple.element(value)?;
        tuple.finish()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'o>, Error> {
        Ok(self.list())
    }

    fn serialize_tuple(self, len: usize) -> Result<Fixed<'o>, Error> {
        self.tuple(len)
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Fixed<'o>, Error> {
        self.tuple(len)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fixed<'o>, Error> {
        self.tagged(name, variant, len)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Pairs<'o>, Error> {
        // A map that does not know its length was put together from parts (`#[serde(flatten)]`): the
        // names of fields come as texts then, and a key may stand in two parts. A BEAM closes the
        // connection over such a map.
        Ok(self.map(len.is_some()))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Pairs<'o>, Error> {
        let mut pairs = self.map(true);
        if name.starts_with("Elixir.") {
            atom(pairs.out, "__struct__")?;
            atom(pairs.out, name)?;
            pairs.count += 1;
        }
        Ok(pairs)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Pairs<'o>, Error> {
        let tuple = self.tagged(name, variant, 1)?;
        Ok(Serializer { out: tuple.out }.map(true))
    }
}

/// The elements of a list.
pub(super) struct Elements<'o> {
    out: &'o mut Output,
    count_at: Mark,
    count: usize,
    /// Whether all elements so far are integers in 0..=255, so that the list can be a string.
    only_bytes: bool,
}

impl ser::SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let before = self.out.mark().at;
        value.serialize(Serializer { out: self.out })?;
        self.count += 1;
        self.only_bytes = self.only_bytes
            && self.out.bytes.len() == before + 2
            && self.out.bytes.get(before) == Some(&Tag::SMALL_INTEGER.0);
        Ok(())
    }

    fn end(self) -> Result<(), Error> {
        let head = self.count_at.at - 1;
        if self.count == 0 {
            self.out.bytes.truncate(head);
        } else if self.only_bytes && self.count <= List::MAX_STRING {
            let bytes: Vec<u8> = self.out.bytes[head + 5..].iter().skip(1).step_by(2).copied().collect();
            self.out.bytes.truncate(head);
            put::string(&mut self.out.bytes, &bytes);
            return Ok(());
        } else {
            let count = u32::try_from(self.count).map_err(|_too_large| EncodeError::TooLarge)?;
            self.out.patch(self.count_at, count);
        }
        put::nil(&mut self.out.bytes);
        Ok(())
    }
}

/// The elements of a tuple.
pub(super) struct Fixed<'o> {
    out: &'o mut Output,
    left: usize,
}

impl Fixed<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let Some(left) = self.left.checked_sub(1) else { return Err(wrong_length()) };
        self.left = left;
        value.serialize(Serializer { out: self.out })
    }

    fn finish(self) -> Result<(), Error> {
        if self.left == 0 { Ok(()) } else { Err(wrong_length()) }
    }
}

fn wrong_length() -> Error {
    ser::Error::custom("a tuple announced another number of elements than it has")
}

macro_rules! tuples {
    ($($name:ident :: $method:ident),*) => {
        $(impl ser::$name for Fixed<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.element(value)
            }

            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        })*
    };
}

tuples!(
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

/// The pairs of a map.
pub(super) struct Pairs<'o> {
    out: &'o mut Output,
    count_at: Mark,
    count: u32,
    /// The encoded keys of a map that was put together from parts.
    keys: Option<Vec<Vec<u8>>>,
}

impl Pairs<'_> {
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.count += 1;
        atom(self.out, name)?;
        value.serialize(Serializer { out: self.out })
    }

    fn finish(self) -> Result<(), Error> {
        let mut keys = self.keys.unwrap_or_default();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(ser::Error::custom("a key stands twice in a map"));
        }
        self.out.patch(self.count_at, self.count);
        Ok(())
    }
}

impl ser::SerializeMap for Pairs<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        let count = self.count.checked_add(1).ok_or(EncodeError::TooLarge)?;
        self.count = count;
        let before = self.out.mark().at;
        key.serialize(Serializer { out: self.out })?;
        let Some(keys) = &mut self.keys else { return Ok(()) };
        let mut key = self.out.bytes.split_off(before);
        if let Some(text) = text_of_binary(&key).map(str::to_owned) {
            key.clear();
            put::atom_text(&mut key, &text);
        }
        self.out.bytes.extend_from_slice(&key);
        keys.push(key);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Serializer { out: self.out })
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

/// The text of an encoded binary, if it could be an atom's.
fn text_of_binary(encoded: &[u8]) -> Option<&str> {
    let (&[tag, _, _, _, _], text) = encoded.split_first_chunk()?;
    let text = std::str::from_utf8(text).ok()?;
    (tag == Tag::BINARY.0 && text.chars().count() <= 255).then_some(text)
}

macro_rules! structs {
    ($($name:ident),*) => {
        $(impl ser::$name for Pairs<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        })*
    };
}

structs!(SerializeStruct, SerializeStructVariant);
