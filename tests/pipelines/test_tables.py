#!/usr/bin/env python3
"""Graphs and tables as labs have them, from the file to the voxels: test_tables.py MASSFLOW

What was reported is read from MASSFLOW_DATA/reports and skipped without it; beside it stands one of
the same kind that is made here.
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

MASSFLOW = os.path.abspath(sys.argv[1])
REPORTS = os.path.join(os.path.abspath(os.environ.get("MASSFLOW_DATA") or "nowhere"), "reports/misc")
REPORTED = unittest.skipUnless(os.path.isdir(REPORTS), "no MASSFLOW_DATA")


def nifti(path, values, size):
    """16-bit voxels, 1.5 x 2 x 3 mm."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *size, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1, 1.5, 2, 3, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    struct.pack_into("<hh", header, 252, 0, 1)
    struct.pack_into("<12f", header, 280, 1.5, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0)
    header[344:348] = b"n+1\0"
    with open(path, "wb") as file:
        file.write(header + struct.pack(f"<{len(values)}h", *values))


def element(group, number, kind, value):
    value = value if isinstance(value, bytes) else value.encode()
    value += (b"\0" if kind == "UI" else b" ") * (len(value) % 2)
    if kind == "OW":
        return struct.pack("<HH2sHI", group, number, b"OW", 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, kind.encode(), len(value)) + value


def dicom(path, modality, z):
    """A slice of 4 x 4 voxels."""
    def short(n):
        return struct.pack("<H", n)
    meta = element(2, 0x10, "UI", "1.2.840.10008.1.2.1")
    body = b"".join([
        element(8, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.128"), element(8, 0x18, "UI", f"1.2.3.4.{z + 1}"),
        element(8, 0x60, "CS", modality), element(0x20, 0xd, "UI", "1.2.3"),
        element(0x20, 0xe, "UI", f"1.2.3.{ord(modality[0])}"), element(0x20, 0x11, "IS", "7"),
        element(0x20, 0x13, "IS", str(z + 1)), element(0x20, 0x32, "DS", f"0\\0\\{3 * z}"),
        element(0x20, 0x37, "DS", "1\\0\\0\\0\\1\\0"), element(0x28, 2, "US", short(1)),
        element(0x28, 4, "CS", "MONOCHROME2"), element(0x28, 0x10, "US", short(4)),
        element(0x28, 0x11, "US", short(4)), element(0x28, 0x30, "DS", "2\\2"),
        element(0x28, 0x100, "US", short(16)), element(0x28, 0x101, "US", short(16)),
        element(0x28, 0x102, "US", short(15)), element(0x28, 0x103, "US", short(0)),
        element(0x7fe0, 0x10, "OW", struct.pack("<16H", *range(16 * z, 16 * z + 16)))])
    with open(path, "wb") as file:
        file.write(bytes(128) + b"DICM" + element(2, 0, "UL", struct.pack("<I", len(meta))) + meta + body)


class Tables(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="massflow-test-")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8", newline="") as file:
            file.write(text)

    def massflow(self, *words, code=0):
        done = subprocess.run([MASSFLOW, *words], cwd=self.folder, capture_output=True, text=True,
                              timeout=120)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def shown(self, graph, node):
        """What `show` says of a volume: {attribute: text}."""
        lines = self.massflow("show", graph, node).splitlines()[1:]
        return dict(line.split(None, 1) for line in lines)

    @REPORTED
    def test_reported(self):
        for name in os.listdir(REPORTS):
            shutil.copy(os.path.join(REPORTS, name), self.folder)
        self.massflow("run", "bom.yaml")
        self.assertEqual(self.shown("bom.yaml", "s")["modality"], "MR")
        self.write("g.yaml", """massflow: 1
cases: {csv: excel_empty_rows.csv}
stages: {s: {use: volume.load, each: case, with: {path: "${case.path}", modality: mr}}}
""")
        self.massflow("run", "g.yaml")
        self.assertEqual(self.shown("g.yaml", "s[case=a]")["voxels"],
                         "i16 [5, 6, 7]  min -978  max 1988  mean 538.795")

    def test_made(self):
        """A mark in graph and table, semicolons, CRLF, rows that were emptied, spellings of PET."""
        nifti(self.path("a.nii"), range(24), (2, 3, 4))
        nifti(self.path("b.nii"), range(100, 124), (2, 3, 4))
        table = ("\ufeffid;path;kind;window;kg\r\nP 1;a.nii;PT;[3, 5];71,5\r\n;;;;\r\n"
                 "P 2; b.nii ;Pet;\"[1,\r\n 2]\";80\r\n;;;;\r\n")
        self.write("lab.csv", table)
        self.write("g.yaml", """\ufeffmassflow: 1\r
cases: {csv: lab.csv}\r
stages:\r
  s: {use: volume.load, each: case, with: {path: "${case.path}", modality: "${case.kind}"}}\r
  l: {use: labels.load, each: case, with: {path: "${case.path}", select_labels: "${case.window}"}}\r
""")
        self.massflow("run", "g.yaml")
        for case, values in (("P 1", "min 0  max 23"), ("P 2", "min 100  max 123")):
            shown = self.shown("g.yaml", f"s[case={case}]")
            self.assertEqual(shown["modality"], "PET")
            self.assertIn(values, shown["voxels"])
        self.assertIn("min 0  max 5 ", self.shown("g.yaml", "l[case=P 1]")["voxels"])
        # One spelling or another is one key.
        self.write("lab.csv", table.replace("PT", "pet"))
        self.assertIn("finished: 0 run, 4 cached", self.massflow("run", "g.yaml"))

    def test_modality_as_dicom_has_it(self):
        """PT and MR, straight from the column that the series have."""
        for modality in ("PT", "MR"):
            os.makedirs(self.path("study/" + modality))
            for z in range(3):
                dicom(self.path(f"study/{modality}/{z}.dcm"), modality, z)
        with open(self.path("study/PT/._0.dcm"), "wb") as file:  # as macOS leaves them
            file.write(b"\0\5\x16\7" + bytes(128) + b"DICM")
        self.write("g.yaml", """massflow: 1
cases: {dicom: study}
stages:
  s: {use: volume.load, each: case, with: {path: "${case.path}", series: "${case.series}", modality: "${case.modality}"}}
""")
        self.massflow("run", "g.yaml")
        for case, modality in (("PT", "PET"), ("MR", "MR")):
            shown = self.shown("g.yaml", f"s[case={case}]")
            self.assertEqual((shown["modality"], shown["size"], shown["spacing"]), (modality, "4 4 3", "2 2 3"))
            self.assertIn("min 0  max 47 ", shown["voxels"])
        self.assertIn(f"\ndicom {os.path.realpath(self.path('study'))}: 2 cases; 1 hidden file passed over, such as ._0.dcm\n",
                      self.massflow("graph", "g.yaml"))
        # A modality that is none of a scan's is said, with the case.
        self.write("g.yaml", """massflow: 1
cases: {dicom: study, modality_of_lab: NM}
stages:
  s: {use: volume.load, each: case, with: {path: "${case.path}", modality: "${case.modality_of_lab}"}}
""")
        self.assertIn("volume.load: 'modality' is 'NM', which is none of auto, ct, mr, pet\n",
                      self.massflow("run", "g.yaml", code=2))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
