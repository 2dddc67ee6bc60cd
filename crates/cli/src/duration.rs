//! Durations as users write them.

use std::time::Duration;

/// A number and a unit, as in 24h, 90m or 60s.
pub fn duration(text: &str) -> Result<Duration, String> {
    let error =
        || format!("{text:?} is not a duration; it takes a number and s, m or h, as in 24h");
    let number = |unit: char| text.strip_suffix(unit)?.parse::<u64>().ok();
    let seconds = [('s', 1), ('m', 60), ('h', 3600)]
        .into_iter()
        .find_map(|(unit, each)| number(unit)?.checked_mul(each));
    seconds.map(Duration::from_secs).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for wrong in ["", "s", "60", "h2", "-1s", "1d", "1é", "99999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
