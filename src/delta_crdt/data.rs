//! The content of replicas straight between elements and bytes: what a large sync spends its time on, without a term between.
//!
//! What is written is what [`wire::term`] makes. What is read is only what replicas send; for anything else
//! [`read`] says `None`, and [`wire::read`] decides.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashSet, HashTable};

use super::wire::{self, MAP_SET, Read, STATE};
use crate::crdt::{Data, Dot, Element, Elements, Flavour, Message, Rank, Replicas, Stamp, is_partial};
use crate::etf::decode::decode_one;
use crate::etf::encode::Output;
use crate::etf::reader::Reader;
use crate::etf::token::{AtomText, Token};
use crate::etf::{EncodeError, Encoded, Limits, encode_into, put, skip_one};
use crate::term::Term;

/// A message as it is sent to a receiver that lays out sets like that.
pub(super) fn encoded(message: &Message, replicas: &Replicas, flavour: Flavour) -> Result<Encoded, EncodeError> {
    match message {
        Message::Data(data) => written(data, replicas, flavour),
        other => Encoded::new(&wire::term(other, replicas, flavour)),
    }
}

/// A key with a small value takes about so many bytes.
const USUAL: usize = 192;

fn written(data: &Data, replicas: &Replicas, flavour: Flavour) -> Result<Encoded, EncodeError> {
    let mut writer = Writer { out: Output::in_pieces(), ids: Vec::new(), set: set_head(flavour), flavour };
    writer.out.bytes.reserve(data.keys.len().saturating_mul(USUAL));
    counted(put::tuple(&mut writer.out.bytes, 3))?;
    writer.atom("diff");
    counted(put::map(&mut writer.out.bytes, 3))?;
    writer.atom("__struct__");
    writer.atom(STATE);
    writer.atom("dots");
    writer.out.term(&wire::claim(&data.dots, replicas, flavour))?;
    writer.atom("value");
    let values = data.keys.iter().filter(|(_, elements)| elements.is_some()).count();
    counted(put::map(&mut writer.out.bytes, values))?;
    for (key, elements) in &data.keys {
        if let Some(elements) = elements {
            writer.out.term(key)?;
            writer.elements(elements, replicas)?;
        }
    }
    if !data.keys.is_empty() {
        counted(put::list(&mut writer.out.bytes, data.keys.len()))?;
        for (key, _) in &data.keys {
            writer.out.term(key)?;
        }
    }
    put::nil(&mut writer.out.bytes);
    Ok(Encoded::of_pieces(writer.out.finish()))
}

fn counted(fits: bool) -> Result<(), EncodeError> {
    if fits { Ok(()) } else { Err(EncodeError::TooLarge) }
}

struct Writer {
    out: Output,
    /// `{id, …` of each replica, from when it was first written.
    ids: Vec<Vec<u8>>,
    /// The head of a `MapSet`, up to its members.
    set: Vec<u8>,
    flavour: Flavour,
}

impl Writer {
    fn atom(&mut self, text: &str) {
        put::atom_text(&mut self.out.bytes, text);
    }

    /// `%{{value, stamp} => MapSet}`.
    fn elements(&mut self, elements: &Elements, replicas: &Replicas) -> Result<(), EncodeError> {
        counted(put::map(&mut self.out.bytes, elements.len()))?;
        for (element, dots) in elements.iter() {
            counted(put::tuple(&mut self.out.bytes, 2))?;
            self.out.term(&element.value)?;
            self.out.term(&element.stamp.term())?;
            self.out.bytes.extend_from_slice(&self.set);
            counted(put::map(&mut self.out.bytes, dots.len()))?;
            for dot in dots {
                self.dot(*dot, replicas)?;
                put::nil(&mut self.out.bytes);
            }
            if self.flavour == Flavour::Versioned {
                self.atom("version");
                put::integer(&mut self.out.bytes, 2);
            }
        }
        Ok(())
    }

    fn dot(&mut self, dot: Dot, replicas: &Replicas) -> Result<(), EncodeError> {
        let at = dot.replica.index();
        if self.ids.len() <= at {
            self.ids.resize(at + 1, Vec::new());
        }
        let id = &mut self.ids[at];
        if id.is_empty() {
            counted(put::tuple(id, 2))?;
            encode_into(replicas.id(dot.replica), id)?;
        }
        self.out.bytes.extend_from_slice(id);
        match i64::try_from(dot.counter) {
            Ok(counter) => put::integer(&mut self.out.bytes, counter),
            Err(_) => put::big(&mut self.out.bytes, false, &dot.counter.to_le_bytes()),
        }
        Ok(())
    }
}

fn set_head(flavour: Flavour) -> Vec<u8> {
    let mut head = Vec::new();
    let fields = match flavour {
        Flavour::Versioned => 3,
        Flavour::Plain => 2,
    };
    let counted = put::map(&mut head, fields);
    debug_assert!(counted, "two or three");
    for atom in ["__struct__", MAP_SET, "map"] {
        put::atom_text(&mut head, atom);
    }
    head
}

/// Reads data as replicas send it; `None` for all else, and for what is rare.
pub(super) fn read(body: &Encoded, replicas: &mut Replicas) -> Option<Read> {
    if body.segments().count() != 1 {
        return None;
    }
    let mut reader = body.reader();
    let Token::Tuple(3) = reader.token().ok()? else { return None };
    if !is_atom(&mut reader, "diff")? {
        return None;
    }
    let Token::Map(3) = reader.token().ok()? else { return None };
    let mut flavour = None;
    let (mut named, mut dots, mut pairs) = (false, None, None);
    for _ in 0..3 {
        let Token::Atom(field) = reader.token().ok()? else { return None };
        if is(field, "__struct__") {
            named = is_atom(&mut reader, STATE)?;
        } else if is(field, "dots") {
            let term = decode_one(&mut reader, &Limits::default()).ok()?;
            dots = Some(wire::read_claim(&term, replicas, &mut flavour)?);
        } else if is(field, "value") {
            pairs = Some(Pairs::read(&mut reader, replicas, &mut flavour)?);
        } else {
            return None;
        }
    }
    let pairs = pairs.filter(|_| named)?;
    let listed = pairs.list(&mut reader)?;
    let data = Data { dots: dots?, keys: pairs.ordered(listed) };
    (reader.left() == 0).then_some(Read { message: Message::Data(data), flavour })
}

/// Whether the next term, an atom, is this one.
fn is_atom(reader: &mut Reader<'_>, text: &str) -> Option<bool> {
    let Token::Atom(atom) = reader.token().ok()? else { return None };
    Some(is(atom, text))
}

fn is(atom: AtomText<'_>, text: &str) -> bool {
    match atom {
        AtomText::Utf8(bytes) | AtomText::Latin1(bytes) => bytes == text.as_bytes(),
        AtomText::Known(atom) => atom.as_str() == text,
    }
}

/// A key of the state's value, with the bytes it came as.
struct Pair<'a> {
    bytes: &'a [u8],
    key: Term,
    elements: Option<Elements>,
}

/// All of them, and their numbers by their keys' bytes.
struct Pairs<'a> {
    pairs: Vec<Pair<'a>>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// What is listed: the pair of a number, or a key that has nothing.
enum Listed {
    Pair(usize),
    Gone(Term),
}

/// A pair has at least so many bytes; no more is reserved than could be there.
const LEAST: usize = 32;

impl<'a> Pairs<'a> {
    fn read(reader: &mut Reader<'a>, replicas: &mut Replicas, flavour: &mut Option<Flavour>) -> Option<Self> {
        let Token::Map(count) = reader.token().ok()? else { return None };
        let likely = count.min(reader.left() / LEAST);
        let mut all = Self {
            pairs: Vec::with_capacity(likely),
            index: HashTable::with_capacity(likely),
            hasher: DefaultHashBuilder::default(),
        };
        let mut ranks = Ranks { replicas, last: None };
        for _ in 0..count {
            let from = reader.clone();
            let key = decode_one(reader, &Limits::default()).ok()?;
            let bytes = from.since(reader);
            let elements = read_elements(reader, &mut ranks, flavour)?;
            all.push(Pair { bytes, key, elements })?;
        }
        Some(all)
    }

    /// `None` where the key is there already.
    fn push(&mut self, pair: Pair<'a>) -> Option<()> {
        if self.number(pair.bytes).is_some() {
            return None;
        }
        let (pairs, hasher) = (&self.pairs, &self.hasher);
        let number = u32::try_from(pairs.len()).ok()?;
        let hash = |number: &u32| hasher.hash_one(pairs[*number as usize].bytes);
        self.index.insert_unique(hasher.hash_one(pair.bytes), number, hash);
        self.pairs.push(pair);
        Some(())
    }

    fn number(&self, bytes: &[u8]) -> Option<usize> {
        let same = |number: &u32| self.pairs[*number as usize].bytes == bytes;
        self.index.find(self.hasher.hash_one(bytes), same).map(|number| *number as usize)
    }

    /// Reads the list of keys.
    fn list(&self, reader: &mut Reader<'a>) -> Option<Vec<Listed>> {
        let count = match reader.token().ok()? {
            Token::Nil => return Some(Vec::new()),
            Token::List(count) => count,
            _ => return None,
        };
        let mut listed = Vec::with_capacity(count.min(self.pairs.len()));
        let mut gone = HashSet::new();
        let mut by_key = None;
        let mut next = 0;
        for _ in 0..count {
            let from = reader.clone();
            skip_one(reader).ok()?;
            let bytes = from.since(reader);
            let as_listed = self.pairs.get(next).is_some_and(|pair| pair.bytes == bytes);
            if let Some(number) = if as_listed { Some(next) } else { self.number(bytes) } {
                next = number + 1;
                listed.push(Listed::Pair(number));
                continue;
            }
            let key = decode_one(&mut from.clone(), &Limits::default()).ok()?;
            let by_key = by_key.get_or_insert_with(|| self.pairs.iter().map(|pair| &pair.key).collect::<HashSet<_>>());
            if by_key.contains(&key) {
                // Written in two ways.
                return None;
            }
            if gone.insert(key.clone()) {
                listed.push(Listed::Gone(key));
            }
        }
        matches!(reader.token().ok()?, Token::Nil).then_some(listed)
    }

    /// Those that are listed, each once, and then the others. Keys that would crash replicas of Elixir are left out.
    fn ordered(mut self, listed: Vec<Listed>) -> Vec<(Term, Option<Elements>)> {
        let mut keys = Vec::with_capacity(listed.len().max(self.pairs.len()));
        let mut taken = vec![false; self.pairs.len()];
        let mut take = |number: usize, keys: &mut Vec<_>| {
            if !std::mem::replace(&mut taken[number], true) {
                let pair = &mut self.pairs[number];
                keys.push((std::mem::take(&mut pair.key), pair.elements.take()));
            }
        };
        for one in listed {
            match one {
                Listed::Pair(number) => take(number, &mut keys),
                Listed::Gone(key) => keys.push((key, None)),
            }
        }
        (0..self.index.len()).for_each(|number| take(number, &mut keys));
        keys.retain(|(key, _)| !is_partial(key));
        keys
    }
}

/// Ids of replicas: nearly always the one that stood there before.
struct Ranks<'a, 'r> {
    replicas: &'r mut Replicas,
    last: Option<(&'a [u8], Rank)>,
}

impl<'a> Ranks<'a, '_> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Option<Rank> {
        let mut from = reader.clone();
        skip_one(reader).ok()?;
        let bytes = from.since(reader);
        match self.last {
            Some((last, rank)) if last == bytes => Some(rank),
            _ => {
                let rank = self.replicas.rank(&decode_one(&mut from, &Limits::default()).ok()?);
                self.last = Some((bytes, rank));
                Some(rank)
            }
        }
    }

    /// `{id, counter}`.
    fn dot(&mut self, reader: &mut Reader<'a>) -> Option<Dot> {
        let Token::Tuple(2) = reader.token().ok()? else { return None };
        let replica = self.read(reader)?;
        let Token::Integer(counter) = reader.token().ok()? else { return None };
        Some(Dot { replica, counter: wire::counter(counter)? })
    }
}

#[expect(clippy::option_option, reason = "a key without elements is legal, and nothing")]
fn read_elements<'a>(
    reader: &mut Reader<'a>,
    ranks: &mut Ranks<'a, '_>,
    flavour: &mut Option<Flavour>,
) -> Option<Option<Elements>> {
    let Token::Map(count) = reader.token().ok()? else { return None };
    let mut elements: Vec<(Element, Vec<Dot>)> = Vec::new();
    for _ in 0..count {
        let Token::Tuple(2) = reader.token().ok()? else { return None };
        let value = decode_one(reader, &Limits::default()).ok()?;
        let stamp = match reader.clone().token().ok()? {
            Token::Integer(nanos) => {
                skip_one(reader).ok()?;
                Stamp::Nanos(nanos)
            }
            _ => decode_one(reader, &Limits::default()).ok()?.into(),
        };
        let element = Element { value, stamp };
        let (first, more) = read_set(reader, ranks, flavour)?;
        match first {
            Some(dot) if count == 1 && more.is_empty() => return Some(Some(Elements::One(element, dot))),
            first => {
                if elements.iter().any(|(other, _)| *other == element) {
                    return None;
                }
                elements.push((element, first.into_iter().chain(more).collect()));
            }
        }
    }
    Some(Elements::of(elements))
}

/// The members of a `MapSet` of dots: the first, nearly always the only one, and the others.
fn read_set<'a>(
    reader: &mut Reader<'a>,
    ranks: &mut Ranks<'a, '_>,
    flavour: &mut Option<Flavour>,
) -> Option<(Option<Dot>, Vec<Dot>)> {
    let Token::Map(fields) = reader.token().ok()? else { return None };
    let (mut named, mut version, mut first, mut more, mut members) = (false, false, None, Vec::new(), None);
    for _ in 0..fields {
        let Token::Atom(field) = reader.token().ok()? else { return None };
        if is(field, "__struct__") {
            named = is_atom(reader, MAP_SET)?;
        } else if is(field, "map") && members.is_none() {
            let Token::Map(count) = reader.token().ok()? else { return None };
            members = Some(count);
            for _ in 0..count {
                let dot = ranks.dot(reader)?;
                skip_one(reader).ok()?;
                if first == Some(dot) || more.contains(&dot) {
                    return None;
                }
                if first.is_none() { first = Some(dot) } else { more.push(dot) }
            }
        } else if is(field, "version") && !version {
            version = true;
            skip_one(reader).ok()?;
        } else {
            return None;
        }
    }
    members.filter(|_| named)?;
    flavour.get_or_insert(if version { Flavour::Versioned } else { Flavour::Plain });
    Some((first, more))
}
