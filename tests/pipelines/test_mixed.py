#!/usr/bin/env python3
"""Several data sets in one training, by weight: test_mixed.py MASSFLOW PAIRS_PLUGIN

Scans are of one value each, so that a view says which scan it shows.
"""
import os
import sys

from harness import Massflow, main
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


if __name__ == "__main__":
    main(2)
