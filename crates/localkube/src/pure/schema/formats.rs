//! The string formats that the server checks. An unknown format allows everything.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Whether `text` has the format; true for formats that are not checked.
pub(super) fn matches(format: &str, text: &str) -> bool {
    match format {
        "date-time" => date_time(text),
        "date" => text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10,
        "duration" => duration(text),
        "byte" => STANDARD.decode(text).is_ok(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => cidr(text),
        "uuid" => uuid::Uuid::try_parse(text).is_ok(),
        "mac" => mac(text),
        "hostname" | "k8s-long-name" => dns_subdomain(text),
        "k8s-short-name" => text.len() <= 63 && dns_label(text),
        "uri" => text
            .parse::<http::Uri>()
            .is_ok_and(|uri| uri.scheme().is_some()),
        "email" => text.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && !user.contains(char::is_whitespace) && dns_subdomain(host)
        }),
        _ => true,
    }
}

fn date_time(text: &str) -> bool {
    // RFC 3339 wants the separator and an offset; a bare date or a named zone is none.
    let separated = matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' '));
    separated && !text.contains('[') && text.parse::<jiff::Timestamp>().is_ok()
}

/// Go's duration syntax (`1h30m`), in which every number has a unit.
fn duration(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    if text == "0" {
        return true;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        if number.parse::<f64>().is_err() {
            return false;
        }
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        if !["ns", "us", "µs", "ms", "s", "m", "h", "d", "w"].contains(&unit) {
            return false;
        }
        rest = tail;
    }
    !text.is_empty()
}

fn cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let Ok(bits) = bits.parse::<u8>() else {
        return false;
    };
    address.parse::<Ipv4Addr>().is_ok() && bits <= 32
        || address.parse::<Ipv6Addr>().is_ok() && bits <= 128
}

fn mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    parts.len() == 6
        && parts
            .iter()
            .all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().copied().is_some_and(inner)
        && bytes.last().copied().is_some_and(inner)
        && bytes.iter().all(|&b| inner(b) || b == b'-')
}

fn dns_subdomain(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.len() <= 253 && lower.split('.').all(dns_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_good_from_bad() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            (
                "date-time",
                &["2026-11-23T10:00:00Z", "2026-11-23T10:00:00.5+01:00"],
                &["2026-11-23", "yesterday", "2026-11-23T10:00:00"],
            ),
            ("date", &["2026-11-23"], &["2026-13-01", "2026-11-23T00:00"]),
            (
                "duration",
                &["0", "1h30m", "-1.5s", "10ms", "3d"],
                &["", "1", "h", "1x", "1h 2m"],
            ),
            ("byte", &["", "aGk="], &["aGk", "%"]),
            ("ipv4", &["10.0.0.1"], &["10.0.0", "::1"]),
            ("ipv6", &["::1"], &["10.0.0.1"]),
            (
                "cidr",
                &["10.0.0.0/8", "fd00::/64"],
                &["10.0.0.0", "10.0.0.0/33", "x/8"],
            ),
            (
                "uuid",
                &["67e55044-10b1-426f-9247-bb680e5fe0c8"],
                &["67e55044"],
            ),
            ("mac", &["01:23:45:67:89:ab"], &["01:23:45:67:89"]),
            ("hostname", &["a.example.com"], &["-a", "a..b", ""]),
            ("k8s-short-name", &["a-b"], &["a.b", "A"]),
            ("uri", &["https://a/b"], &["a b", "/only/path"]),
            ("email", &["a@example.com"], &["example.com", "@x"]),
            ("password", &["anything"], &[]),
        ];
        for (format, good, bad) in cases {
            for text in *good {
                assert!(matches(format, text), "{format}: {text} is good");
            }
            for text in *bad {
                assert!(!matches(format, text), "{format}: {text} is bad");
            }
        }
    }
}
