//! Every schedule of `regressions/` once broke the broker; its first lines say what was wrong. None may fail again.

use sim::run::run;
use sim::scenario::Scenario;
use std::fs;
use std::path::Path;

#[test]
fn what_was_broken_once_holds() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let mut paths: Vec<_> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = fs::read_to_string(&path).expect("a schedule");
        assert!(text.starts_with("# "), "{} does not say what was wrong", path.display());
        let scenario: Scenario = toml::from_str(&text).expect("a schedule");
        assert_eq!(scenario.check(), Ok(()), "{}", path.display());
        let outcome = run(&scenario, false);
        assert_eq!(outcome.failure, None, "{}", path.display());
    }
}
