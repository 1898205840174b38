//! How large the file of a state becomes, before it is written or read whole.

use std::collections::HashMap;

use super::file::{CACHE_OPTIONS, HEADER_BYTES_MAX, parts};
use crate::catalog::Served;
use crate::lm::TokenId;

/// The metadata: the identity, the checksum, the last tokens and the rest.
const METADATA_BYTES: usize = 512;

/// The name of a tensor, its type and its place.
const TENSOR_BYTES: usize = 80;

/// What a cache adds to the metadata.
const CACHE_METADATA_BYTES: usize = 96;

/// About how many bytes the file of a state of `served` has, without a cache.
pub(super) fn len(served: &Served) -> usize {
    let parts = parts(served);
    let values: usize = parts.iter().map(|part| part.len).sum();
    values * size_of::<f32>() + parts.len() * TENSOR_BYTES + METADATA_BYTES
}

/// About how many bytes a cache adds that has `window` entries; 0 for a window of 0, which is none.
pub(super) fn cache_len(served: &Served, window: usize) -> usize {
    let width = served.model.cache_width().unwrap_or_default();
    let entry_bytes = width * size_of::<f32>() + size_of::<TokenId>();
    let around = if window == 0 { 0 } else { 2 * TENSOR_BYTES + CACHE_METADATA_BYTES };
    window * entry_bytes + around
}

/// What is read of a state in base64 before the whole is decoded, to foresee how large it can become.
pub(crate) struct Brought {
    /// The identity of the weights that computed it.
    pub(crate) identity: String,
    /// The window of its cache; 0 if it has none.
    pub(crate) cache_window: usize,
}

impl Brought {
    /// Reads the header; `None` for what is not a state, which is refused later.
    pub(crate) fn peek(encoded: &str) -> Option<Self> {
        /// The metadata stand in the header beside the places of the tensors.
        #[derive(serde::Deserialize)]
        struct Header {
            #[serde(rename = "__metadata__")]
            metadata: HashMap<String, String>,
        }

        let start = |bytes: usize| {
            let characters = encoded.as_bytes().get(..bytes.div_ceil(3) * 4)?;
            base64::decode(std::str::from_utf8(characters).ok()?).ok()
        };
        let len = u64::from_le_bytes(*start(8)?.first_chunk()?);
        let len = usize::try_from(len).ok().filter(|_| len <= HEADER_BYTES_MAX)?;
        let bytes = start(8 + len)?;
        let header: Header = serde_json::from_slice(bytes.get(8..8 + len)?).ok()?;
        let window = header.metadata.get(CACHE_OPTIONS[0]).map_or(Ok(0), |window| window.parse());
        Some(Self { identity: header.metadata.get("identity")?.clone(), cache_window: window.ok()? })
    }
}
