use super::*;

const SIZES: [usize; 11] = [0, 1, 3, 5_000, 40_000, 70_000, 3_000_000, 2, 1_048_576, 1_048_577, 9];

fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).expect("short").to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

fn bodies() -> Vec<Vec<u8>> {
    SIZES.iter().map(|size| (0..*size).map(|i| (i * 7 + size) as u8).collect()).collect()
}

fn stream() -> Vec<u8> {
    bodies().iter().flat_map(|body| framed(body)).collect()
}

/// Feeds chunks as a socket would give them: straight into the frame where that is asked for.
fn feed_directly(assembly: &mut Assembly, mut stream: &[u8], chunk: usize) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let taken = match assembly.direct() {
            Some(buffer) => {
                let room = buffer.capacity() - buffer.len();
                assert!(room > 0, "a buffer without room would be read as the stream's end");
                let taken = chunk.min(stream.len()).min(room);
                buffer.extend_from_slice(&stream[..taken]);
                assembly.fed(1 << 24, &mut frames).expect("good lengths");
                taken
            }
            None => {
                let taken = chunk.min(stream.len());
                assembly.feed(&stream[..taken], 1 << 24, &mut frames).expect("good lengths");
                taken
            }
        };
        stream = &stream[taken..];
    }
    frames
}

#[test]
fn frames_come_out_whole_and_in_order_however_the_stream_is_cut() {
    for chunk in [3, 10_007, 65_536, 1 << 24] {
        let mut assembly = Assembly::default();
        let mut frames = Vec::new();
        for piece in stream().chunks(chunk) {
            assembly.feed(piece, 1 << 24, &mut frames).expect("good lengths");
        }
        assert!(frames.iter().map(|f| &f[..]).eq(bodies().iter().map(|b| &b[..])), "{chunk}");
        assert!(assembly.is_empty());
    }
}

#[test]
fn reading_straight_into_a_frame_gives_the_same_frames() {
    for chunk in [10_007, 65_536, 1 << 24] {
        let frames = feed_directly(&mut Assembly::default(), &stream(), chunk);
        assert!(frames.iter().map(|f| &f[..]).eq(bodies().iter().map(|b| &b[..])), "{chunk}");
    }
}

#[test]
fn only_a_frame_of_which_much_is_missing_is_read_into_directly() {
    let mut assembly = Assembly::default();
    assert!(assembly.direct().is_none());
    let stream = framed(&vec![7; DIRECT_BYTES_MIN]);
    assembly.feed(&stream[..4], 1 << 24, &mut Vec::new()).expect("a good length");
    assert!(assembly.direct().is_some());
    assembly.feed(&stream[4..5], 1 << 24, &mut Vec::new()).expect("a good length");
    assert!(assembly.direct().is_none());
}

#[test]
fn memory_grows_with_what_came_and_not_with_what_was_claimed() {
    let mut assembly = Assembly::default();
    assembly.feed(&i32::MAX.to_be_bytes(), i32::MAX, &mut Vec::new()).expect("allowed");
    let capacity = assembly.direct().expect("much is missing").capacity();
    assert!(capacity <= 2 * FIRST_BUFFER_BYTES_MAX, "{capacity}");
}

#[test]
fn a_length_that_no_frame_may_have_ends_the_stream_after_the_frames_before() {
    for bad in [-1i32, i32::MIN, 1_001] {
        let mut stream = framed(b"good");
        stream.extend_from_slice(&bad.to_be_bytes());
        let mut frames = Vec::new();
        assert_eq!(Assembly::default().feed(&stream, 1_000, &mut frames), Err(BadLength(bad)));
        assert_eq!(frames, [Bytes::from_static(b"good")]);
    }
}

#[test]
fn a_frame_cut_short_is_not_delivered() {
    for cut in [1, 4, 6] {
        let mut assembly = Assembly::default();
        let mut frames = Vec::new();
        assembly.feed(&framed(b"whole"), 1_000, &mut frames).expect("a good length");
        assembly.feed(&framed(b"half")[..cut], 1_000, &mut frames).expect("a good length");
        assert_eq!(frames, [Bytes::from_static(b"whole")]);
        assert!(!assembly.is_empty());
    }
}
