// The sample extractor.mjs with the real discord-player, up to what would be a voice packet: prints the sizes of the
// packets.
import { EventEmitter, once } from "node:events";
import { Client, GatewayIntentBits } from "discord.js";
import { Player } from "discord-player";
import { KmdsExtractor } from "./extractor.mjs";

/** What the player hands packets to, in the place of a connection to a voice channel. */
class Ear extends EventEmitter {
  state = { status: "ready" };
  joinConfig = { channelId: "2", guildId: "1" };
  sizes = [];
  subscribe(player) {
    return player.subscribe(this);
  }
  prepareAudioPacket(packet) {
    if (packet.length > 3) this.sizes.push(packet.length);
  }
  dispatchAudio() {}
  setSpeaking() {}
  onSubscriptionRemoved() {}
  destroy() {}
}

const { KMDS_URL: url, KMDS_CACHE: cache, LINK, LIST, WORDS, MODE } = process.env;
/** The calls by which the extractor keeps a file on the drive. */
const holds = [];
/** The songs of the queues that the extractor has told the server of. */
const queues = [];
const plainFetch = globalThis.fetch;
globalThis.fetch = (asked, options) => {
  if (String(asked).includes("holder=")) holds.push(options?.method ?? "GET");
  if (options?.method === "PUT") queues.push(JSON.parse(options.body).songs);
  return plainFetch(asked, options);
};
const client = new Client({ intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildVoiceStates] });
const guild = client.guilds._add({ id: "1", name: "g", channels: [{ id: "2", name: "v", type: 2, bitrate: 64000 }], unavailable: false });
const player = new Player(client);
player.on("error", (error) => { throw error; });
await player.extractors.register(KmdsExtractor, MODE === "stream" ? { url } : { url, cache });

const byWords = await player.search(WORDS);
const list = await player.search(LIST);
const { tracks: [track] } = await player.search(LINK);
const filters = MODE === "filters" ? {} : KmdsExtractor.withoutFilters;
const queue = player.nodes.create(guild, { ...filters, leaveOnEnd: false, disableFallbackStream: true });
player.events.on("error", (_, error) => { throw error; });
player.events.on("playerError", (_, error) => { throw error; });
const ear = new Ear();
player.voiceUtils.join = async () => ear;
await queue.connect("2");
queue.addTrack([track, ...list.tracks]);
const finished = once(player.events, "playerFinish");
await queue.node.play();
await finished;
console.log(JSON.stringify({
  sizes: ear.sizes,
  track: [track.title, track.author, track.duration],
  list: [list.playlist?.title, list.tracks.map((one) => one.title)],
  holds,
  queues,
  words: byWords.tracks.map((one) => [one.title, one.url]),
}));
process.exit(0);
