//! WebM: Opus in clusters of ten seconds, Cues in front, `Void` elements as padding.

use super::{Mark, Written, frame_count, ogg, seeds};

const PACKETS_PER_CLUSTER: usize = 500;

pub fn write(seconds: f64, size: Option<u64>, mark: Mark) -> Written {
    let seed = seeds::opus_22k();
    let turn = mark.turn(seed.frames.len());
    let mut packets = frame_count(seconds, 960, 48_000);
    loop {
        let clusters: Vec<Vec<u8>> = (0..packets.div_ceil(PACKETS_PER_CLUSTER))
            .map(|number| {
                let first = number * PACKETS_PER_CLUSTER;
                let last = (first + PACKETS_PER_CLUSTER).min(packets);
                cluster(
                    first as u64 * 20,
                    (first..last).map(|n| seed.frame(turn, n)),
                )
            })
            .collect();
        // A file cut short by its length plays as long as its packets do.
        let milliseconds = if frame_count(seconds, 960, 48_000) == packets {
            seconds * 1000.0
        } else {
            packets as f64 * 20.0
        };
        let natural = lay_out(&clusters, &vec![0; clusters.len()], milliseconds, mark)
            .bytes
            .len();
        let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else {
            return lay_out(&clusters, &vec![0; clusters.len()], milliseconds, mark);
        };
        if natural == size || natural + 2 <= size {
            return lay_out(
                &clusters,
                &shares(size - natural, clusters.len()),
                milliseconds,
                mark,
            );
        }
        if packets == 1 {
            return Written {
                bytes: vec![0; size],
                init_end: 0,
                index_end: 0,
                cuts: Vec::new(),
            };
        }
        packets -= ((natural + 2 - size) / 70).clamp(1, packets - 1);
    }
}

/// Splits the padding over the clusters, so that bytes and seconds stay in proportion. Two bytes are the least.
fn shares(padding: usize, clusters: usize) -> Vec<usize> {
    let each = padding / clusters.max(1);
    let mut shares = vec![if each < 2 { 0 } else { each }; clusters];
    let given: usize = shares.iter().sum();
    if let Some(last) = shares.last_mut() {
        *last += padding - given;
    }
    shares
}

fn lay_out(clusters: &[Vec<u8>], padding: &[usize], milliseconds: f64, mark: Mark) -> Written {
    let head = element(
        &[0x1a, 0x45, 0xdf, 0xa3],
        &[
            element(&[0x42, 0x86], &[1]),
            element(&[0x42, 0xf7], &[1]),
            element(&[0x42, 0xf2], &[4]),
            element(&[0x42, 0xf3], &[8]),
            element(&[0x42, 0x82], b"webm"),
            element(&[0x42, 0x87], &[4]),
            element(&[0x42, 0x85], &[2]),
        ]
        .concat(),
    );
    let front = [information(milliseconds, mark), tracks()].concat();
    let cues_length = cues(clusters.len(), &vec![0; clusters.len()]).len();
    let mut position = front.len() + cues_length;
    let mut positions = Vec::new();
    for (cluster, padding) in clusters.iter().zip(padding) {
        positions.push(position as u64);
        position += cluster.len() + padding;
    }
    let mut out = head;
    out.extend_from_slice(&[0x18, 0x53, 0x80, 0x67]);
    out.extend_from_slice(&wide_size(position as u64));
    out.extend_from_slice(&front);
    let init_end = out.len() as u64 - 1;
    out.extend_from_slice(&cues(clusters.len(), &positions));
    let index_end = out.len() as u64 - 1;
    for (cluster, padding) in clusters.iter().zip(padding) {
        out.extend_from_slice(cluster);
        void(&mut out, *padding, mark);
    }
    Written {
        bytes: out,
        init_end,
        index_end,
        cuts: Vec::new(),
    }
}

fn information(milliseconds: f64, mark: Mark) -> Vec<u8> {
    element(
        &[0x15, 0x49, 0xa9, 0x66],
        &[
            element(&[0x2a, 0xd7, 0xb1], &1_000_000_u32.to_be_bytes()),
            element(&[0x44, 0x89], &milliseconds.to_be_bytes()),
            element(&[0x4d, 0x80], b"kmds-lab"),
            element(&[0x57, 0x41], format!("{:016x}", mark.0).as_bytes()),
        ]
        .concat(),
    )
}

fn tracks() -> Vec<u8> {
    let sound = [
        element(&[0xb5], &48_000_f64.to_be_bytes()),
        element(&[0x9f], &[2]),
    ]
    .concat();
    let entry = [
        element(&[0xd7], &[1]),
        element(&[0x73, 0xc5], &[1]),
        element(&[0x83], &[2]),
        element(&[0x86], b"A_OPUS"),
        element(&[0x63, 0xa2], &ogg::head()),
        element(&[0x56, 0xaa], &6_500_000_u32.to_be_bytes()),
        element(&[0x56, 0xbb], &80_000_000_u32.to_be_bytes()),
        element(&[0xe1], &sound),
    ]
    .concat();
    element(&[0x16, 0x54, 0xae, 0x6b], &element(&[0xae], &entry))
}

fn cues(count: usize, positions: &[u64]) -> Vec<u8> {
    let points: Vec<u8> = (0..count)
        .flat_map(|number| {
            let time = (number * PACKETS_PER_CLUSTER * 20) as u32;
            let position = positions.get(number).copied().unwrap_or(0);
            let place = [
                element(&[0xf7], &[1]),
                element(&[0xf1], &position.to_be_bytes()),
            ]
            .concat();
            element(
                &[0xbb],
                &[
                    element(&[0xb3], &time.to_be_bytes()),
                    element(&[0xb7], &place),
                ]
                .concat(),
            )
        })
        .collect();
    element(&[0x1c, 0x53, 0xbb, 0x6b], &points)
}

fn cluster<'a>(start_ms: u64, packets: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut body = element(&[0xe7], &(start_ms as u32).to_be_bytes());
    for (number, packet) in packets.enumerate() {
        body.push(0xa3);
        body.extend_from_slice(&size_of(packet.len() as u64 + 4));
        body.push(0x81);
        body.extend_from_slice(&((number * 20) as u16).to_be_bytes());
        body.push(0x80);
        body.extend_from_slice(packet);
    }
    element(&[0x1f, 0x43, 0xb6, 0x75], &body)
}

fn void(out: &mut Vec<u8>, length: usize, mark: Mark) {
    match length {
        0 | 1 => {}
        2..=9 => {
            out.extend_from_slice(&[0xec, 0x80 | (length as u8 - 2)]);
            mark.fill(out, length - 2);
        }
        _ => {
            out.push(0xec);
            out.extend_from_slice(&wide_size(length as u64 - 9));
            mark.fill(out, length - 9);
        }
    }
}

fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = id.to_vec();
    out.extend_from_slice(&size_of(body.len() as u64));
    out.extend_from_slice(body);
    out
}

fn size_of(length: u64) -> Vec<u8> {
    if length < 0x7f {
        vec![0x80 | length as u8]
    } else if length < 0x3fff {
        (0x4000 | length as u16).to_be_bytes().to_vec()
    } else {
        (0x1000_0000 | length as u32).to_be_bytes().to_vec()
    }
}

/// A size that always takes eight bytes.
fn wide_size(length: u64) -> [u8; 8] {
    (0x0100_0000_0000_0000 | length).to_be_bytes()
}
