"""A music queue for discord.py: `!play` with a link or with words. The voice channel gets the site's
Opus, from the file on the shared drive: without FFmpeg, and without an encoder on this machine. It needs
`pip install discord.py[voice]`.

If a song is unavailable or does not play, the bot writes a message, and the next one plays."""
import asyncio
import os
import re
import discord
from discord.ext import commands
from discord.oggparse import OggStream
from kmds import AsyncKmds, KmdsError

kmds = AsyncKmds(os.environ.get("KMDS_URL", "http://127.0.0.1:60071"))
bot = commands.Bot("!", intents=discord.Intents(guilds=True, messages=True, message_content=True, voice_states=True))
#: The songs to play: each with its text channel and its voice channel.
waiting: list = []
added = asyncio.Event()
#: The server's name for this queue: no other bot of the server may have the same.
QUEUE = os.environ.get("KMDS_QUEUE", "discord-py")
#: The shared folder as this machine sees it; not needed if the server knows it (`cache.client_path`).
CACHE = os.environ.get("KMDS_CACHE", "")
LINK = re.compile(r"<?(https?:|\w+search\d*:)")

class OggOpus(discord.AudioSource):
    """The packets of an Ogg Opus file, unchanged."""
    _file = None

    def __init__(self, path):
        self._file = open(path, "rb")
        packets = OggStream(self._file).iter_packets()
        self._packets = (packet for packet in packets if not packet.startswith((b"OpusHead", b"OpusTags")))

    def is_opus(self):
        return True

    def read(self):
        return next(self._packets, b"")

    def cleanup(self):
        if self._file:
            self._file.close()

async def songs_of(text):
    """The songs of a link, or the first song that a search finds; downloads run in the background."""
    if not LINK.match(text):
        found = await kmds.search(text, limit=1)
        if not found:
            raise KmdsError("not_found", f"nothing was found for {text}")
        text = found[0].link
    # If a site has no Opus the server makes it. No download begins here: the server's queue starts them.
    return await kmds.fetch(text, accept=["opus"], prefetch="none")

async def tell_server():
    """The server makes the next three songs ready in time, and holds them; for the others it asks the site nothing."""
    songs = [track for _, _, track in waiting]
    try:
        await kmds.put_queue(QUEUE, songs, accept=["opus"], seconds=86400)
    except KmdsError:
        pass                                                 # then a download begins when the bot waits for it

@bot.command()
async def play(ctx, *, text: str):
    if not ctx.voice_client and not ctx.author.voice:
        return await ctx.send("Join a voice channel first.")
    try:
        fetched = await songs_of(text)
    except KmdsError as error:
        return await ctx.send(f"{error} ({error.kind})")
    voice = ctx.voice_client or await ctx.author.voice.channel.connect()
    await ctx.send(f"Queued: {', '.join(track.title for track in fetched.tracks[:5]) or 'nothing'}")
    for missing in fetched.unavailable[:5]:
        await ctx.send(f"Not to be had: {missing.title or 'a song of the list'}: {missing.reason}")
    waiting.extend((ctx, voice, track) for track in fetched.tracks)
    await tell_server()                                      # after a skip or a shuffle too; it moves on by itself
    added.set()

async def play_song(voice, track):
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    errors = []
    def after(error):                                        # called by a thread of discord.py
        errors.extend([error] if error else [])
        loop.call_soon_threadsafe(done.set)
    # Waits, through a restart of the server too; the file stays on the drive until the song is over.
    async with kmds.hold(track, cache=CACHE) as path:
        voice.play(OggOpus(path), after=after)
        await done.wait()
    if errors:
        raise errors[0]

async def player():
    while True:
        if not waiting:
            added.clear()
            await added.wait()
            continue
        ctx, voice, track = waiting.pop(0)
        try:
            await play_song(voice, track)
        except Exception as error:                           # any error ends only this song: the next one plays
            try:
                await ctx.send(f"{track.title}: {error}")
            except discord.DiscordException:
                pass

@bot.event
async def setup_hook():                                      # once; on_ready comes again after every reconnection
    bot.player = asyncio.create_task(player())

if __name__ == "__main__":
    bot.run(os.environ["DISCORD_TOKEN"])
