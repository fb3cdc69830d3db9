// The sample voice.mjs with the real @discordjs/voice, up to what would be a voice packet: prints the sizes of the
// packets.
import { AudioPlayerStatus } from "@discordjs/voice";
import { Queue } from "./voice.mjs";

/** What the player hands packets to, in the place of a connection to a voice channel. */
class Ear {
  state = { status: "ready" };
  sizes = [];
  prepareAudioPacket(packet) {
    // Silence, which the player puts behind a song and where a stream is late.
    if (packet.length > 3) this.sizes.push(packet.length);
  }
  dispatchAudio() {}
  setSpeaking() {}
  onSubscriptionRemoved() {}
}

const told = [], ear = new Ear();
const queue = new Queue(async (text) => {
  told.push(text);
  if (text.startsWith("Refused: ")) throw new Error("no words are let through");
}, "guild-1");
queue.player.subscribe(ear);
const songs = [];
queue.player.on(AudioPlayerStatus.Idle, () => {
  if (ear.sizes.length) songs.push(ear.sizes.splice(0));
});
for (const text of JSON.parse(process.env.TEXTS)) await queue.add(text);
const wanted = Number(process.env.SONGS);
while (songs.length < wanted) await new Promise((resolve) => setTimeout(resolve, 20));
console.log(JSON.stringify({ songs, told }));
process.exit(0);
