// The songs of a link.

const found = {
  /** The list's entries with their songs; only the first ones get rows. */
  entries: [],
  reply: null,
  asking: null,

  async get(links) {
    if (!links.length) return $("url").focus();
    if (this.asking) this.asking.abort();
    const asking = this.asking = new AbortController();
    const slow = setTimeout(() => tell("Still looking: the site takes its time."), 6000);
    tell("Looking it up …");
    $("looking").hidden = false;
    $("found").hidden = true;
    try {
      const reply = links.length === 1 ? await this.ask({ url: links[0] }, asking.signal) : await this.askAll(links, asking.signal);
      this.show(reply, links);
    } catch (error) {
      complain(error, () => this.get(links));
    } finally {
      clearTimeout(slow);
      if (asking === this.asking) {
        this.asking = null;
        $("looking").hidden = true;
        $("found").hidden = !this.reply;
      }
    }
  },

  ask(what, signal) {
    const body = JSON.stringify({ ...what, playlist: $("whole").checked });
    return ask("fetch", { method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
  },

  /** Several links as one list. A link that fails is in `failures`; the others are not affected. */
  async askAll(links, signal) {
    const whole = { collection: null, tracks: [], unavailable: [], failures: [], truncated: false };
    for (let at = 0; at < links.length; at += LINKS_AT_ONCE) {
      const some = links.slice(at, at + LINKS_AT_ONCE);
      if (at) tell(`Looking them up: ${at} of ${links.length} …`);
      try {
        const reply = await this.ask(some.length > 1 ? { urls: some } : { url: some[0] }, signal);
        whole.asked = reply.asked;
        whole.tracks.push(...reply.tracks);
        whole.failures.push(...(reply.failures || []));
        for (const link of reply.links || [reply]) {
          whole.unavailable.push(...link.unavailable);
          whole.truncated ||= link.truncated;
        }
      } catch (error) {
        if (error.name === "AbortError") throw error;
        // All of them failed, and the answer has the reason of the first.
        const { message: reason, kind } = error;
        whole.failures.push(...some.map((url, place) => place ? { url, reason: "It failed too. Retry it for its reason." } : { url, reason, kind }));
      }
    }
    const keys = new Set();
    whole.tracks = whole.tracks.filter((track) => !keys.has(keyOf(track)) && keys.add(keyOf(track)));
    return whole;
  },

  show(reply, links) {
    for (const { song } of this.entries) song.found = false;
    for (const item of [...$("found-songs").children]) item.row.drop();
    this.reply = reply;
    this.links = links;
    this.whole = $("whole").checked;
    this.entries = reply.tracks.map((track) => ({ track, song: adopt(track, reply.asked) }));
    for (const { song } of this.entries) song.found = true;
    forgetUnseen();
    this.head(links);
    $("refused").replaceChildren(...(reply.failures || []).map((failure) => this.refused(failure)));
    this.more();
    const { tracks } = reply, waiting = tracks.filter((track) => track.state !== "ready").length;
    tell(!tracks.length ? "No song is available; the reasons are below."
      : waiting ? `Got ${plural(tracks.length, "song")}. Play right away: the download goes on meanwhile.` : "All of it is in the cache already.");
    if (document.activeElement === $("url")) $("url").select();
    kept.again();
    stats.again();
  },

  /** A link that failed among others: its sentence, and a button that asks for it alone. */
  refused({ url, reason, kind }) {
    const why = (text, word) => [text && sentence(text), nextAfter(text || "", word)].filter(Boolean).join(" ");
    const status = make("span", { class: "status" }, make("b", {}, "Failed"), ` · ${why(reason, kind)}`);
    const retry = make("button", { type: "button", "aria-label": `Retry ${url}` }, "Retry");
    const item = make("li", { class: "song refused", "data-state": "failed" }, make("div", {}, make("span", { class: "title" }, url), status), retry);
    retry.addEventListener("click", async () => {
      retry.disabled = true;
      try {
        const reply = await this.ask({ url });
        this.entries.push(...reply.tracks.map((track) => ({ track, song: adopt(track, reply.asked) })));
        for (const { song } of this.entries) song.found = true;
        item.remove();
        this.more();
        tell(`Got ${plural(reply.tracks.length, "song")}.`);
        kept.again();
      } catch (error) {
        retry.disabled = false;
        status.replaceChildren(make("b", {}, "Failed"), ` · ${[sentence(error.message), error.next].filter(Boolean).join(" ")}`);
      }
    });
    return item;
  },

  head(links) {
    const several = links.length > 1;
    const { collection, tracks, unavailable, truncated } = this.reply;
    const seconds = tracks.reduce((sum, track) => sum + (track.duration_seconds || 0), 0);
    say($("found-title"), several ? `${links.length} links` : collection ? collection.title || "A list" : "Your song");
    say($("found-sum"), [
      collection && collection.artist, plural(tracks.length, "song"), seconds && clock(seconds),
      unavailable.length && `${unavailable.length} not to be had`, truncated && "the site’s list is longer than this",
    ].filter(Boolean).join(" · "));
    $("play-all").hidden = tracks.length < 2;
    for (const id of ["as-list", "as-zip"]) $(id).hidden = several || tracks.length < 2;
    $("as-library").hidden = several || !tracks.length;
    $("into-library").hidden = !tracks.length;
    // Signed if the server has tokens, so that a player or a program for downloads can open them too.
    const { play, zip, library_zip: libraryZip } = this.reply.links || {};
    for (const [id, address] of [["as-list", play], ["as-zip", zip], ["as-library", libraryZip]]) {
      if (address) $(id).href = `../play${address.slice(address.indexOf("?"))}`;
    }
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
