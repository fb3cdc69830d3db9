// Requests to the server, and messages about their results. Every failure becomes a sentence with the next step.

/** A message: what happened, and the next step. */
class Trouble extends Error {
  constructor(what, next, kind, retryable) {
    super(what);
    this.next = next;
    this.kind = kind;
    this.retryable = retryable;
  }
}

/** The reply has the time of the request in `asked`: later events are newer than the reply. */
async function ask(path, options = {}) {
  const asked = performance.now();
  let answer;
  try {
    answer = await fetch(API + path, { headers: { Accept: "application/json", ...options.headers }, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The server does not answer.", "Check that KMDS is running and that this device is in its network, then try again.", undefined, true);
  }
  if (answer.status === 204) return null;
  // The session has ended: now the page is the form for a token.
  if (answer.status === 401) location.reload();
  const reply = await answer.json().catch(() => null);
  if (answer.ok && reply) return { ...reply, asked };
  const what = (reply && reply.detail) || `The server answered with ${answer.status}, which this page does not understand.`;
  const wait = Number(answer.headers.get("Retry-After"));
  const next = wait > 1 ? `Try again in ${plural(Math.ceil(wait), "second")}.` : nextAfter(what, reply && reply.kind);
  throw new Trouble(sentence(what), next || (reply && reply.detail ? "" : "Reload the page, then try again."), reply && reply.kind, !reply || reply.retryable);
}

/** The service starts its sentences in lower case and leaves the full stop out; a page does not. */
function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
}

/** What to do next, unless the sentence itself ends with it. */
function nextAfter(said, kind) {
  const next = NEXT[kind] || "";
  return /\btry again\b[^;]*$/i.test(said) && /try again/i.test(next) ? "" : next;
}

/** Shows a failure; `again` gets a button, unless a new try cannot help. */
function complain(error, again) {
  if (error.name === "AbortError") return;
  say($("note"), "");
  const retry = again && error.retryable ? make("button", { type: "button" }, "Retry") : null;
  if (retry) retry.addEventListener("click", again);
  $("error").replaceChildren(sentence(error.message), make("span", {}, error.next || ""), ...(retry ? [retry] : []));
  $("error").hidden = false;
}

function tell(text) {
  $("error").hidden = true;
  say($("note"), text);
}
