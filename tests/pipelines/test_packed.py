#!/usr/bin/env python3
"""Compressed DICOM files through the command: test_packed.py MASSFLOW BUILD CORPUS

Files whose pixels are damaged, or are not what their headers say, fail alone: the other cases of the
run go on. The program that decodes is found beside the plugin, in the build tree and in an
installation. The JPEG 2000 stream is the seed of the fuzz target, random voxels that imagecodecs
encoded.
"""
import os
import struct
import sys

from harness import MASSFLOW, Massflow, dicom_file, main, read_nifti

BUILD = os.path.abspath(sys.argv[2])
with open(os.path.join(sys.argv[3], "j2k16_signed"), "rb") as seed:
    STREAM = seed.read()[1:]
COLUMNS, ROWS = 12, 9
FIRST = [-1471, 4276, 8376, 11033, 17286, 23350, 22946, 25733, 26562, 30289, 28772, 29312]
SUM = 728745

GRAPH = """massflow: 1
cases: {glob: "*.dcm"}
stages:
  scan: {use: volume.load, each: case, with: {path: "${case.path}", orientation: keep}}
"""


def dicom(stream, rows=ROWS):
    return dicom_file(rows, COLUMNS, stream, signed=1, syntax="1.2.840.10008.1.2.4.90")


class Packed(Massflow):
    TIMEOUT = 240

    def setUp(self):
        super().setUp()
        self.write("scans.yaml", GRAPH)

    def massflow(self, *words, code=0, command=MASSFLOW):
        done = self.ended([command, *words], code)
        return done.stdout + done.stderr

    def expect_voxels(self, node, command=MASSFLOW):
        self.massflow("get", "scans.yaml", node, "-o", "scan.nii.gz", command=command)
        size, (voxels,) = read_nifti(self.path("scan.nii.gz"))
        self.assertEqual(size, (COLUMNS, ROWS, 1))
        self.assertEqual(list(voxels[:COLUMNS]), FIRST)
        self.assertEqual(sum(voxels), SUM)

    def test_other_cases_go_on(self):
        self.write("a.dcm", dicom(STREAM))
        self.write("b.dcm", dicom(STREAM, rows=10))
        damaged = bytearray(STREAM[:-42])  # cut off, and its lengths made to fit
        part = damaged.index(b"\xff\x90")
        damaged[part + 6:part + 10] = struct.pack(">I", len(damaged) - part)
        self.write("c.dcm", dicom(bytes(damaged) + b"\xff\xd9"))
        self.write("d.dcm", dicom(STREAM[:len(STREAM) // 2]))
        self.write("e.dcm", dicom(STREAM + bytes(2)))
        text = self.massflow("run", "scans.yaml", "-j", "4", code=1)
        self.assertIn("finished: 2 run, 0 cached, 3 failed", text)
        self.assertIn("b.dcm: its pixels do not match its header: the header says 12 x 10 pixels of 16 "
                      "bits, signed; the JPEG 2000 stream has 12 x 9 of 16 bits, signed", text)
        self.assertIn("c.dcm: its JPEG 2000 pixels are damaged: read: segment too long (208) with max (168) "
                      "for codeblock 0", text)
        self.assertIn("d.dcm: its JPEG 2000 pixels are damaged: they are cut off", text)
        self.expect_voxels("scan[case=a]")
        self.expect_voxels("scan[case=e]")

    def test_an_installation_finds_its_decoder(self):
        root = self.path("root")
        self.ended(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root])
        found = [os.path.join(at, name) for at, _, names in os.walk(root) for name in names]
        command, = [path for path in found if path.endswith("/bin/massflow")]
        decoder, = [path for path in found if os.path.basename(path) == "massflow-decode"]
        self.write("a.dcm", dicom(STREAM))
        self.massflow("run", "scans.yaml", command=command)
        self.expect_voxels("scan[case=a]", command=command)
        os.remove(decoder)
        self.write("b.dcm", dicom(STREAM + bytes(2)))
        text = self.massflow("run", "scans.yaml", code=1, command=command)
        self.assertIn("b.dcm: its pixels cannot be decoded: " + os.path.realpath(decoder) +
                      " cannot be started: No such file or directory", text)


if __name__ == "__main__":
    main(3)
