//! Container output: written to files by run, bounded, and read back for `kubectl logs`.

use bytes::Bytes;
use futures::Stream;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::watch;

/// Reads what containers wrote.
#[derive(Debug, Clone)]
pub struct LogReader {
    book: Arc<LogBook>,
}

/// Which part of a container's output to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on with what is written from now on, until the run ends.
    pub follow: bool,
    /// Only this many lines from the end.
    pub tail: Option<usize>,
    /// The run before the latest one.
    pub previous: bool,
}

/// All logs of an agent: where they are, and which are being written.
#[derive(Debug)]
pub(crate) struct LogBook {
    root: PathBuf,
    /// A file is kept in two parts of at most this many bytes.
    part: u64,
    live: Mutex<HashMap<PathBuf, watch::Receiver<Progress>>>,
}

/// How far a log has been written. Positions count from the beginning of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    /// Where the present part begins.
    part_start: u64,
    end: u64,
}

struct LogWriter {
    book: Arc<LogBook>,
    path: PathBuf,
    file: Option<File>,
    progress: watch::Sender<Progress>,
}

const PART: u64 = 10 << 20;
const CHUNK: usize = 64 << 10;

// === impl LogReader ===

impl LogReader {
    pub(crate) fn new(book: Arc<LogBook>) -> Self {
        Self { book }
    }

    /// Opens the log of a container's latest run, or of the one before.
    ///
    /// # Errors
    /// `NotFound` when there is no such run.
    pub async fn open(
        &self,
        namespace: &str,
        pod: &str,
        uid: &str,
        container: &str,
        options: LogOptions,
    ) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
        let dir = self.book.container_dir(namespace, pod, uid, container);
        let mut runs = runs_in(&dir)?;
        let missing = |what: String| io::Error::new(io::ErrorKind::NotFound, what);
        if options.previous {
            runs.pop();
        }
        let run = runs.pop().ok_or_else(|| {
            let which = if options.previous { "previous " } else { "" };
            missing(format!(
                "{which}terminated container \"{container}\" in pod \"{pod}\" not found"
            ))
        })?;
        let path = dir.join(format!("{run}.log"));
        let live = options.follow.then(|| self.book.live(&path)).flatten();
        let start = match options.tail {
            Some(lines) => tail_start(&path, lines)?,
            None => 0,
        };
        Ok(stream(path, live, start))
    }
}

/// Where reading stands.
struct Cursor {
    path: PathBuf,
    live: Option<watch::Receiver<Progress>>,
    /// Bytes of the two parts together that are already out, and the run's position of that.
    offset: u64,
    position: u64,
    opened: bool,
}

fn stream(
    path: PathBuf,
    live: Option<watch::Receiver<Progress>>,
    offset: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let cursor = Cursor {
        path,
        live,
        offset,
        position: 0,
        opened: false,
    };
    futures::stream::try_unfold(cursor, |mut cursor| async move {
        Ok(cursor.next().await?.map(|bytes| (bytes, cursor)))
    })
}

// === impl Cursor ===

impl Cursor {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let progress = self.live.as_mut().map(|live| *live.borrow_and_update());
            if let Some(progress) = progress {
                self.align(progress);
            }
            let bytes = read_at(&self.path, self.offset)?;
            if !bytes.is_empty() {
                self.offset += bytes.len() as u64;
                self.position += bytes.len() as u64;
                return Ok(Some(bytes));
            }
            let Some(live) = &mut self.live else {
                return Ok(None);
            };
            if live.changed().await.is_err() {
                // The run has ended: what came in between is still to be read, once.
                self.live = None;
            }
        }
    }

    /// Follows a rotation: parts that went away move the place of what is still to be read.
    fn align(&mut self, progress: Progress) {
        let kept = parts_len(&self.path);
        let oldest = progress.end.saturating_sub(kept);
        if self.opened {
            self.offset = self.position.saturating_sub(oldest);
            self.position = self.position.max(oldest);
        } else {
            self.opened = true;
            self.position = oldest + self.offset;
        }
    }
}

// === impl LogBook ===

impl LogBook {
    pub(crate) fn new(root: PathBuf) -> Arc<Self> {
        Self::with_part(root, PART)
    }

    fn with_part(root: PathBuf, part: u64) -> Arc<Self> {
        Arc::new(Self {
            root,
            part,
            live: Mutex::default(),
        })
    }

    /// The folder of a pod's logs.
    pub(crate) fn pod_dir(&self, namespace: &str, pod: &str, uid: &str) -> PathBuf {
        self.root.join(format!("{namespace}_{pod}_{uid}"))
    }

    /// The folders of all pods that have logs, with their UIDs.
    pub(crate) fn pod_dirs(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let mut dirs = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some((_, uid)) = name.and_then(|name| name.rsplit_once('_')) {
                dirs.push((uid.to_owned(), path.clone()));
            }
        }
        Ok(dirs)
    }

    fn container_dir(&self, namespace: &str, pod: &str, uid: &str, container: &str) -> PathBuf {
        self.pod_dir(namespace, pod, uid).join(container)
    }

    /// Copies what comes out of `output` to the log of a run until every writer has closed it.
    /// Only the latest two runs are kept.
    pub(crate) fn collect(
        self: &Arc<Self>,
        dir: &Path,
        run: u32,
        output: pipe::Receiver,
    ) -> io::Result<tokio::task::JoinHandle<()>> {
        fs::create_dir_all(dir)?;
        for old in runs_in(dir)?.into_iter().filter(|old| old + 1 < run) {
            let path = dir.join(format!("{old}.log"));
            let _ = fs::remove_file(older_part(&path));
            fs::remove_file(path)?;
        }
        let path = dir.join(format!("{run}.log"));
        let file = File::options().create(true).append(true).open(&path)?;
        let end = parts_len(&path);
        let (progress, receiver) = watch::channel(Progress { part_start: 0, end });
        self.lock().insert(path.clone(), receiver);
        let writer = LogWriter {
            book: Arc::clone(self),
            path,
            file: Some(file),
            progress,
        };
        Ok(tokio::spawn(writer.copy(output)))
    }

    fn live(&self, path: &Path) -> Option<watch::Receiver<Progress>> {
        self.lock().get(path).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, watch::Receiver<Progress>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl LogWriter ===

impl LogWriter {
    async fn copy(mut self, mut output: pipe::Receiver) {
        let mut buffer = vec![0; CHUNK];
        loop {
            match output.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(read) => self.write(&buffer[..read]),
            }
        }
    }

    /// Writes, and drops output when the disk does not take it: a container must not hang on its
    /// output because of that.
    fn write(&mut self, bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.write_all(bytes) {
            tracing::warn!(path = %self.path.display(), %error, "container output lost");
            self.file = None;
            return;
        }
        let mut progress = *self.progress.borrow();
        progress.end += bytes.len() as u64;
        if progress.end - progress.part_start >= self.book.part {
            self.rotate(&mut progress);
        }
        self.progress.send_replace(progress);
    }

    fn rotate(&mut self, progress: &mut Progress) {
        let rotated = fs::rename(&self.path, older_part(&self.path))
            .and_then(|()| File::options().create(true).append(true).open(&self.path));
        match rotated {
            Ok(file) => {
                self.file = Some(file);
                progress.part_start = progress.end;
            }
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "container log not rotated");
                self.file = None;
            }
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.book.lock().remove(&self.path);
    }
}

fn older_part(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}

fn parts_len(path: &Path) -> u64 {
    let len = |path: &Path| path.metadata().map_or(0, |meta| meta.len());
    len(&older_part(path)) + len(path)
}

/// The runs that have a log, oldest first.
fn runs_in(dir: &Path) -> io::Result<Vec<u32>> {
    let mut runs: Vec<u32> = match fs::read_dir(dir) {
        Ok(entries) => entries
            .filter_map(|entry| {
                entry
                    .ok()?
                    .file_name()
                    .to_str()?
                    .strip_suffix(".log")?
                    .parse()
                    .ok()
            })
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    runs.sort_unstable();
    Ok(runs)
}

/// A piece of the two parts of a log, taken as one file.
fn read_at(path: &Path, offset: u64) -> io::Result<Bytes> {
    let older = older_part(path);
    let older_len = older.metadata().map_or(0, |meta| meta.len());
    let (path, offset) = if offset < older_len {
        (older.as_path(), offset)
    } else {
        (path, offset - older_len)
    };
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Bytes::new()),
        other => other?,
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(CHUNK as u64).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// The offset at which the last `lines` lines begin; a last line without its end counts as one.
fn tail_start(path: &Path, lines: usize) -> io::Result<u64> {
    let end = parts_len(path);
    let (mut from, mut wanted) = (end, lines);
    if lines == 0 {
        return Ok(end);
    }
    while from > 0 {
        let block_start = from.saturating_sub(CHUNK as u64);
        let mut block = Vec::new();
        while (block.len() as u64) < from - block_start {
            let piece = read_at(path, block_start + block.len() as u64)?;
            if piece.is_empty() {
                break;
            }
            block.extend_from_slice(&piece);
        }
        block.truncate((from - block_start) as usize);
        for (index, _) in block
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, byte)| **byte == b'\n')
        {
            let after = block_start + index as u64 + 1;
            if after == end {
                continue;
            }
            wanted -= 1;
            if wanted == 0 {
                return Ok(after);
            }
        }
        from = block_start;
    }
    Ok(0)
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
