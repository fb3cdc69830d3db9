// Playing: one song at a time, also while it still arrives.

const player = {
  song: null,

  pauses() {
    const audio = $("audio");
    audio.paused ? this.resume() : audio.pause();
  },

  /** Plays the song of a row, or another form of it. */
  start(row, song = row.song) {
    const before = this.song, { track } = song, audio = $("audio");
    Object.assign(this, { song, row, list: row.element.parentNode, whole: song.state === "ready" });
    audio.src = address(song, !this.whole);
    picture(song, $("now-cover"));
    say($("now-title"), track.title);
    say($("now-by"), track.artist || SITES[song.site] || "");
    $("player").hidden = false;
    document.body.classList.add("playing");
    if ("mediaSession" in navigator) {
      const artwork = track.cover_url ? [{ src: new URL(`${API}${song.path}/cover`, document.baseURI).href }] : [];
      navigator.mediaSession.metadata = new MediaMetadata({ title: track.title, artist: track.artist || "", album: track.album || "", artwork });
    }
    this.resume();
    if (before) redraw(before);
    this.drawn();
  },

  resume() {
    $("audio").play().catch((error) => {
      if (error.name === "NotAllowedError") tell("The browser wants a click before it plays: press Play in the player.");
    });
  },

  /** Redraws the rows of the song, and the buttons for the next and previous one. */
  drawn() {
    if (this.song) redraw(this.song);
    $("previous").disabled = !this.beside("previousElementSibling");
    $("next").disabled = !this.beside("nextElementSibling");
  },

  /** The nearest playable row before or after this one in its list. */
  beside(direction) {
    const inList = (row) => row.element.parentNode === this.list;
    const here = this.song && (inList(this.row) ? this.row : [...this.song.rows].find(inList));
    let item = here && here.element[direction];
    while (item && (!item.row || item.row.song.state === "failed")) item = item[direction];
    return item ? item.row : null;
  },

  step(direction) {
    const row = this.beside(direction);
    if (row) this.start(row);
    return Boolean(row);
  },

  /** The file became whole. A file of unknown length allowed no seeking: it is opened again at the same position. */
  changed() {
    const audio = $("audio");
    if (this.song.state !== "ready" || this.whole || Number.isFinite(audio.duration)) return;
    const at = audio.currentTime, sounding = !audio.paused;
    this.whole = true;
    audio.src = address(this.song, false);
    audio.currentTime = at;
    if (sounding) this.resume();
  },

  async broke() {
    const { song } = this;
    if (!song) return;
    const track = await ask(song.path).catch(() => null);
    const failure = track && track.failure;
    complain(new Trouble(failure ? `${song.track.title}: ${failure.reason}` : `${song.track.title} does not play here.`,
      failure ? nextAfter(failure.reason, failure.kind) : "Download it and play it in another player, or press Play again."));
  },

  close() {
    const { song } = this, audio = $("audio");
    Object.assign(this, { song: null, row: null });
    audio.pause();
    audio.removeAttribute("src");
    audio.load();
    $("player").hidden = true;
    document.body.classList.remove("playing");
    if (song) redraw(song);
    forgetUnseen();
    return song;
  },
};

function wirePlayer() {
  const audio = $("audio");
  for (const name of ["play", "pause", "ended"]) audio.addEventListener(name, () => player.drawn());
  audio.addEventListener("ended", () => player.step("nextElementSibling"));
  audio.addEventListener("error", () => player.broke());
  $("next").addEventListener("click", () => player.step("nextElementSibling"));
  $("previous").addEventListener("click", () => player.step("previousElementSibling"));
  $("stop").addEventListener("click", () => {
    const song = player.close(), row = song && [...song.rows][0];
    (row ? row.play : $("url")).focus();
  });
  if (!("mediaSession" in navigator)) return;
  navigator.mediaSession.setActionHandler("nexttrack", () => player.step("nextElementSibling"));
  navigator.mediaSession.setActionHandler("previoustrack", () => player.step("previousElementSibling"));
}
