//! A collector of traces: an HTTP server that keeps what it receives, and the part of OTLP that the tests read
//! (<https://github.com/open-telemetry/opentelemetry-proto>).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The kind of a span below another in the same service.
pub(super) const INTERNAL: i32 = 1;
/// The kind of a span that answers a request.
pub(super) const SERVER: i32 = 2;

/// A running collector. It ends with the test's runtime.
pub(super) struct Collector {
    pub(super) address: String,
    batches: Arc<Mutex<Vec<Batch>>>,
}

/// What one request has brought.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let batches: Arc<Mutex<Vec<Batch>>> = Arc::default();
        let kept = batches.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let batch = receive(stream).await;
                kept.lock().unwrap().push(batch);
            }
        });
        Self { address, batches }
    }

    /// Everything so far.
    pub(super) fn received(&self) -> Vec<Batch> {
        self.batches.lock().unwrap().clone()
    }
}

async fn receive(mut stream: TcpStream) -> Batch {
    let mut bytes = Vec::new();
    let head = loop {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the request ends in its head");
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            break String::from_utf8(std::mem::replace(&mut bytes, rest)).unwrap();
        }
    };
    let lower = head.to_lowercase();
    assert!(lower.contains("content-type: application/x-protobuf\r\n"), "{head}");
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
    let length: usize = length.parse().unwrap();
    while bytes.len() < length {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the request ends in its body");
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    Batch { head, body: bytes }
}

impl Batch {
    fn decoded(&self) -> Vec<ResourceSpans> {
        Request::decode(&*self.body).unwrap().resources
    }

    /// The attributes of the service.
    pub(super) fn resource(&self) -> BTreeMap<String, String> {
        let resources = self.decoded().into_iter().filter_map(|spans| spans.resource);
        resources.flat_map(|resource| named(&resource.attributes)).collect()
    }

    /// The spans of all scopes.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.decoded().into_iter().flat_map(|spans| spans.scopes).flat_map(|scope| scope.spans).collect()
    }
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) parent: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) name: String,
    #[prost(int32, tag = "6")]
    pub(super) kind: i32,
    /// Nanoseconds since 1970.
    #[prost(fixed64, tag = "7")]
    pub(super) start: u64,
    #[prost(fixed64, tag = "8")]
    pub(super) end: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Value>,
}

/// One of these.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(int64, optional, tag = "3")]
    int: Option<i64>,
    #[prost(double, optional, tag = "4")]
    double: Option<f64>,
}

impl Span {
    pub(super) fn hex_trace(&self) -> String {
        hex(&self.trace)
    }

    pub(super) fn hex_id(&self) -> String {
        hex(&self.id)
    }

    pub(super) fn hex_parent(&self) -> String {
        hex(&self.parent)
    }

    /// By name, as text.
    pub(super) fn attributes(&self) -> BTreeMap<String, String> {
        named(&self.attributes)
    }
}

fn named(attributes: &[Attribute]) -> BTreeMap<String, String> {
    let text = |value: &Value| {
        let number = value.int.map(|int| int.to_string()).or(value.double.map(|double| double.to_string()));
        value.text.clone().or(number).unwrap_or_default()
    };
    let named = |attribute: &Attribute| {
        (attribute.key.clone(), attribute.value.as_ref().map(text).unwrap_or_default())
    };
    attributes.iter().map(named).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
