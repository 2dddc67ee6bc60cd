//! Questions that are asked at the same time, put together.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::select;
use tokio::sync::{Mutex as Turn, oneshot};

/// Puts the questions of many tasks together. While one batch is asked, the next
/// one gathers: a lone question waits for nothing, and many cost few calls.
pub struct Batch<Q, A> {
    /// The most questions in one batch.
    most: usize,
    waiting: Mutex<Vec<Waiting<Q, A>>>,
    turn: Turn<()>,
}

struct Waiting<Q, A> {
    question: Q,
    tell: oneshot::Sender<A>,
}

// === impl Batch ===

impl<Q: Clone, A> Batch<Q, A> {
    /// Batches of at most so many questions.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            waiting: Mutex::default(),
            turn: Turn::default(),
        }
    }

    /// The answer to a question. `all` answers those of a batch, as many as it is
    /// given and in their order; which of the askers' is called is open.
    ///
    /// It may be dropped at any point. A question that was with others when their
    /// asker was dropped is asked again.
    pub async fn ask<F>(&self, question: Q, all: impl Fn(Vec<Q>) -> F) -> A
    where
        F: Future<Output = Vec<A>>,
    {
        loop {
            let told = self.enqueue(question.clone());
            if let Some(answer) = self.answer(told, &all).await {
                return answer;
            }
        }
    }

    /// Waits until someone has answered, and asks when it is one's turn.
    async fn answer<F>(
        &self,
        mut told: oneshot::Receiver<A>,
        all: &impl Fn(Vec<Q>) -> F,
    ) -> Option<A>
    where
        F: Future<Output = Vec<A>>,
    {
        loop {
            let turn = select! {
                biased;
                answer = &mut told => return answer.ok(),
                turn = self.turn.lock() => turn,
            };
            let (questions, askers): (Vec<_>, Vec<_>) = self.take().into_iter().unzip();
            if !questions.is_empty() {
                for (tell, answer) in askers.into_iter().zip(all(questions).await) {
                    // Nobody may want it any more.
                    let _ = tell.send(answer);
                }
            }
            drop(turn);
        }
    }

    fn enqueue(&self, question: Q) -> oneshot::Receiver<A> {
        let (tell, told) = oneshot::channel();
        self.lock().push(Waiting { question, tell });
        told
    }

    /// The next batch: those who have waited longest and still do.
    fn take(&self) -> Vec<(Q, oneshot::Sender<A>)> {
        let mut waiting = self.lock();
        waiting.retain(|one| !one.tell.is_closed());
        let count = waiting.len().min(self.most);
        let batch = waiting.drain(..count);
        batch.map(|one| (one.question, one.tell)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiting<Q, A>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures::future::join_all;
    use proptest::prelude::*;
    use tokio::task::yield_now;
    use tokio::time::sleep;

    use super::*;

    type Batches = Arc<Mutex<Vec<Vec<u32>>>>;

    /// Answers each number with its double, in a second.
    async fn double(batches: Batches, numbers: Vec<u32>) -> Vec<u32> {
        batches.lock().unwrap().push(numbers.clone());
        sleep(Duration::from_secs(1)).await;
        numbers.iter().map(|number| number * 2).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_meanwhile_is_asked_together() {
        let (batch, batches) = (Batch::new(4), Batches::default());
        let ask = |n| batch.ask(n, |numbers| double(Arc::clone(&batches), numbers));
        let answers = join_all((0..7).map(ask)).await;
        assert_eq!(answers, [0, 2, 4, 6, 8, 10, 12]);
        let batches = batches.lock().unwrap();
        assert_eq!(*batches, [vec![0], vec![1, 2, 3, 4], vec![5, 6]]);
    }

    proptest! {
        #[test]
        fn whoever_stays_is_answered(
            most in 1_usize..5,
            askers in prop::collection::vec((0_u64..4000, 0_u64..4000), 1..12),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                let (batch, batches) = (Batch::new(most), Batches::default());
                let asked = (0_u32..).zip(&askers).map(async |(n, (begin, patience))| {
                    sleep(Duration::from_millis(*begin)).await;
                    let ask = batch.ask(n, |numbers| double(Arc::clone(&batches), numbers));
                    // Every second one goes away after a while.
                    let patience = Duration::from_millis(*patience + u64::from(n % 2) * 1_000_000);
                    (n, tokio::time::timeout(patience, ask).await)
                });
                for (n, answer) in join_all(asked).await {
                    if n % 2 == 1 {
                        assert_eq!(answer, Ok(n * 2));
                    }
                }
                yield_now().await;
                assert!(batch.take().is_empty(), "somebody waits for ever");
                assert!(batches.lock().unwrap().iter().all(|one| one.len() <= most));
            });
        }
    }
}
