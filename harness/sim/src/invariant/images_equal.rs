//! Metadata images are equal at equal offsets: each node's is what replaying the committed records gives.

use super::{Event, Glimpse, Invariant, Kind};

pub struct ImagesEqual;

impl Invariant for ImagesEqual {
    fn name(&self) -> &'static str {
        "images-equal"
    }

    fn source(&self) -> &'static str {
        "Schneider, Implementing Fault-Tolerant Services Using the State Machine Approach; KIP-630 (snapshots are the log)"
    }

    fn sees(&self) -> &'static [Kind] {
        &[Kind::Image]
    }

    fn on_event(&mut self, event: &Event<'_>, glimpse: &Glimpse) -> Result<(), String> {
        let Event::Image { node, offset, digest, expected: Some(expected) } = event else {
            return Ok(());
        };
        if digest == expected {
            return Ok(());
        }
        let image = &glimpse.replay.image;
        Err(format!(
            "n{node}'s metadata at offset {offset} is not what the committed records say (known up to offset {})",
            image.offset
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::replay::digest;
    use crate::invariant::stage::*;

    #[test]
    fn a_node_that_believes_otherwise_is_found() {
        let mut stage = Stage::of(ImagesEqual);
        let image = |digest, expected| Event::Image { node: 2, offset: 9, digest, expected };
        assert_eq!(stage.tell(&image(1, Some(1))), Ok(()));
        assert_eq!(stage.tell(&image(1, None)), Ok(()), "nothing is known of that offset");
        assert!(stage.tell(&image(1, Some(2))).is_err());
    }

    #[test]
    fn equal_images_have_equal_digests_and_others_have_not() {
        let mut stage = Stage::of(ImagesEqual);
        let empty = digest(&stage.invariants.glimpse().replay.image);
        stage.broker(1, false);
        let one = digest(&stage.invariants.glimpse().replay.image.clone());
        assert_eq!(one, digest(&stage.invariants.glimpse().replay.image));
        stage.broker(1, true);
        let fenced = digest(&stage.invariants.glimpse().replay.image);
        assert!(empty != one && one != fenced);
    }
}
