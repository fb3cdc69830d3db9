// Tests of kmds.js against a running service; `cargo test -p kmds --test programs javascript` starts one and runs them.

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Kmds, KmdsError } from "./kmds.js";

const { KMDS_URL, KMDS_CACHE, SONG, SONG_BYTES, HELD, REFUSED, OTHER } = process.env;
const wanted = await readFile(SONG_BYTES);
const kmds = new Kmds(KMDS_URL);

/** The error of a call, which must be a KmdsError. */
async function failure(call) {
  const error = await call.then(() => assert.fail("it did not fail"), (error) => error);
  assert.ok(error instanceof KmdsError, error);
  return error;
}

async function gathered(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function inFolder(work) {
  const folder = await mkdtemp(join(tmpdir(), "kmds-js-"));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("metadata comes at once and the file by path", async () => {
  const fetched = await kmds.fetch(SONG);
  assert.equal(fetched.collection, null);
  const [track] = fetched.tracks;
  assert.equal(track.title, "Copper Kettles");
  assert.ok(track.duration_seconds > 29);
  assert.deepEqual(await readFile(await kmds.path(track, { cache: KMDS_CACHE })), wanted);
  assert.equal((await kmds.track({ site: track.site, id: track.id })).state, "ready");
  const cover = await kmds.cover(track);
  assert.match(cover.type, /^image\//);
  assert.ok(cover.size > 0);
});

test("a queue makes its songs ready and ends", async () => {
  const [track] = (await kmds.fetch(SONG)).tracks;
  const queue = await kmds.putQueue("js", [track, SONG], { ahead: 2, seconds: 60 });
  assert.deepEqual(queue.songs.map((song) => song.song), [`${track.site}/${track.id}`, SONG]);
  assert.ok((await kmds.wait(queue.songs[0].track)).held_until);
  assert.equal((await kmds.queue("js")).songs[0].state, "ready");
  const page = await kmds.queue("js", { from: 1, limit: 5 });
  assert.deepEqual([page.from, page.total, page.songs.map((song) => song.song)], [1, 2, [SONG]]);
  assert.equal((await kmds.queue("js", { from: 0, limit: 1 })).songs.length, 1);
  await kmds.endQueue("js");
  assert.equal((await failure(kmds.queue("js"))).status, 404);
  assert.match((await failure(kmds.putQueue("js", ["no link"]))).message, /songs\[0\]/);
});

test("a held file is kept until it is released", async () => {
  const [track] = (await kmds.fetch(SONG, { accept: ["mp3"] })).tracks;
  assert.deepEqual([track.form, track.rendition], ["mp3", "original"]);
  const held = await kmds.hold(track, { seconds: 4 });
  assert.deepEqual(await readFile(await kmds.path(held.track, { cache: KMDS_CACHE })), wanted);
  const before = (await kmds.track(track)).held_until;
  assert.ok(before);
  while ((await kmds.track(track)).held_until === before); // It is renewed.
  await held.release();
  assert.equal((await kmds.track(track)).held_until, null);
});

test("a folder that is not the shared one is told of", async () => {
  const [track] = (await kmds.fetch(SONG)).tracks;
  const error = await inFolder((folder) => failure(kmds.path(track, { cache: folder })));
  assert.equal(error.kind, "wrong_cache");
  assert.match(error.message, /client_path/);
});

test("words find a song to fetch", async () => {
  const found = await kmds.search("Copper Kettles", { site: "bandcamp", limit: 5 });
  assert.deepEqual(found.map(({ kind, title }) => [kind, title]), [["song", "Copper Kettles"]]);
  assert.equal((await kmds.fetch(found[0].link)).tracks[0].title, "Copper Kettles");
  assert.equal((await failure(kmds.search("", { site: "bandcamp" }))).status, 400);
});

test("a stream is the file from any byte", async () => {
  const [track] = (await kmds.fetch(SONG)).tracks;
  assert.deepEqual(await gathered(await kmds.stream(track)), wanted);
  assert.deepEqual(await gathered(await kmds.stream(track, { start: 1000 })), wanted.subarray(1000));
  await inFolder(async (folder) => {
    const path = await kmds.save(track, join(folder, "song.mp3"));
    assert.deepEqual(await readFile(path), wanted);
    assert.deepEqual(await readdir(folder), ["song.mp3"]);
  });
});

test("what has come is handed out before the rest, and an abort ends a stream and a wait", async () => {
  const [track] = (await kmds.fetch(HELD)).tracks;
  const control = new AbortController();
  const reader = (await kmds.stream(track, { signal: control.signal })).getReader();
  assert.ok((await reader.read()).value.length > 0);
  const waits = kmds.wait(track, { signal: control.signal });
  const error = await failure(kmds.wait(track, { timeoutSeconds: 0 }));
  assert.deepEqual([error.kind, error.status], ["not_ready", 0]);
  control.abort(new Error("the listener left"));
  await assert.rejects(async () => { while (!(await reader.read()).done); }, /the listener left/);
  await assert.rejects(waits, /the listener left/);
  await assert.rejects(kmds.stats({ signal: control.signal }), /the listener left/);
});

test("failures have a kind, a status and a sentence", async () => {
  const error = await failure(kmds.fetch("https://example.org/nothing"));
  assert.deepEqual([error.kind, error.status, error.retryable, error.retryAfter], ["unsupported_link", 400, false, null]);
  assert.ok(error.message.length > 10);
  const [refused] = (await kmds.fetch(REFUSED)).tracks;
  const why = await failure(kmds.wait(refused));
  assert.deepEqual([why.kind, why.status], ["origin_failed", 0]);
  await failure(kmds.stream(refused));
  await failure(inFolder((folder) => kmds.save(refused, join(folder, "song.mp3"))));
  assert.equal((await kmds.retry(refused)).id, refused.id);
  const silent = await failure(new Kmds("http://127.0.0.1:1").stats());
  assert.equal(silent.kind, "connection");
  assert.match(silent.message, /127\.0\.0\.1:1 /);
  assert.throws(() => new Kmds("ftp://nowhere"), TypeError);
});

test("a call goes on when the server wants fewer requests, and fails where it wants too long a pause", async () => {
  const replies = [[429, {}], [429, {}], [200, {}], [429, { "Retry-After": "31" }]];
  const server = createServer((_, response) => {
    const [status, headers] = replies.shift();
    response.writeHead(status, headers).end("{}");
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    const limited = new Kmds(`http://127.0.0.1:${server.address().port}`);
    assert.deepEqual(await limited.stats(), {});
    const error = await failure(limited.stats());
    assert.deepEqual([error.status, error.retryAfter], [429, 31]);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("events tell what happens and resume", async () => {
  const all = kmds.events({ last: 0 });
  const [track] = (await kmds.fetch(OTHER)).tracks;
  const states = [];
  let number;
  for await (const event of all) {
    if (event.id !== track.id || event.name !== "track") continue;
    states.push(event.state);
    number = event.number;
    if (event.state === "ready") break;
  }
  assert.equal(states.at(-1), "ready");
  for await (const event of kmds.events({ track, last: number - 1 })) {
    assert.deepEqual([event.number, event.id], [number, track.id]);
    break;
  }
  await kmds.delete(track);
  assert.equal((await failure(kmds.track(track))).status, 404);
});

test("a hundred calls wait at once", async () => {
  const [held] = (await kmds.fetch(HELD)).tracks;
  const control = new AbortController();
  const waiting = Array.from({ length: 100 }, () => kmds.wait(held, { signal: control.signal }));
  assert.ok("songs" in (await kmds.stats()));
  control.abort();
  const ends = await Promise.allSettled(waiting);
  assert.ok(ends.every((end) => end.status === "rejected" && end.reason.name === "AbortError"));
});
