#!/usr/bin/env python3
"""The graphs that ship, in small settings: test_graphs.py MASSFLOW GRAPHS

quickstart.yaml makes its own data; the others read real scans from MASSFLOW_DATA and are skipped
without it.
"""
import csv
import glob
import os
import shutil
import struct
import sys

from harness import DATA, REAL, Massflow, flags, main, nifti_bytes

GRAPHS = os.path.abspath(sys.argv[2])
SMALL = ["channels=[8,16,32,32,32]", "num_block=[1,1,1,1]", "spacing=[4,4,4]",
         "patch_size=[32,32,32]", "min_size=[32,32,32]", "sizes=[30]", "masks=4", "batch_size=1", "steps=3"]


class Graphs(Massflow):
    TIMEOUT = 900

    def line(self, command, graph, *words):
        return super().line(command, os.path.join(GRAPHS, graph), *words, "--cache", self.path("cache"))

    def rows(self, graph, node, *words):
        self.massflow("get", graph, node, *words, "-o", "rows.csv")
        return self.read_csv("rows.csv")

    def assert_picture(self, name):
        """A PNG, and not of one colour: it can't be compressed to a few bytes a row."""
        data = self.read_bytes(name)
        self.assertEqual(data[:8], b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", data[16:24])
        self.assertGreater(width, 64)
        self.assertGreater(len(data), 20 * height)

    def assert_same_grid(self, name, like):
        """Two NIfTI files have one size and place."""
        headers = [nifti_bytes(path) for path in (self.path(name), like)]
        self.assertEqual(headers[0][42:48], headers[1][42:48])
        ours, scan = (struct.unpack_from("<12f", h, 280) for h in headers)
        for a, b in zip(ours, scan):
            self.assertAlmostEqual(a, b, places=3)


class Quickstart(Graphs):
    def test_quickstart(self):
        small = flags(["steps=2", "tuning_steps=2", "train=6", "probe_train=2", "probe_test=6", "test=1"])
        out = self.massflow("run", "quickstart.yaml", *small)
        self.assertIn(", 0 cached in", out)
        losses = self.rows("quickstart.yaml", "encoder.metrics", *small)
        self.assertEqual([row["step"] for row in losses], ["1", "2"])
        for node in ("dice.summary", "dice_untrained.summary"):
            self.assertEqual(len(self.rows("quickstart.yaml", node, *small)), 9)
        for node in ("probe.metrics", "probe_untrained.metrics"):
            metrics = {row["metric"]: row["value"]
                       for row in self.rows("quickstart.yaml", node, *small)}
            self.assertTrue(0 <= float(metrics["auc"]) <= 1, metrics)
        self.massflow("get", "quickstart.yaml", "picture_masks[case=train000]", *small, "-o", "m.png")
        self.assert_picture("m.png")
        self.massflow("get", "quickstart.yaml", "picture[case=test000]", *small, "-o", "o.png")
        self.assert_picture("o.png")
        self.massflow("get", "quickstart.yaml", "picture_objects[case=example000]", *small, "-o", "t.png")
        self.assert_picture("t.png")
        self.assertIn("finished: 0 run, ", self.massflow("run", "quickstart.yaml", *small))
        self.massflow("report", "quickstart.yaml", *small, "-o", "r.html")
        page = self.read("r.html")
        self.assertEqual(page.count("<figcaption><b>loss</b></figcaption>"), 3)
        self.assertEqual(page.count("data:image/png;base64,"), 22)
        # An augmentation is not part of scans, masks and samples; training draws its pairs anew.
        again = self.massflow("plan", "quickstart.yaml", "encoder", *small, "--set", "rotate=[5, 5, 5]")
        self.assertIn("encoder                   1 to run      ", again)
        self.assertEqual(again.count("to run"), 1, again)


class Excluded(Graphs):
    def test_labels_beside_scans(self):
        """Every graph that takes a pattern can leave files out of it."""
        for name in ("a", "b", "a_labels", "._a"):
            with open(self.path(name + ".nii.gz"), "wb"):
                pass
        for graph in ("masks", "pretrain-slic", "pretrain", "sam2"):
            out = self.massflow("graph", graph + ".yaml", "--set", "data=" + self.path("*.nii.gz"),
                                "--set", "exclude=*_labels.nii.gz")
            self.assertIn(" stages, 2 cases, ", out)
            self.assertIn(f"\nglob {self.path('*.nii.gz')}: 2 cases; 1 excluded by *_labels.nii.gz; "
                          "1 hidden file passed over, such as ._a.nii.gz\n", out)


class Experiments(Graphs):
    """graphs/experiments: on phantoms that the first of them writes beside itself, so on a copy."""

    SMALL = ["steps=2", "channels=[8,16,32,32,32]", "masks=4"]

    def setUp(self):
        super().setUp()
        shutil.copytree(GRAPHS, self.path("graphs"), ignore=shutil.ignore_patterns(".massflow"))

    def graph(self, name):
        return self.path(f"graphs/experiments/{name}.yaml")

    def table(self, graph, node, settings):
        self.massflow("run", self.graph(graph), *flags(settings))
        return self.rows(self.graph(graph), node, *flags(settings))

    def test_bounds_of_intensities_the_wrong_way_round(self):
        """Every stage that normalizes checks them before anything runs."""
        for stage, inputs in (("slic.masks", "{volume: scan.volume}"),
                              ("mass.prepare", "{volume: scan.volume, masks: masks}"),
                              ("mass.features", "{volume: scan.volume, model: model}"),
                              ("mass.segment", "{model: model, references: scan.volume, labels: scan.labels,"
                                               " query: scan.volume}")):
            for name, value, words in (("window_low", 600, "window_low 600 is not below window_high"),
                                       ("percentile_low", 99.5, "percentile_low 99.5 is not below percentile_high")):
                with open(self.path("wrong.yaml"), "w", encoding="utf-8") as file:
                    file.write(f"""massflow: 1
stages:
  scan: {{use: phantom.volume}}
  masks: {{use: slic.masks, in: {{volume: scan.volume}}}}
  model: {{use: mass.init}}
  wrong: {{use: {stage}, in: {inputs}, with: {{{name}: {value}}}}}
""")
                self.assertIn(words, self.massflow("plan", self.path("wrong.yaml"), code=2), stage)

    def test_a_region_that_the_encoder_does_not_halve(self):
        with open(self.path("wrong.yaml"), "w", encoding="utf-8") as file:
            file.write("""massflow: 1
stages:
  scan: {use: phantom.volume}
  model: {use: mass.init}
  wrong: {use: mass.features, in: {volume: scan.volume, model: model}, with: {roi_size: [64, 40, 64]}}
""")
        self.assertIn("error: mass.features: roi_size: 40 is not a multiple of 16\n",
                      self.massflow("plan", self.path("wrong.yaml"), code=2))

    def test_on_phantoms(self):
        self.assertIn("finished: 20 run, ", self.massflow("run", self.graph("phantoms")))

        rows = self.table("two-datasets", "table", self.SMALL)
        both = [("ct", "ct"), ("ct", "mr"), ("mr", "ct"), ("mr", "mr")]
        self.assertEqual(sorted({(row["trained"], row["judged"]) for row in rows}), both)
        self.assertEqual(len(rows), 4 * 9)  # 8 organs, and their mean

        settings = self.SMALL + ["epochs=3"]
        rows = self.table("k-fold", "predictions", settings)
        # Every case once, and in the fold that the csv file gives it.
        with open(self.path("graphs/experiments/phantoms-ct.csv"), encoding="utf-8", newline="") as file:
            folds = {row["id"]: row["fold"] for row in csv.DictReader(file)}
        self.assertEqual({row["case"]: row["fold"] for row in rows}, folds)
        self.assertEqual(len(rows), len(folds))
        # A damaged scan is left out, and said so; the folds that it is not part of stay cached.
        self.write("graphs/experiments/phantoms/ct-plain004.nii.gz", b"no scan")
        out = self.massflow("run", self.graph("k-fold"), *flags(settings), code=1)
        self.assertIn("probe[fold=0]: continues without features[case=ct-plain004]\n", out)
        rows = self.rows(self.graph("k-fold"), "predictions", *flags(settings))
        self.assertEqual({row["case"] for row in rows}, set(folds) - {"ct-plain004"})

    def test_tables_joined(self):
        self.write("g.yaml", "massflow: 1\ncases: {count: 2, id: \"p{id}\"}\naxes: {seed: [3, 1], look: [ct, mr]}\n"
                   "stages:\n"
                   "  patient: {use: phantom.volume, each: [case, seed, look], with: {size: [16, 16, 16], "
                   "spacing: [12, 12, 12], seed: \"${seed}\", modality: \"${look}\", lesion_prob: 1}}\n"
                   "  all: {use: table.join, in: {tables: \"patient.facts[*]\"}}\n"
                   "  of: {use: table.join, each: look, in: {tables: \"patient.facts[case=p001]\"}}\n"
                   "  dice: {use: metrics.overlap, in: {pred: \"patient.labels[seed=1, look=ct]\", truth: "
                   "\"patient.labels[seed=1, look=ct]\"}}\n"
                   "  wrong: {use: table.join, in: {tables: [\"patient.facts[*]\", dice.summary]}}\n")
        out = self.massflow("run", self.path("g.yaml"), code=1)
        self.assertIn("failed: wrong\n  the table of dice has other columns than that of "
                      "patient[case=p000,seed=3,look=ct]\n", out)
        rows = self.rows(self.path("g.yaml"), "all")
        self.assertEqual(list(rows[0])[:4], ["case", "seed", "look", "lesion"])
        self.assertEqual([(row["case"], row["seed"], row["look"]) for row in rows],
                         [(case, seed, look) for case in ("p000", "p001") for seed in ("3", "1")
                          for look in ("ct", "mr")])
        # The axis that both have tells nothing.
        rows = self.rows(self.path("g.yaml"), "of[look=mr]")
        self.assertEqual(list(rows[0])[:3], ["case", "seed", "lesion"])
        self.assertEqual([(row["case"], row["seed"]) for row in rows], [("p001", "3"), ("p001", "1")])

    def test_an_axis_with_the_name_of_a_column(self):
        """What was computed for each value is joined all the same."""
        self.write("g.yaml", "massflow: 1\naxes: {lesion: [0, 1]}\nstages:\n"
                   "  patient: {use: phantom.volume, each: lesion, with: {size: [16, 16, 16], "
                   "spacing: [12, 12, 12], lesion_prob: \"${lesion}\"}}\n"
                   "  all: {use: table.join, in: {tables: \"patient.facts[*]\"}}\n"
                   "  again: {use: table.join, each: lesion, in: {tables: [\"patient.facts\"]}}\n")
        self.massflow("run", self.path("g.yaml"))
        rows = self.rows(self.path("g.yaml"), "all")
        self.assertEqual(list(rows[0])[:2], ["axis.lesion", "lesion"])
        self.assertEqual([row["axis.lesion"] for row in rows], ["0", "1"])

    @REAL
    def test_two_data_sets_on_real_scans(self):
        """Lungs of CT and spinal cords of MR: one label each."""
        def case(name, path, part):
            scan = os.path.join(DATA, path + ".nii.gz")
            return [name, scan, scan.replace(".nii", "_labels.nii"), part]
        columns = ["id", "path", "labels", "set"]
        lung, cord = "ct/ct_lung_D_", "mri/mr_spine_t"
        self.write_csv("ct.csv", columns, [case("c0", lung + "baseline", "pre"),
                                       case("c1", lung + "baseline", "train"),
                                       case("c2", lung + "followup", "test")])
        self.write_csv("mr.csv", columns, [case("m0", cord + "1", "pre"), case("m1", cord + "1", "train"),
                                       case("m2", cord + "2", "test")])
        rows = self.table("two-datasets", "table", self.SMALL + ["ct=ct.csv", "mr=mr.csv", "ct_low=-1000"])
        self.assertEqual([(row["trained"], row["judged"], row["label"], row["cases"]) for row in rows],
                         [(trained, on, label, "1") for trained in ("ct", "mr") for on in ("ct", "mr")
                          for label in ("1", "mean")])


@REAL
class RealScans(Graphs):
    def test_masks_of_a_file(self):
        scan = os.path.join(DATA, "ct/ct_upper_abdomen_A_crop.nii.gz")
        data = flags(["data=" + scan])
        self.massflow("run", "masks.yaml", *data)
        node = "[case=ct_upper_abdomen_A_crop]"
        self.massflow("get", "masks.yaml", "masks" + node, *data, "-o", "masks.nii.gz")
        self.assert_same_grid("masks.nii.gz", scan)
        self.massflow("get", "masks.yaml", "picture" + node, *data, "-o", "p.png")
        self.assert_picture("p.png")

    def test_masks_of_a_pattern(self):
        data = flags(["data=" + os.path.join(DATA, "mri/mr_spine_t[12].nii.gz")])
        self.assertIn("finished: 8 run, ", self.massflow("run", "masks.yaml", *data))

    def test_masks_of_a_dicom_folder(self):
        data = flags(["data=" + os.path.join(DATA, "dicom/mr_epi_ge")])
        self.assertIn("time series", self.massflow("run", "masks.yaml", *data, code=1))
        out = self.massflow("run", "masks.yaml", *data, "--set", "time=0")
        self.assertIn("finished: 4 run, ", out)

    def test_dicom_series_below_a_folder(self):
        self.write("g.yaml", "massflow: 1\nparams: {data: x}\ncases: {dicom: \"${data}\"}\nstages:\n"
                   "  scan: {use: volume.load, each: case, with: {path: \"${case.path}\", "
                   "series: \"${case.series}\", time: 0}}\n")
        data = flags(["data=" + os.path.join(DATA, "dicom")])
        out = self.massflow("run", self.path("g.yaml"), *data)
        self.assertIn("done     scan[case=mr_epi_ge]", out)
        self.assertIn("done     scan[case=mr_epi_siemens_mosaic]", out)
        self.assertIn("finished: 2 run, 0 cached in", out)

    def test_a_data_set_of_nnunet(self):
        """Real scans in the folders of nnU-Net v2, scan and labels each on one grid."""
        for folder in ("D/imagesTr", "D/labelsTr", "D/imagesTs"):
            os.makedirs(self.path(folder))
        for name, source in (("imagesTr/s1_0000", "mri/mr_spine_t1"),
                             ("labelsTr/s1", "mri/mr_spine_t1_labels"),
                             ("imagesTs/s2_0000", "mri/mr_spine_t2")):
            os.symlink(os.path.join(DATA, source + ".nii.gz"), self.path(f"D/{name}.nii.gz"))
        self.write("D/dataset.json", '{"channel_names": {"0": "MRI"}, "labels": {"background": 0, "cord": 1},\n'
                   ' "numTraining": 1, "file_ending": ".nii.gz"}\n')
        self.write("g.yaml", "massflow: 1\ncases: {nnunet: D}\nstages:\n"
                   "  scan: {use: volume.load, each: case, with: {path: \"${case.path}\"}}\n"
                   "  truth: {use: labels.load, each: case, where: {set: train}, in: {like: scan},"
                   " with: {path: \"${case.label}\"}}\n"
                   "  seen: {use: metrics.overlap, in: {pred: \"truth[*]\", truth: "
                   "\"truth[set=train]\"}}\n")
        self.assertIn("finished: 4 run, ", self.massflow("run", self.path("g.yaml")))
        rows = self.rows(self.path("g.yaml"), "seen.table")
        self.assertEqual([(row["case"], row["label"], float(row["dice"])) for row in rows],
                         [("s1", "1", 1.0)])

    def pretrain(self, data):
        words = flags(["data=" + os.path.join(DATA, data), *SMALL])
        self.massflow("run", "pretrain-slic.yaml", *words)
        self.massflow("get", "pretrain-slic.yaml", "model.model", *words, "-o", "encoder.safetensors")
        return words

    def test_pretrain_on_ct(self):
        words = self.pretrain("ct/ct_lung_D_*e.nii.gz")
        losses = self.rows("pretrain-slic.yaml", "model.metrics", *words)
        self.assertEqual(len(losses), 3)
        for row in losses:
            self.assertTrue(0 < float(row["loss"]) < 10, row)
        # One scan's file changed: only its chain runs, and what gathers it.
        os.mkdir(self.path("scans"))
        for path in glob.glob(os.path.join(DATA, "mri/mr_spine_t[12].nii.gz")):
            shutil.copy(path, self.path("scans"))
        words = flags(["data=" + self.path("scans/*.nii.gz"), *SMALL])
        self.massflow("run", "pretrain-slic.yaml", *words)
        shutil.copy(os.path.join(DATA, "edge/odd_no_qs_form.nii.gz"),
                    self.path("scans/mr_spine_t2.nii.gz"))
        self.assertIn("finished: 5 run, 4 cached", self.massflow("run", "pretrain-slic.yaml", *words))

    def test_pretrain_with_sam2(self):
        """From scans to an encoder by the masks of SAM 2, of which there are some."""
        small = [word for word in SMALL if not word.startswith("sizes")]
        words = flags(["data=" + os.path.join(DATA, "ct/ct_abdomen_pelvis_A.nii.gz"), *small, "points_per_side=12",
                       "crop_n_layers=0", "min_slices_per_sample=2", "physical_interval_mm=1000"])
        self.massflow("run", "pretrain.yaml", *words)
        self.massflow("get", "pretrain.yaml", "masks[case=ct_abdomen_pelvis_A]", *words, "-o", "masks.json")
        masks = self.read_json("masks.json")
        self.assertGreater(masks["arrays"]["box"]["shape"][0], 0)
        for row in self.rows("pretrain.yaml", "model.metrics", *words):
            self.assertTrue(0 < float(row["loss"]) < 10, row)

    def test_pretrain_on_dicom(self):
        words = flags(["data=" + os.path.join(DATA, "dicom/mr_epi_ge"), "time=3", *SMALL])
        self.assertIn("finished: 5 run, ", self.massflow("run", "pretrain-slic.yaml", *words))

    def test_segment_and_probe(self):
        self.pretrain("mri/mr_spine_t[12].nii.gz")
        spine = [os.path.join(DATA, f"mri/mr_spine_t{n}.nii.gz") for n in (1, 2)]
        self.write_csv("examples.csv", ["id", "path", "labels"],
                   [["t1", spine[0], spine[0].replace(".nii", "_labels.nii")]])
        words = flags(["model=encoder.safetensors", "examples=examples.csv", "data=" + spine[1],
                       "spacing=[4,4,4]", "patch_size=[32,32,32]"])
        self.massflow("run", "segment.yaml", *words)
        self.massflow("get", "segment.yaml", "found[case=mr_spine_t2]", *words, "-o", "l.nii.gz")
        self.assert_same_grid("l.nii.gz", spine[1])

        scans = [["ct/ct_upper_abdomen_A_crop.nii.gz", "ct"], ["mri/mr_spine_t1.nii.gz", "mr"],
                 ["ct/ct_lung_D_baseline.nii.gz", "ct"], ["mri/mr_spine_t2.nii.gz", "mr"]]
        self.write_csv("cases.csv", ["id", "path", "set", "label"],
                   [[str(i), os.path.join(DATA, path), "train" if i < 2 else "test", kind]
                    for i, (path, kind) in enumerate(scans)])
        words = flags(["model=encoder.safetensors", "cases=cases.csv", "spacing=[4,4,4]",
                       "roi_size=[32,32,32]", "epochs=5"])
        self.massflow("run", "probe.yaml", *words)
        metrics = {row["metric"]: float(row["value"])
                   for row in self.rows("probe.yaml", "probe.metrics", *words)}
        self.assertEqual(sum(metrics[f"{a} as {b}"] for a in ("ct", "mr") for b in ("ct", "mr")), 2)
        # The encoder's file is known by its content.
        shutil.copy(self.path("encoder.safetensors"), self.path("renamed.safetensors"))
        words[1] = "model=renamed.safetensors"
        self.assertIn("finished: 0 run, ", self.massflow("run", "probe.yaml", *words))


if __name__ == "__main__":
    main(2)
