//! The way to a node's HTTP, which can be cut.

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
            task: None,
        }
    }

    /// Leads to this node (`HOST:PORT`). The first audio is cut after so many bytes.
    pub fn open(&mut self, node: String, cut_at: usize) {
        let listener = self.listener.take().expect("opened once");
        let has_cut = Arc::clone(&self.has_cut);
        self.task = Some(tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (node, has_cut) = (node.clone(), Arc::clone(&has_cut));
                tokio::spawn(async move { pass(near, &node, cut_at, &has_cut).await });
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

async fn pass(mut near: TcpStream, node: &str, cut_at: usize, has_cut: &AtomicBool) -> Option<()> {
    let mut far = TcpStream::connect(node).await.ok()?;
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    let (mut is_audio, mut passed) = (false, 0);
    loop {
        tokio::select! {
            read = near.read(&mut up) => {
                let sent = &up[..read.ok().filter(|read| *read > 0)?];
                is_audio |= String::from_utf8_lossy(sent).contains("/audio");
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
