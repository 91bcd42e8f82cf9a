use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use bytes::Bytes;

use super::{Connection, End};

/// A connection as the server sees it, and the peer's blocking end.
fn pair() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let peer = TcpStream::connect(listener.local_addr().expect("bound")).expect("connects");
    let (stream, _) = listener.accept().expect("accepts");
    stream.set_nonblocking(true).expect("nonblocking");
    let stream = mio::net::TcpStream::from_std(stream);
    (Connection::new(stream, true, "peer".into(), Instant::now()), peer)
}

/// Reads until `count` frames came or the connection ended.
fn read(connection: &mut Connection, count: usize, max: i32) -> (Vec<Bytes>, Option<End>) {
    let mut frames = Vec::new();
    let mut scratch = vec![0; 64 << 10];
    while frames.len() < count {
        if let Err(end) = connection.read(&mut scratch, max, 1 << 20, &mut frames) {
            return (frames, Some(end));
        }
        std::thread::yield_now();
    }
    (frames, None)
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).expect("short").to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

#[test]
fn frames_of_all_sizes_arrive_whole_and_in_order() {
    let (mut connection, mut peer) = pair();
    let sizes = [0usize, 1, 3, 5_000, 40_000, 70_000, 3_000_000, 2, 1_048_576, 1_048_577, 9];
    let bodies: Vec<Vec<u8>> =
        sizes.iter().map(|size| (0..*size).map(|i| (i * 7 + size) as u8).collect()).collect();
    let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
    let writer = std::thread::spawn(move || {
        for chunk in stream.chunks(10_007) {
            peer.write_all(chunk).expect("sends");
        }
        peer
    });
    let (frames, end) = read(&mut connection, sizes.len(), 1 << 24);
    writer.join().expect("sent");
    assert!(end.is_none(), "{end:?}");
    assert!(frames.iter().map(|f| &f[..]).eq(bodies.iter().map(|b| &b[..])));
}

#[test]
fn a_length_that_no_frame_may_have_ends_the_connection_after_the_frames_before() {
    for bad in [-1i32, i32::MIN, 1_001] {
        let (mut connection, mut peer) = pair();
        let mut stream = framed(b"good");
        stream.extend_from_slice(&bad.to_be_bytes());
        peer.write_all(&stream).expect("sends");
        let (frames, end) = read(&mut connection, 2, 1_000);
        assert_eq!(frames, [Bytes::from_static(b"good")]);
        assert!(matches!(end, Some(End::BadLength(length)) if length == bad), "{end:?}");
    }
}

#[test]
fn a_frame_cut_short_is_not_delivered() {
    let (mut connection, mut peer) = pair();
    peer.write_all(&framed(b"whole")).expect("sends");
    peer.write_all(&framed(b"half")[..6]).expect("sends");
    drop(peer);
    let (frames, end) = read(&mut connection, 2, 1_000);
    assert_eq!(frames, [Bytes::from_static(b"whole")]);
    assert!(matches!(end, Some(End::Gone)));
}

#[test]
fn queued_parts_are_sent_as_one_frame() {
    use std::io::Read;
    let (mut connection, mut peer) = pair();
    let waiting =
        connection.queue(vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"c")]);
    assert_eq!(waiting, 7);
    assert!(connection.has_unsent());
    connection.flush().expect("sends");
    assert!(!connection.has_unsent());
    let mut got = [0u8; 7];
    peer.read_exact(&mut got).expect("arrives");
    assert_eq!(&got, b"\0\0\0\x03abc");
}
