//! A real browser: headless Chromium, led over the WebDriver protocol.
//!
//! Owns a chromedriver, one session and a profile of its own. Hides the protocol's JSON. Never downloads a browser:
//! without Debian's `chromium` and `chromium-driver` the tests are skipped, loudly.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Folder, PATIENCE};

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Nothing of the browser's own goes out, and nothing of this machine's settings comes in.
const ARGUMENTS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    // Names of made-up machines, all of them this one.
    "--host-resolver-rules=MAP *.lan 127.0.0.1, MAP *.example 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

pub struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
    _profile: Folder,
}

impl Browser {
    /// A browser on a blank page; `None` without Chromium, after saying so.
    pub async fn open() -> Option<Self> {
        let (Some(chromium), Some(chromedriver)) = (program("chromium"), program("chromedriver"))
        else {
            eprintln!(
                "SKIPPED: there is no chromium and chromedriver; apt-get install chromium chromium-driver"
            );
            return None;
        };
        let mut driver = Command::new(chromedriver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let port = port_of(&mut driver);
        let profile = Folder::new();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .expect("an HTTP client");
        let user_data = format!("--user-data-dir={}", profile.0.display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([user_data.as_str()]).collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let driver_url = format!("http://127.0.0.1:{port}");
        let mut browser = Self {
            driver,
            session: driver_url,
            http,
            _profile: profile,
        };
        let made = browser.call("/session", wanted).await;
        let id = made["sessionId"].as_str().expect("a session").to_owned();
        browser.session = format!("{}/session/{id}", browser.session);
        Some(browser)
    }

    async fn call(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.session);
        let request = self
            .http
            .post(&url)
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = request.send().await.expect("chromedriver answers");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        let mut reply: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"));
        assert!(status.is_success(), "{path}: {}", reply["value"]["message"]);
        reply["value"].take()
    }

    pub async fn go(&self, url: &str) {
        self.call("/url", json!({ "url": url })).await;
    }

    /// Runs the body of a function in the page; what it returns.
    pub async fn run(&self, script: &str) -> Value {
        self.call("/execute/sync", json!({ "script": script, "args": [] }))
            .await
    }

    /// Whether an expression of the page is true.
    pub async fn holds(&self, expression: &str) -> bool {
        self.run(&format!("return Boolean({expression})")).await == json!(true)
    }

    /// Asks until the expression is true.
    pub async fn until(&self, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.holds(expression).await {
            if Instant::now() > end {
                panic!(
                    "never: {expression}\nthe page says: {}",
                    self.run("return document.body.innerText").await
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The browser's own commands (Chrome DevTools Protocol).
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.call(
            "/goog/cdp/execute",
            json!({ "cmd": command, "params": parameters }),
        )
        .await
    }

    /// Clicks as a person does: the element has to be visible and on top.
    pub async fn click(&self, selector: &str) {
        let found = self
            .call(
                "/element",
                json!({ "using": "css selector", "value": selector }),
            )
            .await;
        let id = found[ELEMENT].as_str().expect("an element").to_owned();
        self.call(&format!("/element/{id}/click"), json!({})).await;
    }

    /// Keys pressed one after another, wherever focus is.
    pub async fn press(&self, keys: &str) {
        let moves: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [
                    json!({ "type": "keyDown", "value": key }),
                    json!({ "type": "keyUp", "value": key }),
                ]
            })
            .collect();
        self.call(
            "/actions",
            json!({ "actions": [{ "type": "key", "id": "keys", "actions": moves }] }),
        )
        .await;
    }

    /// Puts the text on the clipboard and pastes it into what has focus, by the browser's own editing commands.
    pub async fn paste(&self, text: &str) {
        self.devtools("Input.insertText", json!({ "text": text }))
            .await;
        for command in ["selectAll", "cut", "paste"] {
            let key = json!({ "type": "keyDown", "key": "v", "code": "KeyV", "modifiers": 2, "commands": [command] });
            self.devtools("Input.dispatchKeyEvent", key).await;
        }
    }

    /// Width and height in CSS pixels, and the theme (`light`, `dark`) the person prefers.
    pub async fn look(&self, width: u32, height: u32, theme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", size)
            .await;
        let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await;
    }

    /// Writes what is to be seen as PNG.
    pub async fn picture(&self, file: &Path) {
        let shot = self
            .devtools("Page.captureScreenshot", json!({ "format": "png" }))
            .await;
        let png = STANDARD
            .decode(shot["data"].as_str().expect("a picture"))
            .expect("base64");
        std::fs::write(file, png).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// Errors the console was told since last asked: scripts that threw, what the policy refused, failed requests.
    pub async fn errors(&self) -> Vec<String> {
        let log = self.call("/se/log", json!({ "type": "browser" })).await;
        let lines = log.as_array().expect("a log").iter();
        let bad = lines.filter(|line| line["level"] == "SEVERE" || line["level"] == "WARNING");
        bad.map(|line| line["message"].to_string()).collect()
    }

    /// Ends the browser. Dropping without it leaves that to chromedriver.
    pub async fn close(self) {
        let _ = self.http.delete(&self.session).send().await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked first, so that it takes its browser along.
        if let Some(pid) = i32::try_from(self.driver.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.driver.wait();
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn port_of(driver: &mut Child) -> u16 {
    let lines = BufReader::new(driver.stdout.take().expect("piped"))
        .lines()
        .map_while(Result::ok);
    let mut said = Vec::new();
    for line in lines {
        if let Some((_, port)) = line.split_once("successfully on port ") {
            return port.trim_end_matches('.').parse().expect("a port");
        }
        said.push(line);
    }
    panic!("chromedriver did not start: {said:?}");
}
