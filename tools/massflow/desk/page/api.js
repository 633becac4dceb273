// api.js - asking the desk, and hearing from it. The token is in a cookie that scripts can't read.

async function answer(response) {
  if (response.ok) return response;
  const text = await response.text();
  let said = text;
  try {
    said = JSON.parse(text).error ?? text;
  } catch {
    // The server's own refusals are plain text.
  }
  throw new Error(said.trim() || `the desk answered ${response.status}`);
}

function address(path, query) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {}))
    if (value !== undefined && value !== null) words.set(name, value);
  const text = words.toString();
  return text ? `${path}?${text}` : path;
}

// get("/api/look/slice", {id, axis: 0, slice: 12}): JSON. `signal` (AbortSignal) gives up.
export async function get(path, query, signal) {
  return (await answer(await fetch(address(path, query), {signal}))).json();
}

// The same, as an ArrayBuffer.
export async function getBytes(path, query, signal) {
  return (await answer(await fetch(address(path, query), {signal}))).arrayBuffer();
}

export async function post(path, body) {
  const response = await fetch(path, {method: "POST", headers: {"Content-Type": "application/json"},
    body: JSON.stringify(body ?? {})});
  return (await answer(response)).json();
}

// What happens, as events of this target, with `detail`:
//   session  another graph or other settings are open: ask /api/session
//   cache    somebody wrote to the cache: nodes may have results that they had not
//   run      what a run of this desk does; docs/desk.md lists it
//   anew     events were missed, or it begins: ask for everything
//   lost, found   the desk does not answer, answers again
export const events = new EventTarget();

function tell(name, detail) {
  events.dispatchEvent(new CustomEvent(name, {detail}));
}

export function listen() {
  const source = new EventSource("/api/events");
  let lost = false;
  for (const name of ["session", "cache", "run", "anew"])
    source.addEventListener(name, (event) => tell(name, JSON.parse(event.data)));
  source.addEventListener("open", () => {
    if (lost) tell("found");
    lost = false;
  });
  source.addEventListener("error", () => {
    if (!lost) tell("lost");
    lost = true;
  });
}
