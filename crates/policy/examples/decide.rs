//! How long one decision takes, by how many rules there are.
//!
//! `cargo run --release -p tubeway-policy --example decide`

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use tubeway_policy::acl::{AclBinding, Operation, PatternType, Permission, ResourceType};
use tubeway_policy::rules::{AccessRules, Authorizer, Caller, Resource, Rule};

const SIZES: [usize; 3] = [1, 1_000, 100_000];
const DECISIONS: usize = 100_000;
/// The quickest counts: it was disturbed least by what else the machine did.
const ROUNDS: usize = 20;
/// Names and callers that take turns, so that caches do not hold one answer.
const ASKED: usize = 4_096;

/// What the rules of a set differ in.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Literal names, all of one principal.
    Literals,
    /// Prefixes, all of one principal.
    Prefixes,
    /// Prefixes of each other, up to a topic name's 249 letters, and prefixes besides.
    Nested,
    /// One rule each for as many principals.
    Principals,
    /// Networks of one topic.
    Hosts,
}

fn main() {
    println!(
        "{:<11} {:>9} {:>10} {:>10} {:>10} {:>10} {:>12}",
        "rules", "number", "allow ns", "refuse ns", "deny ns", "any ns", "build ms"
    );
    let shapes = [
        Shape::Literals,
        Shape::Prefixes,
        Shape::Nested,
        Shape::Principals,
        Shape::Hosts,
    ];
    for shape in shapes {
        for size in SIZES {
            measure(shape, size);
        }
    }
}

fn measure(shape: Shape, size: usize) {
    let rules: Vec<_> = (0..size).map(|i| shape.rule(i)).collect();
    // Everybody has some rules too, and the denials are looked for in both.
    let mut all = rules;
    all.push(allow(0, "User:*", "public-", PatternType::Prefixed, "*"));
    let mut secret = allow(0, "User:*", "secret", PatternType::Literal, "*");
    secret.acl.permission = Permission::Deny;
    all.push(secret);
    let begun = Instant::now();
    let index = Authorizer::new(AccessRules {
        rules: all,
        ..AccessRules::default()
    });
    let build = begun.elapsed().as_millis();
    let asked: Vec<_> = (0..ASKED)
        .map(|i| shape.question(i * 7_919 % size))
        .collect();
    let time = |what: &dyn Fn(&(Caller, String)) -> bool, expected: bool| {
        for question in &asked {
            assert_eq!(what(question), expected, "{question:?}");
        }
        let round = || {
            let begun = Instant::now();
            for question in asked.iter().cycle().take(DECISIONS) {
                black_box(what(black_box(question)));
            }
            begun.elapsed().as_nanos() / DECISIONS as u128
        };
        (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
    };
    let decide = |caller: &Caller, operation, name: &str| {
        let resource = Resource::topic(name);
        index.authorize(caller, operation, resource).allowed
    };
    let allowed = time(
        &|(caller, name)| decide(caller, Operation::Read, name),
        true,
    );
    let refused = time(
        &|(caller, name)| decide(caller, Operation::Alter, name),
        false,
    );
    let denied = time(
        &|(caller, _)| decide(caller, Operation::Read, "secret"),
        false,
    );
    let any = time(
        &|(caller, _)| index.authorize_any(caller, Operation::Read, ResourceType::Topic),
        true,
    );
    let kind = format!("{shape:?}").to_lowercase();
    println!("{kind:<11} {size:>9} {allowed:>10} {refused:>10} {denied:>10} {any:>10} {build:>12}");
}

/// `caller` may READ; `i` is for the source only.
fn allow(i: usize, caller: &str, name: &str, pattern: PatternType, host: &str) -> Rule {
    let acl = AclBinding::allow(caller, Operation::Read, ResourceType::Topic, name);
    Rule {
        source: format!("rule {i}"),
        ..Rule::from(AclBinding {
            pattern,
            host: host.to_owned(),
            ..acl
        })
    }
}

fn principal(i: usize) -> String {
    format!(
        "User:spiffe://cluster.local/ns/team-{}/sa/service-{i}",
        i % 100
    )
}

fn address(i: usize) -> IpAddr {
    IpAddr::from((0x0a00_0000 + i as u32 * 4).to_be_bytes())
}

// === impl Shape ===

impl Shape {
    fn rule(self, i: usize) -> Rule {
        let (one, topic) = (principal(0), format!("team-{}.orders-{i}", i % 100));
        let (literal, prefixed) = (PatternType::Literal, PatternType::Prefixed);
        match self {
            Self::Literals => allow(i, &one, &topic, literal, "*"),
            Self::Nested if i < 249 => allow(i, &one, &"x".repeat(i + 1), prefixed, "*"),
            Self::Nested | Self::Prefixes => allow(i, &one, &format!("{topic}."), prefixed, "*"),
            Self::Principals => allow(i, &principal(i), "orders", literal, "*"),
            Self::Hosts => allow(i, &one, "orders", literal, &format!("{}/30", address(i))),
        }
    }

    /// Who asks for which topic, so that the rule `i` decides.
    fn question(self, i: usize) -> (Caller, String) {
        let caller = |principal: String, host: IpAddr| Caller {
            principal: principal.into(),
            host,
            zone: Some("eu-1a".into()),
        };
        let one = caller(principal(0), address(0));
        let topic = format!("team-{}.orders-{i}", i % 100);
        match self {
            Self::Literals => (one, topic),
            Self::Prefixes => (one, format!("{topic}.created")),
            Self::Nested => (one, "x".repeat(249)),
            Self::Principals => (caller(principal(i), address(0)), "orders".to_owned()),
            Self::Hosts => (caller(principal(0), address(i)), "orders".to_owned()),
        }
    }
}
