// look.js - the part Look: three linked planes of a volume, labels and masks over it, a second volume
// beside it. All that is linked is linked by millimetres in the patient.

import {get, getBytes} from "./api.js";
import {Click} from "./click.js";
import {css} from "./colors.js";
import {el} from "./dom.js";
import {Example} from "./example.js";
import {sameGrid, toWorld, voxelAt, worldText} from "./geometry.js";
import {Layer} from "./layer.js";
import {layerView} from "./layer_list.js";
import {Pane} from "./pane.js";
import {Slices} from "./slices.js";
import {number, presetsOf} from "./windows.js";

export class Look {
  constructor(root) {
    this.root = root;
    this.side = localStorage.getItem("side") === "neurological" ? "neurological" : "radiological";
    this.smooth = true;
    this.crosshair = true;
    this.world = [0, 0, 0];
    this.layers = [];
    this.panes = [];
    this.active = null;
    this.tool = null;
    this.known = [];     // results that can be looked at: {label, id, type}
    this.volumes = new Map();
    this.slices = new Slices((path, signal) => getBytes(path, undefined, signal), () => this.redraw());
    this.build();
    root.addEventListener("keydown", (event) => this.key(event));
  }

  build() {
    this.pick = el("select", {id: "look-volume", onchange: () => this.guard(() => this.openVolume(this.pick.value))});
    this.beside = el("select", {id: "look-beside", onchange: () => this.guard(() => this.openBeside(this.beside.value))});
    this.windowBox = el("div", {class: "look-windows"});
    this.low = el("input", {type: "number", step: "any", onchange: () => this.typeWindow()});
    this.high = el("input", {type: "number", step: "any", onchange: () => this.typeWindow()});
    this.low.setAttribute("aria-label", "black at");
    this.high.setAttribute("aria-label", "white at");
    this.addLayer = el("select", {id: "look-layer", onchange: () => this.guard(() => this.openLayer(this.addLayer.value))});
    this.layerBox = el("div", {class: "look-layers"});
    this.sideButton = el("button", {id: "look-side", type: "button", onclick: () => this.turnSide()});
    this.crossBox = el("input", {type: "checkbox", checked: true, onchange: () => { this.crosshair = this.crossBox.checked; this.redraw(); }});
    this.smoothBox = el("input", {type: "checkbox", checked: true, onchange: () => { this.smooth = this.smoothBox.checked; this.redraw(); }});
    this.error = el("p", {class: "look-error", role: "alert", hidden: true});
    this.click = new Click(this);
    this.example = new Example(this, this.click);
    this.stage = el("div", {class: "look-stage"});
    this.status = el("output", {class: "look-status"});
    const keys = el("details", {class: "look-keys"}, el("summary", {}, "Mouse and keys"), el("dl"));
    for (const [k, what] of [["Drag", "move the crosshair"], ["Wheel, \u2191 \u2193", "next slice"], ["Page \u2191 \u2193", "ten slices"],
      ["Home, End", "first and last slice"], ["Right drag, Shift + drag", "window: across for width, up and down for level"],
      ["Ctrl + wheel, + \u2212", "zoom"], ["Alt + drag, middle drag", "move the picture"], ["0", "picture fits again"],
      ["1 \u2013 6", "windows"], ["N", "other side"], ["C", "crosshair"], ["Double click, Enter", "one plane alone"]])
      keys.lastChild.append(el("dt", {}, k), el("dd", {}, what));
    const panel = el("aside", {class: "look-panel"},
      el("label", {}, "Volume", this.pick), el("label", {}, "Beside it", this.beside),
      el("h3", {}, "Window"), this.windowBox,
      el("div", {class: "look-range"}, el("label", {}, "from", this.low), el("label", {}, "to", this.high)),
      el("h3", {}, "Over it"), el("label", {class: "quiet"}, "Add labels or masks", this.addLayer), this.layerBox,
      this.click.root, this.example.root,
      el("h3", {}, "View"), this.sideButton,
      el("label", {class: "check"}, this.crossBox, "Crosshair"),
      el("label", {class: "check"}, this.smoothBox, "Smooth pixels"), keys);
    this.root.classList.add("look");
    this.root.append(panel, el("div", {class: "look-main"}, this.error, this.stage, this.status));
    this.showSide();
  }

  /* ---- what there is ---- */

  /** Runs what may fail, and says so on the page. */
  async guard(work) {
    this.error.hidden = true;
    try {
      await work();
    } catch (error) {
      this.error.textContent = error.message;
      this.error.hidden = false;
    }
  }

  /** Takes the list of results that the desk has. What is open stays open. */
  async refresh(desk) {
    const outputs = new Map(desk.nodes.map((n) => [n.name, n.outputs.length]));
    const known = [...desk.results("volume", "labels", "masks", "model")].map((o) => ({id: o.id, type: o.type,
      output: `${o.node}.${o.name}`, label: outputs.get(o.node) > 1 ? `${o.node}.${o.name}` : o.node}));
    if (JSON.stringify(known) === JSON.stringify(this.known)) return;
    this.known = known;
    this.showKnown();
    this.redraw(); // what is shown may be an earlier result by now
    this.click.showModels();
    this.example.refresh();
    const first = this.known.find((k) => k.type === "volume");
    if (!this.panes.length && first) await this.openVolume(first.id);
  }

  showKnown() {
    const fill = (select, types, none, chosen) => {
      const options = this.known.filter((k) => types.includes(k.type)).map((k) => el("option", {value: k.id}, k.label));
      if (chosen && !this.known.some((k) => k.id === chosen)) options.unshift(el("option", {value: chosen}, this.labelOf(chosen)));
      select.replaceChildren(el("option", {value: ""}, options.length ? none : "nothing yet: run the graph"), ...options);
      select.value = chosen ?? "";
    };
    fill(this.pick, ["volume"], "choose", this.panes[0]?.volume?.id);
    fill(this.beside, ["volume"], "none", this.panes[1]?.volume?.id);
    fill(this.addLayer, ["labels", "masks"], "choose", "");
  }

  labelOf(id) {
    return this.known.find((k) => k.id === id)?.label ?? `earlier result ${id.slice(0, 8)}`;
  }

  /** The case of the node whose result it is; null where there is none. */
  caseOf(id) {
    return /\[(?:[^\]]*,)?case=([^,\]]*)/.exec(this.known.find((k) => k.id === id)?.output ?? "")?.[1] ?? null;
  }

  async volume(id) {
    if (!this.volumes.has(id)) this.volumes.set(id, {...await get("/api/look/volume", {id}), id});
    return this.volumes.get(id);
  }

  /* ---- opening ---- */

  async openVolume(id) {
    if (!id) return;
    const volume = await this.volume(id);
    const inside = this.panes.length && voxelAt(volume, this.world);
    if (!this.panes.length) this.panes.push(new Pane(this, this.stage));
    this.panes[0].open(volume);
    if (!inside) this.world = toWorld(volume.affine, volume.size.map((n) => Math.floor(n / 2)));
    this.layers = this.layers.filter((l) => this.panes.some((p) => p.takes(l)));
    this.opened();
  }

  async openBeside(id) {
    this.panes.splice(1).forEach((p) => p.close());
    if (id && this.panes.length) {
      const volume = await this.volume(id);
      this.panes.push(new Pane(this, this.stage));
      this.panes[1].open(volume);
    }
    this.layers = this.layers.filter((l) => this.panes.some((p) => p.takes(l)));
    this.opened();
  }

  opened() {
    this.stage.classList.toggle("look-two", this.panes.length > 1);
    this.active = this.panes[0]?.planes3[0] ?? null;
    this.click.volumeChanged();
    this.showKnown();
    this.showWindow(this.panes[0]);
    this.showLayers();
    this.redraw();
  }

  async openLayer(id, name = this.labelOf(id)) {
    this.addLayer.value = "";
    if (!id || this.layers.some((l) => l.volume.id === id)) return null;
    const volume = await this.volume(id);
    const panes = this.panes.filter((p) => sameGrid(volume, p.volume)), of = this.caseOf(id);
    if (!panes.length)
      throw new Error(`${name} lies on other voxels than the volume that is shown. ` +
        "Show the volume that it was made from, here or beside.");
    const pane = panes.find((p) => of !== null && p.case === of) ?? panes[0];
    const layer = new Layer(this, volume, name, pane.case);
    this.layers.push(layer);
    this.redraw();
    await layer.list();
    this.showLayers();
    this.redraw();
    return layer;
  }

  /* ---- going ---- */

  goto(world) {
    this.world = world;
    this.redraw();
  }

  activate(plane) {
    this.active = plane;
    for (const pane of this.panes) for (const p of pane.planes3) p.root.classList.toggle("active", p === plane);
    this.showWindow(plane.pane);
  }

  enlarge(plane) {
    const alone = plane.root.classList.toggle("alone");
    this.stage.classList.toggle("look-alone", alone);
    for (const pane of this.panes) for (const p of pane.planes3) if (p !== plane) p.root.classList.remove("alone");
    this.redraw();
  }

  key(event) {
    const plane = this.active;
    if (!plane || !plane.pane.volume || event.target.matches("input:not([type=range]), select, textarea") ||
      event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.tool?.key(event)) return;
    const many = plane.pane.volume.size[plane.plane.across];
    const presets = presetsOf(plane.pane.volume), at = Number(event.key) - 1;
    const does = {
      ArrowUp: () => plane.scroll(1), ArrowDown: () => plane.scroll(-1), PageUp: () => plane.scroll(10),
      PageDown: () => plane.scroll(-10), Home: () => plane.scroll(-many), End: () => plane.scroll(many),
      "+": () => plane.zoomAt(1.25, plane.root.clientWidth / 2, plane.root.clientHeight / 2),
      "-": () => plane.zoomAt(0.8, plane.root.clientWidth / 2, plane.root.clientHeight / 2),
      0: () => plane.reset(), n: () => this.turnSide(), c: () => this.crossBox.click(),
    };
    let act = does[event.key];
    if (event.key === "Enter" && event.target === plane.root) act = () => this.enlarge(plane);
    if (presets[at]) act = () => plane.pane.setWindow(presets[at][1], presets[at][2]);
    if (!act || (event.target.matches("button, summary, input") && event.key === "Enter")) return;
    event.preventDefault();
    act();
  }

  /* ---- side ---- */

  turnSide() {
    this.side = this.side === "radiological" ? "neurological" : "radiological";
    localStorage.setItem("side", this.side);
    this.showSide();
    this.redraw();
  }

  showSide() {
    this.sideButton.textContent = this.side === "radiological" ? "Radiological: right is on the left" :
      "Neurological: right is on the right";
    this.sideButton.title = "The patient's right, in axial and coronal planes. Click for the other side (N).";
  }

  /* ---- window ---- */

  showWindow(pane) {
    if (!pane?.volume) return;
    const presets = presetsOf(pane.volume), [low, high] = pane.window;
    this.windowBox.replaceChildren(...presets.map(([name, a, b], i) => {
      const button = el("button", {type: "button", title: `${number(a)} to ${number(b)} (key ${i + 1})`,
        onclick: () => pane.setWindow(a, b)}, name);
      button.setAttribute("aria-pressed", a === low && b === high);
      return button;
    }));
    this.low.value = number(low);
    this.high.value = number(high);
  }

  typeWindow() {
    const low = Number(this.low.value), high = Number(this.high.value), pane = this.active?.pane;
    if (pane && high > low) pane.setWindow(low, high);
    else if (pane) this.showWindow(pane);
  }

  /* ---- lists ---- */

  showLayers() {
    this.example.refresh();
    this.layerBox.replaceChildren(...this.layers.map((l) => layerView(this, l)));
  }

  dropLayer(layer) {
    this.layers = this.layers.filter((l) => l !== layer);
    this.showLayers();
    this.redraw();
  }

  /* ---- drawing ---- */

  redraw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      for (const pane of this.panes)
        for (const p of pane.planes3)
          if (p.root.offsetParent) p.draw();
      this.showStatus();
    });
  }

  showStatus() {
    const lines = this.panes.filter((p) => p.volume).map((pane) => {
      const at = pane.index(), {volume} = pane;
      const parts = [el("span", {class: "look-name"}, this.labelOf(volume.id))];
      if (!at) return el("div", {}, ...parts, el("span", {}, "outside"));
      const value = pane.valueOf(volume);
      parts.push(el("span", {class: "look-voxel"}, `voxel ${at.join(", ")}`));
      if (volume.scan) {
        const own = voxelAt(volume.scan, this.world);
        if (own && own.some((v, i) => v !== at[i])) parts.push(el("span", {class: "look-own"}, `in the file ${own.join(", ")}`));
      }
      parts.push(el("span", {class: "look-mm"}, worldText(toWorld(volume.affine, at))));
      parts.push(el("span", {class: "look-value"}, value === null ? "\u2026" : `${number(value)} ${volume.unit ?? ""}`.trim()));
      for (const l of pane.layers.filter((x) => x.on)) {
        const v = pane.valueOf(l.volume, l.only);
        if (v && !l.hidden.has(v)) {
          const span = el("span", {class: "look-label"}, l.nameOf(v));
          span.style.setProperty("--color", css(l.color(v)));
          parts.push(span);
        }
      }
      return el("div", {}, ...parts);
    });
    this.status.replaceChildren(...lines);
  }
}

/* ---- as a part of the desk ------------------------------------------------------------------- */

let look = null;

export const title = "Look";

export function open(place, desk) {
  look = new Look(place);
  desk.addEventListener("nodes", () => look.guard(() => look.refresh(desk)));
  look.guard(() => look.refresh(desk));
}

export function show() {
  look.redraw();
}
