// Songs put into the server's music library.

/** Time between two requests for a run. */
const RUN_EVERY_MS = 700;
/** For this time news of single songs do not replace the result. */
const READ_WITHIN_MS = 8000;

const library = {
  running: 0,
  ended: -READ_WITHIN_MS,

  isTold() {
    return this.running > 0 || performance.now() - this.ended < READ_WITHIN_MS;
  },

  /** Puts the songs of these links there, one link after the other, and shows the result. */
  async put(links, whole, button) {
    button.disabled = true;
    this.running += 1;
    try {
      const runs = [];
      for (const url of links) {
        const body = JSON.stringify({ url, playlist: whole });
        runs.push(await this.follow(await ask("library", { method: "POST", headers: { "Content-Type": "application/json" }, body })));
      }
      this.say(runs);
    } catch (error) {
      complain(error, () => this.put(links, whole, button));
    } finally {
      button.disabled = false;
      this.running -= 1;
      this.ended = performance.now();
    }
  },

  async follow(run) {
    while (run.state === "running") {
      tell(`Into the library: ${run.placed + run.present} of ${plural(run.songs, "song")} …`);
      await new Promise((done) => setTimeout(done, RUN_EVERY_MS));
      run = await ask(`library/${run.id}`);
    }
    if (run.state === "failed") throw new Trouble(`${plural(run.placed + run.present, "song is", "songs are")} in the library, the others are not: ${run.reason}`, "", run.kind, true);
    return run;
  },

  say(runs) {
    const sum = (key) => runs.reduce((all, run) => all + run[key], 0);
    const there = sum("placed") + sum("present"), [{ title, path }] = runs, where = runs.length === 1 && path ? `: ${path}` : "";
    const before = !sum("present") ? "" : sum("placed") ? ` ${sum("present")} of them were there before.` : " Nothing was changed: all of it was there before.";
    const what = there === 1 && runs.length === 1 ? `“${title}” is in the library` : `${plural(there, "song is", "songs are")} in the library`;
    tell(there ? `${what}${where}.${before}` : "");
    const missing = runs.flatMap((run) => run.failures), [first] = missing;
    if (!first) return;
    const failed = `${plural(sum("failed"), "song is", "songs are")} not in the library. ${first.title ? `${first.title}: ` : ""}${sentence(first.reason)}`;
    complain(new Trouble(there ? `${what}${where}; ${failed}` : failed, nextAfter(first.reason, first.kind)));
  },
};
