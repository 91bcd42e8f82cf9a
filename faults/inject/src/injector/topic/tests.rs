use super::*;
use crate::topic_admin::Known;
use plan::topic_deed::{NodeList, Word};

/// A topic in memory, of whose partitions all are like the first. A reassignment goes on, and followers delete nothing,
/// until that is finished from outside.
struct Fake {
    partition: Partition,
    count: u32,
    own: Option<String>,
    going_on: bool,
    /// Preferred ones that were asked for.
    elections: u32,
    /// Where the leader's log starts, where its followers' do, and the high watermark.
    starts: (i64, i64),
    end: i64,
    /// By broker, the id by which it knows the topic; what the controller has; and how deletions are answered.
    ids: BTreeMap<i32, u8>,
    dead: Vec<i32>,
    controller: Option<u8>,
    takes_deletions: io::Result<bool>,
}

fn fake() -> Fake {
    let partition = Partition { leader: 2, replicas: vec![1, 2, 3], isr: vec![1, 2, 3] };
    let ids = [1, 2, 3, 4].map(|broker| (broker, 1)).into();
    Fake {
        partition,
        count: 1,
        own: None,
        going_on: false,
        elections: 0,
        starts: (10, 10),
        end: 110,
        ids,
        dead: Vec::new(),
        controller: Some(1),
        takes_deletions: Ok(true),
    }
}

fn id(number: u8) -> TopicId {
    [number; 16]
}

impl TopicAdmin for Fake {
    fn name(&self) -> &str {
        "a-0"
    }

    fn id(&self, node: &str) -> Option<i32> {
        node.strip_prefix('n')?.parse().ok().filter(|id| self.brokers().contains(id))
    }

    fn brokers(&self) -> Vec<i32> {
        vec![1, 2, 3, 4]
    }

    fn is_dead(&self, broker: i32) -> bool {
        self.dead.contains(&broker)
    }

    fn partition(&mut self, _partition: u32) -> io::Result<Partition> {
        Ok(self.partition.clone())
    }

    fn elect_preferred(&mut self, _partition: u32) -> io::Result<()> {
        self.elections += 1;
        Ok(())
    }

    fn elect_unclean(&mut self, _partition: u32) -> io::Result<()> {
        Ok(())
    }

    fn bounds(&mut self, _partition: u32) -> io::Result<(i64, i64)> {
        Ok((self.starts.0, self.end))
    }

    fn delete_records(&mut self, _partition: u32, before: i64) -> io::Result<Option<i64>> {
        self.starts.0 = self.starts.0.max(before);
        Ok((self.starts.1 >= before).then_some(self.starts.1))
    }

    fn partitions(&mut self) -> io::Result<Vec<Partition>> {
        Ok(vec![self.partition.clone(); self.count as usize])
    }

    fn add_partitions(&mut self, total: u32) -> io::Result<()> {
        self.count = total;
        Ok(())
    }

    fn known_to(&mut self, broker: i32) -> io::Result<Option<Known>> {
        let partitions = self.partitions()?;
        match self.ids.get(&broker) {
            Some(0) => Err(io::Error::other("no answer")),
            told => Ok(told.map(|number| Known { id: id(*number), partitions })),
        }
    }

    fn delete(&mut self, which: TopicId) -> io::Result<bool> {
        assert_eq!(self.controller.map(id), Some(which));
        match std::mem::replace(&mut self.takes_deletions, Ok(true)) {
            Ok(true) => self.controller = None,
            other => return other,
        }
        Ok(true)
    }

    fn create(&mut self, partitions: u32) -> io::Result<()> {
        (self.controller, self.count) = (Some(self.controller.unwrap_or(2)), partitions);
        Ok(())
    }

    fn setting(&mut self, key: &str) -> io::Result<Option<Setting>> {
        let value = self.own.clone().unwrap_or("2".to_string());
        Ok((key == "min.insync.replicas").then_some(Setting { value, own: self.own.is_some() }))
    }

    fn set(&mut self, _key: &str, value: Option<&str>) -> io::Result<()> {
        self.own = value.map(str::to_string);
        Ok(())
    }

    fn reassign(&mut self, _partition: u32, replicas: &[i32]) -> io::Result<()> {
        (self.partition.replicas, self.going_on) = (replicas.to_vec(), true);
        Ok(())
    }

    fn is_reassigned(&mut self, _partition: u32) -> io::Result<bool> {
        Ok(self.going_on)
    }
}

fn change(key: &str, value: &str) -> TopicDeed {
    let text = |text| Word::new(text).expect("short");
    TopicDeed::ChangeConfig { key: text(key), value: text(value) }
}

#[test]
fn a_setting_that_was_not_the_topics_own_is_taken_away_again() {
    let (mut changes, mut topic) = (Changes::default(), fake());
    changes.inject(1, "a-0", change("min.insync.replicas", "1"), &mut topic).unwrap();
    let told = changes.in_effect(1, "a-0", &mut topic).unwrap();
    assert_eq!(told, "min.insync.replicas is 1 (was 2)");
    assert!(changes.over(1, "a-0", &mut topic).is_err());
    changes.heal(1, "a-0", &mut topic).unwrap();
    assert_eq!(topic.own, None);
    assert!(changes.over(1, "a-0", &mut topic).unwrap().contains("2 again, no longer its own"));
}

#[test]
fn a_change_that_changes_nothing_is_refused() {
    let (mut changes, mut topic) = (Changes::default(), fake());
    for (deed, why) in [
        (change("min.insync.replicas", "2"), "min.insync.replicas is 2 already"),
        (change("min.insync", "1"), "a topic has no setting `min.insync`"),
        (
            TopicDeed::Reassign {
                to: Replicas::Nodes(NodeList::new(&["n1", "n2", "n3"].map(String::from)).unwrap()),
            },
            "its replicas are 1 2 3 already",
        ),
    ] {
        let part = if deed.changes_settings() { "a-0" } else { "a-0-0" };
        assert_eq!(changes.inject(1, part, deed, &mut topic).unwrap_err().to_string(), why);
        assert!(changes.heal(1, part, &mut topic).is_ok());
        assert_eq!((topic.own.as_ref(), topic.going_on), (None, false));
    }
}

#[test]
fn replicas_are_taken_away_but_the_leader_and_come_back_in_their_order() {
    let (mut changes, mut topic) = (Changes::default(), fake());
    let deed = TopicDeed::Reassign { to: Replicas::Count(1) };
    changes.inject(1, "a-0-0", deed, &mut topic).unwrap();
    assert!(changes.in_effect(1, "a-0-0", &mut topic).unwrap_err().contains("goes on"));
    topic.going_on = false;
    let told = changes.in_effect(1, "a-0-0", &mut topic).unwrap();
    assert_eq!(told, "its replicas are 2 (were 1 2 3)");
    changes.heal(1, "a-0-0", &mut topic).unwrap();
    (topic.going_on, topic.partition.isr) = (false, vec![2]);
    assert!(changes.over(1, "a-0-0", &mut topic).unwrap_err().contains("in sync 2"));
    topic.partition.isr = vec![2, 3, 1];
    assert_eq!(changes.over(1, "a-0-0", &mut topic).unwrap(), "its replicas are 1 2 3 again");
    let more = TopicDeed::Reassign { to: Replicas::Count(4) };
    changes.inject(2, "a-0-0", more, &mut topic).unwrap();
    assert_eq!(topic.partition.replicas, [2, 1, 3, 4], "the leader first, newcomers last");
}

#[test]
fn an_election_is_seen_when_the_first_replica_leads() {
    let (mut changes, mut topic) = (Changes::default(), fake());
    changes.inject(1, "a-0-0", TopicDeed::ElectPreferred, &mut topic).unwrap();
    assert_eq!(changes.in_effect(1, "a-0-0", &mut topic).unwrap_err(), "led by broker 2 (was 2)");
    topic.partition.leader = 1;
    let told = changes.in_effect(1, "a-0-0", &mut topic).unwrap();
    assert_eq!(told, "led by broker 1 (was 2), the first of its replicas 1 2 3");
    assert!(changes.over(1, "a-0-0", &mut topic).is_ok());
    let stranger = changes.inject(2, "b-0", TopicDeed::ElectPreferred, &mut topic).unwrap_err();
    assert_eq!(stranger.to_string(), "b-0 is no log of a-0");
}

#[test]
fn records_are_deleted_up_to_a_share_or_but_for_the_newest_and_over_when_all_replicas_have() {
    for (which, before) in [
        (Oldest::Percent(50), 60),
        (Oldest::Percent(100), 110),
        (Oldest::AllBut(0), 110),
        (Oldest::AllBut(30), 80),
    ] {
        let (mut changes, mut topic) = (Changes::default(), fake());
        changes.inject(1, "a-0-3", TopicDeed::DeleteRecords { which }, &mut topic).unwrap();
        assert_eq!(changes.removed(1, "a-0-3"), Some((3, before)));
        let told = changes.in_effect(1, "a-0-3", &mut topic).unwrap();
        assert_eq!(told, format!("its log starts at {before} (was 10)"));
        changes.heal(1, "a-0-3", &mut topic).unwrap();
        let told = changes.over(1, "a-0-3", &mut topic).unwrap_err();
        assert_eq!(told, format!("not every live replica starts at {before} yet"));
        topic.starts.1 = before;
        assert!(changes.over(1, "a-0-3", &mut topic).is_ok());
        // A leader that had not heard of it is elected.
        topic.starts.0 = 10;
        let told = changes.in_effect(1, "a-0-3", &mut topic).unwrap_err();
        assert_eq!(told, format!("its log starts at 10 (was 10), not at {before}"));
    }
    let (mut changes, mut topic) = (Changes::default(), fake());
    let too_many = TopicDeed::DeleteRecords { which: Oldest::AllBut(100) };
    let error = changes.inject(1, "a-0-3", too_many, &mut topic).unwrap_err();
    assert_eq!(error.to_string(), "it holds 10 to 110: nothing of it is to go");
    assert_eq!((topic.starts.0, changes.removed(1, "a-0-3")), (10, None));
}

#[test]
fn new_partitions_are_there_when_all_of_them_are_led_and_in_sync() {
    let (mut changes, mut topic) = (Changes::default(), fake());
    changes.inject(1, "a-0", TopicDeed::AddPartitions { count: 2 }, &mut topic).unwrap();
    assert_eq!(changes.grown(1, "a-0"), Some(3));
    topic.partition.isr = vec![2];
    let told = changes.in_effect(1, "a-0", &mut topic).unwrap_err();
    assert_eq!(told, "it has 3 partitions (had 1), and partition 1 has leader 2, in sync 2");
    topic.partition.isr = vec![2, 1, 3];
    let told = changes.in_effect(1, "a-0", &mut topic).unwrap();
    assert_eq!(told, "it has 3 partitions (had 1), the new ones led and in sync");
    assert_eq!(changes.over(1, "a-0", &mut topic), Ok(told));
    topic.count = 1;
    let told = changes.in_effect(1, "a-0", &mut topic).unwrap_err();
    assert_eq!(told, "it has 1 partitions (had 1)");
}

#[test]
fn an_unclean_election_is_for_partitions_that_nobody_leads() {
    let (mut changes, mut topic) = (Changes::default(), fake());
    let refused = changes.inject(1, "a-0-0", TopicDeed::ElectUnclean, &mut topic).unwrap_err();
    assert_eq!(refused.to_string(), "broker 2 leads it");
    (topic.partition.leader, topic.partition.isr) = (-1, vec![2]);
    changes.inject(1, "a-0-0", TopicDeed::ElectUnclean, &mut topic).unwrap();
    assert_eq!(changes.in_effect(1, "a-0-0", &mut topic).unwrap_err(), "it has no leader");
    topic.partition.leader = 3;
    let told = changes.in_effect(1, "a-0-0", &mut topic).unwrap();
    assert_eq!(told, "led by broker 3 (by nobody before; in sync was 2)");
    assert!(changes.over(1, "a-0-0", &mut topic).is_ok());
}

#[test]
fn a_topic_is_made_anew_once_nobody_knows_the_old_one_and_seen_when_everybody_knows_the_new_one() {
    let (mut changes, mut topic) = (Changes::default(), fake());
    topic.count = 3;
    changes.inject(1, "a-0", TopicDeed::Recreate, &mut topic).unwrap();
    assert!(changes.is_deleted(1, "a-0") && changes.anew(1, "a-0").is_none());
    assert_eq!((topic.controller, topic.count), (None, 3));
    topic.ids.retain(|broker, _| *broker == 3);
    let told = changes.in_effect(1, "a-0", &mut topic).unwrap_err();
    assert_eq!((told.as_str(), topic.controller), ("broker 3 still knows the deleted topic", None));
    // One that does not answer holds nothing up but the end.
    topic.ids = [(4, 0)].into();
    let told = changes.in_effect(1, "a-0", &mut topic).unwrap_err();
    assert_eq!(told, "no broker knows the new topic yet");
    assert_eq!((topic.controller, topic.count), (Some(2), 3), "with as many partitions");
    topic.ids = [(1, 2), (2, 2), (3, 2), (4, 0)].into();
    let told = changes.in_effect(1, "a-0", &mut topic).unwrap_err();
    assert_eq!(told, "broker 4 does not say: no answer");
    // It is back, and has not heard of the deletion.
    topic.ids.insert(4, 1);
    let told = changes.in_effect(1, "a-0", &mut topic).unwrap_err();
    assert_eq!(told, "broker 4 still knows the deleted topic");
    topic.ids.insert(4, 2);
    topic.partition.isr = vec![2];
    let told = changes.in_effect(1, "a-0", &mut topic).unwrap_err();
    assert_eq!(told, "on broker 1 a partition of the new topic has leader 2, in sync 2");
    topic.partition.isr = vec![1, 2, 3];
    assert_eq!(changes.anew(1, "a-0"), None);
    let told = changes.in_effect(1, "a-0", &mut topic).unwrap();
    assert_eq!(told, "every broker knows it as 02020202 (was 01010101)");
    assert_eq!(changes.anew(1, "a-0"), Some(id(2)));
    changes.heal(1, "a-0", &mut topic).unwrap();
    assert_eq!(changes.over(1, "a-0", &mut topic), Ok(told));
}

#[test]
fn a_dead_broker_is_not_waited_for_until_it_is_back() {
    let (mut changes, mut topic) = (Changes::default(), fake());
    changes.inject(1, "a-0", TopicDeed::Recreate, &mut topic).unwrap();
    topic.dead = vec![3];
    topic.ids = [(1, 2), (2, 2), (4, 2), (3, 0)].into();
    topic.partition.isr = vec![1, 2];
    let told = changes.in_effect(1, "a-0", &mut topic).unwrap();
    assert_eq!(told, "every broker but 3, dead, knows it as 02020202 (was 01010101)");
    topic.dead = Vec::new();
    topic.ids.insert(3, 1);
    let told = changes.over(1, "a-0", &mut topic).unwrap_err();
    assert_eq!(told, "broker 3 still knows the deleted topic");
    topic.dead = vec![1, 2, 3, 4];
    assert_eq!(changes.over(1, "a-0", &mut topic).unwrap_err(), "no broker runs");
}

#[test]
fn a_deletion_that_is_refused_is_none_and_one_of_which_nobody_heard_is_asked_for_again() {
    let (mut changes, mut topic) = (Changes::default(), fake());
    topic.takes_deletions = Err(io::Error::other("TOPIC_DELETION_DISABLED"));
    assert!(changes.inject(1, "a-0", TopicDeed::Recreate, &mut topic).is_err());
    assert!(!changes.is_deleted(1, "a-0"));
    assert_eq!(changes.over(1, "a-0", &mut topic).unwrap(), "nothing was asked of it");
    topic.takes_deletions = Ok(false);
    changes.inject(2, "a-0", TopicDeed::Recreate, &mut topic).unwrap();
    assert!(changes.is_deleted(2, "a-0") && topic.controller.is_some());
    assert!(
        changes.over(2, "a-0", &mut topic).unwrap_err().ends_with("still knows the deleted topic")
    );
    assert_eq!(topic.controller, None);
    topic.ids = [1, 2, 3, 4].map(|broker| (broker, 0)).into();
    let nobody = changes.inject(3, "a-0", TopicDeed::Recreate, &mut topic).unwrap_err();
    assert_eq!(nobody.to_string(), "no answer");
    topic.ids = BTreeMap::new();
    let gone = changes.inject(3, "a-0", TopicDeed::Recreate, &mut topic).unwrap_err();
    assert_eq!(gone.to_string(), "no broker knows the topic");
}

#[test]
fn who_was_to_lead_and_fell_behind_is_replaced() {
    let (mut changes, mut topic) = (Changes::default(), fake());
    topic.partition.isr = vec![1, 2, 3];
    changes.inject(1, "a-0-0", TopicDeed::TransferLeadership, &mut topic).unwrap();
    let _ = changes.in_effect(1, "a-0-0", &mut topic);
    assert_eq!(topic.partition.replicas, [1, 2, 3]);
    topic.partition.isr = vec![2, 3];
    let _ = changes.in_effect(1, "a-0-0", &mut topic);
    assert_eq!(topic.partition.replicas, [3, 1, 2]);
    (topic.going_on, topic.partition.leader) = (false, 3);
    assert!(changes.in_effect(1, "a-0-0", &mut topic).is_ok());
    topic.partition.isr = vec![2];
    topic.partition.leader = 2;
    let error = changes.in_effect(1, "a-0-0", &mut topic).unwrap_err();
    assert_eq!(error, "no other replica of it is in sync");
}

#[test]
fn leadership_goes_to_another_replica_in_sync_and_the_order_comes_back() {
    let (mut changes, mut topic) = (Changes::default(), fake());
    topic.partition.isr = vec![3, 2];
    changes.inject(1, "a-0-0", TopicDeed::TransferLeadership, &mut topic).unwrap();
    assert!(changes.in_effect(1, "a-0-0", &mut topic).unwrap_err().contains("goes on"));
    assert_eq!((topic.partition.replicas.as_slice(), topic.elections), ([3, 1, 2].as_slice(), 0));
    topic.going_on = false;
    let told = changes.in_effect(1, "a-0-0", &mut topic).unwrap_err();
    assert_eq!(told, "led by broker 2 (was 2), its replicas are 3 1 2 (were 1 2 3)");
    assert_eq!(topic.elections, 1, "it is elected by whoever sees that it does not lead");
    topic.partition.leader = 3;
    let told = changes.in_effect(1, "a-0-0", &mut topic).unwrap();
    assert_eq!(told, "led by broker 3 (was 2), its replicas are 3 1 2 (were 1 2 3)");
    assert!(changes.over(1, "a-0-0", &mut topic).is_err());
    changes.heal(1, "a-0-0", &mut topic).unwrap();
    topic.going_on = false;
    assert_eq!(changes.over(1, "a-0-0", &mut topic).unwrap(), "its replicas are 1 2 3 again");
    for (leader, isr, why) in
        [(-1, vec![1], "it has no leader"), (2, vec![2], "no other replica of it is in sync")]
    {
        (topic.partition.leader, topic.partition.isr) = (leader, isr);
        let error = changes.inject(2, "a-0-0", TopicDeed::TransferLeadership, &mut topic);
        assert_eq!(error.unwrap_err().to_string(), why);
    }
}
