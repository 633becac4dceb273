#!/usr/bin/env python3
"""Compressed DICOM files through the command: test_packed.py MASSFLOW BUILD CORPUS

Files whose pixels are damaged, or are not what their headers say, fail alone: the other cases of the
run go on. The program that decodes is found beside the plugin, in the build tree and in an
installation. The JPEG 2000 stream is the seed of the fuzz target, random voxels that imagecodecs
encoded.
"""
import array
import gzip
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

MASSFLOW = os.path.abspath(sys.argv[1])
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


def element(tag, vr, value):
    head = struct.pack("<HH", tag >> 16, tag & 0xffff) + vr.encode()
    if isinstance(value, int):
        value = struct.pack("<H", value)
    elif isinstance(value, str):
        value = value.encode() + b"\0" * (len(value) % 2)
    return head + struct.pack("<H", len(value)) + value


def dicom(stream, rows=ROWS, syntax="1.2.840.10008.1.2.4.90"):
    item = b"\xfe\xff\x00\xe0"
    stream += b"\0" * (len(stream) % 2)
    return b"".join([
        bytes(128), b"DICM", element(0x00020010, "UI", syntax), element(0x00080060, "CS", "MR"),
        element(0x0020000e, "UI", "1.2"), element(0x00200032, "DS", "0\\0\\0 "),
        element(0x00200037, "DS", "1\\0\\0\\0\\1\\0 "), element(0x00280002, "US", 1),
        element(0x00280004, "CS", "MONOCHROME2 "), element(0x00280010, "US", rows),
        element(0x00280011, "US", COLUMNS), element(0x00280030, "DS", "1\\1 "),
        element(0x00280100, "US", 16), element(0x00280101, "US", 16), element(0x00280102, "US", 15),
        element(0x00280103, "US", 1), b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff", item, bytes(4),
        item, struct.pack("<I", len(stream)), stream, b"\xfe\xff\xdd\xe0", bytes(4)])


class Packed(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="massflow-test-")
        self.write("scans.yaml", GRAPH.encode())

    def tearDown(self):
        shutil.rmtree(self.folder)

    def write(self, name, data):
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(data)

    def massflow(self, *words, code=0, command=MASSFLOW):
        done = subprocess.run([command, *words], cwd=self.folder, timeout=240, check=False,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def expect_voxels(self, node, command=MASSFLOW):
        self.massflow("get", "scans.yaml", node, "-o", "scan.nii.gz", command=command)
        with gzip.open(os.path.join(self.folder, "scan.nii.gz")) as file:
            data = file.read()
        self.assertEqual(struct.unpack_from("<4h", data, 40), (3, COLUMNS, ROWS, 1))
        voxels = array.array("h", data[352:])
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
        root = os.path.join(self.folder, "root")
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root],
                       check=True, capture_output=True, timeout=240)
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
    unittest.main(argv=[sys.argv[0]], verbosity=2)
