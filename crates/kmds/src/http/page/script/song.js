// Songs and their rows. A song is one for the whole page; each list has a row of its own for it.

/** Every song on the page by site, id and form; rows of both lists share it. */
const songs = new Map();
const keyOf = (track) => `${track.site}/${track.id}/${wordOf(track)}`;
/** The part of an address that names the form. */
const wordOf = (track) => track.rendition === "original" ? track.form : track.rendition;

/** The song of a reply that was asked for at this moment. */
function adopt(track, asked) {
  const key = keyOf(track), known = songs.get(key);
  const song = known || { rows: new Set(), rate: 0, news: 0, key, site: track.site, id: track.id };
  songs.set(key, song);
  song.path = `tracks/${encodeURIComponent(track.site)}/${encodeURIComponent(track.id)}`;
  song.formPath = `${song.path}/${wordOf(track)}`;
  song.track = track;
  song.stored = track.stored;
  if (song.news <= asked) become(song, track.state, track.received_bytes, track.total_bytes, track.failure);
  return song;
}

/** What a reply or an event says of a song; redraws its rows and tells of what changed. */
function become(song, state, received, total, failure) {
  const before = song.state;
  Object.assign(song, { state, received, total, failure });
  song.rows.forEach((row) => row.draw());
  if (!before || before === state) return;
  if (player.song === song) player.changed();
  if (state === "ready" || state === "failed") live.announce(song);
}

function address(song, streams) {
  return `${API}${song.formPath}/audio${streams ? "?stream=1" : ""}`;
}

/** Songs that nothing shows any more are forgotten. */
function forgetUnseen() {
  for (const [key, song] of songs) if (!song.rows.size && !song.found && song !== player.song) songs.delete(key);
}

function picture(song, into) {
  into.replaceChildren(icon("note"));
  if (!song.track.cover_url) return;
  const image = make("img", { src: `${API}${song.path}/cover`, alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.remove());
  into.append(image);
}

/** One song in one list. What belongs to the list's entry (number, album) is its own; the rest is the song's. */
class Row {
  constructor(song, track) {
    this.song = song;
    const title = track.title, named = (what) => ({ "aria-label": `${what} ${title}`, title: what });
    const number = track.track_number ? make("span", { class: "number" }, `${track.track_number}.`) : null;
    this.play = make("button", { class: "cover", type: "button" });
    picture(song, this.play);
    this.playIcon = icon("play");
    this.play.append(make("span", {}, this.playIcon));
    this.status = make("span", { class: "status" });
    this.bar = make("progress", { "aria-label": `Download of ${title}`, max: 1 });
    this.save = make("a", { class: "icon", download: track.file_name, ...named("Download") }, icon("down"));
    this.retry = make("button", { class: "icon", type: "button", ...named("Try again:") }, icon("retry"));
    this.remove = make("button", { class: "icon", type: "button", ...named("Remove") }, icon("bin"));
    const page = /^https:\/\//.test(track.link)
      ? make("a", { class: "icon", href: track.link, target: "_blank", rel: "noopener noreferrer", "aria-label": `${title} on ${SITES[song.site] || song.site}`, title: "Open its page" }, icon("out"))
      : null;
    this.element = make("li", { class: "song" },
      this.play,
      make("div", {}, make("span", { class: "title" }, number, title),
        make("span", { class: "by" }, [track.artist, track.album].filter(Boolean).join(" · ") || SITES[song.site] || ""), this.status, this.bar),
      make("span", { class: "time" }, track.duration_seconds ? clock(track.duration_seconds) : ""),
      make("div", { class: "actions" }, this.retry, this.save, page, this.remove));
    this.title = title;
    this.play.addEventListener("click", () => player.toggle(this));
    this.retry.addEventListener("click", () => this.tryAgain());
    this.remove.addEventListener("click", () => this.takeAway());
    this.element.row = this;
    song.rows.add(this);
    this.draw();
  }

  draw() {
    const { song } = this, loading = song.state === "downloading", failed = song.state === "failed";
    const playing = player.song === song, sounding = playing && !$("audio").paused;
    this.element.dataset.state = song.state;
    this.element.classList.toggle("current", playing);
    this.play.setAttribute("aria-label", `${sounding ? "Pause" : "Play"} ${this.title}`);
    this.play.disabled = failed;
    setIcon(this.playIcon, sounding ? "pause" : "play");
    this.playIcon.parentNode.hidden = failed;
    this.save.href = address(song, song.state !== "ready");
    this.save.hidden = failed;
    if (!failed && document.activeElement === this.retry) this.remove.focus();
    this.retry.hidden = !failed;
    this.bar.hidden = !loading && song.state !== "converting";
    if (loading && song.total) this.bar.value = Math.min(song.received / song.total, 1);
    else this.bar.removeAttribute("value");
    const [word, more] = statusOf(song);
    const drawn = `${word}${more}`;
    if (this.drawn !== drawn) this.status.replaceChildren(make("b", {}, word), more);
    this.drawn = drawn;
  }

  async tryAgain() {
    try {
      const track = await ask(`${this.song.path}/retry`, { method: "POST" });
      adopt(track, track.asked);
      tell(`Trying again: ${this.title}.`);
    } catch (error) {
      complain(error);
    }
  }

  async takeAway() {
    this.remove.disabled = true;
    if (player.song === this.song) player.close();
    try {
      await ask(this.song.path, { method: "DELETE" });
    } catch (error) {
      this.remove.disabled = false;
      if (error.kind !== "not_found") return complain(error);
    }
    const neighbour = this.element.nextElementSibling || this.element.previousElementSibling;
    const same = [...songs.values()].filter((song) => song.path === this.song.path);
    for (const song of same) for (const row of song.rows) row.drop();
    tell(`Removed: ${this.title}. Paste its link to have it again.`);
    (neighbour && neighbour.row ? neighbour.row.remove : $("url")).focus();
    kept.again();
    stats.again();
  }

  drop() {
    this.song.rows.delete(this);
    this.element.remove();
  }
}

/** How long the file is kept, whatever room others need. */
function heldOf(track) {
  if (track.pinned) return " · pinned";
  const until = track.held_until && new Date(track.held_until);
  return until > new Date() ? ` · held until ${until.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}` : "";
}

function statusOf(song) {
  const rate = song.rate ? ` · ${size(song.rate)}/s` : "";
  switch (song.state) {
    case "queued": return ["Waiting", song.received ? ` · ${size(song.received)} are here` : ""];
    case "downloading": {
      if (!song.total) return ["Downloading", ` · ${size(song.received)}${rate}`];
      const part = Math.min(100, Math.floor(song.received / song.total * 100));
      return [`${part} %`, ` of ${size(song.total)}${rate}`];
    }
    case "converting": return ["Converting", ""];
    case "ready": {
      const bytes = (song.stored && song.stored.size_bytes) || song.total || song.received;
      const form = /\.(\w{2,4})$/.exec(song.track.file_name || "");
      return ["Ready", `${bytes ? ` · ${size(bytes)}` : ""}${form ? ` · ${form[1].toUpperCase()}` : ""}${heldOf(song.track)}`];
    }
    case "failed": {
      const failure = song.failure || {};
      return ["Failed", ` · ${[failure.reason && sentence(failure.reason), nextAfter(failure.reason, failure.kind)].filter(Boolean).join(" ")}`];
    }
    case "evicted": return ["Not here", " · comes again when it is played"];
    default: return [song.state, ""];
  }
}
