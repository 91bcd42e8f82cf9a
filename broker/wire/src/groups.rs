//! The records of `__consumer_offsets`: committed offsets, and the state of classic groups.
//!
//! Promises: keys and values are Kafka's, so that its tools and coordinators read ours. Values are written in version 3
//! (version 4 breaks older brokers and adds nothing that we keep), read in all versions. A key of a kind that we do not
//! keep is [`GroupKey::Other`] and to be skipped.

use crate::codec::{Malformed, Put, Reader};
use bytes::Bytes;

const OFFSET_KEY_VERSION: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;
const VALUE_VERSION: i16 = 3;
const FIRST_FLEXIBLE_VERSION: i16 = 4;

/// What a record is about. The version of the key says which kind it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKey {
    /// The offset of one partition, with [`OffsetCommitValue`]; a tombstone ends it.
    Offset { group: String, topic: String, partition: i32 },
    /// A classic group, with [`GroupMetadataValue`]; a tombstone ends it.
    Group { group: String },
    /// Another coordinator's, by the key's version.
    Other { version: i16 },
}

impl GroupKey {
    /// Panics on `Other`, which is never ours to write.
    pub fn encode(&self) -> Bytes {
        let mut key = Vec::with_capacity(48);
        match self {
            GroupKey::Offset { group, topic, partition } => {
                key.put_i16(OFFSET_KEY_VERSION);
                key.put_string(false, group);
                key.put_string(false, topic);
                key.put_i32(*partition);
            }
            GroupKey::Group { group } => {
                key.put_i16(GROUP_KEY_VERSION);
                key.put_string(false, group);
            }
            GroupKey::Other { version } => {
                panic!("a key of version {version} is not ours to write")
            }
        }
        Bytes::from(key)
    }

    pub fn decode(key: &[u8]) -> Result<GroupKey, Malformed> {
        let mut reader = Reader::new(key);
        let key = match reader.i16()? {
            0 | OFFSET_KEY_VERSION => GroupKey::Offset {
                group: reader.string(false)?,
                topic: reader.string(false)?,
                partition: reader.i32()?,
            },
            GROUP_KEY_VERSION => GroupKey::Group { group: reader.string(false)? },
            version => return Ok(GroupKey::Other { version }),
        };
        ends(&reader)?;
        Ok(key)
    }
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitValue {
    pub offset: i64,
    /// Of the last record that was consumed; -1 where the client did not say.
    pub leader_epoch: i32,
    /// The client's own note.
    pub metadata: String,
    /// Milliseconds since the epoch.
    pub commit_timestamp: i64,
    /// -1: by the broker's retention. Only old clients set it.
    pub expire_timestamp: i64,
}

impl OffsetCommitValue {
    /// Written in version 1 where the client set an expiry, which later versions do not have.
    pub fn encode(&self) -> Bytes {
        let mut value = Vec::with_capacity(32 + self.metadata.len());
        let version = if self.expire_timestamp == -1 { VALUE_VERSION } else { 1 };
        value.put_i16(version);
        value.put_i64(self.offset);
        if version >= 3 {
            value.put_i32(self.leader_epoch);
        }
        value.put_string(false, &self.metadata);
        value.put_i64(self.commit_timestamp);
        if version == 1 {
            value.put_i64(self.expire_timestamp);
        }
        Bytes::from(value)
    }

    pub fn decode(value: &[u8]) -> Result<OffsetCommitValue, Malformed> {
        let mut reader = Reader::new(value);
        let version = value_version(&mut reader)?;
        let flexible = version >= FIRST_FLEXIBLE_VERSION;
        let value = OffsetCommitValue {
            offset: reader.i64()?,
            leader_epoch: if version >= 3 { reader.i32()? } else { -1 },
            metadata: reader.string(flexible)?,
            commit_timestamp: reader.i64()?,
            expire_timestamp: if version == 1 { reader.i64()? } else { -1 },
        };
        if flexible {
            reader.skip_tagged_fields()?;
        }
        ends(&reader)?;
        Ok(value)
    }
}

/// A classic group's state after a rebalance (or empty, or with a new static member).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadataValue {
    /// As in `consumer`.
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// Milliseconds since the epoch; -1 where an old broker wrote it.
    pub current_state_timestamp: i64,
    pub members: Vec<GroupMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub member_id: String,
    /// Of a static member.
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// The member's metadata for the chosen protocol.
    pub subscription: Bytes,
    pub assignment: Bytes,
}

impl GroupMetadataValue {
    pub fn encode(&self) -> Bytes {
        let mut value = Vec::with_capacity(256);
        value.put_i16(VALUE_VERSION);
        value.put_string(false, &self.protocol_type);
        value.put_i32(self.generation);
        value.put_nullable_string(false, self.protocol.as_deref());
        value.put_nullable_string(false, self.leader.as_deref());
        value.put_i64(self.current_state_timestamp);
        value.put_array(false, &self.members, |value, member| {
            value.put_string(false, &member.member_id);
            value.put_nullable_string(false, member.group_instance_id.as_deref());
            value.put_string(false, &member.client_id);
            value.put_string(false, &member.client_host);
            value.put_i32(member.rebalance_timeout_ms);
            value.put_i32(member.session_timeout_ms);
            value.put_bytes(false, &member.subscription);
            value.put_bytes(false, &member.assignment);
        });
        Bytes::from(value)
    }

    pub fn decode(value: &[u8]) -> Result<GroupMetadataValue, Malformed> {
        let mut reader = Reader::new(value);
        let version = value_version(&mut reader)?;
        let flexible = version >= FIRST_FLEXIBLE_VERSION;
        let value = GroupMetadataValue {
            protocol_type: reader.string(flexible)?,
            generation: reader.i32()?,
            protocol: reader.nullable_string(flexible)?,
            leader: reader.nullable_string(flexible)?,
            current_state_timestamp: if version >= 2 { reader.i64()? } else { -1 },
            members: reader.array_of(flexible, |reader| read_member(reader, version))?,
        };
        if flexible {
            reader.skip_tagged_fields()?;
        }
        ends(&reader)?;
        Ok(value)
    }
}

fn read_member(reader: &mut Reader<'_>, version: i16) -> Result<GroupMember, Malformed> {
    let flexible = version >= FIRST_FLEXIBLE_VERSION;
    let member_id = reader.string(flexible)?;
    let group_instance_id = if version >= 3 { reader.nullable_string(flexible)? } else { None };
    let client_id = reader.string(flexible)?;
    let client_host = reader.string(flexible)?;
    let rebalance_timeout_ms = if version >= 1 { Some(reader.i32()?) } else { None };
    let session_timeout_ms = reader.i32()?;
    let member = GroupMember {
        member_id,
        group_instance_id,
        client_id,
        client_host,
        rebalance_timeout_ms: rebalance_timeout_ms.unwrap_or(session_timeout_ms),
        session_timeout_ms,
        subscription: reader.bytes(flexible)?,
        assignment: reader.bytes(flexible)?,
    };
    if flexible {
        reader.skip_tagged_fields()?;
    }
    Ok(member)
}

fn value_version(reader: &mut Reader<'_>) -> Result<i16, Malformed> {
    let version = reader.i16()?;
    if (0..=FIRST_FLEXIBLE_VERSION).contains(&version) {
        return Ok(version);
    }
    Err(Malformed("the value's version is unknown"))
}

fn ends(reader: &Reader<'_>) -> Result<(), Malformed> {
    if reader.remaining() == 0 {
        Ok(())
    } else {
        Err(Malformed("there are bytes after the record"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupMetadataValue {
        GroupMetadataValue {
            protocol_type: "consumer".to_owned(),
            generation: 7,
            protocol: Some("range".to_owned()),
            leader: Some("m1".to_owned()),
            current_state_timestamp: 99,
            members: vec![GroupMember {
                member_id: "m1".to_owned(),
                group_instance_id: None,
                client_id: "c".to_owned(),
                client_host: "/127.0.0.1".to_owned(),
                rebalance_timeout_ms: 300_000,
                session_timeout_ms: 45_000,
                subscription: Bytes::from_static(b"sub"),
                assignment: Bytes::from_static(b"ass"),
            }],
        }
    }

    #[test]
    fn keys_come_back_and_strangers_are_kept_apart() {
        let offset =
            GroupKey::Offset { group: "g".to_owned(), topic: "t".to_owned(), partition: 3 };
        assert_eq!(&offset.encode()[..], [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 3]);
        let group = GroupKey::Group { group: "g".to_owned() };
        assert_eq!(&group.encode()[..], [0, 2, 0, 1, b'g']);
        for key in [offset, group] {
            assert_eq!(GroupKey::decode(&key.encode()), Ok(key.clone()));
            for cut in 0..key.encode().len() {
                assert!(GroupKey::decode(&key.encode()[..cut]).is_err());
            }
        }
        assert_eq!(GroupKey::decode(&[0, 3, 9]), Ok(GroupKey::Other { version: 3 }));
    }

    #[test]
    fn values_come_back() {
        let mut offset = OffsetCommitValue {
            offset: 5,
            leader_epoch: 2,
            metadata: "note".to_owned(),
            commit_timestamp: 9,
            expire_timestamp: -1,
        };
        assert_eq!(OffsetCommitValue::decode(&offset.encode()), Ok(offset.clone()));
        for cut in 0..offset.encode().len() {
            assert!(OffsetCommitValue::decode(&offset.encode()[..cut]).is_err());
        }
        offset.expire_timestamp = 10;
        offset.leader_epoch = -1;
        assert_eq!(OffsetCommitValue::decode(&offset.encode()), Ok(offset));
        assert_eq!(GroupMetadataValue::decode(&group().encode()), Ok(group()));
        for cut in 0..group().encode().len() {
            assert!(GroupMetadataValue::decode(&group().encode()[..cut]).is_err());
        }
    }

    fn from_hex(hex: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(byte).collect()
    }

    /// Bytes that Kafka 4.3.1's own classes gave, in the version that we write and in the flexible one.
    #[test]
    fn the_bytes_are_kafkas() {
        let offset = OffsetCommitValue {
            offset: 5,
            leader_epoch: 2,
            metadata: "note".to_owned(),
            commit_timestamp: 9,
            expire_timestamp: -1,
        };
        let bytes = from_hex("000300000000000000050000000200046e6f74650000000000000009");
        assert_eq!(offset.encode(), bytes);
        let flexible = from_hex(
            "0004000000000000000500000002056e6f7465000000000000000901001000000000000000000000\
             000000000007",
        );
        assert_eq!(OffsetCommitValue::decode(&flexible), Ok(offset));
        let bytes = from_hex(
            "00030008636f6e73756d657200000007000572616e676500026d3100000000000000630000000100\
             026d31ffff000163000a2f3132372e302e302e31000493e00000afc8000000037375620000000361\
             7373",
        );
        assert_eq!(group().encode(), bytes);
        let flexible = from_hex(
            "000409636f6e73756d6572000000070672616e6765036d31000000000000006302036d310002630b\
             2f3132372e302e302e31000493e00000afc804737562046173730000",
        );
        assert_eq!(GroupMetadataValue::decode(&flexible), Ok(group()));
        assert!(OffsetCommitValue::decode(&[0, 5, 0]).is_err());
    }
}
