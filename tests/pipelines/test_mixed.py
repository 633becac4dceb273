#!/usr/bin/env python3
"""Several data sets in one training, by weight: test_mixed.py MASSFLOW PAIRS_PLUGIN GRAPHS

Scans are of one value each, so that a view says which scan it shows.
"""
import json
import os
import re
import shutil
import sys

from harness import Massflow, flags, main, write_nifti
from test_official import GOLDEN, npy

PLAIN = ", ".join(f"{view}_{what}: 0" for view in ("weak", "strong") for what in (
    "affine_prob", "brightness_prob", "brightness_additive_prob", "gamma_prob", "contrast_prob", "blur_prob",
    "gaussian_noise_prob"))
GRAPH = """massflow: 1
cases: {csv: cases.csv}
stages:
  it: {use: mass.import, each: case, with: {image: "${case.path}", masks: %s/mass_masks.h5, group: "${case.group}", weight: "${case.weight}"}}
  views: {use: augment.views, in: {samples: "it.sample[*]"}, with: {patch_size: [16, 4, 4], margin: 0, masks: 2, sampling: %%s, %s}}
  table: {use: pairs.read, in: {pairs: views}, with: {count: 400}}
export: {table: t.csv}
""" % (GOLDEN, PLAIN)


class Mixed(Massflow):
    PLUGINS = (os.path.abspath(sys.argv[2]),)

    def drawn(self, sampling, weights):
        """How often each scan is shown in 400 pairs."""
        for i in range(3):
            self.write(f"{i}.npy", npy((4, 6, 40), [i] * 960))
        groups = ("plain", "gzip", "none")
        self.write_csv("cases.csv", ("id", "path", "group", "weight"),
                       [(f"p{i}", f"{i}.npy", groups[i], weights[i]) for i in range(3)])
        self.write("g.yaml", GRAPH % sampling)
        self.massflow("run", "g.yaml")
        shown = [float(row["reference_mean"]) for row in self.read_csv("t.csv")]
        return [shown.count(i) for i in range(3)]

    def test_each(self):
        """A scan without masks gives its place to the next."""
        counts = self.drawn("each", (6, 2, 1))
        self.assertEqual((sum(counts), counts[2]), (400, 0))
        self.assertTrue(all(count > 130 for count in counts[:2]), counts)

    def test_weighted(self):
        """3 to 1 within five standard deviations; a scan without masks is not drawn."""
        counts = self.drawn("weighted", (6, 2, 1))
        self.assertEqual((sum(counts), counts[2]), (400, 0))
        self.assertLess(abs(counts[0] - 300), 44)
        self.assertEqual(self.drawn("weighted", (0, 2, 1)), [0, 400, 0])

    def test_nothing_to_draw(self):
        for i in range(3):
            self.write(f"{i}.npy", npy((4, 6, 40), [i] * 960))
        self.write_csv("cases.csv", ("id", "path", "group", "weight"),
                       [("a", "0.npy", "plain", 0), ("b", "1.npy", "none", 5)])
        self.write("g.yaml", GRAPH % "weighted")
        self.assertIn("none of the 2 samples has a mask and a weight above 0\n  weight: of mass.prepare or mass.import",
                      self.massflow("run", "g.yaml", code=1))
        self.write_csv("cases.csv", ("id", "path", "group", "weight"), [("a", "0.npy", "plain", -1)])
        self.assertIn("weight", self.massflow("graph", "g.yaml", code=2))

    def test_graph(self):
        """graphs/pretrain-mixed.yaml on 15 folders of the official layout, each with a scan to train on and one for tests."""
        write_nifti(self.path("a.nii"), (16, 16, 16), [(i * i) % 300 for i in range(4096)])
        write_nifti(self.path("l.nii"), (16, 16, 16), [i // 2048 for i in range(4096)])
        self.write("out.yaml", """massflow: 1
cases: {list: [{id: "1", path: a.nii}]}
stages:
  scan: {use: volume.load, each: case, with: {path: "${case.path}", modality: mr}}
  truth: {use: labels.load, each: case, in: {like: scan}, with: {path: l.nii}}
  masks: {use: labels.masks, each: case, in: {labels: truth}}
  prepared: {use: mass.prepare, each: case, in: {volume: scan, masks: masks}, with: {spacing: [1, 1, 1], min_size: [16, 16, 16]}}
  all: {use: mass.export, in: {samples: "prepared[*]"}}
export: {prepared: "1_image.npy", all: dataset.h5}
""")
        self.massflow("run", "out.yaml")
        graph = os.path.join(os.path.abspath(sys.argv[3]), "pretrain-mixed.yaml")
        with open(graph, encoding="utf-8") as file:
            names = re.findall(r"{root}/(\w+)", file.read())
        self.assertEqual(len(names), 15)
        for name in names:
            os.makedirs(self.path(f"mass_h5/{name}"))
            shutil.copy(self.path("dataset.h5"), self.path(f"mass_h5/{name}"))
            for number in 1, 2:  # 2 has no masks in dataset.h5: it is never read
                shutil.copy(self.path("1_image.npy"), self.path(f"mass_h5/{name}/{number}_image.npy"))
        self.write("splits.json", json.dumps({f"{name}_{part}": [number] for name in names
                                              for part, number in (("train", 1), ("test", 2))}))
        settings = flags(["channels=[1, 1, 32, 32, 32]", "num_block=[1, 1, 1, 1]", "patch_size=[16, 16, 16]"], root="mass_h5",
                         splits="splits.json", pos_embed_size=16, masks=1, steps=1, batch_size=2)
        text = self.massflow("run", graph, "--log", "json", "--cache", "c", *settings)
        self.assertIn("finished", text)
        self.assertIn("sample[case=bcv-1]", text)
        self.assertNotIn("bcv-2", text)
        self.massflow("get", graph, "model", "--cache", "c", "-o", "mass_base.pth", *settings)
        self.assertEqual(self.read_bytes("mass_base.pth")[:4], b"PK\3\4")


if __name__ == "__main__":
    main(3)
