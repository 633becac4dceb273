// geometry.js - voxels and millimetres. Indices and affines are those of the server: x y z, RAS+.

/** affine: 16 numbers, rows of a 4 x 4 matrix. */
export function toWorld(affine, ijk) {
  return [0, 1, 2].map((r) => affine[4 * r] * ijk[0] + affine[4 * r + 1] * ijk[1] +
    affine[4 * r + 2] * ijk[2] + affine[4 * r + 3]);
}

/** The voxel index, with fractions, of a place in the patient (Cramer's rule). */
export function toIndex(affine, xyz) {
  const m = (r, c) => affine[4 * r + c];
  const d = [0, 1, 2].map((r) => xyz[r] - affine[4 * r + 3]);
  const minor = (a, b, c, e) => a * e - b * c;
  const c00 = minor(m(1, 1), m(1, 2), m(2, 1), m(2, 2));
  const c01 = minor(m(1, 2), m(1, 0), m(2, 2), m(2, 0));
  const c02 = minor(m(1, 0), m(1, 1), m(2, 0), m(2, 1));
  const det = m(0, 0) * c00 + m(0, 1) * c01 + m(0, 2) * c02;
  const inverse = [
    c00, m(0, 2) * m(2, 1) - m(0, 1) * m(2, 2), m(0, 1) * m(1, 2) - m(0, 2) * m(1, 1),
    c01, m(0, 0) * m(2, 2) - m(0, 2) * m(2, 0), m(0, 2) * m(1, 0) - m(0, 0) * m(1, 2),
    c02, m(0, 1) * m(2, 0) - m(0, 0) * m(2, 1), m(0, 0) * m(1, 1) - m(0, 1) * m(1, 0)];
  return [0, 1, 2].map((i) =>
    (inverse[3 * i] * d[0] + inverse[3 * i + 1] * d[1] + inverse[3 * i + 2] * d[2]) / det);
}

/** Whether two volumes have the same voxels: sizes, and all corners within 0.01 mm. */
export function sameGrid(a, b) {
  if (a.size.some((n, i) => n !== b.size[i])) return false;
  for (let corner = 0; corner < 8; corner++) {
    const ijk = a.size.map((n, i) => (corner >> i & 1 ? n - 1 : 0));
    const p = toWorld(a.affine, ijk), q = toWorld(b.affine, ijk);
    if (p.some((v, i) => !(Math.abs(v - q[i]) <= 0.01))) return false;
  }
  return true;
}

/** Index rounded to a voxel; null where it lies outside of the volume. */
export function voxelAt(volume, xyz) {
  const at = toIndex(volume.affine, xyz).map((v) => Math.floor(v + 0.5));
  return at.every((v, i) => v >= 0 && v < volume.size[i]) ? at : null;
}

/** "R 12.0  P 4.5  S 30.1 mm": a place by its sides, which no convention of signs can turn round. */
export function worldText(xyz) {
  return xyz.map((v, i) => `${(v < 0 ? "LPI" : "RAS")[i]} ${Math.abs(v).toFixed(1)}`).join("  ") + " mm";
}
