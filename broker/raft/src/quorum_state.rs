//! The `quorum-state` file: the epoch, who leads it, and whom we voted for.
//!
//! Promises: what is formatted here is Kafka's JSON (data version 1), and both of Kafka's versions are read. Durability
//! is the owner's: no vote is answered and no candidacy sent before the write of this file has completed.

use uuid::Uuid;

pub const FILE_NAME: &str = "quorum-state";

/// A replica's id with the identity of its disk, if that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaKey {
    pub id: i32,
    /// Nil where it is not known (an old request, or a file written before directory ids).
    pub directory_id: Uuid,
}

impl ReplicaKey {
    /// Equal ids, and directories that do not contradict each other.
    pub fn matches(&self, other: &ReplicaKey) -> bool {
        let unknown = self.directory_id.is_nil() || other.directory_id.is_nil();
        self.id == other.id && (unknown || self.directory_id == other.directory_id)
    }
}

/// What a member must not forget about the newest epoch it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ElectionState {
    pub epoch: i32,
    pub leader: Option<i32>,
    pub voted: Option<ReplicaKey>,
}

impl ElectionState {
    pub fn format(&self) -> String {
        let voted = self.voted.map_or(-1, |key| key.id);
        let directory = self.voted.map_or(Uuid::nil(), |key| key.directory_id);
        format!(
            "{{\"leaderId\":{},\"leaderEpoch\":{},\"votedId\":{voted},\"votedDirectoryId\":\"{}\",\"data_version\":1}}",
            self.leader.unwrap_or(-1),
            self.epoch,
            base64_uuid(directory),
        )
    }

    pub fn parse(bytes: &[u8]) -> Result<ElectionState, String> {
        let json: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|e| format!("not JSON: {e}"))?;
        let number = |field: &str| {
            let value = json.get(field).and_then(serde_json::Value::as_i64);
            let value = value.and_then(|v| i32::try_from(v).ok());
            value.ok_or_else(|| format!("field `{field}` is not a 32-bit number"))
        };
        let version = number("data_version")?;
        if !(0..=1).contains(&version) {
            return Err(format!("data_version {version} is not one that we know (0, 1)"));
        }
        let epoch = number("leaderEpoch")?;
        if epoch < 0 {
            return Err(format!("leaderEpoch {epoch} is negative"));
        }
        let id = |field| number(field).map(|id| (id >= 0).then_some(id));
        let directory_id = match json.get("votedDirectoryId").and_then(|v| v.as_str()) {
            Some(text) if version == 1 => parse_base64_uuid(text)
                .ok_or_else(|| format!("votedDirectoryId `{text}` is not an id"))?,
            _ => Uuid::nil(),
        };
        let voted = id("votedId")?.map(|id| ReplicaKey { id, directory_id });
        Ok(ElectionState { epoch, leader: id("leaderId")?, voted })
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Kafka's text form of an id: 22 characters of URL-safe base64, no padding.
pub fn base64_uuid(id: Uuid) -> String {
    let bits = id.as_u128();
    let digit = |i: u32| {
        // 128 bits are 21 digits of six and a last one of two, which stand at its top.
        let six = if i < 21 { (bits >> (122 - 6 * i)) & 63 } else { (bits & 3) << 4 };
        char::from(ALPHABET[six as usize])
    };
    (0..22).map(digit).collect()
}

/// The inverse of [`base64_uuid`].
pub fn parse_base64_uuid(text: &str) -> Option<Uuid> {
    if text.len() != 22 {
        return None;
    }
    let mut bits = 0_u128;
    for (i, byte) in text.bytes().enumerate() {
        let six = ALPHABET.iter().position(|c| *c == byte)? as u128;
        bits = if i < 21 { (bits << 6) | six } else { (bits << 2) | (six >> 4) };
    }
    Some(Uuid::from_u128(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kafkas() {
        let state = ElectionState { epoch: 7, leader: Some(2), voted: None };
        assert_eq!(
            state.format(),
            "{\"leaderId\":2,\"leaderEpoch\":7,\"votedId\":-1,\
             \"votedDirectoryId\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"data_version\":1}"
        );
        assert_eq!(base64_uuid(Uuid::from_u128(1)), "AAAAAAAAAAAAAAAAAAAAAQ");
    }

    #[test]
    fn what_is_written_is_read() {
        let key = ReplicaKey { id: 3, directory_id: crate::directory_id_for("c", 3) };
        for state in [
            ElectionState::default(),
            ElectionState { epoch: 4, leader: None, voted: Some(key) },
            ElectionState { epoch: i32::MAX, leader: Some(3), voted: Some(key) },
        ] {
            assert_eq!(ElectionState::parse(state.format().as_bytes()), Ok(state));
        }
    }

    #[test]
    fn version_0_is_read_and_nonsense_refused() {
        let old = br#"{"clusterId":"","leaderId":1,"leaderEpoch":5,"votedId":2,"appliedOffset":0,
            "currentVoters":[{"voterId":1}],"data_version":0}"#;
        let state = ElectionState::parse(old).unwrap();
        assert_eq!((state.epoch, state.leader), (5, Some(1)));
        assert_eq!(state.voted, Some(ReplicaKey { id: 2, directory_id: Uuid::nil() }));
        for bad in [
            "",
            "{}",
            "[1]",
            r#"{"leaderId":1,"leaderEpoch":-5,"votedId":2,"data_version":1}"#,
            r#"{"leaderId":1,"leaderEpoch":5,"votedId":2,"data_version":2}"#,
            r#"{"leaderId":1,"leaderEpoch":5,"votedId":2,"votedDirectoryId":"x","data_version":1}"#,
        ] {
            assert!(ElectionState::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
