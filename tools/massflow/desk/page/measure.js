// measure.js - the part Measure: curves of trainings, live and over each other, tables, pictures.
import {el, put} from "./dom.js";
import {events, get} from "./api.js";
import {COLORS, chart, smooth} from "./chart.js";
import {table} from "./table.js";

export const title = "Measure";

const STEPS = ["step", "epoch", "iteration"];   // columns that others are drawn over
const MOST_SERIES = 12;                         // that are on at first
const MOST_PAST_NODES = 4;                      // nodes of a stage whose earlier results are looked for
const KEPT = 64;                                // tables

const tables = new Map();   // id -> promise of a table: an id stands for one content

function readTable(id) {
  if (!tables.has(id)) {
    if (tables.size >= KEPT) tables.delete(tables.keys().next().value);
    const asked = get("/api/table", {id});
    asked.catch(() => tables.delete(id));
    tables.set(id, asked);
  }
  return tables.get(id);
}

const stepOf = (t) => t.columns.findIndex((c) => c.number && STEPS.includes(c.name.toLowerCase()));

// "epoch 3: loss 0.31, val loss 0.4, AUC 0.8" -> {loss: 0.31, "val loss": 0.4, AUC: 0.8}
export function numbersIn(words) {
  const found = {};
  for (const part of words.replace(/^\w+ \d+:/, "").split(",")) {
    const match = part.trim().match(/^(.+?)\s+(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/i);
    if (match) found[match[1]] = Number(match[2]);
  }
  return found;
}

// What differs between parameters, in words: "lr=0.001, steps=200".
function differences(past, now) {
  return Object.entries(past ?? {}).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(now?.[name]))
    .map(([name, value]) => {
      const text = JSON.stringify(value);
      return `${name}=${text.length > 32 ? `${text.slice(0, 30)}\u2026` : text}`;
    }).join(", ");
}

export function open(place, desk) {
  const list = el("nav", {class: "sources", "aria-label": "Results"});
  const view = el("div", {class: "view"});
  let chosen = null, picked = false, drawn = "", listed = "", asked = 0, log = false, weight = 0, asTable = false;
  let series = [], charts = new Map(), off = new Set();
  const live = new Map();   // node -> [{step, name: value}]

  place.append(list, view);

  // ---- what there is -------------------------------------------------------------------------

  function sources() {
    const found = new Map();
    for (const output of desk.results("table", "image")) {
      const stage = desk.session.stages[output.stage];
      const key = `${stage.name}.${output.name}`;
      if (!found.has(key)) found.set(key, {key, stage: stage.name, output: output.name, type: output.type, of: []});
      found.get(key).of.push({node: output.node, id: output.id});
    }
    for (const [node, points] of live) {
      const n = desk.nodes.find((one) => one.name === node);
      const key = `live ${node}`;
      if (n && points.length > 1) found.set(key, {key, stage: node, output: "live", type: "live", of: [{node, id: `live ${node}`}]});
    }
    return found;
  }

  function drawList() {
    const found = sources();
    const groups = {live: "Running", table: "Tables", image: "Pictures"};
    if (!picked || !found.has(chosen)) chosen = best([...found.values()], chosen);
    // A list that is made anew at each step would take away the button that is being pressed.
    const now = JSON.stringify([chosen, ...[...found.values()].map((s) => [s.key, s.of.length])]);
    if (now !== listed) listAll(found, groups);
    listed = now;
    showChosen(found);
  }

  function listAll(found, groups) {
    put(list, Object.entries(groups).map(([type, words]) => {
      const of = [...found.values()].filter((s) => s.type === type);
      return of.length ? [el("h2", {}, words), of.map((s) => el("button", {class: "source",
        "aria-current": s.key === chosen, onclick: () => choose(s.key)}, s.stage, s.output === "live" ? "" :
        el("small", {class: "soft"}, ` ${s.output}`), s.of.length > 1 ? el("small", {class: "count"}, s.of.length) : null))] : null;
    }));
  }

  function showChosen(found) {
    const source = found.get(chosen);
    const now = source ? source.key + source.of.map((o) => o.id).join() : "";
    if (now !== drawn || source?.type === "live") {
      drawn = now;
      show(source);
    }
  }

  // What trains: of what says numbers while it runs that with the most steps; when it has ended, its
  // table; else the last of the graph, which is most often what it is for.
  function best(all, before) {
    const node = before?.startsWith("live ") ? before.slice(5) : null;
    const kept = all.find((s) => s.key === before);
    const steps = (s) => live.get(s.of[0].node).length;
    const longest = all.filter((s) => s.type === "live").reduce((a, b) => (a && steps(a) > steps(b) ? a : b), undefined);
    return (longest ?? all.find((s) => s.type === "table" && s.of.some((o) => o.node === node))
      ?? kept ?? all.findLast((s) => s.type === "table") ?? all.at(-1))?.key ?? null;
  }

  function choose(key) {
    picked = true;
    chosen = key;
    off = new Set();
    asTable = false;
    drawn = "";
    drawList();
  }

  async function show(source) {
    const mine = ++asked;
    if (!source) {
      put(view, el("p", {class: "soft"}, "No tables or pictures are in the cache yet. While a training runs, its "
        + "curves appear here."));
      return;
    }
    try {
      if (source.type === "image") showPictures(source);
      else if (source.type === "live") showLive(source);
      else await showTables(source, () => mine === asked);
    } catch (error) {
      if (mine === asked) put(view, el("p", {class: "bad"}, error.message));
    }
  }

  // ---- pictures ------------------------------------------------------------------------------

  function showPictures(source) {
    put(view, el("h2", {}, source.stage, el("small", {class: "soft"}, ` ${source.output}`)),
      el("div", {class: "pictures"}, source.of.map(({node, id}) => el("figure", {},
        el("a", {href: `/api/picture?id=${id}`, target: "_blank", title: "in full size"},
          el("img", {src: `/api/picture?id=${id}`, alt: `${source.output} of ${node}`, loading: "lazy"})),
        el("figcaption", {}, node)))));
  }

  // ---- tables and curves ---------------------------------------------------------------------

  async function showTables(source, current) {
    if (!view.childElementCount) put(view, el("p", {class: "soft"}, "reading"));
    const read = await Promise.all(source.of.map(async (one) => ({...one, table: await readTable(one.id)})));
    if (!current()) return;
    const curves = read.every((one) => stepOf(one.table) >= 0);
    if (curves && !asTable) {
      series = read.map((one, i) => ({key: one.id, label: one.node, table: one.table, on: i < MOST_SERIES}));
      await addPast(source, read, current);
      if (current()) showCurves(source);
      return;
    }
    put(view, heading(source, curves), sheet(source, read));
  }

  function heading(source, curves) {
    return el("div", {class: "head"}, el("h2", {}, source.stage, el("small", {class: "soft"}, ` ${source.output}`)),
      curves ? el("span", {class: "switch", role: "group"}, ["curves", "table"].map((word) => el("button", {
        "aria-pressed": (word === "table") === asTable, onclick: () => {
          asTable = word === "table";
          drawn = "";
          drawList();
        }}, word))) : null);
  }

  // The tables of all nodes of a stage as one, with the node in front.
  function sheet(source, read) {
    const names = [];
    for (const {table: t} of read)
      for (const c of t.columns) if (!names.some((n) => n.name === c.name)) names.push({name: c.name, number: c.number});
    const many = read.length > 1 || source.of[0].node.includes("[");
    const rows = [];
    for (const {node, table: t} of read) {
      const from = names.map((n) => t.columns.find((c) => c.name === n.name)?.values);
      for (let i = 0; i < t.given; i++)
        rows.push([...(many ? [node.replace(/^[^[]*\[(.*)\]$/s, "$1")] : []), ...from.map((values) => values?.[i] ?? null)]);
    }
    const cut = read.filter(({table: t}) => t.given < t.rows);
    const columns = [...(many ? [{name: "node", number: false}] : []), ...names];
    return [cut.length ? el("p", {class: "bad"}, `Cut to the first ${cut[0].table.given} rows of ${cut[0].table.rows}; `
      + "'massflow get' has them all.") : null, table(columns, rows, `${source.stage}-${source.output}.csv`)];
  }

  async function addPast(source, read, current) {
    if (read.length > MOST_PAST_NODES) return;
    for (const {node, id} of read) {
      const past = await get("/api/past", {node});
      if (!current()) return;
      const now = past.find((p) => p.outputs[source.output] === id);
      for (const p of past) {
        const other = p.outputs[source.output];
        if (!other || series.some((s) => s.key === other)) continue;
        const t = await readTable(other);
        if (!current()) return;
        if (stepOf(t) < 0) continue;
        series.push({key: other, table: t, past: true, on: false, label: [`${read.length > 1 ? `${node}, ` : ""}run ${p.run ?? "?"}`,
          differences(p.params, now?.params)].filter(Boolean).join(": ")});
      }
    }
  }

  function tools() {
    const smoothing = el("input", {type: "range", min: 0, max: 0.98, step: 0.02, value: weight, id: "smoothing",
      oninput: (event) => {
        weight = Number(event.target.value);
        drawCharts();
      }});
    return el("div", {class: "tools"},
      el("label", {}, el("input", {type: "checkbox", checked: log, onchange: (event) => {
        log = event.target.checked;
        drawCharts();
      }}), " logarithmic"),
      el("label", {for: "smoothing"}, "smoothing"), smoothing);
  }

  function legend() {
    if (series.length < 2) return null;
    return el("ul", {class: "legend"}, series.map((s, i) => {
      const swatch = el("i", {class: "swatch"});
      swatch.style.background = s.color = COLORS[i % COLORS.length];
      return el("li", {}, el("label", {}, el("input", {type: "checkbox", checked: s.on, onchange: (event) => {
        s.on = event.target.checked;
        drawCharts();
      }}), swatch, " ", s.label));
    }));
  }

  function columnsOf() {
    const names = [];
    for (const s of series)
      s.table.columns.forEach((c, i) => {
        if (c.number && i !== stepOf(s.table) && !names.includes(c.name)) names.push(c.name);
      });
    return names;
  }

  function showCurves(source) {
    series.forEach((s, i) => (s.color = COLORS[i % COLORS.length]));
    charts = new Map(columnsOf().map((name) => [name, chart(name)]));
    put(view, heading(source, source.type !== "live"), tools(), legend(),
      el("div", {class: "charts"}, [...charts.values()].map((c) => c.element)));
    drawCharts();
  }

  function drawCharts() {
    for (const [name, c] of charts) {
      const lines = [];
      for (const s of series) {
        const column = s.table.columns.find((one) => one.name === name);
        if (!s.on || !column) continue;
        const x = s.table.columns[stepOf(s.table)].values;
        if (weight) lines.push({label: s.label, color: s.color, x, y: column.values, faint: true});
        lines.push({label: s.label, color: s.color, x, y: smooth(column.values, weight)});
      }
      c.set(lines, log);
    }
  }

  // ---- live ----------------------------------------------------------------------------------

  function tableOf(points) {
    // What is said once ("source 2", before the first step) is no curve.
    const said = points.flatMap((p) => Object.keys(p.values));
    const names = [...new Set(said)].filter((name) => said.indexOf(name) !== said.lastIndexOf(name));
    return {columns: [{name: "step", number: true, values: points.map((p) => p.step)},
      ...names.map((name) => ({name, number: true, values: points.map((p) => p.values[name] ?? null)}))]};
  }

  function showLive(source) {
    const node = source.of[0].node;
    const now = {key: node, label: node, table: tableOf(live.get(node)), on: true};
    const same = view.dataset.live === node && charts.size && columnsOf().join() === (series = [now], columnsOf().join());
    series = [now];
    if (same) {
      now.color = COLORS[0];
      drawCharts();
      return;
    }
    showCurves(source);
    view.dataset.live = node;
  }

  function hear(node, step, words) {
    const values = numbersIn(words);
    if (!Object.keys(values).length) return false;
    if (!live.has(node)) live.set(node, []);
    const points = live.get(node);
    if (points.length && points.at(-1).step >= step) return false;
    points.push({step, values});
    return true;
  }

  async function readLive() {
    live.clear();
    const now = await get("/api/run");
    if (now.running) for (const s of await get("/api/live")) hear(s.node, s.step, s.words);
    if (!place.hidden) drawList();
  }

  events.addEventListener("run", ({detail}) => {
    let more = false;
    if (detail.kind === "tick")
      for (const a of detail.active) if (a.words) more = hear(a.node, a.done, a.words) || more;
    if (detail.kind === "planned" || detail.kind === "ended") {
      live.clear();
      more = true;
    }
    if (more && !place.hidden) {
      if (!chosen?.startsWith("live ")) delete view.dataset.live;
      drawList();
    }
  });
  events.addEventListener("anew", () => readLive().catch(() => {}));
  desk.addEventListener("nodes", () => place.hidden || drawList());
  open.show = () => {
    const [part, node] = location.hash.slice(1).split("/").map(decodeURIComponent);
    if (part === "measure" && node) {
      const found = [...sources().values()].find((s) => s.of.some((o) => o.node === node));
      if (found) choose(found.key);
    }
    drawList();
  };
  readLive().catch(() => {});
}

export function show() {
  open.show();
}
