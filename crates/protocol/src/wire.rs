//! Kafka's primitive encodings.

/// A variable-length number is longer, or greater, than its type allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a variable-length number does not fit into its type")]
pub struct VarintOverflow;

/// Most bytes of a string in every version: compact lengths could say more, and Kafka's readers
/// and writers refuse it.
pub const MAX_STRING: i64 = i16::MAX as i64;

/// Most bytes of an unsigned 32-bit variable-length number.
pub const MAX_UVARINT: usize = 5;

/// Reads an unsigned variable-length number: its value and its length in bytes.
///
/// `None` means that `bytes` ends before the number does. Encodings that are longer than they
/// need to be are read, as Kafka's own readers do.
pub fn uvarint(bytes: &[u8]) -> Result<Option<(u32, usize)>, VarintOverflow> {
    let mut value = 0u32;
    for (at, byte) in bytes.iter().take(MAX_UVARINT).enumerate() {
        let bits = u32::from(byte & 0x7f);
        if at == MAX_UVARINT - 1 && *byte > 0x0f {
            return Err(VarintOverflow);
        }
        value |= bits << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    Ok(None)
}

/// Appends the shortest encoding of `value`.
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value` in exactly `length` bytes, with leading zero bits where it needs fewer.
///
/// Returns false, and appends nothing, when it needs more or `length` is not 1 to 5.
#[must_use]
pub fn put_uvarint_padded(out: &mut Vec<u8>, mut value: u32, length: usize) -> bool {
    if length > MAX_UVARINT || uvarint_length(value) > length {
        return false;
    }
    for _ in 1..length {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    true
}

/// Bytes in the shortest encoding of `value`.
pub fn uvarint_length(value: u32) -> usize {
    let bits = (32 - value.leading_zeros()).max(1) as usize;
    bits.div_ceil(7)
}

/// Reads a signed variable-length number of 32 bits in its zigzag form, as records have them
/// (format 2): its value and its length in bytes. `None` means that `bytes` ends before it does.
pub fn varint(bytes: &[u8]) -> Result<Option<(i32, usize)>, VarintOverflow> {
    let read = uvarint(bytes)?;
    Ok(read.map(|(value, taken)| ((value >> 1) as i32 ^ -((value & 1) as i32), taken)))
}

/// Most bytes of a variable-length number of 64 bits.
const MAX_VARLONG: usize = 10;

/// Reads a signed variable-length number of 64 bits in its zigzag form, as [`varint`] does.
pub fn varlong(bytes: &[u8]) -> Result<Option<(i64, usize)>, VarintOverflow> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(MAX_VARLONG).enumerate() {
        if at == MAX_VARLONG - 1 && *byte > 1 {
            return Err(VarintOverflow);
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some(((value >> 1) as i64 ^ -((value & 1) as i64), at + 1)));
        }
    }
    Ok(None)
}

/// Appends the zigzag form of `value`; that of a number of 32 bits is the same.
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)) as u64;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The first `N` bytes, if there are as many.
pub(crate) fn head<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.first_chunk::<N>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn uvarints_come_back(value: u32, more in prop::collection::vec(any::<u8>(), 0..3)) {
            let mut bytes = Vec::new();
            put_uvarint(&mut bytes, value);
            let length = bytes.len();
            prop_assert_eq!(length, uvarint_length(value));
            for cut in 0..length {
                prop_assert_eq!(uvarint(&bytes[..cut]), Ok(None));
            }
            bytes.extend(more);
            prop_assert_eq!(uvarint(&bytes), Ok(Some((value, length))));
        }

        #[test]
        fn padded_uvarints_come_back(value: u32, length in 0usize..7) {
            let mut bytes = Vec::new();
            let fits = length <= MAX_UVARINT && uvarint_length(value) <= length;
            prop_assert_eq!(put_uvarint_padded(&mut bytes, value, length), fits);
            if fits {
                prop_assert_eq!(uvarint(&bytes), Ok(Some((value, length))));
            }
        }
    }

    proptest! {
        #[test]
        fn signed_numbers_come_back(long: i64, int: i32, more: u8) {
            for (value, length) in [(long, MAX_VARLONG), (i64::from(int), MAX_UVARINT)] {
                let mut bytes = Vec::new();
                put_varlong(&mut bytes, value);
                let taken = bytes.len();
                prop_assert!(taken <= length);
                for cut in 0..taken {
                    prop_assert_eq!(varlong(&bytes[..cut]), Ok(None));
                }
                bytes.push(more);
                prop_assert_eq!(varlong(&bytes), Ok(Some((value, taken))));
                if let Ok(value) = i32::try_from(value) {
                    prop_assert_eq!(varint(&bytes), Ok(Some((value, taken))));
                }
            }
        }
    }

    #[test]
    fn too_long_or_too_great() {
        let ten = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(
            varlong(&[&ten[..], &[1]].concat()),
            Ok(Some((i64::MIN, 10)))
        );
        assert_eq!(varlong(&[&ten[..], &[2]].concat()), Err(VarintOverflow));
        assert_eq!(varint(&ten), Err(VarintOverflow));
        assert_eq!(
            uvarint(&[0xff, 0xff, 0xff, 0xff, 0x0f]),
            Ok(Some((u32::MAX, 5)))
        );
        assert_eq!(
            uvarint(&[0xff, 0xff, 0xff, 0xff, 0x10]),
            Err(VarintOverflow)
        );
        assert_eq!(
            uvarint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01]),
            Err(VarintOverflow)
        );
    }
}
