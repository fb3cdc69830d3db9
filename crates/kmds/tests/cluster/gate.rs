//! The way to a node's HTTP, which can be cut, and can ask for another part than it was asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Passes connections on to a node, and cuts the first one that audio goes through. It is closed with the test.
pub struct Gate {
    listener: Option<TcpListener>,
    pub url: String,
    pub has_cut: Arc<AtomicBool>,
    /// The next part of a file begins later than the node was asked for.
    pub skips: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
}

impl Gate {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        Self {
            listener: Some(listener),
            url,
            has_cut: Arc::default(),
            skips: Arc::default(),
            task: None,
        }
    }

    /// Leads to this node (`HOST:PORT`). The first audio is cut after so many bytes.
    pub fn open(&mut self, node: String, cut_at: usize) {
        let listener = self.listener.take().expect("opened once");
        let (has_cut, skips) = (Arc::clone(&self.has_cut), Arc::clone(&self.skips));
        self.task = Some(tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let node = node.clone();
                let (has_cut, skips) = (Arc::clone(&has_cut), Arc::clone(&skips));
                tokio::spawn(async move { pass(near, &node, cut_at, &has_cut, &skips).await });
            }
        }));
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn pass(
    mut near: TcpStream,
    node: &str,
    cut_at: usize,
    has_cut: &AtomicBool,
    skips: &AtomicBool,
) -> Option<()> {
    let mut far = TcpStream::connect(node).await.ok()?;
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    let (mut is_audio, mut passed) = (false, 0);
    loop {
        tokio::select! {
            read = near.read(&mut up) => {
                let sent = &mut up[..read.ok().filter(|read| *read > 0)?];
                is_audio |= String::from_utf8_lossy(sent).contains("/audio");
                if skips.load(Ordering::Relaxed) && begin_later(sent) {
                    skips.store(false, Ordering::Relaxed);
                }
                far.write_all(sent).await.ok()?;
            }
            read = far.read(&mut down) => {
                let sent = &down[..read.ok().filter(|read| *read > 0)?];
                passed += sent.len();
                near.write_all(sent).await.ok()?;
                if is_audio && passed > cut_at && !has_cut.swap(true, Ordering::Relaxed) {
                    return None;
                }
            }
        }
    }
}

/// Makes the part that is asked for begin later; false where a whole file is asked for.
fn begin_later(request: &mut [u8]) -> bool {
    let range = b"range: bytes=";
    let at = request.windows(range.len()).position(|part| part == range);
    let first_digit = at.and_then(|at| request.get_mut(at + range.len()));
    let Some(digit) = first_digit.filter(|digit| (b'1'..b'9').contains(digit)) else {
        return false;
    };
    *digit = b'9';
    true
}
