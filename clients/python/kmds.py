"""A client of KMDS in one file: copy it beside your program. Standard library only, Python 3.9 or later.

    from kmds import Kmds
    kmds = Kmds("http://127.0.0.1:60071")
    song = kmds.fetch("https://soundcloud.com/...").tracks[0]      # title, artist, length: at once
    print(kmds.path(song, cache="/srv/music/kmds"))                # waits; the finished file on the shared drive
    with kmds.hold(song, cache="/srv/music/kmds") as path: ...     # the same, and the file stays there until the block ends
    kmds.save(song, "song.m4a")                                    # or its bytes over HTTP
    for piece in kmds.stream(song): ...                            # or bytes while they arrive
    kmds.put_queue("guild-1", fetched.tracks)                      # what is played next is made ready in time, and held
    best = kmds.search("klaus veen ordinary days")[0]              # words instead of a link; fetch(best.link) next

`AsyncKmds` has the same calls for asyncio, without threads: a hundred calls may wait at once. Every failure is a
`KmdsError` with `kind`, `retryable` and a sentence.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import math
import os
import ssl
import threading
import time
import uuid
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, AsyncIterator, Dict, Generator, Iterable, Iterator, List, NamedTuple, Optional, TypeVar, Union
from urllib.parse import quote, urlencode, urlsplit

__all__ = ["AsyncKmds", "Event", "Fetched", "Found", "Kmds", "KmdsError", "Missing", "Queue", "QueueSong", "Track"]

#: Longest one request may hold for a file to be ready, in seconds; the server allows no more.
LONGEST_WAIT = 300
#: Pause before a request is sent again, in seconds.
PAUSE = 1.0
#: Longest time that one call waits because the server wants fewer requests (429), in seconds.
LONGEST_LIMIT = 30.0
PIECE = 64 * 1024
#: Longest head of an answer that is read, in bytes.
LONGEST_HEAD = 64 * 1024
T = TypeVar("T")
FilePath = Union[str, "os.PathLike[str]"]


class KmdsError(Exception):
    """A failed call. `kind` is one of the words in docs/api.md, like `geo_blocked`; `status` is the HTTP
    status, 0 if the failure is not an HTTP answer."""

    def __init__(self, kind: str, sentence: str, status: int = 0, retryable: bool = True,
                 retry_after: Optional[float] = None) -> None:
        super().__init__(sentence)
        self.kind, self.status, self.retryable, self.retry_after = kind, status, retryable, retry_after


@dataclass(frozen=True)
class Track:
    """A song in one form. `raw` has all keys of the reply, also those without an attribute here."""

    site: str
    id: str
    title: str
    artist: Optional[str]
    album: Optional[str]
    track_number: Optional[int]
    duration_seconds: Optional[float]
    loudness_db: Optional[float]
    cover_url: Optional[str]
    state: str
    received_bytes: int
    total_bytes: Optional[int]
    file_name: str
    cache_path: str
    form: str
    rendition: str
    path_final: bool
    size_bytes: Optional[int]
    sha256: Optional[str]
    held_until: Optional[str]
    pinned: bool
    raw: Dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, raw: Dict[str, Any]) -> "Track":
        return cls(raw=raw, **{name: raw.get(name) for name in cls.__dataclass_fields__ if name != "raw"})


@dataclass(frozen=True)
class Missing:
    """An unavailable song of a list, and the reason."""

    title: Optional[str]
    track_number: int
    kind: str
    reason: str


@dataclass(frozen=True)
class Fetched:
    """The songs of a link. `title` is set for lists only."""

    id: str
    site: str
    link: str
    title: Optional[str]
    tracks: List[Track]
    unavailable: List[Missing]
    truncated: bool


@dataclass(frozen=True)
class Found:
    """A result of a search. `kind` is `song` or `collection`; fetch its `link`."""

    kind: str
    site: str
    id: str
    title: str
    artist: Optional[str]
    album: Optional[str]
    duration: Optional[float]
    cover_url: Optional[str]
    link: str


@dataclass(frozen=True)
class QueueSong:
    """A song of a queue. `song` is the text that was sent; `track` is set while it is near."""

    song: str
    state: str
    track: Optional[Track]
    failure: Optional[Dict[str, Any]]

    @classmethod
    def read(cls, raw: Dict[str, Any]) -> "QueueSong":
        track = Track.read(raw["track"]) if raw["track"] else None
        return cls(raw["song"], raw["state"], track, raw["failure"])


@dataclass(frozen=True)
class Queue:
    """The songs that will be played next. `begun` counts the songs that were begun; the queue ends at `until`. `songs`
    are the songs from place `start` on, of `total`: `songs[begun - start]` is the next one."""

    name: str
    ahead: int
    begun: int
    until: str
    songs: List[QueueSong]
    total: int
    start: int

    @classmethod
    def read(cls, raw: Dict[str, Any]) -> "Queue":
        songs = [QueueSong.read(song) for song in raw["songs"]]
        return cls(raw["name"], raw["ahead"], raw["begun"], raw["until"], songs, raw["total"], raw["from"])


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


class _Request(NamedTuple):
    """One request. A call is a generator: it yields requests, and gets the answers by `send` or a failure by `throw`.
    It does no I/O itself."""

    method: str
    path: str
    body: Optional[Dict[str, Any]] = None
    headers: Dict[str, str] = {}


class _Reply(NamedTuple):
    """A whole answer."""

    status: int
    retry_after: Optional[float]
    body: bytes

    def error(self) -> KmdsError:
        try:
            body = json.loads(self.body)
            kind, sentence = body["kind"], body.get("detail") or body["title"]
            retryable = bool(body.get("retryable", True))
        except (ValueError, KeyError, TypeError):
            kind, sentence, retryable = "not_ready" if self.status == 418 else "internal", f"HTTP {self.status}", True
        return KmdsError(kind, sentence, self.status, retryable, self.retry_after)


class _Pause(NamedTuple):
    """A call yields this to wait before its next request."""

    seconds: float


_Call = Generator[Union[_Request, _Pause], Optional[_Reply], T]


class _Calls:
    """The requests of both clients, and how they read the answers."""

    def __init__(self, url: str = "http://127.0.0.1:60071", token: Optional[str] = None, timeout: float = 90.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not the address of a server: {url!r}")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._base = parts.hostname, parts.path.rstrip("/")
        self._port = parts.port or (443 if self._tls else 80)
        self._token, self._timeout = token, timeout

    def _fetch(self, link: str, playlist: bool, accept: Optional[List[str]], prefetch: Union[str, int, None]) -> _Call[Fetched]:
        body: Dict[str, Any] = {"url": link, "playlist": playlist}
        if prefetch is not None:
            body["prefetch"] = prefetch
        if accept is not None:
            body["accept"] = accept
        reply = yield from _json("POST", "/api/v1/fetch", body)
        missing = [Missing(m["title"], m["track_number"], m["kind"], m["reason"]) for m in reply["unavailable"]]
        title = (reply["collection"] or {}).get("title")
        tracks = [Track.read(raw) for raw in reply["tracks"]]
        return Fetched(reply["id"], reply["site"], reply["link"], title, tracks, missing, reply["truncated"])

    def _search(self, words: str, site: Optional[str], limit: int) -> _Call[List[Found]]:
        query = {"q": words, "limit": limit, **({"site": site} if site else {})}
        reply = yield from _json("GET", "/api/v1/search?" + urlencode(query))
        return [Found(**{name: raw.get(name) for name in Found.__dataclass_fields__}) for raw in reply["results"]]

    def _put_queue(self, name: str, songs: Iterable[Union[str, Track]], ahead: int, accept: Optional[List[str]],
                   seconds: int) -> _Call[Queue]:
        sent = [song if isinstance(song, str) else f"{song.site}/{song.id}" for song in songs]
        body: Dict[str, Any] = {"songs": sent, "ahead": ahead, "hold": seconds}
        if accept is not None:
            body["accept"] = accept
        return Queue.read((yield from _json("PUT", _queue(name), body)))

    def _queue(self, name: str, start: Optional[int], limit: Optional[int]) -> _Call[Queue]:
        page = {key: value for key, value in (("from", start), ("limit", limit)) if value is not None}
        return Queue.read((yield from _json("GET", _queue(name) + ("?" + urlencode(page) if page else ""))))

    def _track(self, track: Track) -> _Call[Track]:
        return Track.read((yield from _json("GET", _at(track))))

    def _retry(self, track: Track) -> _Call[Track]:
        return Track.read((yield from _json("POST", _song(track) + "/retry")))

    def _wait(self, track: Track, timeout: float, away: float, held: str = "") -> _Call[Track]:
        answered = time.monotonic()
        end = answered + timeout
        while True:
            asked = time.monotonic()
            hold = max(0, min(LONGEST_WAIT, int(self._timeout) - 5, math.ceil(end - asked)))
            try:
                known = Track.read((yield from _json("GET", f"{_at(track)}?wait={hold}{held}")))
            except KmdsError as error:
                if not _is_away(error) or time.monotonic() >= min(end, answered + away):
                    raise
                yield _Pause(PAUSE)
                continue
            if known.state == "ready":
                return known
            if known.state == "failed" and known.raw["failure"]["kind"] != "cancelled":
                why = known.raw["failure"]
                raise KmdsError(why["kind"], why["reason"], 0, why["retryable"], why.get("retry_after_seconds"))
            answered = time.monotonic()
            if answered >= end:
                raise KmdsError("not_ready", f"{known.title} is not ready after {timeout:g} s: it is {known.state}")
            if answered - asked < PAUSE:
                yield _Pause(PAUSE)

    def _path(self, track: Track, cache: FilePath, timeout: float, away: float, held: str = "") -> _Call[Path]:
        path = Path(cache) / (yield from self._wait(track, timeout, away, held)).cache_path
        # This checks the folder, not the file: a network drive may show a new file some seconds late.
        if not path.parent.is_dir():
            raise KmdsError("wrong_cache", f"the song is ready, but this machine has no folder {path.parent}: give `cache`, "
                            "the shared folder as this machine sees it, or set `cache.client_path` on the server", 0, False)
        return path

    def _cover(self, track: Track) -> _Call[bytes]:
        return (yield from _whole("GET", _song(track) + "/cover"))

    def _head(self, request: _Request) -> Dict[str, str]:
        headers = {"Accept-Encoding": "identity", **request.headers}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        return headers

    def _no_answer(self, error: Exception) -> KmdsError:
        reason = str(error) or type(error).__name__
        return KmdsError("connection", f"the server at {self._host}:{self._port} does not answer: {reason}")


class Kmds(_Calls):
    """Blocking calls. Threads may share it: every call has its own connection."""

    def fetch(self, link: str, *, playlist: bool = False, accept: Optional[List[str]] = None,
              prefetch: Union[str, int, None] = None) -> Fetched:
        """Metadata of the link's songs, at once; downloads run in the background (`prefetch`: all, none or N songs;
        by default the server's setting)."""
        return self._run(self._fetch(link, playlist, accept, prefetch))

    def search(self, words: str, *, site: Optional[str] = None, limit: int = 10) -> List[Found]:
        """Searches `site` (youtube, youtube_music, soundcloud, bandcamp; the server's setting by default) by words."""
        return self._run(self._search(words, site, limit))

    def put_queue(self, name: str, songs: Iterable[Union[str, Track]], *, ahead: int = 3,
                  accept: Optional[List[str]] = None, seconds: int = 3600) -> Queue:
        """The songs (links, `site/id` or tracks) in the order in which they will be played: the server makes the first
        `ahead` ready, and holds them. Send the rest again after a skip, and within `seconds`: else the queue ends."""
        return self._run(self._put_queue(name, songs, ahead, accept, seconds))

    def queue(self, name: str, *, start: Optional[int] = None, limit: Optional[int] = None) -> Queue:
        """`limit` songs (100, at most 1,000) from the place `start` on; by default from the song just played."""
        return self._run(self._queue(name, start, limit))

    def end_queue(self, name: str) -> None:
        self._run(_json("DELETE", _queue(name)))

    def track(self, track: Track) -> Track:
        """The song as it is now."""
        return self._run(self._track(track))

    def retry(self, track: Track) -> Track:
        """Tries a failed song again now."""
        return self._run(self._retry(track))

    def delete(self, track: Track) -> None:
        """Cancels the song, or removes it from the cache."""
        self._run(_json("DELETE", _song(track)))

    def stats(self) -> Dict[str, Any]:
        return self._run(_json("GET", "/api/v1/stats"))

    def wait(self, track: Track, timeout: float = 600.0, away: float = 60.0) -> Track:
        """Waits until the file is ready; raises when it failed for good, or `not_ready` when the time is over. If the
        server does not answer (it restarts), asks again for `away` seconds."""
        return self._run(self._wait(track, timeout, away))

    def path(self, track: Track, cache: FilePath = "", timeout: float = 600.0, away: float = 60.0) -> Path:
        """Waits, then gives the path of the finished file; `cache` is the shared folder as this machine sees it.
        Leave it out if the server knows it (`cache.client_path`). `wrong_cache`: the file is not below `cache`."""
        return self._run(self._path(track, cache, timeout, away))

    @contextmanager
    def hold(self, track: Track, cache: FilePath = "", *, seconds: int = 120, timeout: float = 600.0,
             away: float = 60.0) -> Iterator[Path]:
        """As `path`, and the server keeps the file until the block ends: nothing evicts it meanwhile. The client
        renews the hold; if this program is killed the hold ends by itself, after `seconds` at the latest."""
        holder, over = uuid.uuid4().hex, threading.Event()
        path = self._run(self._path(track, cache, timeout, away, _held(seconds, holder)))

        def renew() -> None:
            while not over.wait(seconds / 2):
                with suppress(KmdsError):  # The server may be back before the hold ends.
                    self._run(_renewing(track, seconds, holder))

        renewing = threading.Thread(target=renew, daemon=True)
        renewing.start()
        try:
            yield path
        finally:
            over.set()
            renewing.join()
            with suppress(KmdsError):  # It ends by itself.
                self._run(_releasing(track, holder))

    def cover(self, track: Track) -> bytes:
        return self._run(self._cover(track))

    def stream(self, track: Track, start: int = 0) -> Iterator[bytes]:
        """The audio while it arrives, from byte `start`. A broken download raises; it never just ends."""
        with self._ask(_streaming(track, start)) as answer:
            if answer.status not in (200, 206):
                raise answer.read().error()
            yield from answer.pieces()

    def save(self, track: Track, path: FilePath) -> Path:
        """Streams the song into a file, which appears only when it is whole."""
        path = Path(path)
        part = path.with_name(path.name + ".part")
        try:
            with open(part, "wb") as file:
                for piece in self.stream(track):
                    file.write(piece)
            os.replace(part, path)
        finally:
            if part.exists():
                part.unlink()
        return path

    def events(self, track: Optional[Track] = None, last: Optional[int] = None) -> Iterator[Event]:
        """Every change of a song, at once; `last` resumes. It reconnects until the caller ends the loop."""
        while True:
            reader = _EventReader()
            try:
                with self._ask(_following(track, last)) as answer:
                    if answer.status != 200:
                        raise answer.read().error()
                    for piece in answer.pieces():
                        for event in reader.read(piece):
                            last = event.number
                            yield event
            except KmdsError as error:
                if not _is_away(error):
                    raise
            time.sleep(PAUSE)

    def _run(self, call: _Call[T]) -> T:
        try:
            step = next(call)
            while True:
                if isinstance(step, _Pause):
                    time.sleep(step.seconds)
                    step = call.send(None)
                    continue
                try:
                    with self._ask(step) as answer:
                        reply = answer.read()
                except KmdsError as error:
                    step = call.throw(error)
                else:
                    step = call.send(reply)
        except StopIteration as end:
            return end.value

    def _ask(self, request: _Request) -> "_Answer":
        if self._tls:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=self._tls)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        text = None if request.body is None else json.dumps(request.body)
        try:
            connection.request(request.method, self._base + request.path, text, self._head(request))
            return _Answer(connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._no_answer(error) from error


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
                # The bytes that have arrived: waiting for a full piece would delay a slow song.
                piece = self._response.read1(PIECE)
                if not piece:
                    break
                yield piece
        except (OSError, http.client.HTTPException) as error:
            raise _broken(error) from error
        if self._response.length:
            raise _broken(f"{self._response.length} bytes early")

    def read(self) -> _Reply:
        return _Reply(self.status, _seconds(self._response.getheader("Retry-After", "")), b"".join(self.pieces()))


class AsyncKmds(_Calls):
    """The same calls for asyncio. A waiting call takes one connection and no thread; a cancelled call closes it."""

    async def fetch(self, link: str, *, playlist: bool = False, accept: Optional[List[str]] = None,
                    prefetch: Union[str, int, None] = None) -> Fetched:
        return await self._run(self._fetch(link, playlist, accept, prefetch))

    async def search(self, words: str, *, site: Optional[str] = None, limit: int = 10) -> List[Found]:
        return await self._run(self._search(words, site, limit))

    async def put_queue(self, name: str, songs: Iterable[Union[str, Track]], *, ahead: int = 3,
                        accept: Optional[List[str]] = None, seconds: int = 3600) -> Queue:
        return await self._run(self._put_queue(name, songs, ahead, accept, seconds))

    async def queue(self, name: str, *, start: Optional[int] = None, limit: Optional[int] = None) -> Queue:
        return await self._run(self._queue(name, start, limit))

    async def end_queue(self, name: str) -> None:
        await self._run(_json("DELETE", _queue(name)))

    async def track(self, track: Track) -> Track:
        return await self._run(self._track(track))

    async def retry(self, track: Track) -> Track:
        return await self._run(self._retry(track))

    async def delete(self, track: Track) -> None:
        await self._run(_json("DELETE", _song(track)))

    async def stats(self) -> Dict[str, Any]:
        return await self._run(_json("GET", "/api/v1/stats"))

    async def wait(self, track: Track, timeout: float = 600.0, away: float = 60.0) -> Track:
        return await self._run(self._wait(track, timeout, away))

    async def path(self, track: Track, cache: FilePath = "", timeout: float = 600.0, away: float = 60.0) -> Path:
        return await self._run(self._path(track, cache, timeout, away))

    @asynccontextmanager
    async def hold(self, track: Track, cache: FilePath = "", *, seconds: int = 120, timeout: float = 600.0,
                   away: float = 60.0) -> AsyncIterator[Path]:
        holder = uuid.uuid4().hex
        path = await self._run(self._path(track, cache, timeout, away, _held(seconds, holder)))

        # Before Python 3.12 `wait_for` may lose a cancellation that comes together with its result.
        is_over = asyncio.Event()

        async def renew() -> None:
            while not is_over.is_set():
                await asyncio.sleep(seconds / 2)
                with suppress(KmdsError):
                    await self._run(_renewing(track, seconds, holder))

        renewing = asyncio.ensure_future(renew())
        try:
            yield path
        finally:
            is_over.set()
            renewing.cancel()
            await asyncio.wait([renewing])
            with suppress(KmdsError):
                await self._run(_releasing(track, holder))

    async def cover(self, track: Track) -> bytes:
        return await self._run(self._cover(track))

    async def stream(self, track: Track, start: int = 0) -> AsyncIterator[bytes]:
        async with await self._ask(_streaming(track, start)) as answer:
            if answer.status not in (200, 206):
                raise (await answer.read()).error()
            async for piece in answer.pieces():
                yield piece

    async def save(self, track: Track, path: FilePath) -> Path:
        path = Path(path)
        part = path.with_name(path.name + ".part")
        try:
            with open(part, "wb") as file:
                async for piece in self.stream(track):
                    file.write(piece)
            os.replace(part, path)
        finally:
            if part.exists():
                part.unlink()
        return path

    async def events(self, track: Optional[Track] = None, last: Optional[int] = None) -> AsyncIterator[Event]:
        while True:
            reader = _EventReader()
            try:
                async with await self._ask(_following(track, last)) as answer:
                    if answer.status != 200:
                        raise (await answer.read()).error()
                    async for piece in answer.pieces():
                        for event in reader.read(piece):
                            last = event.number
                            yield event
            except KmdsError as error:
                if not _is_away(error):
                    raise
            await asyncio.sleep(PAUSE)

    async def _run(self, call: _Call[T]) -> T:
        try:
            step = next(call)
            while True:
                if isinstance(step, _Pause):
                    await asyncio.sleep(step.seconds)
                    step = call.send(None)
                    continue
                try:
                    async with await self._ask(step) as answer:
                        reply = await answer.read()
                except KmdsError as error:
                    step = call.throw(error)
                else:
                    step = call.send(reply)
        except StopIteration as end:
            return end.value

    async def _ask(self, request: _Request) -> "_AsyncAnswer":
        text = b"" if request.body is None else json.dumps(request.body).encode()
        host = f"[{self._host}]" if ":" in self._host else self._host
        headers = {"Host": f"{host}:{self._port}", "Connection": "close", "Content-Length": str(len(text)),
                   **self._head(request)}
        lines = [f"{request.method} {self._base}{request.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        writer = None
        try:
            opening = asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=LONGEST_HEAD)
            reader, writer = await asyncio.wait_for(opening, self._timeout)
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + text)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self._timeout)
            return _AsyncAnswer(reader, writer, request.method, head, self._timeout)
        except BaseException as error:
            if writer:
                writer.close()
            if isinstance(error, (OSError, EOFError, ValueError, asyncio.TimeoutError, asyncio.LimitOverrunError)):
                raise self._no_answer(error) from error
            raise


class _AsyncAnswer:
    """One answer and its connection: HTTP/1.1 as KMDS and the proxies in front of it send it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, head: bytes,
                 timeout: float) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines if line)
        self._headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        self.status = int(first.split(" ")[1])
        self._reader, self._writer, self._timeout = reader, writer, timeout
        self._empty = method == "HEAD" or self.status in (204, 304)

    async def __aenter__(self) -> "_AsyncAnswer":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def pieces(self) -> AsyncIterator[bytes]:
        if self._empty:
            return
        try:
            if self._headers.get("transfer-encoding", "").lower() == "chunked":
                while True:
                    size = int((await self._soon(self._reader.readuntil(b"\r\n"))).split(b";")[0], 16)
                    async for piece in self._exactly(size):
                        yield piece
                    await self._soon(self._reader.readuntil(b"\r\n"))
                    if size == 0:
                        return
            elif "content-length" in self._headers:
                async for piece in self._exactly(int(self._headers["content-length"])):
                    yield piece
            else:
                while piece := await self._soon(self._reader.read(PIECE)):
                    yield piece
        except (OSError, EOFError, ValueError, asyncio.TimeoutError, asyncio.LimitOverrunError) as error:
            raise _broken(error) from error

    async def read(self) -> _Reply:
        body = b"".join([piece async for piece in self.pieces()])
        return _Reply(self.status, _seconds(self._headers.get("retry-after", "")), body)

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        while size:
            piece = await self._soon(self._reader.read(min(size, PIECE)))
            if not piece:
                raise EOFError(f"{size} bytes early")
            size -= len(piece)
            yield piece

    async def _soon(self, reading: Any) -> bytes:
        return await asyncio.wait_for(reading, self._timeout)


class _EventReader:
    """Server-sent events out of pieces of text."""

    def __init__(self) -> None:
        self._rest = b""

    def read(self, piece: bytes) -> Iterator[Event]:
        *blocks, self._rest = (self._rest + piece).split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(":", 1) for line in block.decode().split("\n") if ":" in line[1:])
            if "data" in fields:
                raw = json.loads(fields["data"])
                named = ("site", "id", "state", "received_bytes", "total_bytes", "kind", "reason")
                yield Event(int(fields["id"]), fields["event"].strip(), **{key: raw.get(key) for key in named})


def _whole(method: str, path: str, body: Optional[Dict[str, Any]] = None) -> _Call[bytes]:
    left = LONGEST_LIMIT
    while True:
        reply = yield _Request(method, path, body)
        if 200 <= reply.status < 300:
            return reply.body
        error = reply.error()
        pause = max(PAUSE, error.retry_after or PAUSE)
        if error.status != 429 or pause > left:
            raise error
        left -= pause
        yield _Pause(pause)


def _json(method: str, path: str, body: Optional[Dict[str, Any]] = None) -> _Call[Any]:
    text = yield from _whole(method, path, body)
    return json.loads(text) if text else None


def _streaming(track: Track, start: int) -> _Request:
    # The form of the track: a song may have several.
    return _Request("GET", _own(track.raw["links"]["stream"]), None, {"Range": f"bytes={start}-"} if start else {})


def _following(track: Optional[Track], last: Optional[int]) -> _Request:
    query = "?" + urlencode({"track": f"{track.site}-{track.id}"}) if track else ""
    return _Request("GET", "/api/v1/events" + query, None, {} if last is None else {"Last-Event-ID": str(last)})


def _at(track: Track) -> str:
    """The form that the reply is about."""
    return _own(track.raw["links"]["self"])


def _song(track: Track) -> str:
    """The song with all its forms."""
    return _own(track.raw["links"]["track"])


def _queue(name: str) -> str:
    return "/api/v1/queues/" + quote(name, safe="")


def _is_away(error: KmdsError) -> bool:
    """The server may be back soon: no answer, or half of one; it stops; or a proxy in front of it answered."""
    if error.status == 0:
        return error.kind in ("connection", "truncated")
    return error.kind == "cancelled" or (error.kind == "internal" and error.status in (502, 503, 504))


def _held(seconds: int, holder: str) -> str:
    return f"&hold={seconds}&holder={holder}"


def _renewing(track: Track, seconds: int, holder: str) -> _Call[Any]:
    return _json("POST", f"{_at(track)}/hold?{_held(seconds, holder)[1:]}")


def _releasing(track: Track, holder: str) -> _Call[Any]:
    return _json("DELETE", f"{_at(track)}/hold?holder={holder}")


def _own(link: str) -> str:
    """A path of the server, without a proxy's prefix: the client's address has that."""
    return link[link.index("/api/v1/"):]


def _seconds(text: str) -> Optional[float]:
    return float(text) if text.isdigit() else None


def _broken(reason: object) -> KmdsError:
    return KmdsError("truncated", f"the answer broke off: {reason}")
