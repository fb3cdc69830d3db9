// A client of KMDS without dependencies, for Node 20 or later and browsers. Types are in kmds.d.ts.
//
//     import { Kmds } from "kmds";
//     const kmds = new Kmds("http://127.0.0.1:60071");
//     const song = (await kmds.fetch("https://soundcloud.com/...")).tracks[0];   // title, artist, length: at once
//     console.log(await kmds.path(song, { cache: "/srv/music/kmds" }));          // waits; the file on the shared drive
//     const held = await kmds.hold(song);                                        // waits; the file stays until release()
//     await kmds.save(song, "song.m4a");                                         // or its bytes over HTTP
//     for await (const piece of await kmds.stream(song)) { }                     // or bytes while they arrive
//     await kmds.putQueue("guild-1", [song]);                                    // the server makes them ready in time
//     const [best] = await kmds.search("klaus veen ordinary days");              // words; then kmds.fetch(best.link)
//
// Songs, lists and results are the unchanged objects of the v1 API. Every failure is a `KmdsError`, except two: an
// abort is the reason of its signal, and a wrong argument is a `TypeError`.

/** Longest one request may wait for a file to be ready, in seconds; the server allows no more. */
const LONGEST_WAIT = 300;
/** Pause before a request that got no answer is sent again, in seconds. */
const PAUSE = 1;
/** Longest time that one call waits because the server wants fewer requests (429), in seconds. */
const LONGEST_LIMIT = 30;

/** A failed call. `kind` is one of the words in docs/api.md, like `geo_blocked`. */
export class KmdsError extends Error {
  constructor(kind, sentence, { status = 0, retryable = true, retryAfter = null, cause } = {}) {
    super(sentence, { cause });
    this.name = "KmdsError";
    this.kind = kind;
    this.status = status;
    this.retryable = retryable;
    this.retryAfter = retryAfter;
  }
}

export class Kmds {
  #url;
  #token;
  #milliseconds;

  constructor(url = "http://127.0.0.1:60071", { token = null, timeoutSeconds = 90 } = {}) {
    const { protocol } = new URL(url);
    if (protocol !== "http:" && protocol !== "https:") throw new TypeError(`not the address of a server: ${url}`);
    this.#url = url.replace(/\/+$/, "");
    this.#token = token;
    this.#milliseconds = timeoutSeconds * 1000;
  }

  /** Metadata of the link's songs, at once; they are downloaded in the background. */
  fetch(link, { playlist = false, accept, prefetch, signal } = {}) {
    return this.#json("POST", "/api/v1/fetch", { body: { url: link, playlist, accept, prefetch }, signal });
  }

  /** The results of a site's search. */
  async search(words, { site, limit = 10, signal } = {}) {
    const query = new URLSearchParams({ q: words, limit: String(limit), ...(site && { site }) });
    return (await this.#json("GET", `/api/v1/search?${query}`, { signal })).results;
  }

  /** The songs in the order in which they will be played: the server makes the first `ahead` ready, and holds them. */
  putQueue(name, songs, { ahead = 3, accept, seconds = 3600, signal } = {}) {
    const sent = songs.map((song) => (typeof song === "string" ? song : `${song.site}/${song.id}`));
    return this.#json("PUT", queueAt(name), { body: { songs: sent, ahead, accept, hold: seconds }, signal });
  }

  /** `limit` songs from the place `from` on; by default 100, beginning with the songs that were just played. */
  queue(name, { from, limit, signal } = {}) {
    const page = new URLSearchParams(Object.entries({ from, limit }).filter(([, number]) => number !== undefined));
    return this.#json("GET", `${queueAt(name)}${page.size ? `?${page}` : ""}`, { signal });
  }

  async endQueue(name, { signal } = {}) {
    await this.#json("DELETE", queueAt(name), { signal });
  }

  /** The song as it is now. */
  track(track, { signal } = {}) {
    return this.#json("GET", at(track), { signal });
  }

  /** Tries a failed song again now. */
  retry(track, { signal } = {}) {
    return this.#json("POST", `${song(track)}/retry`, { signal });
  }

  /** Cancels the song, or removes it from the cache. */
  async delete(track, { signal } = {}) {
    await this.#json("DELETE", song(track), { signal });
  }

  stats({ signal } = {}) {
    return this.#json("GET", "/api/v1/stats", { signal });
  }

  /** Waits until the file is ready. If the server is away (it restarts), asks again for `awaySeconds`. */
  wait(track, waiting = {}) {
    return this.#wait(track, waiting, "");
  }

  async #wait(track, { timeoutSeconds = 600, awaySeconds = 60, signal }, held) {
    let answered = now();
    const end = answered + timeoutSeconds;
    while (true) {
      const asked = now();
      const known = await this.#waitOnce(track, end, held, signal).catch((error) => {
        if (!isAway(error) || now() >= Math.min(end, answered + awaySeconds)) throw error;
      });
      if (known?.state === "ready") return known;
      if (known?.state === "failed" && known.failure.kind !== "cancelled") throw failureOf(known);
      if (known) answered = now();
      if (answered >= end) {
        throw new KmdsError("not_ready", `${known.title} is not ready after ${timeoutSeconds} s: it is ${known.state}`);
      }
      if (now() - asked < PAUSE) await pause(PAUSE, signal);
    }
  }

  /** The track when it is ready or has failed, or when one request may wait no longer. */
  #waitOnce(track, end, held, signal) {
    const hold = Math.ceil(Math.max(0, Math.min(LONGEST_WAIT, this.#milliseconds / 1000 - 5, end - now())));
    return this.#json("GET", `${at(track)}?wait=${hold}${held}`, { signal });
  }

  /**
   * Waits, and keeps the file on the drive until `release` is called: nothing evicts it meanwhile. The client
   * renews the hold; if this program is killed the hold ends by itself, after `seconds` at the latest.
   */
  async hold(track, { seconds = 120, ...waiting } = {}) {
    const holder = globalThis.crypto.randomUUID();
    const query = `hold=${seconds}&holder=${holder}`;
    const ready = await this.#wait(track, waiting, `&${query}`);
    // A failure is ignored: the server may be back before the hold ends, and the hold ends by itself.
    const call = (method, asked) => this.#json(method, `${at(ready)}/hold?${asked}`, {}).catch(() => null);
    let renewed = Promise.resolve();
    const renewing = setInterval(() => { renewed = call("POST", query); }, seconds * 500);
    renewing.unref?.();
    const release = async () => {
      clearInterval(renewing);
      await renewed;
      await call("DELETE", `holder=${holder}`);
    };
    return { track: ready, release };
  }

  /** Waits, then gives the path of the finished file; `cache` is the shared folder as this machine sees it. */
  async path(track, { cache = "", ...waiting } = {}) {
    const { stat } = await import("node:fs/promises");
    const { dirname, join } = await import("node:path");
    const path = join(cache, (await this.wait(track, waiting)).cache_path);
    // This checks the folder, not the file: a network drive may show a new file some seconds late.
    const folder = dirname(path);
    const found = await stat(folder).catch(() => null);
    if (!found?.isDirectory()) {
      const sentence =
        `the song is ready, but this machine has no folder ${folder}: give \`cache\`, ` +
        "the shared folder as this machine sees it, or set `cache.client_path` on the server";
      throw new KmdsError("wrong_cache", sentence, { retryable: false });
    }
    return path;
  }

  async cover(track, { signal } = {}) {
    const answer = await this.#ask("GET", `${song(track)}/cover`, { signal });
    if (answer.status !== 200) throw await answer.error();
    return new Blob([await answer.bytes()], { type: answer.header("content-type") ?? "" });
  }

  /** The audio while it arrives, from byte `start`. A broken download is an error; it never just ends. */
  async stream(track, { start = 0, signal } = {}) {
    const headers = start ? { Range: `bytes=${start}-` } : {};
    const answer = await this.#ask("GET", streamOf(track), { headers, signal });
    if (answer.status !== 200 && answer.status !== 206) throw await answer.error();
    return answer.stream();
  }

  /** Streams the song into a file, which appears only when it is whole. */
  async save(track, path, { signal } = {}) {
    const { open, rename, rm } = await import("node:fs/promises");
    const part = `${path}.part`;
    try {
      const file = await open(part, "w");
      try {
        for await (const piece of pieces(await this.stream(track, { signal }))) await file.writeFile(piece);
      } finally {
        await file.close();
      }
      await rename(part, path);
    } finally {
      await rm(part, { force: true });
    }
    return path;
  }

  /** Every change of a song, at once; `last` resumes. It reconnects until the caller ends the loop. */
  async *events({ track, last, signal } = {}) {
    const query = track ? `?${new URLSearchParams({ track: `${track.site}-${track.id}` })}` : "";
    while (true) {
      try {
        const headers = last === undefined ? {} : { "Last-Event-ID": String(last) };
        const answer = await this.#ask("GET", `/api/v1/events${query}`, { headers, signal });
        if (answer.status !== 200) throw await answer.error();
        for await (const event of readEvents(pieces(answer.stream()))) {
          last = event.number;
          yield event;
        }
      } catch (error) {
        if (!isAway(error)) throw error;
      }
      await pause(PAUSE, signal);
    }
  }

  async #json(method, path, { body, signal }) {
    let left = LONGEST_LIMIT;
    while (true) {
      const answer = await this.#ask(method, path, { body, signal });
      if (answer.status >= 200 && answer.status < 300) {
        const text = new TextDecoder().decode(await answer.bytes());
        return text ? JSON.parse(text) : null;
      }
      const error = await answer.error();
      const wait = Math.max(PAUSE, error.retryAfter ?? PAUSE);
      if (error.status !== 429 || wait > left) throw error;
      left -= wait;
      await pause(wait, signal);
    }
  }

  async #ask(method, path, { body, headers = {}, signal }) {
    signal?.throwIfAborted();
    const sent = { ...headers };
    if (this.#token) sent.Authorization = `Bearer ${this.#token}`;
    if (body) sent["Content-Type"] = "application/json";
    const patience = new Patience(this.#milliseconds, signal);
    try {
      const text = body && JSON.stringify(body);
      const head = fetch(this.#url + path, { method, headers: sent, body: text, signal: patience.signal });
      return new Answer(await patience.until(head), patience);
    } catch (error) {
      signal?.throwIfAborted();
      const reason = patience.isOver ? `no answer in ${this.#milliseconds / 1000} s` : causeOf(error);
      const sentence = `the server at ${new URL(this.#url).host} does not answer: ${reason}`;
      throw new KmdsError("connection", sentence, { cause: error });
    }
  }
}

/** Aborts a request after this time without a byte, or when the caller's signal does. */
class Patience {
  isOver = false;
  #control = new AbortController();
  #milliseconds;
  #callers;

  constructor(milliseconds, callers) {
    this.#milliseconds = milliseconds;
    this.#callers = callers;
    this.signal = callers ? AbortSignal.any([callers, this.#control.signal]) : this.#control.signal;
  }

  async until(promise) {
    const timer = setTimeout(() => {
      this.isOver = true;
      this.#control.abort();
    }, this.#milliseconds);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  throwIfAborted() {
    this.#callers?.throwIfAborted();
  }
}

/** An answer whose head has arrived. One of `bytes`, `stream`, `error` reads its body. */
class Answer {
  #response;
  #patience;

  constructor(response, patience) {
    this.#response = response;
    this.#patience = patience;
    this.status = response.status;
  }

  header(name) {
    return this.#response.headers.get(name);
  }

  async bytes() {
    try {
      return new Uint8Array(await this.#patience.until(this.#response.arrayBuffer()));
    } catch (error) {
      throw this.#broken(error);
    }
  }

  stream() {
    const reader = this.#response.body.getReader();
    return new ReadableStream({
      pull: async (controller) => {
        try {
          const { done, value } = await this.#patience.until(reader.read());
          if (!done) return controller.enqueue(value);
          controller.close();
        } catch (error) {
          controller.error(this.#broken(error));
        }
      },
      cancel: (reason) => reader.cancel(reason),
    });
  }

  async error() {
    const seconds = Number(this.header("retry-after"));
    const facts = { status: this.status, retryAfter: Number.isFinite(seconds) && seconds > 0 ? seconds : null };
    try {
      const problem = JSON.parse(new TextDecoder().decode(await this.bytes()));
      const { kind, detail, title, retryable = true } = problem;
      if (typeof kind === "string") return new KmdsError(kind, detail ?? title ?? kind, { ...facts, retryable });
    } catch (error) {
      if (error instanceof KmdsError) return error;
      this.#patience.throwIfAborted();
    }
    return new KmdsError(this.status === 418 ? "not_ready" : "internal", `HTTP ${this.status}`, facts);
  }

  /** The caller's error for a cut body: the reason of an abort, else a failure. */
  #broken(error) {
    try {
      this.#patience.throwIfAborted();
    } catch (reason) {
      return reason;
    }
    return new KmdsError("truncated", `the answer broke off: ${causeOf(error)}`, { cause: error });
  }
}

/** The pieces of a stream. Not every browser can iterate over one. */
async function* pieces(stream) {
  const reader = stream.getReader();
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Server-sent events out of pieces of text. */
async function* readEvents(arriving) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of arriving) {
    const blocks = (rest + decoder.decode(piece, { stream: true })).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n").filter((line) => line.indexOf(":") > 0);
      const fields = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
      if (fields.data) yield { number: Number(fields.id), name: fields.event, ...JSON.parse(fields.data) };
    }
  }
}

/** The server may be back soon: no answer, or half of one; it stops; or a proxy in front of it answered. */
function isAway(error) {
  if (!(error instanceof KmdsError)) return false;
  const { status, kind } = error;
  if (status === 0) return kind === "connection" || kind === "truncated";
  return kind === "cancelled" || (kind === "internal" && [502, 503, 504].includes(status));
}

function failureOf({ failure }) {
  const { kind, reason, retryable, retry_after_seconds: retryAfter = null } = failure;
  return new KmdsError(kind, reason, { retryable, retryAfter });
}

/** A path of this server out of its answer, without a proxy's prefix: `url` has that. */
function own(link) {
  return link.slice(link.indexOf("/api/v1/"));
}

/** The form that a reply is about; without its links, the form that a client asked for last. */
function at(track) {
  return track.links ? own(track.links.self) : song(track);
}

/** The song with all its forms. */
function song(track) {
  return `/api/v1/tracks/${encodeURIComponent(track.site)}/${encodeURIComponent(track.id)}`;
}

function queueAt(name) {
  return `/api/v1/queues/${encodeURIComponent(name)}`;
}

function streamOf(track) {
  return track.links ? own(track.links.stream) : `${at(track)}/audio?stream=1`;
}

function causeOf(error) {
  return error?.cause?.message || error?.cause?.code || error?.message || String(error);
}

function now() {
  return performance.now() / 1000;
}

async function pause(seconds, signal) {
  signal?.throwIfAborted();
  // A separate signal: many calls may share the caller's, and Node warns of many listeners on one signal.
  const ends = signal && AbortSignal.any([signal]);
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    ends?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
  signal?.throwIfAborted();
}
