#!/usr/bin/env python3
"""Artifacts and actions that somebody made up, every digest in them right: test_forged.py MASSFLOW
COUNTING.so TAKE. Each is refused by `cache import`; and where it lies in a cache all the same (TAKE puts it
there), by `run`, `show` and `report`."""
import hashlib
import html
import os
import shutil
import struct
import sys

from harness import Massflow, main

TAKE = os.path.abspath(sys.argv[3])
MAGIC = b"massflow export 1\n"
GRAPH = """massflow: 1
cases: [{count: 1, id: "a"}]
stages:
  patient: {use: phantom.volume, each: case, with: {size: [32, 32, 32], spacing: [6, 6, 6], seed: 1}}
  found: {use: slic.masks, each: case, in: {volume: patient.volume},
          with: {sizes: [16, 24], merge_thresholds: [3], edge_threshold: 4, min_edge_fraction: 0.9, min_voxels: 150}}
  kept: {use: masks.nms, each: case, in: {masks: found}, with: {min_voxels: 150, pool: 1}}
  sample: {use: mass.prepare, each: case, in: {volume: patient.volume, masks: kept},
           with: {spacing: [6, 6, 6], min_size: [32, 32, 32], window_low: -150, window_high: 250}}
  views: {use: augment.views, in: {samples: "sample[*]"},
          with: {patch_size: [32, 32, 32], margin: 0, masks: 2, ones_mask_prob: 0, visible_only: true, seed: 1}}
  encoder: {use: mass.train, in: {pairs: views}, with: {channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1],
            pos_embed_size: 32, steps: 1, batch_size: 1, lr: 0.002, seed: 1}}
  organs: {use: mass.segment, each: case, in: {model: encoder, references: patient.volume,
           labels: patient.labels, query: patient.volume}, with: {spacing: [6, 6, 6], patch_size: [32, 32, 32],
           normalize: scan, window_low: -150, window_high: 250}}
"""


# ---- the format, see move.c and record.c ----------------------------------------------------------

def number(value):
    return struct.pack("<q", value)


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return number(len(value)) + value


def sha(value):
    return hashlib.sha256(value).digest()


class Cut:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self):
        return struct.unpack("<q", self.take(8))[0]

    def text(self):
        return self.take(self.number())

    def numbers(self):
        return [self.number() for _ in range(self.number())]

    def digests(self):
        return [self.take(32) for _ in range(self.number())]


class Array:
    def __init__(self, cut):
        self.name, self.dtype, self.shape = cut.text(), cut.text(), cut.numbers()
        self.ragged, self.rows, self.digests = cut.number(), cut.number(), cut.digests()
        self.row_digests = cut.digests() if self.ragged else []

    def pack(self):
        out = text(self.name) + text(self.dtype) + number(len(self.shape)) + b"".join(map(number, self.shape))
        out += number(self.ragged) + number(self.rows)
        out += number(len(self.digests)) + b"".join(self.digests)
        return out + (number(len(self.row_digests)) + b"".join(self.row_digests) if self.ragged else b"")


class Artifact:
    """Attributes are (name, kind, packed value), in order of name as arrays are."""

    def __init__(self, record):
        cut = Cut(record)
        assert cut.text() == b"massflow artifact 1"
        self.type, self.attributes, self.made = cut.text().decode(), [], []
        for _ in range(cut.number()):
            name, kind = cut.text(), cut.number()
            if kind == 1:
                value = cut.take(8)
            else:
                size = cut.number()
                value = number(size) + cut.take(size * (8 if kind == 2 else 1))
            self.attributes.append([name, kind, value])
        self.arrays = [Array(cut) for _ in range(cut.number())]
        assert self.pack() == record

    def pack(self):
        out = text("massflow artifact 1") + text(self.type) + number(len(self.attributes))
        out += b"".join(text(name) + number(kind) + value for name, kind, value in self.attributes)
        return out + number(len(self.arrays)) + b"".join(array.pack() for array in self.arrays)

    def __getitem__(self, name):
        return next(array for array in self.arrays if array.name == name.encode())

    def chunk(self, raw):
        self.made.append(raw)
        return sha(raw)

    def reals(self, name, *values):
        for attribute in self.attributes:
            if attribute[0] == name.encode():
                attribute[2] = number(len(values)) + struct.pack(f"<{len(values)}d", *values)

    def offsets(self, name, values, rows=None):
        """Of an array of rows: where they begin, and bytes that are all 1."""
        array, size = self[name], max(values[-1], 0)
        array.shape, array.rows = [size], len(values) - 1 if rows is None else rows
        array.digests = [self.chunk(struct.pack(f"<{len(values)}q", *values))]
        array.row_digests = [self.chunk(b"\xff" * size)] if size else []

    def boxes(self, *box):
        self["box"].digests = [self.chunk(struct.pack("<6i", *box) * self["box"].shape[0])]


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    assert data.startswith(MAGIC)
    at, sections = len(MAGIC), []
    while at < len(data):
        size, = struct.unpack_from("<Q", data, at + 1)
        sections.append((data[at:at + 1], data[at + 9:at + 9 + size]))
        at += 9 + size
    return sections[:-1]


def write(path, sections):
    data = MAGIC + b"".join(letter + struct.pack("<Q", len(body)) + body for letter, body in sections)
    with open(path, "wb") as file:
        file.write(data + b"z" + struct.pack("<Q", 32) + sha(data))


def chunk(raw):
    return b"c", sha(raw) + number(len(raw)) + b"\0" + raw


class Action:
    def __init__(self, body):
        cut = Cut(body)
        self.key, self.device, self.stage, self.components = cut.take(32), cut.text(), cut.text(), cut.text()
        self.cost = cut.take(16)
        self.outputs = [[cut.text(), cut.number(), cut.take(32)] for _ in range(cut.number())]

    def pack(self):
        out = self.key + text(self.device) + text(self.stage) + text(self.components) + self.cost
        return out + number(len(self.outputs)) + b"".join(
            text(port) + number(at) + artifact for port, at, artifact in self.outputs)


# ---- what is made up ------------------------------------------------------------------------------

# Each: what it does to an artifact of the type, and what is said of it.
def shape(name, *sides, raw=None):
    def forge(a):
        a[name].shape = list(sides)
        if raw is not None:
            a[name].digests = [a.chunk(raw)] if raw else []
    return forge


def grid(*sides):
    return lambda a: a.reals("size", *sides)


def fewer_rows(a):
    size = 32 ** 3 // 8
    a["bits"].rows = 1
    a.offsets("bits", [0, size])


def no_bits(a):
    rows = a["bits"].rows
    a.boxes(0, 0, 0, 32, 32, 32)
    a.offsets("bits", [0] * (rows + 1))


def falling(a):
    rows = a["bits"].rows
    a.offsets("bits", [0, 64] + [32] * (rows - 2) + [64])


def rows_without_end(a):
    piece = a.chunk(bytes(4 << 20))
    a["bits"].rows, a["bits"].shape = (1 << 28) - 1, [0]
    a["bits"].digests, a["bits"].row_digests = [piece] * 512, []
    for array, sides in (("box", [6]), ("score", []), ("seed", [2])):
        size = ((1 << 28) - 1) * 4 * max(sides, default=1)
        a[array].shape = [(1 << 28) - 1, *sides]
        a[array].digests = [piece] * (size >> 22) + [a.chunk(bytes(size % (4 << 20)))]


def columns(a):
    for attribute in a.attributes:
        if attribute[0] == b"columns":
            attribute[2] = text("\t".join(f"c{i}" for i in range(40)))


def longer_column(a):
    a["column.0"].rows += 1
    a["column.0"].digests = [a.chunk(bytes(8 * (a["column.0"].rows + 1)))]
    a["column.0"].shape, a["column.0"].row_digests = [0], []


def small_tensors(a):
    one = a.chunk(struct.pack("<f", 1))
    for array in a.arrays:
        array.shape, array.digests = [1], [one]


GRID = "[z = 32, y = 32, x = 32]"
FORGED = {
    "a volume of a larger grid": ("volume", grid(512, 512, 512), "array 'voxels' of a volume has the shape "
                                  "[32, 32, 32], not [z = 512, y = 512, x = 512]"),
    "labels of a larger grid": ("labels", grid(512, 512, 512), "array 'voxels' of a labels has the shape "
                                "[32, 32, 32], not [z = 512, y = 512, x = 512]"),
    "a volume of one voxel": ("volume", shape("voxels", 1, 1, 1, raw=b"\1\0"), "array 'voxels' of a volume "
                              f"has the shape [1, 1, 1], not {GRID}"),
    "a volume in a row": ("volume", shape("voxels", 32 ** 3), "array 'voxels' of a volume has the shape "
                          f"[32768], not {GRID}"),
    "an empty volume with sides": ("volume", shape("voxels", 0, 2 ** 30, 2 ** 20, raw=b""), "array 'voxels' "
                                   f"of a volume has the shape [0, 1073741824, 1048576], not {GRID}"),
    "a grid without a number": ("volume", grid(float("nan"), 1e300, -5), "attribute 'size' of a volume is "
                                "not finite"),
    "a grid that overflows": ("volume", grid(2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1), "a volume of "
                              "2.14748e+09 x 2.14748e+09 x 2.14748e+09 voxels, which are more than 2^31"),
    "a grid without spacing": ("volume", lambda a: a.reals("spacing", 0, 0, 0), "a volume with a spacing of "
                               "0 x 0 x 0 mm"),
    "a sample of one voxel": ("sample", shape("image", 1, 1, 1, raw=struct.pack("<f", 1)), "array 'image' of "
                              f"a sample has the shape [1, 1, 1], not {GRID}"),
    "a box whose voxels overflow": ("sample", lambda a: a.boxes(0, 0, 0, 2 ** 30, 2 ** 30, 16), "mask 0 of a "
                                    "sample has a box outside its grid"),
    "a box outside of the grid": ("masks", lambda a: a.boxes(0, 0, 100000, 8, 8, 100008), "mask 0 of a masks "
                                  "has a box outside its grid"),
    "a box before the grid": ("masks", lambda a: a.boxes(-1, 0, 0, 8, 8, 8), "mask 0 of a masks has a box "
                              "outside its grid"),
    "an empty box": ("masks", lambda a: a.boxes(4, 0, 0, 4, 8, 8), "mask 0 of a masks has a box outside its "
                     "grid"),
    "a box without bits": ("masks", no_bits, "mask 0 of a masks has 0 bytes of bits for a box of 32768 "
                           "voxels"),
    "fewer bits than boxes": ("masks", fewer_rows, "array 'bits' of a masks has 1 rows, not [k = 4]"),
    "offsets that fall": ("masks", falling, "array 'bits' of artifact ID (masks) has offsets that are not "
                          "sound"),
    "rows without end": ("masks", rows_without_end, "arrays of a masks have more than 16777216 rows"),
    "columns that are not there": ("table", columns, "a table names 40 columns; 'column.5' is missing"),
    "tensors of another model": ("model", small_tensors, "not an Iris model: encoder.inc.conv1.weight has "
                                 "another shape than [channels,1,3,3,3]"),
}
# Which output of which stage is of the type, and what reads it.
PLACES = {"volume": ("phantom.volume", "volume", "patient.volume", "found"),
          "labels": ("phantom.volume", "labels", "patient.labels", "organs"),
          "masks": ("slic.masks", "masks", "found", "kept"),
          "sample": ("mass.prepare", "sample", "sample", "encoder"),
          "table": ("phantom.volume", "facts", "patient.facts", None),
          "model": ("mass.train", "model", "encoder.model", "organs")}


class Forged(Massflow):
    ONE_FOLDER = True

    def prepare(self):
        self.write("graph.yaml", GRAPH)
        for words in (["run", "graph.yaml"], ["cache", "export", "all.mfx"]):
            self.ended(super().line(*words))
        type(self).sound = read(self.path("all.mfx"))

    def line(self, *words):
        return [*super().line(*words), "--cache", "w"]

    def ask(self, query):
        return super().ask(query, cache="w")

    def tearDown(self):
        for name in ("w", "f.mfx", "o.html"):
            path = self.path(name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.remove(path)

    def forge(self, stage, port, forge, chosen=lambda action: True):
        """Changes the artifact of that output; keeps the actions above it and itself. Its id and key."""
        artifacts, actions, made, new, key = [], [], [], None, None
        wanted = next(d for letter, body in self.sound if letter == b"x"
                      for p, _, d in Action(body).outputs
                      if Action(body).stage == stage.encode() and p == port.encode())
        for letter, body in self.sound:
            if letter == b"a":
                if body[:32] == wanted:
                    a = Artifact(body[33:])
                    forge(a)
                    made, new = a.made, sha(a.pack())
                    body = new + body[32:33] + a.pack()
                artifacts.append((letter, body))
        for letter, body in self.sound:
            if letter != b"x":
                continue
            action = Action(body)
            for output in action.outputs:
                if output[2] == wanted:
                    output[2] = new
                    if action.stage == stage.encode():
                        key = action.key
            actions.append((letter, action.pack()))
            if action.stage == stage.encode():
                break
        chunks = [(letter, body) for letter, body in self.sound if letter == b"c"]
        known = {body[:32] for _, body in chunks}
        chunks += [chunk(raw) for raw in {sha(raw): raw for raw in made if sha(raw) not in known}.values()]
        write(self.path("f.mfx"), chunks + artifacts + actions)
        return new.hex(), key.hex()

    def take(self):
        self.ended([TAKE, "w", "f.mfx"])

    def refused(self, kind):
        type_, forge, why = FORGED[kind]
        stage, port, shown, reader = PLACES[type_]
        made, key = self.forge(stage, port, forge)
        why = why.replace("ID", made[:12])
        out = self.massflow("cache", "import", "f.mfx", code=1)
        self.assertIn(f"refused: {stage} (action {key[:12]}): {port}, artifact {made[:12]}: {why}\n", out)
        self.assertIn("massflow: error: 1 action of 'f.mfx' was refused: massflow did not make what it holds\n"
                      "  none of them was imported; a run computes them here\n", out)
        self.assertEqual(self.ask(f"SELECT (SELECT count(*) FROM action WHERE hex(key) = '{key.upper()}'), "
                                   f"(SELECT count(*) FROM artifact WHERE hex(id) = '{made.upper()}')"),
                         [(0, 0)])
        shutil.rmtree(self.path("w"))
        # It lies there all the same.
        self.take()
        said = why if why.startswith("array 'bits' of artifact") else \
            f"artifact {made[:12]} contradicts itself: {'a model: ' if type_ == 'model' else ''}{why}"
        if reader:
            out = self.massflow("run", "graph.yaml", reader, code=1)
            self.assertIn(said, out)
            self.assertIn(" 1 failed", out)
        self.assertIn(f"massflow: error: {said}", self.massflow("show", "graph.yaml", shown, code=1))
        self.massflow("report", "graph.yaml", "-o", "o.html")
        page = html.unescape(self.read("o.html"))
        if port != "model":  # of a model the page shows nothing that is in it
            self.assertIn(said, page)


    # ---- actions ----

    def import_changed(self, change, code=1):
        """Imports the export with this done to the action of phantom.volume."""
        sections = []
        for letter, body in self.sound:
            if letter == b"x":
                action = Action(body)
                if action.stage == b"phantom.volume":
                    change(action)
                    self.key = action.key.hex()[:12]
                body = action.pack()
            sections.append((letter, body))
        write(self.path("f.mfx"), sections)
        return self.massflow("cache", "import", "f.mfx", code=code)

    def test_an_output_of_another_type(self):
        def swap(action):
            ports = {output[0]: output for output in action.outputs}
            ports[b"volume"][2], ports[b"labels"][2] = ports[b"labels"][2], ports[b"volume"][2]
        out = self.import_changed(swap)
        self.assertIn(f"refused: phantom.volume (action {self.key}): output 'labels' is a volume, not a "
                      "labels\n", out)
        self.assertEqual(self.ask("SELECT count(*) FROM action WHERE stage = 'phantom.volume'"), [(0,)])
        shutil.rmtree(self.path("w"))
        sections = read(self.path("f.mfx"))
        write(self.path("f.mfx"), [s for s in sections if s[0] != b"x"] +
              [s for s in sections if s[0] == b"x" and Action(s[1]).stage == b"phantom.volume"])
        self.take()
        out = self.massflow("run", "graph.yaml", "found", code=1)
        self.assertRegex(out, r"input 'volume' \(patient\[case=a\]\): artifact [0-9a-f]{12} is a labels, not "
                              r"a volume\n  massflow did not make it: delete the cache it came with\n")
        self.massflow("show", "graph.yaml", "patient.volume")
        self.massflow("report", "graph.yaml", "-o", "o.html")

    def test_a_key_of_another_stage(self):
        def rename(action):
            action.stage = b"slic.masks"
        out = self.import_changed(rename)
        self.assertIn(f"refused: slic.masks (action {self.key}): its key is not one of slic.masks\n", out)

    def test_an_output_in_two_places(self):
        def move(action):
            action.outputs[0][1] = 1
        port = next(Action(b).outputs[0][0].decode() for l, b in self.sound
                    if l == b"x" and Action(b).stage == b"phantom.volume")
        out = self.import_changed(move)
        self.assertIn(f"refused: phantom.volume (action {self.key}): output '{port}' is there more than once\n",
                      out)

    def test_actions_that_cannot_be_read(self):
        def twice(action):
            action.outputs.append(action.outputs[0])

        def time(value):
            def change(action):
                action.cost = struct.pack("<d", value) + action.cost[8:]
            return change

        def memory(action):
            action.cost = action.cost[:8] + number(-1)

        def nowhere(action):
            action.outputs[0][2] = bytes(32)

        def components(action):
            action.components = b"{}"
        for change, why in ((twice, "an action names an output twice"),
                            (time(-0.0), "an action took less than no time or memory"),
                            (time(float("nan")), "an action took less than no time or memory"),
                            (memory, "an action took less than no time or memory"),
                            (nowhere, "an action names an artifact that is not there"),
                            (components, "an action does not match its key")):
            self.assertEqual(self.import_changed(change),
                             f"massflow: error: while importing: 'f.mfx' is damaged: {why}\n")
            self.assertEqual(self.ask("SELECT (SELECT count(*) FROM action), (SELECT count(*) FROM artifact)"),
                             [(0, 0)])

    # ---- records ----

    def test_records_that_are_none(self):
        def swap(items):
            items[0], items[1] = items[1], items[0]

        def of_bits(field, value):
            return lambda a: setattr(a["bits"], field, value)
        for forge in (lambda a: swap(a.attributes), lambda a: swap(a.arrays),
                      lambda a: a.attributes.append(a.attributes[-1]), lambda a: a.arrays.append(a.arrays[-1]),
                      lambda a: setattr(a["box"], "name", b"bo\0"), lambda a: setattr(a["box"], "rows", 3),
                      lambda a: setattr(a["box"], "shape", [-4, 6]),
                      lambda a: setattr(a["box"], "shape", [2 ** 32, 2 ** 32]),
                      lambda a: setattr(a["box"], "shape", [0, 2 ** 62, 2 ** 62]),
                      lambda a: setattr(a["box"], "shape", [1] * 7),
                      lambda a: setattr(a["box"], "digests", a["box"].digests * 2),
                      of_bits("ragged", 2), of_bits("rows", -1), of_bits("rows", 2 ** 60), of_bits("dtype", b"f32"),
                      of_bits("shape", [2 ** 62]), of_bits("shape", [-1])):
            self.forge("slic.masks", "masks", forge)
            self.assertEqual(self.massflow("cache", "import", "f.mfx", code=1),
                             "massflow: error: while importing: 'f.mfx' is damaged: the record of an artifact "
                             "can't be read\n")

    def test_a_chunk_of_another_size(self):
        """The record lies about a chunk that others name too: they keep it."""
        def narrow(a):
            a["voxels"].dtype = b"u8"
        made, key = self.forge("phantom.volume", "volume", narrow)
        out = self.massflow("cache", "import", "f.mfx", code=1)
        self.assertRegex(out, fr"refused: phantom.volume \(action {key[:12]}\): volume, artifact {made[:12]}: "
                              r"chunk [0-9a-f]{12} has 65536 bytes, not 32768\n")
        shutil.rmtree(self.path("w"))
        self.take()
        out = self.massflow("run", "graph.yaml", "found", code=1)
        self.assertRegex(out, fr"array 'voxels' of artifact {made[:12]} \(volume\): chunk [0-9a-f]{{12}} has not "
                              r"the 32768 bytes that are looked for in it\n")
        self.assertIn("no damage found\n", self.massflow("cache", "verify"))


def add(number_, kind):
    def test(self):
        self.refused(kind)
    setattr(Forged, f"test_{number_:02}_{kind.replace(' ', '_')}", test)


for index, name in enumerate(FORGED):
    add(index, name)


if __name__ == "__main__":
    main(3)
