//! Quantities in the one way in which the server writes each of them.

/// One of the ways to write a power.
struct Suffix {
    text: &'static str,
    /// How many billionths one of it is.
    nanos: i128,
    binary: bool,
}

const fn decimal(text: &'static str, nanos: i128) -> Suffix {
    Suffix {
        text,
        nanos,
        binary: false,
    }
}

const fn binary(text: &'static str, power: u32) -> Suffix {
    Suffix {
        text,
        nanos: GIGA << (10 * power),
        binary: true,
    }
}

const GIGA: i128 = 1_000_000_000;

/// Smallest first within each family.
const SUFFIXES: [Suffix; 16] = [
    decimal("n", 1),
    decimal("u", 1_000),
    decimal("m", 1_000_000),
    decimal("", GIGA),
    decimal("k", GIGA * 1_000),
    decimal("M", GIGA * 1_000_000),
    decimal("G", GIGA * GIGA),
    decimal("T", GIGA * GIGA * 1_000),
    decimal("P", GIGA * GIGA * 1_000_000),
    decimal("E", GIGA * GIGA * GIGA),
    binary("Ki", 1),
    binary("Mi", 2),
    binary("Gi", 3),
    binary("Ti", 4),
    binary("Pi", 5),
    binary("Ei", 6),
];

/// `1024Mi` → `1Gi`, `1000m` → `1`, `0.5` → `500m`. Nothing if the text is no quantity, or one
/// with an exponent, which stays as it is.
pub(super) fn canonical(text: &str) -> Option<String> {
    let digits = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let suffix = SUFFIXES.iter().find(|known| known.text == suffix)?;
    let nanos = nanos(number, suffix.nanos)?;
    // Small amounts of bytes read better without a binary suffix.
    let binary = suffix.binary && nanos.abs() >= 1024 * GIGA;
    let units = SUFFIXES.iter().rev().filter(|unit| unit.binary == binary);
    let fits = units.into_iter().find(|unit| nanos % unit.nanos == 0);
    Some(match fits {
        _ if nanos == 0 => "0".into(),
        Some(unit) => format!("{}{}", nanos / unit.nanos, unit.text),
        // Bytes that are no multiple of 1024, in a binary format without a suffix.
        None => ((nanos + GIGA - 1) / GIGA).to_string(),
    })
}

/// A decimal number times `unit`, rounded up to whole billionths.
fn nanos(number: &str, unit: i128) -> Option<i128> {
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 18 {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let value = digits.checked_mul(unit)?;
    let value = (value + scale - 1) / scale;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_in_one_way() {
        for (text, want) in [
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            ("2", "2"),
            ("1000", "1k"),
            ("2048", "2048"),
            ("2048k", "2048k"),
            ("1000k", "1M"),
            ("512Ki", "512Ki"),
            ("0", "0"),
            ("0.5Ki", "512"),
            ("1025Ki", "1025Ki"),
            ("-1000m", "-1"),
            ("1.1Ki", "1127"),
            ("100Mi", "100Mi"),
        ] {
            let found = canonical(text);
            assert_eq!(found.as_deref(), Some(want), "{text}");
            assert_eq!(canonical(want).as_deref(), Some(want), "{want} again");
        }
        for text in ["", "x", "1e3", "1Q", ".", "1.2.3"] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
