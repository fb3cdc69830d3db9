// Songs and their rows. A song is one for the whole page; each list has a row of its own for it.

/** Every song on the page by site, id and form; rows of both lists share it. */
const songs = new Map();
const keyOf = (track) => `${track.site}/${track.id}/${wordOf(track)}`;
/** The part of an address that names the form. */
const wordOf = (track) => track.rendition === "original" ? track.form : track.rendition;

/** The song of a reply whose request was sent at this time. */
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

/** Takes the facts of a reply or an event about a song; redraws its rows and reports changes. */
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

/** Every row of a song, with any of its forms. */
function redraw({ path }) {
  for (const song of songs.values()) if (song.path === path) song.rows.forEach((row) => row.draw());
}

/** Forgets songs that no row shows any more. */
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

/** One song in one list. Number and album belong to the list's entry; the rest belongs to the song. */
class Row {
  constructor(song, track, count = 1) {
    Object.assign(this, { song, count });
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
    this.into = make("button", { class: "icon into", type: "button", ...named("Put into my library:") }, icon("library"));
    this.remove = make("button", { class: "icon", type: "button", ...named("Remove") }, icon("bin"));
    this.more = make("button", { class: "icon unfold", type: "button", "aria-expanded": "false", "aria-label": `Forms of ${title}`, title: "Forms, paths and links" }, icon("more"));
    this.forms = make("ul", { class: "forms", "aria-label": `Forms of ${title}`, hidden: true });
    const page = /^https:\/\//.test(track.link)
      ? make("a", { class: "icon", href: track.link, target: "_blank", rel: "noopener noreferrer", "aria-label": `${title} on ${SITES[song.site] || song.site}`, title: "Open its page" }, icon("out"))
      : null;
    this.element = make("li", { class: "song" },
      this.play,
      make("div", {}, make("span", { class: "title" }, number, title),
        make("span", { class: "by" }, [track.artist, track.album].filter(Boolean).join(" · ") || SITES[song.site] || ""), this.status, this.bar),
      make("span", { class: "time" }, track.duration_seconds ? clock(track.duration_seconds) : ""),
      make("div", { class: "actions" }, this.retry, this.save, this.into, page, this.remove, this.more), this.forms);
    this.title = title;
    this.play.addEventListener("click", () => this.isPlaying() ? player.pauses() : player.start(this));
    this.into.addEventListener("click", () => library.put([track.link], false, this.into));
    this.more.addEventListener("click", () => this.opens(this.forms.hidden));
    this.retry.addEventListener("click", () => this.tryAgain());
    this.remove.addEventListener("click", () => this.takeAway());
    this.element.row = this;
    song.rows.add(this);
    this.draw();
  }

  isPlaying() {
    return Boolean(player.song) && player.song.path === this.song.path;
  }

  /** Another form represents the song now. */
  lead(song, count) {
    if (song !== this.song) {
      this.song.rows.delete(this);
      this.song = song;
      song.rows.add(this);
    }
    this.counts(count);
  }

  counts(count) {
    const more = count !== this.count;
    this.count = count;
    this.draw();
    if (more && !this.forms.hidden) this.list();
  }

  async opens(open) {
    if (open && !await this.list()) return;
    this.forms.hidden = !open;
    this.more.setAttribute("aria-expanded", String(open));
    this.element.classList.toggle("open", open);
    if (!open) for (const item of [...this.forms.children]) item.row.drop();
  }

  /** Asks for the forms of the song, and shows them. */
  async list() {
    try {
      const { forms, ...track } = await ask(this.song.path), same = (form) => wordOf(form) === wordOf(track);
      const items = forms.map((form) => {
        const name = track.file_name.replace(/\.\w+$/, /\.\w+$/.exec(form.path)[0]);
        const whole = same(form) ? track
          : { ...track, ...form, file_name: name, received_bytes: 0, total_bytes: form.size_bytes, failure: null, stored: null };
        const known = songs.get(keyOf(whole));
        // For a form that is on its way, events are newer than this reply.
        return new FormItem(this, known && known.state === form.state ? known : adopt(whole, track.asked), form, formWords(form, forms));
      });
      for (const item of [...this.forms.children]) item.row.drop();
      this.forms.append(...items.map((item) => item.element));
      this.counts(forms.length);
      return true;
    } catch (error) {
      complain(error);
      return false;
    }
  }

  draw() {
    const { song } = this, loading = song.state === "downloading", failed = song.state === "failed";
    const playing = this.isPlaying(), sounding = playing && !$("audio").paused;
    this.element.dataset.state = song.state;
    this.element.classList.toggle("current", playing);
    this.play.setAttribute("aria-label", `${sounding ? "Pause" : "Play"} ${this.title}`);
    this.play.disabled = failed;
    setIcon(this.playIcon, sounding ? "pause" : "play");
    this.playIcon.parentNode.hidden = failed;
    this.save.href = address(song, song.state !== "ready");
    this.save.hidden = this.into.hidden = failed;
    if (!failed && document.activeElement === this.retry) this.remove.focus();
    this.retry.hidden = !failed;
    this.bar.hidden = !loading && song.state !== "converting";
    if (loading && song.total) this.bar.value = Math.min(song.received / song.total, 1);
    else this.bar.removeAttribute("value");
    const [word, more] = statusOf(song);
    const drawn = `${word}${more}${this.count > 1 ? ` · ${this.count}\u00a0forms` : ""}`;
    if (this.drawn !== drawn) this.status.replaceChildren(make("b", {}, word), drawn.slice(word.length));
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
    if (this.isPlaying()) player.close();
    try {
      await ask(this.song.path, { method: "DELETE" });
    } catch (error) {
      this.remove.disabled = false;
      if (error.kind !== "not_found") return complain(error);
    }
    const neighbour = this.element.nextElementSibling || this.element.previousElementSibling;
    const same = [...songs.values()].filter((song) => song.path === this.song.path);
    for (const song of same) for (const row of [...song.rows]) row.drop();
    tell(`Removed: ${this.title}. Paste its link to have it again.`);
    (neighbour && neighbour.row ? neighbour.row.remove : $("url")).focus();
    kept.again();
    stats.again();
  }

  drop() {
    for (const item of [...this.forms.children]) item.row.drop();
    this.song.rows.delete(this);
    this.element.remove();
  }
}

/** One form of a song: its name, its progress, the path of its file, and the address for a player. */
class FormItem {
  constructor(row, song, form, words) {
    Object.assign(this, { row, song, form });
    const name = `${row.title} as ${form.form.toUpperCase()}`;
    this.name = name;
    this.play = make("button", { class: "icon", type: "button" });
    this.playIcon = icon("play");
    this.play.append(this.playIcon);
    this.status = make("span", { class: "status" });
    this.path = make("code", {}, form.path);
    const copies = (what, text) => {
      const button = make("button", { type: "button", "aria-label": `Copy the ${what} of ${name}` }, `Copy ${what}`);
      button.addEventListener("click", () => copy(text(), what));
      return button;
    };
    this.copyPath = copies("path", () => form.path);
    this.copyLink = copies("link", () => this.link());
    this.element = make("li", { class: "form" }, this.play,
      make("div", {}, make("span", { class: "what" }, make("b", {}, form.form.toUpperCase()), ` ${words}`), this.status, this.path),
      make("div", { class: "actions" }, this.copyPath, this.copyLink));
    this.play.addEventListener("click", () => player.song === song ? player.pauses() : player.start(row, song));
    this.element.row = this;
    song.rows.add(this);
    this.draw();
  }

  draw() {
    const { song } = this, sounding = player.song === song && !$("audio").paused;
    this.element.dataset.state = song.state;
    this.play.setAttribute("aria-label", `${sounding ? "Pause" : "Play"} ${this.name}`);
    this.play.disabled = this.copyLink.hidden = song.state === "failed";
    setIcon(this.playIcon, sounding ? "pause" : "play");
    // Another container may arrive: the path is certain only when the file is there.
    this.path.hidden = this.copyPath.hidden = song.state !== "ready";
    const [word, more] = statusOf(song, false);
    const drawn = `${word}${more}`;
    if (this.drawn !== drawn) this.status.replaceChildren(make("b", {}, word), more);
    this.drawn = drawn;
  }

  /** With the signature of the reply, if the server has tokens. */
  link() {
    const whole = new URL(address(this.song, false), document.baseURI), [, query] = this.form.links.audio.split("?");
    whole.search = [query, this.song.state !== "ready" && "stream=1"].filter(Boolean).join("&");
    return whole.href;
  }

  drop() {
    this.song.rows.delete(this);
    this.element.remove();
  }
}

/** The origin of a form. A copy in a format of the site is that file with tags. */
function formWords({ form, rendition }, forms) {
  const original = (other) => other.rendition === "original";
  if (original({ rendition })) return "as the site has it";
  const tagged = rendition.endsWith("-tagged");
  const made = !rendition.startsWith("original") && !forms.some((other) => original(other) && other.form === form);
  return [made && "converted", tagged && "with tags"].filter(Boolean).join(", ");
}

/** Puts a text on the clipboard. Without TLS a browser has no other way than to copy what is selected. */
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = make("textarea", { class: "unseen", readonly: true }), before = document.activeElement;
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    before.focus();
    if (!done) return tell(`The browser does not let this page copy. The ${what} is: ${text}`);
  }
  tell(`The ${what} is copied.`);
}

/** How long the file is held on the drive. */
function heldOf(track) {
  if (track.pinned) return " · pinned";
  const until = track.held_until && new Date(track.held_until);
  return until > new Date() ? ` · held until ${until.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}` : "";
}

/** A row shows the format of its song; a form shows it already. */
function statusOf(song, named = true) {
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
      const form = named && /\.(\w{2,4})$/.exec(song.track.file_name || "");
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
