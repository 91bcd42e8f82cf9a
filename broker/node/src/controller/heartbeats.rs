//! Which brokers are heard of, and how far each has read the metadata.
//!
//! Promises: a session ends when a broker was silent for longer than the session timeout, not before; time in which
//! the controller itself slept is not held against anybody. Held by the active controller only and never written down:
//! after a failover every broker has a fresh session.
//!
//! Not here: whether a broker is fenced or stopping, which the image knows.

use std::collections::BTreeMap;

use crate::image::MetadataImage;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub last_contact_ms: u64,
    /// How far the broker has read the metadata log; -1: not told yet.
    pub metadata_offset: i64,
    /// Where the log ended when the broker's last leadership was moved away; `None`: not stopping.
    pub controlled_shutdown_offset: Option<i64>,
}

#[derive(Debug)]
pub struct Heartbeats {
    session_timeout_ms: u64,
    sessions: BTreeMap<i32, Session>,
}

impl Heartbeats {
    pub fn new(session_timeout_ms: u64) -> Self {
        Self { session_timeout_ms, sessions: BTreeMap::new() }
    }

    /// A new life of the broker, or the first heard of it by this controller.
    pub fn register(&mut self, broker: i32, now_ms: u64) {
        let session = Session {
            last_contact_ms: now_ms,
            metadata_offset: -1,
            controlled_shutdown_offset: None,
        };
        self.sessions.insert(broker, session);
    }

    pub fn remove(&mut self, broker: i32) {
        self.sessions.remove(&broker);
    }

    pub fn session(&self, broker: i32) -> Option<&Session> {
        self.sessions.get(&broker)
    }

    /// A heartbeat came.
    pub fn touch(&mut self, broker: i32, now_ms: u64, metadata_offset: i64) {
        if let Some(session) = self.sessions.get_mut(&broker) {
            session.last_contact_ms = now_ms;
            session.metadata_offset = metadata_offset;
        }
    }

    /// A fenced broker is no longer stopping: its next heartbeat lets it stop at once.
    pub fn fenced(&mut self, broker: i32) {
        if let Some(session) = self.sessions.get_mut(&broker) {
            session.controlled_shutdown_offset = None;
        }
    }

    /// Its leaderships are moved away in records up to `offset`. The first such offset stays.
    pub fn stopping(&mut self, broker: i32, offset: i64) {
        if let Some(session) = self.sessions.get_mut(&broker) {
            session.controlled_shutdown_offset.get_or_insert(offset);
        }
    }

    pub fn is_stopping(&self, broker: i32) -> bool {
        self.sessions
            .get(&broker)
            .is_some_and(|session| session.controlled_shutdown_offset.is_some())
    }

    /// Heard of lately enough. Fenced brokers have no session.
    pub fn has_valid_session(&self, image: &MetadataImage, broker: i32, now_ms: u64) -> bool {
        image.is_unfenced(broker)
            && self.sessions.get(&broker).is_some_and(|session| {
                session.last_contact_ms.saturating_add(self.session_timeout_ms) >= now_ms
            })
    }

    /// The unfenced broker that has been silent longest, if too long.
    pub fn stale(&self, image: &MetadataImage, now_ms: u64) -> Option<i32> {
        let (broker, expiry_ms) = self.earliest_expiry(image)?;
        (expiry_ms < now_ms).then_some(broker)
    }

    /// When [`Heartbeats::stale`] may find somebody, at the earliest.
    pub fn deadline_ms(&self, image: &MetadataImage) -> Option<u64> {
        self.earliest_expiry(image).map(|(_, expiry_ms)| expiry_ms.saturating_add(1))
    }

    fn earliest_expiry(&self, image: &MetadataImage) -> Option<(i32, u64)> {
        self.sessions
            .iter()
            .filter(|(broker, _)| image.is_unfenced(**broker))
            .map(|(broker, session)| {
                (*broker, session.last_contact_ms.saturating_add(self.session_timeout_ms))
            })
            .min_by_key(|(_, expiry_ms)| *expiry_ms)
    }

    /// The lowest offset that a broker which is neither fenced nor stopping has read up to.
    pub fn lowest_active_offset(&self, image: &MetadataImage) -> i64 {
        self.sessions
            .iter()
            .filter(|(broker, session)| {
                image.is_unfenced(**broker) && session.controlled_shutdown_offset.is_none()
            })
            .map(|(_, session)| session.metadata_offset)
            .min()
            .unwrap_or(i64::MAX)
    }

    /// The controller was woken later than it asked to be: it may have heartbeats waiting that it has not read. Everybody
    /// has at least half a session from now on.
    pub fn forgive(&mut self, now_ms: u64) {
        let floor_ms = now_ms.saturating_sub(self.session_timeout_ms / 2);
        for session in self.sessions.values_mut() {
            session.last_contact_ms = session.last_contact_ms.max(floor_ms);
        }
    }

    pub fn session_timeout_ms(&self) -> u64 {
        self.session_timeout_ms
    }
}
