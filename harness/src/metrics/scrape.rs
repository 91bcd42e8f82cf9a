//! One `GET /metrics`, within a bounded time and a bounded size, whatever is at the other end.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Far above what a node has to tell.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// The text of the answer, or in words why there is none.
pub fn get(address: SocketAddr, within: Duration) -> Result<String, String> {
    let deadline = Instant::now() + within;
    let answer = exchange(address, deadline).map_err(|error| match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => {
            format!("no answer within {} ms", within.as_millis())
        }
        _ => error.to_string(),
    })?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("its answer broke off")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let code = status.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with("HTTP/1.") || code != "200" {
        let shown: String = status.chars().filter(|c| !c.is_control()).take(80).collect();
        return Err(format!("it answered {shown:?}"));
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    match length {
        Some(length) if body.len() < length => Err("its answer broke off".to_string()),
        _ => Ok(body.to_string()),
    }
}

/// In HTTP/1.0: the answer is neither in chunks nor followed by another, and ends with the connection.
fn exchange(address: SocketAddr, deadline: Instant) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    let request = format!(
        "GET /metrics HTTP/1.0\r\nHost: {address}\r\nAccept: text/plain;version=0.0.4\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut part)? {
            0 => return Ok(answer),
            count => answer.extend_from_slice(&part[..count]),
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(std::io::Error::other("its answer has no end"));
        }
    }
}

/// The time that is left, which is some; an error once there is none.
fn left(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const WITHIN: Duration = Duration::from_secs(30);

    /// A node that answers so, in parts, and closes.
    fn answering(parts: &'static [&'static [u8]]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::Builder::new()
            .spawn(move || {
                let (mut stream, _) = listener.accept().expect("somebody asks");
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                for part in parts {
                    let _ = stream.write_all(part);
                }
            })
            .expect("a thread");
        address
    }

    #[test]
    fn an_answer_is_read_to_its_end() {
        let whole = answering(&[b"HTTP/1.1 200 OK\r\nContent-length: 4\r\n\r\n", b"a 1\n"]);
        assert_eq!(get(whole, WITHIN), Ok("a 1\n".to_string()));
        let without_length = answering(&[b"HTTP/1.0 200 OK\r\n\r\n", b"a ", b"1\n"]);
        assert_eq!(get(without_length, WITHIN), Ok("a 1\n".to_string()));
    }

    #[test]
    fn no_answer_is_told_as_such() {
        let broken = answering(&[b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na 1\n"]);
        assert_eq!(get(broken, WITHIN), Err("its answer broke off".to_string()));
        let busy = answering(&[b"HTTP/1.1 503 Service Unavailable\r\n\r\nbusy"]);
        assert!(get(busy, WITHIN).is_err_and(|why| why.contains("503")));
        let silent = answering(&[]);
        assert!(get(silent, WITHIN).is_err());
    }

    #[test]
    fn nobody_is_waited_for_longer() {
        // It listens, and a kernel accepts for it; nobody ever answers: a stopped process.
        let stopped = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = stopped.local_addr().expect("an address");
        let why = get(address, Duration::from_millis(50));
        assert_eq!(why, Err("no answer within 50 ms".to_string()));
        drop(stopped);
        let dead = get(address, WITHIN);
        assert!(dead.is_err_and(|why| why.contains("refused")));
    }
}
