//! A line between two programs that can go silent: no byte passes, and no connection ends, as in a network that is
//! parted.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes connections on. It is closed with the test.
pub struct Line {
    /// `HOST:PORT` of the near end.
    pub near: String,
    far: Arc<Mutex<String>>,
    is_open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Line {
    /// A line that leads to nothing yet.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let near = listener.local_addr().expect("bound").to_string();
        let (far, is_open) = (Arc::<Mutex<String>>::default(), watch::Sender::new(true));
        let (to, watched) = (Arc::clone(&far), is_open.subscribe());
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = to.lock().clone();
                tokio::spawn(pass(near, far, watched.clone()));
            }
        });
        Self {
            near,
            far,
            is_open,
            task,
        }
    }

    /// From now on connections lead to this `HOST:PORT`.
    pub fn leads_to(&self, far: &str) {
        far.clone_into(&mut self.far.lock());
    }

    pub fn opens(&self) {
        self.is_open.send_replace(true);
    }

    /// What is on its way waits until the line opens.
    pub fn goes_silent(&self) {
        self.is_open.send_replace(false);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `None` when one end closes, or the line is gone.
async fn pass(mut near: TcpStream, far: String, mut is_open: watch::Receiver<bool>) -> Option<()> {
    is_open.wait_for(|open| *open).await.ok()?;
    let mut far = TcpStream::connect(far).await.ok()?;
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    loop {
        tokio::select! {
            read = near.read(&mut up) => {
                let sent = read.ok().filter(|sent| *sent > 0)?;
                is_open.wait_for(|open| *open).await.ok()?;
                far.write_all(&up[..sent]).await.ok()?;
            }
            read = far.read(&mut down) => {
                let sent = read.ok().filter(|sent| *sent > 0)?;
                is_open.wait_for(|open| *open).await.ok()?;
                near.write_all(&down[..sent]).await.ok()?;
            }
        }
    }
}
