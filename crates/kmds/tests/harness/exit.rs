//! The operator's way out, for tests: it tells the address at which KMDS is seen.
#![allow(dead_code, reason = "each test file uses its own part of the harness")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kmds_lab::Lab;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The operator's way out: a proxy that hands https on to the lab, and answers itself at `http://outside.test/`.
pub struct Exit {
    pub url: String,
    /// A whole HTTP answer.
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

/// A whole HTTP answer.
pub fn says(address: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{address}",
        address.len()
    )
}

impl Exit {
    pub async fn before(lab: &Lab, address: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let answer = Arc::new(Mutex::new(says(address)));
        let asked = Arc::new(AtomicUsize::new(0));
        let lab = lab.proxy_url().replace("http://", "");
        let (answers, asks) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(
                    client,
                    lab.clone(),
                    Arc::clone(&answers),
                    Arc::clone(&asks),
                ));
            }
        });
        Self { url, answer, asked }
    }

    pub fn is_seen_at(&self, address: &str) {
        self.answers(&says(address));
    }

    pub fn answers(&self, whole: &str) {
        whole.clone_into(&mut self.answer.lock());
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn carry(
    mut client: TcpStream,
    lab: String,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    if head.starts_with(b"GET http://outside.test/") {
        asked.fetch_add(1, Ordering::SeqCst);
        let text = answer.lock().clone();
        let _ = client.write_all(text.as_bytes()).await;
        return;
    }
    let Ok(mut onward) = TcpStream::connect(lab).await else {
        return;
    };
    if onward.write_all(&head).await.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut onward).await;
    }
}
