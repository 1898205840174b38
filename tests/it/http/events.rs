//! The events of a server-sent stream, as a client reads them.

use serde_json::Value;

use crate::harness::client::Reply;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: usize,
    pub(crate) data: Value,
}

/// The events of a reply, as they arrive. Dropping this value closes the connection.
pub(crate) struct Events {
    reply: Reply,
    buffer: Vec<u8>,
}

impl Events {
    /// The events of `reply`, which must be a stream.
    #[track_caller]
    pub(crate) fn new(reply: Reply) -> Self {
        assert_eq!((reply.status, reply.header("content-type")), (200, "text/event-stream"));
        Self { reply, buffer: Vec::new() }
    }

    /// A header of the answer.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.reply.header(name)
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        const END: &[u8] = b"\n\n";
        loop {
            if let Some(at) = self.buffer.windows(END.len()).position(|window| window == END) {
                let block: Vec<u8> = self.buffer.drain(..at + END.len()).collect();
                let block = String::from_utf8(block).unwrap();
                if !block.starts_with(':') {
                    return Some(parse(&block));
                }
                continue;
            }
            match self.reply.chunk().await {
                Some(chunk) => self.buffer.extend(chunk),
                None => {
                    assert!(self.buffer.is_empty(), "the stream ended within an event");
                    return None;
                }
            }
        }
    }

    /// All remaining events.
    pub(crate) async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// The text of all events joined.
pub(crate) fn text(events: &[Event]) -> String {
    let pieces = events.iter().map(|event| match event.name.as_str() {
        "token" => event.data["text"].as_str().unwrap(),
        "done" => event.data["choices"][0]["text"].as_str().unwrap(),
        _ => "",
    });
    pieces.collect()
}

/// The ids of all tokens.
pub(crate) fn tokens(events: &[Event]) -> Vec<u64> {
    let tokens = events.iter().filter(|event| event.name == "token");
    tokens.map(|event| event.data["id"].as_u64().unwrap()).collect()
}

fn parse(block: &str) -> Event {
    let field = |name: &str| {
        let mut lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let value = lines.next().unwrap_or_else(|| panic!("no `{name}` in {block:?}"));
        assert_eq!(lines.next(), None, "two `{name}` in {block:?}");
        value
    };
    Event {
        name: field("event").into(),
        id: field("id").parse().unwrap(),
        data: serde_json::from_str(field("data")).unwrap(),
    }
}
