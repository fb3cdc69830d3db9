// The types of kmds.js. The shapes of songs and lists are those of the v1 API: api.d.ts is made from openapi.json.

import type { EventReply, FetchReply, Problem, QueueReply, ResultReply, StatsReply, TrackReply } from "./api.js";

export type * from "./api.js";
/** A song in one form. */
export type Track = TrackReply;
/** The songs of a link. `collection` is set for lists only. */
export type Fetched = FetchReply;
/** A result of a search; fetch its `link`. */
export type Found = ResultReply;
/** The songs that will be played next, and the state of each. */
export type Queue = QueueReply;
/** `name` is `track` (a change of state) or `progress`. `number` goes into `events({ last })` to resume. */
export type Event = EventReply & { number: number; name: "track" | "progress" };
/** The names of a song. With its `links` from a reply, it also names the form. */
export type TrackId = Pick<Track, "site" | "id"> & Partial<Pick<Track, "links">>;
/** Words of the server, and three of this client. */
export type Kind = Problem["kind"] | "connection" | "truncated" | "wrong_cache";

/** A failed call. The message is a sentence that a person can act on. */
export class KmdsError extends Error {
  constructor(
    kind: Kind,
    sentence: string,
    facts?: { status?: number; retryable?: boolean; retryAfter?: number | null; cause?: unknown },
  );
  readonly kind: Kind;
  /** The HTTP status; 0 if the failure is not an HTTP answer. */
  readonly status: number;
  /** The same request may succeed later without a change. */
  readonly retryable: boolean;
  /** Seconds to wait before the next try, if the server names them. */
  readonly retryAfter: number | null;
}

export interface Abortable {
  /** Ends the call; it rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface Waiting extends Abortable {
  /** Longest wait for the file, in seconds: 600 by default. Over it, the error's kind is `not_ready`. */
  timeoutSeconds?: number;
  /** How long the server may be away (it restarts), in seconds: 60 by default. */
  awaySeconds?: number;
}

export interface FetchOptions extends Abortable {
  /** Take the whole list of a `watch?v=…&list=…` link. */
  playlist?: boolean;
  /** The formats that the program can play, the preferred one first; the server's `audio.accept` by default. */
  accept?: Array<"m4a" | "mp3" | "ogg" | "opus" | "webm"> | "discord";
  /** How many songs are downloaded at once: all by default. */
  prefetch?: "all" | "none" | number;
}

/** A song whose file stays on the drive. */
export interface Held {
  /** The song, ready; `kmds.path(held.track, { cache })` is its file. */
  track: Track;
  /** Ends the hold. It never rejects: if the call fails, the hold ends by itself. */
  release(): Promise<void>;
}

export interface QueueOptions extends Abortable {
  /** How many songs are made ready before they are played: 1 to 100, 3 by default. */
  ahead?: number;
  /** What the program can play; by default a song has the form that a client asked for last. */
  accept?: FetchOptions["accept"];
  /** The queue ends after this many seconds without another `putQueue`: 3,600 by default. */
  seconds?: number;
}

export interface QueuePage extends Abortable {
  /** The place of the first song; by default of the first one that was just played. */
  from?: number;
  /** 1 to 1,000; 100 by default. */
  limit?: number;
}

export interface SearchOptions extends Abortable {
  /** The server's `search.site` by default. */
  site?: "youtube" | "youtube_music" | "soundcloud" | "bandcamp";
  /** 1 to 25; 10 by default. */
  limit?: number;
}

export class Kmds {
  /** `timeoutSeconds`: longest silence of the server before a call fails, 90 by default. */
  constructor(url?: string, options?: { token?: string | null; timeoutSeconds?: number });
  /** Metadata of the link's songs, at once; they are downloaded in the background. */
  fetch(link: string, options?: FetchOptions): Promise<Fetched>;
  search(words: string, options?: SearchOptions): Promise<Found[]>;
  /**
   * The songs (links, `site/id` or tracks) in the order in which they will be played: the server makes the first
   * ones ready, and holds them. Put the rest again after a skip.
   */
  putQueue(name: string, songs: Array<string | TrackId>, options?: QueueOptions): Promise<Queue>;
  /** `songs` are the songs from the place `from` on, of `total`: `songs[begun - from]` is the next one. */
  queue(name: string, options?: QueuePage): Promise<Queue>;
  endQueue(name: string, options?: Abortable): Promise<void>;
  /** The song as it is now. */
  track(track: TrackId, options?: Abortable): Promise<Track>;
  /** Waits until the file is ready; rejects when it failed for good. */
  wait(track: TrackId, options?: Waiting): Promise<Track>;
  /**
   * Waits, and keeps the file on the drive until `release` is called. The client renews the hold; if the
   * program is killed the hold ends by itself, after `seconds` (120 by default) at the latest.
   */
  hold(track: TrackId, options?: Waiting & { seconds?: number }): Promise<Held>;
  /**
   * Waits, then gives the path of the finished file. `cache` is the shared folder as this machine sees it; leave it
   * out if the server knows it (`cache.client_path`). Not in browsers.
   */
  path(track: TrackId, options?: Waiting & { cache?: string }): Promise<string>;
  /** The audio while it arrives, from byte `start`. A broken download is an error; it never just ends. */
  stream(track: TrackId, options?: Abortable & { start?: number }): Promise<ReadableStream<Uint8Array>>;
  /** Streams the song into a file, which appears only when it is whole. Not in browsers. */
  save(track: TrackId, path: string, options?: Abortable): Promise<string>;
  cover(track: TrackId, options?: Abortable): Promise<Blob>;
  /** Every change of a song, at once. It reconnects until the caller ends the loop. */
  events(options?: Abortable & { track?: TrackId; last?: number }): AsyncGenerator<Event, never, void>;
  /** Tries a failed song again now. */
  retry(track: TrackId, options?: Abortable): Promise<Track>;
  /** Cancels the song, or removes it from the cache. */
  delete(track: TrackId, options?: Abortable): Promise<void>;
  stats(options?: Abortable): Promise<StatsReply>;
}
