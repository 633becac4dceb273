// node.js - one node: how it stands and why, its results, its log, how it came out in the last run.
import {el, put, seconds, bytes} from "./dom.js";
import {get} from "./api.js";

const LOOK = new Set(["volume", "labels", "masks", "sample", "seeds"]);

export function nodeView(place, desk, {choose, target, stateOf}) {
  let name = null, log = null, why = null, line = "", asked = 0, live = [], runs = [];
  const outcomes = new Map();   // of the newest run: node -> what is known of it

  async function readOutcomes() {
    try {
      runs = desk.session.trouble ? [] : await get("/api/runs");
      outcomes.clear();
      if (runs.length)
        for (const n of await get("/api/runs/nodes", {run: runs[0].run})) outcomes.set(n.node, n);
    } catch {
      outcomes.clear();   // no cache yet, or another process moves it: the plan says what is known
    }
  }

  async function read() {
    const mine = ++asked, wanted = name;
    const [gotLog, gotWhy] = await Promise.allSettled([get("/api/log", {node: wanted}), get("/api/why", {node: wanted})]);
    if (mine !== asked) return;
    log = gotLog.value ?? {trouble: gotLog.reason?.message};
    why = gotWhy.value?.why ?? gotWhy.reason?.message;
    line = gotWhy.value?.line;
    draw();
  }

  function overview() {
    put(place, el("h2", {}, "Runs of this graph"),
      runs.length ? el("table", {class: "runs"},
        el("thead", {}, el("tr", {}, ["run", "began", "took", "how", "nodes"].map((word) => el("th", {}, word)))),
        el("tbody", {}, runs.slice(0, 30).map((run) => el("tr", {title: run.command},
          el("td", {class: "n"}, run.run),
          el("td", {}, new Date(run.start * 1000).toLocaleString()),
          el("td", {class: "n"}, run.end ? (run.end > run.start ? seconds(run.end - run.start) : "< 1 s") : ""),
          el("td", {class: run.status === "failed" || run.status === "killed" ? "bad" : ""}, run.status),
          el("td", {}, Object.entries(run.counts).map(([state, n]) => `${n} ${state}`).join(", "))))))
        : el("p", {class: "soft"}, desk.session.trouble ? "Choose or mend the graph file, and press Read again."
          : "It has not run yet. Choose a stage in the graph to see why it would, or press Run."));
  }

  function outputs(node) {
    return el("ul", {class: "outputs"}, node.outputs.map((output) => el("li", {},
      el("b", {}, output.name), " ", el("span", {class: "soft"}, output.type), " ",
      output.id ? [el("code", {title: output.id}, output.id.slice(0, 12)), " ",
        LOOK.has(output.type) ? el("a", {href: `#look/${output.id}`}, "look") : null,
        output.type === "table" || output.type === "image"
          ? el("a", {href: `#measure/${encodeURIComponent(node.name)}`}, output.type === "table" ? "measure" : "see") : null]
        : el("span", {class: "soft"}, "not in the cache"))));
  }

  function facts(met) {
    const words = [];
    if (met.seconds !== undefined) words.push(seconds(met.seconds));
    if (met.device) words.push(`on ${met.device}`);
    if (met.worker) words.push(`worker ${met.worker}`);
    if (met.peak) words.push(`peak ${bytes(met.peak)} resident${met.own ? "" : ", with all that ran beside it"}`);
    return words.join(", ");
  }

  function lines() {
    const zero = log?.met?.started ?? log?.lines?.[0]?.at ?? 0;
    const past = (log?.lines ?? []).map((line) => `${(line.at - zero).toFixed(2).padStart(8)}  ${line.text}`);
    return [...past, ...live.map((text) => `          ${text}`)].join("\n");
  }

  function draw() {
    const node = desk.nodes.find((n) => n.name === name);
    if (!node) return overview();
    const stage = desk.session.stages[node.stage];
    const group = desk.nodes.filter((n) => n.stage === node.stage);
    const at = group.indexOf(node);
    const met = log?.met, state = stateOf(node);
    const step = (d) => el("button", {disabled: !group[at + d], "aria-label": d < 0 ? "the node before" : "the next node",
      onclick: () => choose(group[at + d].name)}, d < 0 ? "\u2039" : "\u203a");
    put(place,
      el("div", {class: "head"}, el("h2", {}, node.name),
        group.length > 1 ? el("span", {class: "steps"}, step(-1), `${at + 1}/${group.length}`, step(1)) : null,
        el("button", {class: "close", "aria-label": "close: back to the list of runs", onclick: () => choose(null)}, "\u00d7")),
      el("p", {class: "soft"}, stage.use, stage.summary ? `: ${stage.summary}` : ""),
      el("p", {}, el("span", {class: `dot s-${state.replace(" ", "-")}`}), " ", state,
        line && state === node.state ? el("span", {class: "soft"}, ` - ${line}`) : "", " ",
        stage.stream ? null : el("button", {class: "link", onclick: () => target(node.name)}, "take as target")),
      outputs(node),
      met?.message ? [el("h3", {class: "bad"}, `${met.outcome} in run ${log.run}`), el("pre", {class: "bad"}, met.message)] : null,
      el("h3", {}, "Log", el("small", {class: "soft"}, log?.run ? ` run ${log.run}, ${facts(met)}` : "")),
      lines() ? el("pre", {class: "log", tabindex: 0}, lines())
        : el("p", {class: "soft"}, log?.trouble ?? (log ? "It has logged nothing." : "")),
      el("h3", {}, "Why"), why ? el("pre", {class: "why", tabindex: 0}, why) : el("p", {class: "soft"}, "..."));
    const shown = place.querySelector(".log");
    if (shown) shown.scrollTop = shown.scrollHeight;
  }

  return {
    outcomes,
    // The run that goes on in another process, or null.
    other: () => (runs[0]?.status === "running" ? runs[0] : null),
    readOutcomes,
    show(wanted) {
      name = wanted;
      log = why = null;
      line = "";
      live = [];
      draw();
      if (name) read();
    },
    refresh() {
      live = [];
      read();
    },
    // An event of this desk's run: a log grows while it is looked at.
    take(event) {
      if (event.node !== name || !name) return;
      if (event.kind === "log" || event.kind === "waiting" || event.kind === "overtime") live.push(event.text);
      if (event.kind === "log") draw();
    },
  };
}
