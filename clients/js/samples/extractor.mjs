// An extractor for discord-player: links of every site that KMDS takes, and words. It gives a song as Ogg Opus, from
// the file on the shared drive or while it arrives. discord-player itself demuxes this; with filters, or with
// `skipFFmpeg: false`, it decodes it. (discord-player 7 cannot use a path alone: it gives ffmpeg options that are for
// links only.)
//
//     import { Player } from "discord-player";
//     import { KmdsExtractor } from "./extractor.mjs";
//     const player = new Player(client);
//     await player.extractors.register(KmdsExtractor, { url: "http://10.0.0.2:60071", cache: "/mnt/music/kmds" });
//     await player.play(voiceChannel, "klaus veen ordinary days", { nodeOptions: KmdsExtractor.withoutFilters });
//
// Options: `url`, `token`; `cache`: the shared folder as this machine sees it ("" if the server knows it;
// without it songs are streamed over HTTP).

import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { BaseExtractor, Playlist, StreamType, Track, Util } from "discord-player";
import { Kmds } from "kmds";

const ACCEPT = ["opus"];

/** The server's name for the queue of a guild, which no other bot of the server may have. */
const nameOf = (queue) => `discord-player-${queue.id}`;

export class KmdsExtractor extends BaseExtractor {
  static identifier = "kmds";

  /** With these node options Opus packets go to the voice channel unchanged; with filters they are decoded first. */
  static withoutFilters = {
    // By default discord-player 7 takes what it has demuxed for PCM, and encodes it again.
    onAfterCreateStream: async (stream) => ({ stream, type: stream.readableObjectMode ? StreamType.Opus : StreamType.Raw }),
    disableVolume: true,
    disableEqualizer: true,
    disableFilterer: true,
    disableBiquad: true,
    disableResampler: true,
    disableCompressor: true,
    disableReverb: true,
    disableSeeker: true,
  };

  #kmds;

  async activate() {
    this.#kmds = new Kmds(this.options.url, { token: this.options.token });
    const { events } = this.context.player;
    for (const changed of ["playerStart", "audioTrackAdd", "audioTracksAdd", "audioTrackRemove", "audioTracksRemove"]) {
      events.on(changed, (queue) => this.#tellServer(queue));
    }
    events.on("queueDelete", (queue) => this.#kmds.endQueue(nameOf(queue)).catch(() => {}));
  }

  /** The server makes a guild's next songs ready in time, and holds them. Without it, songs download when they play. */
  #tellServer(queue) {
    const next = queue.tracks.toArray().filter((track) => track.extractor === this);
    const links = next.map((track) => track.url);
    this.#kmds.putQueue(nameOf(queue), links, { accept: ACCEPT, seconds: 86_400 }).catch(() => {});
  }

  /** Only the server knows which links it takes; `handle` asks it. */
  async validate() {
    return true;
  }

  async handle(query, context) {
    if (!/^https?:/.test(query)) {
      const found = await this.#kmds.search(query);
      const songs = found.filter((result) => result.kind === "song");
      return this.createResponse(null, songs.map((song) => this.#track(song, song.duration, context)));
    }
    // Audio is downloaded when a song comes near in the queue, not for the whole of a list at once.
    const fetched = await this.#kmds.fetch(query, { accept: ACCEPT, playlist: true, prefetch: "none" });
    const tracks = fetched.tracks.map((song) => this.#track(song, song.duration_seconds, context));
    return this.createResponse(fetched.collection && this.#playlist(fetched, tracks), tracks);
  }

  async stream(track) {
    const [song] = (await this.#kmds.fetch(track.url, { accept: ACCEPT })).tracks;
    if (!song) throw new Error(`${track.url} has no song that can be played`);
    const stream = this.options.cache === undefined
      ? Readable.fromWeb(await this.#kmds.stream(song))
      : await this.#file(song);
    return { stream, $fmt: StreamType.OggOpus };
  }

  /** The file stays on the drive until it was played or skipped. */
  async #file(song) {
    const held = await this.#kmds.hold(song);
    try {
      const file = createReadStream(await this.#kmds.path(held.track, { cache: this.options.cache }));
      return file.once("close", held.release);
    } catch (error) {
      await held.release();
      throw error;
    }
  }

  async getRelatedTracks() {
    return this.createResponse(null, []);
  }

  #track(song, seconds, context) {
    const track = new Track(this.context.player, {
      title: song.title,
      author: song.artist ?? "",
      url: song.link,
      thumbnail: song.cover_url ?? undefined,
      duration: Util.buildTimeCode(Util.parseMS((seconds ?? 0) * 1000)),
      source: "arbitrary",
      requestedBy: context.requestedBy,
      queryType: context.type,
    });
    track.extractor = this;
    return track;
  }

  #playlist(fetched, tracks) {
    const { title, artist, cover_url } = fetched.collection;
    const playlist = new Playlist(this.context.player, {
      title: title ?? "",
      description: "",
      thumbnail: cover_url ?? "",
      type: "playlist",
      source: "arbitrary",
      author: { name: artist ?? "", url: "" },
      id: fetched.id,
      url: fetched.link,
      tracks,
    });
    for (const track of tracks) track.playlist = playlist;
    return playlist;
  }
}
