// chart.js - lines over steps on a canvas, with the values under the pointer or the cursor keys.
import {el, put} from "./dom.js";

// Told apart by the colour-blind (Okabe and Ito, 2008), on light and dark.
export const COLORS = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8a8d00", "#7b6fd0",
  "#a05a2c", "#5f7a8a", "#c23b6b", "#3d9b35"];

const LEFT = 52, RIGHT = 8, TOP = 6, BOTTOM = 20;

export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "\u2013";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(5)));
}

// Round steps of about `count` in [low, high].
function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const list = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) list.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return list;
}

function extent(lines, key, good) {
  let low = Infinity, high = -Infinity;
  for (const line of lines)
    for (const v of line[key])
      if (v !== null && good(v)) {
        if (v < low) low = v;
        if (v > high) high = v;
      }
  return low > high ? null : [low, high];
}

// Exponential moving average with the bias of its beginning taken out (Kingma and Ba, 2015).
export function smooth(values, weight) {
  if (!weight) return values;
  let sum = 0, share = 0;
  return values.map((v) => {
    if (v === null) return null;
    sum = weight * sum + (1 - weight) * v;
    share = weight * share + (1 - weight);
    return sum / share;
  });
}

// lines: [{label, color, x: [], y: []}] with x rising; null where there is no value.
export function chart(title) {
  const canvas = el("canvas", {tabindex: 0, role: "img", "aria-label": title});
  const tip = el("div", {class: "tip", hidden: true, role: "status"});
  const element = el("figure", {class: "chart"}, el("figcaption", {}, title), el("div", {class: "plot"}, canvas, tip));
  let lines = [], log = false, xs = null, ys = null, cursor = null, width = 0, height = 0;

  const scaleY = (v) => (log ? Math.log10(v) : v);
  const px = (x) => LEFT + (x - xs[0]) / (xs[1] - xs[0] || 1) * (width - LEFT - RIGHT);
  const py = (y) => height - BOTTOM - (scaleY(y) - ys[0]) / (ys[1] - ys[0] || 1) * (height - TOP - BOTTOM);

  function ranges() {
    const good = (v) => !log || v > 0;
    xs = extent(lines, "x", () => true);
    const found = extent(lines, "y", good);
    if (!found || !xs) return false;
    ys = found.map(scaleY);
    const room = (ys[1] - ys[0]) * 0.04 || Math.abs(ys[0]) * 0.04 || 1;
    ys = [ys[0] - room, ys[1] + room];
    return true;
  }

  function axes(c, style) {
    c.strokeStyle = style.getPropertyValue("--line");
    c.fillStyle = style.getPropertyValue("--soft");
    c.lineWidth = 1;
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const t of ticks(ys[0], ys[1], 4)) {
      const y = height - BOTTOM - (t - ys[0]) / (ys[1] - ys[0]) * (height - TOP - BOTTOM);
      c.beginPath();
      c.moveTo(LEFT, Math.round(y) + 0.5);
      c.lineTo(width - RIGHT, Math.round(y) + 0.5);
      c.stroke();
      c.fillText(number(log ? 10 ** t : t), LEFT - 5, y);
    }
    c.textAlign = "center";
    c.textBaseline = "top";
    for (const t of ticks(xs[0], xs[1], Math.max(2, Math.floor(width / 90))))
      c.fillText(number(t), Math.min(px(t), width - 14), height - BOTTOM + 5);
  }

  function stroke(c, line) {
    let open = false;
    c.strokeStyle = line.color;
    c.lineWidth = line.faint ? 1 : 1.6;
    c.globalAlpha = line.faint ? 0.3 : 1;
    c.beginPath();
    line.x.forEach((x, i) => {
      const y = line.y[i];
      if (y === null || (log && y <= 0)) {
        open = false;
        return;
      }
      if (open) c.lineTo(px(x), py(y));
      else c.moveTo(px(x), py(y));
      open = true;
    });
    c.stroke();
    if (line.x.length === 1 && open) c.fillRect(px(line.x[0]) - 2, py(line.y[0]) - 2, 4, 4);
    c.globalAlpha = 1;
  }

  function nearest(line, x) {
    let best = -1;
    for (let i = 0; i < line.x.length; i++)
      if (line.y[i] !== null && (best < 0 || Math.abs(line.x[i] - x) < Math.abs(line.x[best] - x))) best = i;
    return best;
  }

  function mark(c) {
    const rows = [];
    for (const line of lines) {
      if (line.faint) continue;
      const i = nearest(line, cursor);
      if (i < 0) continue;
      rows.push({line, x: line.x[i], y: line.y[i]});
      if (log && line.y[i] <= 0) continue;
      c.fillStyle = line.color;
      c.beginPath();
      c.arc(px(line.x[i]), py(line.y[i]), 3, 0, 2 * Math.PI);
      c.fill();
    }
    put(tip, rows.slice(0, 12).map(({line, x, y}) => {
      const swatch = el("i", {class: "swatch"});
      swatch.style.background = line.color;
      return el("div", {}, swatch, `${number(y)} `, el("span", {class: "soft"}, `at ${number(x)}`, lines.length > 1
        ? `, ${line.label}` : ""));
    }));
    tip.hidden = !rows.length;
    tip.style.left = px(cursor) > width / 2 ? "" : `${px(cursor) + 10}px`;
    tip.style.right = px(cursor) > width / 2 ? `${width - px(cursor) + 10}px` : "";
  }

  function draw() {
    const ratio = devicePixelRatio || 1, style = getComputedStyle(canvas);
    width = canvas.clientWidth;
    height = canvas.clientHeight;
    if (!width || !height) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const c = canvas.getContext("2d");
    c.scale(ratio, ratio);
    c.font = `10.5px ${style.getPropertyValue("--text")}`;
    tip.hidden = true;
    if (!ranges()) {
      c.fillStyle = style.getPropertyValue("--soft");
      c.fillText(log ? "no values above 0" : "no values yet", LEFT, height / 2);
      return;
    }
    axes(c, style);
    for (const line of lines) stroke(c, line);
    if (cursor !== null) mark(c);
  }

  function move(x) {
    cursor = x === null || !xs ? null : Math.min(xs[1], Math.max(xs[0], x));
    draw();
  }

  canvas.addEventListener("pointermove", (event) =>
    xs && move(xs[0] + (event.offsetX - LEFT) / (width - LEFT - RIGHT) * (xs[1] - xs[0])));
  canvas.addEventListener("pointerleave", () => move(null));
  canvas.addEventListener("blur", () => move(null));
  canvas.addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!step || !lines.length || !xs) return;
    event.preventDefault();
    const all = lines.find((line) => !line.faint)?.x ?? [];
    const at = cursor === null ? (step > 0 ? -1 : all.length) : nearest({x: all, y: all}, cursor);
    move(all[Math.min(all.length - 1, Math.max(0, at + step))] ?? null);
  });
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  return {
    element,
    set(now, inLog) {
      lines = now;
      log = inLog;
      draw();
    },
  };
}
