//! The parts of containers, as serde asks for them one by one.

use serde::de::value::{BorrowedStrDeserializer, UnitDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer as _, IntoDeserializer, Visitor};

use super::de::{Deserializer, Variants, rust_variant};
use super::error::Error;
use crate::etf::token::Token;

/// A known number of terms.
pub(super) struct Fixed<'a, 'de> {
    pub(super) de: &'a mut Deserializer<'de>,
    pub(super) left: usize,
}

impl<'de> de::SeqAccess<'de> for Fixed<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.de).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The elements of a list, whose tail may be a list or a string.
pub(super) struct Items<'a, 'de> {
    pub(super) de: &'a mut Deserializer<'de>,
    pub(super) left: usize,
    /// What is left of a string that is the tail.
    bytes: &'de [u8],
    ended: bool,
}

impl<'a, 'de> Items<'a, 'de> {
    pub(super) fn new(de: &'a mut Deserializer<'de>, count: usize) -> Self {
        Self { de, left: count, bytes: &[], ended: false }
    }

    /// Whether there is another element. Reads the tail when it is reached.
    pub(super) fn more(&mut self) -> Result<bool, Error> {
        while self.left == 0 && self.bytes.is_empty() && !self.ended {
            match self.de.next()? {
                Token::Nil => self.ended = true,
                Token::List(count) => self.left = count,
                Token::String(bytes) => (self.bytes, self.ended) = (bytes, true),
                _ => return Err(de::Error::custom("an improper list")),
            }
        }
        Ok(self.left > 0 || !self.bytes.is_empty())
    }
}

impl<'de> de::SeqAccess<'de> for Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !self.more()? {
            return Ok(None);
        }
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            return seed.deserialize(&mut *self.de).map(Some);
        }
        let Some((byte, bytes)) = self.bytes.split_first() else { return Ok(None) };
        self.bytes = bytes;
        seed.deserialize(byte.into_deserializer()).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left + self.bytes.len())
    }
}

/// What a map is read into.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    /// A map, or a struct that has a field for `__struct__`.
    AnyMap,
    /// A Rust struct of this name, which, if it is that of an Elixir module, the module has to be.
    Struct(&'static str),
}

/// The pairs of a map.
pub(super) struct Pairs<'a, 'de> {
    pub(super) de: &'a mut Deserializer<'de>,
    pub(super) left: usize,
    pub(super) expected: Expected,
}

impl Pairs<'_, '_> {
    /// Passes over `__struct__ => Module` where the Rust struct has no field for it.
    fn skip_module(&mut self) -> Result<(), Error> {
        let Expected::Struct(name) = self.expected else { return Ok(()) };
        if self.left == 0 || self.de.peek_atom()? != Some("__struct__") {
            return Ok(());
        }
        self.left -= 1;
        self.de.next()?;
        match self.de.atom()? {
            Some(module) if name.starts_with("Elixir.") && module != name => {
                Err(de::Error::custom(format_args!("a struct of {module}, expected one of {name}")))
            }
            Some(_) => Ok(()),
            None => Err(de::Error::custom("a __struct__ that is no atom")),
        }
    }
}

impl<'de> de::MapAccess<'de> for Pairs<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.skip_module()?;
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.de).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.de)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A keyword list, read as a map.
pub(super) struct Keywords<'a, 'de> {
    pub(super) list: Items<'a, 'de>,
}

impl<'de> de::MapAccess<'de> for Keywords<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if !self.list.more()? {
            return Ok(None);
        }
        let Some(left) = self.list.left.checked_sub(1) else {
            return Err(de::Error::custom("a list of bytes where a map was expected"));
        };
        self.list.left = left;
        match self.list.de.next()? {
            Token::Tuple(2) => seed.deserialize(&mut *self.list.de).map(Some),
            _ => Err(de::Error::custom("a list that is no keyword list where a map was expected")),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.list.de)
    }
}

/// `{tag, …}`.
pub(super) struct Tagged<'a, 'de> {
    pub(super) de: &'a mut Deserializer<'de>,
    /// How many elements after the tag.
    pub(super) left: usize,
    pub(super) ended: bool,
    pub(super) variants: Variants,
}

impl<'de> de::EnumAccess<'de> for &mut Tagged<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let Some(tag) = self.de.atom()? else {
            return Err(de::Error::custom("a tuple without a tag"));
        };
        let name = BorrowedStrDeserializer::<Error>::new(rust_variant(self.variants, tag));
        Ok((seed.deserialize(name)?, self))
    }
}

impl Tagged<'_, '_> {
    fn expect(&mut self, count: usize) -> Result<(), Error> {
        if self.left != count {
            return Err(de::Error::invalid_length(self.left, &"another number of elements after the tag"));
        }
        self.ended = true;
        Ok(())
    }
}

impl<'de> de::VariantAccess<'de> for &mut Tagged<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        self.expect(0)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.expect(1)?;
        seed.deserialize(&mut *self.de)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.expect(len)?;
        self.de.fixed(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: Variants, visitor: V) -> Result<V::Value, Error> {
        self.expect(1)?;
        self.de.deserialize_struct("", fields, visitor)
    }
}

/// A tag on its own.
pub(super) struct Bare<'t>(pub(super) &'t str);

impl<'t> de::EnumAccess<'t> for Bare<'t> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'t>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name = BorrowedStrDeserializer::<Error>::new(self.0);
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'t> de::VariantAccess<'t> for Bare<'t> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    /// `ok` is `Ok(())`.
    fn newtype_variant_seed<T: DeserializeSeed<'t>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(UnitDeserializer::new())
    }

    fn tuple_variant<V: Visitor<'t>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(de::Error::invalid_type(de::Unexpected::UnitVariant, &"a tuple of the tag and more"))
    }

    fn struct_variant<V: Visitor<'t>>(self, _: Variants, _: V) -> Result<V::Value, Error> {
        Err(de::Error::invalid_type(de::Unexpected::UnitVariant, &"a tuple of the tag and a map"))
    }
}
