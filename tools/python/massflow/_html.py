"""Graphs, plans and results as notebooks show them. All that comes from files is escaped."""
import base64
import html
import struct
import zlib

COLORS = {"cached": "#2f8f83", "to run": "#e0912f", "undecided": "#a9b0b8", "failed": "#b3362b",
          "blocked": "#b3362b", "stream": "#7a86b8"}
SHOWN = 20  # rows of a table


def _table(head, rows, more=0):
    cells = "".join(f"<th style='text-align:left'>{html.escape(str(cell))}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td style='text-align:left'>{cell}</td>" for cell in row) + "</tr>"
                   for row in rows)
    end = f"<div>and {more} more</div>" if more > 0 else ""
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>{end}"


def _state(state):
    return f"<span style='color:{COLORS.get(state, 'inherit')}'>●</span> {html.escape(state)}"


def graph(g):
    stages = g.stages
    rows = [(html.escape(s.name), html.escape(s.use), len(s.nodes), html.escape(s.summary)) for s in stages]
    return f"<b>{html.escape(g.path)}</b>: {len(g.cases)} cases" + _table(("stage", "use", "nodes", ""), rows)


def plan(p):
    rows = [(html.escape(stage), count, _state(state), html.escape(why)) for stage, state, count, why in p.by_stage()]
    return _table(("stage", "nodes", "state", "why"), rows)


def result(r):
    rows = [(html.escape(node), f"<pre style='margin:0'>{html.escape(text or '')}</pre>")
            for node, text in list(r.failures.items())[:SHOWN]]
    failed = _table(("failed", ""), rows, len(r.failures) - SHOWN) if rows else ""
    return f"<div>{html.escape(str(r))}</div>{failed}"


# ---- pictures ----------------------------------------------------------------------------------

def _png(rgb):
    """A PNG file of u8 [h, w, 3]."""
    h, w = rgb.shape[:2]
    rows = b"".join(b"\0" + rgb[y].tobytes() for y in range(h))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def _picture(rgb, width, height, words, left="", right=""):
    source = base64.b64encode(_png(rgb)).decode()
    return (f"<figure style='display:inline-block;margin:4px;text-align:center'><div style='display:flex;"
            f"align-items:center'>{left}<img alt='{html.escape(words)}' src='data:image/png;base64,{source}' "
            f"style='width:{width:.0f}px;height:{height:.0f}px;image-rendering:auto'>{right}</div>"
            f"<figcaption>{html.escape(words)}</figcaption></figure>")


def _colors(numpy, labels):
    """Labels told apart; 0 is black."""
    values = labels.astype("int64")
    rgb = numpy.stack([(values * step + shift) % 200 + 55 for step, shift in ((67, 10), (131, 90), (193, 160))], -1)
    rgb[values == 0] = 0
    return rgb.astype("uint8")


def _gray(numpy, voxels, low, high):
    scaled = (voxels.astype("float32") - low) / max(high - low, 1e-6)
    return numpy.repeat((numpy.clip(scaled, 0, 1) * 255).astype("uint8")[..., None], 3, -1)


# The letters of index axes' ends, by the world axis that an index axis is nearest to: at low, at high indices.
ENDS = (("L", "R"), ("P", "A"), ("I", "S"))


def _ends(direction, axis):
    """The letters at the low and the high end of an index axis (0 x, 1 y, 2 z)."""
    column = [direction[3 * row + axis] for row in range(3)]
    world = max(range(3), key=lambda row: abs(column[row]))
    low, high = ENDS[world]
    return (low, high) if column[world] > 0 else (high, low)


def _slices(volume):
    """The three middle slices; patients are seen from the front and from the feet: their right is at the left."""
    import numpy
    grid = volume.grid
    (nx, ny, nz), spacing, direction = grid["size"], grid["spacing"], grid["direction"]
    # What is across: its index axis, the two that are drawn (horizontal, vertical), as axes x y z.
    pictures, planes = [], ((2, 0, 1), (1, 0, 2), (0, 1, 2))
    size = (nx, ny, nz)
    found = []
    for across, horizontal, vertical in planes:
        lo, hi = [0, 0, 0], [nz, ny, nx]
        middle = size[across] // 2
        lo[2 - across], hi[2 - across] = middle, middle + 1
        plane = volume.box(lo, hi).squeeze(2 - across)  # [vertical, horizontal], indices rising
        found.append((across, horizontal, vertical, middle, plane))
    is_label = volume.type == "labels"
    together = numpy.concatenate([plane.ravel() for *_, plane in found])
    together = together[numpy.isfinite(together)] if together.dtype.kind == "f" else together
    low, high = numpy.percentile(together, (1, 99)) if together.size else (0, 1)
    if str(volume.attributes.get("modality", "")).upper() == "CT" and "intensities" not in volume.attributes:
        low, high = -160, 240  # HU: soft tissue
    for across, horizontal, vertical, middle, plane in found:
        left, right = _ends(direction, horizontal)
        bottom, top = _ends(direction, vertical)
        if left in "LP":  # R or A to the left
            plane, left, right = plane[:, ::-1], right, left
        if top in "SA":   # S or A to the top: rows are drawn downwards
            plane = plane[::-1]
        rgb = _colors(numpy, plane) if is_label else _gray(numpy, plane, low, high)
        w, h = size[horizontal] * spacing[horizontal], size[vertical] * spacing[vertical]
        scale = 220 / max(w, h)
        pictures.append(_picture(numpy.ascontiguousarray(rgb), w * scale, h * scale,
                                 f"{'xyz'[across]} = {middle}", left, right))
    return "".join(pictures)


# ---- results -----------------------------------------------------------------------------------

def _cell(value):
    return html.escape(f"{value:.6g}" if isinstance(value, float) else str(value))


def _rows(table):
    columns = table.to_dict()
    rows = [[_cell(value) for value in row] for row in list(zip(*columns.values()))[:SHOWN]]
    return _table(columns, rows, len(table) - SHOWN)


def _masks(masks):
    rows = [(mask.index, _cell(float(mask.score)), mask.voxels, html.escape(f"{list(mask.lo)} to {list(mask.hi)}"))
            for mask in masks[:SHOWN]]
    return _table(("mask", "score", "voxels", "box z y x"), rows, len(masks) - SHOWN)


def _body(a):
    if a.type == "table":
        return _rows(a)
    if a.type in ("masks", "seeds"):
        return _masks(a)
    if a.type == "file":
        return f"<div>{html.escape(a.file_name)}, {html.escape(a.media_type)}, {len(a)} bytes</div>"
    if a.type == "text":
        return f"<pre>{html.escape(str(a))}</pre>"
    try:
        if a.type in ("volume", "labels"):
            return _slices(a)
        if a.type == "image":
            rgb = a.array()
            return _picture(rgb, rgb.shape[1], rgb.shape[0], "")
    except ImportError as error:
        return f"<div>{html.escape(str(error))}</div>"
    return ""


def artifact(a):
    arrays = a.arrays
    rows = [(html.escape(name), kind.dtype,
             html.escape(str(list(kind.shape)) if kind.rows is None else f"{kind.rows} rows"))
            for name, kind in list(arrays.items())[:SHOWN]]
    facts = f"<details><summary>arrays</summary>{_table(('name', 'type', 'shape'), rows, len(arrays) - SHOWN)}</details>"
    return f"<b>{html.escape(a.type)}</b> {html.escape(a.name)}{_body(a)}{facts}"
