// layer.js - labels or masks over a volume: which of them are shown, and in which colours.

import {get} from "./api.js";
import {colorOf, pixel} from "./colors.js";

/** Labels or masks over a volume. */
export class Layer {
  /** over: the case of the volumes that it is drawn over. */
  constructor(look, volume, name, over) {
    Object.assign(this, {look, volume, name, case: over, on: true, opacity: 0.45, chosen: null, sort: "number"});
    this.hidden = new Set();  // values that are off
    this.colors = new Map();  // value -> [r, g, b] where it is not the usual one
    this.items = null;        // [{value, name, voxels, at, score, slice, axis}] once they are listed
    this.table = null;
  }

  /** Values of voxels are labels, or 1 + the number of a mask. */
  get masks() {
    return this.volume.kind === "masks";
  }

  color(value) {
    return this.colors.get(value) ?? colorOf(value);
  }

  setColor(value, rgb) {
    this.colors.set(value, rgb);
    this.table = null;
  }

  /** Masks that are shown, as the server wants them; undefined: all. What a hidden mask covers is seen. */
  get only() {
    if (!this.masks || !this.hidden.size || !this.items) return undefined;
    return this.items.filter((i) => !this.hidden.has(i.value)).map((i) => i.value - 1).sort((a, b) => a - b).join(",");
  }

  /** The mask that is chosen, alone: it lies above those that it overlaps. */
  get above() {
    return this.masks && this.chosen !== null && !this.hidden.has(this.chosen) ? String(this.chosen - 1) : null;
  }

  changed() {
    this.table = null;
    this.look.redraw();
  }

  pixelOf() {
    if (!this.table) {
      const known = new Map(), {chosen} = this;
      this.table = (value) => {
        if (!value) return 0;
        let p = known.get(value);
        if (p === undefined) {
          const off = this.hidden.has(value);
          p = off ? 0 : pixel(this.color(value), chosen === null || chosen === value ? 255 : 70);
          known.set(value, p);
        }
        return p;
      };
    }
    return this.table;
  }

  async list() {
    const ml = this.volume.spacing.reduce((a, b) => a * b, 1) / 1000;
    if (this.masks) {
      const {masks} = await get("/api/look/masks", {id: this.volume.id});
      this.items = masks.map((m) => ({...m, value: m.mask + 1, name: `mask ${m.mask}`, ml: m.voxels * ml}));
    } else {
      const {labels} = await get("/api/look/labels", {id: this.volume.id});
      this.items = labels.map((l) => ({...l, value: l.label, name: l.name ?? `label ${l.label}`, ml: l.voxels * ml}));
      for (const l of labels) if (l.color) this.colors.set(l.label, l.color);
    }
    this.table = null;
  }

  nameOf(value) {
    return this.items?.find((i) => i.value === value)?.name ?? (this.masks ? `mask ${value - 1}` : `label ${value}`);
  }
}
