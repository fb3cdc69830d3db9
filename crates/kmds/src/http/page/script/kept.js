// The songs in the cache: search and pages.

const kept = {
  cursor: null,
  pages: 0,
  asked: 0,

  query(cursor) {
    const query = new URLSearchParams({ limit: "50" });
    if ($("q").value.trim()) query.set("q", $("q").value.trim());
    if ($("state").value) query.set("state", $("state").value);
    if (cursor) query.set("cursor", cursor);
    return `tracks?${query}`;
  },

  async load() {
    const turn = ++this.asked;
    $("kept").hidden = false;
    try {
      const reply = await ask(this.query());
      if (turn !== this.asked) return;
      this.pages = 1;
      this.place(reply, true);
    } catch (error) {
      complain(error);
    } finally {
      $("kept-looking").hidden = true;
    }
  },

  async more() {
    const turn = ++this.asked, first = $("kept-songs").children.length;
    try {
      const reply = await ask(this.query(this.cursor));
      if (turn !== this.asked) return;
      this.pages += 1;
      this.place(reply, false);
      const next = $("kept-songs").children[first];
      if (next) next.row.play.focus();
    } catch (error) {
      complain(error);
    }
  },

  /** A row that stays keeps its element, and so its focus. */
  place(reply, anew) {
    const list = $("kept-songs"), focused = document.activeElement;
    const have = new Map([...list.children].map((item) => [item.row.song.path, item.row]));
    const shown = new Set(have.values());
    // One row for each song: its newest form that is not a copy represents it.
    const forms = new Map();
    for (const track of reply.tracks) {
      const song = adopt(track, reply.asked);
      forms.set(song.path, [...(forms.get(song.path) || []), song]);
    }
    const rows = [...forms].map(([path, all]) => {
      const first = all.find((song) => song.track.rendition === "original") || all[0], row = have.get(path);
      if (anew) have.delete(path);
      if (!row) return new Row(first, { ...first.track, track_number: null }, all.length);
      if (anew) row.lead(first, row.forms.hidden ? all.length : Math.max(all.length, row.count));
      else row.counts(row.count + all.length);
      return row;
    });
    if (anew) {
      have.forEach((row) => row.drop());
      const elements = rows.map((row) => row.element);
      if (elements.length !== list.children.length || elements.some((element, at) => element !== list.children[at])) list.replaceChildren(...elements);
    } else {
      list.append(...rows.filter((row) => !shown.has(row)).map((row) => row.element));
    }
    if (list.contains(focused)) focused.focus();
    this.cursor = reply.cursor;
    $("kept-more").hidden = !reply.cursor;
    const filtered = $("q").value.trim() || $("state").value, count = list.children.length;
    $("search").hidden = !count && !filtered;
    say($("kept-sum"), count ? `${reply.cursor ? "The newest " : ""}${plural(count, "song")}${filtered ? " found" : ""}`
      : filtered ? "No song is like that. Try another word, or show all songs." : "Nothing yet. Paste a link above: what it brings stays here for the next time.");
    forgetUnseen();
  },

  /** Loads the list again soon, once for many reasons; not while a person reads further pages. */
  again() {
    if (this.pages > 1 || this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.load();
    }, 700);
  },
};
