// windows.js - which values of a volume are black and which are white.

/** Centre and width in HU. */
const CT_WINDOWS = [["Soft tissue", 40, 400], ["Lung", -600, 1500], ["Bone", 400, 1800], ["Brain", 40, 80],
  ["Liver", 60, 150]];
const PERCENT_WINDOWS = [["1 - 99 %", "1", "99"], ["0.5 - 99.5 %", "0.5", "99.5"], ["5 - 95 %", "5", "95"],
  ["25 - 99.5 %", "25", "99.5"]];

/** [name, low, high] of windows that suit a volume, the usual one first. */
export function presetsOf(volume) {
  const r = volume.range, at = r.percentiles;
  const whole = ["All values", r.min, r.max];
  if (volume.modality === "CT" && (!volume.unit || volume.unit === "HU"))
    return [...CT_WINDOWS.map(([name, c, w]) => [name, c - w / 2, c + w / 2]), whole];
  const list = [...PERCENT_WINDOWS.map(([name, a, b]) => [name, at[a], at[b]]), whole];
  const other = list.filter(([, a, b], i) => b > a && !list.slice(0, i).some(([, c, d]) => a === c && b === d));
  return other.length ? other : [whole];
}

/** A value as it is shown and typed. */
export const number = (v) => (Number.isInteger(v) ? String(v) : Number(v.toPrecision(6)).toString());
