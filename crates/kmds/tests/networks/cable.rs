//! Two networks joined by a cable: the service's, with addresses an operator might have, and the sites', where the lab
//! answers to public addresses. Nothing leads out of the two, and they go with the test.
#![allow(dead_code, reason = "each test program uses its own part of the cable")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use kmds_lab::Lab;
use parking_lot::Mutex;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::harness::{Folder, Setup};

/// The name of a page that tells the address it is asked from.
pub const ADDRESS_PAGE: &str = "address.test";

/// A connection as the sites see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub host: String,
    pub from: IpAddr,
}

pub struct Cable {
    ours: Namespace,
    theirs: Namespace,
    folder: Folder,
    /// Which host an address of the sites' network is.
    hosts: Arc<Mutex<HashMap<IpAddr, String>>>,
    callers: Arc<Mutex<Vec<Caller>>>,
}

/// A network of its own, and its own view of files; both live as long as a process in them.
struct Namespace(Child);

impl Namespace {
    fn make() -> Option<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", "echo there; exec cat"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let said = BufReader::new(child.stdout.take()?).read_line(&mut line);
        let namespace = Self(child);
        said.is_ok_and(|_| line == "there\n").then_some(namespace)
    }

    /// The beginning of a command that runs inside.
    fn enter(&self) -> Vec<String> {
        [
            "nsenter",
            "--net",
            "--mount",
            "--target",
            &self.0.id().to_string(),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn runs(&self, command: &str) -> bool {
        let enter = self.enter();
        let words = enter.iter().map(String::as_str).chain(command.split(' '));
        let words: Vec<&str> = words.collect();
        let out = Command::new(words[0]).args(&words[1..]).output();
        if let Ok(out) = out.as_ref().map(|out| String::from_utf8_lossy(&out.stderr))
            && !out.is_empty()
        {
            eprintln!("{command}: {out}");
        }
        out.is_ok_and(|out| out.status.success())
    }

    /// A socket opened inside stays inside, whichever process uses it.
    fn inside<T: Send + 'static>(&self, open: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = File::open(format!("/proc/{}/ns/net", self.0.id())).expect("a network");
        let opened = std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("entered");
            open()
        });
        opened.join().expect("opened")
    }

    fn listen(&self, port: u16) -> TcpListener {
        self.inside(move || TcpListener::bind(("::", port)).expect("a socket for both families"))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Cable {
    /// `None`, with a message, if no network can be made.
    pub fn lay(lab: &Lab) -> Option<Self> {
        Self::said(Self::try_lay(lab, true))
    }

    /// The same without IPv6, whose hosts send packets that no program asks for.
    pub fn lay_for_packets_to_count(lab: &Lab) -> Option<Self> {
        Self::said(Self::try_lay(lab, false))
    }

    fn said(laid: Option<Self>) -> Option<Self> {
        if laid.is_none() {
            eprintln!(
                "SKIPPED: no network of its own can be made here (root, unshare, nsenter and ip are needed)"
            );
        }
        laid
    }

    fn try_lay(lab: &Lab, with_v6: bool) -> Option<Self> {
        let (ours, theirs) = (Namespace::make()?, Namespace::make()?);
        let cable = format!(
            "ip link add way type veth peer name sites netns {}",
            theirs.0.id()
        );
        let laid = ours.runs(&cable)
            && (with_v6 || ours.runs("ip link set way addrgenmode none"))
            && ours.runs("ip link set lo up")
            && ours.runs("ip link set way up")
            && theirs.runs("ip link set sites up")
            && ours.runs("ip route add default dev way")
            && theirs.runs("ip route add default dev sites")
            && (!with_v6 || ours.runs("ip -6 route add default dev way"))
            && (!with_v6 || theirs.runs("ip -6 route add default dev sites"));
        if !laid {
            return None;
        }
        let folder = Folder::new();
        for (name, path) in [("hosts", "/etc/hosts"), ("no-servers", "/etc/resolv.conf")] {
            std::fs::write(folder.path(name), "").expect("written");
            if !ours.runs(&format!(
                "mount --bind {} {path}",
                folder.path(name).display()
            )) {
                return None;
            }
        }
        let cable = Self {
            ours,
            theirs,
            folder,
            hosts: Arc::default(),
            callers: Arc::default(),
        };
        cable.answer(443, lab.proxy_url().replace("http://", ""));
        cable.answer(80, String::new());
        Some(cable)
    }

    /// Gives the service's end an address; the first one is what the kernel takes where no program names another.
    pub fn has(&self, address: &str) {
        let family = if address.contains(':') { "nodad" } else { "" };
        assert!(
            self.ours
                .runs(format!("ip address add {address} dev way {family}").trim()),
            "{address}"
        );
    }

    pub fn has_no_more(&self, address: &str) {
        assert!(
            self.ours.runs(&format!("ip address del {address} dev way")),
            "{address}"
        );
    }

    /// The address that the kernel uses from now on if no program names another: a tunnel goes up or down.
    pub fn leaves_from(&self, address: &str) {
        assert!(
            self.ours
                .runs(&format!("ip route replace default dev way src {address}")),
            "{address}"
        );
    }

    /// A name the service can look up, and who answers at its addresses.
    pub fn host(&self, name: &str, addresses: &[&str]) {
        let mut file = File::options()
            .append(true)
            .open(self.folder.path("hosts"))
            .expect("hosts");
        for address in addresses {
            let (bits, plain) = if address.contains(':') {
                (128, "nodad")
            } else {
                (32, "")
            };
            let add = format!("ip address add {address}/{bits} dev sites {plain}");
            // It may stand there already, for another name.
            let _ = self.theirs.runs(add.trim());
            self.hosts
                .lock()
                .insert(address.parse().expect("an address"), name.to_owned());
            writeln!(file, "{address} {name}").expect("written");
        }
    }

    /// The connections to the hosts of the sites, and their source addresses; without those to the address page.
    pub fn callers(&self) -> Vec<Caller> {
        let all = self.callers.lock().clone();
        all.into_iter()
            .filter(|caller| caller.host != ADDRESS_PAGE)
            .collect()
    }

    /// A program outside that listens on loopback is reached there from inside, without the cable.
    pub fn reaches(&self, port: u16) {
        let address = ("127.0.0.1", port);
        let listener = self
            .ours
            .inside(move || TcpListener::bind(address).expect("a socket"));
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(address) else {
                    continue;
                };
                std::thread::spawn(move || join(near, far).unwrap_or_default());
            }
        });
    }

    /// Packets that the service's end has sent over the cable.
    pub fn packets_sent(&self) -> u64 {
        let path = format!("/proc/{}/net/dev", self.ours.0.id());
        let text = std::fs::read_to_string(path).expect("the network's counters");
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("way:"));
        let sent = line.and_then(|line| line.split_whitespace().nth(9)?.parse().ok());
        sent.unwrap_or_else(|| panic!("no counter: {text}"))
    }

    /// Asks a host of the sites for a connection from inside.
    pub fn calls(&self, address: &str) -> bool {
        let address = address.parse().expect("an address and a port");
        self.ours
            .inside(move || TcpStream::connect_timeout(&address, super::harness::PATIENCE).is_ok())
    }

    /// A service in its network, reached by a socket that was opened outside of it.
    pub fn setup(&self, lab: &Lab) -> Setup {
        Setup::new()
            .behind(self.ours.enter())
            .set("KMDS_EGRESS__CA_FILE", &lab.ca_file().display().to_string())
    }

    /// Hands connections on to the lab's proxy, or tells callers their address.
    fn answer(&self, port: u16, proxy: String) {
        let listener = self.theirs.listen(port);
        let (hosts, callers) = (Arc::clone(&self.hosts), Arc::clone(&self.callers));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (Ok(from), Ok(to)) = (stream.peer_addr(), stream.local_addr()) else {
                    continue;
                };
                let (from, to) = (from.ip().to_canonical(), to.ip().to_canonical());
                let host = hosts.lock().get(&to).cloned().unwrap_or_default();
                callers.lock().push(Caller {
                    host: host.clone(),
                    from,
                });
                let proxy = proxy.clone();
                std::thread::spawn(move || match proxy.is_empty() {
                    true => tell(stream, from),
                    false => hand_on(stream, &proxy, &host).unwrap_or_default(),
                });
            }
        });
    }
}

fn tell(mut stream: TcpStream, address: IpAddr) {
    let mut head = [0; 1024];
    if stream.read(&mut head).is_ok() {
        let text = address.to_string();
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
    }
}

fn hand_on(caller: TcpStream, proxy: &str, host: &str) -> std::io::Result<()> {
    let mut lab = TcpStream::connect(proxy)?;
    write!(
        lab,
        "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        lab.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    join(caller, lab)
}

/// Passes on what the two ends send, until the far one closes.
fn join(mut near: TcpStream, mut far: TcpStream) -> std::io::Result<()> {
    let (mut up, mut down) = (near.try_clone()?, far.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut up, &mut down);
        let _ = down.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut far, &mut near);
    near.shutdown(Shutdown::Both)
}

/// Where the hosts of the lab's Bandcamp and YouTube are, in both families.
pub fn everywhere(cable: &Cable, song: &kmds_lab::Song, with_v6: bool) {
    let link = song.link();
    let page = link
        .trim_start_matches("https://")
        .split('/')
        .next()
        .unwrap_or_default();
    let names = [
        page,
        "t4.bcbits.com",
        "youtubei.googleapis.com",
        "www.youtube.com",
        "rr1---sn-lab00000.googlevideo.com",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let (four, six) = (
            format!("45.77.1.{}", number + 1),
            format!("2a01:4f8::{}", number + 1),
        );
        let both = [four.as_str(), six.as_str()];
        cable.host(name, if with_v6 { &both } else { &both[..1] });
    }
}
