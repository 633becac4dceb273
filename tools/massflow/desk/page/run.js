// run.js - the part Run: settings and targets on the left, the graph in the middle with what runs
// below it, the node that is chosen on the right.
import {el, put, seconds, bytes} from "./dom.js";
import {events, get, post} from "./api.js";
import {drawGraph} from "./graph.js";
import {settingsForm} from "./settings.js";
import {nodeView} from "./node.js";
import {placesForm, workersView} from "./places.js";

export const title = "Run";

const STATES = ["cached", "running", "waiting", "failed", "blocked", "to run", "undecided"];
const ENDED = {done: "finished", failed: "finished with failures", interrupted: "stopped"};

// What this desk's run is doing, from its events.
class Run extends EventTarget {
  running = false;
  stopping = false;
  state = new Map();    // node -> state in this run
  active = [];
  counts = null;
  memory = 0;
  text = "";            // how the last one ended, or a notice
  bad = false;
  slots = 0;            // of this process
  turns = 0;            // beginnings and ends heard of

  async read() {
    const turns = this.turns, now = await get("/api/run");
    if (turns !== this.turns) return this.read();  // the answer is older than what was heard meanwhile
    this.running = now.running;
    this.stopping = now.stopping;
    if (now.last) this.take(now.last);
    this.dispatchEvent(new Event("change"));
  }

  take(event) {
    if (event.counts) this.counts = event.counts;
    if (event.kind === "planned" || event.kind === "ended") this.turns++;
    switch (event.kind) {
      case "planned":
        this.state.clear();
        this.running = true;
        this.text = "";
        this.bad = false;
        break;
      case "tick":
        this.active = event.active;
        this.memory = event.memory;
        this.slots = event.slots;
        for (const active of event.active) this.state.set(active.node, "running");
        break;
      case "started":
        this.state.set(event.node, "running");
        break;
      case "done":
      case "cached":
      case "failed":
      case "blocked":
        this.state.set(event.node, event.kind === "done" ? "cached" : event.kind);
        this.active = this.active.filter((active) => active.node !== event.node);
        break;
      case "waiting":
        this.state.set(event.node, "waiting");
        break;
      case "notice":
        this.text = event.text;
        this.bad = !!event.wrong;
        break;
      case "stopping":
        this.stopping = true;
        break;
      case "export failed":
        this.text = event.text;
        this.bad = true;
        break;
      case "ended":
        this.running = this.stopping = false;
        this.active = [];
        this.state.forEach((state, node) => state === "running" && this.state.delete(node));
        this.bad = event.status === "failed";
        this.text = event.text ?? ENDED[event.status];
        break;
    }
  }
}

function progressLine(active, choose) {
  const part = active.total ? active.done / active.total : null;
  const facts = [];
  if (active.total) facts.push(`${active.done} of ${active.total}`);
  if (active.rate) facts.push(active.rate >= 1 ? `${active.rate.toFixed(1)} a second`
    : `${seconds(1 / active.rate)} each`);
  if (active.words) facts.push(active.words);
  return el("li", {},
    el("button", {class: "link name", onclick: () => choose(active.node)}, active.node),
    el("progress", {max: 1, ...(part === null ? {} : {value: part}), "aria-label": `progress of ${active.node}`}),
    el("span", {class: "soft facts"}, facts.join(", ")),
    el("span", {class: "time"}, active.left === undefined ? seconds(active.seconds) : `${seconds(active.left)} left`));
}

export function open(place, desk) {
  const run = new Run();
  let chosen = null, planning = false;

  const start = el("button", {class: "main", id: "start", title: "Reads the graph file again, and runs it (Ctrl+Enter)",
    onclick: begin}, "Run");
  const stop = el("button", {id: "stop", disabled: true, title: "Stages stop at their next point to do so, and save their state",
    onclick: () => post("/api/stop").catch(tell)}, "Stop");
  const counts = el("span", {id: "counts"});
  const legend = el("ul", {class: "states"});
  const bar = el("div", {class: "meter", role: "img"});
  const facts = el("span", {class: "soft", id: "facts"});
  const said = el("div", {id: "said", role: "status", "aria-live": "polite"});
  const active = el("ul", {id: "active"});
  const canvas = el("div", {id: "drawing", tabindex: 0, role: "group", "aria-label": "The graph"});
  const side = el("aside", {id: "node", "aria-label": "The chosen node"});
  const targets = el("input", {id: "targets", type: "text", list: "target-names", spellcheck: "false",
    placeholder: "everything", "aria-describedby": "targets-help"});
  const names = el("datalist", {id: "target-names"});
  const form = settingsForm(desk, (error) => tell(error));
  const node = nodeView(side, desk, {choose, target, stateOf});
  const places = placesForm();
  const workers = workersView(() => !place.hidden && (run.running || !!node.other()));

  place.append(
    el("div", {class: "settings"},
      form.graphs,
      el("div", {class: "actions"}, start, stop),
      el("label", {for: "targets"}, "Targets"), targets, names,
      el("p", {id: "targets-help", class: "soft hint"}, "Stages or nodes, separated by blanks; empty: all."),
      places.element,
      form.element),
    el("div", {class: "middle"},
      el("div", {class: "status"}, counts, facts, bar, legend),
      said, canvas, active, workers.element),
    side);

  function tell(error) {
    run.bad = true;
    run.text = error.message;
    draw();
  }

  // "masks 'seg[case=a b]'": blanks inside brackets belong to a name.
  function wanted() {
    return targets.value.match(/(?:[^\s[]|\[[^\]]*\])+/g) ?? [];
  }

  async function begin() {
    if (run.running) return;
    start.disabled = true;
    try {
      await form.apply();
      run.text = "";
      run.bad = false;
      run.running = true;  // before asking: a run of cached nodes may end before the answer is here
      await post("/api/run", {targets: wanted(), ...places.wanted()});
    } catch (error) {
      await run.read().catch(() => {});
      tell(error);
    }
    draw();
  }

  function choose(name) {
    chosen = name;
    node.show(name);
    drawing.choose(name);
  }

  function target(name) {
    targets.value = name;
    targets.focus();
  }

  // The state of a node: what the run says, else what the plan says, else how it last came out.
  function stateOf(n) {
    const now = run.state.get(n.name);
    if (now && (run.running || now !== "cached")) return n.state === "cached" && now !== "running" ? "cached" : now;
    if (n.state === "cached" || n.state === "stream" || n.state === "failed") return n.state;
    const last = node.outcomes.get(n.name)?.outcome;
    const kept = last === "failed" || last === "blocked" || (last === "running" && !run.running && node.other());
    return kept ? last : n.state;
  }

  const devices = (nodes) => [...new Set(nodes.map((name) => node.outcomes.get(name)?.device).filter(Boolean))];

  // What runs, on what; also where another process has started it.
  function working() {
    const other = run.running ? null : node.other();
    if (other) {
      const names = [...node.outcomes.values()].filter((n) => n.outcome === "running").map((n) => n.node);
      return [`run ${other.run} goes on in process ${other.pid} of ${other.host}`, names.length && `${names.length} running`,
        ...devices(names)].filter(Boolean).join(", ");
    }
    if (!run.running) return "";
    return [`${run.active.length} running`, run.slots && `${run.slots} worker slots here`, run.memory && `${bytes(run.memory)} resident`,
      ...devices(run.active.map((a) => a.node))].filter(Boolean).join(", ");
  }

  const drawing = drawGraph(canvas, {choose, stateOf});

  function draw() {
    start.disabled = run.running || !!desk.session.trouble;
    stop.disabled = !run.running || run.stopping;
    stop.textContent = run.stopping ? "Stopping" : "Stop";
    const c = run.counts;
    const tally = {};
    for (const n of desk.nodes) {
      const state = stateOf(n);
      if (state !== "stream") tally[state] = (tally[state] ?? 0) + 1;
    }
    const total = Object.values(tally).reduce((a, b) => a + b, 0);
    put(counts, run.running && c ? `${c.done + c.cached} of ${c.wanted} nodes`
      : total ? `${tally.cached ?? 0} of ${total} nodes in the cache` : "");
    bar.setAttribute("aria-label", Object.entries(tally).map(([state, n]) => `${n} ${state}`).join(", "));
    put(bar, STATES.filter((state) => tally[state])
      .map((state) => el("span", {class: `s-${state.replace(" ", "-")}`, title: `${tally[state]} ${state}`,
        "data-share": tally[state]}, `${tally[state]} ${state}`)));
    for (const part of bar.children) part.style.flexGrow = part.dataset.share;
    bar.hidden = !total;
    put(facts, planning ? "planning" : working());
    put(legend, STATES.filter((state) => tally[state]).map((state) => el("li", {},
      el("span", {class: `dot s-${state.replace(" ", "-")}`}), ` ${tally[state]} ${state}`)));
    put(said, run.text);
    said.className = run.bad ? "bad" : "soft";
    put(active, run.active.map((a) => progressLine(a, choose)));
    drawing.update(desk.nodes);
  }

  desk.addEventListener("session", () => {
    const session = desk.session;
    if (session.trouble) {
      run.text = session.trouble;
      run.bad = true;
    } else if (run.text && run.bad && !run.running && run.ofFile) {
      run.text = "";
    }
    run.ofFile = !!session.trouble;
    put(names, session.stages.map((stage) => el("option", {value: stage.name})));
    form.update();
    places.refresh().catch(tell);
    drawing.load(session);
    draw();
  });
  desk.addEventListener("nodes", async () => {
    if (desk.nodesError) tell(new Error(desk.nodesError));
    await node.readOutcomes();
    draw();
    if (!chosen || !desk.nodes.some((n) => n.name === chosen)) node.show(null);
    else node.refresh();
  });
  events.addEventListener("run", (event) => {
    run.take(event.detail);
    node.take(event.detail);
    if (event.detail.kind === "ended") desk.readNodes();
    draw();
  });
  desk.addEventListener("planning", ({detail}) => {
    planning = detail;
    draw();
  });
  events.addEventListener("anew", () => run.read().then(draw, tell));
  run.addEventListener("change", draw);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey && event.key === "Enter" && !place.hidden) begin();
  });
  run.read().then(draw, tell);
  form.update();
  places.refresh().catch(tell);
  if (desk.session.graph) drawing.load(desk.session);
  if (desk.nodes.length) node.readOutcomes().then(draw);
}
