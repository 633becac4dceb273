// plane.js - one plane of a volume on a canvas: the slice, what lies over it, marks, crosshair, and
// what mouse and keys do there. What is shown is decided by its pane; sides are the server's.

import {windowTable} from "./colors.js";
import {el} from "./dom.js";

const MOST_ZOOM = 64;

/** Paints a slice as it is drawn: columns and rows of the plane, each backwards where it says so.
 * slice {data, rows, columns} in the order of the array: columns are the earlier axis of the grid. */
export function paint(canvas, slice, plane, pixelOf) {
  const turned = plane.column > plane.row;
  const width = turned ? slice.rows : slice.columns, height = turned ? slice.columns : slice.rows;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  const out = new Uint32Array(image.data.buffer), {data} = slice;
  let du = turned ? slice.columns : 1, dv = turned ? 1 : slice.columns, from = 0;
  if (plane.columnBack) { from += (width - 1) * du; du = -du; }
  if (plane.rowBack) { from += (height - 1) * dv; dv = -dv; }
  for (let v = 0, o = 0; v < height; v++, from += dv)
    for (let u = 0, i = from; u < width; u++, i += du) out[o++] = pixelOf(data[i]);
  context.putImageData(image, 0, 0);
}

export class Plane {
  /** pane: what it belongs to; see pane.js. number: 0 axial, 1 coronal, 2 sagittal. */
  constructor(pane, number, parent) {
    this.pane = pane;
    this.number = number;
    this.zoom = 1;         // of the size at which the slice fits
    this.shift = [0, 0];   // of the middle, in pixels of the screen
    this.direction = 1;
    this.drawn = -1;       // the slice that is seen
    this.image = document.createElement("canvas");
    this.over = document.createElement("canvas");
    this.canvas = el("canvas", {class: "plane-canvas", role: "img"});
    this.marks = Object.fromEntries(["left", "right", "top", "bottom"].map((side) =>
      [side, el("span", {class: `mark mark-${side}`})]));
    this.title = el("figcaption", {class: "plane-title"});
    this.note = el("span", {class: "plane-note", role: "status"});
    this.slider = el("input", {class: "plane-slider", type: "range", min: 0, step: 1, "aria-label": `${this.name} slice`});
    this.root = el("figure", {class: `plane plane-${this.name}`, tabindex: 0}, this.canvas, Object.values(this.marks),
      this.title, this.note, this.slider);
    parent.append(this.root);
    this.listen();
    new ResizeObserver(() => this.pane.look.redraw()).observe(this.root);
  }

  get plane() {
    return this.pane.planes[this.number];
  }

  get name() {
    return ["axial", "coronal", "sagittal"][this.number];
  }

  /* ---- where things are ---- */

  /** Pixels of the screen for a voxel along width and height, and the corner of the slice. */
  layout() {
    const {volume} = this.pane, p = this.plane;
    const w = this.root.clientWidth, h = this.root.clientHeight;
    const mm = [volume.size[p.column] * volume.spacing[p.column], volume.size[p.row] * volume.spacing[p.row]];
    const scale = Math.min(w / mm[0], h / mm[1]) * 0.94 * this.zoom; // pixels a millimetre
    const px = [scale * volume.spacing[p.column], scale * volume.spacing[p.row]];
    const size = [mm[0] * scale, mm[1] * scale];
    return {w, h, scale, px, size,
      corner: [(w - size[0]) / 2 + this.shift[0], (h - size[1]) / 2 + this.shift[1]]};
  }

  /** Index along column and row, with fractions, of a point of the screen. */
  indexAt(x, y) {
    const {px, corner} = this.layout(), p = this.plane, {size} = this.pane.volume;
    const u = (x - corner[0]) / px[0] - 0.5, v = (y - corner[1]) / px[1] - 0.5;
    return [p.columnBack ? size[p.column] - 1 - u : u, p.rowBack ? size[p.row] - 1 - v : v];
  }

  /** Point of the screen of the middle of a voxel. */
  pointOf(ijk) {
    const {px, corner} = this.layout(), p = this.plane, {size} = this.pane.volume;
    const u = p.columnBack ? size[p.column] - 1 - ijk[p.column] : ijk[p.column];
    const v = p.rowBack ? size[p.row] - 1 - ijk[p.row] : ijk[p.row];
    return [corner[0] + (u + 0.5) * px[0], corner[1] + (v + 0.5) * px[1]];
  }

  /** The voxel x y z, with fractions, under a point of the screen, on the slice that is shown. */
  voxelUnder(event) {
    const box = this.root.getBoundingClientRect();
    const [c, r] = this.indexAt(event.clientX - box.left, event.clientY - box.top);
    const ijk = [0, 0, 0], p = this.plane;
    ijk[p.across] = this.pane.index()[p.across];
    ijk[p.column] = c;
    ijk[p.row] = r;
    return ijk;
  }

  /* ---- drawing ---- */

  draw() {
    const {volume, look} = this.pane;
    if (!volume) return;
    const p = this.plane, index = this.pane.index(), slice = index && index[p.across];
    const key = `${volume.id} ${look.side}`;
    if (this.shown !== key) this.clear("loading"); // never a picture under the marks of another
    this.shown = key;
    this.fit();
    if (!index) {
      this.clear("the crosshair lies outside of this volume");
      return;
    }
    const layers = this.pane.layers.filter((l) => l.on && l.volume);
    const over = layers.flatMap((l) => [l.only, l.above].filter((only) => only !== null).map((only) => ({layer: l, volume: l.volume, only})));
    look.slices.want(this, [{volume}, ...over], p.across, slice, this.direction);
    const got = look.slices.get(volume, p.across, slice);
    if (!got) {
      const why = look.slices.trouble(volume, p.across, slice);
      if (why) this.clear(why);
      else this.note.textContent = "loading";
      return; // what is seen stays, under its own number
    }
    this.drawSlice(got, over, slice, index);
  }

  fit() {
    const ratio = window.devicePixelRatio || 1, w = this.root.clientWidth, h = this.root.clientHeight;
    if (this.canvas.width !== Math.round(w * ratio) || this.canvas.height !== Math.round(h * ratio)) {
      this.canvas.width = Math.round(w * ratio);
      this.canvas.height = Math.round(h * ratio);
    }
    this.context = this.canvas.getContext("2d");
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  clear(why) {
    this.fit();
    this.drawn = -1;
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, this.root.clientWidth, this.root.clientHeight);
    this.note.textContent = why;
    this.title.textContent = this.name;
    for (const [side, mark] of Object.entries(this.marks)) mark.textContent = this.plane[side];
  }

  drawSlice(got, layers, slice, index) {
    const {volume, look} = this.pane, p = this.plane, c = this.context;
    const {w, h, corner, size} = this.layout();
    const [low, high] = this.pane.window;
    paint(this.image, got, p, windowTable(volume.dtype, low, high));
    c.fillStyle = "#000";
    c.fillRect(0, 0, w, h);
    c.imageSmoothingEnabled = look.smooth;
    c.imageSmoothingQuality = "high";
    c.drawImage(this.image, corner[0], corner[1], size[0], size[1]);
    c.imageSmoothingEnabled = false;
    let missing = "";
    for (const {layer, only} of layers) {
      const over = look.slices.get(layer.volume, p.across, slice, only);
      if (!over) {
        missing = look.slices.trouble(layer.volume, p.across, slice, only) ?? "loading";
        continue;
      }
      paint(this.over, over, p, layer.pixelOf());
      c.globalAlpha = layer.opacity;
      c.drawImage(this.over, corner[0], corner[1], size[0], size[1]);
      c.globalAlpha = 1;
    }
    look.tool?.drawOver(this, slice);
    if (look.crosshair) this.drawCrosshair(index, w, h);
    this.drawn = slice;
    this.note.textContent = missing;
    this.title.textContent = `${this.name}  ${slice + 1} / ${volume.size[p.across]}`;
    if (this.slider.max !== String(volume.size[p.across] - 1)) this.slider.max = volume.size[p.across] - 1;
    this.slider.value = slice;
    this.canvas.setAttribute("aria-label", `${this.name} slice ${slice + 1}; left edge is ${p.left}, top is ${p.top}`);
  }

  drawCrosshair(index, w, h) {
    const [x, y] = this.pointOf(index), gap = 9, c = this.context;
    c.strokeStyle = "rgb(255 214 102 / 0.75)";
    c.lineWidth = 1;
    c.beginPath();
    for (const [a, b] of [[0, x - gap], [x + gap, w]]) {
      c.moveTo(a, Math.round(y) + 0.5);
      c.lineTo(b, Math.round(y) + 0.5);
    }
    for (const [a, b] of [[0, y - gap], [y + gap, h]]) {
      c.moveTo(Math.round(x) + 0.5, a);
      c.lineTo(Math.round(x) + 0.5, b);
    }
    c.stroke();
  }

  /* ---- mouse and keys ---- */

  scroll(steps) {
    const p = this.plane;
    this.direction = steps;
    this.pane.step(p.across, steps);
  }

  zoomAt(factor, x, y) {
    const before = this.indexAt(x, y), p = this.plane, ijk = [0, 0, 0];
    this.zoom = Math.min(MOST_ZOOM, Math.max(0.25, this.zoom * factor));
    ijk[p.column] = before[0];
    ijk[p.row] = before[1];
    const [nx, ny] = this.pointOf(ijk);
    this.shift = [this.shift[0] + x - nx, this.shift[1] + y - ny];
    this.pane.look.redraw();
  }

  reset() {
    this.zoom = 1;
    this.shift = [0, 0];
    this.pane.look.redraw();
  }

  point(event) {
    const ijk = this.voxelUnder(event), {size} = this.pane.volume;
    this.pane.goto(ijk.map((v, i) => Math.min(size[i] - 1, Math.max(0, Math.floor(v + 0.5)))));
  }

  /** What a drag does: the button and the keys that are held decide. */
  dragKind(event) {
    if (event.button === 2 || (event.button === 0 && event.shiftKey)) return "window";
    if (event.button === 1 || (event.button === 0 && event.altKey)) return "pan";
    return event.button === 0 ? "point" : null;
  }

  drag(kind, event, dx, dy) {
    if (kind === "point") this.point(event);
    if (kind === "pan") {
      this.shift = [this.shift[0] + dx, this.shift[1] + dy];
      this.pane.look.redraw();
    }
    if (kind === "window") this.pane.dragWindow(dx, dy);
  }

  listen() {
    const {root} = this;
    let wheel = 0, kind = null, last = null;
    root.addEventListener("contextmenu", (event) => event.preventDefault());
    root.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (!this.pane.volume) return;
      if (event.ctrlKey) {
        const box = root.getBoundingClientRect();
        this.zoomAt(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
        return;
      }
      // A notch of a wheel is one slice; a touchpad has to travel as far as a notch.
      wheel += event.deltaMode === 0 ? event.deltaY / 60 : event.deltaY;
      const steps = Math.trunc(wheel);
      wheel -= steps;
      if (steps) this.scroll(Math.max(-8, Math.min(8, steps)));
    }, {passive: false});
    root.addEventListener("pointerdown", (event) => {
      if (event.target === this.slider || !this.pane.volume) return;
      root.focus();
      this.pane.look.activate(this);
      if (this.pane.look.tool?.down(this, event)) return;
      kind = this.dragKind(event);
      if (!kind) return;
      event.preventDefault();
      root.setPointerCapture(event.pointerId);
      last = [event.clientX, event.clientY];
      if (kind === "point") this.point(event);
    });
    root.addEventListener("pointermove", (event) => {
      if (!this.pane.volume) return;
      if (this.pane.look.tool?.move(this, event)) return;
      if (!kind) return;
      this.drag(kind, event, event.clientX - last[0], event.clientY - last[1]);
      last = [event.clientX, event.clientY];
    });
    for (const name of ["pointerup", "pointercancel"])
      root.addEventListener(name, (event) => {
        kind = null;
        this.pane.look.tool?.up(this, event);
      });
    root.addEventListener("dblclick", (event) => {
      if (event.target !== this.slider && !this.pane.look.tool) this.pane.look.enlarge(this);
    });
    root.addEventListener("focus", () => this.pane.look.activate(this));
    this.slider.addEventListener("input", () => {
      if (!this.pane.volume || !this.pane.index()) return;
      const p = this.plane, by = Number(this.slider.value) - this.pane.index()[p.across];
      if (by) this.scroll(by);
    });
  }
}
