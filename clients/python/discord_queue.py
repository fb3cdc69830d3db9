"""A music queue for discord.py: paste a link, the song plays from the shared drive. Needs discord.py and FFmpeg.

A song that cannot be had or played is told of, and the next one plays."""
import asyncio
import os
import discord
from discord.ext import commands
from kmds import AsyncKmds, KmdsError

kmds = AsyncKmds(os.environ.get("KMDS_URL", "http://127.0.0.1:60071"))
bot = commands.Bot("!", intents=discord.Intents(guilds=True, messages=True, message_content=True, voice_states=True))
queue: asyncio.Queue = asyncio.Queue()
#: The shared folder as this machine sees it; not needed where the server is told (`cache.client_path`).
CACHE = os.environ.get("KMDS_CACHE", "")
#: Pauses in seconds while the server is away: a restart must not cost the songs that wait.
AWAY = (1, 2, 5, 10, 20, 30)

@bot.command()
async def play(ctx, link: str):
    if not ctx.voice_client and not ctx.author.voice:
        return await ctx.send("Join a voice channel first.")
    try:
        fetched = await kmds.fetch(link)                     # titles at once; audio follows in the background
    except KmdsError as error:
        return await ctx.send(f"{error} ({error.kind})")
    voice = ctx.voice_client or await ctx.author.voice.channel.connect()
    await ctx.send(f"Queued: {', '.join(track.title for track in fetched.tracks[:5]) or 'nothing'}")
    for missing in fetched.unavailable[:5]:
        await ctx.send(f"Not to be had: {missing.title or 'a song of the list'}: {missing.reason}")
    for track in fetched.tracks:
        await queue.put((ctx, voice, track))

async def finished_file(track):
    for pause in AWAY:
        try:
            return await kmds.path(track, cache=CACHE)       # waits; the finished file, handed over by path
        except KmdsError as error:
            if error.kind not in ("connection", "cancelled"):
                raise
        await asyncio.sleep(pause)
    return await kmds.path(track, cache=CACHE)

async def play_song(voice, track):
    path = await finished_file(track)
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    errors = []
    def after(error):                                        # called by a thread of discord.py
        errors.extend([error] if error else [])
        loop.call_soon_threadsafe(done.set)
    voice.play(discord.FFmpegPCMAudio(str(path)), after=after)
    await done.wait()
    if errors:
        raise errors[0]

async def player():
    while True:
        ctx, voice, track = await queue.get()
        try:
            await play_song(voice, track)
        except Exception as error:                           # whatever it is, it is this song's: the next one plays
            try:
                await ctx.send(f"{track.title}: {error}")
            except discord.DiscordException:
                pass

@bot.event
async def setup_hook():                                      # once; on_ready comes again after every reconnection
    bot.player = asyncio.create_task(player())

if __name__ == "__main__":
    bot.run(os.environ["DISCORD_TOKEN"])
