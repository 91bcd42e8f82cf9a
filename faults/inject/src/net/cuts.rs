//! Cuts laid, probed and lifted.
//!
//! Promises: in effect means that a datagram of ours was lost on every way and counted by the rules on each of its ends;
//! where datagrams still pass (a cut of established or of new connections), that the rules have met packets, and of new
//! connections that a dial of ours did not come about. Over means that our tables are gone and that datagrams, and dials
//! where they were cut, get through again, but for ways that another fault of ours still closes.

use super::rules;
use super::ways::{Way, by_end, closed};
use super::world::{Dial, World};
use plan::Peer;
use plan::deed::{Connections, Cut};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;

/// What was done to one node for one fault.
#[derive(Debug)]
struct Laid {
    cut: Cut,
    ways: BTreeSet<Way>,
    /// The tables stand.
    stands: bool,
    /// It was told to end: no beat of it comes any more.
    healed: bool,
    /// The latest datagram on each way since the last change.
    sent: BTreeMap<Way, u64>,
    dials: BTreeMap<Way, Dial>,
    /// Packets that met tables which were lifted since.
    met: u64,
    /// How many times it was laid.
    times: u32,
}

/// All cuts of a run.
#[derive(Debug, Default)]
pub struct Cuts {
    laid: BTreeMap<(u32, String), Laid>,
    /// Numbers tables, for telling new connections from old ones.
    number: u32,
}

impl Cuts {
    pub fn inject(
        &mut self,
        fault: u32,
        node: &str,
        cut: Cut,
        peers: &[Peer],
        world: &World,
    ) -> io::Result<()> {
        if peers.is_empty() {
            return Err(io::Error::other("there is nobody to cut it off from"));
        }
        let laid = Laid {
            cut,
            ways: closed(node, peers, cut),
            stands: false,
            healed: false,
            sent: BTreeMap::new(),
            dials: BTreeMap::new(),
            met: 0,
            times: 0,
        };
        self.laid.insert((fault, node.to_string()), laid);
        self.lay(fault, node, world)
    }

    /// Out of effect, or in effect again.
    pub fn pulse(&mut self, fault: u32, node: &str, on: bool, world: &World) -> io::Result<()> {
        if on { self.lay(fault, node, world) } else { self.lift(fault, node, world) }
    }

    pub fn heal(&mut self, fault: u32, node: &str, world: &World) -> io::Result<()> {
        if let Some(laid) = self.laid.get_mut(&(fault, node.to_string())) {
            laid.healed = true;
        }
        self.lift(fault, node, world)
    }

    fn lay(&mut self, fault: u32, node: &str, world: &World) -> io::Result<()> {
        let Some(laid) = self.laid.get_mut(&(fault, node.to_string())) else { return Ok(()) };
        if laid.healed {
            return Ok(());
        }
        self.number += 1;
        let (table, number, cut) = (rules::table(fault, node), self.number, laid.cut);
        // From here on some of it may stand, whatever fails.
        laid.stands = true;
        laid.times += 1;
        laid.sent.clear();
        laid.dials.clear();
        for (end, sources) in by_end(&laid.ways) {
            let sources = sources.into_iter().map(|source| world.address_of(source));
            let sources: Vec<Ipv4Addr> = sources.collect::<io::Result<_>>()?;
            let script = rules::script(&table, &sources, cut, number);
            world.inside(end, || rules::lay(&script))?;
        }
        Ok(())
    }

    fn lift(&mut self, fault: u32, node: &str, world: &World) -> io::Result<()> {
        let Some(laid) = self.laid.get_mut(&(fault, node.to_string())) else { return Ok(()) };
        let table = rules::table(fault, node);
        if !laid.stands {
            return Ok(());
        }
        for end in by_end(&laid.ways).into_keys() {
            laid.met += world.inside(end, || rules::lift(&table))?;
        }
        laid.stands = false;
        laid.sent.clear();
        laid.dials.clear();
        Ok(())
    }

    pub fn in_effect(&mut self, fault: u32, node: &str, world: &World) -> Result<String, String> {
        let laid = self.laid.get_mut(&(fault, node.to_string())).ok_or("nothing was done to it")?;
        let waiting = match laid.cut.connections {
            Connections::All => laid.lost_datagrams(world),
            // Nothing of ours stood before the cut: what the nodes send has to do.
            Connections::Established => Ok(None),
            Connections::New => laid.lost_dials(world),
        };
        match waiting.map_err(|error| error.to_string())? {
            Some(waiting) => Err(waiting),
            None => laid.met_now(fault, node, world).map_err(|error| error.to_string())?,
        }
    }

    pub fn over(&mut self, fault: u32, node: &str, world: &World) -> Result<String, String> {
        self.is_over(fault, node, world).map_err(|error| error.to_string())?
    }

    fn is_over(
        &mut self,
        fault: u32,
        node: &str,
        world: &World,
    ) -> io::Result<Result<String, String>> {
        let key = (fault, node.to_string());
        let others: BTreeMap<Way, u32> = self
            .laid
            .iter()
            .filter(|(other, laid)| **other != key && laid.stands)
            .flat_map(|((other, _), laid)| laid.ways.iter().map(|way| (way.clone(), *other)))
            .collect();
        let Some(laid) = self.laid.get_mut(&key) else {
            return Ok(Ok("nothing was done to it".to_string()));
        };
        if laid.stands {
            return Ok(Err("its rules still stand".to_string()));
        }
        let mut closed_by_others = BTreeSet::new();
        for way in laid.ways.clone() {
            let through = laid.passes(&way, world)?;
            match (through, others.get(&way)) {
                (true, _) => {}
                (false, Some(other)) => {
                    closed_by_others.insert(format!("{way} still cut by fault {other}"));
                }
                (false, None) => return Ok(Err(format!("{way}: nothing gets through yet"))),
            }
        }
        let table = rules::table(fault, node);
        for end in by_end(&laid.ways).into_keys() {
            if world.inside(end, || rules::stands(&table))? {
                return Ok(Err(format!("its rules still stand at {end}")));
            }
        }
        let open = laid.ways.len() - closed_by_others.len();
        let mut words = format!("{} open again, {} packets met it", ways(open), laid.met);
        if laid.times > 1 {
            words += &format!(" in {} cuts", laid.times);
        }
        for closed in closed_by_others {
            words += &format!("; {closed}");
        }
        Ok(Ok(words))
    }
}

impl Laid {
    /// Whether a datagram came through, and a dial where those were cut; sends the next ones.
    fn passes(&mut self, way: &Way, world: &World) -> io::Result<bool> {
        let came = self.datagram_came(way, world)?;
        if came.is_none_or(|came| !came) {
            let sent = world.send(&way.from, &way.to)?;
            self.sent.insert(way.clone(), sent);
        }
        let mut through = came == Some(true);
        if self.cut.connections != Connections::All {
            let connected = self.dial_came_about(way, world)?;
            through &= connected;
        }
        Ok(through)
    }

    /// Whether the latest datagram on the way came; `None`: none was sent since the last change.
    fn datagram_came(&self, way: &Way, world: &World) -> io::Result<Option<bool>> {
        let heard = world.heard(&way.from, &way.to)?;
        Ok(self.sent.get(way).map(|sent| heard >= *sent))
    }

    /// Whether the dial on the way is a connection by now; begins one where there is none, or it came to nothing.
    fn dial_came_about(&mut self, way: &Way, world: &World) -> io::Result<bool> {
        let connected = self.dials.get(way).is_some_and(Dial::is_connected);
        if !connected && self.dials.get(way).is_none_or(Dial::has_failed) {
            self.dials.insert(way.clone(), world.dial(&way.from, &way.to)?);
        }
        Ok(connected)
    }

    /// Why it can't be said yet that a datagram of ours was lost on every way.
    fn lost_datagrams(&mut self, world: &World) -> io::Result<Option<String>> {
        let mut waiting = None;
        for way in self.ways.clone() {
            match self.datagram_came(&way, world)? {
                Some(false) => continue,
                Some(true) => waiting = Some(format!("{way}: a datagram got through")),
                None => waiting = waiting.or(Some(format!("{way}: nothing is known yet"))),
            }
            let sent = world.send(&way.from, &way.to)?;
            self.sent.insert(way, sent);
        }
        Ok(waiting)
    }

    /// Why it can't be said yet that dials of ours did not come about on any way.
    fn lost_dials(&mut self, world: &World) -> io::Result<Option<String>> {
        let mut waiting = None;
        for way in self.ways.clone() {
            let begun = self.dials.contains_key(&way);
            if self.dial_came_about(&way, world)? {
                self.dials.remove(&way);
                waiting = Some(format!("{way}: a connection came about"));
            } else if !begun {
                waiting = waiting.or(Some(format!("{way}: nothing is known yet")));
            }
        }
        Ok(waiting)
    }

    /// How many packets met the rules, if there was one for each way at its end.
    fn met_now(&self, fault: u32, node: &str, world: &World) -> io::Result<Result<String, String>> {
        let table = rules::table(fault, node);
        let mut total = 0;
        let mut missing = None;
        for (end, sources) in by_end(&self.ways) {
            let packets = world.inside(end, || rules::packets(&table))?;
            if packets < sources.len() as u64 {
                missing = Some(format!("at {end} {packets} packets met it"));
            }
            total += packets;
        }
        let kind = match self.cut.connections {
            Connections::All => "packets",
            Connections::Established => "packets of established connections",
            Connections::New => "packets of dials",
        };
        // Who talks on an established connection is up to the nodes: one packet anywhere shows that the rules work.
        match missing.filter(|_| self.cut.connections != Connections::Established || total == 0) {
            Some(missing) => Ok(Err(missing)),
            None => Ok(Ok(format!("{} closed, {total} {kind} met it", ways(self.ways.len())))),
        }
    }
}

fn ways(count: usize) -> String {
    match count {
        1 => "1 way".to_string(),
        count => format!("{count} ways"),
    }
}
