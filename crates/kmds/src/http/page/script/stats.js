// The state of the server: the table at the end and the line at the top.

const stats = {
  async load() {
    clearTimeout(this.timer);
    if (!document.hidden) {
      this.now = await ask("stats").catch(() => null) || this.now;
      if (this.now) this.draw(this.now);
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), STATS_EVERY_MS);
  },

  again() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), 900);
  },

  draw(now) {
    $("server").hidden = false;
    document.body.classList.toggle("has-library", Boolean(now.library));
    say($("disk"), now.max_bytes ? `${size(now.bytes_on_disk)} of ${size(now.max_bytes)}` : size(now.bytes_on_disk));
    $("disk-meter").value = now.max_bytes ? Math.min(now.bytes_on_disk / now.max_bytes, 1) : 0;
    say($("disk-free"), now.free_bytes == null ? "" : `${size(now.free_bytes)} free on the disk`);
    const count = (state) => now.songs[state] || 0;
    say($("counts"), [`${count("ready").toLocaleString()} ready`, count("failed") && `${count("failed")} failed`].filter(Boolean).join(" · "));
    say($("listeners"), now.listeners ? plural(now.listeners, "listener") : "No listeners now");
    const engines = new Map(now.engines.map((engine) => [engine.site, engine]));
    $("lanes").replaceChildren(...now.lanes.flatMap((lane) => this.lane(lane, engines.get(lane.site))));
    $("play-queues").hidden = !now.play_queues.length;
    $("play-queues").tBodies[0].replaceChildren(...now.play_queues.map((queue) => make("tr", {},
      make("th", { scope: "row" }, queue.name), make("td", {}, `${queue.begun} of ${queue.total}`),
      make("td", {}, `${queue.ready} of ${Math.min(queue.ahead, queue.total - queue.begun)}`))));
    this.nodes(now.cluster);
    pulse();
  },

  /** The other nodes; nothing on a host of its own. */
  nodes(cluster) {
    $("cluster").hidden = !cluster;
    if (!cluster) return;
    say($("nats"), cluster.connected ? (cluster.nodes.length ? "NATS answers." : "NATS answers. No other node is there.") : "NATS does not answer: this node works alone.");
    $("nodes").parentNode.hidden = !cluster.nodes.length;
    $("nodes").replaceChildren(...cluster.nodes.map((node) => make("tr", {},
      make("th", { scope: "row" }, node.node, make("small", { class: "quiet" }, [node.address, node.version].filter(Boolean).join(" · "))),
      make("td", {}, ...(node.sites.length ? node.sites.map(place) : ["Fetches from no site"])))));
  },

  lane(lane, engine) {
    const hurt = engine && (engine.first !== "native" || engine.native_failures > 0);
    const words = engine ? (engine.first === "native" ? (engine.native_failures ? "Working, with failures" : "Working") : "yt-dlp stands in") : "–";
    const why = engine && hurt ? engine.reason || plural(engine.native_failures, "failure") : "";
    const row = make("tr", {},
      make("th", { scope: "row" }, SITES[lane.site] || lane.site),
      make("td", {}, `${lane.running} of ${lane.limit}`), make("td", {}, String(lane.waiting)),
      make("td", { class: hurt ? "hurt" : "" }, make("b", {}, words)));
    if (lane.paused_until) {
      const until = new Date(lane.paused_until).toLocaleTimeString();
      return [row, make("tr", { class: "why" }, make("td", { colspan: 4 }, `The site wants a pause; KMDS asks it again at ${until}`))];
    }
    return why ? [row, make("tr", { class: "why" }, make("td", { colspan: 4 }, sentence(why)))] : [row];
  },
};

/** A site of a node: how many downloads it could start, or until when the site limits it. */
function place(told) {
  const until = () => new Date(Date.now() + 1000 * told.limited_seconds).toLocaleTimeString();
  const name = SITES[told.site] || told.site;
  return make("div", { class: told.limited_seconds ? "hurt" : "" }, told.limited_seconds ? `${name}: limited until ${until()}` : `${name}: ${Math.max(told.free, 0)}`);
}

/** The line at the top: whether the page is live, and what goes on. */
function pulse() {
  $("pulse").hidden = false;
  $("pulse").classList.toggle("lost", Boolean(live.lost));
  const sum = (what) => (stats.now ? stats.now.queues : []).reduce((all, lane) => all + lane[what], 0);
  const busy = [sum("running") && `${sum("running")} downloading`, sum("waiting") && `${sum("waiting")} waiting`].filter(Boolean);
  say($("pulse-text"), live.lost ? "Connection lost, trying again" : busy.join(" · ") || "All quiet");
}
