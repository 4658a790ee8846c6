//! Content on its way between a connection and a thread that may block.

use std::io::{self, Read, Write};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::Problem;

/// Frames of a body that wait to be put.
const FRAMES: usize = 16;
/// Chunks of a blob that wait to be sent.
const CHUNKS: usize = 2;
/// What is read of a body whose put failed, so that its client hears why.
const DRAINED_BYTES_MAX: usize = 16 << 20;

/// Makes the two ends of content that comes in.
pub(super) fn upload() -> (Feed, Source) {
    let (frames, waiting) = mpsc::channel(FRAMES);
    (Feed { frames }, Source { waiting, rest: Bytes::new(), is_whole: false })
}

/// A part of a body, or its end, without which it broke off.
enum Frame {
    Bytes(Bytes),
    End,
}

/// Where the frames of a body go.
pub(super) struct Feed {
    frames: mpsc::Sender<Frame>,
}

impl Feed {
    /// Passes a body on; ends well also where nobody takes it any more, who then says why.
    pub(super) async fn all(self, mut body: Body, stall_within: Duration) -> Result<(), Problem> {
        let mut drained = 0;
        loop {
            let frame = timeout(stall_within, body.frame()).await;
            let frame = match frame.map_err(|_| Problem::slow_body())? {
                None => Frame::End,
                Some(Err(error)) => return Err(Problem::invalid(format!("the body broke off: {error}"))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => Frame::Bytes(bytes),
                    Err(_) => continue,
                },
            };
            match frame {
                Frame::End => {
                    // Whoever does not take it has failed already.
                    let _ = self.frames.send(Frame::End).await;
                    return Ok(());
                }
                Frame::Bytes(bytes) => {
                    let count = bytes.len();
                    if self.frames.send(Frame::Bytes(bytes)).await.is_err() {
                        drained += count;
                    }
                    if drained > DRAINED_BYTES_MAX {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// What reads a body, on a thread that may block.
pub(super) struct Source {
    waiting: mpsc::Receiver<Frame>,
    rest: Bytes,
    is_whole: bool,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.is_whole {
            match self.waiting.blocking_recv() {
                Some(Frame::Bytes(bytes)) => self.rest = bytes,
                Some(Frame::End) => self.is_whole = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body broke off")),
            }
        }
        let count = buffer.len().min(self.rest.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}

/// Makes the two ends of content that goes out.
pub(super) fn download() -> (Sink, Content) {
    let (chunks, waiting) = mpsc::channel(CHUNKS);
    (Sink { chunks }, Content { waiting })
}

/// Where content is written, on a thread that may block.
pub(super) struct Sink {
    chunks: mpsc::Sender<Result<Bytes, Problem>>,
}

impl Sink {
    /// Has something write all of it, and passes on what went wrong.
    pub(super) fn all(mut self, write: impl FnOnce(&mut Self) -> Result<(), Problem>) {
        if let Err(problem) = write(&mut self) {
            // Nobody waits for it any more if the client is gone.
            let _ = self.chunks.blocking_send(Err(problem));
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.chunks.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Content that comes.
pub(super) struct Content {
    waiting: mpsc::Receiver<Result<Bytes, Problem>>,
}

impl Content {
    /// Waits for the beginning, so that what goes wrong until then is an answer, and gives all of it as a body, which breaks off
    /// where something goes wrong later.
    pub(super) async fn begin(mut self) -> Result<Body, Problem> {
        let Some(first) = self.waiting.recv().await else { return Ok(Body::empty()) };
        let rest = stream::unfold(self.waiting, |mut waiting| async {
            let next = waiting.recv().await?.map_err(|problem| {
                tracing::warn!(cause = problem.message, "a blob broke off that is being sent");
                io::Error::other(problem.message)
            });
            Some((next, waiting))
        });
        let first = stream::once(std::future::ready(Ok(first?)));
        Ok(Body::from_stream(futures::StreamExt::chain(first, rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_shorter_content() {
        let read = |mut source: Source| {
            tokio::task::spawn_blocking(move || {
                let mut read = Vec::new();
                source.read_to_end(&mut read).map(|_| read)
            })
        };
        let (feed, source) = upload();
        let reading = read(source);
        feed.all(Body::from("whole"), Duration::from_secs(9)).await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), b"whole");

        // The client is gone, or the request is given up.
        let (feed, source) = upload();
        feed.frames.send(Frame::Bytes(Bytes::from_static(b"half"))).await.unwrap_or_default();
        drop(feed);
        assert_eq!(read(source).await.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);

        let (feed, source) = upload();
        let reading = read(source);
        let parts = [Ok(Bytes::from_static(b"half")), Err(io::Error::other("reset"))];
        let problem = feed.all(Body::from_stream(stream::iter(parts)), Duration::from_secs(9)).await;
        assert_eq!(problem.unwrap_err().status, 400);
        assert!(reading.await.unwrap().is_err());

        let (feed, _source) = upload();
        let silent = Body::from_stream(stream::pending::<Result<Bytes, io::Error>>());
        assert_eq!(feed.all(silent, Duration::from_millis(1)).await.unwrap_err().status, 408);
    }

    #[tokio::test]
    async fn what_is_not_taken_is_read_up_to_a_limit() {
        let (feed, source) = upload();
        drop(source);
        let endless = stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[0; 1 << 16])));
        feed.all(Body::from_stream(endless), Duration::from_secs(9)).await.unwrap();
    }

    #[tokio::test]
    async fn what_goes_wrong_at_the_beginning_is_an_answer_and_later_a_break() {
        let (sink, content) = download();
        drop(tokio::task::spawn_blocking(move || sink.all(|_| Err(Problem::invalid("no")))));
        assert_eq!(content.begin().await.unwrap_err().status, 400);

        let (sink, content) = download();
        drop(tokio::task::spawn_blocking(move || {
            sink.all(|sink| {
                sink.write_all(b"half").map_err(|error| Problem::invalid(error.to_string()))?;
                Err(Problem::invalid("no"))
            });
        }));
        assert!(content.begin().await.unwrap().collect().await.is_err());

        let (sink, content) = download();
        drop(tokio::task::spawn_blocking(move || sink.all(|_| Ok(()))));
        assert!(content.begin().await.unwrap().collect().await.unwrap().to_bytes().is_empty());
    }
}
