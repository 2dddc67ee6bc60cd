//! What sharing out promises.

use proptest::prelude::*;

use super::*;

const TOTAL: f64 = 1e6;
const FLOOR: f64 = 0.05;

fn demand() -> impl Strategy<Value = Demand> {
    prop_oneof![
        4 => (0.0..2.0 * TOTAL).prop_map(Demand::Recent),
        1 => Just(Demand::Recent(0.0)),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0)].prop_map(Demand::Recent),
        1 => (0..=PARTS).prop_map(Demand::Silent),
    ]
}

fn demands() -> impl Strategy<Value = BTreeMap<u8, Demand>> {
    proptest::collection::btree_map(any::<u8>(), demand(), 1..30)
}

fn sum(parts: &BTreeMap<u8, u32>) -> u64 {
    parts.values().map(|p| u64::from(*p)).sum()
}

/// The parts after some rounds in which each sidecar uses what it wants of what it has.
fn rounds(wanted: &[f64], mut parts: BTreeMap<u8, u32>, rounds: u32) -> BTreeMap<u8, u32> {
    for _ in 0..rounds {
        let demands = parts.iter().map(|(id, has)| {
            let has = f64::from(*has) / f64::from(PARTS) * TOTAL;
            (*id, Demand::Recent(wanted[usize::from(*id)].min(has)))
        });
        parts = share(TOTAL, &demands.collect(), FLOOR);
    }
    parts
}

proptest! {
    #[test]
    fn the_parts_are_the_whole(demands in demands(), floor in 0.0..1.0) {
        let parts = share(TOTAL, &demands, floor);
        prop_assert!(parts.keys().eq(demands.keys()));
        let some_speak = demands.values().any(|d| d.recent().is_some());
        let all = u64::from(PARTS);
        let whole = sum(&parts) == all || (!some_speak && sum(&parts) < all);
        prop_assert!(whole, "{parts:?}");
    }

    #[test]
    fn the_silent_keep_what_they_have_and_no_other_starves(demands in demands()) {
        let parts = share(TOTAL, &demands, FLOOR);
        let held: u64 = demands.values().map(|d| d.held()).sum();
        let live = demands.values().filter(|d| d.recent().is_some()).count() as u64;
        let free = u64::from(PARTS).saturating_sub(held);
        for (id, demand) in &demands {
            match demand {
                Demand::Silent(had) if held <= u64::from(PARTS) => prop_assert_eq!(parts[id], *had),
                Demand::Silent(had) => prop_assert!(parts[id] <= *had),
                Demand::Recent(_) => {
                    let floor = (f64::from(PARTS) * FLOOR) as u64;
                    prop_assert!(u64::from(parts[id]) >= floor.min(free / live));
                }
            }
        }
    }

    #[test]
    fn it_settles_wherever_it_begins(
        wanted in proptest::collection::vec(0.0..TOTAL, 2..8),
        before in proptest::collection::vec(0.0..TOTAL, 8),
    ) {
        let start = (0..wanted.len() as u8).map(|id| (id, Demand::Recent(before[usize::from(id)])));
        let start = share(TOTAL, &start.collect(), FLOOR);
        let settled = rounds(&wanted, start, 20);
        let again = rounds(&wanted, settled.clone(), 1);
        for (id, parts) in &settled {
            let moved = f64::from(*parts) - f64::from(again[id]);
            prop_assert!(moved.abs() <= f64::from(PARTS) * 0.001, "{settled:?} {again:?}");
        }
        // Who has less than it wants has at least an equal part.
        let equal = f64::from(PARTS) / wanted.len() as f64;
        for (id, parts) in settled {
            let wants = wanted[usize::from(id)] / TOTAL * f64::from(PARTS);
            let least = wants.min(equal) * 0.999;
            prop_assert!(f64::from(parts) >= least, "{id} has {parts} of {wants}");
        }
    }
}

#[test]
fn it_follows_a_demand_that_moves_within_six_rounds() {
    let busy_first = rounds(&[TOTAL, 0.0], [(0, PARTS / 2), (1, PARTS / 2)].into(), 6);
    assert_eq!(busy_first, [(0, 950_000_000), (1, 50_000_000)].into());
    let moved = rounds(&[0.0, TOTAL], busy_first, 6);
    assert_eq!(moved, [(0, 50_000_000), (1, 950_000_000)].into());
}

#[test]
fn equal_wants_get_equal_parts_and_nobody_is_no_trouble() {
    let parts = share(
        TOTAL,
        &[("a", Demand::Recent(0.0)), ("b", Demand::Recent(0.0))].into(),
        0.1,
    );
    assert_eq!(parts, [("a", PARTS / 2), ("b", PARTS / 2)].into());
    assert_eq!(share::<u8>(TOTAL, &BTreeMap::new(), 0.1), BTreeMap::new());
}
