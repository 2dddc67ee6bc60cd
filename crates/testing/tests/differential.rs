//! Two brokers, answer by answer (`tubeway_testing::differential`).

use tubeway_testing::differential::suite::{Filter, Second, compare};

#[tokio::test(flavor = "multi_thread")]
async fn two_brokers_with_the_same_acls_answer_alike() {
    let report = compare(Second::Native, &Filter::from_env())
        .await
        .expect("the suite runs");
    println!("{report}\n{}", report.coverage_list());
    assert!(report.missing.is_empty(), "{:?}", report.missing);
    assert_eq!(report.different().count(), 0);
}
