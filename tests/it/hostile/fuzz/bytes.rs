//! Mutations that know nothing of a format, and those of safetensors and vocabularies, which have little.

use serde_json::Value;

use super::json;
use super::random::Random;

/// Flips, overwrites, cuts out, repeats or truncates bytes.
pub(super) fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        bytes.push(random.number() as u8);
        return;
    }
    let at = random.below(bytes.len());
    let end = (at + 1 + random.below(16)).min(bytes.len());
    match random.below(6) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.number() as u8,
        2 => drop(bytes.drain(at..end)),
        3 => {
            let repeated = bytes[at..end].repeat(1 + random.below(64));
            bytes.splice(at..at, repeated);
        }
        4 => bytes.truncate(at),
        _ => {
            let number = random.integer().to_le_bytes();
            let len = number.len().min(bytes.len() - at);
            bytes[at..at + len].copy_from_slice(&number[..len]);
        }
    }
}

/// Mutates the header as JSON, its length, or the data.
pub(super) fn mutate_safetensors(file: &mut Vec<u8>, random: &mut Random) {
    let parts = file.split_first_chunk::<8>().and_then(|(len, rest)| {
        let (header, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        Some((serde_json::from_slice::<Value>(header).ok()?, data.to_vec()))
    });
    let Some((mut header, mut data)) = parts else { return mutate(file, random) };
    let mut len_off = 0;
    match random.below(8) {
        0 => len_off = random.integer(),
        1 | 2 => mutate(&mut data, random),
        3 => data[..].chunks_mut(4).for_each(|value| value.fill(0xff)),
        _ => json::mutate(&mut header, random),
    }
    let header = header.to_string().into_bytes();
    let len = (header.len() as u64).wrapping_add_signed(len_off);
    *file = [&len.to_le_bytes()[..], &header, &data].concat();
}

/// Mutates whole lines, or what is in them.
pub(super) fn mutate_lines(file: &mut Vec<u8>, random: &mut Random) {
    let mut lines: Vec<Vec<u8>> = file.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let at = random.below(lines.len());
    match random.below(7) {
        0 => lines.push(lines[at].clone()),
        1 => drop(lines.remove(at)),
        2 => lines[at] = b"\xff\xfe".to_vec(),
        3 => lines[at] = b"x".repeat(1 << random.below(21)),
        4 => {
            const ENDS: [&[u8]; 6] = [b"\r", b"\\", b"\\u", b"\0", b" ", "\u{301}".as_bytes()];
            lines[at].extend_from_slice(random.one_of(&ENDS));
        }
        5 => lines.extend((0..random.below(1 << 16)).map(|id| id.to_string().into_bytes())),
        _ => return mutate(file, random),
    }
    *file = lines.join(&b'\n');
}
