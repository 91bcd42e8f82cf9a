//! The few things about sockets that neither mio nor the standard library does.

use mio::net::TcpStream;
use std::time::Duration;

/// Makes the socket end with a reset when it is dropped. A socket that is gone already has nothing to reset.
pub fn abort(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}
