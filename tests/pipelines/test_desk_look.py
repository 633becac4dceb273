#!/usr/bin/env python3
"""The part Look of massflow desk, with its tool Click, in a browser: test_desk_look.py MASSFLOW"""
import gzip
import math
import os
import struct

import harness
from desk import PHANTOMS
from page_of_desk import BROWSER, ActionChains, Page

SIZE = (20, 24, 16)
SPACING = (2, 2, 3)
RIGHT, FRONT, HEAD = 0, 1, 2


def turned(degrees):
    """About the long axis of the patient, then about the one from side to side."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    z, x = [[c, -s, 0], [s, c, 0], [0, 0, 1]], [[1, 0, 0], [0, c, -s], [0, s, c]]
    return [[sum(x[r][k] * z[k][j] for k in range(3)) for j in range(3)] for r in range(3)]


def affine_of(codes, degrees):
    """Rows of [3 x 4], RAS+ mm: axes grow to three letters, turned; the middle of the volume at 5, -7, 9."""
    turn, columns = turned(degrees), []
    for letter, spacing in zip(codes, SPACING):
        axis = "RAS".find(letter) if letter in "RAS" else "LPI".find(letter)
        sign = 1 if letter in "RAS" else -1
        columns.append([turn[r][axis] * sign * spacing for r in range(3)])
    middle = [(n - 1) / 2 for n in SIZE]
    return [[columns[j][r] for j in range(3)] + [(5, -7, 9)[r] - sum(columns[j][r] * middle[j] for j in range(3))]
            for r in range(3)]


def voxels_of(affine):
    """Bright to the right, the front and the head of the middle, by where each voxel lies."""
    for k in range(SIZE[2]):
        for j in range(SIZE[1]):
            for i in range(SIZE[0]):
                at = [sum(row[a] * v for a, v in enumerate((i, j, k))) + row[3] for row in affine]
                yield 1000 if all(v - m > -4 for v, m in zip(at, (5, -7, 9))) else 0


def millimetres(text):
    """R 12.0  P 4.5  S 30.1 mm: numbers, RAS+."""
    words = text.split()
    return [float(v) * (1 if letter in "RAS" else -1) for letter, v in zip(words[:6:2], words[1:6:2])]


# What is seen of the bright part: where its middle lies in the canvas, -1 to 1 to the right and downwards.
BRIGHT = """
const plane = document.querySelectorAll('.plane-' + arguments[0])[arguments[1]], canvas = plane.querySelector('canvas');
const {width, height} = canvas, data = canvas.getContext('2d').getImageData(0, 0, width, height).data;
let n = 0, x = 0, y = 0;
for (let i = 0; i < width * height; i++)
  if (data[4 * i] > 128) { n++; x += i % width; y += Math.floor(i / width); }
const mark = (side) => plane.querySelector('.mark-' + side).textContent;
return [n, x / n / width * 2 - 1, y / n / height * 2 - 1, mark('left'), mark('right'), mark('top'), mark('bottom')];
"""


@BROWSER
class Look(Page):
    def write_scan(self, name, codes, degrees=0):
        affine = affine_of(codes, degrees)
        header = bytearray(harness.nifti_header(SIZE, "h", SPACING))
        struct.pack_into("<12f", header, 280, *(v for row in affine for v in row))
        voxels = struct.pack(f"<{math.prod(SIZE)}h", *voxels_of(affine))
        with open(os.path.join(self.folder, name + ".nii.gz"), "wb") as file:
            file.write(gzip.compress(bytes(header) + voxels, 1))

    def show(self, select, label):
        """Chooses an option of a list, once it is there."""
        find = ("const o = [...document.getElementById(arguments[0]).options].find((e) => e.text === arguments[1]);"
                "if (!o) return false; o.parentNode.value = o.value; o.parentNode.dispatchEvent(new Event('change'));"
                "return true;")
        self.until(lambda: self.browser.execute_script(find, select, label), f"{label} can be chosen")

    def shown(self, label):
        """Until a volume is drawn."""
        self.until_text(".look-status .look-name", label)
        self.until(lambda: self.text(".plane-title").count("/") == 3 * len(self.all(".pane"))
                   and not self.text(".plane-note").strip(" |"), "all planes are drawn")

    def check_sides(self, right_on_left, pane=0):
        """The bright part, which is to the right, the front and the head, lies where the marks say."""
        for view, across, down in (("axial", RIGHT, FRONT), ("coronal", RIGHT, HEAD), ("sagittal", FRONT, HEAD)):
            count, x, y, left, right, top, bottom = self.browser.execute_script(BRIGHT, view, pane)
            self.assertGreater(count, 500)
            self.assertEqual((top[0], bottom[0]), ("RAS"[down], "LPI"[down]))
            self.assertLess(y, -0.05, view)
            on_left = right_on_left or across == FRONT
            self.assertEqual((left[0], right[0]), ("RAS"[across], "LPI"[across]) if on_left
                             else ("LPI"[across], "RAS"[across]))
            self.assertTrue(x < -0.05 if on_left else x > 0.05, (view, x))

    def test_sides(self):
        """In files of several orientations, read as they are, the marks are where the patient is."""
        scans = {"ras": ("RAS", 0), "lps": ("LPS", 0), "permuted": ("SLA", 0), "mirrored": ("PIR", 0),
                 "oblique": ("LPS", 20), "tilted": ("ASR", -25)}
        lines = ["massflow: 1", "stages:"]
        for name, (codes, degrees) in scans.items():
            self.write_scan(name, codes, degrees)
            lines.append(f"  {name}: {{use: volume.load, with: {{path: {name}.nii.gz, orientation: keep, modality: MR}}}}")
        lines.append("  named: {use: labels.load, with: {path: ras.nii.gz, orientation: keep, names: '1000=<b>liver</b> #00ff80'}}")
        self.write("graph.yaml", "\n".join(lines))
        self.massflow("run", "graph.yaml")
        self.open("\n".join(lines))
        self.go("look")
        self.shown("ras")
        self.browser.execute_script("document.querySelector('.look .check input').click()")  # no crosshair
        for name in scans:
            with self.subTest(name):
                self.show("look-volume", name)
                self.shown(name)
                self.check_sides(True)
                self.look("look-" + name)
        self.assertGreater(len(self.text(".plane-axial .mark-left")), 1)  # oblique: letters of both sides
        self.one("#look-side").click()
        self.until_text("#look-side", "right is on the right")
        self.until(lambda: self.text(".plane-axial .mark-right")[0] == "R", "it is turned")
        self.check_sides(False)
        self.linked()
        self.named()
        self.one("#look-side").click()
        self.again()

    def again(self):
        """After another run, what is shown says that it is an earlier result, and the new one can be chosen."""
        self.show("look-volume", "ras")
        self.shown("ras")
        self.write_scan("ras", "RAS", 5)
        self.massflow("run", "graph.yaml", "ras")
        chosen = ("const s = document.getElementById('look-volume'); return s.selectedOptions.length ? "
                  "s.selectedOptions[0].text : null;")
        self.until(lambda: (self.browser.execute_script(chosen) or "").startswith("earlier result "),
                   "the list names what is shown")
        self.show("look-volume", "ras")
        self.until(lambda: self.browser.execute_script(chosen) == "ras", "the new result is shown")

    def named(self):
        """Names and colours of labels are shown, and are never read as HTML."""
        self.show("look-layer", "named")
        self.until_text(".items .go", "<b>liver</b>")
        self.assertEqual(self.one(".items input[type=color]").get_attribute("value"), "#00ff80")

    def linked(self):
        """Two scans of other voxels beside each other are at one place of the patient."""
        self.show("look-volume", "ras")
        self.show("look-beside", "permuted")
        self.until(lambda: len(self.all(".pane")) == 2, "there are two")
        self.shown("permuted")
        self.check_sides(False, 0)
        self.check_sides(False, 1)
        plane = self.one(".plane-axial")
        ActionChains(self.browser).move_to_element_with_offset(plane, 25, -20).click().perform()
        plane.send_keys("\ue013\ue013")  # two slices up
        here = self.text(".look-voxel")
        self.until(lambda: self.text(".plane-axial .plane-title").count("axial") == 2, "both are drawn")
        self.assertNotEqual(*here.split(" | "))
        for a, b in zip(*map(millimetres, self.text(".look-mm").split(" | "))):
            self.assertLessEqual(abs(a - b), 3)  # half a voxel of each
        self.look("look-two")
        self.show("look-beside", "none")
        self.until(lambda: len(self.all(".pane")) == 1, "there is one")

    def test_masks(self):
        """Labels and masks over a phantom: lists, a mask chosen, masks hidden; windows and slices by keys."""
        self.write("graph.yaml", PHANTOMS)
        self.massflow("run", "graph.yaml")
        self.open(PHANTOMS)
        self.go("look")
        self.shown("patient[case=000]")
        self.one(".plane-axial").send_keys("2")
        self.until_text(".look-windows button[aria-pressed=true]", "Lung")
        self.one(".plane-axial").send_keys("\ue00e")  # ten slices up
        self.until_text(".plane-axial .plane-title", "23 / 24")
        self.show("look-layer", "found[case=000]")
        self.until(lambda: self.all(".items tbody tr"), "masks are listed")
        listed = self.desk.get("/api/look/masks?id=" + self.desk.nodes()["found[case=000]"]["outputs"][0]["id"])["masks"]
        self.assertEqual(len(self.all(".items tbody tr")), len(listed))
        first = listed[0]
        self.all(".items .go")[0].click()
        self.until_text(".look-voxel", ", ".join(map(str, first["at"])))
        self.until_text(".look-label", "mask")
        self.look("look-masks")
        for box in self.all(".items tbody td:first-child input[type=checkbox]"):
            box.click()
        self.until(lambda: not self.all(".look-label"), "no mask is seen")
        self.show("look-layer", "patient[case=000].labels")
        self.until(lambda: len(self.all(".layer .items")) == 2, "labels are listed")
        self.look("look-labels")
        self.of_one_case()
        self.refused()

    def of_one_case(self):
        """Scans of several cases on the same voxels: the layers of one are never over another, unless it is asked for."""
        self.all(".layer:last-child .items .go")[0].click()
        self.until(lambda: self.all(".look-label"), "a label is seen")
        self.show("look-beside", "patient[case=001].volume")
        self.until(lambda: len(self.all(".pane")) == 2, "there are two")
        self.shown("patient[case=001]")
        self.assertEqual(len(self.all(".layer")), 2)
        first, second = self.browser.execute_script(
            "return [...document.querySelectorAll('.look-status > div')].map((d) => d.querySelectorAll('.look-label').length)")
        self.assertEqual((first > 0, second), (True, 0))
        self.show("look-beside", "none")
        self.show("look-volume", "patient[case=001].volume")
        self.until_text(".look-status .look-name", "patient[case=001].volume")
        self.until(lambda: not self.all(".layer"), "the layers of another case are gone")
        self.show("look-layer", "patient[case=000].labels")
        self.until_text(".layer header", "patient[case=000].labels")
        self.until(lambda: self.all(".layer .items"), "labels are listed")

    def refused(self):
        """Slices that are not there, and what has no planes."""
        scan = self.desk.nodes()["patient[case=000]"]["outputs"][0]["id"]
        picture = self.desk.nodes()["picture[case=000]"]["outputs"][0]["id"]
        self.assertIn("slices 23 to 24 of 24", self.desk.get(f"/api/look/slices?id={scan}&axis=2&first=23&count=2", 400)["error"])
        self.assertIn("no planes", self.desk.get(f"/api/look/volume?id={picture}", 400)["error"])
        self.desk.get("/api/look/volume?id=" + "0" * 64, 404)

    def test_click(self):
        """A point shows an object on the slice, which goes through the scan and is written as the scan lies."""
        self.write("graph.yaml", PHANTOMS)
        self.massflow("run", "graph.yaml", "patient[case=000]")
        self.open(PHANTOMS)
        self.go("look")
        self.shown("patient[case=000]")
        self.one("#click-on").click()
        self.until_text("#click-note", "Click inside")
        ActionChains(self.browser).move_to_element_with_offset(self.one(".plane-axial"), -70, -10).click().perform()
        self.until_text("#click-note", "On this slice")
        ActionChains(self.browser).move_to_element_with_offset(self.one(".plane-axial"), 150, 60).context_click().perform()
        self.until_text("#click-note", "On this slice")
        self.look("click-slice")
        self.one("#click-through").click()
        self.until_text(".layer header", "object 1")
        self.look("click-scan")
        self.through()

    def through(self):
        """What the page was answered, asked again: the mask of the slice is that of the scan there."""
        node = self.desk.nodes()["patient[case=000]"]["outputs"][0]
        body = {"id": node["id"], "volume": "patient[case=000].volume", "axis": 2, "slice": 12,
                "points": [[9, 12, 12, 1], [20, 20, 12, 0]]}
        answer = self.desk.post("/api/click/slice", body)
        self.assertFalse(answer["pixels"] == 0)
        other = {**body, "id": "0" * 64}
        self.assertIn("another one than the page shows", self.desk.post("/api/click/volume", other, 400)["error"])
        mask = set()
        for start, length in zip(answer["runs"][::2], answer["runs"][1::2]):
            mask.update(range(start, start + length))
        masks = self.desk.post("/api/click/volume", body)
        written = gzip.decompress(self.desk.ask("GET", "/api/look/file?id=" + masks["id"]).body)
        self.assertEqual(struct.unpack_from("<3h", written, 42), (24, 24, 24))
        scan = gzip.decompress(self.desk.ask("GET", "/api/look/file?id=" + node["id"]).body)
        self.assertEqual(written[280:328], scan[280:328])
        code, = struct.unpack_from("<h", written, 70)
        voxels = struct.unpack_from(f"<{24 ** 3}{ {2: 'B', 256: 'b', 4: 'h', 512: 'H'}[code]}", written, 352)
        there = {i for i in range(24 * 24) if voxels[12 * 24 * 24 + i]}
        self.assertGreater(len(mask & there), 0.95 * len(mask | there))  # keep_largest drops specks


if __name__ == "__main__":
    harness.main(1)
