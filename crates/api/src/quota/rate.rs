//! Rates as people write them in YAML.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An amount a second: a whole number, or a Kubernetes quantity such as `10Mi`.
///
/// What is neither is kept as it came for [`QuotaRate::per_second`] to refuse,
/// since one object that cannot be read would stop the operator from reading
/// all others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuotaRate(pub Value);

// === impl QuotaRate ===

impl QuotaRate {
    /// The amount; `None` for what is no amount or is negative.
    ///
    /// ```
    /// use tubeway_api::QuotaRate;
    /// assert_eq!(QuotaRate(250.into()).per_second(), Some(250.0));
    /// assert_eq!(QuotaRate("10Mi".into()).per_second(), Some(10_485_760.0));
    /// assert_eq!(QuotaRate("500m".into()).per_second(), Some(0.5));
    /// assert_eq!(QuotaRate("-1".into()).per_second(), None);
    /// ```
    pub fn per_second(&self) -> Option<f64> {
        match &self.0 {
            Value::Number(number) => number.as_u64().map(|number| number as f64),
            Value::String(text) => quantity(text),
            _ => None,
        }
    }
}

impl From<u32> for QuotaRate {
    fn from(number: u32) -> Self {
        Self(number.into())
    }
}

impl From<&str> for QuotaRate {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl JsonSchema for QuotaRate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "QuotaRate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": crate::schema::QUANTITY,
        })
    }
}

fn quantity(text: &str) -> Option<f64> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let amount = number * factor(suffix)?;
    amount.is_finite().then_some(amount)
}

fn factor(suffix: &str) -> Option<f64> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    let power = |names: [&str; 6], base: f64| {
        let position = names.iter().position(|name| *name == suffix)?;
        Some(base.powi(position as i32 + 1))
    };
    match suffix {
        "" => Some(1.0),
        "m" => Some(0.001),
        _ => power(BINARY, 1024.0)
            .or_else(|| power(DECIMAL, 1000.0))
            .or_else(|| exponent(suffix)),
    }
}

fn exponent(suffix: &str) -> Option<f64> {
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let digits = digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then_some(digits)?;
    Some(10_f64.powi(digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_schema_lets_through() {
        for (text, amount) in [
            ("1", Some(1.0)),
            ("10Gi", Some(f64::from(10 << 20) * 1024.0)),
            ("1.5Ki", Some(1536.0)),
            ("2G", Some(2e9)),
            (".5k", Some(500.0)),
            ("5.", Some(5.0)),
            ("250m", Some(0.25)),
            ("1e3", Some(1000.0)),
            ("1E3", Some(1000.0)),
            ("1E", Some(1e18)),
            ("", None),
            (".", None),
            ("-1", None),
            ("+1", None),
            ("1e-3", None),
            ("1.1.1", None),
            ("1 k", None),
            ("1K", None),
            ("inf", None),
            ("1e999", None),
            ("NaN", None),
        ] {
            assert_eq!(quantity(text), amount, "{text:?}");
        }
        for value in [Value::Null, (-1).into(), true.into(), 1.5.into()] {
            assert_eq!(QuotaRate(value.clone()).per_second(), None, "{value}");
        }
    }
}
