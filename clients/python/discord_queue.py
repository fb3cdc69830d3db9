"""A music queue for discord.py: paste a link, the song plays from the shared drive. Needs discord.py and FFmpeg."""
import asyncio
import os
import discord
from discord.ext import commands
from kmds import AsyncKmds, KmdsError

kmds = AsyncKmds(os.environ.get("KMDS_URL", "http://127.0.0.1:60071"))
bot = commands.Bot("!", intents=discord.Intents(guilds=True, messages=True, message_content=True, voice_states=True))
queue: asyncio.Queue = asyncio.Queue()

@bot.command()
async def play(ctx, link: str):
    try:
        fetched = await kmds.fetch(link)                     # titles at once; audio follows in the background
    except KmdsError as error:
        return await ctx.send(f"{error} ({error.kind})")
    voice = ctx.voice_client or await ctx.author.voice.channel.connect()
    await ctx.send(f"Queued: {', '.join(track.title for track in fetched.tracks[:5])}")
    for track in fetched.tracks:
        await queue.put((voice, track))

@bot.listen("on_ready")
async def player():
    while True:
        voice, track = await queue.get()
        done = asyncio.Event()
        path = await kmds.path(track, cache=os.environ["KMDS_CACHE"])    # the finished file, handed over by path
        voice.play(discord.FFmpegPCMAudio(str(path)), after=lambda _: bot.loop.call_soon_threadsafe(done.set))
        await done.wait()

if __name__ == "__main__":
    bot.run(os.environ["DISCORD_TOKEN"])
