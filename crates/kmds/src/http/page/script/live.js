// Events of the server, as they come; the page requests missed ones.

const live = {
  /** Titles of songs for one message. */
  told: { ready: [], failed: [] },

  open() {
    const source = new EventSource(`${API}events`);
    source.addEventListener("track", (event) => this.take(JSON.parse(event.data), true));
    source.addEventListener("progress", (event) => this.take(JSON.parse(event.data), false));
    source.addEventListener("open", () => {
      this.wait = 1000;
      if (this.lost) this.catchUp();
      this.lost = false;
      pulse();
    });
    source.addEventListener("error", () => {
      this.lost = true;
      pulse();
      if (source.readyState !== EventSource.CLOSED) return;
      // For the browser this is a final refusal, but a restarting proxy sends it too.
      setTimeout(() => this.open(), this.wait = Math.min((this.wait || 1000) * 2, 30000));
    });
    addEventListener("pagehide", () => source.close(), { once: true });
  },

  take(news, changed) {
    const song = songs.get(keyOf(news));
    if (!song) {
      if (changed) kept.again();
      return;
    }
    song.news = performance.now();
    this.measure(song, news);
    const failure = news.state === "failed" ? { kind: news.kind, reason: news.reason } : null;
    become(song, news.state, news.received_bytes, news.total_bytes ?? song.total, failure);
    if (changed) stats.again();
  },

  /** Bytes a second, smoothed. */
  measure(song, news) {
    const now = performance.now();
    if (news.state !== "downloading" || !song.mark || news.received_bytes < song.mark.received) {
      song.rate = 0;
      song.mark = { at: now, received: news.received_bytes };
    } else if (now - song.mark.at > 800) {
      const rate = (news.received_bytes - song.mark.received) / (now - song.mark.at) * 1000;
      song.rate = song.rate ? song.rate * .6 + rate * .4 : rate;
      song.mark = { at: now, received: news.received_bytes };
    }
  },

  /** One sentence for all events of a moment, so that a screen reader does not get too many. */
  announce(song) {
    this.told[song.state].push(song.track.title);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const { ready, failed } = this.told;
      this.told = { ready: [], failed: [] };
      if (library.isTold()) return;
      const news = (titles, one, many) => titles.length > 1 ? `${titles.length} songs ${many}.` : titles.length ? `${titles[0]} ${one}.` : "";
      $("note").textContent = [news(ready, "is ready", "are ready"), news(failed, "failed", "failed")].filter(Boolean).join(" ");
    }, 1200);
  },

  /** After a gap: requests songs that were on their way one by one, and the cache's list as a whole. */
  async catchUp() {
    kept.again();
    stats.again();
    const open = [...songs.values()].filter((song) => song.state !== "ready" && song.state !== "failed").slice(0, 50);
    for (const song of open) {
      const track = await ask(song.formPath).catch(() => null);
      if (track && keyOf(track) === song.key) adopt(track, track.asked);
    }
  },
};
