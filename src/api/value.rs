//! How the value of a field is read.
//!
//! Two things differ from serde's own implementations. A whole number may be written `5.0` or `1e3`, as some languages print it.
//! And a list is counted while it is read: one entry of two bytes of JSON can become hundreds of bytes of memory, so a list that
//! is far too long is refused before it is held, and each asks for its memory before it grows ([`memory`](super::memory)).

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Unexpected, Visitor};

use super::memory::room_for_one;

/// The value of a field of a request.
pub(crate) trait FieldValue: Sized {
    /// The maximum number of such values in a list, above any limit that an operator can set. Numbers are small enough to be
    /// bounded by the size of the body alone.
    const ENTRIES_MAX: usize = super::ENTRIES_MAX;

    /// Reads the value.
    ///
    /// # Errors
    /// When what is found is not of this type.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Implements [`FieldValue`] for types that serde reads as they should be read.
macro_rules! field_values {
    ($($type:ty),* $(,)?) => {
        $(impl $crate::api::value::FieldValue for $type {
            fn read<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                serde::Deserialize::deserialize(deserializer)
            }
        })*
    };
}
pub(crate) use field_values;

field_values!(bool, f64, String);

/// Implements [`FieldValue`] for whole numbers.
macro_rules! whole_numbers {
    ($($type:ty: $deserialize:ident),*) => {
        $(impl FieldValue for $type {
            const ENTRIES_MAX: usize = usize::MAX;

            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let range = Range { min: <$type>::MIN as i128, max: <$type>::MAX as i128 };
                let number = deserializer.$deserialize(Whole(range))?;
                Ok(<$type>::try_from(number).expect("bug: a number in the range of its type"))
            }
        })*
    };
}

whole_numbers!(u32: deserialize_u32, u64: deserialize_u64, usize: deserialize_u64, i64: deserialize_i64);

/// The numbers that a type can hold.
#[derive(Clone, Copy)]
pub(super) struct Range {
    min: i128,
    max: i128,
}

impl Range {
    /// The numbers that can be token ids.
    pub(super) const TOKEN_IDS: Self = Self { min: 0, max: u32::MAX as i128 };

    /// `number`, if it is in the range.
    pub(super) fn integer<E: Error>(
        self,
        number: i128,
        expected: &dyn serde::de::Expected,
    ) -> Result<i128, E> {
        if (self.min..=self.max).contains(&number) {
            return Ok(number);
        }
        Err(E::invalid_value(Unexpected::Other(&format!("integer `{number}`")), expected))
    }

    /// `number`, if it is whole and in the range.
    pub(super) fn float<E: Error>(self, number: f64, expected: &dyn serde::de::Expected) -> Result<i128, E> {
        // Above 2^53 a number with a fraction may have been rounded to a whole one.
        const EXACT_MAX: f64 = (1_u64 << 53) as f64;
        if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
            return self.integer(number as i128, expected);
        }
        Err(E::invalid_type(Unexpected::Float(number), expected))
    }
}

/// Reads a whole number.
struct Whole(Range);

impl Visitor<'_> for Whole {
    type Value = i128;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Range { min: 0, max } if max > i128::from(u32::MAX) => f.write_str("a whole number, 0 or more"),
            Range { min: 0, max } => write!(f, "a whole number from 0 to {max}"),
            _ => f.write_str("a whole number"),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i128, E> {
        self.0.integer(number.into(), &self)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i128, E> {
        self.0.integer(number.into(), &self)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<i128, E> {
        self.0.float(number, &self)
    }
}

impl<T: FieldValue> FieldValue for Option<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(Nullable(PhantomData))
    }
}

/// Reads a value, or null.
struct Nullable<T>(PhantomData<T>);

impl<'de, T: FieldValue> Visitor<'de> for Nullable<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        T::read(deserializer).map(Some)
    }
}

impl<T: FieldValue> FieldValue for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List(PhantomData))
    }
}

/// Reads a list.
struct List<T>(PhantomData<T>);

impl<'de, T: FieldValue> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<T>, A::Error> {
        entries(list)
    }
}

/// The entries of `list`.
///
/// # Errors
/// An entry that is not a `T`; more entries than [`FieldValue::ENTRIES_MAX`].
pub(super) fn entries<'de, T: FieldValue, A: SeqAccess<'de>>(list: A) -> Result<Vec<T>, A::Error> {
    entries_after(Vec::new(), list)
}

/// The entries that were `read` before, and those that are left in `list`.
///
/// # Errors
/// As [`entries`].
pub(super) fn entries_after<'de, T: FieldValue, A: SeqAccess<'de>>(
    read: Vec<T>,
    mut list: A,
) -> Result<Vec<T>, A::Error> {
    let mut entries = read;
    while let Some(entry) = list.next_element_seed(Entry(PhantomData))? {
        if entries.len() == T::ENTRIES_MAX {
            let max = T::ENTRIES_MAX;
            return Err(A::Error::custom(format_args!(
                "the list has more than {max} entries; no list may be longer"
            )));
        }
        if !room_for_one(&mut entries) {
            return Err(A::Error::custom("there is not enough memory for the list"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// The next entry of a list.
struct Entry<T>(PhantomData<T>);

impl<'de, T: FieldValue> DeserializeSeed<'de> for Entry<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer)
    }
}
