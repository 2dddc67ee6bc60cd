//! Which request meets which fault. Pure.

use std::time::Duration;

use http::Method;

/// What is known of a request when it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// Its path, without the query.
    pub path: String,
    /// Whether it opens a watch.
    pub watch: bool,
}

/// What kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Every request.
    Any,
    /// Whatever changes something.
    Write,
    /// Gets and lists.
    Read,
    /// Watches.
    Watch,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client ends before its request arrives: nothing is done, and no answer comes.
    CrashBefore,
    /// The request is carried out, and the client ends before it gets the answer.
    CrashAfter,
    /// The request is carried out, and the connection is cut in place of an answer.
    LostAnswer,
    /// The connection is cut, and nothing is done.
    LostRequest,
    /// Refused: somebody else has changed the object.
    Conflict,
    /// Refused with this HTTP status, and perhaps with a time to try again after.
    Error {
        /// 429 or 5xx.
        code: u16,
        /// Seconds of `Retry-After`.
        retry_after: Option<u64>,
    },
    /// Waits before anything is done until it is let go on.
    Hold,
    /// Waits this long before anything is done.
    Slow(Duration),
    /// Answered as it would have been at this resource version.
    Stale(u64),
    /// The watch is told that its history is gone.
    WatchGone,
    /// The watch ends at once, as after a broken connection.
    WatchCut,
    /// Events are held back until they are let go on; then only the last of each object comes.
    WatchBlind,
}

/// A fault, and the requests that meet it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What kind of request.
    pub what: What,
    /// Text that the path has to contain; empty for every path.
    pub path: String,
    /// The first of the matching requests that meets the fault, from 0.
    pub first: u64,
    /// How many of them meet it.
    pub count: u64,
    /// The fault.
    pub fault: Fault,
    seen: u64,
}

/// The faults of one client.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    rules: Vec<Rule>,
}

// === impl Asked ===

impl Asked {
    /// Whether it can change something. Reviews are questions that are asked by POST.
    pub fn is_write(&self) -> bool {
        self.method != Method::GET && self.method != Method::HEAD && !self.path.ends_with("reviews")
    }
}

// === impl What ===

impl What {
    fn covers(self, asked: &Asked) -> bool {
        match self {
            Self::Any => true,
            Self::Write => asked.is_write(),
            Self::Watch => asked.watch,
            Self::Read => !asked.is_write() && !asked.watch,
        }
    }
}

// === impl Rule ===

impl Rule {
    /// The request of this number of a kind, from 0, meets a fault.
    pub fn nth(what: What, number: u64, fault: Fault) -> Self {
        Self {
            what,
            path: String::new(),
            first: number,
            count: 1,
            fault,
            seen: 0,
        }
    }

    /// Every request of a kind meets a fault.
    pub fn every(what: What, fault: Fault) -> Self {
        Self {
            count: u64::MAX,
            ..Self::nth(what, 0, fault)
        }
    }

    /// The first requests of a kind meet a fault.
    pub fn first(what: What, count: u64, fault: Fault) -> Self {
        Self {
            count,
            ..Self::nth(what, 0, fault)
        }
    }

    /// The same for paths that contain `text` only.
    #[must_use]
    pub fn of(mut self, text: &str) -> Self {
        text.clone_into(&mut self.path);
        self
    }

    /// Counts the request if it is one of those meant; whether the fault is its own.
    fn takes(&mut self, asked: &Asked) -> bool {
        if !self.what.covers(asked) || !asked.path.contains(&self.path) {
            return false;
        }
        let number = self.seen;
        self.seen += 1;
        number >= self.first && number - self.first < self.count
    }
}

// === impl Plan ===

impl Plan {
    /// A plan of these rules; of several that a request meets the first counts.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self {
            rules: rules.into_iter().collect(),
        }
    }

    /// The fault of the next request.
    pub fn next(&mut self, asked: &Asked) -> Option<Fault> {
        let mut fault = None;
        for rule in &mut self.rules {
            // Every rule counts on, whichever wins.
            if rule.takes(asked) && fault.is_none() {
                fault = Some(rule.fault.clone());
            }
        }
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, path: &str) -> Asked {
        Asked {
            method,
            path: path.to_owned(),
            watch: path.contains("watch"),
        }
    }

    fn faults(rules: Vec<Rule>, requests: &[(Method, &str)]) -> Vec<usize> {
        let mut plan = Plan::new(rules);
        let mut met = Vec::new();
        for (number, (method, path)) in requests.iter().enumerate() {
            if plan.next(&asked(method.clone(), path)).is_some() {
                met.push(number);
            }
        }
        met
    }

    const REQUESTS: [(Method, &str); 6] = [
        (Method::GET, "/pods"),
        (Method::POST, "/pods"),
        (Method::GET, "/watch"),
        (Method::PATCH, "/services/a"),
        (Method::DELETE, "/pods/a"),
        (Method::POST, "/tokenreviews"),
    ];

    #[test]
    fn the_nth_of_a_kind_meets_the_fault() {
        let nth = |what, number| vec![Rule::nth(what, number, Fault::Conflict)];
        assert_eq!(faults(nth(What::Write, 0), &REQUESTS), [1]);
        assert_eq!(faults(nth(What::Write, 2), &REQUESTS), [4]);
        assert_eq!(faults(nth(What::Write, 3), &REQUESTS), [0; 0]);
        assert_eq!(faults(nth(What::Read, 1), &REQUESTS), [5]);
        assert_eq!(faults(nth(What::Watch, 0), &REQUESTS), [2]);
        assert_eq!(faults(nth(What::Any, 5), &REQUESTS), [5]);
    }

    #[test]
    fn paths_and_ranges_narrow_it_down() {
        let every = Rule::every(What::Write, Fault::LostAnswer);
        assert_eq!(faults(vec![every.clone()], &REQUESTS), [1, 3, 4]);
        assert_eq!(faults(vec![every.clone().of("/pods")], &REQUESTS), [1, 4]);
        let from = Rule {
            first: 1,
            count: 1,
            ..every
        };
        assert_eq!(faults(vec![from], &REQUESTS), [3]);
    }

    #[test]
    fn the_first_rule_counts_and_the_others_count_on() {
        let mut plan = Plan::new([
            Rule::nth(What::Write, 0, Fault::Conflict),
            Rule::nth(What::Write, 1, Fault::Hold),
            Rule::every(What::Write, Fault::LostAnswer),
        ]);
        let write = asked(Method::POST, "/pods");
        let met: Vec<_> = (0..3).map(|_| plan.next(&write).unwrap()).collect();
        assert_eq!(met, [Fault::Conflict, Fault::Hold, Fault::LostAnswer]);
    }
}
