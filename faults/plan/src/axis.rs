//! Settings by path, for `--set` and for the axes of a matrix: `topic.partitions`, `recipe.0.name`, or a short name.

use toml::{Table, Value};

/// Short names for the settings that people compare.
pub const SHORT: [(&str, &str); 13] = [
    ("acks", "workload.acks"),
    ("controllers", "target.controllers"),
    ("flush", "topic.flush"),
    ("idempotence", "workload.idempotence"),
    ("kafka_home", "target.kafka_home"),
    ("min_insync", "topic.min_insync_replicas"),
    ("min_insync_replicas", "topic.min_insync_replicas"),
    ("profile", "target.profile"),
    ("rate", "workload.rate"),
    ("recipe", "recipe.0.name"),
    ("replication_factor", "topic.replication_factor"),
    ("target", "target.kind"),
    ("unclean", "topic.unclean"),
];

/// A value as the command line gives it: TOML where it is TOML, text otherwise.
pub fn value_of(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}"));
    let value = parsed.ok().and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| Value::String(text.to_string()))
}

/// The full path of a setting.
pub fn path_of(name: &str) -> String {
    let short = SHORT.iter().find(|(short, _)| *short == name);
    short.map_or(name, |(_, path)| path).to_string()
}

/// Sets the value at a path, making tables on the way; answers the full path, or why it can't.
pub fn set(table: &mut Table, name: &str, value: Value) -> Result<String, String> {
    let path = path_of(name);
    // A property's own name has dots: everything behind `properties.` is one key.
    let parts: Vec<&str> = match path.split_once(".properties.") {
        Some((section, property)) => vec![section, "properties", property],
        None => path.split('.').collect(),
    };
    if parts.iter().any(|part| part.is_empty()) {
        return Err(format!("`{name}` is not the path of a setting, such as topic.partitions"));
    }
    let mut at = parts[0];
    let (last, between) = parts.split_last().expect("splitting gives at least one part");
    let mut place: &mut Value = match between.split_first() {
        None => {
            table.insert(path.clone(), value);
            return Ok(path);
        }
        Some((first, _)) => table.entry(*first).or_insert_with(|| Value::Table(Table::new())),
    };
    for &part in &between[1..] {
        place = child(place, part).ok_or_else(|| missing(name, at, part))?;
        at = part;
    }
    match place {
        Value::Table(inner) => {
            inner.insert(last.to_string(), value);
        }
        place => *child(place, last).ok_or_else(|| missing(name, at, last))? = value,
    }
    Ok(path)
}

fn child<'a>(place: &'a mut Value, part: &str) -> Option<&'a mut Value> {
    match place {
        Value::Table(table) => {
            Some(table.entry(part).or_insert_with(|| Value::Table(Table::new())))
        }
        Value::Array(array) => part.parse().ok().and_then(|at: usize| array.get_mut(at)),
        _ => None,
    }
}

fn missing(name: &str, at: &str, part: &str) -> String {
    format!("`{name}`: the plan has no `{part}` in `{at}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_set_by_path_and_by_short_name() {
        let mut table: Table = toml::from_str("[[recipe]]\nname = \"a\"\n").unwrap();
        assert_eq!(set(&mut table, "acks", value_of("1")), Ok("workload.acks".to_string()));
        assert_eq!(set(&mut table, "recipe", value_of("b")), Ok("recipe.0.name".to_string()));
        set(&mut table, "target.properties.log.dirs", value_of("/x")).unwrap();
        let expected: Table = toml::from_str(
            "[workload]\nacks = 1\n[[recipe]]\nname = \"b\"\n[target.properties]\n\"log.dirs\" = \"/x\"\n",
        )
        .unwrap();
        assert_eq!(table, expected);
        assert!(set(&mut table, "recipe.4.name", value_of("b")).is_err());
        assert!(set(&mut table, "workload.acks.deep", value_of("b")).is_err());
        assert!(set(&mut table, "workload..acks", value_of("b")).is_err());
    }

    #[test]
    fn a_value_is_toml_where_it_can_be() {
        assert_eq!(value_of("12"), Value::Integer(12));
        assert_eq!(value_of("true"), Value::Boolean(true));
        assert_eq!(value_of("10000/s"), Value::String("10000/s".to_string()));
        assert_eq!(value_of("all"), Value::String("all".to_string()));
        assert_eq!(value_of("1\nschema = 2"), Value::Integer(1));
    }
}
