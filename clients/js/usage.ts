// Every call with its types; the test compiles it in strict mode against kmds.d.ts and the types made from
// openapi.json.

import { Kmds, KmdsError, type Event, type Fetched, type Found, type Held, type Kind, type Queue, type Track } from "kmds";

const kmds = new Kmds("http://127.0.0.1:60071", { token: null, timeoutSeconds: 30 });
const signal = AbortSignal.timeout(1000);

async function every(): Promise<void> {
  const fetched: Fetched = await kmds.fetch("https://...", { playlist: true, accept: ["opus"], prefetch: 3, signal });
  const title: string | null | undefined = fetched.collection?.title;
  const [track] = fetched.tracks as [Track];
  const seconds: number | null | undefined = track.duration_seconds;
  const found: Found[] = await kmds.search("words", { site: "bandcamp", limit: 3 });
  const ready: Track = await kmds.wait({ site: "bandcamp", id: "1" }, { timeoutSeconds: 5, awaySeconds: 1, signal });
  const path: string = await kmds.path(ready, { cache: "/mnt/music", timeoutSeconds: 5 });
  const held: Held = await kmds.hold(ready, { seconds: 60, timeoutSeconds: 5, signal });
  const form: "m4a" | "mp3" | "ogg" | "opus" | "webm" | "flac" | "wav" = held.track.form;
  await held.release();
  await kmds.fetch("https://...", { accept: "discord" });
  const queue: Queue = await kmds.putQueue("guild-1", [track, "youtube/1"], { ahead: 2, accept: "discord", seconds: 60 });
  const near: Track | null = (await kmds.queue(queue.name, { from: 0, limit: 1 })).songs[0]?.track ?? null;
  await kmds.endQueue(near?.id ?? "guild-1", { signal });
  const stream: ReadableStream<Uint8Array> = await kmds.stream(track, { start: 100 });
  const saved: string = await kmds.save(track, "song.opus");
  const cover: Blob = await kmds.cover(track);
  for await (const event of kmds.events({ track, last: 3, signal })) {
    const known: Event = event;
    const state: "queued" | "downloading" | "converting" | "ready" | "failed" = known.state;
    console.log(known.number, known.name, state);
  }
  const again: Track = await kmds.retry(await kmds.track(track));
  await kmds.delete(again);
  const songs: number = Object.keys(await kmds.stats()).length;
  console.log(title, seconds, form, found[0]?.link, path, stream, saved, cover.size, songs);
  // @ts-expect-error: no site of that name is searched
  await kmds.search("words", { site: "elsewhere" });
  // @ts-expect-error: a misspelt field
  console.log(track.titel);
}

every().catch((error: unknown) => {
  if (error instanceof KmdsError) {
    const kind: Kind = error.kind;
    console.log(kind === "geo_blocked", error.status, error.retryable, error.retryAfter);
  }
});
