#!/usr/bin/env python3
"""Stages that compare: masks with labels, tables with tables: test_comparison.py MASSFLOW"""
import os

from harness import Massflow, main, write_nifti

SIZE = (10, 4, 2)  # x y z


def blocks(*wanted, size=SIZE):
    """A label map: each of (label, (x0, x1), (y0, y1)) over all z."""
    voxels = [0] * (size[0] * size[1] * size[2])
    for label, xs, ys in wanted:
        for z in range(size[2]):
            for y in range(*ys):
                for x in range(*xs):
                    voxels[(z * size[1] + y) * size[0] + x] = label
    return voxels


class Comparison(Massflow):
    ALL_Y = (0, 4)

    def label_map(self, name, *wanted, size=SIZE, spacing=(1, 2, 3)):
        write_nifti(self.path(name), size, blocks(*wanted, size=size), spacing=spacing)

    def graph(self, stages, head='cases: {glob: "truth/{id}.nii"}\n'):
        self.write("g.yaml", f"massflow: 1\n{head}stages:\n{stages}")

    def rows(self, node):
        self.massflow("get", "g.yaml", node, "-o", "rows.csv")
        return self.read_csv("rows.csv")

    def fails(self, node):
        """What the node says, whole."""
        out = self.massflow("run", "g.yaml", node, code=1)
        return out.split(f"\nfailed: {node}\n  ", 1)[1].split("\n  retry: ", 1)[0]


MASKS = """
  truth: {use: labels.load, each: case, with: {path: "${case.path}"}}
  guess: {use: labels.load, each: case, with: {path: "guess/${case.id}.nii"}}
  body: {use: labels.load, each: case, with: {path: "body/${case.id}.nii"}}
  masks: {use: labels.masks, each: case, in: {labels: guess}}
  quality: {use: metrics.masks, in: {masks: "masks[*]", labels: "truth[*]"}}
  inside: {use: metrics.masks, in: {masks: "masks[*]", labels: "truth[*]", body: "body[*]"}, with: {labels: [7, 12]}}
"""


class Masks(Comparison):
    """Voxels of 6 mm3. Masks are the labels of another map."""

    def setUp(self):
        super().setUp()
        for folder in ("truth", "guess", "body"):
            os.mkdir(self.path(folder))
        # a: label 3 has 16 voxels, 7 has 16. Masks of 24, 8 and 8 voxels; the last meets no label.
        self.label_map("truth/a.nii", (3, (0, 2), self.ALL_Y), (7, (4, 6), self.ALL_Y))
        self.label_map("guess/a.nii", (1, (0, 3), self.ALL_Y), (2, (4, 6), (0, 2)), (5, (8, 10), (0, 2)))
        self.label_map("body/a.nii", (1, (0, 5), self.ALL_Y))
        # b: label 7 alone, 8 voxels, in no mask; one mask of 16.
        self.label_map("truth/b.nii", (7, (9, 10), self.ALL_Y))
        self.label_map("guess/b.nii", (1, (0, 2), self.ALL_Y))
        self.label_map("body/b.nii", (1, (0, 10), self.ALL_Y))
        self.graph(MASKS)

    def test_numbers(self):
        self.massflow("run", "g.yaml")
        columns = ["case", "label", "dice", "mask", "mask_mm3", "label_mm3", "note"]
        self.assertEqual([[row[name] for name in columns] for row in self.rows("quality.table")],
                         [["a", "3", "0.8", "0", "144", "96", ""],
                          ["a", "7", "0.6666666666666666", "1", "48", "96", ""],
                          ["b", "7", "0", "", "", "48", "in no mask"]])
        case_a = {"case": "a", "masks": "3", "dice": "0.7333333333333334", "found": "1",
                  "matching": "0.6666666666666666", "labels_covered": "0.75", "body_covered": "0.5",
                  "mm3_min": "48", "mm3_median": "48", "mm3_max": "144"}
        case_b = {"case": "b", "masks": "1", "dice": "0", "found": "0", "matching": "0", "labels_covered": "0",
                  "body_covered": "0.2", "mm3_min": "96", "mm3_median": "96", "mm3_max": "96"}
        self.assertEqual(self.rows("quality.cases"), [case_a, case_b])
        self.assertEqual(self.rows("quality.summary"), [
            {"cases": "2", "masks": "2", "dice": "0.48888888888888893", "found": "0.6666666666666666",
             "matching": "0.3333333333333333", "labels_covered": "0.375", "body_covered": "0.35", "mm3_min": "48",
             "mm3_median": "72", "mm3_max": "144"}])

    def test_chosen_labels_in_the_body(self):
        self.massflow("run", "g.yaml")
        self.assertEqual([(row["case"], row["label"], row["dice"], row["note"]) for row in self.rows("inside.table")],
                         [("a", "7", "0.6666666666666666", ""), ("a", "12", "", "not in the label map"),
                          ("b", "7", "0", "in no mask"), ("b", "12", "", "not in the label map")])
        self.assertEqual([(row["matching"], row["labels_covered"], row["body_covered"]) for row in
                          self.rows("inside.cases")],
                         [("0.3333333333333333", "0.5", "0.7"), ("0", "0", "0.2")])

    def test_none_of_the_chosen_labels(self):
        """Masks of a case without the label are not counted as masks that do not match."""
        self.graph(MASKS.replace("[7, 12]", "[3]"))
        self.massflow("run", "g.yaml", "inside")
        self.assertEqual([(row["case"], row["masks"], row["dice"], row["matching"], row["labels_covered"])
                          for row in self.rows("inside.cases")],
                         [("a", "3", "0.8", "0.3333333333333333", "1"), ("b", "1", "", "", "")])
        row, = self.rows("inside.summary")
        self.assertEqual((row["cases"], row["dice"], row["matching"]), ("2", "0.8", "0.3333333333333333"))

    def test_what_does_not_go_together(self):
        self.label_map("truth/b.nii")
        self.assertEqual(self.fails("quality"), "case b: the label map is empty\n"
                         "  leave the case out with `where`, or check its file")
        self.label_map("truth/b.nii", (7, (9, 10), self.ALL_Y))
        self.label_map("body/b.nii")
        self.assertEqual(self.fails("inside"), "case b: the body mask is empty\n"
                         "  leave the case out with `where`, or check its file")
        self.label_map("truth/b.nii", (7, (0, 1), (0, 1)), size=(10, 4, 3))
        self.assertEqual(self.fails("quality"), "case b: masks (10 x 4 x 2) and label map (10 x 4 x 3) lie on "
                         "different grids\n  load labels with labels.load, with the scan as its input `like`")
        self.label_map("truth/b.nii", (7, (9, 10), self.ALL_Y), spacing=(1, 2, 2))
        self.assertEqual(self.fails("quality"), "case b: masks (10 x 4 x 2) and label map (10 x 4 x 2) lie on "
                         "different grids\n  load labels with labels.load, with the scan as its input `like`")
        self.graph(MASKS.replace('labels: "truth[*]"}}', 'labels: "truth[case=a]"}}'))
        self.assertEqual(self.fails("quality"), "case b has masks but no label map")
        self.label_map("truth/b.nii", (7, (9, 10), self.ALL_Y))
        self.graph(MASKS.replace('labels: "truth[*]"}}', 'labels: ["truth[*]", "guess[*]"]}}'))
        self.assertEqual(self.fails("quality"), "case a is twice in the input labels: truth[case=a] and guess[case=a]\n"
                         "  choose one, as in \"labels[seed=1]\", or give the stage the axis")
        self.graph(MASKS + '  dice: {use: metrics.overlap, in: {pred: "guess[*]", truth: ["truth[*]", "guess[case=b]"]}}\n')
        self.assertEqual(self.fails("dice"), "case b is twice in the input truth: truth[case=b] and guess[case=b]\n"
                         "  choose one, as in \"labels[seed=1]\", or give the stage the axis")
        self.label_map("body/b.nii", (1, (0, 10), self.ALL_Y))
        self.graph(MASKS.replace("[7, 12]", "[12]"))
        self.assertEqual(self.fails("inside"), "no case has one of the labels that are compared\n"
                         "  check the parameter labels")

    def test_no_masks(self):
        """A scan in which a method finds nothing is not left out of its mean."""
        self.label_map("guess/b.nii")
        self.massflow("run", "g.yaml", "quality")
        self.assertEqual(self.rows("quality.cases")[1],
                         {"case": "b", "masks": "0", "dice": "0", "found": "0", "matching": "", "labels_covered": "0",
                          "body_covered": "0", "mm3_min": "", "mm3_median": "", "mm3_max": ""})
        self.assertEqual(self.rows("quality.summary")[0]["matching"], "0.6666666666666666")

    def test_volumes_as_features(self):
        self.graph("""
  truth: {use: labels.load, each: case, with: {path: "${case.path}"}}
  all: {use: labels.volumes, each: case, in: {labels: truth}}
  some: {use: labels.volumes, each: case, in: {labels: truth}, with: {labels: [7, 3, 1]}}
""")
        self.massflow("run", "g.yaml")
        self.assertRegex(self.massflow("show", "g.yaml", "all[case=a]"), r"f32 \[1, 1, 1, 1\]  min 0.192  max 0.192 ")
        self.assertRegex(self.massflow("show", "g.yaml", "some[case=b]"),
                         r"f32 \[3, 1, 1, 1\]  min 0  max 0.048  mean 0.016")
        self.label_map("truth/b.nii")
        self.assertEqual(self.fails("all[case=b]"), "the label map is empty\n"
                         "  leave the case out with `where`, or check its file")
        self.graph("  all: {use: labels.volumes, in: {labels: truth}, with: {labels: [7, 3, 7]}}\n"
                   "  truth: {use: labels.load, with: {path: truth/a.nii}}\n", "")
        self.assertIn("labels: 7 is named twice\n", self.massflow("graph", "g.yaml", code=2))

    def test_features_that_are_all_the_same(self):
        """A label that no case has: an AUC of 0.5 would look like a result."""
        for name, label in (("c", 3), ("d", 7)):
            self.label_map(f"truth/{name}.nii", (label, (0, 4), self.ALL_Y))
        graph = """
  truth: {use: labels.load, each: case, with: {path: "${case.path}"}}
  volume: {use: labels.volumes, each: case, in: {labels: truth}, with: {labels: [12, 13]}}
  probe:
    use: probe.train
    in: {train: "volume[*]", test: "volume[*]"}
    with: {target: kind, pooling: mean, standardize: true, epochs: 1}
"""
        self.write_csv("cases.csv", ["id", "path", "kind"],
                       [[name, f"truth/{name}.nii", kind] for name, kind in ("ax", "by", "cx", "dy")])
        head = "cases: {csv: cases.csv}\n"
        self.graph(graph, head)
        self.assertEqual(self.fails("probe"), "all 4 training cases have the same features\n"
                         "  check what the features are computed from: for labels.volumes, that its `labels` are in "
                         "the label maps")
        self.graph(graph.replace("[12, 13]", "[12, 7]"), head)
        self.massflow("run", "g.yaml", "probe")


TABLES = """
  truth: {use: labels.load, each: [case, seed], with: {path: "${case.path}"}}
  dice: {use: metrics.overlap, each: seed, in: {pred: "truth[*]", truth: "truth[*]"}}
  one: {use: table.join, in: {tables: "dice.table[*]"}, with: {column: method, value: first}}
  two: {use: table.join, in: {tables: "dice.table[*]"}, with: {column: method, value: "2"}}
  both: {use: table.join, in: {tables: [one, two]}}
  mean: {use: table.summarize, in: {table: both}, with: {by: "method, label", of: "truth_ml, hd95_mm"}}
  some: {use: table.summarize, in: {table: both}, with: {of: truth_ml, where: "method=first, label=7, seed=1"}}
  every: {use: table.summarize, in: {table: one}, with: {by: case}}
  wrong: {use: table.summarize, in: {table: one}, with: {BY}}
"""


class Tables(Comparison):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("truth"))
        self.label_map("truth/a.nii", (3, (0, 2), self.ALL_Y), (7, (4, 6), self.ALL_Y))  # 0.096 ml each
        self.label_map("truth/b.nii", (7, (8, 10), (0, 2)))                              # 0.048 ml

    HEAD = 'cases: {glob: "truth/{id}.nii"}\naxes: {seed: [1, 2]}\n'

    def test_means(self):
        self.graph(TABLES.replace("BY", "by: case"), self.HEAD)
        self.massflow("run", "g.yaml")
        rows = self.rows("both")
        self.assertEqual(list(rows[0])[:4], ["method", "seed", "case", "label"])
        self.assertEqual([row["method"] for row in rows], ["first"] * 6 + ["2"] * 6)
        rows = self.rows("mean")
        self.assertEqual(list(rows[0]), ["method", "label", "rows", "truth_ml", "truth_ml_sd", "truth_ml_n", "hd95_mm",
                                         "hd95_mm_sd", "hd95_mm_n"])
        self.assertEqual([(row["method"], row["label"], row["rows"]) for row in rows],
                         [("first", "3", "2"), ("first", "7", "4"), ("2", "3", "2"), ("2", "7", "4")])
        self.assertEqual((rows[0]["truth_ml"], rows[0]["truth_ml_sd"]), ("0.096", "0"))
        # 0.096, 0.048 twice: mean 0.072; each is 0.024 away, sd = sqrt(4 x 0.024^2 / 3).
        self.assertAlmostEqual(float(rows[1]["truth_ml"]), 0.072, 15)
        self.assertAlmostEqual(float(rows[1]["truth_ml_sd"]), 0.024 * (4 / 3)**0.5, 15)
        self.assertEqual(rows[1]["truth_ml_n"], "4")
        row, = self.rows("some")
        self.assertEqual((row["rows"], row["truth_ml_n"]), ("2", "2"))
        # Without `of`: all numbers, here of each case; a standard deviation of one value is empty.
        rows = self.rows("every")
        self.assertEqual(list(rows[0])[:5], ["case", "rows", "seed", "seed_sd", "seed_n"])
        self.assertEqual([(row["case"], row["rows"], row["seed"]) for row in rows],
                         [("a", "4", "1.5"), ("b", "2", "1.5")])

    def test_columns_that_are_not_there(self):
        columns = "method, seed, case, label, dice, hd95_mm, asd_mm, pred_ml, truth_ml, note"
        for setting, words in (
                ("by: shots", "by: the table has no column 'shots'\n  its columns: " + columns),
                ('of: "dice, cas"', "of: the table has no column 'cas'\n  its columns: " + columns),
                ("of: note", "of: the column 'note' holds texts\n  a mean is one of numbers"),
                ('by: "case, case"', "by: the column 'case' is named twice"),
                ("by: dice, of: dice", "of: the column 'dice' is named twice"),
                ("where: seed", "where: 'seed' is not COLUMN=VALUE\n  as in where: \"label=mean, shots=3\""),
                ("where: shots=1", "where: the table has no column 'shots'\n  its columns: " + columns),
                ("where: seed=one", "where: the column 'seed' holds numbers, and 'one' is none"),
                ("where: seed=3", "where: no row has seed=3\n  values of 'seed': 1, 2"),
                ('where: "seed=1, case=c"', "where: no row has case=c\n  values of 'case': a, b"),
                ('where: "case=b, label=3"', "where: no row has all of case=b, label=3\n"
                 "  rows have each of them, but not together")):
            self.graph(TABLES.replace("BY", setting), self.HEAD)
            self.assertEqual(self.fails("wrong"), words)

    def test_a_summary_of_a_summary(self):
        again = "  again: {use: table.summarize, in: {table: mean}, with: {WITH}}\n"
        advice = ("\n  NAME, NAME_sd and NAME_n of the columns of `of` must not be in use, as in a table that is a "
                  "summary already; choose others in `of`, or give them other `names`")
        for setting, name in (("by: method, of: \"truth_ml, truth_ml_sd\"", "truth_ml_sd"), ("by: rows", "rows"),
                              ("by: method", "rows")):
            self.graph(TABLES.replace("BY", "by: case") + again.replace("WITH", setting), self.HEAD)
            self.assertEqual(self.fails("again"), f"the result would have the column '{name}' twice" + advice)
        self.graph(TABLES.replace("BY", "by: case") + again.replace("WITH", "by: method, of: truth_ml"), self.HEAD)
        self.massflow("run", "g.yaml", "again")
        self.assertEqual([row["rows"] for row in self.rows("again")], ["2", "2"])

    def test_other_names(self):
        """So that tables of different scores can be joined."""
        self.graph(TABLES.replace("BY", 'by: case, of: "truth_ml, dice", names: "value, other"'), self.HEAD)
        self.massflow("run", "g.yaml", "wrong")
        self.assertEqual(list(self.rows("wrong")[0]), ["case", "rows", "value", "value_sd", "value_n", "other", "other_sd",
                                                       "other_n"])
        for setting, words in (
                ('by: case, of: "truth_ml, dice", names: value', "names: 1 names for 2 columns of `of`"),
                ('by: case, of: truth_ml, names: "value, other"', "names: 2 names for 1 columns of `of`"),
                ('by: case, of: truth_ml, names: "a:b"',
                 "names: 'a:b' has a tab, a line end or a colon, or is longer than 79 letters"),
                ("by: case, of: truth_ml, names: case",
                 "the result would have the column 'case' twice\n  NAME, NAME_sd and NAME_n of the columns of `of` must not "
                 "be in use, as in a table that is a summary already; choose others in `of`, or give them other `names`")):
            self.graph(TABLES.replace("BY", setting), self.HEAD)
            self.assertEqual(self.fails("wrong"), words)

    def test_a_constant_column(self):
        for setting, words in (("value: x", "value: without `column` it has no place"),
                               ("column: case", "the tables have a column 'case' twice"),
                               ('column: "a,b"', "column: 'a,b' has a tab, a line end, a colon or a comma")):
            self.graph(TABLES.replace("BY", "by: case").replace("column: method, value: first", setting), self.HEAD)
            self.assertEqual(self.fails("one"), words)


if __name__ == "__main__":
    main(1)
