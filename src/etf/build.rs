//! Terms made of encoded parts, and taken apart into them, without a tree between.

use super::encode::Output;
use super::encoded::Encoded;
use super::put;
use super::token::Token;
use super::walk;

impl Encoded {
    /// The tuple of these elements.
    #[must_use]
    pub fn tuple(elements: &[Self]) -> Self {
        Self::joined(elements, |out| put::tuple(out, elements.len()), |_| {})
    }

    /// The proper list of these elements.
    #[must_use]
    pub fn list(elements: &[Self]) -> Self {
        if elements.is_empty() {
            return Self::joined(&[], |_| true, put::nil);
        }
        Self::joined(elements, |out| put::list(out, elements.len()), put::nil)
    }

    fn joined(elements: &[Self], head: impl FnOnce(&mut Vec<u8>) -> bool, tail: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut output = Output::in_pieces();
        let counted = head(&mut output.bytes);
        debug_assert!(counted, "nobody has 2^32 parts in memory");
        for element in elements {
            walk::rewrite(&mut element.reader(), &mut output);
        }
        tail(&mut output.bytes);
        Self::of_pieces(output.finish())
    }

    /// All elements, if it is a tuple that is whole.
    #[must_use]
    pub fn parts(&self) -> Option<Vec<Self>> {
        let parts: Vec<Self> = self.elements()?.collect();
        (Some(parts.len()) == self.arity()).then_some(parts)
    }

    /// All elements, if it is a proper list, strings included.
    #[must_use]
    pub fn list_elements(&self) -> Option<Vec<Self>> {
        let mut reader = self.reader();
        let count = match reader.token().ok()? {
            Token::Nil => return Some(Vec::new()),
            Token::List(count) => count,
            _ => return self.string_elements(),
        };
        let mut elements = Vec::new();
        for _ in 0..count {
            let from = reader.offset();
            walk::skip_one(&mut reader).ok()?;
            elements.push(self.part(from, reader.offset()));
        }
        matches!(reader.token(), Ok(Token::Nil)).then_some(elements)
    }

    /// The elements of a string, or of a list whose tail is a list: rare enough to go by way of a tree.
    fn string_elements(&self) -> Option<Vec<Self>> {
        let term = self.term().ok()?;
        let list = term.as_list().filter(|list| list.is_proper())?;
        list.iter().map(|element| Self::new(&element).ok()).collect()
    }

    /// Whether it is the atom of this text.
    #[must_use]
    pub fn is_atom(&self, text: &str) -> bool {
        self.as_atom().is_some_and(|atom| atom == text)
    }
}
