#!/usr/bin/env python3
"""From scans to pairs through the command: test_data.py MASSFLOW PAIRS.so

Supervoxels must mark organs that nobody named, samples must lie where their scans lie, and a
changed parameter must run what depends on it and nothing else. Real scans are read from
MASSFLOW_DATA; without it that test is skipped.
"""
import collections
import csv
import os
import sys

from harness import DATA, REAL, Massflow, flags, main, read_nifti, write_nifti

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
           with: {spacing: [4, 4, 8], min_size: "${pad}"}}
  views: {use: augment.views, in: {samples: "sample[*]"},
          with: {patch_size: [32, 32, 24], masks: 5, weak_gamma_range: "${gamma}", seed: "${seed}"}}
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
           with: {spacing: [3, 3, 3], min_size: [32, 32, 32]}}
"""

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


class Graphs(Massflow):
    TIMEOUT = 240

    def setUp(self):
        super().setUp()
        self.write("phantoms.yaml", PHANTOMS)
        self.write("scans.yaml", SCANS)

    def line(self, *words):
        return [*super().line(*words), "--plugins", PLUGINS]

    def facts(self, graph, node):
        self.massflow("get", graph, node, "-o", "facts.json")
        return self.read_json("facts.json")


class Data(Graphs):
    def test_supervoxels_mark_organs(self):
        self.massflow("run", "phantoms.yaml", "masks")
        self.massflow("get", "phantoms.yaml", "masks[case=000]", "-o", "masks.nii.gz")
        self.massflow("get", "phantoms.yaml", "scan[case=000].labels", "-o", "labels.nii.gz")
        labels, = read_nifti(self.path("labels.nii.gz"))[1]
        dice = best_dice(read_nifti(self.path("masks.nii.gz"))[1], labels)
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
        words = flags(settings)
        self.massflow("run", "phantoms.yaml", "read", *words)
        self.massflow("get", "phantoms.yaml", "read", *words, "-o", "rows.csv")
        return self.read_csv("rows.csv")

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
        self.assertIn("augment.views: weak_gamma_range: minimum 2, above the maximum 1", text)
        self.assertIn("phantoms.yaml:12:", text)
        text = self.massflow("run", "phantoms.yaml", "--set", "gamma=[1]", code=2)
        self.assertIn("weak_gamma_range takes two numbers, minimum and maximum; it has 1", text)

    @REAL
    def test_real_scans(self):
        for name, modality, least in (("ct/ct_abdomen_pelvis_A.nii.gz", "CT", 50),
                                      ("mri/mr_spine_t1.nii.gz", "", 5)):
            path = "data=" + os.path.join(DATA, name)
            self.massflow("run", "scans.yaml", "--set", path)
            case = os.path.basename(name).split(".")[0]
            self.massflow("get", "scans.yaml", f"sample[case={case}]", "--set", path, "-o", "s.json")
            sample = self.read_json("s.json")
            self.assertEqual(sample["attributes"]["modality"], modality)
            self.assertGreater(sample["arrays"]["box"]["shape"][0], least)


BODIES = """massflow: 1
params: {how: auto}
cases: {csv: cases.csv}
stages:
  scan: {use: volume.load, each: case, with: {path: "${case.path}", modality: "${case.modality}"}}
  body: {use: body.mask, each: case, in: {volume: scan}, with: {method: "${how}"}}
"""

LABELS = """  labels: {use: labels.load, each: case, where: {labelled: "yes"}, in: {like: scan}, with: {path: "${case.label}"}}
"""

FOUND = """massflow: 1
params: {outside: auto, most: 10}
cases: {csv: cases.csv}
stages:
  scan: {use: volume.load, each: case, with: {path: "${case.path}", modality: "${case.modality}"}}
  found: {use: slic.masks, each: case, in: {volume: scan},
          with: {sizes: [12], body_method: "${outside}", min_voxels: 300, max_masks: "${most}", min_edge_fraction: 0.05}}
"""


class Bodies(Graphs):
    """The body of scans with and without a background; what slic.masks says it left out."""

    def cases(self, rows, more=""):
        self.write("bodies.yaml", BODIES + more)
        with open(self.path("cases.csv"), "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("id", "path", "modality", "label", "labelled"), *rows])

    def inside(self, case, labelled=True):
        """Shares of the volume, and of the labels, that lie in the body."""
        self.massflow("get", "bodies.yaml", f"body[case={case}]", "-o", "body.nii.gz")
        body, = read_nifti(self.path("body.nii.gz"))[1]
        if not labelled:
            return sum(map(bool, body)) / len(body), None
        self.massflow("get", "bodies.yaml", f"labels[case={case}]", "-o", "labels.nii.gz")
        labels, = read_nifti(self.path("labels.nii.gz"))[1]
        both = sum(1 for b, l in zip(body, labels) if b and l)
        return sum(map(bool, body)) / len(body), both / sum(map(bool, labels))

    def make(self):
        """Tissue in two shades up to every border, and a block of it in air."""
        crop, air = [], []
        for z in range(24):
            for y in range(24):
                for x in range(24):
                    shade = (400 if x + y < 22 else 700) + (x * 7 + y * 5 + z * 3) % 23
                    crop.append(30 if (x * y + z) % 37 == 0 else shade)
                    air.append(shade if 5 <= x < 19 and 4 <= y < 20 else (x * 3 + y * 5 + z * 7) % 11)
        write_nifti(self.path("crop.nii.gz"), [24, 24, 24], crop, spacing=(2, 2, 2))
        write_nifti(self.path("air.nii.gz"), [24, 24, 24], air, spacing=(2, 2, 2))
        self.cases([("crop", "crop.nii.gz", "mr", "", "no"), ("air", "air.nii.gz", "mr", "", "no")])

    def test_a_crop_and_a_scan_in_air(self):
        """The crop is body everywhere, though its darker half is below Otsu's level."""
        self.make()
        out = self.massflow("run", "bodies.yaml", "body")
        self.assertIn("body[case=crop]: no background: no padding, and dark regions at the border (at most 99.2)"
                      " hold 0.0% of the volume (5% would be air); the body is the whole volume\n", out)
        self.assertIn("body[case=air]: background: air at the border (at most 25) 61.1% of the volume; the body is "
                      "the rest, 38.9%\n", out)
        self.assertEqual(self.inside("crop", False)[0], 1)
        self.assertEqual(self.inside("air", False)[0], 14 * 16 / 24 / 24)
        out = self.massflow("run", "bodies.yaml", "body", "--set", "how=none")
        self.assertIn("body[case=air]: the body is the whole volume, as requested\n", out)
        out = self.massflow("run", "bodies.yaml", "body", "--set", "how=threshold")
        self.assertIn("body[case=air]: the body is above -500: 100.0% of the volume\n", out)

    def test_what_slic_leaves_out(self):
        self.make()
        self.write("bodies.yaml", FOUND)
        out = self.massflow("run", "bodies.yaml", "found")
        self.assertIn("found[case=crop]: no background: ", out)
        lines = [line for line in out.splitlines() if " supervoxels and unions" in line]
        self.assertEqual(sorted(lines), [
            "found[case=air]: 10 masks of 67 supervoxels and unions; dropped: 48 outside of the body, 6 of less than "
            "300 voxels (min_voxels), 3 over the limit (max_masks)",
            "found[case=crop]: 8 masks of 61 supervoxels and unions; dropped: 51 of less than 300 voxels "
            "(min_voxels), 2 with less visible edge than 0.05 (min_edge_fraction)"])
        # However few are allowed, there are unions among them: one is larger than the largest supervoxel.
        out = self.massflow("run", "bodies.yaml", "found", "--set", "most=2")
        self.assertIn("found[case=air]: 2 masks of 67 supervoxels and unions; dropped: 48 outside of the body, 6 of "
                      "less than 300 voxels (min_voxels), 11 over the limit (max_masks)\n", out)
        self.massflow("get", "bodies.yaml", "found[case=air]", "-o", "found.nii.gz")
        self.assertEqual([sum(map(bool, mask)) for mask in read_nifti(self.path("found.nii.gz"))[1]], [3668, 4517])
        out = self.massflow("run", "bodies.yaml", "found", "--set", "outside=none")
        self.assertIn("found[case=air]: the body is the whole volume, as requested\n", out)
        out = self.massflow("run", "bodies.yaml", "found", "--set", "outside=otsu")
        self.assertIn("found[case=air]: the body is 38.9% of the volume (otsu)\n", out)

    @REAL
    def test_real_scans(self):
        """All labels lie in the body, and where there is air around it does not; docs/samples.md."""
        wanted, rows = {}, []
        for name, modality, share in (("ct/ct_abdomen_pelvis_A", "ct", 0.649), ("ct/ct_upper_abdomen_A_crop", "ct", 0.667),
                                      ("ct/cta_thoracic_aorta_dissection_C", "ct", 0.978),
                                      ("ct/ct_lung_D_baseline", "ct", 0.905), ("ct/ct_lung_D_followup", "ct", 0.904),
                                      ("mri/mr_upper_abdomen", "mr", 0.804), ("mri/mr_brain_F_fs", "mr", 0.389),
                                      ("mri/mr_brain_oasis_B", "mr", 0.540), ("mri/mr_spine_t1", "mr", 1),
                                      ("mri/mr_spine_t2", "mr", 1)):
            path = os.path.join(DATA, name)
            rows.append((os.path.basename(name), path + ".nii.gz", modality, path + "_labels.nii.gz", "yes"))
            wanted[rows[-1][0]] = share
        for name, few in (("msd_hippocampus", 10), ("chaos_mr_t2", 4), ("ixi_brain_2mm", 4)):
            with open(os.path.join(DATA, "sets", name, "cases.csv"), encoding="utf-8", newline="") as file:
                for row in list(csv.DictReader(file))[:few]:
                    image, label = (os.path.join(DATA, "sets", name, row[k]) for k in ("image", "label"))
                    rows.append((row["id"], image, "mr", label, "yes"))
                    wanted[row["id"]] = 1 if name == "msd_hippocampus" else None
        stripped = ("mr_brain_oasis_A", "mr_brain_colin27")
        for name, label in zip(stripped, ("mr_brain_oasis_A_labels", "mr_brain_colin27_aal_labels")):
            rows.append((name, os.path.join(DATA, "mri", name + ".nii.gz"), "mr",
                         os.path.join(DATA, "mri", label + ".nii.gz"), "yes"))
        rows.append(("pet", os.path.join(DATA, "pet/pet_brain_template.nii"), "pet", "", "no"))
        self.cases(rows, LABELS)
        self.massflow("run", "bodies.yaml")
        for case, share in wanted.items():
            with self.subTest(case):
                body, labels = self.inside(case)
                self.assertGreaterEqual(labels, 0.99)
                if share:
                    self.assertAlmostEqual(body, share, delta=0.0006)
                else:
                    self.assertTrue(0.4 < body < 0.7, body)
        self.assertAlmostEqual(self.inside("pet", False)[0], 0.583, delta=0.0006)
        # Labels of an atlas, and of the head before it was stripped: what is outside lies where the scan is 0.
        for case in stripped:
            with self.subTest(case):
                body, labels, scan = [], [], []
                for node, voxels in (("body", body), ("labels", labels), ("scan", scan)):
                    self.massflow("get", "bodies.yaml", f"{node}[case={case}]", "-o", "v.nii.gz")
                    voxels.extend(read_nifti(self.path("v.nii.gz"))[1][0])
                self.assertEqual(sum(1 for b, l, v in zip(body, labels, scan) if l and v and not b), 0)
                self.assertGreater(sum(1 for b, l in zip(body, labels) if l and not b), 0)


class Measures(Graphs):
    """Labels in both, in one or in neither of prediction and truth: no "nan", no "-nan", counts."""

    GRAPH = """massflow: 1
cases: {list: [{id: both}, {id: missed}, {id: invented}, {id: neither}]}
stages:
  pred: {use: labels.load, each: case, with: {path: "${case.id}_pred.nii.gz"}}
  truth: {use: labels.load, each: case, with: {path: "${case.id}_truth.nii.gz"}}
  seen: {use: metrics.overlap, in: {pred: "pred[*]", truth: "truth[*]"}, with: {labels: [1, 2], surface_distances: %s}}
  free: {use: metrics.overlap, in: {pred: "pred[case=neither]", truth: "truth[case=neither]"}}
"""

    def write_cases(self, surfaces="true"):
        self.write("g.yaml", self.GRAPH % surfaces)
        block = [int(i % 6 in (2, 3) and i // 6 % 6 in (2, 3)) for i in range(216)]
        for case, pred, truth in (("both", 1, 1), ("missed", 0, 1), ("invented", 1, 0), ("neither", 0, 0)):
            for name, there in (("pred", pred), ("truth", truth)):
                write_nifti(self.path(f"{case}_{name}.nii.gz"), [6, 6, 6], [there * v for v in block], "B", (2, 2, 2))

    def table(self, node):
        self.massflow("get", "g.yaml", node, "-o", "t.csv")
        text = self.read("t.csv")
        self.massflow("get", "g.yaml", node, "-o", "t.json")
        rows = self.read_json("t.json", parse_constant=self.fail)["rows"]
        shown = self.massflow("show", "g.yaml", node)
        for said in (text, shown):
            self.assertNotIn("nan", said)
        return text.splitlines(), rows

    def test_all_combinations(self):
        self.write_cases()
        out = self.massflow("run", "g.yaml")
        self.assertNotIn("nan", out)
        self.assertIn("seen: mean over 3 labels of all cases: Dice 0.3333, HD95 0.00 mm, ASD 0.00 mm; distances over the "
                      "1 in both; 5 in neither, excluded\n", out)
        self.assertIn("free: nothing to compare: neither predictions nor truth contain a label\n", out)
        lines, rows = self.table("seen.table")
        self.assertEqual(lines, ["case,label,dice,hd95_mm,asd_mm,pred_ml,truth_ml,note",
                                 "both,1,1,0,0,0.192,0.192,",
                                 "both,2,,,,0,0,in neither",
                                 "invented,1,0,,,0.192,0,false positive",
                                 "invented,2,,,,0,0,in neither",
                                 "missed,1,0,,,0,0.192,false negative",
                                 "missed,2,,,,0,0,in neither",
                                 "neither,1,,,,0,0,in neither",
                                 "neither,2,,,,0,0,in neither"])
        self.assertEqual([(row["dice"], row["hd95_mm"]) for row in rows[:3]], [(1, 0), (None, None), (0, None)])
        lines, rows = self.table("seen.summary")
        self.assertEqual(lines, ["label,cases,dice,hd95_mm,asd_mm,false_negatives,false_positives,distance_cases,empty",
                                 "1,3,0.3333333333333333,0,0,1,1,1,1",
                                 "2,0,,,,0,0,0,4",
                                 "mean,3,0.3333333333333333,0,0,1,1,1,5"])
        self.assertEqual([row["label"] for row in rows], ["1", "2", "mean"])
        self.assertIsNone(rows[1]["dice"])
        lines, rows = self.table("free.summary")
        self.assertEqual(lines[1:], ["mean,0,,,,0,0,0,0"])
        self.massflow("report", "g.yaml", "-o", "r.html")
        self.assertNotIn(">nan<", self.read("r.html").replace("-nan", "nan"))

    def test_without_distances(self):
        self.write_cases("false")
        self.assertIn("seen: mean over 3 labels of all cases: Dice 0.3333; 5 in neither, excluded\n",
                      self.massflow("run", "g.yaml"))


if __name__ == "__main__":
    main(2)
