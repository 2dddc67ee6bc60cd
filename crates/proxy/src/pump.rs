//! Moves bytes between a client and a broker as a session decides.
//!
//! Two loops in one task, one a direction. Each reads into a buffer of its
//! own, lets the session look, and writes on before it reads again: that is
//! the back-pressure, and a frame of any size passes through a buffer of
//! bounded size. When either side ends, the other is ended too.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tubeway_policy::rules::Authorizer;
use tubeway_session::access::Questions;
use tubeway_session::{Answers, Observe, Refusal, Session, Step};
use tubeway_telemetry::Shutdown;

/// An idle connection holds this much a direction.
const SMALL: usize = 4 * 1024;
/// A busy one holds at most this much, unless a frame must be seen whole.
const LARGE: usize = 256 * 1024;
/// How long answers on their way may take once a drain has begun.
const DRAIN: Duration = Duration::from_secs(10);
/// How long both ends may take to close once a connection has ended.
const LINGER: Duration = Duration::from_secs(2);
/// How long a client may take nothing of an answer: as long as Kafka keeps an
/// idle connection (`connections.max.idle.ms`), stalled ones among them.
const STALL: Duration = Duration::from_secs(600);
/// Questions about one request. A second one follows where names found for ids
/// lead to others; more means that the broker does not say what it is asked.
const MAX_QUESTIONS: usize = 8;

/// Answers what a session asks of the sidecar around it.
#[async_trait]
pub trait Surroundings: Sync {
    /// A fresh token for a login as the connection's principal; none ends the
    /// connection.
    fn token(&self) -> Option<String>;

    /// Asks the broker, as the sidecar itself. None, where it does not answer,
    /// ends the connection.
    async fn ask(&self, questions: Questions) -> Option<Answers>;

    /// The access rules in force, if these are no longer.
    fn newer_rules(&self, than: &Arc<Authorizer>) -> Option<Arc<Authorizer>>;
}

/// Beside a client no login is made and no access is decided: a session there
/// asks nothing.
pub struct NoQuestions;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The client closed, or reset, its side.
    #[error("client closed")]
    Client,
    /// The broker closed, or reset, its side.
    #[error("broker closed")]
    Broker,
    /// This sidecar is shutting down and all answers have been given.
    #[error("drained")]
    Drained,
    /// The session refused to go on.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

// === impl NoQuestions ===

#[async_trait]
impl Surroundings for NoQuestions {
    fn token(&self) -> Option<String> {
        None
    }

    async fn ask(&self, _: Questions) -> Option<Answers> {
        None
    }

    fn newer_rules(&self, _: &Arc<Authorizer>) -> Option<Arc<Authorizer>> {
        None
    }
}

// === impl End ===

impl End {
    /// A constant label for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Broker => "broker",
            Self::Drained => "drained",
            Self::Refused(refusal) => refusal.reason(),
        }
    }
}

/// What has been read and not yet written on.
struct Input {
    buffer: BytesMut,
    size: usize,
}

struct Shared<'a, O> {
    session: Mutex<(Session, O)>,
    /// A response has been passed on: a waiting request may go.
    answered: Notify,
    /// As `answered`, for who waits for the end of a drain.
    progress: Notify,
    /// As `progress`, for who ends the connection when the client has its answers.
    settled: Notify,
    /// A response is on its way to the client: the session is done with it,
    /// and the client has not got it.
    writing: AtomicBool,
    /// The session may have an answer of its own for the client.
    queued: AtomicBool,
    begun: Instant,
    surroundings: &'a dyn Surroundings,
}

/// Runs a connection to its end.
pub async fn pump<C, B, O>(
    client: C,
    broker: B,
    session: Session,
    observe: O,
    surroundings: &dyn Surroundings,
    shutdown: &Shutdown,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
    O: Observe + Send,
{
    let (mut client_read, mut client_write) = tokio::io::split(client);
    let (broker_read, mut broker_write) = tokio::io::split(broker);
    let shared = Shared {
        session: Mutex::new((session, observe)),
        answered: Notify::new(),
        progress: Notify::new(),
        settled: Notify::new(),
        writing: AtomicBool::new(false),
        queued: AtomicBool::new(false),
        begun: Instant::now(),
        surroundings,
    };
    let end = tokio::select! {
        // The order counts: what the requests' loop leaves for the client is
        // seen by the other one at the same wake-up.
        biased;
        end = requests(&shared, &mut client_read, &mut broker_write) => end,
        end = responses(&shared, broker_read, &mut client_write) => end,
        () = drained(&shared, shutdown) => End::Drained,
    };
    let close = async {
        // TLS tells the peer that this is the end and not a cut.
        let _ = tokio::join!(client_write.shutdown(), broker_write.shutdown());
        if !matches!(end, End::Client) {
            discard(&mut client_read).await;
        }
    };
    // A client that does not read does not hold the connection by that.
    let _ = tokio::time::timeout(LINGER, close).await;
    end
}

/// Reads until the client has closed. Closing a socket with unread bytes in it
/// would reset the connection, and what was just written might never arrive.
async fn discard<R: AsyncRead + Unpin>(from: &mut R) {
    let mut buffer = BytesMut::with_capacity(SMALL);
    while matches!(from.read_buf(&mut buffer).await, Ok(1..)) {
        buffer.clear();
    }
}

async fn requests<R, W, O>(shared: &Shared<'_, O>, mut from: R, to: &mut W) -> End
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    O: Observe,
{
    let mut input = Input::new();
    let mut questions_asked = 0;
    let mut unflushed = false;
    loop {
        let step = shared.with(|session, _, now| session.request(&input.buffer, now));
        if unflushed && waits(&step) {
            if to.flush().await.is_err() {
                return End::Broker;
            }
            unflushed = false;
        }
        questions_asked = match step {
            Ok(Step::Ask(_)) => questions_asked + 1,
            _ => 0,
        };
        let written = match step {
            Err(refusal) => {
                shared.written().await;
                return refusal.into();
            }
            Ok(Step::NeedMore) => {
                if input.read(&mut from).await.is_err() {
                    return End::Client;
                }
                continue;
            }
            Ok(Step::Wait) => {
                shared.answered.notified().await;
                continue;
            }
            Ok(Step::Pause(time)) => {
                tokio::time::sleep(time).await;
                continue;
            }
            Ok(Step::Answered(n)) => {
                input.buffer.advance(n);
                shared.queued.store(true, Ordering::Relaxed);
                continue;
            }
            Ok(Step::Ask(_)) if questions_asked > MAX_QUESTIONS => {
                return Refusal::Denied("the broker does not say what it is asked about topics")
                    .into();
            }
            Ok(Step::Ask(questions)) => {
                if let Err(refusal) = shared.ask(questions).await {
                    return refusal.into();
                }
                continue;
            }
            Ok(Step::Login) => {
                let Some(token) = shared.surroundings.token() else {
                    return Refusal::Login("no token could be signed".to_owned()).into();
                };
                let login = shared.with(|session, _, now| session.login(&token, now));
                to.write_all(&login).await
            }
            Ok(step) => write(to, &mut input.buffer, step).await,
        };
        if written.is_err() {
            return End::Broker;
        }
        unflushed = true;
    }
}

/// Whether nothing more is written for a while after this: what TLS has not
/// sent yet has to go now.
fn waits(step: &Result<Step, Refusal>) -> bool {
    matches!(
        step,
        Ok(Step::NeedMore | Step::Wait | Step::Pause(_) | Step::Ask(_))
    )
}

async fn responses<R, W, O>(shared: &Shared<'_, O>, mut from: R, to: &mut W) -> End
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    O: Observe,
{
    let mut input = Input::new();
    loop {
        let step =
            shared.with(|session, observe, now| session.response(&mut input.buffer, now, observe));
        if shared.writing.load(Ordering::Relaxed) && waits(&step) {
            if in_time(to.flush()).await.is_err() {
                return End::Client;
            }
            shared.writing.store(false, Ordering::Relaxed);
            shared.progress.notify_one();
            shared.settled.notify_one();
        }
        let written = match step {
            Err(refusal) => return refusal.into(),
            Ok(Step::NeedMore) => {
                if shared.unless_queued(input.read(&mut from)).await.is_err() {
                    return End::Broker;
                }
                continue;
            }
            Ok(Step::Ask(questions)) => {
                if let Err(refusal) = shared.ask(questions).await {
                    return refusal.into();
                }
                continue;
            }
            Ok(step) => {
                shared.writing.store(true, Ordering::Relaxed);
                in_time(write(to, &mut input.buffer, step)).await
            }
        };
        if written.is_err() {
            return End::Client;
        }
        shared.answered.notify_one();
    }
}

/// Resolves when the shutdown has begun and no request waits for its answer,
/// or when they have had long enough.
async fn drained<O: Observe>(shared: &Shared<'_, O>, shutdown: &Shutdown) {
    shutdown.wait().await;
    shared.with(|session, _, _| session.drain());
    let deadline = tokio::time::sleep(DRAIN);
    tokio::pin!(deadline);
    // Both loops and this one are one task, so nothing happens between the two looks.
    while shared.writing.load(Ordering::Relaxed)
        || !shared.with(|session, _, _| session.is_drained())
    {
        tokio::select! {
            () = shared.progress.notified() => {}
            () = &mut deadline => return,
        }
    }
}

/// What a client does not hold up for longer than [`STALL`]. Most writes are
/// done at once and never meet the timer.
async fn in_time(writing: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let mut writing = pin!(writing);
    let at_once = poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx))).await;
    match at_once {
        Poll::Ready(written) => written,
        Poll::Pending => tokio::time::timeout(STALL, writing).await?,
    }
}

async fn write<W: AsyncWrite + Unpin>(
    to: &mut W,
    buffer: &mut BytesMut,
    step: Step,
) -> io::Result<()> {
    match step {
        Step::Forward(n) => {
            to.write_all(&buffer[..n]).await?;
            buffer.advance(n);
        }
        Step::Replace { consumed, with } => {
            buffer.advance(consumed);
            to.write_all(&with).await?;
        }
        Step::NeedMore
        | Step::Login
        | Step::Wait
        | Step::Pause(_)
        | Step::Answered(_)
        | Step::Ask(_) => {}
    }
    Ok(())
}

// === impl Input ===

impl Input {
    fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            size: SMALL,
        }
    }

    /// Reads once. The next read is offered twice as much when this one took
    /// all that was offered, and half when it took little: bulk transfers get
    /// few and large reads, idle connections hold a small buffer.
    async fn read<R: AsyncRead + Unpin>(&mut self, from: &mut R) -> io::Result<()> {
        let buffer = &mut self.buffer;
        if buffer.is_empty() && buffer.capacity() > 2 * self.size {
            *buffer = BytesMut::new();
        }
        buffer.reserve(self.size);
        let offered = buffer.capacity() - buffer.len();
        let taken = from.read_buf(buffer).await?;
        if taken == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if taken >= offered.min(self.size) {
            self.size = (self.size * 2).min(LARGE);
        } else if taken < self.size / 4 {
            self.size = (self.size / 2).max(SMALL);
        }
        Ok(())
    }
}

// === impl Shared ===

impl<O: Observe> Shared<'_, O> {
    /// Reads, unless the session has an answer of its own: then that goes first.
    async fn unless_queued(&self, reading: impl Future<Output = io::Result<()>>) -> io::Result<()> {
        let mut reading = pin!(reading);
        // Both loops are polled at each wake-up of their task: no waker is kept.
        poll_fn(|cx| {
            if self.queued.swap(false, Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            reading.as_mut().poll(cx)
        })
        .await
    }

    /// Waits until the client has what the session has let through to it.
    async fn written(&self) {
        let settled = async {
            while self.writing.load(Ordering::Relaxed) {
                self.settled.notified().await;
            }
        };
        // A client that does not read does not hold the connection by that.
        let _ = tokio::time::timeout(LINGER, settled).await;
    }

    /// Lets the session know what the broker says.
    async fn ask(&self, questions: Questions) -> Result<(), Refusal> {
        let Some(answers) = self.surroundings.ask(questions).await else {
            let why = "the broker could not be asked about topics";
            return Err(Refusal::Denied(why));
        };
        self.with(|session, _, _| session.answer(answers));
        Ok(())
    }

    /// The session, for as long as one decision takes. Both loops run in one
    /// task, so nobody ever waits for this lock.
    fn with<T>(&self, decide: impl FnOnce(&mut Session, &mut O, Duration) -> T) -> T {
        let mut guard = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let (session, observe) = &mut *guard;
        let rules = session.rules();
        if let Some(rules) = rules.and_then(|rules| self.surroundings.newer_rules(rules)) {
            session.set_rules(rules);
        }
        let decided = decide(session, observe, self.begun.elapsed());
        if session.has_news() {
            session.report(self.begun.elapsed(), observe);
        }
        decided
    }
}
