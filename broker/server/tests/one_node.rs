//! One real node on loopback, in a process of its own: it serves, it survives what no client should send, and it ends in good order.
#![allow(clippy::disallowed_methods, reason = "a test of the real world waits for it")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use wire::api::key;
use wire::frame;
use wire::messages::create_topics_request::CreatableTopic;
use wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    MetadataRequest, MetadataResponse, TopicName,
};
use wire::{Encodable, Guarded, StrBytes};

const CONFIG: &str = "HIGHWATER_TEST_CONFIG";

/// Not a test: what the other tests start as a process of its own.
#[test]
fn node_process() {
    let Ok(path) = std::env::var(CONFIG) else { return };
    let code = match highwater_server::run(Path::new(&path), None) {
        Ok(code) => i32::from(code != std::process::ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{error:#}");
            3
        }
    };
    std::process::exit(code);
}

struct Node {
    process: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

fn start() -> Node {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (port, controller_port) = (free_port(), free_port());
    let config = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller_port}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\nbroker.heartbeat.interval.ms=100\n\
         broker.session.timeout.ms=1000\nsocket.request.max.bytes=1000000\n",
        directory.path().join("log").display()
    );
    std::fs::write(directory.path().join("server.properties"), config).expect("writes");
    let process = spawn(directory.path());
    Node { process, port, directory }
}

fn spawn(directory: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "node_process", "--nocapture"])
        .env(CONFIG, directory.join("server.properties"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts")
}

impl Node {
    /// A connection, as soon as the node listens.
    fn connect(&self) -> TcpStream {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
                    return stream;
                }
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            std::thread::yield_now();
        }
    }

    fn terminate(&self) {
        let pid = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signals");
    }

    fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        let stderr = self.process.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut said).expect("text");
        (self.process.wait().expect("ends"), said)
    }
}

fn send(stream: &mut TcpStream, frame: &[u8]) {
    let length = u32::try_from(frame.len()).expect("short");
    stream.write_all(&length.to_be_bytes()).expect("sends");
    stream.write_all(frame).expect("sends");
}

fn receive(stream: &mut TcpStream) -> Bytes {
    let mut length = [0u8; 4];
    stream.read_exact(&mut length).expect("a length");
    let mut frame = vec![0u8; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).expect("a frame");
    frame.into()
}

fn ask<T: Guarded>(stream: &mut TcpStream, api_key: i16, version: i16, body: &impl Encodable) -> T {
    let request = frame::encode_request(api_key, version, 7, "test", body).expect("encodes");
    send(stream, &request);
    let mut response = receive(stream);
    let correlation_id =
        frame::read_response_head(&mut response, api_key, version).expect("a header");
    assert_eq!(correlation_id, 7);
    frame::decode(&mut response, version).expect("a body")
}

fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0u8; 1]), Ok(0) | Err(_))
}

#[test]
fn it_serves_survives_garbage_and_ends_in_good_order() {
    let node = start();
    let mut client = node.connect();
    let versions: ApiVersionsResponse =
        ask(&mut client, key::API_VERSIONS, 0, &ApiVersionsRequest::default());
    assert!(versions.api_keys.iter().any(|row| row.api_key == key::PRODUCE));

    // An oversized frame, a negative length, a truncated header, an unknown API, a body that does not parse.
    for garbage in [
        &[0x7f, 0xff, 0xff, 0xff][..],
        &[0xff, 0xff, 0xff, 0xff],
        &[0, 0, 0, 2, 0, 3],
        &[0, 0, 0, 10, 3, 0xe7, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
        &[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff],
        &[0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff],
    ] {
        let mut bad = node.connect();
        bad.write_all(garbage).expect("sends");
        assert!(is_closed(&mut bad), "{garbage:?}");
    }
    let mut newer = node.connect();
    send(&mut newer, &[0, 18, 0, 99, 0, 0, 0, 9, 0xff, 0xff, 0]);
    assert_eq!(&receive(&mut newer)[..6], &[0, 0, 0, 9, 0, 35], "UNSUPPORTED_VERSION in version 0");

    let name = TopicName(StrBytes::from_static_str("first"));
    let topic = CreatableTopic::default()
        .with_name(name.clone())
        .with_num_partitions(3)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let created: CreateTopicsResponse = ask(&mut client, key::CREATE_TOPICS, 7, &request);
    assert_eq!(created.topics[0].error_code, 0, "{created:?}");
    let all = MetadataRequest::default().with_topics(None);
    let metadata: MetadataResponse = ask(&mut client, key::METADATA, 12, &all);
    assert_eq!(metadata.topics[0].name.as_ref(), Some(&name));
    assert_eq!(metadata.topics[0].partitions.len(), 3);

    node.terminate();
    let directory = node.directory.path().join("log");
    let clean = directory.join(".kafka_cleanshutdown");
    let kept = std::fs::canonicalize(&directory).expect("exists");
    let mut node = node;
    let status = node.process.wait().expect("ends");
    assert!(status.success(), "{status}");
    assert!(clean.exists(), "a clean stop leaves its mark in {}", kept.display());

    // The same directory again: what was there is there.
    node.process = spawn(node.directory.path());
    let mut client = node.connect();
    let metadata: MetadataResponse = ask(&mut client, key::METADATA, 12, &all);
    assert_eq!(metadata.topics.len(), 1);
}

#[test]
fn a_second_process_on_the_same_directory_is_told_why_it_can_not_start() {
    let node = start();
    drop(node.connect());
    let second = spawn(node.directory.path());
    let output = second.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("another process uses the data directory"), "{said}");
}

#[test]
fn a_port_in_use_is_told_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:1\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{}\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\n",
        free_port(),
        directory.path().join("log").display()
    );
    std::fs::write(directory.path().join("server.properties"), config).expect("writes");
    let process = spawn(directory.path());
    let node = Node { process, port, directory };
    let (status, said) = node.end();
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains("another process listens there"), "{said}");
}
