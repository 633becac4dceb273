// colors.js - colours of labels and masks, and the tables by which slices are painted.

/** Distinct colours for any number: steps of the golden angle, three lightnesses. [r, g, b] */
export function colorOf(number) {
  const hue = (number * 137.508 + 20) % 360, light = [62, 54, 72][number % 3];
  const s = 0.78, l = light / 100, c = (1 - Math.abs(2 * l - 1)) * s, h = hue / 60;
  const x = c * (1 - Math.abs(h % 2 - 1)), m = l - c / 2;
  const [r, g, b] = h < 1 ? [c, x, 0] : h < 2 ? [x, c, 0] : h < 3 ? [0, c, x] :
    h < 4 ? [0, x, c] : h < 5 ? [x, 0, c] : [c, 0, x];
  return [r, g, b].map((v) => Math.round(255 * (v + m)));
}

export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;
export const hex = (rgb) => "#" + rgb.map((v) => v.toString(16).padStart(2, "0")).join("");
export const fromHex = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));

/** One pixel as ImageData has it in a Uint32Array, on a little-endian machine. */
export const pixel = ([r, g, b], alpha = 255) => (alpha << 24 | b << 16 | g << 8 | r) >>> 0;

const GREYS = Uint32Array.from({length: 256}, (_, v) => pixel([v, v, v]));

/** value -> pixel, for slices of a volume. Narrow integers are looked up, all else is computed; what is
 * not a number stays clear. */
export function windowTable(dtype, low, high) {
  const span = Math.max(high - low, 1e-12);
  const grey = (v) => GREYS[v <= low ? 0 : v >= high ? 255 : Math.round((v - low) / span * 255)];
  const bits = {u8: 8, i8: 8, u16: 16, i16: 16}[dtype];
  if (!bits) return grey;
  const count = 1 << bits, table = new Uint32Array(count), signed = dtype[0] === "i";
  for (let i = 0; i < count; i++) table[i] = grey(signed && i >= count / 2 ? i - count : i);
  return (v) => table[v & (count - 1)];
}
