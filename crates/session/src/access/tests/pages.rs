//! DescribeTopicPartitions: pages, and where they end.

use tubeway_protocol::value::{Struct, Value};

use super::super::tree;
use super::metadata::{NONE, names, reader, said};
use super::world::{World, entry, request, response, with};

fn page(names: &[&str], cursor: Option<(&str, i32)>) -> Struct {
    let mut asked = request(75, 0);
    for name in names {
        let topic = entry(&asked, "Topics", &[("Name", (*name).into())]);
        tree::push(&mut asked, "Topics", topic);
    }
    if let Some((name, index)) = cursor {
        let blank = asked.child("Cursor").unwrap();
        let values = [("TopicName", name.into()), ("PartitionIndex", index.into())];
        asked.set("Cursor", with(blank, &values));
    }
    asked
}

fn pages(topics: &[&str], next: Option<(&str, i32)>) -> impl Fn(&Struct) -> Struct {
    let mut page = response(75, 0);
    for name in topics {
        let topic = entry(&page, "Topics", &[("Name", (*name).into())]);
        tree::push(&mut page, "Topics", topic);
    }
    if let Some((name, index)) = next {
        let blank = page.child("NextCursor").unwrap();
        let values = [("TopicName", name.into()), ("PartitionIndex", index.into())];
        page.set("NextCursor", with(blank, &values));
    }
    move |_| page.clone()
}

#[test]
fn pages_of_named_topics() {
    let world = reader();
    let [sent, described] = world.amended(&page(&["no", "yes", "no"], None), pages(&["yes"], None));
    assert_eq!(names(&sent), ["yes"]);
    assert_eq!(said(&described), ["yes 0", "no 29"]);
    let operations: Vec<_> = described
        .structs("Topics")
        .map(|topic| topic.int("TopicAuthorizedOperations"))
        .collect();
    assert_eq!(operations, [1 << 3 | 1 << 8, NONE]);
    let all = World::nobody().answer(&page(&["b", "a"], None));
    assert_eq!(said(&all), ["b 29", "a 29"]);
}

#[test]
fn pages_begin_at_their_cursor() {
    let world = reader();
    // Denied topics before it have been told of.
    let [sent, described] = world.amended(
        &page(&["no", "yes", "zoo"], Some(("yes", 3))),
        pages(&["yes"], None),
    );
    assert_eq!(names(&sent), ["yes"]);
    assert!(matches!(sent.get("Cursor"), Some(Value::Struct(_))));
    assert_eq!(said(&described), ["yes 0", "zoo 29"]);
    // A denied one at it begins the page at the next.
    let [sent, _] = world.amended(
        &page(&["also", "no", "yes"], Some(("no", 3))),
        pages(&["yes"], None),
    );
    assert_eq!(
        (names(&sent), tree::is_null(&sent, "Cursor")),
        (vec!["yes"], true)
    );
    for (cursor, index) in [("other", 0), ("yes", -1)] {
        let answer = world.answer(&page(&["no", "yes"], Some((cursor, index))));
        assert_eq!(said(&answer), ["no 42", "yes 42"]);
    }
}

fn next(described: &Struct) -> Option<(String, i64)> {
    match described.get("NextCursor") {
        Some(Value::Struct(cursor)) => Some((
            cursor.str("TopicName").unwrap().to_owned(),
            cursor.int("PartitionIndex"),
        )),
        _ => None,
    }
}

#[test]
fn pages_of_all_topics() {
    let world = reader();
    let [_, described] = world.amended(
        &page(&[], None),
        pages(&["also", "no", "yes"], Some(("yes", 7))),
    );
    assert_eq!(said(&described), ["also 0", "yes 0"]);
    assert_eq!(next(&described), Some(("yes".into(), 7)));
    let [_, described] = world.amended(&page(&[], None), pages(&["also"], None));
    assert_eq!(next(&described), None);
}

/// What the page shows, where it began, where it ends, and what that becomes.
type Case = (
    &'static [&'static str],
    Option<&'static str>,
    &'static str,
    (&'static str, i64),
);

/// A page may end at a topic that the caller may not see: as much of its name is
/// told as leads behind what they have seen.
#[test]
fn a_cursor_tells_no_more_than_it_must() {
    let world = reader();
    let cases: [Case; 5] = [
        (&["also"], None, "secret", ("s", 0)),
        (&["also"], None, "alto", ("alt", 0)),
        (&["no"], None, "secret", ("s", 0)),
        // There must be progress.
        (&["secret-1"], Some("s"), "secret-2", ("se", 0)),
        (&["secret"], Some("secret"), "secret", ("secret", 9)),
    ];
    for (topics, from, at, expected) in cases {
        let asked = page(&[], from.map(|from| (from, 0)));
        let [_, described] = world.amended(&asked, pages(topics, Some((at, 9))));
        assert_eq!(
            next(&described),
            Some((expected.0.into(), expected.1)),
            "{at}"
        );
    }
}
