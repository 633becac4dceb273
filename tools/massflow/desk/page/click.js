// click.js - the tool Click: points and a box on a slice show the object there, which then goes through
// the scan. The server keeps what the model sees of a slice, so that further points are quick.

import {get, post} from "./api.js";
import {colorOf, pixel} from "./colors.js";
import {el, put, seconds} from "./dom.js";
import {paint} from "./plane.js";

const BOX = 7; // pixels of the screen that the mouse moves before a click becomes a box

const MODES = {inside: "Inside", outside: "Outside", box: "Box"};

/** The mask of an answer of /api/click/slice, as a slice that can be painted. */
function maskOf({rows, columns, runs}) {
  const data = new Uint8Array(rows * columns);
  for (let i = 0; i < runs.length; i += 2) data.fill(1, runs[i], runs[i] + runs[i + 1]);
  return {data, rows, columns};
}

export class Click {
  constructor(look) {
    this.look = look;
    this.on = false;
    this.mode = "inside";
    this.number = 1;      // of the object
    this.prompts = null;  // {volume, output, axis, slice, points: [[x, y, z, label]], box}
    this.mask = null;     // on that slice
    this.layer = null;    // through the scan
    this.asked = 0;       // of requests: answers to older ones are not shown
    this.drag = null;
    this.over = document.createElement("canvas");
    this.build();
  }

  build() {
    this.start = el("button", {type: "button", id: "click-on", "aria-pressed": "false", onclick: () => this.toggle()}, "Click an object");
    this.model = el("select", {id: "click-model", onchange: () => this.begin()});
    this.modes = el("div", {class: "look-windows", role: "group", "aria-label": "what a click says"}, Object.entries(MODES).map(([mode, text]) =>
      el("button", {type: "button", "data-mode": mode, onclick: () => this.setMode(mode)}, text)));
    this.undo = el("button", {type: "button", onclick: () => this.back()}, "Undo");
    this.fresh = el("button", {type: "button", onclick: () => this.newObject()}, "New object");
    this.through = el("button", {type: "button", class: "main", id: "click-through", onclick: () => this.run()}, "Through the scan");
    this.stop = el("button", {type: "button", hidden: true, onclick: () => post("/api/click/stop")}, "Stop");
    this.note = el("p", {class: "quiet", role: "status", id: "click-note"});
    this.box = el("div", {class: "click-box", hidden: true}, el("label", {}, "Model", this.model), this.modes,
      el("div", {class: "look-windows"}, this.undo, this.fresh), el("div", {class: "look-windows"}, this.through, this.stop));
    this.root = el("div", {class: "look-tool"}, el("h3", {}, "Click"), this.start, this.box, this.note);
    this.showModels();
    this.setMode("inside");
  }

  say(text) {
    put(this.note, text);
  }

  showModels() {
    const chosen = this.model.value;
    put(this.model, el("option", {value: ""}, "small SAM 2 that comes along"),
      this.look.known.filter((k) => k.type === "model").map((k) => el("option", {value: k.output}, k.label)));
    this.model.value = chosen;
    if (this.model.selectedIndex < 0) this.model.value = "";
  }

  setMode(mode) {
    this.mode = mode;
    for (const b of this.modes.children) b.setAttribute("aria-pressed", b.dataset.mode === mode);
  }

  toggle() {
    this.on = !this.on;
    this.look.tool = this.on ? this : null;
    this.start.setAttribute("aria-pressed", this.on);
    this.box.hidden = !this.on;
    this.show();
    if (this.on) this.begin();
    else this.say("");
    this.look.redraw();
  }

  show() {
    const some = this.prompts && (this.prompts.points.length || this.prompts.box);
    this.through.disabled = !this.mask;
    this.undo.disabled = !some;
    this.fresh.disabled = !this.prompts && !this.layer;
    this.look.example?.refresh();
  }

  outputOf(volume) {
    return this.look.known.find((k) => k.id === volume.id)?.output;
  }

  /** What every request says: the scan and the model. */
  body(volume, more) {
    const model = this.look.known.find((k) => k.type === "model" && k.output === this.model.value);
    return {id: volume.id, volume: this.outputOf(volume), model: model?.output, model_id: model?.id, ...more};
  }

  volumeChanged() {
    this.forget();
    if (this.on) this.begin();
  }

  forget() {
    this.asked++;
    this.prompts = this.mask = this.layer = null;
    this.show();
    this.look.redraw();
  }

  newObject() {
    this.number++;
    this.forget();
    this.say("Click inside of an object, or draw a box around it.");
  }

  /** Makes the scan ready: its slices as the model sees them, and the model. */
  async begin() {
    const pane = this.look.panes[0], volume = pane?.volume;
    if (!volume) return;
    const plane = this.look.active?.pane === pane ? this.look.active : pane.planes3[0], axis = plane.plane.across;
    const slice = pane.index()?.[axis] ?? Math.floor(volume.size[axis] / 2);
    await this.work("preparing the scan", async () => {
      await post("/api/click/open", this.body(volume, {axis, slice}));
      this.say("Click inside of an object, or draw a box around it.");
    });
    if (this.prompts) this.ask();
  }

  /** Runs what takes a while, with its progress; what fails is said, in the note. */
  async work(text, what, note = this.note) {
    let going = true;
    const say = (words) => put(note, words);
    const tell = async () => {
      while (going) {
        await new Promise((done) => setTimeout(done, 400));
        const p = going ? await get("/api/click").catch(() => null) : null;
        if (going && p?.running) say(p.total > 0 ? `${text}: ${p.done} of ${p.total}` : text);
      }
    };
    say(text);
    tell();
    try {
      await what();
    } catch (error) {
      say(error.message);
    } finally {
      going = false;
    }
  }

  /* ---- prompts ---- */

  /** Whether a prompt may lie on the slice that a plane shows; else says where it may. */
  fits(plane) {
    const {pane} = plane, axis = plane.plane.across, slice = pane.index()?.[axis];
    if (slice === undefined || plane.drawn !== slice) return false;
    if (pane !== this.look.panes[0]) {
      this.say("Objects are clicked in the first volume, not in the one beside it.");
      return false;
    }
    const p = this.prompts;
    if (p && (p.axis !== axis || p.slice !== slice)) {
      this.say(`This object is clicked on ${"xyz"[p.axis]} slice ${p.slice + 1}. Points on other slices begin a new object.`);
      return false;
    }
    if (!p) this.prompts = {volume: pane.volume, axis, slice, points: [], box: null};
    return true;
  }

  clamp(ijk) {
    return ijk.map((v, i) => Math.min(this.prompts.volume.size[i] - 0.5, Math.max(-0.5, v)));
  }

  addPoint(plane, ijk, label) {
    if (!this.fits(plane)) return;
    const {size} = plane.pane.volume;
    if (ijk.some((v, i) => v < -0.5 || v > size[i] - 0.5)) return;
    this.prompts.points.push([...ijk, label]);
    this.ask();
  }

  setBox(plane, from, to) {
    if (!this.fits(plane)) return;
    this.prompts.box = [...this.clamp(from), ...this.clamp(to)];
    this.ask();
  }

  back() {
    const p = this.prompts;
    if (!p) return;
    if (p.points.length) p.points.pop();
    else p.box = null;
    if (p.points.length || p.box) this.ask();
    else this.forget();
  }

  async ask() {
    const p = this.prompts, asked = ++this.asked, began = performance.now();
    this.say("looking");
    this.show();
    this.look.redraw();
    try {
      const answer = await post("/api/click/slice", this.body(p.volume, {axis: p.axis, slice: p.slice, points: p.points, box: p.box ?? undefined}));
      if (asked !== this.asked) return;
      this.mask = maskOf(answer);
      this.took = (performance.now() - began) / 1000;
      this.say(answer.pixels ? `On this slice in ${seconds(this.took)}.` : "Nothing was found there.");
    } catch (error) {
      if (asked !== this.asked) return;
      this.mask = null;
      this.say(error.message);
    }
    this.show();
    this.look.redraw();
  }

  async run() {
    const p = this.prompts, {number} = this;
    this.stop.hidden = false;
    this.through.disabled = true;
    await this.work("through the scan", async () => {
      const answer = await post("/api/click/volume", this.body(p.volume, {axis: p.axis, slice: p.slice, points: p.points, box: p.box ?? undefined}));
      if (!answer.masks) {
        this.say("Nothing was found.");
        return;
      }
      const old = this.layer;
      this.say(`Through the scan in ${seconds(answer.seconds)}. It is kept in the cache; "save" writes it as NIfTI.`);
      const layer = await this.look.openLayer(answer.id, `object ${number}`);
      if (!layer) return;
      layer.setColor(1, colorOf(number));
      if (this.prompts === p) this.layer = layer;
      if (old && old !== layer) this.look.dropLayer(old);
      this.look.showLayers();
    });
    this.stop.hidden = true;
    this.show();
    this.look.redraw();
  }

  /* ---- what the planes tell ---- */

  down(plane, event) {
    if (event.button === 1 || event.altKey || (event.button === 0 && event.shiftKey)) return false;
    if (event.button === 2) { // without a drag it is a point outside; a drag is the window's
      this.drag = {plane, right: true, x: event.clientX, y: event.clientY};
      return false;
    }
    event.preventDefault();
    plane.root.setPointerCapture(event.pointerId);
    this.drag = {plane, x: event.clientX, y: event.clientY, from: plane.voxelUnder(event), to: null};
    return true;
  }

  moved(event) {
    return Math.hypot(event.clientX - this.drag.x, event.clientY - this.drag.y) > BOX;
  }

  move(plane, event) {
    const d = this.drag;
    if (!d || d.plane !== plane) return false;
    if (d.right) return false;
    if (d.to || this.moved(event)) {
      d.to = plane.voxelUnder(event);
      this.look.redraw();
    }
    return true;
  }

  up(plane, event) {
    const d = this.drag;
    this.drag = null;
    if (!d || d.plane !== plane || event.type !== "pointerup") return;
    if (d.right) {
      if (Math.hypot(event.clientX - d.x, event.clientY - d.y) <= BOX) this.addPoint(plane, plane.voxelUnder(event), 0);
    } else if (d.to) {
      this.setBox(plane, d.from, d.to);
    } else if (this.mode !== "box") {
      this.addPoint(plane, d.from, this.mode === "inside" ? 1 : 0);
    }
    this.look.redraw();
  }

  key(event) {
    const plane = this.look.active;
    const does = {i: () => this.addPoint(plane, plane.pane.index(), 1), o: () => this.addPoint(plane, plane.pane.index(), 0),
      Backspace: () => this.back()};
    if (!does[event.key] || !plane.pane.index()) return false;
    event.preventDefault();
    does[event.key]();
    return true;
  }

  /* ---- drawing ---- */

  drawOver(plane, slice) {
    const p = this.prompts, c = plane.context;
    if (this.drag?.to && this.drag.plane === plane) this.drawBox(plane, this.drag.from, this.drag.to);
    if (!p || plane.pane !== this.look.panes[0] || plane.plane.across !== p.axis || slice !== p.slice) return;
    if (this.mask) {
      const {corner, size} = plane.layout();
      paint(this.over, this.mask, plane.plane, (v) => (v ? pixel(colorOf(this.number), 150) : 0));
      c.drawImage(this.over, corner[0], corner[1], size[0], size[1]);
    }
    if (p.box) this.drawBox(plane, p.box.slice(0, 3), p.box.slice(3));
    for (const point of p.points) {
      const [x, y] = plane.pointOf(point);
      c.beginPath();
      c.arc(x, y, 5, 0, 2 * Math.PI);
      c.fillStyle = point[3] ? "#3ddc84" : "#ff5c5c";
      c.fill();
      c.strokeStyle = "#000";
      c.stroke();
      c.fillStyle = "#000"; // told apart without colours, too
      c.fillRect(x - 3, y - 0.75, 6, 1.5);
      if (point[3]) c.fillRect(x - 0.75, y - 3, 1.5, 6);
    }
  }

  drawBox(plane, a, b) {
    const [x0, y0] = plane.pointOf(a), [x1, y1] = plane.pointOf(b), c = plane.context;
    c.strokeStyle = "#3ddc84";
    c.lineWidth = 1.5;
    c.strokeRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
  }
}
