// What a link brought.

const found = {
  /** The list's entries with their songs; rows are made of the first of them only. */
  entries: [],
  reply: null,
  asking: null,

  async get(link) {
    if (!link) return $("url").focus();
    if (this.asking) this.asking.abort();
    const asking = this.asking = new AbortController();
    const slow = setTimeout(() => tell("Still looking: the site takes its time."), 6000);
    tell("Looking it up …");
    $("looking").hidden = false;
    $("found").hidden = true;
    try {
      const body = JSON.stringify({ url: link, playlist: $("whole").checked });
      const reply = await ask("fetch", { method: "POST", headers: { "Content-Type": "application/json" }, body, signal: asking.signal });
      this.show(reply, link);
    } catch (error) {
      complain(error);
    } finally {
      clearTimeout(slow);
      if (asking === this.asking) {
        this.asking = null;
        $("looking").hidden = true;
        $("found").hidden = !this.reply;
      }
    }
  },

  show(reply, link) {
    for (const { song } of this.entries) song.found = false;
    for (const item of [...$("found-songs").children]) item.row.drop();
    this.reply = reply;
    this.entries = reply.tracks.map((track) => ({ track, song: adopt(track, reply.asked) }));
    for (const { song } of this.entries) song.found = true;
    forgetUnseen();
    this.head(link);
    this.more();
    const { tracks } = reply, waiting = tracks.filter((track) => track.state !== "ready").length;
    tell(!tracks.length ? "No song of this list can be had; the reasons are below."
      : waiting ? `Got ${plural(tracks.length, "song")}. Play right away: the download goes on meanwhile.` : "All of it is in the cache already.");
    if (document.activeElement === $("url")) $("url").select();
    kept.again();
    stats.again();
  },

  head(link) {
    const { collection, tracks, unavailable, truncated } = this.reply;
    const seconds = tracks.reduce((sum, track) => sum + (track.duration_seconds || 0), 0);
    say($("found-title"), collection ? collection.title || "A list" : "Your song");
    say($("found-sum"), [
      collection && collection.artist, plural(tracks.length, "song"), seconds && clock(seconds),
      unavailable.length && `${unavailable.length} not to be had`, truncated && "the site’s list is longer than this",
    ].filter(Boolean).join(" · "));
    for (const id of ["play-all", "as-list", "as-zip"]) $(id).hidden = tracks.length < 2;
    const query = new URLSearchParams({ url: link });
    if ($("whole").checked) query.set("playlist", "true");
    $("as-list").href = `../play?${query}`;
    $("as-zip").href = `../play?${query}&archive=zip`;
    $("missing").hidden = !unavailable.length;
    say($("missing").firstElementChild, `${plural(unavailable.length, "song is", "songs are")} not to be had`);
    $("missing").lastElementChild.replaceChildren(...unavailable.map((song) => make("li", {},
      `${song.track_number ? `${song.track_number}. ` : ""}${song.title || "Without a title"}: ${sentence(song.reason)}`)));
  },

  /** Draws the next rows: a list may have thousands. */
  more() {
    const list = $("found-songs"), shown = this.shown = list.children.length ? this.shown : 0;
    const next = this.entries.slice(shown, shown + ROWS).map(({ song, track }) => new Row(song, track));
    list.append(...next.map((row) => row.element));
    this.shown += next.length;
    const left = this.entries.length - this.shown;
    $("found-more").hidden = left <= 0;
    say($("found-more"), `Show ${Math.min(left, ROWS)} more of ${left}`);
    if (shown && next.length) next[0].play.focus();
  },
};
