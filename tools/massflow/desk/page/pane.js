// pane.js - a volume of Look in its three planes, with its window.

import {el} from "./dom.js";
import {sameGrid, toIndex, toWorld, voxelAt} from "./geometry.js";
import {Plane} from "./plane.js";
import {presetsOf} from "./windows.js";

/** A volume in three planes. */
export class Pane {
  constructor(look, parent) {
    this.look = look;
    this.volume = null;
    this.case = null; // of its node; null: it has none, or it is not known
    this.window = [0, 1];
    this.root = el("section", {class: "pane"});
    parent.append(this.root);
    this.planes3 = [0, 1, 2].map((n) => new Plane(this, n, this.root));
  }

  get planes() {
    return this.volume[this.look.side];
  }

  /** Whether a layer is drawn over it: it lies on its voxels, and was put over a volume of its case. */
  takes(layer) {
    return sameGrid(layer.volume, this.volume) && layer.case === this.case;
  }

  get layers() {
    return this.look.layers.filter((l) => this.takes(l));
  }

  open(volume) {
    this.volume = volume;
    this.case = this.look.caseOf(volume.id);
    [, ...this.window] = presetsOf(volume)[0];
    for (const p of this.planes3) p.reset();
  }

  close() {
    for (const p of this.planes3) this.look.slices.forget(p);
    this.root.remove();
  }

  /** The voxel at the crosshair; null where that lies outside. */
  index() {
    return this.volume && voxelAt(this.volume, this.look.world);
  }

  goto(ijk) {
    this.look.goto(toWorld(this.volume.affine, ijk));
  }

  /** Goes by whole slices along an axis. What lies between voxels along the others stays. */
  step(axis, steps) {
    const at = toIndex(this.volume.affine, this.look.world);
    const to = Math.floor(at[axis] + 0.5) + steps;
    at[axis] = Math.min(this.volume.size[axis] - 1, Math.max(0, to));
    this.look.goto(toWorld(this.volume.affine, at));
  }

  dragWindow(dx, dy) {
    const [low, high] = this.window, r = this.volume.range;
    const unit = Math.max((r.max - r.min) / 1000, (high - low) / 400, 1e-9);
    const width = Math.max(unit, high - low + dx * unit), centre = (low + high) / 2 + dy * unit;
    this.setWindow(centre - width / 2, centre + width / 2);
  }

  setWindow(low, high) {
    this.window = [low, high];
    this.look.showWindow(this);
    this.look.redraw();
  }

  /** The value under the crosshair, of a volume or of a layer; null where it is not there yet. */
  valueOf(volume, only) {
    const index = this.index();
    if (!index) return null;
    for (const p of this.planes) {
      const slice = this.look.slices.get(volume, p.across, index[p.across], only);
      if (!slice) continue;
      const [a, b] = [0, 1, 2].filter((axis) => axis !== p.across);
      return slice.data[index[b] * slice.columns + index[a]];
    }
    return null;
  }
}
