use super::*;
use bytes::Bytes;

fn mercy(survives_percent: u8) -> Mercy {
    Mercy { survives_percent, sector_bytes: 512 }
}

fn whole(content: &Content) -> Bytes {
    content.read(0, u64::MAX)
}

/// What is in a file, after a power cut, for each of many seeds.
fn outcomes(file: &File, survives_percent: u8) -> Vec<Bytes> {
    let outcome = |seed| {
        let mut file = file.clone();
        file.power_loss(mercy(survives_percent), &mut Random::new(seed, "power"));
        assert!(!file.is_unsynced());
        assert_eq!(whole(file.cached()), whole(file.durable()));
        whole(file.cached())
    };
    (0..500).map(outcome).collect()
}

fn synced(data: &[u8]) -> File {
    let mut file = File::default();
    file.write(0, [data]);
    file.sync();
    file
}

#[test]
fn the_extremes_keep_nothing_or_everything() {
    let mut file = synced(&[1; 6_000]);
    file.write(5_000, [&[2; 9_000][..]]);
    assert!(outcomes(&file, 0).iter().all(|after| *after == vec![1; 6_000]));
    assert!(outcomes(&file, 100).iter().all(|after| *after == whole(file.cached())));
    file.set_len(3_000);
    assert!(outcomes(&file, 0).iter().all(|after| *after == vec![1; 6_000]));
    assert!(outcomes(&file, 100).iter().all(|after| *after == vec![1; 3_000]));
}

#[test]
fn a_torn_append_keeps_what_was_synced_and_any_of_its_sectors() {
    let mut file = synced(&[1; 700]);
    file.write(700, [&[2; 2_000][..]]);
    let after = outcomes(&file, 50);
    for outcome in &after {
        assert!((700..=2_700).contains(&outcome.len()));
        assert_eq!(outcome[..700], [1; 700]);
        for sector in outcome[700..].chunk_by(|a, b| a == b) {
            assert!(sector[0] == 0 || sector[0] == 2);
        }
    }
    let seen = |what: &dyn Fn(&Bytes) -> bool| after.iter().any(what);
    assert!(seen(&|after| after.len() == 700), "nothing");
    assert!(seen(&|after| after.len() == 2_700 && after[700..] == [2; 2_000]), "everything");
    assert!(seen(&|after| after.len() == 2_700 && after[700..] == [0; 2_000]), "the length alone");
    assert!(
        seen(&|after| after.len() == 2_700 && after[1_024] == 0 && after[2_699] == 2),
        "the end without the middle"
    );
    assert!(
        seen(&|after| after.len() == 2_700 && after[1_023] == 2 && after[1_024] == 0),
        "the beginning without the end"
    );
}

#[test]
fn a_sector_may_hold_the_first_of_the_appends_that_filled_it() {
    let mut file = synced(b"");
    file.write(0, [&[1; 100][..]]);
    file.write(100, [&[2; 100][..]]);
    let torn = [[1; 100], [0; 100]].concat();
    let after = outcomes(&file, 50);
    assert!(after.iter().any(|after| *after == torn));
    // Bytes are never torn inside one append to one sector.
    for outcome in after.iter().filter(|after| after.len() == 200) {
        assert!(outcome[100..] == [0; 100] || outcome[100..] == [2; 100]);
    }
}

#[test]
fn a_cut_that_was_not_synced_may_be_undone_but_not_by_halves() {
    let mut file = synced(&[1; 20_000]);
    file.set_len(5_000);
    file.write(5_000, [&[2; 7_000][..]]);
    let (mut undone, mut mixed, mut held) = (0, 0, 0);
    for outcome in outcomes(&file, 50) {
        assert_eq!(outcome[..5_000], [1; 5_000]);
        if outcome.len() == 20_000 {
            undone += 1;
            assert_eq!(outcome[8_192..], [1; 20_000 - 8_192], "pages behind the cut are old");
            mixed += u32::from(outcome[5_000..8_192].contains(&2));
        } else {
            held += 1;
            assert!(outcome.len() <= 12_000);
            assert!(!outcome[5_000..].contains(&1), "bytes behind the cut came back");
        }
    }
    assert!(undone > 50 && mixed > 10 && held > 50, "{undone} {mixed} {held}");
}

#[test]
fn the_page_of_a_cut_may_be_cleared_before_the_cut_is_durable() {
    let mut file = synced(&[1; 20_000]);
    file.set_len(5_000);
    let is_so = |after: &Bytes| after.len() == 20_000 && after[5_000..].contains(&0);
    assert!(outcomes(&file, 50).iter().any(is_so));
}

#[test]
fn one_growth_may_end_where_a_page_does() {
    let mut file = synced(&[1; 100]);
    file.write(100, [&[2; 20_000][..]]);
    let lens: BTreeSet<usize> = outcomes(&file, 50).iter().map(Bytes::len).collect();
    assert_eq!(lens, BTreeSet::from([100, 4_096, 8_192, 12_288, 16_384, 20_100]));
}

#[test]
fn a_failed_sync_drops_what_was_dirty_and_keeps_the_length() {
    let mut file = synced(&[1; 5_000]);
    file.write(5_000, [&[2; 100][..]]);
    file.write(0, [&[2; 10][..]]);
    file.drop_dirty();
    let dropped = [&[1; 5_000][..], &[0; 100]].concat();
    assert_eq!(whole(file.cached()), dropped);
    file.sync();
    assert_eq!(whole(file.durable()), dropped);
}

#[test]
fn a_failed_sync_after_a_cut_does_not_bring_back_what_was_cut() {
    let mut file = synced(&[1; 5_000]);
    file.set_len(1_000);
    file.write(1_000, [&[2; 3_000][..]]);
    file.drop_dirty();
    assert_eq!(whole(file.cached()), [&[1; 1_000][..], &[0; 3_000]].concat());
}

#[test]
fn rot_hits_both_versions() {
    let mut file = synced(&[0; 100]);
    file.rot(50, 3);
    assert_eq!(file.cached().read(50, 1)[0], 8);
    assert_eq!(whole(file.cached()), whole(file.durable()));
}

/// All that a file was since its last sync, to hold the outcomes of a power cut against.
struct Past {
    /// Whole contents, the synced one first.
    versions: Vec<Vec<u8>>,
}

impl Past {
    /// Every sector is, up to the new length, what it was at some moment, or was never written.
    fn assert_explains(&self, after: &[u8]) {
        let (first, last) = (&self.versions[0], self.versions.last().unwrap());
        let shortest = self.versions.iter().map(Vec::len).min().unwrap();
        let longest = self.versions.iter().map(Vec::len).max().unwrap();
        assert!((shortest..=longest).contains(&after.len()), "{} bytes", after.len());
        for (index, sector) in after.chunks(512).enumerate() {
            let start = index * 512;
            let padded = |version: &[u8], end: usize| {
                let end = end.min(version.len()).max(start.min(version.len()));
                let mut bytes = version[start.min(version.len())..end].to_vec();
                bytes.resize(sector.len(), 0);
                bytes.truncate(sector.len());
                bytes
            };
            let of_version = |version: &Vec<u8>| padded(version, start + 512) == sector;
            // Lost, behind a cut that survived.
            let lost = padded(first, shortest) == sector;
            assert!(
                lost || self.versions.iter().any(of_version),
                "sector {index} of {} bytes was never so (now {} bytes)",
                after.len(),
                last.len()
            );
        }
    }
}

#[test]
fn every_outcome_is_made_of_sectors_that_once_were() {
    for seed in 0..3_000 {
        let mut random = Random::new(seed, "history");
        let mut file = File::default();
        let mut past = Past { versions: vec![Vec::new()] };
        for step in 1..=random.below(12) + 1 {
            match random.below(10) {
                0..=5 => {
                    let data = vec![step as u8; random.below(3_000) as usize];
                    file.write(file.len(), [&data[..]]);
                }
                6 => {
                    let at = random.below(file.len() + 1);
                    file.write(at, [&vec![step as u8; random.below(900) as usize][..]]);
                }
                7 => file.set_len(random.below(file.len() + 1)),
                8 => file.set_len(file.len() + random.below(2_000)),
                _ => {
                    file.sync();
                    past.versions.clear();
                    assert!(!file.is_unsynced());
                }
            }
            past.versions.push(whole(file.cached()).to_vec());
        }
        let percent = [10, 50, 90][random.below(3) as usize];
        file.power_loss(mercy(percent), &mut random);
        past.assert_explains(&whole(file.cached()));
        assert_eq!(whole(file.cached()), whole(file.durable()));
    }
}

#[test]
fn clean_pages_are_equal_in_both_versions() {
    for seed in 0..300 {
        let mut random = Random::new(seed, "pages");
        let mut file = File::default();
        for _ in 0..60 {
            match random.below(8) {
                0..=3 => {
                    let at = random.below(file.len() + 500);
                    file.write(
                        at,
                        [&vec![random.next() as u8 | 1; random.below(6_000) as usize][..]],
                    );
                }
                4 => file.set_len(random.below(file.len() + 9_000)),
                5 => file.drop_dirty(),
                _ => file.sync(),
            }
            for page in file.clean_pages() {
                let same = file.cached.page(page) == file.durable.page(page);
                assert!(same, "page {page}");
            }
        }
    }
}
