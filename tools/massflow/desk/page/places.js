// places.js - where a run computes: this machine, and workers of the site's pools; and these workers while
// a run goes on, of this desk or of another process on the same cache.
import {bytes, el, put, seconds} from "./dom.js";
import {get} from "./api.js";

const EVERY = 1000; // milliseconds: a run writes as often

/** Which places a run has, as a list to tick. Nothing is shown where the site has no pools. */
export function placesForm() {
  const local = el("input", {type: "checkbox", id: "place-local", checked: true});
  const list = el("div", {class: "places"});
  const trouble = el("pre", {class: "bad", id: "pools-trouble", hidden: true});
  const element = el("fieldset", {id: "places", hidden: true}, el("legend", {}, "Runs on"), list, trouble);
  let pools = [];

  function line(box, name, words) {
    return el("label", {class: "place"}, box, name, el("span", {class: "soft"}, words));
  }

  function chosen() {
    return pools.filter(({box}) => box.checked).map(({name}) => name);
  }

  return {
    element,
    /** Reads the site's file again. What is ticked stays, so that a run is refused whose pool is gone. */
    async refresh() {
      const now = await get("/api/pools"), ticked = chosen();
      const gone = ticked.filter((name) => !now.pools.some((pool) => pool.name === name));
      pools = [...now.pools, ...gone.map((name) => ({name, words: "is not known"}))].map(({name, words}) => ({name, words,
        box: el("input", {type: "checkbox", "data-pool": name, checked: ticked.includes(name)})}));
      if (!pools.length) local.checked = true;
      put(list, line(local, "this machine", ""), pools.map(({box, name, words}) => line(box, name, words)));
      put(trouble, now.trouble);
      trouble.hidden = !now.trouble;
      element.title = now.path ?? "";
      element.hidden = !pools.length && !now.trouble;
    },
    /** As POST /api/run takes it. */
    wanted() {
      return {pools: chosen(), local: local.checked};
    },
  };
}

function poolLine(pool) {
  const facts = [`${pool.wanted} could be used`, `${pool.connected} connected`, `${pool.running} started`,
    `${pool.waiting} waiting${pool.reason ? ` (${pool.reason})` : ""}`];
  return el("li", {}, el("b", {}, pool.name), ` ${facts.join(", ")}`,
    pool.excluded && el("div", {class: "soft"}, `hosts left out: ${pool.excluded}`),
    pool.trouble && el("div", {class: "bad"}, `not asked for: ${pool.trouble}`));
}

function workerRow(worker) {
  const cells = [worker.state, worker.slots, worker.devices, bytes(worker.memory), worker.running,
    seconds(worker.waited), worker.left === undefined ? "" : seconds(Math.max(0, worker.left))];
  return el("tr", {class: worker.state === "gone" ? "soft" : null, "data-worker": worker.name},
    el("td", {}, worker.name), el("td", {}, worker.pool), cells.map((text) => el("td", {}, text)));
}

function runView(run) {
  const head = ["worker", "pool", "state", "slots", "devices", "memory", "running", "waited", "time left"];
  return el("section", {},
    el("p", {class: "soft"}, `Process ${run.process} on ${run.host} listens at ${run.address} for workers.`),
    el("ul", {}, run.pools.map(poolLine)),
    run.workers.length ? el("table", {}, el("thead", {}, el("tr", {}, head.map((text) => el("th", {}, text)))),
      el("tbody", {}, run.workers.map(workerRow))) : el("p", {class: "soft"}, "No worker has joined yet."));
}

/** The workers of runs. `busy`: whether there may be any now. */
export function workersView(busy) {
  const element = el("div", {id: "workers", hidden: true});
  let asking = false;

  async function look() {
    if (asking || (!busy() && element.hidden)) return;
    asking = true;
    try {
      const runs = await get("/api/workers");
      put(element, runs.map(runView));
      element.hidden = !runs.length;
    } catch {
      element.hidden = true; // that the desk is gone is said above
    } finally {
      asking = false;
    }
  }
  setInterval(look, EVERY);
  return {element};
}
