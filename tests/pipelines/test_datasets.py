#!/usr/bin/env python3
"""graphs/datasets on made files of each data set's layout: test_datasets.py MASSFLOW GRAPHS

Every file of graphs/datasets must have a layout here. Scans are of few voxels and count through them, so that a voxel
says where it comes from; what is checked is which cases there are, the box that is cropped (labels and margins in
mm), the fixes, and that labels lie on their scans.
"""
import glob
import os
import struct
import sys

from harness import Massflow, flags, main, nifti_header, write_nifti

GRAPHS = os.path.abspath(sys.argv[2])
SIZE = (40, 30, 20)
SPACING = (10, 10, 5)


def count(size):
    return size[0] * size[1] * size[2]


def block(size, lo, hi, value=1):
    """Labels: `value` in the box [lo, hi)."""
    return [value if all(lo[k] <= i < hi[k] for k, i in enumerate((n % size[0], n // size[0] % size[1],
                                                                   n // (size[0] * size[1])))) else 0
            for n in range(count(size))]


class Datasets(Massflow):
    marker = 0

    def scan(self, name, size=SIZE, spacing=SPACING, voxels=None):
        path = self.path(os.path.join("raw", name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        voxels = list(voxels or range(count(size)))
        voxels[-1] = self.marker = self.marker + 1  # no two scans are the same, or one of them would not run
        write_nifti(path, size, voxels, spacing=spacing)

    def labels(self, name, size=SIZE, spacing=SPACING, lo=(15, 14, 10), hi=(20, 16, 12), value=1):
        path = self.path(os.path.join("raw", name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_nifti(path, size, block(size, lo, hi, value), spacing=spacing)

    def four(self, name, frames):
        """A 4D file of these volumes, each a list of voxels."""
        path = self.path(os.path.join("raw", name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        header = bytearray(nifti_header(SIZE, spacing=SPACING))
        struct.pack_into("<8h", header, 40, 4, *SIZE, len(frames), 1, 1, 1)
        with open(path, "wb") as file:
            file.write(bytes(header) + b"".join(struct.pack(f"<{len(frame)}h", *frame) for frame in frames))

    def ran(self, name, expected, *settings):
        """Runs scan and truth of a data set's graph; what `show` says of them, by case."""
        graph = os.path.join(GRAPHS, "datasets", name + ".yaml")
        words = flags(settings, data=self.path("raw"))
        said = self.massflow("run", graph, "scan", "truth", "--log", "json", "--cache", name, *words)
        cases = sorted({part.split("]")[0] for part in said.split("scan[case=")[1:]})
        facts = {}
        for case in expected:
            for stage in "scan", "truth":
                self.massflow("get", graph, f"{stage}[case={case}]", "--cache", name, "-o", "f.json", "--force", *words)
                facts[stage, case] = self.read_json("f.json")
                self.massflow("get", graph, f"{stage}[case={case}]", "--array", "voxels", "--cache", name, "-o",
                              f"{stage}-{case}.npy", "--force", *words)
            self.assertEqual(facts["scan", case]["attributes"]["size"], facts["truth", case]["attributes"]["size"])
            self.assertEqual(facts["scan", case]["attributes"]["origin"], facts["truth", case]["attributes"]["origin"])
        return cases, facts

    def attributes(self, facts, case):
        return facts["scan", case]["attributes"]

    # Each data set.

    def test_every_file_is_tested(self):
        names = {os.path.basename(path)[:-5] for path in glob.glob(os.path.join(GRAPHS, "datasets", "*.yaml"))}
        tested = {"bcv", "amos_ct", "amos_mr", "kits", "lits", "structseg_head_oar", "structseg_thoracic_oar", "mnm",
                  "brats18_flair", "brats18_t1", "brats18_t2", "autopet_ct", "autopet_suv", "totalseg_ct", "totalseg_mr"}
        self.assertEqual(names, tested)

    def test_bcv(self):
        """Files whose axes run to L, A, S, whatever their headers say: x is turned."""
        self.scan("img/img0001.nii.gz")
        self.labels("label/label0001.nii.gz", lo=(15, 14, 10), hi=(20, 16, 12))
        _, facts = self.ran("bcv", ["img0001"])
        # Along x of the file 15..20 of 40, so 20..25 from the other end; margins of 3, 3 and 2 voxels.
        a = self.attributes(facts, "img0001")
        self.assertEqual(a["size"], [11, 8, 6])
        self.assertEqual(a["origin"], [10 * (17 - 39), 110, 40])
        self.assertEqual(a["modality"], "CT")
        voxels = self.voxels("scan-img0001.npy")
        self.assertEqual(voxels[0], (39 - 17) + 40 * (11 + 30 * 8))
        self.assertEqual(voxels[1], voxels[0] - 1)

    def voxels(self, name):
        with open(self.path(name), "rb") as file:
            data = file.read()
        length, = struct.unpack_from("<H", data, 8)
        code = {"u1": "B", "u2": "H", "i2": "h", "i4": "i", "f4": "f", "i1": "b"}[data[10:10 + length].split(b"'")[3].decode()[1:]]
        body = data[10 + length:]
        return struct.unpack(f"<{len(body) // struct.calcsize(code)}{code}", body)

    def test_amos(self):
        for folder, numbers in ("Tr", ("0001", "0012", "0110", "0507")), ("Va", ("0008", "0018", "0120", "0600")):
            for number in numbers:
                self.scan(f"images{folder}/amos_{number}.nii.gz")
                self.labels(f"labels{folder}/amos_{number}.nii.gz")
        cases, facts = self.ran("amos_ct", ["1"])
        self.assertEqual(cases, sorted(["1", "12", "110", "8", "18", "120"]))
        self.assertEqual(self.attributes(facts, "1")["size"], [11, 8, 6])
        cases, facts = self.ran("amos_mr", ["507"])
        self.assertEqual(cases, ["507", "600"])
        self.assertEqual(self.attributes(facts, "507")["modality"], "MR")

    def test_a_part_of_a_data_set(self):
        """Of six patterns one has a file: the others are passed over. Where none has one, it is an error."""
        graph = os.path.join(GRAPHS, "datasets", "amos_ct.yaml")
        words = flags(data=self.path("raw"))
        out = self.massflow("graph", graph, *words, code=2)
        self.assertIn("error: no cases\n", out)
        self.assertIn("/imagesVa/amos_000{id}.nii.gz: no case (optional)\n", out)
        self.scan("imagesVa/amos_0018.nii.gz")
        self.labels("labelsVa/amos_0018.nii.gz")
        self.assertIn(" 1 cases, ", self.massflow("graph", graph, *words))

    def test_kits(self):
        for number in "00000", "00012", "00123":
            self.scan(f"case_{number}/imaging.nii.gz")
            self.labels(f"case_{number}/segmentation.nii.gz")
        cases, facts = self.ran("kits", ["0"])
        self.assertEqual(cases, ["0", "12", "123"])
        self.assertEqual(self.attributes(facts, "0")["size"], [13, 10, 6])

    def test_lits(self):
        """The spacing of 28 and 34 is set in scan and labels alike; margins count in it."""
        for number in 0, 28, 34:
            self.scan(f"volume-{number}.nii", spacing=(1, 1, 1))
            self.labels(f"segmentation-{number}.nii", spacing=(1, 1, 1))
        cases, facts = self.ran("lits", ["0", "28", "34"])
        self.assertEqual(cases, ["0", "28", "34"])
        for case, spacing, depth in ("0", [1, 1, 1], 20), ("28", [0.7, 0.7, 2.5], 10), ("34", [0.7, 0.7, 2.5], 10):
            for stage in "scan", "truth":
                self.assertEqual(facts[stage, case]["attributes"]["spacing"], spacing)
            self.assertEqual(self.attributes(facts, case)["size"], [40, 30, depth])  # 10 mm are 4 voxels of 2.5 mm

    def test_structseg(self):
        for number in 1, 50:
            self.scan(f"{number}/data.nii.gz")
            self.labels(f"{number}/label.nii.gz")
        cases, facts = self.ran("structseg_head_oar", ["50"])
        self.assertEqual(cases, ["1", "50"])
        self.assertEqual(self.attributes(facts, "50")["size"], [9, 6, 4])
        _, facts = self.ran("structseg_thoracic_oar", ["1"])
        self.assertEqual(self.attributes(facts, "1")["size"], [11, 8, 6])

    def test_mnm(self):
        """The first two time points with labels."""
        nothing = [0] * count(SIZE)
        first, second, third = (block(SIZE, (15, 14, 10), (20, 16, 12), value) for value in (1, 3, 2))
        for subject, phase in ("Tr1", "Training/Labeled"), ("V1", "Validation"), ("Te1", "Testing"):
            name = f"{phase}/{subject}/{subject}_sa"
            self.four(name + ".nii.gz", [[100 * t] * (count(SIZE) - 1) + [len(subject + phase)] for t in range(5)])
            self.four(name + "_gt.nii.gz", [nothing, first, nothing, second, third])
        cases, facts = self.ran("mnm", ["Tr1_0", "Tr1_1", "V1_0"])
        self.assertEqual(cases, ["Te1_0", "Te1_1", "Tr1_0", "Tr1_1", "V1_0", "V1_1"])
        self.assertEqual(self.attributes(facts, "Tr1_0")["size"], [25, 22, 10])
        self.assertEqual({self.voxels(f"scan-{case}.npy")[0] for case in ("Tr1_0", "V1_0")}, {100})
        self.assertEqual(self.voxels("scan-Tr1_1.npy")[0], 300)
        self.assertEqual(set(self.voxels("truth-Tr1_1.npy")), {0, 3})

    def test_brats(self):
        for grade, case in ("HGG", "Brats18_2013_2_1"), ("LGG", "Brats18_2013_0_1"):
            for i, sequence in enumerate(("flair", "t1", "t2", "t1ce")):
                self.scan(f"{grade}/{case}/{case}_{sequence}.nii.gz", voxels=[i + 1] * count(SIZE))
            self.labels(f"{grade}/{case}/{case}_seg.nii.gz")
        for i, sequence in enumerate(("flair", "t1", "t2")):
            cases, facts = self.ran("brats18_" + sequence, ["Brats18_2013_0_1"])
            self.assertEqual(cases, ["Brats18_2013_0_1", "Brats18_2013_2_1"])
            self.assertEqual(self.attributes(facts, "Brats18_2013_0_1")["size"], [21, 18, 18])
            self.assertEqual(set(self.voxels("scan-Brats18_2013_0_1.npy")), {i + 1})
        self.ran("brats18_t1", ["Brats18_2013_0_1"], "sequence=t1ce")
        self.assertEqual(set(self.voxels("scan-Brats18_2013_0_1.npy")), {4})

    def test_autopet(self):
        """The body of the CT crops both; studies in order of their date."""
        body = [40 if n else -1000 for n in block(SIZE, (10, 8, 4), (30, 24, 16))]
        for study, level in ("01-02-2006-NA-PET-CT", 7), ("11-02-2005-NA-PET-CT", 5):
            folder = f"PETCT_01140d52d8/{study}"
            self.scan(f"{folder}/CTres.nii.gz", voxels=body)
            self.scan(f"{folder}/SUV.nii.gz", voxels=[level] * count(SIZE))
            self.labels(f"{folder}/SEG.nii.gz")
        os.makedirs(self.path("raw/PETCT_01140d52d8/none"))
        cases, facts = self.ran("autopet_suv", ["PETCT_01140d52d8_0", "PETCT_01140d52d8_1"])
        self.assertEqual(cases, ["PETCT_01140d52d8_0", "PETCT_01140d52d8_1"])
        self.assertEqual(self.attributes(facts, "PETCT_01140d52d8_0")["size"], [22, 18, 14])
        self.assertEqual(self.attributes(facts, "PETCT_01140d52d8_0")["modality"], "PET")
        self.assertEqual(set(self.voxels("scan-PETCT_01140d52d8_0.npy")), {5})
        _, facts = self.ran("autopet_ct", ["PETCT_01140d52d8_0"])
        self.assertEqual(self.attributes(facts, "PETCT_01140d52d8_0")["size"], [22, 18, 14])
        os.remove(self.path("raw/PETCT_01140d52d8/01-02-2006-NA-PET-CT/SEG.nii.gz"))
        graph = os.path.join(GRAPHS, "datasets", "autopet_ct.yaml")
        self.assertIn("PETCT_01140d52d8_1: no file '", self.massflow("graph", graph, *flags(data=self.path("raw")), code=2))

    def test_totalsegmentator(self):
        """Masks merged in order of file names: label values are lines of the list, the later file counts."""
        body = [40 if n else -1000 for n in block(SIZE, (10, 8, 4), (30, 24, 16))]
        for file, name in ("ct", "totalseg_ct"), ("mri", "totalseg_mr"):
            with open(os.path.join(GRAPHS, "datasets", name + ".txt"), encoding="utf-8") as lines:
                classes = lines.read().split()
            self.assertEqual((len(classes), classes[0]), ({"ct": 117, "mri": 50}[file], "spleen"))
            self.scan(f"s0001/{file}.nii.gz", voxels=body)
            self.labels("s0001/segmentations/spleen.nii.gz", lo=(12, 10, 6), hi=(20, 14, 8))
            self.labels("s0001/segmentations/liver.nii.gz", lo=(18, 10, 6), hi=(24, 14, 8))
            self.labels("s0001/segmentations/unknown.nii.gz", lo=(0, 0, 0), hi=(40, 30, 20))
            _, facts = self.ran(name, ["s0001"])
            if file == "ct":
                self.assertEqual(self.attributes(facts, "s0001")["size"], [20, 16, 12])
            values = self.voxels("truth-s0001.npy")
            spleen, liver = 1, classes.index("liver") + 1
            self.assertEqual((values.count(spleen), values.count(liver)), (8 * 4 * 2, 4 * 4 * 2))

    def test_merged_labels_are_as_wide_as_their_list(self):
        """Whatever masks a case has: 255 classes fit 8 bits, 256 do not."""
        self.scan("a.nii")
        self.labels("m/last.nii")
        for classes, kind in (255, b"|u1"), (256, b"<u2"):
            self.write("c.txt", "".join(f"c{i}\n" for i in range(1, classes)) + "last\n")
            self.stage("  s: {use: volume.load, with: {path: raw/a.nii}}\n"
                       "  l: {use: labels.merge, in: {like: s}, with: {folder: raw/m, classes: c.txt}}\n")
            self.massflow("run", "g.yaml")
            self.massflow("get", "g.yaml", "l", "--array", "voxels", "-o", "l.npy", "--force")
            self.assertIn(kind, self.read_bytes("l.npy")[:128])
            self.assertEqual({value: self.voxels("l.npy").count(value) for value in set(self.voxels("l.npy"))},
                             {0: count(SIZE) - 20, classes: 20})

    # What is wrong with files.

    def stage(self, text):
        self.write("g.yaml", "massflow: 1\nstages:\n" + text)

    def failure(self, code=1):
        return self.massflow("run", "g.yaml", code=code)

    def test_bad_settings(self):
        self.scan("a.nii")
        for setting, expected in (("file_orientation: LAX", "file_orientation: 'LAX' does not name three axes"),
                                  ("file_spacing: [1, 2]", "file_spacing: 2 numbers, not three"),
                                  ("file_spacing: [1, 0, 2]", "file_spacing: 0 is not above 0")):
            self.stage("  s: {use: volume.load, with: {path: raw/a.nii, %s}}\n" % setting)
            self.assertIn(expected, self.failure(2))

    def test_bad_files(self):
        self.scan("a.nii")
        self.labels("none.nii", lo=(0, 0, 0), hi=(0, 0, 0))
        self.stage("""  s: {use: volume.load, with: {path: raw/a.nii}}
  l: {use: labels.load, in: {like: s}, with: {path: raw/none.nii}}
  c: {use: volume.crop, in: {volume: s, region: l}}
""")
        self.assertIn("the region (l) has no voxel in the scan to crop by", self.failure())
        self.stage("  s: {use: volume.load, with: {path: raw/a.nii, labelled: raw/none.nii}}\n")
        self.assertIn(f"{self.path('raw/none.nii')}: has 0 time points with a label; time: 0 is not one of them",
                      self.failure())
        os.mkdir(self.path("raw/m"))
        for lines, expected in (("", "names no class"), ("liver\nliver\n", "line 2: the class liver stands there twice"),
                                ("liver\n\n", "line 2 is no name of a class"),
                                ("x" * 300 + "\n", "line 1 has more than 255 bytes")):
            self.write("c.txt", lines)
            self.stage("  s: {use: volume.load, with: {path: raw/a.nii}}\n"
                       "  l: {use: labels.merge, in: {like: s}, with: {folder: raw/m, classes: c.txt}}\n")
            self.assertIn(f"{self.path('c.txt')}: {expected}", self.failure())
        self.write("c.txt", "liver\n")
        self.assertIn(f"{self.path('raw/m')}: has no mask of a class that {self.path('c.txt')} names\n"
                      "  a mask is called as its class, with the suffix .nii.gz or .nii", self.failure())
        self.labels("m/liver.nii", size=(4, 4, 4), lo=(0, 0, 0), hi=(1, 1, 1))
        self.assertIn("has 4 x 4 x 4 voxels, the scan has 40 x 30 x 20: they do not match", self.failure())


if __name__ == "__main__":
    main(2)
