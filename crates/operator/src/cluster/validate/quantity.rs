//! Kubernetes' amounts, as far as sizes need them.

/// An amount of bytes, rounded up; `None` for what is no amount, is negative,
/// or is more than any disk.
pub(crate) fn bytes(text: &str) -> Option<u128> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    if whole.len() > 20 || fraction.len() > 9 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let (factor, divisor) = match suffix {
        "m" => (1, divisor * 1000),
        suffix => (factor(suffix)?, divisor),
    };
    Some(digits.checked_mul(factor)?.div_ceil(divisor))
}

fn factor(suffix: &str) -> Option<u128> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if suffix.is_empty() {
        return Some(1);
    }
    if let Some(i) = BINARY.iter().position(|s| *s == suffix) {
        return Some(1024u128.pow(i as u32 + 1));
    }
    if let Some(i) = DECIMAL.iter().position(|s| *s == suffix) {
        return Some(1000u128.pow(i as u32 + 1));
    }
    let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (exponent <= 18).then(|| 10u128.pow(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kubernetes_reads() {
        for (text, amount) in [
            ("1", Some(1)),
            ("10Gi", Some(10 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("2G", Some(2_000_000_000)),
            ("1500m", Some(2)),
            ("1e3", Some(1000)),
            ("1E", Some(1_000_000_000_000_000_000)),
            ("1E3", Some(1000)),
            (".5Ki", Some(512)),
            ("", None),
            (".", None),
            ("-1", None),
            ("10GB", None),
            ("1.2.3", None),
            ("ten", None),
        ] {
            assert_eq!(bytes(text), amount, "{text:?}");
        }
    }
}
