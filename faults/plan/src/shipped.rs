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

/// A file of `plans/` or `recipes/` by its name.
macro_rules! file {
    ($directory:literal, $name:literal) => {
        include_str!(concat!("../", $directory, "/", $name, ".toml"))
    };
}

macro_rules! plans {
    ($($name:literal)* ; $($defect:literal)*) => {
        &[
            $(ShippedPlan { name: $name, text: file!("plans", $name), defect: None },)*
            // Each is made to provoke the defect that it is named after.
            $(ShippedPlan {
                name: concat!("defect-", $defect),
                text: include_str!(concat!("../plans/defect-", $defect, ".toml")),
                defect: Some($defect),
            },)*
        ]
    };
}

/// Every shipped plan, in the order in which they are listed.
pub const PLANS: &[ShippedPlan] = plans![
    "acked-writes-survive"
    "acks-and-min-insync"
    "everything-at-random"
    "smoke"
    "groups"
    "transactions"
    "exactly-once"
    "leader-cut-from-followers"
    "leader-cut-from-controller"
    "one-follower-link-cut"
    "zombie-leader"
    "rolling-restart"
    "rolling-upgrade"
    "quorum-majority-lost"
    "unclean-election"
    "last-in-sync-wiped"
    "power-cut-on-all"
    "tail-lost-elected-first"
    "disk-full"
    "old-snapshot"
    "followers-slowed-leader-killed"
    "clocks-apart"
    "response-lost"
    "reassignment-with-a-kill"
    ;
    "ack-before-isr"
    "truncate-to-high-watermark"
    "no-epoch-fencing"
    "forget-producer-state"
];

/// A shipped plan by its name.
pub fn plan(name: &str) -> Option<&'static ShippedPlan> {
    PLANS.iter().find(|plan| plan.name == name)
}

/// The plan that provokes a seeded defect.
pub fn plan_for_defect(defect: &str) -> Option<&'static ShippedPlan> {
    PLANS.iter().find(|plan| plan.defect == Some(defect))
}

macro_rules! recipes {
    ($($name:literal)*) => { &[$(($name, file!("recipes", $name)),)*] };
}

const RECIPES: &[(&str, &str)] = recipes![
    "starve-followers-kill-leader"
    "shrink-isr-wipe-leader"
    "fail-over-twice"
    "zombie-leader-returns"
    "kill-leader-mid-retry"
    "fence-leader-let-it-return"
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
