// layer_list.js - a layer of Look as it stands beside the picture: its switch and opacity, and the list of
// its labels or masks.

import {css, fromHex, hex} from "./colors.js";
import {el} from "./dom.js";
import {toWorld} from "./geometry.js";

const MOST_ROWS = 400; // of a list; the rest is named

export function layerView(look, layer) {
  const on = el("input", {type: "checkbox", checked: layer.on, onchange: () => { layer.on = on.checked; look.redraw(); }});
  const opacity = el("input", {type: "range", min: 0, max: 1, step: 0.05, value: layer.opacity,
    oninput: () => { layer.opacity = Number(opacity.value); look.redraw(); }});
  opacity.setAttribute("aria-label", `opacity of ${layer.name}`);
  const drop = el("button", {type: "button", class: "small", title: "take away", onclick: () => look.dropLayer(layer)}, "\u2715");
  const save = el("a", {href: `/api/look/file?id=${layer.volume.id}`, download: "", title: "download as NIfTI"}, "save");
  const box = el("section", {class: "layer"},
    el("header", {}, el("label", {class: "check"}, on, layer.name), el("span", {class: "layer-does"}, save, drop)), opacity);
  if (!layer.items) box.append(el("p", {class: "quiet"}, "counting"));
  else box.append(listView(look, layer));
  return box;
}

function sorted(layer) {
  const by = {number: (a, b) => a.value - b.value, name: (a, b) => a.name.localeCompare(b.name, undefined, {numeric: true}),
    score: (a, b) => b.score - a.score, volume: (a, b) => b.voxels - a.voxels,
    slice: (a, b) => (a.slice ?? -1) - (b.slice ?? -1)};
  return [...layer.items].sort(by[layer.sort] ?? by.number);
}

function listView(look, layer) {
  const columns = layer.masks ? [["number", "Mask"], ["score", "Score"], ["volume", "ml"], ["slice", "Seed"]] :
    [["name", "Label"], ["volume", "ml"]];
  const head = el("tr", {}, el("th", {}, el("input", {type: "checkbox", title: "all or none",
    checked: layer.hidden.size === 0, onchange: (event) => {
      layer.hidden = event.target.checked ? new Set() : new Set(layer.items.map((i) => i.value));
      layer.changed();
      look.showLayers();
    }})), ...columns.map(([key, text]) => el("th", {"aria-sort": layer.sort === key ? "ascending" : "none"},
    el("button", {type: "button", class: "sort", onclick: () => { layer.sort = key; look.showLayers(); }}, text))));
  const items = sorted(layer);
  const table = el("table", {class: "items"}, el("thead", {}, head),
    el("tbody", {}, ...items.slice(0, MOST_ROWS).map((i) => itemView(look, layer, i))));
  const parts = [table];
  if (items.length > MOST_ROWS) parts.push(el("p", {class: "quiet"}, `and ${items.length - MOST_ROWS} more`));
  if (!items.length) parts.push(el("p", {class: "quiet"}, layer.masks ? "no masks" : "no labels"));
  return el("div", {class: "items-box"}, ...parts);
}

function itemView(look, layer, item) {
  const on = el("input", {type: "checkbox", checked: !layer.hidden.has(item.value), onchange: () => {
    if (on.checked) layer.hidden.delete(item.value);
    else layer.hidden.add(item.value);
    layer.changed();
  }});
  on.setAttribute("aria-label", `show ${item.name}`);
  const color = el("input", {type: "color", value: hex(layer.color(item.value)), oninput: () => {
    layer.setColor(item.value, fromHex(color.value));
    look.redraw();
  }});
  color.setAttribute("aria-label", `colour of ${item.name}`);
  const go = el("button", {type: "button", class: "go", title: "go there", onclick: () => choose(look, layer, item)}, item.name);
  const cell = (text) => el("td", {class: "number"}, text);
  const row = el("tr", {}, el("td", {}, on, color), el("td", {}, go));
  if (layer.masks) row.append(cell(item.score.toFixed(2)));
  row.append(cell(item.ml < 10 ? item.ml.toFixed(2) : item.ml.toFixed(0)));
  if (layer.masks) row.append(cell(item.slice === undefined ? "" : `${"xyz"[item.axis]} ${item.slice + 1}`));
  row.classList.toggle("chosen", layer.chosen === item.value);
  row.style.setProperty("--color", css(layer.color(item.value)));
  return row;
}

export function choose(look, layer, item) {
  layer.chosen = layer.chosen === item.value ? null : item.value;
  layer.changed();
  if (layer.chosen !== null) look.goto(toWorld(layer.volume.affine, item.at));
  look.showLayers();
}
