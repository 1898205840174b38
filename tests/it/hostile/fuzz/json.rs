//! Mutations of JSON documents.

use serde_json::{Map, Number, Value, json};

use super::random::Random;

/// Changes one value of `document`, or the keys and elements of one.
pub(super) fn mutate(document: &mut Value, random: &mut Random) {
    let count = count(document);
    let others = document.clone();
    let target = nth(document, random.below(count)).expect("below the count");
    match random.below(6) {
        0 => *target = scalar(random),
        // Graft a value from elsewhere in the document.
        1 => *target = nth(&mut others.clone(), random.below(count)).expect("below the count").clone(),
        _ => change(target, random),
    }
}

fn change(target: &mut Value, random: &mut Random) {
    match target {
        Value::Object(map) if !map.is_empty() => change_object(map, random),
        Value::Array(values) if !values.is_empty() => {
            let at = random.below(values.len());
            match random.below(3) {
                0 => drop(values.remove(at)),
                1 => {
                    let value = values[at].clone();
                    values.extend(std::iter::repeat_n(value, random.below(1000)));
                }
                _ => values[at] = scalar(random),
            }
        }
        Value::String(text) => match random.below(4) {
            0 => text.clear(),
            1 => *text = text.repeat(1 + random.below(1000)),
            2 => {
                const ENDS: [&str; 8] = ["\0", "\n", "\\", "..", "/", "(", "(a*)*{1000}", "\u{1F600}"];
                text.push_str(random.one_of(&ENDS));
            }
            _ => *target = scalar(random),
        },
        Value::Number(number) => {
            let near = number.as_i64().unwrap_or(0).wrapping_add(random.one_of(&[1, -1, 2, 1000]));
            *target = if random.below(2) == 0 { json!(near) } else { scalar(random) };
        }
        _ => *target = scalar(random),
    }
}

fn change_object(map: &mut Map<String, Value>, random: &mut Random) {
    let key = map.keys().nth(random.below(map.len())).expect("below the length").clone();
    match random.below(3) {
        0 => drop(map.remove(&key)),
        1 => {
            let value = map.remove(&key).expect("a key of the map");
            map.insert(key + "x", value);
        }
        _ => drop(map.insert(key, scalar(random))),
    }
}

fn scalar(random: &mut Random) -> Value {
    match random.below(8) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(random.one_of(&[0.5, -0.0, 1e308, 1e-320])),
        3 => json!(["", "a", "<unk>", "../x", "/dev/zero", "\u{0}"][random.below(6)]),
        4 => json!([[[[[]]]]]),
        5 => Value::Number(Number::from(u64::MAX)),
        _ => json!(random.integer()),
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// Value `index` of a document, itself first.
fn nth(value: &mut Value, index: usize) -> Option<&mut Value> {
    if index == 0 {
        return Some(value);
    }
    let mut left = index - 1;
    let values: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(values) => Box::new(values.iter_mut()),
        Value::Object(map) => Box::new(map.values_mut()),
        _ => return None,
    };
    for value in values {
        let count = count(value);
        if left < count {
            return nth(value, left);
        }
        left -= count;
    }
    None
}
