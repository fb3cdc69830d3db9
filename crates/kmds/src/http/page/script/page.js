// A person's actions: paste, drop, share, search. This part runs last and starts the others.

function wireAsking() {
  const box = $("url");
  const take = (text) => {
    const links = linksIn(text);
    // A phone's keyboard would hide the results.
    if (matchMedia("(pointer: coarse)").matches) box.blur();
    box.value = links.join(" ") || text.trim().replace(/\s+/g, " ");
    if (!links.length) return hits.look(box.value);
    hits.clear();
    found.get(links);
  };
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    take(box.value);
  });
  // A person may paste or drop links anywhere on the page.
  document.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text"), other = event.target.closest && event.target.closest("input, textarea");
    if ((other && other !== box) || !text.trim() || !linksIn(text).length) return;
    event.preventDefault();
    take(text);
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const text = event.dataTransfer.getData("text/uri-list") || event.dataTransfer.getData("text");
    if (text) take(text.split("\n").filter((line) => !line.startsWith("#")).join("\n") || text);
  });
  $("play-all").addEventListener("click", () => {
    const first = [...$("found-songs").children].find((item) => item.row.song.state !== "failed");
    if (first) player.start(first.row);
  });
  $("into-library").addEventListener("click", () => library.put(found.links, found.whole, $("into-library")));
  $("found-more").addEventListener("click", () => found.more());
  $("hits-site").addEventListener("change", () => hits.look(hits.words, $("hits-site").value));
  $("hits-close").addEventListener("click", () => {
    hits.clear();
    box.focus();
  });
  shared(take);
}

/** `?url=` and `?text=`: the share target. Only the installed page starts at once: another site may send people here with
 * a link of its choice, and must not start downloads by that. */
function shared(take) {
  const query = new URLSearchParams(location.search), text = query.get("url") || query.get("text");
  if (!text) return $("url").focus();
  history.replaceState(null, "", location.pathname);
  $("url").value = linksIn(text).join(" ") || text.trim();
  if (matchMedia("(display-mode: standalone)").matches) return take(text);
  tell(linksIn(text).length ? "Press Get to fetch this link." : "Press Get to search for this.");
  $("get").focus();
}

function wireSearch() {
  let timer;
  const look = () => {
    clearTimeout(timer);
    timer = setTimeout(() => kept.load(), 250);
  };
  $("q").addEventListener("input", look);
  $("state").addEventListener("change", look);
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    look();
  });
  $("kept-more").addEventListener("click", () => kept.more());
}

/** A bookmark that opens this page with the page it is pressed on. This page's own policy lets it run nowhere here. */
function wireBookmarklet() {
  const here = JSON.stringify(new URL("./", location.href).href);
  $("bookmarklet").href = `javascript:void open(${here} + "?url=" + encodeURIComponent(location.href))`;
  $("bookmarklet").addEventListener("click", (event) => {
    event.preventDefault();
    tell("Drag it to your bookmarks bar, and press it there on the page of a song.");
  });
}

wirePlayer();
wireAsking();
wireBookmarklet();
wireSearch();
live.open();
kept.load();
stats.load();
document.addEventListener("visibilitychange", () => document.hidden || stats.again());
fetch("../", { headers: { Accept: "application/json" } }).then((answer) => answer.json())
  .then((reply) => say($("version"), reply.Version ? `KMDS ${reply.Version}` : "")).catch(() => {});
