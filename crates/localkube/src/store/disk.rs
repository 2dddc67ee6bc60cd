//! The copy on disk: one redb file, one writer thread, group commit.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::watch;

use super::{Durability, Key, Settled, StoreError};

const OBJECTS: TableDefinition<(&str, &str, &str), &[u8]> = TableDefinition::new("objects");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const RV: &str = "resourceVersion";

/// How long a disk that refuses is left alone before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// One change on its way to the disk; no JSON means the object is gone.
pub(super) struct Entry {
    pub(super) rv: u64,
    pub(super) key: Key,
    pub(super) json: Option<Bytes>,
}

/// An open file.
pub(super) struct File {
    path: PathBuf,
    database: Option<Database>,
}

/// What a file held.
pub(super) struct Loaded {
    pub(super) file: File,
    pub(super) rv: u64,
    pub(super) objects: Vec<(Key, Bytes)>,
}

/// Changes that may wait for the disk; whoever makes one more waits too.
const QUEUE: usize = 65_536;

/// The sending side of the writer thread, which ends when this is dropped and all is written.
pub(super) struct Disk {
    entries: Option<SyncSender<Entry>>,
    /// Told of every change at once, if nobody is to wait for the disk.
    early: Option<watch::Sender<Settled>>,
    writer: Option<thread::JoinHandle<()>>,
}

// === impl Disk ===

impl Disk {
    /// Starts the writer; how far it is is reported through `report`.
    pub(super) fn start(
        file: File,
        report: watch::Sender<Settled>,
        durability: Durability,
    ) -> Self {
        let (entries, queue) = sync_channel(QUEUE);
        let (early, writer) = match durability {
            Durability::Answer => {
                let writer = thread::spawn(move || write_all(file, &queue, &report));
                (None, writer)
            }
            Durability::Shutdown => {
                let writer = thread::spawn(move || write_late(file, &queue));
                (Some(report), writer)
            }
        };
        Self {
            entries: Some(entries),
            early,
            writer: Some(writer),
        }
    }

    /// Hands a change to the writer.
    pub(super) fn write(&self, entry: Entry) {
        let rv = entry.rv;
        // The receiver lives until this sender is dropped.
        if let Some(entries) = &self.entries {
            let _ = entries.send(entry);
        }
        if let Some(early) = &self.early {
            early.send_replace(Settled { rv, fault: None });
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.entries = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

// === impl File ===

impl File {
    fn commit(&mut self, batch: &[Entry]) -> Result<(), redb::Error> {
        // After an I/O error redb wants the file to be opened again.
        let database = match self.database.take() {
            Some(database) => database,
            None => Database::create(&self.path)?,
        };
        let transaction = database.begin_write()?;
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            for Entry { key, json, .. } in batch {
                let at = (&*key.resource, &*key.namespace, &*key.name);
                match json {
                    Some(json) => objects.insert(at, &**json)?,
                    None => objects.remove(at)?,
                };
            }
            let last = batch.last().map_or(0, |entry| entry.rv);
            transaction.open_table(META)?.insert(RV, last)?;
        }
        transaction.commit()?;
        self.database = Some(database);
        Ok(())
    }
}

/// Opens or creates the file at `path` and reads everything in it.
pub(super) fn load(path: &Path) -> Result<Loaded, StoreError> {
    let refused = |reason: String| StoreError::Open {
        path: path.display().to_string(),
        reason,
    };
    let database = Database::create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => {
            refused("another server uses it; stop that one first".into())
        }
        other => refused(other.to_string()),
    })?;
    let (rv, objects) = read(&database).map_err(|error| refused(error.to_string()))?;
    Ok(Loaded {
        file: File {
            path: path.into(),
            database: Some(database),
        },
        rv,
        objects,
    })
}

fn read(database: &Database) -> Result<(u64, Vec<(Key, Bytes)>), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(OBJECTS)?;
    transaction.open_table(META)?;
    transaction.commit()?;
    let transaction = database.begin_read()?;
    let rv = transaction
        .open_table(META)?
        .get(RV)?
        .map_or(0, |rv| rv.value());
    let mut objects = Vec::new();
    for found in transaction.open_table(OBJECTS)?.iter()? {
        let (key, json) = found?;
        let (resource, namespace, name) = key.value();
        objects.push((
            Key::new(&resource.into(), namespace, name),
            Bytes::copy_from_slice(json.value()),
        ));
    }
    Ok((rv, objects))
}

/// Writes everything in the end.
fn write_late(mut file: File, queue: &Receiver<Entry>) {
    let batch: Vec<Entry> = queue.iter().collect();
    if batch.is_empty() {
        return;
    }
    if let Err(error) = file.commit(&batch) {
        tracing::error!(path = %file.path.display(), %error, "cannot store changes");
    }
}

fn write_all(mut file: File, queue: &Receiver<Entry>, report: &watch::Sender<Settled>) {
    let mut batch: Vec<Entry> = Vec::new();
    loop {
        if batch.is_empty() {
            match queue.recv() {
                Ok(entry) => batch.push(entry),
                Err(_) => return,
            }
        }
        batch.extend(queue.try_iter());
        let last = batch.last().map_or(0, |entry| entry.rv);
        match file.commit(&batch) {
            Ok(()) => {
                batch.clear();
                report.send_replace(Settled {
                    rv: last,
                    fault: None,
                });
            }
            Err(error) => {
                tracing::error!(path = %file.path.display(), %error, "cannot store changes");
                let fault = StoreError::Disk {
                    path: file.path.display().to_string(),
                    reason: error.to_string(),
                };
                report.send_modify(|settled| settled.fault = Some(fault));
                // The batch is kept: its writes were not acknowledged, but they happened.
                match queue.recv_timeout(RETRY) {
                    Ok(entry) => batch.push(entry),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        }
    }
}
