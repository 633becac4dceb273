// graph.js - the graph as it is laid out by the desk: a box for each stage, with its nodes by state.
import {el, put, svg} from "./dom.js";
import {get} from "./api.js";

const STATES = ["cached", "running", "waiting", "failed", "blocked", "to run", "undecided", "stream", "unwanted"];
const MARGIN = 10;
const MOST_CELLS = 60;   // nodes of a stage that have a cell of their own to click

function curve(p) {
  let d = `M${p[0]} ${p[1]}`;
  for (let i = 2; i < p.length; i += 2) {
    const half = (p[i + 1] - p[i - 1]) / 2;
    d += `C${p[i - 2]} ${p[i - 1] + half} ${p[i]} ${p[i + 1] - half} ${p[i]} ${p[i + 1]}`;
  }
  return d;
}

export function drawGraph(place, {choose, stateOf}) {
  let session = null, layout = null, boxes = [], chosen = null, asked = 0, current = [];

  // Of many nodes of a stage the one that a reader most likely wants to see.
  function worth(nodes) {
    const order = ["failed", "running", "blocked", "waiting", "to run", "undecided", "cached", "stream"];
    for (const state of order) {
      const found = nodes.find((n) => stateOf(n) === state);
      if (found) return found;
    }
    return nodes[0];
  }

  function box(i) {
    const [x, y, width, height] = layout.boxes[i];
    const stage = session.stages[i];
    const bar = svg("g", {class: "cells"});
    const words = svg("text", {class: "count", x: x + width - 10, y: y + 18});
    const group = svg("g", {class: `box${stage.stream ? " stream" : ""}`, tabindex: i ? -1 : 0, role: "button",
      "aria-label": `${stage.name}, ${stage.use}`},
      stage.count > 1 ? svg("rect", {class: "behind", x: x + 3, y: y - 3, width, height, rx: 4}) : null,
      svg("rect", {class: "body", x, y, width, height, rx: 4}),
      svg("text", {class: "label", x: x + 10, y: y + 18}, stage.name),
      words,
      svg("text", {class: "use", x: x + 10, y: y + 33}, stage.use),
      bar,
      svg("title", {}, stage.summary ?? stage.use));
    const one = {i, group, bar, words, nodes: [], x, y, width, height};
    group.addEventListener("click", () => one.nodes.length && choose(worth(one.nodes).name));
    group.addEventListener("keydown", (event) => keys(event, one));
    return one;
  }

  // Arrows go to the nearest box in that direction; Enter chooses.
  function keys(event, from) {
    if (event.key === "Enter" || event.key === " ") {
      if (from.nodes.length) choose(worth(from.nodes).name);
      event.preventDefault();
      return;
    }
    const way = {ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0]}[event.key];
    if (!way) return;
    event.preventDefault();
    let best = null, least = Infinity;
    for (const to of boxes) {
      const dx = to.x + to.width / 2 - from.x - from.width / 2, dy = to.y - from.y;
      const along = dx * way[0] + dy * way[1], across = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
      if (along > 1 && along + 2 * across < least && to !== from) {
        best = to;
        least = along + 2 * across;
      }
    }
    if (!best) return;
    from.group.setAttribute("tabindex", -1);
    best.group.setAttribute("tabindex", 0);
    best.group.focus();
  }

  // A cell for each node, or, of many, a bar by states.
  function cells(one) {
    const width = one.width - 20, y = one.y + one.height - 11;
    if (one.nodes.length <= MOST_CELLS) {
      const step = Math.min(width / one.nodes.length, 14), gap = step > 4 ? 1.5 : 0.5;
      put(one.bar, one.nodes.map((n, k) => {
        const cell = svg("rect", {class: `cell s-${stateOf(n).replace(" ", "-")}${n.name === chosen ? " chosen" : ""}`,
          x: one.x + 10 + k * step, y, width: step - gap, height: 6, rx: 1}, svg("title", {}, `${n.name}: ${stateOf(n)}`));
        cell.addEventListener("click", (event) => {
          event.stopPropagation();
          choose(n.name);
        });
        return cell;
      }));
      return;
    }
    let x = one.x + 10;
    put(one.bar, STATES.map((state) => {
      const count = one.nodes.filter((n) => stateOf(n) === state).length;
      if (!count) return null;
      const part = width * count / one.nodes.length;
      const cell = svg("rect", {class: `cell s-${state.replace(" ", "-")}`, x, y, width: part, height: 6},
        svg("title", {}, `${count} ${state}`));
      x += part;
      return cell;
    }));
  }

  function update(nodes) {
    if (!layout) return;
    for (const one of boxes) one.nodes = [];
    for (const n of nodes) boxes[n.stage]?.nodes.push(n);
    for (const one of boxes) {
      const stage = session.stages[one.i];
      const ready = one.nodes.filter((n) => stateOf(n) === "cached").length;
      one.words.textContent = stage.stream ? "stream" : one.nodes.length > 1 ? `${ready}/${one.nodes.length}` : "";
      const states = [...new Set(one.nodes.map(stateOf))];
      one.group.setAttribute("aria-label", `${stage.name}, ${stage.use}: ${states.join(", ")}`);
      one.group.classList.toggle("chosen", one.nodes.some((n) => n.name === chosen));
      one.group.classList.toggle("hot", states.includes("running"));
      one.group.classList.toggle("broken", states.includes("failed"));
      cells(one);
    }
  }

  function build() {
    const first = new Set();
    const width = layout.width + 2 * MARGIN, height = layout.height + 2 * MARGIN;
    boxes = session.stages.map((_, i) => box(i));
    // A wide graph is drawn smaller, as far as it stays legible.
    const scale = Math.min(1, Math.max(0.66, (place.clientWidth - 16) / width));
    const picture = svg("svg", {class: "graph", width: width * scale, height: height * scale,
      viewBox: `${-MARGIN} ${-MARGIN} ${width} ${height}`},
      svg("defs", {}, svg("marker", {id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8,
        markerUnits: "userSpaceOnUse", orient: "auto"}, svg("path", {d: "M0 0.8L8 4L0 7.2z"}))),
      layout.links.map((link) => svg("path", {class: `link${link.gathers ? " all" : ""}${link.type.startsWith("stream<")
        ? " stream" : ""}`, d: curve(link.points), "marker-end": "url(#arrow)"})),
      boxes.map((one) => one.group),
      layout.links.map((link) => {
        const slot = `${link.from}/${link.slot}`;
        if (first.has(slot)) return null;
        first.add(slot);
        return svg("text", {class: "type", x: link.points[0] + 5, y: link.points[1] + 12}, link.type.replace("?", ""));
      }));
    put(place, picture);
  }

  return {
    async load(now) {
      const mine = ++asked;
      if (now.trouble || !now.stages.length) {
        layout = null;
        put(place, el("p", {class: "soft"}, now.trouble ? "" : "The graph has no stages."));
        return;
      }
      const got = await get("/api/drawing");
      if (mine !== asked) return;
      session = now;
      layout = got;
      build();
      update(current);
    },
    update(nodes) {
      current = nodes;
      update(nodes);
    },
    choose(name) {
      chosen = name;
      update(current);
    },
  };
}
