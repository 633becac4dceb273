// slices.js - slices of volumes: fetched ahead in batches, kept up to a limit, never a whole volume.

const HEADER = 32;
const BATCH_BYTES = 4 << 20; // of one answer, about
const MOST_BATCH = 32;       // slices
const AT_ONCE = 3;           // requests
const ARRAYS = {
  u8: Uint8Array, i8: Int8Array, u16: Uint16Array, i16: Int16Array, u32: Uint32Array,
  i32: Int32Array, f32: Float32Array,
};

/** The batch of slices in an answer of /api/look/slices: {axis, first, count, rows, columns, data}. */
export function readBatch(buffer) {
  const view = new DataView(buffer);
  const text = (at, n) => String.fromCharCode(...new Uint8Array(buffer, at, n)).replace(/\0+$/, "");
  if (buffer.byteLength < HEADER || text(0, 4) !== "MFS1") throw new Error("not an answer with slices");
  const kind = ARRAYS[text(4, 4)];
  const [axis, first, count, rows, columns] = [8, 12, 16, 20, 24].map((at) => view.getUint32(at, true));
  if (!kind || buffer.byteLength !== HEADER + count * rows * columns * kind.BYTES_PER_ELEMENT)
    throw new Error("slices that do not fit their header");
  return {axis, first, count, rows, columns, data: new kind(buffer, HEADER), bytes: buffer.byteLength};
}

export class Slices {
  /** fetchBytes(query, signal): a promise of an ArrayBuffer. changed(): something has arrived. */
  constructor(fetchBytes, changed, limit = 256 << 20) {
    this.fetchBytes = fetchBytes;
    this.changed = changed;
    this.limit = limit;
    this.kept = new Map();    // key -> batch, the one used last at the end
    this.bytes = 0;
    this.waiting = new Map(); // viewer -> [request], the most urgent first
    this.going = new Map();   // key -> AbortController
    this.failed = new Map();  // key -> message
    this.fetched = 0;
  }

  /** Slices of one batch of a volume across an axis. */
  batchOf(volume, axis) {
    const bytes = volume.size.reduce((n, v) => n * v, ARRAYS[volume.dtype].BYTES_PER_ELEMENT) / volume.size[axis];
    let count = MOST_BATCH;
    while (count > 1 && count * bytes > BATCH_BYTES) count /= 2;
    return count;
  }

  request(volume, axis, index, only) {
    const size = this.batchOf(volume, axis);
    const first = index - index % size;
    return {
      key: `${volume.id} ${only ?? "*"} ${axis} ${first}`, id: volume.id, axis, first, only,
      count: Math.min(size, volume.size[axis] - first), size,
    };
  }

  /** The slice {data, rows, columns} that is kept, or null. */
  get(volume, axis, index, only) {
    const r = this.request(volume, axis, index, only);
    const batch = this.kept.get(r.key);
    if (!batch) return null;
    this.kept.delete(r.key);
    this.kept.set(r.key, batch);
    const length = batch.rows * batch.columns, from = (index - batch.first) * length;
    return {data: batch.data.subarray(from, from + length), rows: batch.rows, columns: batch.columns};
  }

  /** Why the slice could not be fetched, or undefined. */
  trouble(volume, axis, index, only) {
    return this.failed.get(this.request(volume, axis, index, only).key);
  }

  /** What a viewer wants now, instead of what it wanted before: the slice, then those ahead of it in
   * the direction that it moves, then one batch behind. */
  want(viewer, volumes, axis, index, direction) {
    const list = [];
    const ahead = direction < 0 ? [0, -1, -2, -3, 1] : [0, 1, 2, 3, -1];
    for (const step of ahead)
      for (const {volume, only} of volumes) {
        const size = this.batchOf(volume, axis);
        const at = (Math.floor(index / size) + step) * size;
        if (at >= 0 && at < volume.size[axis]) list.push(this.request(volume, axis, at, only));
      }
    this.waiting.set(viewer, list);
    this.pump();
  }

  forget(viewer) {
    this.waiting.delete(viewer);
  }

  /** The most urgent requests of all viewers that are neither kept nor under way. */
  next() {
    for (let rank = 0; rank < 64; rank++) {
      let more = false;
      for (const list of this.waiting.values()) {
        const r = list[rank];
        more = more || list.length > rank;
        if (r && !this.kept.has(r.key) && !this.going.has(r.key) && !this.failed.has(r.key)) return r;
      }
      if (!more) return null;
    }
    return null;
  }

  pump() {
    while (this.going.size < AT_ONCE) {
      const r = this.next();
      if (!r) return;
      this.fetch(r);
    }
  }

  async fetch(r) {
    const stop = new AbortController();
    this.going.set(r.key, stop);
    const only = r.only == null ? "" : `&only=${r.only}`;
    try {
      const batch = readBatch(await this.fetchBytes(
        `/api/look/slices?id=${r.id}&axis=${r.axis}&first=${r.first}&count=${r.count}${only}`, stop.signal));
      if (batch.axis !== r.axis || batch.first !== r.first || batch.count !== r.count)
        throw new Error("other slices than those asked for");
      this.fetched++;
      this.keep(r.key, batch);
    } catch (error) {
      if (!stop.signal.aborted) this.failed.set(r.key, error.message);
    }
    this.going.delete(r.key);
    this.changed();
    this.pump();
  }

  keep(key, batch) {
    this.kept.set(key, batch);
    this.bytes += batch.bytes;
    for (const [old, b] of this.kept) {
      if (this.bytes <= this.limit || old === key) break;
      this.kept.delete(old);
      this.bytes -= b.bytes;
    }
  }

  /** Asks again for what failed. */
  retry() {
    this.failed.clear();
    this.pump();
  }

  close() {
    for (const stop of this.going.values()) stop.abort();
    this.waiting.clear();
    this.kept.clear();
    this.bytes = 0;
  }
}
