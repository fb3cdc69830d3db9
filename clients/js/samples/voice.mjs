// A music queue for discord.js and @discordjs/voice: `!play` with a link or with words. The voice
// channel gets the site's Opus, without ffmpeg and without an encoder on this machine. If a song is unavailable or does
// not play, the bot writes a message, and the next one plays.
//
//     npm install kmds-0.1.0.tgz discord.js @discordjs/voice
//     DISCORD_TOKEN=... KMDS_CACHE=/mnt/music/kmds node voice.mjs

import { once } from "node:events";
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { AudioPlayerStatus, createAudioPlayer, createAudioResource, joinVoiceChannel, StreamType } from "@discordjs/voice";
import { Client, Events, GatewayIntentBits } from "discord.js";
import { Kmds } from "kmds";

const kmds = new Kmds(process.env.KMDS_URL);
/** The shared folder as this machine sees it. Without it a song is streamed over HTTP. */
const CACHE = process.env.KMDS_CACHE;

/** Opus packets of a song, read from the shared drive or while they arrive. */
export async function resourceOf(track) {
  const bytes = CACHE === undefined ? Readable.fromWeb(await kmds.stream(track)) : await fileOf(track);
  return createAudioResource(bytes, { inputType: StreamType.OggOpus });
}

/** The file of a song, which stays on the drive until it has been read. */
async function fileOf(track) {
  const held = await kmds.hold(track);
  try {
    const file = createReadStream(await kmds.path(held.track, { cache: CACHE }));
    return file.once("close", held.release);
  } catch (error) {
    await held.release();
    throw error;
  }
}

/** The songs of a link, or the first result of a search. No download begins here: the server's queue starts them. */
export async function songsOf(text) {
  let link = text;
  if (!/^(https?:|\w+search\d*:)/.test(text)) {
    const [found] = await kmds.search(text, { limit: 1 });
    if (!found) throw new Error(`nothing was found for ${text}`);
    link = found.link;
  }
  // If a site has no Opus the server makes it.
  return kmds.fetch(link, { accept: ["opus"], prefetch: "none" });
}

/** Plays songs one after another on one player. */
export class Queue {
  player = createAudioPlayer();
  #waiting = [];
  #running = false;
  #tell;
  #name;

  /** `name`: the server's name for this queue, which no other bot of the server has. */
  constructor(tell, name) {
    this.#tell = tell;
    this.#name = name;
  }

  async add(text) {
    try {
      const { tracks, unavailable } = await songsOf(text);
      this.#waiting.push(...tracks);
      await this.#tellServer();
      this.#say(`Queued: ${tracks.slice(0, 5).map((track) => track.title).join(", ") || "nothing"}`);
      for (const missing of unavailable.slice(0, 5)) this.#say(`Not to be had: ${missing.title}: ${missing.reason}`);
    } catch (error) {
      return this.#say(error.message);
    }
    if (!this.#running) this.#run();
  }

  async #run() {
    this.#running = true;
    for (let track = this.#waiting.shift(); track; track = this.#waiting.shift()) {
      try {
        this.player.play(await resourceOf(track));
        await once(this.player, AudioPlayerStatus.Idle);          // rejects when the player has an error
      } catch (error) {
        this.#say(`${track.title}: ${error.message}`);
      }
    }
    this.#running = false;
  }

  /**
   * The server makes the next three songs ready in time, and holds them; for the others of a long list it asks the site
   * nothing. Call it also after a skip or a shuffle; the queue moves by itself. Without it a download begins when the
   * bot waits for the song.
   */
  #tellServer() {
    return kmds.putQueue(this.#name, this.#waiting, { accept: ["opus"], seconds: 86_400 }).catch(() => {});
  }

  /** If a message cannot be sent, the song still plays. */
  #say(text) {
    Promise.resolve(this.#tell(text)).catch(() => {});
  }
}

if (process.env.DISCORD_TOKEN) {
  const { Guilds, GuildMessages, GuildVoiceStates, MessageContent } = GatewayIntentBits;
  const client = new Client({ intents: [Guilds, GuildMessages, GuildVoiceStates, MessageContent] });
  const queues = new Map();
  client.on(Events.MessageCreate, (message) => {
    if (!message.inGuild() || !message.content.startsWith("!play ")) return;
    const channel = message.member?.voice.channel;
    if (!channel) return message.reply("Join a voice channel first.").catch(() => {});
    if (!queues.has(message.guildId)) {
      const queue = new Queue((text) => message.channel.send(text), `discord-${message.guildId}`);
      const { guild } = channel;
      joinVoiceChannel({ channelId: channel.id, guildId: guild.id, adapterCreator: guild.voiceAdapterCreator }).subscribe(queue.player);
      queues.set(message.guildId, queue);
    }
    queues.get(message.guildId).add(message.content.slice("!play ".length).trim());
  });
  await client.login(process.env.DISCORD_TOKEN);
}
