//! What a cut takes and what it leaves, on a real ext4 in a namespace of this test's own.

use super::*;
use crate::net::World;
use crate::undo::tests::eventually;
use std::io::Write;

/// A directory in which disks can be made, in a mount namespace of this thread's own; none where that needs more rights.
fn place() -> Option<tempfile::TempDir> {
    let directory = tempfile::tempdir().expect("a directory");
    if let Err(why) = can_make(directory.path()) {
        eprintln!("skipped: {why}");
        return None;
    }
    World::enter().expect("root may");
    Some(directory)
}

fn write(path: &Path, bytes: &[u8], sync: bool) {
    let mut file = File::create(path).expect("a file");
    file.write_all(bytes).expect("written");
    if sync {
        file.sync_all().expect("synced");
        File::open(path.parent().expect("a parent")).and_then(|d| d.sync_all()).expect("synced");
    }
}

#[test]
fn what_was_synced_survives_a_cut_and_what_was_not_is_gone() {
    let Some(place) = place() else { return };
    let (image, data) = (place.path().join("disk.img"), place.path().join("data"));
    let mut disk = Disk::make(&image, &data, 64 << 20).expect("a disk");
    assert!(fs::read_dir(&data).expect("readable").next().is_none(), "an empty directory");
    write(&data.join("synced"), &[1; 100_000], true);
    write(&data.join("lazy"), &[2; 100_000], false);
    assert!(disk.has_power());
    disk.cut().expect("cut");
    assert!(!disk.has_power());
    assert!(File::create(data.join("late")).is_err(), "nothing works without power");
    let left = disk.restore().expect("mounted again");
    assert!(left.contains("were there again"), "{left}");
    assert_eq!(fs::read(data.join("synced")).expect("it was synced"), [1; 100_000]);
    let lazy = fs::read(data.join("lazy")).unwrap_or_default();
    assert!(lazy.iter().all(|byte| *byte == 0), "unsynced bytes came back");
    // Twice over.
    write(&data.join("again"), b"x", false);
    disk.cut().expect("cut again");
    disk.restore().expect("and again");
    assert!(fs::read(data.join("again")).unwrap_or_default().iter().all(|byte| *byte == 0));
    write(&data.join("kept"), b"whole", false);
    disk.cut().expect("cut a last time");
    disk.keep().expect("kept");
    assert_eq!(fs::read(data.join("synced")).expect("a plain file now"), [1; 100_000]);
    assert!(!image.exists());
    fs::remove_dir_all(&data).expect("nothing is mounted there");
    let disk = Disk::make(&image, &data, 64 << 20).expect("another disk");
    drop(disk);
    assert!(!image.exists() && fs::read_dir(&data).expect("readable").next().is_none());
}

#[test]
fn a_disk_in_use_is_not_mended_behind_somebodys_back() {
    let Some(place) = place() else { return };
    let (image, data) = (place.path().join("disk.img"), place.path().join("data"));
    let mut disk = Disk::make(&image, &data, 64 << 20).expect("a disk");
    let open = File::create(data.join("open")).expect("a file");
    disk.cut().expect("cut");
    let error = disk.restore().expect_err("somebody has a file open there").to_string();
    assert!(error.contains("target is busy"), "{error}");
    drop(open);
    disk.restore().expect("now it goes");
}

#[test]
fn a_directory_that_is_no_such_disk_is_left_alone() {
    let place = tempfile::tempdir().expect("a directory");
    let disk_of = |directory: &Path| Disk {
        image: place.path().join("none"),
        directory: directory.to_path_buf(),
        bytes_at_cut: None,
        ballast: None,
        filled_by: BTreeSet::new(),
    };
    let mut disk = disk_of(&place.path().join("missing"));
    assert!(disk.cut().is_err());
    assert_eq!(disk.restore().expect("nothing to do"), "its power was never cut");
}

#[test]
fn a_full_disk_says_so_to_everybody_until_the_last_fault_is_over() {
    let Some(place) = place() else { return };
    let (image, data) = (place.path().join("disk.img"), place.path().join("data"));
    let mut disk = Disk::make(&image, &data, 64 << 20).expect("a disk");
    write(&data.join("before"), &[1; 1 << 20], true);
    let mut open = File::options().append(true).open(data.join("before")).expect("a file");
    assert!(disk.space().expect("told").0);
    // The first one in is the first one out, and then the other way round.
    for (first_out, last_out) in [(1, 2), (2, 1)] {
        disk.fill(1).expect("filled");
        disk.fill(2).expect("filled");
        let (has_space, words) = disk.space().expect("told");
        assert!(!has_space && words.contains("No space left on device"), "{words}");
        let error = open.write_all(&[2; 1 << 20]).expect_err("there is no space");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(fs::read(data.join("before")).expect("reads go on").starts_with(&[1; 1 << 20]));
        assert_eq!(disk.free(first_out), [last_out]);
        assert!(!disk.space().expect("told").0);
        assert!(disk.free(last_out).is_empty());
        // The children of other tests have the ballast open until they run their programs.
        eventually(|| disk.space().expect("told").0);
        open.write_all(&[2; 1 << 20]).expect("there is space again");
    }
    // What is deleted on a full disk can be filled again, and power does not end it.
    disk.fill(3).expect("filled");
    drop(open);
    fs::remove_file(data.join("before")).expect("deleted");
    eventually(|| disk.space().expect("told").0);
    disk.cut().expect("cut");
    disk.restore().expect("mounted again");
    let (has_space, words) = disk.space().expect("told");
    assert!(!has_space, "{words}");
    disk.free(3);
    disk.keep().expect("nothing holds it");
}
