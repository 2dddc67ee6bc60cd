//! `$(NAME)` references in commands, arguments and variables, as Kubernetes expands them.

use std::collections::BTreeMap;

/// Replaces `$(NAME)` by the variable's value. An unknown name stays as written, `$$` becomes `$`
/// (so `$$(NAME)` is a literal `$(NAME)`), and any other `$` stays.
pub(crate) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = reference(after) {
            match variables.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&rest[dollar..=dollar + name.len() + 2]),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Splits `(NAME)tail`.
fn reference(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('(')?.split_once(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_kubernetes_does() {
        let variables = BTreeMap::from([
            ("A".to_owned(), "1".to_owned()),
            ("B".to_owned(), "$(A)".to_owned()),
        ]);
        for (text, expected) in [
            ("$(A)", "1"),
            ("x$(A)y$(A)", "x1y1"),
            ("$(C)", "$(C)"),
            ("$(C)$(A)", "$(C)1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$", "$"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(A", "$(A"),
            ("$(B)", "$(A)"),
            ("é$(A)é", "é1é"),
        ] {
            assert_eq!(expand(text, &variables), expected, "{text}");
        }
    }
}
