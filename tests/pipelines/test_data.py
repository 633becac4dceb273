#!/usr/bin/env python3
"""From scans to pairs through the command: test_data.py MASSFLOW PAIRS.so

Supervoxels must mark organs that nobody named, samples must lie where their scans lie, and a
changed parameter must run what depends on it and nothing else. Real scans are read from
MASSFLOW_DATA; without it that test is skipped.
"""
import array
import collections
import csv
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

MASSFLOW = os.path.abspath(sys.argv[1])
PLUGINS = os.path.dirname(os.path.abspath(sys.argv[2]))

PHANTOMS = """massflow: 1
params: {modality: ct, compactness: 10, pad: [50, 48, 48], gamma: [0.8, 1.2], first: 0, count: 6,
         threads: 1, seed: 1}
cases: {count: 2}
stages:
  scan: {use: phantom.volume, each: case,
         with: {modality: "${modality}", size: [48, 48, 48], spacing: [4, 4, 4]}}
  masks: {use: slic.masks, each: case, in: {volume: scan}, with: {compactness: "${compactness}"}}
  sample: {use: mass.prepare, each: case, in: {volume: scan, masks: masks},
           with: {spacing: [4, 4, 8], pad: "${pad}"}}
  views: {use: augment.views, in: {samples: "sample[*]"},
          with: {size: [32, 32, 24], masks: 5, weak_gamma: "${gamma}", seed: "${seed}"}}
  read: {use: pairs.read, in: {pairs: views},
         with: {first: "${first}", count: "${count}", threads: "${threads}"}}
"""

SCANS = """massflow: 1
params: {data: scan.nii.gz}
cases: {glob: "${data}"}
stages:
  scan: {use: volume.load, each: case, with: {path: "${case.path}"}}
  masks: {use: slic.masks, each: case, in: {volume: scan}, with: {sizes: [30]}}
  sample: {use: mass.prepare, each: case, in: {volume: scan, masks: masks},
           with: {spacing: [3, 3, 3], pad: [32, 32, 32]}}
"""

TYPES = {2: "B", 4: "h", 8: "i", 16: "f", 512: "H"}


def read_nifti(path):
    """Volumes of a .nii.gz, each a flat array."""
    with gzip.open(path) as file:
        data = file.read()
    sizes = struct.unpack_from("<8h", data, 40)
    code, = struct.unpack_from("<h", data, 70)
    start, = struct.unpack_from("<f", data, 108)
    values = array.array(TYPES[code], data[int(start):])
    voxels = sizes[1] * sizes[2] * sizes[3]
    return [values[i:i + voxels] for i in range(0, len(values), voxels)]


def best_dice(layers, labels):
    """Per label the Dice of the mask that fits it best. Masks are numbered over all layers."""
    best = collections.Counter()
    of_label = collections.Counter(labels)
    for layer in layers:
        of_mask = collections.Counter(layer)
        for (mask, label), both in collections.Counter(zip(layer, labels)).items():
            if mask and label:
                dice = 2 * both / (of_mask[mask] + of_label[label])
                best[label] = max(best[label], dice)
    return best


class Data(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="massflow-test-")
        self.write("phantoms.yaml", PHANTOMS)
        self.write("scans.yaml", SCANS)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def massflow(self, *words, code=0):
        done = subprocess.run([MASSFLOW, *words, "--plugins", PLUGINS], cwd=self.folder, timeout=240, check=False,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def facts(self, graph, node):
        self.massflow("get", graph, node, "-o", "facts.json")
        with open(os.path.join(self.folder, "facts.json"), encoding="utf-8") as file:
            return json.load(file)

    def test_supervoxels_mark_organs(self):
        self.massflow("run", "phantoms.yaml", "masks")
        self.massflow("get", "phantoms.yaml", "masks[case=000]", "-o", "masks.nii.gz")
        self.massflow("get", "phantoms.yaml", "scan[case=000].labels", "-o", "labels.nii.gz")
        labels, = read_nifti(os.path.join(self.folder, "labels.nii.gz"))
        dice = best_dice(read_nifti(os.path.join(self.folder, "masks.nii.gz")), labels)
        self.assertGreaterEqual(len(dice), 8)
        # The liver (1) and half of the organs are found well; cubes would reach 0.5 at best.
        self.assertGreater(dice[1], 0.75, dice)
        self.assertGreater(sorted(dice.values())[len(dice) // 2], 0.75, dice)

    def test_samples_lie_where_scans_lie(self):
        self.massflow("run", "phantoms.yaml", "sample")
        scan = self.facts("phantoms.yaml", "scan[case=001].volume")["attributes"]
        sample = self.facts("phantoms.yaml", "sample[case=001]")
        at = sample["attributes"]
        self.assertEqual(at["size"], [50, 48, 48])  # z: 24 voxels of 8 mm, 12 more on either side
        self.assertEqual(at["spacing"], [4, 4, 8])
        self.assertEqual(at["modality"], "CT")
        centers = []
        for grid in (scan, at):
            centers.append([o + (n - 1) / 2 * s for o, n, s in
                            zip(grid["origin"], grid["size"], grid["spacing"])])
        for a, b in zip(*centers):
            self.assertAlmostEqual(a, b, places=9)
        self.assertEqual(sample["arrays"]["image"]["shape"], [48, 48, 50])
        self.assertGreater(sample["arrays"]["box"]["shape"][0], 50)

    def test_only_what_depends_runs_again(self):
        run = ("run", "phantoms.yaml", "sample")
        self.assertIn("6 run, 0 cached", self.massflow(*run))
        self.assertIn("0 run, 6 cached", self.massflow(*run))
        self.assertIn("2 run, 4 cached", self.massflow(*run, "--set", "pad=[52, 48, 48]"))
        self.assertIn("4 run, 2 cached", self.massflow(*run, "--set", "compactness=12"))
        # Views are drawn when training asks for them: nothing of theirs enters a sample's key.
        self.assertIn("0 run, 6 cached", self.massflow(*run, "--set", "gamma=[0.5, 2]"))

    def rows(self, *settings):
        flags = [word for setting in settings for word in ("--set", setting)]
        self.massflow("run", "phantoms.yaml", "read", *flags)
        self.massflow("get", "phantoms.yaml", "read", *flags, "-o", "rows.csv")
        with open(os.path.join(self.folder, "rows.csv"), encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def test_pairs_depend_on_recipe_and_item_only(self):
        rows = self.rows()
        self.assertEqual(len(rows), 6)
        # In another order, from another place of the stream, on other threads: the same bytes.
        self.assertEqual(self.rows("first=3", "count=3", "threads=2"), rows[3:])
        self.assertNotEqual(self.rows("seed=2"), rows)
        for column in ("reference", "query", "reference_masks", "query_masks"):
            self.assertEqual(len({row[column] for row in rows}), 6, rows)
        for row in rows:
            for view in ("reference", "query"):
                # One of five masks is nearly the whole crop; intensities are standard scores.
                self.assertGreater(float(row[view + "_share"]), 0.1)
                self.assertLess(float(row[view + "_share"]), 0.9)
                self.assertLess(abs(float(row[view + "_mean"])), 2)
        # One parameter of the views changed: scans, masks and samples stay as they are.
        self.assertIn("1 run, 6 cached",
                      self.massflow("run", "phantoms.yaml", "--set", "gamma=[0.5, 2]"))

    def test_bad_ranges_are_located(self):
        text = self.massflow("run", "phantoms.yaml", "--set", "gamma=[2, 1]", code=2)
        self.assertIn("augment.views: weak_gamma starts at 2, above its end 1", text)
        self.assertIn("phantoms.yaml:12:", text)
        text = self.massflow("run", "phantoms.yaml", "--set", "gamma=[1]", code=2)
        self.assertIn("weak_gamma takes two numbers, a lowest and a highest; it has 1", text)

    @unittest.skipUnless(os.path.isdir(os.environ.get("MASSFLOW_DATA", "")), "no MASSFLOW_DATA")
    def test_real_scans(self):
        data = os.environ["MASSFLOW_DATA"]
        for name, modality, least in (("ct/ct_abdomen_pelvis_A.nii.gz", "CT", 50),
                                      ("mri/mr_spine_t1.nii.gz", "", 5)):
            path = "data=" + os.path.join(data, name)
            self.massflow("run", "scans.yaml", "--set", path)
            case = os.path.basename(name).split(".")[0]
            self.massflow("get", "scans.yaml", f"sample[case={case}]", "--set", path, "-o", "s.json")
            with open(os.path.join(self.folder, "s.json"), encoding="utf-8") as file:
                sample = json.load(file)
            self.assertEqual(sample["attributes"]["modality"], modality)
            self.assertGreater(sample["arrays"]["box"]["shape"][0], least)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
