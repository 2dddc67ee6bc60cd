//! Which names a KafkaTopic object may give a topic.

/// Kafka's limit, which leaves room for `-<partition>` in a folder's name.
const MAX: usize = 249;

/// Why a KafkaTopic cannot stand for a topic of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicNameError {
    /// Kafka would refuse the name.
    #[error(
        "topic name {0:?} is not allowed: 1 to {MAX} of a-z A-Z 0-9 . _ -, and neither \".\" nor \"..\""
    )]
    Illegal(String),
    /// Kafka keeps it for itself.
    #[error("topic {0:?} is not allowed: names that begin with \"__\" are Kafka's own")]
    Internal(String),
}

/// Checks a topic's name by Kafka's rules, and keeps Kafka's own topics out.
///
/// Access depends on it as much as the topics do: in an ACL the name `*` is
/// every topic, and who reads `__consumer_offsets` reads all groups' secrets.
pub fn check_topic_name(name: &str) -> Result<(), TopicNameError> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let fits = (1..=MAX).contains(&name.len());
    if !fits || name == "." || name == ".." || !name.bytes().all(legal) {
        return Err(TopicNameError::Illegal(name.to_owned()));
    }
    if name.starts_with("__") {
        return Err(TopicNameError::Internal(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_kafka_has_them() {
        let long = "x".repeat(MAX);
        for name in ["a", "A.b_c-9", "...", "_x", "x__y", &long] {
            assert_eq!(check_topic_name(name), Ok(()), "{name:?}");
        }
        let too_long = "x".repeat(MAX + 1);
        for name in ["", ".", "..", "*", "a b", "a/b", "\u{e9}", "a\0", &too_long] {
            let error = check_topic_name(name).unwrap_err();
            assert!(matches!(error, TopicNameError::Illegal(_)), "{name:?}");
        }
        for name in ["__consumer_offsets", "__x", "__"] {
            let error = check_topic_name(name).unwrap_err();
            assert!(matches!(error, TopicNameError::Internal(_)), "{name:?}");
        }
    }
}
