"""Tests of kmds.py against a running service; `cargo test -p kmds --test programs python` starts one and runs them."""

import asyncio
import os
import sys
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Dict, List, Tuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from kmds import AsyncKmds, Kmds, KmdsError  # noqa: E402

URL, CACHE = os.environ["KMDS_URL"], os.environ["KMDS_CACHE"]
WANTED = Path(os.environ["SONG_BYTES"]).read_bytes()


class Blocking(unittest.TestCase):
    def setUp(self) -> None:
        self.kmds = Kmds(URL)

    def test_metadata_comes_at_once_and_the_file_by_path(self) -> None:
        fetched = self.kmds.fetch(os.environ["SONG"])
        self.assertIsNone(fetched.title)
        track = fetched.tracks[0]
        self.assertEqual(track.title, "Copper Kettles")
        self.assertGreater(track.duration_seconds or 0, 29)
        self.assertEqual(self.kmds.path(track, CACHE).read_bytes(), WANTED)
        self.assertEqual(self.kmds.track(track).state, "ready")
        self.assertTrue(self.kmds.cover(track))

    def test_a_held_file_is_kept_until_the_block_ends(self) -> None:
        track = self.kmds.fetch(os.environ["SONG"], accept=["mp3"]).tracks[0]
        self.assertEqual((track.form, track.rendition), ("mp3", "original"))
        with self.kmds.hold(track, CACHE, seconds=4) as path:
            self.assertEqual(path.read_bytes(), WANTED)
            held = self.kmds.track(track)
            self.assertTrue(held.path_final and held.held_until)
            self.assertFalse(held.pinned)
            self.assertEqual(held.size_bytes, len(WANTED))
            while self.kmds.track(track).held_until == held.held_until:
                pass  # It is renewed.
        self.assertIsNone(self.kmds.track(track).held_until)

    def test_a_folder_that_is_not_the_shared_one_is_told_of(self) -> None:
        track = self.kmds.fetch(os.environ["SONG"]).tracks[0]
        with tempfile.TemporaryDirectory() as folder, self.assertRaises(KmdsError) as caught:
            self.kmds.path(track, folder)
        self.assertEqual(caught.exception.kind, "wrong_cache")
        self.assertIn("client_path", str(caught.exception))

    def test_words_find_a_song_to_fetch(self) -> None:
        found = self.kmds.search("Copper Kettles", site="bandcamp", limit=5)
        self.assertEqual([(one.kind, one.title) for one in found], [("song", "Copper Kettles")])
        self.assertEqual(self.kmds.fetch(found[0].link).tracks[0].title, "Copper Kettles")
        with self.assertRaises(KmdsError) as caught:
            self.kmds.search("", site="bandcamp")
        self.assertEqual(caught.exception.status, 400)

    def test_a_queue_makes_its_songs_ready_and_ends(self) -> None:
        track = self.kmds.fetch(os.environ["SONG"]).tracks[0]
        queue = self.kmds.put_queue("python", [track, os.environ["SONG"]], ahead=2, seconds=60)
        self.assertEqual([song.song for song in queue.songs], [f"{track.site}/{track.id}", os.environ["SONG"]])
        near = self.kmds.wait(queue.songs[0].track)
        self.assertTrue(near.held_until)
        self.assertEqual(self.kmds.queue("python").songs[0].state, "ready")
        page = self.kmds.queue("python", start=1, limit=5)
        self.assertEqual((page.start, page.total, [song.song for song in page.songs]), (1, 2, [os.environ["SONG"]]))
        self.assertEqual(len(self.kmds.queue("python", start=0, limit=1).songs), 1)
        self.kmds.end_queue("python")
        with self.assertRaises(KmdsError) as caught:
            self.kmds.queue("python")
        self.assertEqual(caught.exception.status, 404)
        with self.assertRaises(KmdsError) as caught:
            self.kmds.put_queue("python", ["no link"])
        self.assertIn("songs[0]", str(caught.exception))

    def test_a_stream_is_the_file_from_any_byte(self) -> None:
        track = self.kmds.fetch(os.environ["SONG"]).tracks[0]
        self.assertEqual(b"".join(self.kmds.stream(track)), WANTED)
        self.assertEqual(b"".join(self.kmds.stream(track, 1000)), WANTED[1000:])
        with tempfile.TemporaryDirectory() as folder:
            path = self.kmds.save(track, Path(folder) / "song.mp3")
            self.assertEqual(path.read_bytes(), WANTED)
            self.assertEqual(os.listdir(folder), ["song.mp3"])

    def test_what_has_come_is_handed_out_before_the_rest(self) -> None:
        track = self.kmds.fetch(os.environ["HELD"]).tracks[0]
        self.assertTrue(next(iter(self.kmds.stream(track))))
        with self.assertRaises(KmdsError) as caught:
            self.kmds.wait(track, timeout=0)
        self.assertEqual((caught.exception.kind, caught.exception.status), ("not_ready", 0))

    def test_failures_have_a_kind_and_a_sentence(self) -> None:
        with self.assertRaises(KmdsError) as caught:
            self.kmds.fetch("https://example.org/nothing")
        self.assertEqual((caught.exception.kind, caught.exception.status), ("unsupported_link", 400))
        self.assertFalse(caught.exception.retryable)
        self.assertGreater(len(str(caught.exception)), 10)
        refused = self.kmds.fetch(os.environ["REFUSED"]).tracks[0]
        with self.assertRaises(KmdsError) as caught:
            self.kmds.wait(refused)
        self.assertEqual(caught.exception.kind, "origin_failed")
        with self.assertRaises(KmdsError):
            list(self.kmds.stream(refused))
        with self.assertRaises(KmdsError) as caught:
            Kmds("http://127.0.0.1:1").stats()
        self.assertEqual(caught.exception.kind, "connection")
        self.assertIn("127.0.0.1:1 ", str(caught.exception))
        with self.assertRaises(ValueError):
            Kmds("ftp://nowhere")

    def test_a_call_goes_on_when_the_server_wants_fewer_requests_and_fails_where_it_wants_too_long_a_pause(self) -> None:
        replies: List[Tuple[int, Dict[str, str]]] = [(429, {}), (429, {}), (200, {}), (429, {"Retry-After": "31"})]

        class Limited(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers = replies.pop(0)
                self.send_response(status)
                for name, value in {"Content-Length": "2", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Limited) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            limited = Kmds(f"http://127.0.0.1:{server.server_port}")
            self.assertEqual(limited.stats(), {})
            with self.assertRaises(KmdsError) as caught:
                limited.stats()
            self.assertEqual((caught.exception.status, caught.exception.retry_after), (429, 31))
            server.shutdown()

    def test_events_tell_what_happens_and_resume(self) -> None:
        seen, ready = [], threading.Event()

        def follow() -> None:
            for event in self.kmds.events(last=0):
                seen.append(event)
                if (event.name, event.state, event.site) == ("track", "ready", "youtube"):
                    return ready.set()

        threading.Thread(target=follow, daemon=True).start()
        track = self.kmds.fetch(os.environ["OTHER"]).tracks[0]
        self.assertTrue(ready.wait(60))
        own = [event.state for event in seen if event.id == track.id and event.name == "track"]
        self.assertEqual(own[-1], "ready")
        again = next(iter(self.kmds.events(track, last=seen[-1].number - 1)))
        self.assertEqual((again.number, again.id), (seen[-1].number, track.id))
        self.kmds.delete(track)
        with self.assertRaises(KmdsError) as caught:
            self.kmds.track(track)
        self.assertEqual(caught.exception.status, 404)


class Asynchronous(unittest.IsolatedAsyncioTestCase):
    async def test_the_same_calls_work_side_by_side(self) -> None:
        kmds = AsyncKmds(URL)
        track = (await kmds.fetch(os.environ["SONG"])).tracks[0]
        path, stats = await asyncio.gather(kmds.path(track, CACHE), kmds.stats())
        self.assertEqual(path.read_bytes(), WANTED)
        self.assertIn("songs", stats)
        self.assertEqual(b"".join([piece async for piece in kmds.stream(track)]), WANTED)
        async for event in kmds.events(last=0):
            self.assertTrue(event.state)
            break
        with self.assertRaises(KmdsError):
            await kmds.fetch("nonsense")

    async def test_a_held_file_is_kept_until_the_block_ends(self) -> None:
        kmds = AsyncKmds(URL)
        track = (await kmds.fetch(os.environ["SONG"], accept=["mp3"])).tracks[0]
        async with kmds.hold(track, CACHE, seconds=4) as path:
            self.assertEqual(path.read_bytes(), WANTED)
            before = (await kmds.track(track)).held_until
            self.assertIsNotNone(before)
            while (await kmds.track(track)).held_until == before:
                pass  # It is renewed.
        self.assertIsNone((await kmds.track(track)).held_until)

    async def test_a_held_file_is_let_go_while_it_is_renewed(self) -> None:
        kmds, answered = AsyncKmds(URL), asyncio.get_running_loop().create_future()
        track = (await kmds.fetch(os.environ["SONG"], accept=["mp3"])).tracks[0]
        run, is_held, renewals = kmds._run, asyncio.Event(), []

        async def run_until_answered(call):
            if not is_held.is_set() or renewals:
                return await run(call)
            renewals.append(call)
            return await asyncio.wait_for(answered, 60)

        kmds._run = run_until_answered

        async def block() -> None:
            async with kmds.hold(track, CACHE, seconds=2):
                is_held.set()
                while not renewals:
                    await asyncio.sleep(0.01)
                answered.set_result(None)  # In the turn of the loop in which the block ends.

        await asyncio.wait_for(block(), 60)

    async def test_a_hundred_calls_that_wait_hold_nothing_up(self) -> None:
        kmds = AsyncKmds(URL)
        held = (await kmds.fetch(os.environ["HELD"])).tracks[0]
        ready = (await kmds.fetch(os.environ["SONG"])).tracks[0]
        await kmds.wait(ready)
        before = threading.active_count()
        waiting = [asyncio.create_task(kmds.wait(held)) for _ in range(100)]
        await asyncio.sleep(0)
        self.assertEqual((await kmds.wait(ready)).state, "ready")
        self.assertEqual(b"".join([piece async for piece in kmds.stream(ready, 1000)]), WANTED[1000:])
        self.assertFalse(any(task.done() for task in waiting))
        self.assertEqual(threading.active_count(), before)
        for task in waiting:
            task.cancel()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        self.assertTrue(all(isinstance(end, asyncio.CancelledError) for end in ended))

    async def test_a_song_that_breaks_off_raises_here_too(self) -> None:
        kmds = AsyncKmds(URL)
        refused = (await kmds.fetch(os.environ["REFUSED"])).tracks[0]
        with self.assertRaises(KmdsError) as caught:
            await kmds.wait(refused)
        self.assertEqual(caught.exception.kind, "origin_failed")
        with self.assertRaises(KmdsError) as caught:
            await AsyncKmds("http://127.0.0.1:1").stats()
        self.assertEqual(caught.exception.kind, "connection")


if __name__ == "__main__":
    unittest.main()
