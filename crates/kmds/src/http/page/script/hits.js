// The results of a search. A result becomes a song's row when a person takes it.

const hits = {
  words: "",
  asking: null,

  /** Without a site, the server chooses. */
  async look(words, site) {
    if (!words) return $("url").focus();
    if (this.asking) this.asking.abort();
    const asking = this.asking = new AbortController();
    this.words = words;
    tell("Searching …");
    $("looking").hidden = false;
    try {
      const query = new URLSearchParams({ q: words, limit: "20" });
      if (site) query.set("site", site);
      this.show(await ask(`search?${query}`, { signal: asking.signal }));
    } catch (error) {
      complain(error, () => this.look(words, site));
    } finally {
      if (asking === this.asking) {
        this.asking = null;
        $("looking").hidden = true;
      }
    }
  },

  show({ results, site }) {
    this.clear();
    $("hits").hidden = false;
    $("hits-site").value = site;
    say($("hits-title"), `Found for “${this.words}”`);
    say($("hits-sum"), results.length ? `${plural(results.length, "result")} on ${SITES[site] || site}` : `Nothing on ${SITES[site] || site}. Try other words, or another site.`);
    $("hits-list").append(...results.map((hit) => this.item(hit)));
    tell("");
  },

  clear() {
    for (const item of [...$("hits-list").children]) item.row ? item.row.drop() : item.remove();
    $("hits").hidden = true;
    forgetUnseen();
  },

  item(hit) {
    const album = hit.kind === "collection", covered = !album && hit.cover_url;
    const play = make("button", { class: "cover", type: "button", "aria-label": album ? `Show ${hit.title}` : `Play ${hit.title}` });
    const path = `tracks/${encodeURIComponent(hit.site)}/${encodeURIComponent(hit.id)}`;
    picture({ path, track: { cover_url: covered } }, play);
    play.append(make("span", {}, icon(album ? "down" : "play")));
    const status = make("span", { class: "status" });
    const get = make("button", { type: "button", "aria-label": `Get ${hit.title}` }, "Get");
    const page = make("a", { class: "icon", href: hit.link, target: "_blank", rel: "noopener noreferrer", "aria-label": `${hit.title} on ${SITES[hit.site] || hit.site}`, title: "Open its page" }, icon("out"));
    const by = [hit.artist, hit.album, album && "album or playlist"].filter(Boolean).join(" · ");
    const item = make("li", { class: "song hit" }, play,
      make("div", {}, make("span", { class: "title" }, hit.title), make("span", { class: "by" }, by), status),
      make("span", { class: "time" }, hit.duration ? clock(hit.duration) : ""), make("div", { class: "actions" }, get, page));
    const take = async (plays) => {
      if (album) return found.get([hit.link]);
      get.disabled = play.disabled = true;
      delete item.dataset.state;
      say(status, "Looking it up …");
      try {
        this.taken(await found.ask({ url: hit.link }), item, plays);
      } catch (error) {
        get.disabled = play.disabled = false;
        item.dataset.state = "failed";
        status.replaceChildren(make("b", {}, "Failed"), ` · ${[sentence(error.message), error.next].filter(Boolean).join(" ")}`);
        get.setAttribute("aria-label", `Retry ${hit.title}`);
        say(get, "Retry");
      }
    };
    play.addEventListener("click", () => take(true));
    get.addEventListener("click", () => take(false));
    return item;
  },

  /** From now on the song has the result's place in the list. */
  taken(reply, item, plays) {
    const [track] = reply.tracks;
    if (!track) throw new Trouble(reply.unavailable.map((song) => song.reason)[0] || "The site has no song there.", "");
    const row = new Row(adopt(track, reply.asked), track), focused = item.contains(document.activeElement);
    item.replaceWith(row.element);
    if (plays) player.start(row);
    if (focused) row.play.focus();
    kept.again();
    stats.again();
  },
};
