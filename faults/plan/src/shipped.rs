//! The plans and recipes that come with the program.

use crate::raw::RecipeFile;

/// A plan that comes with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShippedPlan {
    pub name: &'static str,
    /// The file's text.
    pub text: &'static str,
    /// The seeded defect that it provokes.
    pub defect: Option<&'static str>,
}

/// The plan of a bare `highwater run`.
pub const DEFAULT_PLAN: &str = "acked-writes-survive";

/// The plan of a bare `highwater compare`.
pub const DEFAULT_COMPARISON: &str = "acks-and-min-insync";

/// Every shipped plan.
pub const PLANS: [ShippedPlan; 17] = [
    ShippedPlan {
        name: "acked-writes-survive",
        text: include_str!("../plans/acked-writes-survive.toml"),
        defect: None,
    },
    ShippedPlan {
        name: "acks-and-min-insync",
        text: include_str!("../plans/acks-and-min-insync.toml"),
        defect: None,
    },
    ShippedPlan { name: "groups", text: include_str!("../plans/groups.toml"), defect: None },
    ShippedPlan {
        name: "transactions",
        text: include_str!("../plans/transactions.toml"),
        defect: None,
    },
    ShippedPlan {
        name: "power-cut-on-all",
        text: include_str!("../plans/power-cut-on-all.toml"),
        defect: None,
    },
    ShippedPlan { name: "smoke", text: include_str!("../plans/smoke.toml"), defect: None },
    ShippedPlan {
        name: "leader-cut-from-followers",
        text: include_str!("../plans/leader-cut-from-followers.toml"),
        defect: None,
    },
    ShippedPlan {
        name: "leader-cut-from-controller",
        text: include_str!("../plans/leader-cut-from-controller.toml"),
        defect: None,
    },
    ShippedPlan {
        name: "one-follower-link-cut",
        text: include_str!("../plans/one-follower-link-cut.toml"),
        defect: None,
    },
    ShippedPlan {
        name: "zombie-leader",
        text: include_str!("../plans/zombie-leader.toml"),
        defect: None,
    },
    ShippedPlan {
        name: "rolling-restart",
        text: include_str!("../plans/rolling-restart.toml"),
        defect: None,
    },
    ShippedPlan {
        name: "followers-slowed-leader-killed",
        text: include_str!("../plans/followers-slowed-leader-killed.toml"),
        defect: None,
    },
    ShippedPlan {
        name: "response-lost",
        text: include_str!("../plans/response-lost.toml"),
        defect: None,
    },
    ShippedPlan {
        name: "defect-ack-before-isr",
        text: include_str!("../plans/defect-ack-before-isr.toml"),
        defect: Some("ack-before-isr"),
    },
    ShippedPlan {
        name: "defect-truncate-to-high-watermark",
        text: include_str!("../plans/defect-truncate-to-high-watermark.toml"),
        defect: Some("truncate-to-high-watermark"),
    },
    ShippedPlan {
        name: "defect-no-epoch-fencing",
        text: include_str!("../plans/defect-no-epoch-fencing.toml"),
        defect: Some("no-epoch-fencing"),
    },
    ShippedPlan {
        name: "defect-forget-producer-state",
        text: include_str!("../plans/defect-forget-producer-state.toml"),
        defect: Some("forget-producer-state"),
    },
];

/// A shipped plan by its name.
pub fn plan(name: &str) -> Option<&'static ShippedPlan> {
    PLANS.iter().find(|plan| plan.name == name)
}

/// The plan that provokes a seeded defect.
pub fn plan_for_defect(defect: &str) -> Option<&'static ShippedPlan> {
    PLANS.iter().find(|plan| plan.defect == Some(defect))
}

const RECIPES: [(&str, &str); 6] = [
    ("starve-followers-kill-leader", include_str!("../recipes/starve-followers-kill-leader.toml")),
    ("shrink-isr-wipe-leader", include_str!("../recipes/shrink-isr-wipe-leader.toml")),
    ("fail-over-twice", include_str!("../recipes/fail-over-twice.toml")),
    ("zombie-leader-returns", include_str!("../recipes/zombie-leader-returns.toml")),
    ("kill-leader-mid-retry", include_str!("../recipes/kill-leader-mid-retry.toml")),
    ("fence-leader-let-it-return", include_str!("../recipes/fence-leader-let-it-return.toml")),
];

/// Names and descriptions of the shipped recipes, for `highwater list recipes`.
pub fn recipes() -> Vec<(String, String)> {
    let about = |(_, text): &(&str, &str)| {
        let file: RecipeFile = toml::from_str(text).expect("shipped recipes parse: tested");
        (file.name, file.about)
    };
    RECIPES.iter().map(about).collect()
}

/// A shipped recipe's text.
pub(crate) fn recipe(name: &str) -> Option<RecipeFile> {
    let (_, text) = RECIPES.iter().find(|(known, _)| *known == name)?;
    Some(toml::from_str(text).expect("shipped recipes parse: tested"))
}

/// The names of the shipped recipes.
pub(crate) fn recipe_names() -> impl Iterator<Item = &'static str> {
    RECIPES.iter().map(|(name, _)| *name)
}
