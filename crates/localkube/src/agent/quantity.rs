//! Resource quantities such as `500m` or `2Gi`, as far as the downward API needs them.

/// A quantity in billionths, the finest unit Kubernetes has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Nanos(i128);

const UNIT: i128 = 1_000_000_000;

// === impl Nanos ===

impl Nanos {
    /// Parses a quantity; `None` when it is none, or beyond what fits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let end = text
            .find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c)))
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let scale = scale(suffix)?;
        let negative = number.starts_with('-');
        let number = number.strip_prefix(['+', '-']).unwrap_or(number);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.len() > 18 {
            return None;
        }
        if !number
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
        {
            return None;
        }
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let value = digits.checked_mul(scale)?;
        let divisor = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        // Kubernetes rounds away from zero what is finer than its finest unit.
        let value = (value + divisor - 1) / divisor;
        Some(Self(if negative { -value } else { value }))
    }

    /// How often `divisor` fits, rounded up, as the downward API prints it.
    pub(crate) fn divided_by(self, divisor: Self) -> Option<i128> {
        (divisor.0 > 0).then(|| (self.0 + divisor.0 - 1).div_euclid(divisor.0))
    }

    /// One whole unit.
    pub(crate) const fn one() -> Self {
        Self(UNIT)
    }
}

fn scale(suffix: &str) -> Option<i128> {
    let binary = |power: u32| UNIT.checked_mul(1024_i128.pow(power));
    let decimal = |power: u32| UNIT.checked_mul(10_i128.pow(power));
    match suffix {
        "n" => Some(1),
        "u" => Some(1_000),
        "m" => Some(1_000_000),
        "" => Some(UNIT),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let power: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (power <= 18).then(|| decimal(power)).flatten()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_units(text: &str, divisor: &str) -> Option<i128> {
        Nanos::parse(text)?.divided_by(Nanos::parse(divisor)?)
    }

    #[test]
    fn divides_and_rounds_up() {
        assert_eq!(in_units("512Mi", "1"), Some(512 << 20));
        assert_eq!(in_units("512Mi", "1Mi"), Some(512));
        assert_eq!(in_units("513Mi", "1Gi"), Some(1));
        assert_eq!(in_units("500m", "1"), Some(1));
        assert_eq!(in_units("1500m", "1m"), Some(1500));
        assert_eq!(in_units("1.5Gi", "1Mi"), Some(1536));
        assert_eq!(in_units("2e3", "1k"), Some(2));
        assert_eq!(in_units("1E", "1P"), Some(1000));
    }

    #[test]
    fn refuses_what_is_no_quantity() {
        for text in ["", "Mi", "1Zi", "1.2.3", "--1", "e3", "1e99"] {
            assert_eq!(Nanos::parse(text), None, "{text}");
        }
        assert_eq!(in_units("1", "0"), None);
    }
}
