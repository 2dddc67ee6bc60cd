//! Reading what a consumer prints until it has read enough.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{Client, ClientError, Consumed, Event, Run};
use crate::records::{Position, Read};

/// Reads until the goal is reached; dropping the process then kills it.
pub(super) async fn consume(
    client: Client,
    run: Run,
    timeout: Duration,
    mut goal: Goal,
) -> Result<Consumed, ClientError> {
    let Run {
        mut process,
        read_line,
    } = run;
    let mut sessions = Sessions::new(client.tells());
    let work = async {
        while let Some(line) = process.line().await? {
            match read_line(&line) {
                Event::Read(read) => {
                    sessions.push(read);
                    if goal.read(read.at) {
                        return Ok(None);
                    }
                }
                Event::Reassigned => sessions.split(),
                Event::Sent { .. } | Event::Said => process.remember(line),
            }
        }
        process.wait().await.map(Some)
    };
    match tokio::time::timeout(timeout, work).await {
        Ok(Ok(None)) => Ok(sessions.all),
        Ok(Ok(Some(status))) => Err(ClientError::Ended {
            client,
            status,
            records: sessions.records(),
            said: process.said(),
        }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(client.timed_out(timeout, sessions.records(), &process)),
    }
}

/// What is left to read.
pub(super) enum Goal {
    Records(u64, HashSet<Position>),
    /// Partition → the offset that its last record lies below; those that are reached are gone.
    Offsets(HashMap<i32, i64>),
}

// === impl Goal ===

impl Goal {
    pub(super) fn records(count: u64) -> Self {
        Self::Records(count, HashSet::new())
    }

    /// Counts a record; whether it was the last one needed.
    fn read(&mut self, at: Position) -> bool {
        match self {
            Self::Records(_, seen) => {
                seen.insert(at);
            }
            Self::Offsets(ends) => {
                if ends
                    .get(&at.partition)
                    .is_some_and(|&end| at.offset + 1 >= end)
                {
                    ends.remove(&at.partition);
                }
            }
        }
        self.is_reached()
    }

    pub(super) fn is_reached(&self) -> bool {
        match self {
            Self::Records(count, seen) => seen.len() as u64 >= *count,
            Self::Offsets(ends) => ends.is_empty(),
        }
    }
}

/// A consumer's reads, cut where its partitions changed.
struct Sessions {
    all: Consumed,
    client_tells: bool,
    last: HashMap<i32, i64>,
}

// === impl Sessions ===

impl Sessions {
    fn new(client_tells: bool) -> Self {
        Self {
            all: vec![Vec::new()],
            client_tells,
            last: HashMap::new(),
        }
    }

    fn push(&mut self, read: Read) {
        let Position { partition, offset } = read.at;
        let last = self.last.insert(partition, offset);
        if !self.client_tells && last.is_some_and(|last| offset <= last) {
            self.split();
            self.last.insert(partition, offset);
        }
        if let Some(session) = self.all.last_mut() {
            session.push(read);
        }
    }

    fn split(&mut self) {
        self.last.clear();
        self.all.push(Vec::new());
    }

    fn records(&self) -> usize {
        self.all.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, offset: i64) -> Position {
        Position { partition, offset }
    }

    #[test]
    fn a_record_read_again_does_not_count() {
        let mut goal = Goal::records(2);
        assert!(!goal.read(at(0, 0)));
        assert!(!goal.read(at(0, 0)));
        assert!(goal.read(at(1, 0)));
    }

    #[test]
    fn the_end_is_reached_when_every_partition_has_reached_its_own() {
        let mut goal = Goal::Offsets(HashMap::from([(0, 2), (3, 1)]));
        assert!(!goal.read(at(0, 1)));
        assert!(!goal.read(at(1, 5)));
        assert!(goal.read(at(3, 0)));
        assert!(Goal::Offsets(HashMap::new()).is_reached());
    }

    #[test]
    fn a_step_back_begins_a_session_only_where_the_client_does_not_say() {
        for (tells, wanted) in [(false, vec![2, 2]), (true, vec![4])] {
            let mut sessions = Sessions::new(tells);
            for offset in [0, 1, 1, 2] {
                sessions.push(Read::new(at(0, offset), b"1.1"));
            }
            let lengths: Vec<_> = sessions.all.iter().map(Vec::len).collect();
            assert_eq!(lengths, wanted);
        }
    }
}
