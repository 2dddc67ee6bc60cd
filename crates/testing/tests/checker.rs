//! The checker against histories that are right, and the same with one thing wrong.

use proptest::prelude::*;
use proptest::sample::Index;
use tubeway_testing::checker::{History, Report, Violation};
use tubeway_testing::records::{Outcome, Position, Read, RecordId, Workload};

const PARTITIONS: i32 = 3;

/// A right history: some producers, every record acknowledged and read, in
/// order, by one consumer, partitions interleaved.
fn right(producers: u32, count: u64) -> History {
    let mut history = History::default();
    let mut next = [0_i64; PARTITIONS as usize];
    let mut reads = Vec::new();
    for seq in 0..count {
        for producer in 0..producers {
            let workload = Workload::new(producer, count);
            let partition = (producer as i32 + seq as i32) % PARTITIONS;
            let offset = next[partition as usize];
            // Offsets may be sparse.
            next[partition as usize] += if seq % 5 == 4 { 2 } else { 1 };
            let at = Position { partition, offset };
            let sent = workload.sent(seq, Outcome::Acked(Some(at)));
            history.sent.push(sent);
            reads.push(Read::new(at, workload.value(seq).as_bytes()));
        }
    }
    history.sessions.push(reads);
    history
}

/// The kinds of violation, each once.
fn kinds(report: &Report) -> Vec<&'static str> {
    let mut kinds: Vec<_> = report.violations.iter().map(Violation::kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn id(producer: u32, seq: u64) -> RecordId {
    RecordId { producer, seq }
}

proptest! {
    #[test]
    fn a_right_history_is_clean(producers in 1_u32..5, count in 0_u64..60) {
        let report = right(producers, count).check();
        prop_assert!(report.is_clean(), "{}", report);
        prop_assert_eq!(report.read as u64, u64::from(producers) * count);
    }

    #[test]
    fn a_right_history_stays_clean_when_read_twice(producers in 1_u32..5, count in 1_u64..60) {
        let mut history = right(producers, count);
        history.sessions.push(history.sessions[0].clone());
        let report = history.check();
        prop_assert!(report.is_clean(), "{}", report);
        prop_assert_eq!(report.read_again, report.read);
    }

    #[test]
    fn an_errored_send_may_be_there_or_not(which: Index, gone: bool) {
        let mut history = right(2, 30);
        let which = which.index(history.sent.len());
        history.sent[which].outcome = Outcome::Unknown;
        if gone {
            let id = history.sent[which].id;
            history.sessions[0].retain(|read| read.id != Some(id));
        }
        prop_assert!(history.check().is_clean());
    }

    #[test]
    fn a_lost_record_is_found(which: Index) {
        let mut history = right(2, 30);
        // The last record of a partition is "unseen" instead; see below.
        let which = which.index(history.sent.len() - 2 * PARTITIONS as usize);
        let lost = history.sent[which].id;
        history.sessions[0].retain(|read| read.id != Some(lost));
        let report = history.check();
        prop_assert_eq!(kinds(&report), ["lost", "skipped"][..(if first_of_partition(&history, lost) { 1 } else { 2 })].to_vec());
        let named = report.violations.iter().any(|violation| {
            matches!(violation, Violation::Lost { id, .. } if *id == lost)
        });
        prop_assert!(named);
    }

    #[test]
    fn a_record_nobody_read_by_the_end_is_found(keep in 0_usize..60) {
        let mut history = right(2, 30);
        history.sessions[0].truncate(keep);
        let report = history.check();
        prop_assert_eq!(kinds(&report), ["unseen"]);
        prop_assert_eq!(report.violations.len(), 60 - keep);
    }

    #[test]
    fn a_second_copy_is_found(which: Index) {
        let mut history = right(2, 30);
        let mut copy = history.sessions[0][which.index(60)];
        copy.at.offset = 1000;
        history.sessions[0].push(copy);
        let report = history.check();
        prop_assert_eq!(kinds(&report), ["duplicated"], "{}", report);
        prop_assert_eq!(report.violations.len(), 1);
    }

    #[test]
    fn two_swapped_records_of_one_producer_are_found(partition in 0..PARTITIONS, which: Index) {
        // One producer whose client does not say where records went.
        let mut history = right(1, 60);
        for sent in &mut history.sent {
            sent.outcome = Outcome::Acked(None);
        }
        let reads = &mut history.sessions[0];
        let here: Vec<usize> =
            (0..reads.len()).filter(|&i| reads[i].at.partition == partition).collect();
        let first = which.index(here.len() - 1);
        let (a, b) = (here[first], here[first + 1]);
        let (at_a, at_b) = (reads[a].at, reads[b].at);
        (reads[a].at, reads[b].at) = (at_b, at_a);
        reads.swap(a, b);
        let report = history.check();
        prop_assert_eq!(kinds(&report), ["reordered"], "{}", report);
        prop_assert_eq!(report.violations.len(), 1);
    }

    #[test]
    fn a_changed_value_is_found(which: Index, byte: Index) {
        let mut history = right(2, 30);
        let which = which.index(60);
        let sent = history.sent[which];
        let mut value = Workload::new(sent.id.producer, 30).value(sent.id.seq).into_bytes();
        let payload = value.len() - 32;
        value[payload + byte.index(32)] ^= 1;
        let at = history.sessions[0][which].at;
        history.sessions[0][which] = Read::new(at, &value);
        let report = history.check();
        prop_assert!(kinds(&report).contains(&"corrupted"), "{}", report);
        prop_assert!(!report.is_clean());
    }

    #[test]
    fn two_values_at_one_offset_are_found(which: Index) {
        let mut history = right(2, 30);
        // A second consumer reads another producer's next record there.
        let which = which.index(59);
        let mut other = history.sessions[0][which + 1];
        other.at = history.sessions[0][which].at;
        history.sessions.push(vec![other]);
        let report = history.check();
        prop_assert!(kinds(&report).contains(&"inconsistent offset"), "{}", report);
    }
}

/// Whether nothing was read before this record in its partition.
fn first_of_partition(history: &History, lost: RecordId) -> bool {
    let sent = history.sent.iter().find(|sent| sent.id == lost);
    matches!(sent.map(|sent| sent.outcome), Some(Outcome::Acked(Some(at))) if at.offset == 0)
}

#[test]
fn a_record_that_nobody_sent_is_found() {
    let mut history = right(1, 10);
    let at = Position {
        partition: 0,
        offset: 1000,
    };
    let stranger = Workload::new(9, 1);
    history.sessions[0].push(Read::new(at, stranger.value(0).as_bytes()));
    let report = history.check();
    assert_eq!(
        report.violations,
        [Violation::Unexpected { id: id(9, 0), at }]
    );
}

#[test]
fn a_refused_record_that_was_written_is_found() {
    let mut history = right(1, 10);
    history.sent[4].outcome = Outcome::Refused;
    let at = history.sessions[0][4].at;
    let report = history.check();
    assert_eq!(
        report.violations,
        [Violation::RefusedButWritten { id: id(0, 4), at }]
    );
}

#[test]
fn a_refused_record_that_was_not_written_is_right() {
    let mut history = right(1, 10);
    history.sent[9].outcome = Outcome::Refused;
    history.sessions[0].pop();
    history.check().assert_clean(9);
}

#[test]
fn a_consumer_that_goes_back_is_found_but_not_after_a_rebalance() {
    let mut history = right(1, 30);
    let again = history.sessions[0][27];
    history.sessions.push(vec![again]);
    history.check().assert_clean(30);

    history.sessions[0].push(again);
    let report = history.check();
    assert_eq!(kinds(&report), ["rewound"]);
}

#[test]
fn a_consumer_that_skips_what_another_read_is_found() {
    let mut history = right(1, 30);
    let mut second = history.sessions[0].clone();
    second.remove(12);
    history.sessions.push(second);
    let report = history.check();
    let [Violation::Skipped { session: 1, id, .. }] = report.violations[..] else {
        panic!("{report}");
    };
    assert_eq!(id.seq, 12);
}

#[test]
fn a_report_is_a_page_a_person_can_read() {
    let mut history = right(2, 30);
    history.sent[7].outcome = Outcome::Unknown;
    history.sessions[0].truncate(52);
    assert_text(
        &history.check().to_string(),
        "59 acknowledged, 1 with an error, 0 refused; 52 read, 0 times again: 8 violations\n\
         \x20 unseen: 8\n\
         \x20   0:26 was acknowledged at 2@20, beyond all that was read\n\
         \x20   1:26 was acknowledged at 0@20, beyond all that was read\n\
         \x20   0:27 was acknowledged at 0@21, beyond all that was read\n\
         \x20   1:27 was acknowledged at 1@22, beyond all that was read\n\
         \x20   0:28 was acknowledged at 1@23, beyond all that was read\n\
         \x20   and 3 more",
    );
}

#[track_caller]
fn assert_text(got: &str, wanted: &str) {
    assert!(got == wanted, "got:\n{got}\n\nwanted:\n{wanted}");
}

#[test]
#[should_panic(expected = "0 acknowledged")]
fn a_run_that_did_nothing_proves_nothing() {
    History::default().check().assert_clean(1);
}
