//! The run's own network, and what a probe sends through it.

use super::namespace::{create, run, separate, within};
use plan::Peer;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Where probes are answered: a port that no broker has.
const PROBE_PORT: u16 = 9;
const BRIDGE: &str = "highwater";
/// The harness and its clients.
const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);
/// Node ids up to this have an address.
const ID_MAX: u32 = 244;

/// One end of the network: the world's own, or a node's.
#[derive(Debug)]
struct Place {
    namespace: File,
    address: Ipv4Addr,
    datagrams: UdpSocket,
    dials: TcpListener,
}

/// A network that this process and its children are in, and nobody else.
#[derive(Debug)]
pub struct World {
    places: BTreeMap<Peer, Place>,
    nonce: AtomicU64,
    /// The latest datagram that came from one address to another.
    heard: Mutex<BTreeMap<(Ipv4Addr, Ipv4Addr), u64>>,
}

impl World {
    /// Leaves the machine's network for a new one. To be called before any thread is started: only the calling thread
    /// and what it starts afterwards are in it. Without root it takes a user namespace, in which the user is root.
    pub fn enter() -> io::Result<World> {
        let namespace = separate()?;
        // A bridge without an address of its own takes on one of its ports', and changes it with them.
        let links = format!(
            "link set lo up\n\
             link add name {BRIDGE} address 02:00:0a:58:00:01 type bridge\n\
             addr add {OWN_ADDRESS}/24 dev {BRIDGE}\n\
             link set {BRIDGE} up\n"
        );
        within(&namespace, || run("ip", &["-batch", "-"], &links))?;
        let own = Place::new(namespace, OWN_ADDRESS)?;
        Ok(World {
            places: BTreeMap::from([(Peer::Clients, own)]),
            nonce: AtomicU64::new(1),
            heard: Mutex::new(BTreeMap::new()),
        })
    }

    /// Makes a node's namespace; answers its address. `id`: the node's id, from 1.
    pub fn join(&mut self, node: &str, id: u32) -> io::Result<Ipv4Addr> {
        let host = u8::try_from(id).ok().filter(|id| (1..=ID_MAX).contains(&u32::from(*id)));
        let host = host.ok_or_else(|| io::Error::other(format!("no address for node id {id}")))?;
        let address = Ipv4Addr::new(10, 88, 0, 10 + host);
        let namespace = create()?;
        let link = format!("hw-{id}");
        let path = path_of(&namespace);
        let links = format!(
            "link add {link} type veth peer name eth0 netns {path}\n\
             link set {link} master {BRIDGE} up\n"
        );
        self.inside(&Peer::Clients, || run("ip", &["-batch", "-"], &links))?;
        let links = format!("addr add {address}/24 dev eth0\nlink set eth0 up\n");
        within(&namespace, || run("ip", &["-batch", "-"], &links))?;
        let place = Place::new(namespace, address)?;
        self.places.insert(Peer::Node(node.to_string()), place);
        Ok(address)
    }

    /// The address of the harness and its clients.
    pub fn own_address(&self) -> Ipv4Addr {
        OWN_ADDRESS
    }

    /// Where a node listens.
    pub fn address(&self, node: &str) -> Option<Ipv4Addr> {
        self.places.get(&Peer::Node(node.to_string())).map(|place| place.address)
    }

    /// A command that becomes `program` inside of the node's namespace: the pid stays.
    pub fn command(&self, node: &str, program: impl AsRef<OsStr>) -> io::Result<Command> {
        let place = self.place(&Peer::Node(node.to_string()))?;
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", path_of(&place.namespace))).arg("--").arg(program);
        Ok(command)
    }

    pub(super) fn address_of(&self, place: &Peer) -> io::Result<Ipv4Addr> {
        self.place(place).map(|place| place.address)
    }

    /// Does something in a place's namespace.
    pub(super) fn inside<T: Send>(
        &self,
        place: &Peer,
        act: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        within(&self.place(place)?.namespace, act)
    }

    /// Sends a datagram from one place to another; answers its number.
    pub(super) fn send(&self, from: &Peer, to: &Peer) -> io::Result<u64> {
        let nonce = self.nonce.fetch_add(1, Ordering::Relaxed);
        let to = SocketAddr::from((self.address_of(to)?, PROBE_PORT));
        self.place(from)?.datagrams.send_to(&nonce.to_be_bytes(), to)?;
        Ok(nonce)
    }

    /// The latest datagram from one place that came to the other; 0: none.
    pub(super) fn heard(&self, from: &Peer, to: &Peer) -> io::Result<u64> {
        let place = self.place(to)?;
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut datagram = [0; 8];
        loop {
            match place.datagrams.recv_from(&mut datagram) {
                Ok((8, SocketAddr::V4(source))) => {
                    let latest = heard.entry((*source.ip(), place.address)).or_insert(0);
                    *latest = u64::from_be_bytes(datagram).max(*latest);
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(heard.get(&(self.address_of(from)?, place.address)).copied().unwrap_or(0))
    }

    /// Begins a dial from one place to another.
    pub(super) fn dial(&self, from: &Peer, to: &Peer) -> io::Result<Dial> {
        let to_place = self.place(to)?;
        // What others dialled before is let go.
        while to_place.dials.accept().is_ok() {}
        let to = SocketAddrV4::new(to_place.address, PROBE_PORT);
        let socket = self.inside(from, || {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            Ok(socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?)
        })?;
        match connect(&socket, &to) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS | rustix::io::Errno::CONNREFUSED) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Dial(TcpStream::from(socket)))
    }

    fn place(&self, place: &Peer) -> io::Result<&Place> {
        let missing = || io::Error::other(format!("{place} has no namespace in this network"));
        self.places.get(place).ok_or_else(missing)
    }
}

impl Place {
    /// Sockets stay in the namespace that they were made in, whichever thread uses them.
    fn new(namespace: File, address: Ipv4Addr) -> io::Result<Place> {
        let (datagrams, dials) = within(&namespace, || {
            let at = (IpAddr::from(address), PROBE_PORT);
            let (datagrams, dials) = (UdpSocket::bind(at)?, TcpListener::bind(at)?);
            datagrams.set_nonblocking(true)?;
            dials.set_nonblocking(true)?;
            Ok((datagrams, dials))
        })?;
        Ok(Place { namespace, address, datagrams, dials })
    }
}

/// A connection that may come about.
#[derive(Debug)]
pub(super) struct Dial(TcpStream);

impl Dial {
    pub fn is_connected(&self) -> bool {
        self.0.peer_addr().is_ok()
    }

    /// It has come to nothing, and another one may be tried.
    pub fn has_failed(&self) -> bool {
        matches!(self.0.take_error(), Ok(Some(_)) | Err(_))
    }
}

/// A file of this process, as its children see it; nobody has to inherit it.
fn path_of(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// Whether [`World::enter`] would work here, tried in a child that takes everything with it when it ends; otherwise why
/// not, and what would enable it.
pub fn can_enter() -> Result<(), String> {
    let attempt = format!(
        "ip link add name {BRIDGE} type bridge && nft add table inet {BRIDGE} && nsenter --version"
    );
    let as_root = ["--net", "--mount", "--", "sh", "-c", &attempt];
    let as_user = ["--user", "--map-root-user", "--net", "--mount", "--", "sh", "-c", &attempt];
    match run("unshare", &as_root, "").or_else(|_| run("unshare", &as_user, "")) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "{error}; namespaces need Linux, root or user namespaces (sysctl user.max_user_namespaces), and the programs \
             `ip`, `nft`, `nsenter` and `unshare`"
        )),
    }
}
