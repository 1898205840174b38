//! The place of a request in a distributed trace, as W3C Trace Context (<https://www.w3.org/TR/trace-context/>) writes it in headers.
//!
//! The ids are random enough to be unique and to be sampled by; nobody has to guess them, so no request waits for the system's random
//! source.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The id of a trace: of everything that happens because of one request of a user. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(u128);

/// The id of one piece of work in a trace. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(u64);

/// The place of one request in its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The client's trace, or a new one.
    pub trace_id: TraceId,
    /// The client's span, if it has one.
    pub parent: Option<SpanId>,
    /// That of the request in this server.
    pub span_id: SpanId,
    /// Whether the spans of the trace are recorded: as the client has decided, or this server for a new trace.
    pub is_sampled: bool,
    /// What tracing systems have passed on with the trace: the header `tracestate`.
    pub state: Option<String>,
}

/// The length of version 00.
const LENGTH: usize = 55;

/// The longest `tracestate` that is passed on; systems must pass on at least this.
const STATE_LENGTH_MAX: usize = 512;

const SAMPLED: u8 = 1;

impl TraceContext {
    /// Continues the trace of the header `traceparent`; `None` if it is not valid.
    pub fn continued(traceparent: &str) -> Option<Self> {
        let version = hex(traceparent.get(..2)?)?;
        // A later version may have more behind another dash; 255 is not allowed.
        let is_whole = match traceparent.as_bytes().get(LENGTH) {
            None => traceparent.len() == LENGTH,
            Some(next) => version > 0 && *next == b'-',
        };
        if version == 0xff || !is_whole {
            return None;
        }
        let mut fields = traceparent.get(..LENGTH)?.split('-').skip(1);
        let mut field = |digits: usize| hex(fields.next().filter(|field| field.len() == digits)?);
        let trace_id = field(32).filter(|&id| id != 0)?;
        let parent = field(16).filter(|&id| id != 0)?;
        let flags = field(2)? as u8;
        Some(Self {
            trace_id: TraceId(trace_id),
            parent: Some(SpanId(parent as u64)),
            span_id: SpanId::created(),
            is_sampled: flags & SAMPLED != 0,
            state: None,
        })
    }

    /// Begins a trace, which is recorded with the probability `ratio`.
    pub fn begun(ratio: f64) -> Self {
        let trace_id = TraceId::created();
        let is_sampled = trace_id.is_among(ratio);
        Self { trace_id, parent: None, span_id: SpanId::created(), is_sampled, state: None }
    }

    /// The same with what came in the header `tracestate`, unless it is too long or holds what a header may not.
    pub fn with_state(self, state: String) -> Self {
        let is_fit = (1..=STATE_LENGTH_MAX).contains(&state.len())
            && state.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        Self { state: Some(state).filter(|_| is_fit), ..self }
    }

    /// The header `traceparent` that leads to the span of this server.
    pub fn traceparent(&self) -> String {
        let flags = if self.is_sampled { SAMPLED } else { 0 };
        format!("00-{}-{}-{flags:02x}", self.trace_id, self.span_id)
    }
}

/// A number of lower-case hexadecimal digits.
fn hex(digits: &str) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digits.bytes().all(is_digit).then(|| u128::from_str_radix(digits, 16).ok())?
}

impl TraceId {
    fn created() -> Self {
        Self(u128::from(random()) << 64 | u128::from(random()))
    }

    /// Whether it belongs to the share `ratio` of all traces. Servers with the same ratio decide alike.
    fn is_among(self, ratio: f64) -> bool {
        // 53 bits of the half that the standard wants to be random.
        let share = (self.0 as u64 >> 11) as f64 / (1_u64 << 53) as f64;
        share < ratio
    }

    /// Its bytes, in the order of its digits.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl SpanId {
    /// A new id.
    pub fn created() -> Self {
        Self(random())
    }

    /// Its bytes, in the order of its digits.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A number that is not zero and that this process has not returned before: SplitMix64 (Steele et al., OOPSLA 2014) from a random start.
fn random() -> u64 {
    static STATE: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(getrandom::u64().expect("the operating system has a random source")));
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    let mut z = STATE.fetch_add(STEP, Ordering::Relaxed);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    // One of 2^64 states gives zero, which no id may be.
    (z ^ z >> 31).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    fn header(version: &str, rest: &str) -> String {
        format!("{version}-{TRACE}-{PARENT}-{rest}")
    }

    #[test]
    fn a_valid_traceparent_is_continued_with_a_span_of_this_server() {
        for (given, is_sampled) in [
            (header("00", "01"), true),
            (header("00", "00"), false),
            (header("00", "fe"), false),
            (header("00", "03"), true),
            // A later version is read as far as it is known.
            (header("01", "01"), true),
            (header("cc", "01-what-the-future-brings"), true),
            (header("fe", "00-"), false),
        ] {
            let context = TraceContext::continued(&given).unwrap_or_else(|| panic!("{given} is valid"));
            assert_eq!(context.trace_id.to_string(), TRACE, "{given}");
            assert_eq!(context.parent.unwrap().to_string(), PARENT, "{given}");
            assert_eq!(context.is_sampled, is_sampled, "{given}");
            assert_ne!(context.span_id, context.parent.unwrap());
            let flags = if is_sampled { "01" } else { "00" };
            assert_eq!(context.traceparent(), format!("00-{TRACE}-{}-{flags}", context.span_id));
        }
    }

    #[test]
    fn an_invalid_traceparent_is_not_continued() {
        let zeros = "0".repeat(32);
        for given in [
            String::new(),
            "00".to_owned(),
            TRACE.to_owned(),
            header("ff", "01"),
            header("0", "01"),
            header("000", "01"),
            header("0g", "01"),
            header("+1", "01"),
            header("00", "1"),
            header("00", "001"),
            header("00", "01-"),
            header("00", "01-more"),
            header("01", "01more"),
            header("00", "0A"),
            header("00", "01 "),
            header("00", "01").to_uppercase(),
            format!("00-{zeros}-{PARENT}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{PARENT}0-01", &TRACE[1..]),
            format!("00_{TRACE}_{PARENT}_01"),
            format!("00-{TRACE}-{PARENT}\u{e9}01"),
            format!("\u{e9}-{TRACE}-{PARENT}-01"),
        ] {
            assert_eq!(TraceContext::continued(&given), None, "{given:?}");
        }
    }

    #[test]
    fn a_new_trace_is_recorded_with_the_probability_that_is_asked_for() {
        let share = |ratio: f64| (0..4000).filter(|_| TraceContext::begun(ratio).is_sampled).count();
        assert_eq!((share(0.0), share(1.0)), (0, 4000));
        // Eight standard deviations.
        assert!((747..=1253).contains(&share(0.25)), "{}", share(0.25));
        let one = TraceContext::begun(1.0);
        let other = TraceContext::begun(1.0);
        assert!(one.parent.is_none() && one.trace_id != other.trace_id && one.span_id != other.span_id);
        assert_eq!(TraceContext::continued(&one.traceparent()).unwrap().trace_id, one.trace_id);
    }

    #[test]
    fn a_state_that_is_too_long_or_no_header_is_dropped() {
        let with = |state: &str| TraceContext::begun(0.0).with_state(state.to_owned()).state;
        assert_eq!(
            with("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE").as_deref(),
            Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
        );
        assert_eq!(with(&"x".repeat(512)).map(|state| state.len()), Some(512));
        for refused in ["", "a=\u{e9}", "a=1\n", &"x".repeat(513)] {
            assert_eq!(with(refused), None, "{refused:?}");
        }
    }
}
