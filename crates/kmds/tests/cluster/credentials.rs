//! What opens a NATS server with operators and accounts: keys, signed claims, and a `.creds` file. Made for each test.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

/// The first byte of a public key; five bits more make the first two of a seed.
const OPERATOR: u8 = 14 << 3;
const ACCOUNT: u8 = 0;
const USER: u8 = 20 << 3;
const SEED: u8 = 18 << 3;

/// What the server's configuration needs, and the user's file.
pub struct Credentials {
    pub server: String,
    pub user: String,
}

struct Key {
    pair: Ed25519KeyPair,
    public: String,
    seed: String,
}

impl Key {
    fn new(kind: u8) -> Self {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).expect("random bytes");
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key");
        let public = encoded(&[&[kind][..], pair.public_key().as_ref()].concat());
        let head = [SEED | (kind >> 5), (kind & 31) << 3];
        Self {
            public,
            seed: encoded(&[&head[..], &seed].concat()),
            pair,
        }
    }

    /// Claims about another key, signed by this one.
    fn signs(&self, about: &Key, name: &str, nats: Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut claims = json!({
            "iat": 1_700_000_000, "iss": self.public, "sub": about.public, "name": name, "nats": nats,
        });
        let id = digest(&SHA256, claims.to_string().as_bytes());
        claims["jti"] = URL_SAFE_NO_PAD.encode(id).into();
        let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
        let signed = format!("{}.{}", part(&head), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// Base32 of the bytes and their CRC-16 (XMODEM).
fn encoded(bytes: &[u8]) -> String {
    let crc = bytes.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    });
    let all = [bytes, &crc.to_le_bytes()].concat();
    let bits: Vec<u8> = all
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| (byte >> bit) & 1))
        .collect();
    let letter = |five: &[u8]| {
        let value = (0..5).fold(0, |value, at| value * 2 + five.get(at).unwrap_or(&0));
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(value)])
    };
    bits.chunks(5).map(letter).collect()
}

impl Credentials {
    pub fn new() -> Self {
        let (operator, account, system) =
            (Key::new(OPERATOR), Key::new(ACCOUNT), Key::new(ACCOUNT));
        let user = Key::new(USER);
        let all = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
        });
        let of_operator =
            json!({ "type": "operator", "version": 2, "system_account": system.public });
        let of_account = json!({ "type": "account", "version": 2, "limits": all });
        let of_system = json!({ "type": "account", "version": 2, "limits": {
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        }});
        let of_user =
            json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
        let signed = |about: &Key, name: &str, claims| operator.signs(about, name, claims);
        let server = format!(
            "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}\n",
            signed(&operator, "operator", of_operator),
            system.public,
            account.public,
            signed(&account, "kmds", of_account),
            system.public,
            signed(&system, "system", of_system),
        );
        let user = format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            account.signs(&user, "node", of_user),
            user.seed,
        );
        Self { server, user }
    }
}
