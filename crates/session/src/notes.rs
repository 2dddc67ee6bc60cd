//! What there is to tell when a step is over: how long things took, and what
//! requests have said of themselves.
//!
//! A step's own duration is part of what a request costs, and is known only
//! after it. So a session notes what happened, and its pump has it reported
//! once it has looked at the clock again.

use std::collections::VecDeque;
use std::time::Duration;

use tubeway_protocol::ApiKey;

use crate::body::{Produced, Said};
use crate::observe::{Denial, Exchange, Observe, Software};
use crate::session::InFlight;

/// When what happened to one request, and what it said.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// When it could be decided upon: it, or as much of it as that takes, had come.
    arrived: Duration,
    /// The end of the step in which its last byte went to the broker.
    sent: Option<Duration>,
    /// Its frame, with the length before it.
    bytes: u64,
    /// What it said that counts once the broker has taken it.
    pub(crate) said: Said,
}

/// What has not been reported yet.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    done: Vec<Done>,
    /// Sent without waiting for an acknowledgement.
    sent: Vec<Produced>,
    software: Option<Software>,
    denials: Vec<Denial>,
}

/// A request that is over.
#[derive(Debug)]
struct Done {
    api: ApiKey,
    version: i16,
    account: Account,
    answer: Answer,
    /// When the step began in which it ended.
    at: Duration,
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answer {
    /// The response's first byte; none for an answer of the session's own.
    pub(crate) first: Option<Duration>,
    /// The frame that the client gets.
    pub(crate) bytes: u64,
    pub(crate) throttle: Duration,
}

// === impl Account ===

impl Account {
    pub(crate) fn new(arrived: Duration, bytes: u64, said: Said) -> Self {
        Self {
            arrived,
            sent: None,
            bytes,
            said,
        }
    }
}

// === impl Notes ===

impl Notes {
    pub(crate) fn software(&mut self, software: Option<Software>) {
        if software.is_some() {
            self.software = software;
        }
    }

    /// What one request is refused.
    pub(crate) fn refused(&mut self, denials: Vec<Denial>) {
        self.denials = denials;
    }

    /// A request that wants no answer has been sent.
    pub(crate) fn unanswered(&mut self, header: (ApiKey, i16), account: Account, now: Duration) {
        self.sent.extend_from_slice(&account.said.produced);
        self.done(header, account, Answer::default(), now);
    }

    /// A request is over, in a step that began `at`.
    pub(crate) fn done(
        &mut self,
        (api, version): (ApiKey, i16),
        account: Account,
        answer: Answer,
        at: Duration,
    ) {
        self.done.push(Done {
            api,
            version,
            account,
            answer,
            at,
        });
    }

    /// Whether there is anything to tell.
    pub(crate) fn has_news(&self, in_flight: &VecDeque<InFlight>) -> bool {
        let newest = in_flight.back();
        newest.is_some_and(|request| request.account.sent.is_none())
            || !self.done.is_empty()
            || !self.sent.is_empty()
            || !self.denials.is_empty()
            || self.software.is_some()
    }

    /// Tells everything. `now` is when the step ended.
    pub(crate) fn report(
        &mut self,
        in_flight: &mut VecDeque<InFlight>,
        now: Duration,
        observe: &mut impl Observe,
    ) {
        for request in in_flight.iter_mut().rev() {
            if request.account.sent.is_some() {
                break;
            }
            request.account.sent = Some(now);
        }
        if let Some(software) = self.software.take() {
            observe.software(&software);
        }
        if !self.denials.is_empty() {
            observe.refused(&self.denials);
            self.denials.clear();
        }
        for sent in self.sent.drain(..) {
            sent.tell(observe);
        }
        for done in self.done.drain(..) {
            observe.finished(&done.exchange(now));
        }
    }
}

// === impl Done ===

impl Done {
    fn exchange(&self, now: Duration) -> Exchange {
        let account = &self.account;
        let sent = account.sent.unwrap_or(now);
        let before = sent.saturating_sub(account.arrived);
        // What was never in flight ends where it is sent.
        let after = match account.sent {
            Some(_) => now.saturating_sub(self.at),
            None => Duration::ZERO,
        };
        Exchange {
            api: self.api,
            name: self.api.name().unwrap_or("unknown API"),
            version: self.version,
            request_bytes: account.bytes,
            response_bytes: self.answer.bytes,
            broker: self.answer.first.map(|first| first.saturating_sub(sent)),
            own: before + after,
            throttle: self.answer.throttle,
            answered_here: self.answer.first.is_none() && self.answer.bytes > 0,
        }
    }
}
