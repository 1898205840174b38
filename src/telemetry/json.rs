//! Log lines in JSON: each an object with `timestamp`, `level`, the fields of the event, `target`, and `span`, which has the span's fields
//! and its `name`.
//!
//! These are the lines of tracing-subscriber's own format. That keeps the fields of a span as text, which it parses and writes anew
//! for every line: with it, a sixth of what the network threads did for a short request was its line. Here the fields are kept as they are
//! written.

use std::error::Error;
use std::fmt::{self, Debug, Write};
use std::io;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes an event as a line.
pub(super) struct JsonLines;

/// Keeps the fields of a span as the members of an object, without its braces.
pub(super) struct JsonMembers;

impl<S> FormatEvent<S, JsonMembers> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonMembers>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        // A time has nothing to escape.
        writer.write_str(r#"{"timestamp":""#)?;
        SystemTime.format_time(&mut writer)?;
        writer.write_char('"')?;
        let mut line = Members::new(&mut writer, ",");
        line.add("level", metadata.level().as_str());
        event.record(&mut line);
        line.add("target", metadata.target());
        line.written?;
        if let Some(span) = context.parent_span() {
            writer.write_str(r#","span":{"#)?;
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonMembers>>().map_or("", |fields| fields);
            writer.write_str(fields)?;
            let mut members = Members::new(&mut writer, separator_after(fields));
            members.add("name", span.name());
            members.written?;
            writer.write_char('}')?;
        }
        writer.write_str("}\n")
    }
}

impl<'a> FormatFields<'a> for JsonMembers {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'a>, fields: R) -> fmt::Result {
        let mut members = Members::new(&mut writer, "");
        fields.record(&mut members);
        members.written
    }

    /// A field that is recorded later has no value before, so it is a new member.
    fn add_fields(&self, current: &'a mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let separator = separator_after(current);
        let mut writer = current.as_writer();
        let mut members = Members::new(&mut writer, separator);
        fields.record(&mut members);
        members.written
    }
}

/// What stands between `members` and the next.
fn separator_after(members: &str) -> &'static str {
    if members.is_empty() { "" } else { "," }
}

/// Writes fields as members of an object.
struct Members<'a> {
    out: &'a mut dyn Write,
    /// What stands before the next member.
    separator: &'static str,
    /// What went wrong, if anything did: nothing is written after it.
    written: fmt::Result,
}

impl<'a> Members<'a> {
    fn new(out: &'a mut dyn Write, separator: &'static str) -> Self {
        Self { out, separator, written: Ok(()) }
    }

    fn add(&mut self, name: &str, value: impl Serialize) {
        if self.written.is_ok() {
            self.written = self.write(name, value);
        }
    }

    fn write(&mut self, name: &str, value: impl Serialize) -> fmt::Result {
        self.write_name(name)?;
        write_json(self.out, value)
    }

    fn write_debug(&mut self, name: &str, value: &dyn Debug) -> fmt::Result {
        self.write_name(name)?;
        self.out.write_char('"')?;
        write!(Escaped(self.out), "{value:?}")?;
        self.out.write_char('"')
    }

    fn write_name(&mut self, name: &str) -> fmt::Result {
        self.out.write_str(std::mem::replace(&mut self.separator, ","))?;
        write_json(self.out, name)?;
        self.out.write_char(':')
    }
}

impl Visit for Members<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(field.name(), value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.written.is_ok() {
            self.written = self.write_debug(field.name(), value);
        }
    }
}

/// The inside of a string, of whatever is written to it.
struct Escaped<'a>(&'a mut dyn Write);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
            return self.0.write_str(text);
        }
        let quoted = serde_json::to_string(text).map_err(|_| fmt::Error)?;
        self.0.write_str(&quoted[1..quoted.len() - 1])
    }
}

fn write_json(out: &mut dyn Write, value: impl Serialize) -> fmt::Result {
    serde_json::to_writer(Text(out), &value).map_err(|_| fmt::Error)
}

/// A sink of bytes, which are text: serde_json writes to nothing else.
struct Text<'a>(&'a mut dyn Write);

impl io::Write for Text<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tracing::field::Empty;
    use tracing::{info, info_span, warn};

    use super::*;
    use crate::config::LogFormat;
    use crate::telemetry::Captured;

    /// Each line that [`log_everything`] has written, without its time, which no two logs have in common.
    fn logged(captured: &Captured) -> Vec<Value> {
        log_everything();
        let without_time = |line: String| {
            let mut value: Value = serde_json::from_str(&line).expect(&line);
            let time = value.as_object_mut().unwrap().remove("timestamp").unwrap();
            let time = time.as_str().unwrap();
            assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 27, "{time}");
            value
        };
        captured.with("").into_iter().map(without_time).collect()
    }

    /// Every kind of value, in events and spans, with and without fields.
    fn log_everything() {
        let hard = "a \"quoted\" \\ line\nwith a tab\t, a bell\u{7}, \u{7f}, é, 漢字 and 🦀";
        info!("alone");
        info!(status = 200u16, elapsed = ?std::time::Duration::from_micros(1500), "answered");
        warn!(hard, hard_debug = ?hard, hard_display = %hard, "{hard}");
        info!(
            float = 1.5,
            large = 1e300,
            small = f64::MIN_POSITIVE,
            nan = f64::NAN,
            infinity = f64::INFINITY
        );
        info!(
            least = i64::MIN,
            most = u64::MAX,
            wide = u128::MAX,
            wide_least = i128::MIN,
            yes = true,
            no = false
        );
        let error = io::Error::other("a \"cause\"");
        info!(error = &error as &dyn Error, r#type = ?"keyword", none = Option::<u32>::None, some = Some(7));
        info!(target: "elsewhere", "with a target");
        let bare = info_span!("bare");
        bare.in_scope(|| info!("in a span without fields"));
        let span =
            info_span!("request", request_id = hard, trace_id = %7, count = 3, key = Empty, late = Empty);
        span.in_scope(|| {
            info!("before the key");
            span.record("key", "a \"name\"");
            info!("after the key");
            span.record("late", 2.5);
            bare.in_scope(|| info!("in a span in a span"));
            info!(parent: &bare, "in another span");
        });
        let late = info_span!("late", only = Empty);
        late.record("only", true);
        late.in_scope(|| info!("after the only field"));
    }

    #[test]
    fn lines_are_those_of_the_library() {
        let own = logged(&Captured::start(LogFormat::Json));
        let library = logged(&Captured::by(|lines| {
            let json = tracing_subscriber::fmt().with_writer(lines).json();
            json.flatten_event(true).with_span_list(false).finish()
        }));
        assert_eq!(own.len(), 13);
        assert_eq!(own, library);
    }
}
