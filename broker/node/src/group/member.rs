//! One member of a group.

use bytes::Bytes;

use super::Asker;

#[derive(Debug)]
pub(super) struct Member {
    pub id: String,
    /// Of a static member: it keeps its place over restarts, under a new member id.
    pub instance: Option<String>,
    pub client_id: String,
    /// As Java prints an address: with a slash before it.
    pub client_host: String,
    pub rebalance_timeout_ms: u64,
    pub session_timeout_ms: u64,
    /// The assignors that it knows, by preference, with what it tells each of them.
    pub protocols: Vec<(String, Bytes)>,
    pub assignment: Bytes,
    /// A JoinGroup that waits for the others.
    pub joining: Option<Asker>,
    /// A SyncGroup that waits for the leader's assignment.
    pub syncing: Option<Asker>,
    /// It has never had an answer to a JoinGroup: it can't send heartbeats yet.
    pub is_new: bool,
    /// When it is taken for dead, unless it shows itself.
    pub session_due_ms: u64,
}

/// A new member gets this long until its first JoinGroup is answered; its client gives up and tries again sooner.
const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 300_000;

impl Member {
    pub fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    pub fn matches(&self, protocols: &[(String, Bytes)]) -> bool {
        self.protocols == protocols
    }

    /// The protocol that it likes best among `candidates`.
    pub fn vote<'a>(&'a self, candidates: &[&str]) -> Option<&'a str> {
        self.protocols.iter().map(|(name, _)| name.as_str()).find(|name| candidates.contains(name))
    }

    pub fn waits(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    /// The member showed itself. Answers when to look again.
    pub fn extend_session(&mut self, now_ms: u64) -> u64 {
        let length_ms =
            if self.is_new { NEW_MEMBER_JOIN_TIMEOUT_MS } else { self.session_timeout_ms };
        self.session_due_ms = now_ms.saturating_add(length_ms);
        self.session_due_ms
    }
}
