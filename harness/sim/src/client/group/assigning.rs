//! Who gets which partitions, and the words in which members tell each other (`ConsumerProtocol`, version 0).

use wire::codec::{Put, Reader};

/// The name of the assignor: ranges, as `range` is by default.
pub(super) const PROTOCOL: &str = "range";

/// What a member wants: one topic.
pub(super) fn subscription(topic: &str) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_i16(0);
    out.put_i32(1);
    out.put_string(false, topic);
    out.put_i32(-1);
    out
}

/// Ranges of nearly one size, to members in the order of their names.
pub(super) fn ranges(members: &[String], partitions: u32) -> Vec<(String, Vec<u32>)> {
    let mut members = members.to_vec();
    members.sort();
    let count = members.len() as u32;
    let mut next = 0;
    let mut give = |index: u32, member: String| {
        let share = partitions / count + u32::from(index < partitions % count);
        let range = (next..next + share).collect();
        next += share;
        (member, range)
    };
    members.into_iter().zip(0..).map(|(member, index)| give(index, member)).collect()
}

pub(super) fn assignment(topic: &str, partitions: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_i16(0);
    out.put_i32(1);
    out.put_string(false, topic);
    out.put_i32(partitions.len() as i32);
    for partition in partitions {
        out.put_i32(*partition as i32);
    }
    out.put_i32(-1);
    out
}

/// The partitions of the topic in an assignment; an empty one is none. `None`: it does not parse.
pub(super) fn read_assignment(bytes: &[u8], topic: &str) -> Option<Vec<u32>> {
    let mut found = Vec::new();
    if bytes.is_empty() {
        return Some(found);
    }
    let mut reader = Reader::new(bytes);
    reader.i16().ok()?;
    for _ in 0..reader.array_length(false).ok()?? {
        let name = reader.string(false).ok()?;
        for _ in 0..reader.array_length(false).ok()?? {
            let partition = u32::try_from(reader.i32().ok()?).ok()?;
            if name == topic {
                found.push(partition);
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_gets_a_share_and_nothing_is_given_twice() {
        let members = ["c".to_owned(), "a".to_owned(), "b".to_owned()];
        let given = ranges(&members, 7);
        let wanted = [("a", vec![0, 1, 2]), ("b", vec![3, 4]), ("c", vec![5, 6])];
        assert_eq!(given, wanted.map(|(name, range)| (name.to_owned(), range)));
        assert_eq!(ranges(&members, 1)[1].1, Vec::<u32>::new());
    }

    #[test]
    fn an_assignment_comes_back() {
        let bytes = assignment("orders", &[3, 5]);
        assert_eq!(read_assignment(&bytes, "orders"), Some(vec![3, 5]));
        assert_eq!(read_assignment(&bytes, "others"), Some(vec![]));
        assert_eq!(read_assignment(&[], "orders"), Some(vec![]));
        assert_eq!(read_assignment(&bytes[..7], "orders"), None);
    }
}
