"""A client of KMDS in one file: copy it beside your program. Standard library only, Python 3.9 or later.

    from kmds import Kmds
    kmds = Kmds("http://127.0.0.1:60071")
    song = kmds.fetch("https://soundcloud.com/...").tracks[0]      # title, artist, length: at once
    print(kmds.path(song, cache="/srv/music/kmds"))                # waits; the finished file on the shared drive
    kmds.save(song, "song.m4a")                                    # or its bytes over HTTP
    for piece in kmds.stream(song): ...                            # or bytes while they arrive

`AsyncKmds` has the same calls for asyncio. Every failure is a `KmdsError` with `kind`, `retryable` and a sentence.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, AsyncIterator, Callable, Dict, Iterator, List, Optional, TypeVar, Union
from urllib.parse import quote, urlencode, urlsplit

__all__ = ["AsyncKmds", "Event", "Fetched", "Kmds", "KmdsError", "Missing", "Track"]

#: Longest one request may hold for a file to be ready, in seconds; the server allows no more.
LONGEST_WAIT = 300
PIECE = 64 * 1024
T = TypeVar("T")


class KmdsError(Exception):
    """Why something did not work. `kind` is one of the words in docs/api.md, like `geo_blocked`."""

    def __init__(self, kind: str, sentence: str, status: int = 0, retryable: bool = True,
                 retry_after: Optional[float] = None) -> None:
        super().__init__(sentence)
        self.kind, self.status, self.retryable, self.retry_after = kind, status, retryable, retry_after


@dataclass(frozen=True)
class Track:
    """A song in one form. `raw` has whatever this class does not name."""

    site: str
    id: str
    title: str
    artist: Optional[str]
    album: Optional[str]
    track_number: Optional[int]
    duration_seconds: Optional[float]
    cover_url: Optional[str]
    state: str
    received_bytes: int
    total_bytes: Optional[int]
    file_name: str
    cache_path: str
    raw: Dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Dict[str, Any]) -> "Track":
        return cls(raw=raw, **{name: raw.get(name) for name in cls.__dataclass_fields__ if name != "raw"})


@dataclass(frozen=True)
class Missing:
    """A song of a list that cannot be had, and why."""

    title: Optional[str]
    track_number: int
    kind: str
    reason: str


@dataclass(frozen=True)
class Fetched:
    """What a link leads to. `title` is set for lists only."""

    id: str
    site: str
    link: str
    title: Optional[str]
    tracks: List[Track]
    unavailable: List[Missing]
    truncated: bool


@dataclass(frozen=True)
class Event:
    """`name` is `track` (a change of state) or `progress`. `number` goes into `events(last=...)` to resume."""

    number: int
    name: str
    site: str
    id: str
    state: str
    received_bytes: int
    total_bytes: Optional[int]
    kind: Optional[str]
    reason: Optional[str]


class Kmds:
    """Blocking calls. Safe to share between threads: every call has a connection of its own."""

    def __init__(self, url: str = "http://127.0.0.1:60071", token: Optional[str] = None, timeout: float = 90.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not the address of a server: {url!r}")
        self._https = parts.scheme == "https"
        self._host, self._port, self._base = parts.hostname, parts.port, parts.path.rstrip("/")
        self._token, self._timeout = token, timeout

    def fetch(self, link: str, *, playlist: bool = False, accept: Optional[List[str]] = None,
              prefetch: Union[str, int] = "all") -> Fetched:
        """Metadata of the link's songs, at once; they are downloaded in the background (`prefetch`: all, none or N)."""
        body: Dict[str, Any] = {"url": link, "playlist": playlist, "prefetch": prefetch}
        if accept is not None:
            body["accept"] = accept
        reply = self._json("POST", "/api/v1/fetch", body)
        missing = [Missing(m["title"], m["track_number"], m["kind"], m["reason"]) for m in reply["unavailable"]]
        title = (reply["collection"] or {}).get("title")
        tracks = [Track.read(raw) for raw in reply["tracks"]]
        return Fetched(reply["id"], reply["site"], reply["link"], title, tracks, missing, reply["truncated"])

    def track(self, track: Track) -> Track:
        """The song as it is now."""
        return Track.read(self._json("GET", _at(track)))

    def retry(self, track: Track) -> Track:
        return Track.read(self._json("POST", _at(track) + "/retry"))

    def delete(self, track: Track) -> None:
        self._json("DELETE", _at(track))

    def stats(self) -> Dict[str, Any]:
        return self._json("GET", "/api/v1/stats")

    def wait(self, track: Track, timeout: float = 600.0) -> Track:
        """Waits until the file is ready; raises when it failed for good, or `not_ready` when the time is over."""
        end = time.monotonic() + timeout
        while True:
            hold = max(0, min(LONGEST_WAIT, int(self._timeout) - 5, int(end - time.monotonic())))
            # HEAD does not wait, and of the song itself nothing is wanted.
            first_byte = {"Range": "bytes=0-0"}
            answer = self._ask("HEAD" if hold == 0 else "GET", f"{_at(track)}/audio?wait={hold}", headers=first_byte)
            with answer:
                if answer.status in (200, 206):
                    return self.track(track)
                if answer.status != 418 or time.monotonic() >= end:
                    raise answer.error()
            time.sleep(min(0.2, max(0.0, end - time.monotonic())))

    def path(self, track: Track, cache: Union[str, "os.PathLike[str]"] = "", timeout: float = 600.0) -> Path:
        """Waits, then gives the path of the finished file; `cache` is the shared folder as this machine sees it.
        Leave it out when the server is told (`cache.client_path`)."""
        return Path(cache) / self.wait(track, timeout).cache_path

    def stream(self, track: Track, start: int = 0) -> Iterator[bytes]:
        """The audio while it arrives, from byte `start`. A broken download raises; it never just ends."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._ask("GET", f"{_at(track)}/audio?stream=1", headers=headers) as answer:
            if answer.status not in (200, 206):
                raise answer.error()
            yield from answer.pieces()

    def save(self, track: Track, path: Union[str, "os.PathLike[str]"]) -> Path:
        """Streams the song into a file, which appears only when it is whole."""
        path = Path(path)
        part = path.with_name(path.name + ".part")
        try:
            with open(part, "wb") as file:
                for piece in self.stream(track):
                    file.write(piece)
            shutil.move(part, path)
        finally:
            if part.exists():
                part.unlink()
        return path

    def cover(self, track: Track) -> bytes:
        with self._ask("GET", _at(track) + "/cover") as answer:
            if answer.status != 200:
                raise answer.error()
            return b"".join(answer.pieces())

    def events(self, track: Optional[Track] = None, last: Optional[int] = None) -> Iterator[Event]:
        """What happens, as it happens; `last` resumes. Comes back by itself after a broken connection, for ever."""
        query = "?" + urlencode({"track": f"{track.site}-{track.id}"}) if track else ""
        while True:
            try:
                headers = {} if last is None else {"Last-Event-ID": str(last)}
                with self._ask("GET", "/api/v1/events" + query, headers=headers) as answer:
                    if answer.status != 200:
                        raise answer.error()
                    for event in _read_events(answer):
                        last = event.number
                        yield event
            except KmdsError as error:
                if error.kind not in ("connection", "truncated"):
                    raise
            time.sleep(1.0)

    def _json(self, method: str, path: str, body: Optional[Dict[str, Any]] = None) -> Any:
        with self._ask(method, path, body) as answer:
            if not 200 <= answer.status < 300:
                raise answer.error()
            text = b"".join(answer.pieces())
            return json.loads(text) if text else None

    def _ask(self, method: str, path: str, body: Optional[Dict[str, Any]] = None,
             headers: Optional[Dict[str, str]] = None) -> "_Answer":
        kind = http.client.HTTPSConnection if self._https else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout)
        headers = dict(headers or {})
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        text = None
        if body is not None:
            text = json.dumps(body)
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, self._base + path, text, headers)
            return _Answer(connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise KmdsError("connection", f"the server at {connection.host}:{connection.port} does not answer: {error}") from error


class AsyncKmds:
    """The same for asyncio. Each call runs in a thread; streams and events are handed over piece by piece."""

    def __init__(self, url: str = "http://127.0.0.1:60071", token: Optional[str] = None, timeout: float = 90.0) -> None:
        self._kmds = Kmds(url, token, timeout)

    async def fetch(self, link: str, **options: Any) -> Fetched:
        return await _in_thread(lambda: self._kmds.fetch(link, **options))

    async def track(self, track: Track) -> Track:
        return await _in_thread(lambda: self._kmds.track(track))

    async def wait(self, track: Track, timeout: float = 600.0) -> Track:
        return await _in_thread(lambda: self._kmds.wait(track, timeout))

    async def path(self, track: Track, cache: Union[str, "os.PathLike[str]"] = "", timeout: float = 600.0) -> Path:
        return await _in_thread(lambda: self._kmds.path(track, cache, timeout))

    async def save(self, track: Track, path: Union[str, "os.PathLike[str]"]) -> Path:
        return await _in_thread(lambda: self._kmds.save(track, path))

    async def cover(self, track: Track) -> bytes:
        return await _in_thread(lambda: self._kmds.cover(track))

    async def retry(self, track: Track) -> Track:
        return await _in_thread(lambda: self._kmds.retry(track))

    async def delete(self, track: Track) -> None:
        return await _in_thread(lambda: self._kmds.delete(track))

    async def stats(self) -> Dict[str, Any]:
        return await _in_thread(self._kmds.stats)

    def stream(self, track: Track, start: int = 0) -> AsyncIterator[bytes]:
        return _handed_over(lambda: self._kmds.stream(track, start))

    def events(self, track: Optional[Track] = None, last: Optional[int] = None) -> AsyncIterator[Event]:
        return _handed_over(lambda: self._kmds.events(track, last))


class _Answer:
    """One answer and its connection."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self.status, self._connection, self._response = response.status, connection, response

    def __enter__(self) -> "_Answer":
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()
        self._connection.close()

    def pieces(self) -> Iterator[bytes]:
        try:
            while True:
                # As much as has come: waiting for a full piece would hold a slow song back.
                piece = self._response.read1(PIECE)
                if not piece:
                    break
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise KmdsError("truncated", f"the answer broke off: {error}") from error
        if self._response.length:
            raise KmdsError("truncated", f"the answer broke off, {self._response.length} bytes early")

    def error(self) -> KmdsError:
        wait = self._response.getheader("Retry-After", "")
        after = float(wait) if wait.isdigit() else None
        try:
            body = json.loads(b"".join(self.pieces()))
            kind, sentence = body["kind"], body.get("detail") or body["title"]
            retryable = bool(body.get("retryable", True))
        except (ValueError, KeyError, TypeError):
            kind, sentence, retryable = "not_ready" if self.status == 418 else "internal", f"HTTP {self.status}", True
        return KmdsError(kind, sentence, self.status, retryable, after)


def _at(track: Track) -> str:
    return f"/api/v1/tracks/{quote(track.site, safe='')}/{quote(track.id, safe='')}"


def _read_events(answer: _Answer) -> Iterator[Event]:
    rest = b""
    for piece in answer.pieces():
        *blocks, rest = (rest + piece).split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(":", 1) for line in block.decode().split("\n") if ":" in line[1:])
            if "data" in fields:
                raw = json.loads(fields["data"])
                named = ("site", "id", "state", "received_bytes", "total_bytes", "kind", "reason")
                number, name = int(fields["id"]), fields["event"].strip()
                yield Event(number, name, **{key: raw.get(key) for key in named})


async def _in_thread(call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, call)


async def _handed_over(make: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
    """A thread runs the iterator, at most two pieces ahead of who reads; it ends when the reader goes."""
    loop = asyncio.get_running_loop()
    queue: "asyncio.Queue[Any]" = asyncio.Queue()
    room, gone, end = threading.Semaphore(2), threading.Event(), object()

    def hand_over(item: Any) -> None:
        try:
            loop.call_soon_threadsafe(queue.put_nowait, item)
        except RuntimeError:  # the loop is closed: nobody reads any more
            gone.set()

    def run() -> None:
        try:
            for piece in make():
                room.acquire()
                if gone.is_set():
                    return
                hand_over((piece, None))
            hand_over((end, None))
        except BaseException as error:  # handed on, and raised where it is read
            hand_over((end, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        while True:
            piece, error = await queue.get()
            if error is not None:
                raise error
            if piece is end:
                return
            yield piece
            room.release()
    finally:
        gone.set()
        room.release()
