//! As much of HTTP/1.1 as one path needs.
//!
//! Promises: any bytes are some request or not yet one, and nothing panics; a request is at most [`HEAD_BYTES_MAX`] long.
//! Not promised: bodies (they are not read), or a second request on the same connection.

/// The longest head of a request; those of scrapers are a tenth of it.
pub const HEAD_BYTES_MAX: usize = 8 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Metrics { head_only: bool },
    OtherPath,
    OtherMethod,
    TooLong,
    Nonsense,
}

/// What is asked for, once the head is whole or can't become one.
pub fn read(head: &[u8]) -> Option<Asked> {
    let is_whole = head.windows(4).any(|end| end == b"\r\n\r\n");
    if !is_whole {
        return (head.len() > HEAD_BYTES_MAX).then_some(Asked::TooLong);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else { return Some(Asked::Nonsense) };
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Some(Asked::Nonsense);
    };
    if !version.starts_with("HTTP/1.") {
        return Some(Asked::Nonsense);
    }
    let path = target.split('?').next().unwrap_or_default();
    Some(match (method, path) {
        ("GET" | "HEAD", "/metrics") => Asked::Metrics { head_only: method == "HEAD" },
        ("GET" | "HEAD", _) => Asked::OtherPath,
        _ => Asked::OtherMethod,
    })
}

/// The bytes of the answer. `text` is only asked for where it is wanted.
pub fn answer(asked: &Asked, text: impl FnOnce() -> Option<String>) -> Vec<u8> {
    let (status, body) = match asked {
        Asked::Metrics { .. } => match text() {
            Some(text) => ("200 OK", text),
            None => ("503 Service Unavailable", "the node is too busy to look at itself\n".into()),
        },
        Asked::OtherPath => ("404 Not Found", "there is only /metrics here\n".into()),
        Asked::OtherMethod => ("405 Method Not Allowed", "GET /metrics\n".into()),
        Asked::TooLong => ("431 Request Header Fields Too Large", String::new()),
        Asked::Nonsense => ("400 Bad Request", "this is no HTTP/1 request\n".into()),
    };
    let allow = if *asked == Asked::OtherMethod { "Allow: GET, HEAD\r\n" } else { "" };
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        body.len()
    );
    if *asked != (Asked::Metrics { head_only: true }) {
        answer.push_str(&body);
    }
    answer.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_path_is_found() {
        let metrics = Some(Asked::Metrics { head_only: false });
        assert_eq!(read(b"GET /metrics HTTP/1.1\r\nHost: n1\r\n\r\n"), metrics);
        assert_eq!(read(b"GET /metrics?name[]=up HTTP/1.0\r\n\r\n"), metrics);
        assert_eq!(
            read(b"HEAD /metrics HTTP/1.1\r\n\r\n"),
            Some(Asked::Metrics { head_only: true })
        );
        assert_eq!(read(b"GET / HTTP/1.1\r\n\r\n"), Some(Asked::OtherPath));
        assert_eq!(read(b"POST /metrics HTTP/1.1\r\n\r\nx=1"), Some(Asked::OtherMethod));
    }

    #[test]
    fn anything_else_is_told_so() {
        for nonsense in [
            b"\r\n\r\n".as_slice(),
            b"GET /metrics\r\n\r\n",
            b"GET  /metrics HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\n",
            b"\x16\x03\x01\x02\x00\xff\xfe\r\n\r\n",
        ] {
            assert_eq!(read(nonsense), Some(Asked::Nonsense), "{nonsense:?}");
        }
        assert_eq!(read(b"GET /metrics HTTP/1.1\r\n"), None, "more may come");
        assert_eq!(read(&[b'a'; HEAD_BYTES_MAX]), None);
        assert_eq!(read(&[b'a'; HEAD_BYTES_MAX + 1]), Some(Asked::TooLong));
    }

    #[test]
    fn an_answer_tells_its_length() {
        let text = |asked, text: Option<&str>| {
            String::from_utf8(answer(&asked, || text.map(String::from))).expect("text")
        };
        let whole = text(Asked::Metrics { head_only: false }, Some("a 1\n"));
        assert!(whole.starts_with("HTTP/1.1 200 OK\r\n"), "{whole}");
        assert!(
            whole.contains("Content-Length: 4\r\n") && whole.ends_with("\r\n\r\na 1\n"),
            "{whole}"
        );
        let head = text(Asked::Metrics { head_only: true }, Some("a 1\n"));
        assert!(head.contains("Content-Length: 4\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        let busy = text(Asked::Metrics { head_only: false }, None);
        assert!(busy.starts_with("HTTP/1.1 503 "), "{busy}");
    }
}
