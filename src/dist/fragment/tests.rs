use super::*;

/// The frames of a message of so many bytes, as (first byte behind the length, number, data).
fn frames(control: usize, payload: &[usize]) -> Vec<(u8, u64, Vec<u8>)> {
    let control = Bytes::from(vec![1; control]);
    let payload: Vec<_> = payload.iter().map(|len| Bytes::from(vec![2; *len])).collect();
    let len = control.len() + payload.iter().map(Bytes::len).sum::<usize>();
    let frames = Frames::new(&[131, 68, 0], control, payload, len, Some(0x0102));
    let mut cut = Vec::new();
    for frame in frames {
        let mut bytes: Bytes = frame.into_iter().flatten().collect();
        assert_eq!(bytes.get_u32() as usize, bytes.len(), "the length says what follows");
        assert_eq!(bytes.get_u8(), 131);
        let kind = bytes.get_u8();
        assert_eq!(bytes.get_u64(), 0x0102);
        let number = bytes.get_u64();
        if kind == 69 {
            assert_eq!(bytes.get_u8(), 0, "a header that names nothing");
        }
        cut.push((kind, number, bytes.to_vec()));
    }
    cut
}

/// As an OTP node cuts 200 kB: three full fragments and the rest.
#[test]
fn fragments_count_down_to_one_and_are_full_but_for_the_last() {
    let frames = frames(40, &[200_000]);
    let numbers: Vec<_> = frames.iter().map(|(kind, number, _)| (*kind, *number)).collect();
    assert_eq!(numbers, [(69, 4), (70, 3), (70, 2), (70, 1)]);
    let sizes: Vec<_> = frames.iter().map(|(.., data)| data.len()).collect();
    assert_eq!(sizes, [65_536, 65_536, 65_536, 200_040 - 3 * 65_536]);
}

#[test]
fn the_pieces_of_a_message_are_cut_wherever_they_lie() {
    for payload in [&[65_536 - 40, 1][..], &[1, 1, 100_000, 5, 65_536], &[0, 131_072, 0], &[10, 0, 300_000]] {
        let data: Vec<u8> = frames(40, payload).into_iter().flat_map(|(.., data)| data).collect();
        assert_eq!(data.len(), 40 + payload.iter().sum::<usize>());
        assert!(data[..40].iter().all(|byte| *byte == 1) && data[40..].iter().all(|byte| *byte == 2));
    }
}

#[test]
fn a_message_of_exactly_whole_fragments_has_no_empty_one() {
    let frames = frames(36, &[131_072 - 36]);
    assert_eq!(
        frames.iter().map(|(_, number, data)| (*number, data.len())).collect::<Vec<_>>(),
        [(2, 65_536), (1, 65_536)]
    );
}

#[test]
fn the_control_message_lies_wholly_in_the_first_fragment() {
    let frames = frames(100_000, &[70_000]);
    assert_eq!(
        frames.iter().map(|(_, number, data)| (*number, data.len())).collect::<Vec<_>>(),
        [(3, 100_000), (2, 65_536), (1, 4_464)]
    );
}
