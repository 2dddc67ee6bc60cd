use super::*;
use futures::{StreamExt as _, TryStreamExt as _};
use std::io::PipeWriter;

struct Setup {
    _dir: tempfile::TempDir,
    book: Arc<LogBook>,
}

impl Setup {
    fn new(part: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let book = LogBook::with_part(dir.path().to_owned(), part);
        Self { _dir: dir, book }
    }

    fn run(&self, run: u32) -> (PipeWriter, tokio::task::JoinHandle<()>) {
        let (reader, writer) = io::pipe().unwrap();
        let reader = pipe::Receiver::from_owned_fd(reader.into()).unwrap();
        let dir = self.book.container_dir("n", "p", "u", "c");
        (writer, self.book.collect(&dir, run, reader).unwrap())
    }

    async fn write(&self, run: u32, text: &str) {
        let (mut writer, done) = self.run(run);
        // In pieces, because a part is closed between two reads only.
        for line in text.split_inclusive('\n') {
            writer.write_all(line.as_bytes()).unwrap();
            tokio::task::yield_now().await;
        }
        drop(writer);
        done.await.unwrap();
    }

    async fn read(&self, options: LogOptions) -> io::Result<String> {
        let reader = LogReader::new(Arc::clone(&self.book));
        let stream = reader.open("n", "p", "u", "c", options).await?;
        let chunks: Vec<Bytes> = stream.try_collect().await?;
        Ok(String::from_utf8(chunks.concat()).unwrap())
    }

    async fn tail(&self, lines: usize) -> String {
        let tail = Some(lines);
        self.read(LogOptions {
            tail,
            ..LogOptions::default()
        })
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn reads_latest_and_previous_run() {
    let setup = Setup::new(1000);
    let previous = LogOptions {
        previous: true,
        ..LogOptions::default()
    };
    assert_eq!(
        setup.read(previous).await.unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    for (run, text) in [(0, "zero\n"), (1, "one\n"), (2, "two\n")] {
        setup.write(run, text).await;
    }
    assert_eq!(setup.read(LogOptions::default()).await.unwrap(), "two\n");
    assert_eq!(setup.read(previous).await.unwrap(), "one\n");
    let dir = setup.book.container_dir("n", "p", "u", "c");
    assert_eq!(runs_in(&dir).unwrap(), [1, 2], "older runs are removed");
}

#[tokio::test]
async fn tails_whole_lines() {
    let setup = Setup::new(1000);
    setup.write(0, "a\nb\nc").await;
    assert_eq!(setup.tail(0).await, "");
    assert_eq!(setup.tail(1).await, "c");
    assert_eq!(setup.tail(2).await, "b\nc");
    assert_eq!(setup.tail(9).await, "a\nb\nc");
    setup.write(1, "a\n\nc\n").await;
    assert_eq!(setup.tail(2).await, "\nc\n");
}

#[tokio::test]
async fn keeps_two_parts_at_most() {
    use std::fmt::Write as _;
    let setup = Setup::new(100);
    let mut text = String::new();
    for line in 0..200 {
        writeln!(text, "line {line}").unwrap();
    }
    let (mut writer, done) = setup.run(0);
    for line in text.split_inclusive('\n') {
        writer.write_all(line.as_bytes()).unwrap();
        let end = setup
            .book
            .live(&setup.book.container_dir("n", "p", "u", "c").join("0.log"));
        let mut live = end.unwrap();
        let written = text.find(line).unwrap() + line.len();
        live.wait_for(|progress| progress.end >= written as u64)
            .await
            .unwrap();
    }
    drop(writer);
    done.await.unwrap();
    let kept = setup.read(LogOptions::default()).await.unwrap();
    assert!(text.ends_with(&kept), "the end is kept: {kept}");
    assert!((100..=220).contains(&kept.len()), "{}", kept.len());
}

#[tokio::test]
async fn follows_until_the_run_ends() {
    let setup = Setup::new(16);
    let (mut writer, done) = setup.run(0);
    writer.write_all(b"one\n").unwrap();
    let reader = LogReader::new(Arc::clone(&setup.book));
    let follow = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    let stream = reader.open("n", "p", "u", "c", follow).await.unwrap();
    let mut stream = std::pin::pin!(stream);
    assert_eq!(stream.next().await.unwrap().unwrap(), "one\n");
    for line in ["a long line\n", "another\n", "the last\n"] {
        writer.write_all(line.as_bytes()).unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), line);
    }
    drop(writer);
    assert!(stream.next().await.is_none());
    done.await.unwrap();
}
