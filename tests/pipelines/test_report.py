#!/usr/bin/env python3
"""Pictures of graphs and results, and the report: test_report.py MASSFLOW COUNTING.so"""
import base64
import html.parser
import os
import re
import struct
import xml.dom.minidom
import zlib

from harness import Pipeline, main

NASTY = "<script>alert('x')</script>&\"<b>"
VOID = {"meta", "img", "br"}

GRAPH = """massflow: 1
params: {suffix: "!"}
cases:
  glob: scans/{id}.txt
stages:
  text: {use: count.load, each: case, with: {path: "${case.path}"}}
  more: {use: count.add, each: case, in: {text: text}, with: {suffix: "${suffix}"}}
  all: {use: count.join, in: {texts: "more[*]"}}
  numbers: {use: count.numbers}
  rows: {use: count.collect, in: {items: numbers}, with: {count: 20}}
"""

SCANS = """massflow: 1
cases: {count: 2}
stages:
  scan: {use: phantom.volume, each: case, with: {size: [24, 24, 16], spacing: [8, 8, 8]}}
  found: {use: slic.masks, each: case, in: {volume: scan.volume}, with: {sizes: [30]}}
"""


class Page(html.parser.HTMLParser):
    """Well formed, and what it is made of."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.sources = [], {}, [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def pixels(data):
    """The rows of an RGB PNG, 8 bits, not interlaced."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    body, at = b"", 8
    while at < len(data):
        length, = struct.unpack(">I", data[at:at + 4])
        if data[at + 4:at + 8] == b"IDAT":
            body += data[at + 8:at + 8 + length]
        at += 12 + length
    raw, rows, last = zlib.decompress(body), [], bytearray(3 * width)
    for y in range(height):
        kind, row = raw[y * (3 * width + 1)], bytearray(raw[y * (3 * width + 1) + 1:
                                                            (y + 1) * (3 * width + 1)])
        for i in range(3 * width):
            left, up = row[i - 3] if i >= 3 else 0, last[i]
            corner = last[i - 3] if i >= 3 else 0
            if kind == 4:
                guess = left + up - corner
                near = min((abs(guess - left), 0, left), (abs(guess - up), 1, up),
                           (abs(guess - corner), 2, corner))[2]
            else:
                near = (0, left, up, (left + up) // 2)[kind]
            row[i] = (row[i] + near) & 255
        rows.append([tuple(row[i:i + 3]) for i in range(0, 3 * width, 3)])
        last = row
    return rows


def colored(rows):
    return sum(max(p) - min(p) > 30 for row in rows for p in row)


def grey(rows):
    return sum(max(p) - min(p) < 3 and 60 < p[0] < 250 for row in rows for p in row)


class Pictures(Pipeline):
    def setUp(self):
        super().setUp()
        self.write("graph.yaml", SCANS)
        self.massflow("run")

    def draw(self, *words):
        self.assertEqual(self.massflow("show", *words, "-o", "p.png"), "p.png\n")
        return pixels(self.read_bytes("p.png"))

    def test_slices(self):
        rows = self.draw("scan[case=001].volume", "--slice", "z=7")
        self.assertEqual((len(rows), len(rows[0])), (512, 512))
        self.assertEqual(colored(rows), 0)
        self.assertGreater(grey(rows), 20000)
        # 24 x 16 voxels of one size, seen from the side.
        rows = self.draw("scan[case=001].volume", "--slice", "y=0")
        self.assertEqual((len(rows), len(rows[0])), (342, 512))
        rows = self.draw("scan[case=001].volume", "--slice", "x")
        self.assertGreater(len(rows[0]), 3 * 256)

    def test_labels_and_masks_lie_over_their_scan(self):
        for node in ("scan[case=001].labels", "found[case=001]"):
            rows = self.draw(node, "--slice", "z=7")
            self.assertGreater(colored(rows), 1000)
            self.assertGreater(grey(rows), 5000)
        # The scan of another case is not theirs, though its grid is the same.
        self.change("update artifact set present = 0 where id in (select a.id from artifact a "
                    "join output o on o.artifact = a.num join action x on x.num = o.action join "
                    "run_node n on n.key = x.key where n.node = 'scan[case=001]' and "
                    "o.port = 'volume')")
        rows = self.draw("found[case=001]", "--slice", "z=7")
        self.assertGreater(colored(rows), 1000)
        self.assertLess(grey(rows), 120)  # the number of the slice, R and L

    def test_files(self):
        self.massflow("get", "scan[case=000].volume", "-o", "scan.nii.gz")
        self.assertRegex(self.bare("show", "scan.nii.gz"),
                         r"^volume\n  direction .*\n(.*\n)+  voxels +i16 \[16, 24, 24\]  min ")
        self.assertEqual(self.bare("show", "scan.nii.gz", "--slice", "z=3", "-o", "f.png"), "f.png\n")
        self.assertGreater(grey(pixels(self.read_bytes("f.png"))), 20000)
        self.write("graph.yaml", "massflow: 1\nstages:\n  m: {use: mass.init, with: {channels: "
                   "[8, 16, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32}}\n")
        self.massflow("run")
        self.massflow("get", "m", "-o", "m.safetensors")
        self.assertRegex(self.bare("show", "m.safetensors"), r"^model\n  architecture +iris\n(.*\n)*"
                                                             r"  encoder\S+ +f32 \[[\d, ]+\]  min ")

    def test_refusals(self):
        self.write("notes.txt", "x")
        self.assertEqual(self.bare("show", "notes.txt", code=2),
                         "massflow: error: no plugin reads the file notes.txt by its name\n"
                         "  scans and .safetensors files can be shown; parts of a result are named "
                         "with their graph: massflow show GRAPH NODE\n")
        node = "scan[case=000].volume"
        self.assertEqual(self.massflow("show", node, "--slice", "z", code=2),
                         "massflow: error: a picture needs a file to go to: --slice z -o FILE.png\n")
        self.assertEqual(self.massflow("show", node, "--slice", "w=1", "-o", "p.png", code=1),
                         "massflow: error: 'w=1' names no slice\n  an axis z, y or x for several "
                         "slices, or one of them: z=40\n")
        self.assertEqual(self.massflow("show", node, "--slice", "z=16", "-o", "p.png", code=1),
                         "massflow: error: there is no slice 16 across z: they go from 0 to 15\n")
        self.assertEqual(self.massflow("show", "scan[case=000].facts", "-o", "p.png", code=1),
                         "massflow: error: no plugin draws a table\n")
        self.assertFalse(os.path.exists(self.path("p.png")))


class Graphs(Pipeline):
    def svg(self, *words):
        self.massflow("graph", "--svg", "-o", "g.svg", *words)
        text = self.read("g.svg")
        xml.dom.minidom.parseString(text)
        return text

    def test_states(self):
        self.write("graph.yaml", GRAPH)
        text = self.svg()
        for words in (">text</text>", ">count.load</text>", ">\u00d7 3</text>",
                      ">stream&lt;features&gt;</text>"):
            self.assertIn(words, text)
        self.assertNotIn("cached", text)  # there is no cache yet
        self.massflow("run", "more")
        text = self.svg()
        self.assertEqual(text.count(">3 cached</text>"), 2)
        self.assertEqual(text.count(">to run</text>"), 3)  # all, rows, and the legend
        text = self.svg("--set", "suffix=?")
        self.assertIn(">3 to run</text>", text)
        self.assertIn(">undecided</text>", text)
        self.assertEqual(self.massflow("graph", "--svg", "--dot", code=2),
                         "massflow: error: --dot and --svg exclude each other\n")


class Report(Pipeline):
    def report(self, *words):
        self.assertEqual(self.massflow("report", "-o", "r.html", *words), "r.html\n")
        text = self.read("r.html")
        page = Page(text)
        # Nothing is fetched, nothing runs.
        self.assertNotIn("script", page.tags)
        self.assertEqual(page.tags.get("link", 0), 0)
        for source in page.sources:
            self.assertRegex(source, r"^(#|data:image/png;base64,)")
        self.assertEqual(set(re.findall(r"https?://[^\"]*", text)), {"http://www.w3.org/2000/svg"})
        return text, " ".join(" ".join(page.text).split()), page

    def test_before_any_run(self):
        self.write("graph.yaml", GRAPH)
        _, words, _ = self.report()
        self.assertIn("Not all of this graph has been computed: 8 of 8 nodes are to be run or "
                      "undecided. What is shown below is what there is.", words)
        self.assertIn("This graph has not been run with this cache.", words)

    def test_texts_of_users_are_no_markup(self):
        self.write("graph.yaml", GRAPH.replace("massflow: 1\n", f"massflow: 1 # {NASTY}\n"))
        self.write("scans/b.txt", "BAD \x01\x1b[31m</td>\n")
        self.massflow("run", "--set", f"suffix={NASTY}", code=1)
        text, words, _ = self.report("--set", f"suffix={NASTY}")
        self.assertNotIn("<script", text)
        self.assertNotIn("<b>\"", text)
        self.assertIn(NASTY, words)  # in the command, the parameter and the file
        self.assertIn("more[case=b] failed: the text holds 'BAD'", words)
        self.assertNotIn("\x1b", text)

    def test_everything(self):
        self.write("graph.yaml", GRAPH)
        self.massflow("run")
        self.massflow("run")
        text, words, page = self.report()
        self.assertIn("All results are in the cache and belong to this graph file, its parameters "
                      "and the code of this massflow.", words)
        self.assertRegex(words, r"Run 1, started .* massflow \d\S+, \d+ worker slots?: done in "
                                r".* s; 8 done\. Runs after it did nothing for these results\.")
        self.assertIn("massflow run graph.yaml", words)
        self.assertIn("all table case text a text a! b text b! c text c!", words)
        self.assertRegex(words, r"more\[case=a\] text \u2190 text\[case=a\] [0-9a-f]{12} "
                                r"[0-9a-f]{12} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, run 1, \d+ ms")
        self.assertRegex(words, r"text\[case=a\] path \u2190 a\.txt [0-9a-f]{12} [0-9a-f]{12}")
        self.assertIn("count.add version 1 refuse BAD ; suffix !", words)
        self.assertIn(GRAPH.split("\n")[5].strip(), words)
        self.assertGreaterEqual(page.tags["svg"], 2)
        self.assertIn("<title>more[case=a] \u2013 done, ", text)

    def test_a_lane_a_worker(self):
        self.write("graph.yaml", GRAPH)
        self.massflow("run", "text")
        self.assertNotIn(">this process</text>", self.report()[0])
        self.change("update run_node set place = 'n1:4711' where node = 'text[case=b]'")
        self.change("update run_node set place = 'n2:<7>' where node = 'text[case=c]'")
        text, words, _ = self.report()
        self.assertIn("2 nodes ran on 2 workers.", words)
        lanes = re.findall(r'<text x="8" y="(\d+)" fill="#5a6470">(.*?)</text>', text)
        self.assertEqual([(name, (int(y) - 12) % 15) for y, name in lanes],
                         [("this process", 0), ("n1:4711", 0), ("n2:&lt;7&gt;", 0)])
        self.assertIn("<title>text[case=b] on n1:4711 \u2013 done, ", text)
        self.assertRegex(self.massflow("log"), r"\n  2 nodes ran on 2 workers\n(.*\n)+"
                                               r" +0:\d\d\.\d{3}  done      text\[case=b\]  \(\d+ ms on n1:4711\)\n")
        self.assertIn(" on worker n1:4711\n", self.massflow("log", "text[case=b]"))

    def test_the_run_is_that_of_these_parameters(self):
        self.write("graph.yaml", GRAPH)
        self.massflow("run")
        self.massflow("run", "--set", "suffix=?")
        self.assertIn("Run 1, started", self.report()[1])
        self.assertIn("Run 2, started", self.report("--set", "suffix=?")[1])
        self.assertIn("Run 1, started", self.report("--set", "suffix=new")[1])  # read these texts
        self.write("scans/a.txt", "another\n")
        self.write("scans/b.txt", "and another\n")
        self.write("scans/c.txt", "and one more\n")
        self.massflow("run", "numbers", "rows", "--cache", "other")
        self.write("graph.yaml", GRAPH.replace("count: 20", "count: 21"))
        self.assertIn("No run with this cache made any of these results.",
                      self.report("--cache", "other")[1])

    def test_pictures(self):
        self.write("graph.yaml", SCANS)
        self.massflow("run")
        text, words, page = self.report()
        self.assertEqual(page.tags["img"], 5)  # a volume, two labels, two masks
        self.assertIn("found[case=001] masks", words)
        data = re.findall(r"data:image/png;base64,([^\"]*)", text)
        labels = pixels(base64.b64decode(data[1], validate=True))
        self.assertGreater(colored(labels), 1000)
        self.assertGreater(grey(labels), 5000)
        self.assertIn("scan facts node lesion volume_ml", words)
        self.assertEqual(self.massflow("report", code=2), "massflow: error: where to? massflow "
                         "report graph.yaml -o report.html\n")
        self.assertEqual(self.massflow("report", "-o", "nowhere/r.html", code=1),
                         "massflow: error: nowhere/r.html: No such file or directory\n")


    def test_what_is_damaged_is_said(self):
        self.write("graph.yaml", SCANS)
        self.massflow("run")
        for name in ("cache.db", "chunks.db"):
            self.change("update chunk_data set bytes = zeroblob(length(bytes))", file=name)
        _, words, page = self.report()
        self.assertEqual(page.tags.get("img", 0), 0)
        self.assertIn("scan[case=000] can't be shown: ", words)
        self.assertIn("Provenance", words)


if __name__ == "__main__":
    main(2)
