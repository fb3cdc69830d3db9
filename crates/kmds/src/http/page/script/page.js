// What a person does: paste, drop, share, search. Runs last and starts the rest.

function wireAsking() {
  const box = $("url");
  const take = (text) => {
    box.value = linkIn(text);
    found.get(box.value);
  };
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    take(box.value);
  });
  // A pasted or dropped link is enough, wherever on the page.
  document.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text"), other = event.target.closest && event.target.closest("input, textarea");
    if ((other && other !== box) || !/https?:\/\//i.test(text)) return;
    event.preventDefault();
    take(text);
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const text = event.dataTransfer.getData("text/uri-list") || event.dataTransfer.getData("text");
    if (text) take(text.split("\n").filter((line) => !line.startsWith("#")).join(" ") || text);
  });
  $("play-all").addEventListener("click", () => {
    const first = [...$("found-songs").children].find((item) => item.row.song.state !== "failed");
    if (first) player.start(first.row);
  });
  $("found-more").addEventListener("click", () => found.more());
  shared(take);
}

/** `?url=` and `?text=`: the share target. Only the installed page starts at once: another site may send people here with
 * a link of its choice, and must not start downloads by that. */
function shared(take) {
  const query = new URLSearchParams(location.search), text = query.get("url") || query.get("text");
  if (!text) return $("url").focus();
  history.replaceState(null, "", location.pathname);
  $("url").value = linkIn(text);
  if (matchMedia("(display-mode: standalone)").matches) return take(text);
  tell("Press Get to fetch this link.");
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

wirePlayer();
wireAsking();
wireSearch();
live.open();
kept.load();
stats.load();
document.addEventListener("visibilitychange", () => document.hidden || stats.again());
fetch("../", { headers: { Accept: "application/json" } }).then((answer) => answer.json())
  .then((reply) => say($("version"), reply.Version ? `KMDS ${reply.Version}` : "")).catch(() => {});
