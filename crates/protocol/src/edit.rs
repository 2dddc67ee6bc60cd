//! Changes to an encoded body by spans: all bytes that are not named stay as they are.

use crate::schema::Layout;
use crate::walk::Span;
use crate::wire::put_uvarint;

/// Replacements to make in a body, in the order of its bytes.
#[derive(Debug, Clone, Default)]
pub struct Edits {
    edits: Vec<(Span, Vec<u8>)>,
}

/// Edits that are not in the body, or not in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an edit of bytes {start} to {end} lies outside of the body or over the edit before it")]
pub struct MisplacedEdit {
    /// Offset of its first byte.
    pub start: u64,
    /// Offset after its last byte.
    pub end: u64,
}

// === impl Edits ===

impl Edits {
    /// No edits yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `bytes` in the place of a span. Spans must rise and not overlap.
    pub fn replace(&mut self, span: Span, bytes: Vec<u8>) {
        self.edits.push((span, bytes));
    }

    /// Takes a span out.
    pub fn remove(&mut self, span: Span) {
        self.replace(span, Vec::new());
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The body with all edits made. Its first byte is at `base` of the spans' offsets.
    pub fn apply(&self, body: &[u8], base: u64) -> Result<Vec<u8>, MisplacedEdit> {
        let added: usize = self.edits.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut out = Vec::with_capacity(body.len() + added);
        let mut copied = 0;
        for (span, bytes) in &self.edits {
            let misplaced = MisplacedEdit {
                start: span.start,
                end: span.end,
            };
            let place = |at: u64| {
                at.checked_sub(base)
                    .and_then(|at| usize::try_from(at).ok())
                    .ok_or(misplaced)
            };
            let (start, end) = (place(span.start)?, place(span.end)?);
            let kept = body.get(copied..start).ok_or(misplaced)?;
            if start > end || end > body.len() {
                return Err(misplaced);
            }
            out.extend_from_slice(kept);
            out.extend_from_slice(bytes);
            copied = end;
        }
        out.extend_from_slice(&body[copied..]);
        Ok(out)
    }
}

// === impl Layout ===

impl Layout {
    /// Encodes a string as this version does; `None` if it is longer than Kafka reads, 32,767 bytes.
    pub fn encode_string(&self, text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(text.len() + 5);
        // Kafka reads no longer ones, in flexible versions neither.
        let length = i16::try_from(text.len()).ok()?;
        if self.is_flexible() {
            put_uvarint(&mut out, u32::from(length.unsigned_abs()) + 1);
        } else {
            out.extend(length.to_be_bytes());
        }
        out.extend(text.as_bytes());
        Some(out)
    }

    /// Encodes an array's count as this version does.
    pub fn encode_count(&self, count: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(5);
        if self.is_flexible() {
            put_uvarint(&mut out, count.saturating_add(1));
        } else {
            out.extend(count.to_be_bytes());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, end: u64) -> Span {
        Span { start, end }
    }

    #[test]
    fn edits_leave_the_rest() {
        let mut edits = Edits::new();
        edits.replace(span(11, 11), b"<>".to_vec());
        edits.replace(span(12, 14), b"-".to_vec());
        edits.remove(span(15, 16));
        assert_eq!(edits.apply(b"abcdef", 10).unwrap(), b"a<>b-e");
    }

    #[test]
    fn misplaced_edits_are_refused() {
        for (first, second) in [(span(3, 4), span(2, 3)), (span(0, 7), span(7, 7))] {
            let mut edits = Edits::new();
            edits.remove(first);
            edits.remove(second);
            assert!(edits.apply(b"abcdef", 0).is_err());
        }
        let mut edits = Edits::new();
        edits.remove(span(0, 1));
        assert!(edits.apply(b"abcdef", 1).is_err());
    }
}
