//! A node's session with everything on, driven as its pump drives it: without
//! sockets, and with a clock that is told the time.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bytes::{Buf as _, BytesMut};
use tubeway_policy::quota::Meter;
use tubeway_policy::rules::{Authorizer, Caller};
use tubeway_proxy::metrics::Metrics;
use tubeway_proxy::node::names::TopicNames;
use tubeway_proxy::observe::Counting;
use tubeway_session::access::Questions;
use tubeway_session::{Answers, Guard, Session, Step};

use crate::messages::{id, login_taken, name};
use crate::world;

/// What a read from a socket gives at most, as in the sidecar's pump.
const READ: usize = 256 * 1024;
/// Between two requests, for quotas and latencies.
const TICK: Duration = Duration::from_micros(10);

/// A connection that has logged in.
pub struct Conversation {
    session: Session,
    counting: Counting,
    now: Duration,
    /// Steps that the session has been asked for.
    pub steps: u64,
}

// === impl Conversation ===

impl Conversation {
    /// One of the client's, decided by `rules`; the first so many topics are known.
    pub fn new(rules: Arc<Authorizer>, topics: usize) -> Result<Self> {
        let names = TopicNames::default();
        for topic in 0..topics {
            names.learn(id(topic), &name(topic));
        }
        let principal: Arc<str> = format!("User:{}", world::CLIENT).into();
        let caller = Caller {
            principal: principal.clone(),
            host: Ipv4Addr::new(192, 0, 2, 7).into(),
            zone: None,
        };
        let charger = Meter::new(&world::quotas())?.charger(principal);
        let guard = Guard::new(caller, rules, Arc::new(names.clone()));
        let mut new = Self {
            session: Session::node(guard).limited(charger, Duration::ZERO),
            counting: Counting::new(Metrics::default(), world::CLIENT, names),
            now: Duration::ZERO,
            steps: 0,
        };
        new.session.login("token", Duration::ZERO);
        new.response(&mut BytesMut::from(&*login_taken()?))?;
        Ok(new)
    }

    /// The client sends a whole frame; all of it must go on to the broker.
    pub fn request(&mut self, frame: &[u8]) -> Result<()> {
        self.now += TICK;
        let (mut from, mut to) = (0, frame.len().min(READ));
        loop {
            let step = self.session.request(&frame[from..to], self.now)?;
            self.session.report(self.now, &mut self.counting);
            self.steps += 1;
            match step {
                Step::NeedMore if to < frame.len() => to = frame.len().min(to + READ),
                Step::NeedMore if from == to => return Ok(()),
                Step::Forward(n) | Step::Replace { consumed: n, .. } => from += n,
                Step::Ask(questions) => self.answer(&questions),
                other => bail!("{other:?} after {from} of {} bytes", frame.len()),
            }
        }
    }

    /// The broker sends whole frames, which are taken out of the buffer.
    pub fn response(&mut self, buffer: &mut BytesMut) -> Result<()> {
        self.now += TICK;
        loop {
            let (session, counting) = (&mut self.session, &mut self.counting);
            let step = session.response(buffer, self.now, counting)?;
            session.report(self.now, counting);
            self.steps += 1;
            match step {
                Step::NeedMore => break,
                Step::Forward(n) | Step::Replace { consumed: n, .. } => buffer.advance(n),
                Step::Ask(questions) => self.answer(&questions),
                other => bail!("{other:?} with {} bytes to go", buffer.len()),
            }
        }
        ensure!(buffer.is_empty(), "{} bytes were left", buffer.len());
        Ok(())
    }

    /// What the sidecar asks its broker: all topics are there.
    fn answer(&mut self, questions: &Questions) {
        let mut answers = Answers::default();
        let there = questions.topics.iter().map(|topic| (topic.clone(), true));
        answers.topics.extend(there);
        answers.unknown_ids.extend(&questions.ids);
        self.session.answer(answers);
    }
}
