//! The Python client against the service, and against all that its own tests promise.

use crate::harness::Setup;
use crate::{python, root, skipped};
use kmds_lab::{Fault, Lab};

#[tokio::test]
async fn the_python_client_does_what_it_says() {
    let Some(python) = python() else {
        return skipped("the Python client", "there is no python3");
    };
    let lab = Lab::start().await;
    let song = lab
        .bandcamp()
        .track("Copper Kettles")
        .seconds(30.0)
        .publish();
    let held = lab.bandcamp().track("Held").holds_at(30_000).publish();
    let refused = lab.soundcloud().track("refused").publish();
    lab.inject(Fault::Status(403, None).on_media().of(&refused));
    let cut = lab.youtube().video("Cut").publish();
    let kmds = Setup::of(&lab).start();
    let wanted = kmds.folder.path("wanted");
    std::fs::write(&wanted, song.bytes()).expect("a file");
    let mut tests = tokio::process::Command::new(python);
    tests
        .arg(root().join("clients/python/test_kmds.py"))
        .env("KMDS_URL", &kmds.url)
        .env("KMDS_CACHE", kmds.folder.path("cache"))
        .env("SONG", song.link())
        .env("SONG_BYTES", &wanted)
        .env("HELD", held.link())
        .env("REFUSED", refused.link())
        .env("OTHER", cut.link())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let out = tests.output().await.expect("python");
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}");
    assert!(text.contains("OK"), "{text}");
    kmds.until("whoever wants the path is not sent the song", async || {
        kmds.log().contains("status=206 bytes=1 ")
    })
    .await;
}

/// As much of discord.py as the sample uses, and a channel in which two links are pasted.
const A_CHANNEL: &str = r#"
import asyncio, os, sys, threading, types
played, told = [], []
class DiscordException(Exception): pass
class Bot:
    def __init__(self, *_, **__): pass
    def command(self): return lambda function: function
    def event(self, function): setattr(self, function.__name__, function)
class Source:
    def __init__(self, path): self.path = path; open(path, "rb").close()
class Voice:
    def play(self, source, after):
        played.append(source.path)
        threading.Thread(target=after, args=(None,)).start()
class Context:
    voice_client = Voice()
    async def send(self, text):
        told.append(text)
        if "refused" in text and "Queued" not in text: raise DiscordException("no words are let through")
discord, ext, commands = (types.ModuleType(name) for name in ("discord", "discord.ext", "discord.ext.commands"))
discord.Intents, discord.FFmpegPCMAudio, discord.DiscordException = dict, Source, DiscordException
discord.ext, ext.commands, commands.Bot = ext, commands, Bot
sys.modules.update({"discord": discord, "discord.ext": ext, "discord.ext.commands": commands})
import discord_queue
async def main():
    await discord_queue.bot.setup_hook()
    for link in os.environ["LINKS"].split():
        await discord_queue.play(Context(), link)
    while not played:
        assert not discord_queue.bot.player.done(), discord_queue.bot.player.exception()
        await asyncio.sleep(0.02)
asyncio.run(asyncio.wait_for(main(), 50))
print(played, told)
"#;

#[tokio::test]
async fn the_sample_bot_plays_on_behind_a_song_that_fails() {
    let Some(python) = python() else {
        return skipped("the sample bot", "there is no python3");
    };
    let lab = Lab::start().await;
    let refused = lab.soundcloud().track("refused").publish();
    lab.inject(Fault::Status(403, None).on_media().of(&refused));
    let good = lab
        .bandcamp()
        .track("Copper Kettles")
        .seconds(4.0)
        .publish();
    let kmds = Setup::of(&lab).start();
    let mut bot = tokio::process::Command::new(python);
    bot.args(["-c", A_CHANNEL])
        .env("PYTHONPATH", root().join("clients/python"))
        .env("KMDS_URL", &kmds.url)
        .env("KMDS_CACHE", kmds.folder.path("cache"))
        .env("LINKS", format!("{} {}", refused.link(), good.link()))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let out = bot.output().await.expect("python");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(
        out.status.success() && said.contains(&format!("bandcamp/{}.mp3", good.id())),
        "{said}"
    );
}

#[tokio::test]
async fn the_python_client_builds_a_wheel_of_one_module() {
    let Some(python) = python() else {
        return skipped("the wheel", "there is no python3");
    };
    let folder = crate::harness::Folder::new();
    let source = folder.path("client");
    std::fs::create_dir(&source).expect("a folder");
    for name in ["kmds.py", "pyproject.toml"] {
        let from = root().join("clients/python").join(name);
        std::fs::copy(from, source.join(name)).expect("a copy");
    }
    let run = async |args: &[&str]| {
        let mut command = tokio::process::Command::new(&python);
        command.args(args).current_dir(&source);
        let out = command.output().await.expect("python");
        let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
        (out.status.success(), said.into_owned())
    };
    let (built, said) = run(&["-m", "pip", "wheel", "--no-deps", "-w", "out", "."]).await;
    if !built && (said.contains("No matching distribution") || said.contains("No module named pip"))
    {
        return skipped("the wheel", &said);
    }
    assert!(built, "{said}");
    let list = "import zipfile, glob; print(zipfile.ZipFile(*glob.glob('out/*.whl')).namelist())";
    let (_, names) = run(&["-c", list]).await;
    assert!(
        names.contains("'kmds.py'") && !names.contains("test_kmds"),
        "{names}"
    );
}
