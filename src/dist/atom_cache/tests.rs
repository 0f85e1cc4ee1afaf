use bytes::Bytes;

use super::*;

/// What the receiver makes of a message with these atoms; `None` stands for one that is spelt out.
fn exchange(sending: &mut Sending, received: &mut Received, atoms: &[Atom]) -> Vec<Option<Atom>> {
    let named: Vec<Option<u8>> = atoms.iter().map(|atom| sending.refer(*atom)).collect();
    let mut header = Vec::new();
    sending.write_header(&mut header);
    sending.commit();
    let header = Bytes::from(header);
    let mut reader = Reader::new(&header, &[]);
    let mut got = Vec::new();
    received.read(&mut reader, &mut got).expect("a valid header");
    assert_eq!(reader.left(), 0, "nothing is left of the header");
    named.into_iter().map(|at| at.map(|at| got[usize::from(at)])).collect()
}

fn atoms(range: std::ops::Range<usize>) -> Vec<Atom> {
    range.map(|at| Atom::new(&format!("cached_{at}"))).collect()
}

#[test]
fn the_receiver_knows_every_atom_that_was_named() {
    let (mut sending, mut received) = (Sending::default(), Received::default());
    // More atoms than slots, so that slots change hands, and some come back.
    for from in (0..6000).step_by(37).chain((0..2000).step_by(91)) {
        let atoms = atoms(from..from + 60);
        let got = exchange(&mut sending, &mut received, &atoms);
        assert!(got.iter().zip(&atoms).all(|(got, sent)| got.is_none_or(|got| got == *sent)));
        assert!(got.iter().flatten().count() > 30, "few fall on a slot that is taken");
    }
}

#[test]
fn a_message_names_at_most_255_atoms() {
    let (mut sending, mut received) = (Sending::default(), Received::default());
    let got = exchange(&mut sending, &mut received, &atoms(0..600));
    let named = got.iter().flatten().count();
    assert!((200..=255).contains(&named), "{named}");
}

#[test]
fn the_same_atom_is_named_by_one_entry() {
    let (mut sending, mut received) = (Sending::default(), Received::default());
    let atom = Atom::new("named_twice");
    assert_eq!(sending.refer(atom), Some(0));
    assert_eq!(sending.refer(atom), Some(0));
    sending.abandon();
    assert_eq!(exchange(&mut sending, &mut received, &[atom]), [Some(atom)]);
}

#[test]
fn a_long_atom_makes_all_lengths_of_its_header_long() {
    let (mut sending, mut received) = (Sending::default(), Received::default());
    let atoms = [Atom::new("short"), Atom::new(&"€".repeat(255)), Atom::new("")];
    for _ in 0..2 {
        assert_eq!(exchange(&mut sending, &mut received, &atoms), atoms.map(Some));
    }
}

#[test]
fn an_atom_of_an_abandoned_message_is_still_news() {
    let (mut sending, mut received) = (Sending::default(), Received::default());
    let atom = Atom::new("abandoned");
    assert_eq!(sending.refer(atom), Some(0));
    sending.abandon();
    assert_eq!(exchange(&mut sending, &mut received, &[atom]), [Some(atom)]);
}
