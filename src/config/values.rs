//! How the values of options are written: sizes, durations and numbers of threads.

use std::fmt;
use std::str::FromStr;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::lm::WeightsType;

/// A number of bytes, written `1048576`, `1MiB` or `1.5GiB`; `kB`, `MB` and `GB` are powers of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub usize);

const UNITS: [(&str, usize); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, size)| Some((text.strip_suffix(name)?, *size)))
            .unwrap_or((text, 1));
        let expected =
            || "expected a number of bytes such as `65536`, `512KiB`, `16MiB` or `1.5GiB`".to_owned();
        if let Ok(whole) = number.trim().parse::<usize>() {
            return whole.checked_mul(unit).map(Self).ok_or_else(expected);
        }
        let bytes = number.trim().parse::<f64>().map_err(|_| expected())? * unit as f64;
        // Above 2^53 a fraction of a unit is no longer exact, but no machine has that much memory.
        if unit > 1 && (0.0..9e15).contains(&bytes) { Ok(Self(bytes as usize)) } else { Err(expected()) }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS.iter().take(3).find(|(_, size)| self.0 > 0 && self.0.is_multiple_of(*size));
        match exact {
            Some((unit, size)) => write!(f, "{}{unit}", self.0 / size),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// A duration above zero, such as `25s`, `1h 30m` or `250ms`.
///
/// # Errors
/// What is wrong with `text`, and what is expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let expected = "expected a duration above zero such as `250ms`, `25s` or `1h 30m`";
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err(expected.to_owned()),
        Err(error) => Err(format!("{error}; {expected}")),
    }
}

/// A duration that may be zero.
pub(super) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; expected a duration such as `0s` or `25s`"))
}

/// A size of at least one byte.
pub(super) fn bytes(text: &str) -> Result<Bytes, String> {
    match text.parse()? {
        Bytes(0) => Err("expected at least one byte".to_owned()),
        bytes => Ok(bytes),
    }
}

/// A number of engine threads, or `auto`: the number of cores minus one, so that a core is left for the network, and at least one.
pub(super) fn engine_threads(text: &str) -> Result<usize, String> {
    threads(text, |cores| cores - 1)
}

/// A number of network threads, or `auto`: half of the cores, and at least one. With as many as there are cores, they wake each other and
/// take turns with the engines, which cost a tenth of the answers on a machine with two.
pub(super) fn network_threads(text: &str) -> Result<usize, String> {
    threads(text, |cores| cores / 2)
}

fn threads(text: &str, auto: fn(usize) -> usize) -> Result<usize, String> {
    if text == "auto" {
        return Ok(available_parallelism().map_or(1, |cores| auto(cores.get()).max(1)));
    }
    match text.parse() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err("expected `auto` or a number from 1 to 1024".to_owned()),
    }
}

/// A type of weights, by its name.
pub fn weights_type() -> impl TypedValueParser<Value = WeightsType> {
    let known = |name: String| WeightsType::named(&name).expect("only possible values get here");
    PossibleValuesParser::new(WeightsType::ALL.map(WeightsType::name)).map(known)
}

/// The largest number of a limit: sums of limits and their products with the size of a token do not overflow.
pub(super) const COUNT_MAX: usize = 1 << 40;

/// A whole number of at least one.
pub(super) fn count() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..=COUNT_MAX as u64)
}

/// The work of a turn, as a multiple of a step. A turn contains at least one.
pub(super) fn steps(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|steps| (1.0..=1e6).contains(steps))
        .ok_or("expected a number from 1 to 1000000".to_owned())
}

/// A rate of events.
pub(super) fn per_second(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (0.001..=1e6).contains(rate))
        .ok_or("expected a number from 0.001 to 1000000".to_owned())
}

/// A maximum number of entries in a list of a request, which is at most [`ENTRIES_MAX`].
pub(super) fn entries() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..=ENTRIES_MAX as u64)
}

/// A maximum number of rows of one job. Each is stepped in every turn.
pub(super) fn choices() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..=4096)
}

/// The longest list that a request is read into.
pub const ENTRIES_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_parsed_and_printed_with_its_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("7B", 7),
            ("64KiB", 65_536),
            ("16MiB", 16 << 20),
            ("1.5GiB", 3 << 29),
            ("2 MiB", 2 << 20),
            ("3kB", 3_000),
            ("3MB", 3_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
            assert_eq!(
                Bytes(bytes).to_string().parse(),
                Ok(Bytes(bytes)),
                "{text}, printed and parsed again"
            );
        }
        assert_eq!(Bytes(16 << 20).to_string(), "16MiB");
        assert_eq!(Bytes(1025).to_string(), "1025B");
        for text in ["", "MiB", "-1", "1.5", "1TiB", "nanMiB", "infGiB", "99999999999GiB", "1 2"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_without_a_unit_is_refused() {
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration_or_zero("0s"), Ok(Duration::ZERO));
        for text in ["", "0s", "25", "-1s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn auto_is_at_least_one_thread() {
        for threads in [engine_threads, network_threads] {
            assert!(threads("auto").unwrap() >= 1);
            assert_eq!(threads("3"), Ok(3));
            assert!(threads("0").is_err() && threads("many").is_err());
        }
    }
}
