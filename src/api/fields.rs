//! How a request is read, from JSON or from a query string: an object whose fields may all be absent or null.
//!
//! Serde's derive covers none of three things that the contract promises: a field that is null keeps its default, whatever that
//! default is; a list is not taken for an object; and an object that is put together from parts (`flatten`) still
//! names the path of the value at fault. So request types list their fields with [`fields!`] and are read by one visitor. The
//! values are read by [`FieldValue`].

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::value::FieldValue;

/// A request or a part of one, which can be filled field by field.
pub(crate) trait Fields: Default {
    /// The names of all fields, those of its parts included.
    fn names() -> Vec<&'static str>;

    /// `key`, if it is one of [`Self::names`]. It takes no memory, because every key of every request is looked up.
    fn find(key: &str) -> Option<&'static str>;

    /// Sets the field `name`, one of [`Self::names`], unless `value` is null.
    ///
    /// # Errors
    /// When the value is not of the field's type.
    fn read<'de, D: Deserializer<'de>>(&mut self, name: &str, value: D) -> Result<(), D::Error>;
}

/// Implements [`Fields`] and `Deserialize` for a struct: its own fields in braces, then the parts whose fields stand beside them
/// in the object. A field that is left out does not compile.
macro_rules! fields {
    ($type:ident { $($own:ident),* $(,)? } $(+ $part:ident: $part_type:ident)*) => {
        impl $crate::api::fields::Fields for $type {
            fn names() -> Vec<&'static str> {
                #[allow(unused_mut, reason = "only a type with parts adds to it")]
                let mut names: Vec<&'static str> = vec![$(stringify!($own)),*];
                $(names.extend(<$part_type as $crate::api::fields::Fields>::names());)*
                names
            }

            fn find(key: &str) -> Option<&'static str> {
                match key {
                    $(stringify!($own) => Some(stringify!($own)),)*
                    _ => None$(.or_else(|| <$part_type as $crate::api::fields::Fields>::find(key)))*,
                }
            }

            fn read<'de, D: serde::Deserializer<'de>>(&mut self, name: &str, value: D) -> Result<(), D::Error> {
                let Self { $($own,)* $($part,)* } = self;
                match name {
                    $(stringify!($own) => $crate::api::fields::fill($own, value),)*
                    $(part if <$part_type as $crate::api::fields::Fields>::find(part).is_some() => {
                        $crate::api::fields::Fields::read($part, part, value)
                    })*
                    other => unreachable!("bug: `{other}` is not among the names of {}", stringify!($type)),
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::api::fields::object(deserializer)
            }
        }

        $crate::api::value::field_values!($type);
    };
}
pub(crate) use fields;

/// Reads an object.
pub(crate) fn object<'de, T: Fields, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Object(PhantomData))
}

/// Sets `field`, unless `value` is null.
pub(crate) fn fill<'de, T: FieldValue, D: Deserializer<'de>>(
    field: &mut T,
    value: D,
) -> Result<(), D::Error> {
    if let Some(value) = Option::read(value)? {
        *field = value;
    }
    Ok(())
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Fields> Visitor<'de> for Object<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        read_map(map, |_, Unknown { key, names }| Err(unknown_field(key, names)))
    }
}

/// A field that the type does not have.
pub(crate) struct Unknown<'a> {
    /// Its name.
    pub(crate) key: &'a str,
    /// The names of the fields that the type has.
    pub(crate) names: &'a [&'static str],
}

/// Reads the fields of an object from `map`. `unknown` reads the value of each other field, or refuses it.
pub(crate) fn read_map<'de, T: Fields, A: MapAccess<'de>>(
    mut map: A,
    mut unknown: impl FnMut(&mut A, Unknown<'_>) -> Result<(), A::Error>,
) -> Result<T, A::Error> {
    let mut object = T::default();
    let mut given = Vec::new();
    while let Some(key) = map.next_key::<String>()? {
        let Some(name) = T::find(&key) else {
            unknown(&mut map, Unknown { key: &key, names: &T::names() })?;
            continue;
        };
        if given.contains(&name) {
            return Err(A::Error::duplicate_field(name));
        }
        given.push(name);
        map.next_value_seed(FieldOf { object: &mut object, name })?;
    }
    Ok(object)
}

/// Serde's own message wants its list of names to be static.
pub(crate) fn unknown_field<E: Error>(found: &str, names: &[&str]) -> E {
    let known: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    E::custom(format_args!("unknown field `{found}`, expected one of {}", known.join(", ")))
}

/// The place of the next value.
struct FieldOf<'a, T> {
    object: &'a mut T,
    name: &'static str,
}

impl<'de, T: Fields> DeserializeSeed<'de> for FieldOf<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        self.object.read(self.name, value)
    }
}
