//! The schema data, against what is known of Kafka's releases.

mod common;

use tubeway_protocol::schema::{Api, SchemaProblem, Versions};
use tubeway_protocol::{ApiKey, Direction, Schemas};

#[test]
fn releases_serve_what_they_are_known_to_serve() {
    let schemas = Schemas::get();
    assert_eq!(schemas.releases(), ["3.9.1", "4.3.1"]);
    for (key, old, new) in [
        (0, Some((0, 11)), Some((3, 13))),
        (1, Some((0, 17)), Some((4, 18))),
        (2, Some((0, 9)), Some((1, 11))),
        (3, Some((0, 12)), Some((0, 13))),
        (7, Some((0, 3)), None),
        (8, Some((0, 9)), Some((2, 10))),
        (11, Some((0, 9)), Some((0, 9))),
        (18, Some((0, 4)), Some((0, 4))),
        (27, Some((0, 1)), Some((1, 2))),
        (78, Some((0, 0)), Some((1, 2))),
        (88, None, Some((0, 0))),
    ] {
        let api = schemas.api(ApiKey(key)).unwrap();
        for (release, expected) in [("3.9.1", old), ("4.3.1", new)] {
            let expected = expected.map(|(first, last)| Versions { first, last });
            let served = api.served_by(release).map(|served| served.versions);
            assert_eq!(served, expected, "{} in {release}", api.name());
        }
    }
    let init = schemas
        .api(ApiKey::INIT_PRODUCER_ID)
        .unwrap()
        .served_by("4.3.1")
        .unwrap();
    assert_eq!(init.stable(), Some(Versions { first: 0, last: 5 }));
}

#[test]
fn apis_are_found_by_key_and_name() {
    let schemas = Schemas::get();
    for api in schemas.apis() {
        assert_eq!(schemas.api(api.key()).map(Api::name), Some(api.name()));
        assert_eq!(schemas.api_named(api.name()).map(Api::key), Some(api.key()));
    }
    assert!(schemas.api(ApiKey(-1)).is_none());
    assert!(schemas.api(ApiKey(999)).is_none());
    assert!(
        schemas
            .layout(ApiKey::PRODUCE, 14, Direction::Request)
            .is_err()
    );
    assert!(
        schemas
            .layout(ApiKey::PRODUCE, -1, Direction::Request)
            .is_err()
    );
    assert!(schemas.api(ApiKey::PRODUCE).unwrap().on_brokers());
    assert!(schemas.api(ApiKey(82)).unwrap().on_controllers());
}

#[test]
fn fields_come_and_go_with_versions() {
    let schemas = Schemas::get();
    let has = |version, path| {
        let layout = schemas
            .layout(ApiKey::PRODUCE, version, Direction::Request)
            .unwrap();
        layout.find(path).is_some()
    };
    assert!(!has(2, "TransactionalId") && has(3, "TransactionalId"));
    assert!(has(12, "TopicData.Name") && !has(13, "TopicData.Name"));
    assert!(!has(12, "TopicData.TopicId") && has(13, "TopicData.TopicId"));
    assert!(!has(3, "TopicData.Nothing"));
    let commit = schemas
        .layout(ApiKey::OFFSET_COMMIT, 1, Direction::Request)
        .unwrap();
    assert!(commit.find("Topics.Partitions.CommitTimestamp").is_some());
}

#[test]
fn every_element_takes_bytes() {
    // Or a count would be bounded by nothing.
    for layout in common::layouts() {
        for id in layout.all_fields() {
            let field = layout.field(id);
            assert!(
                layout.element_min(field) > 0,
                "{} {}",
                common::name(layout),
                field.name()
            );
        }
    }
}

#[test]
fn bad_text_is_refused_with_its_line() {
    let cases = [
        (
            "api 1 A\nrequest 0-1\n F what 0+",
            3,
            SchemaProblem::Unknown("what".into()),
        ),
        (
            "request 0-1",
            1,
            SchemaProblem::Expected("an api line before this"),
        ),
        (
            "api 1 A\nrequest 0-1\n  F int8 0+",
            3,
            SchemaProblem::Indentation,
        ),
        (
            "api 1 A\nrequest 0-1 flexible 1+\n F int8 0+ tag 0 0+",
            3,
            SchemaProblem::TagTooEarly,
        ),
        (
            "api 1 A\nrequest 0-1\nresponse 0-1\napi 1 B",
            4,
            SchemaProblem::Order,
        ),
        (
            "api 1 A\nrequest 0-1",
            2,
            SchemaProblem::Expected("a response"),
        ),
        (
            "api 1 A\nrequest 0-1\n F int8 0-2",
            3,
            SchemaProblem::Outside(
                Versions { first: 0, last: 2 },
                Versions { first: 0, last: 1 },
            ),
        ),
    ];
    for (text, line, problem) in cases {
        let error = Schemas::parse(text).unwrap_err();
        assert_eq!((error.line, error.problem), (line, problem), "{text}");
    }
}
