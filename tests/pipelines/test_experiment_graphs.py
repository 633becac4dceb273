#!/usr/bin/env python3
"""graphs/experiments on phantoms, small: test_experiment_graphs.py MASSFLOW GRAPHS TOOLS

The tables have the rows they should; what the numbers say is for longer trainings.
"""
import os
import re
import shutil
import sys

from harness import Massflow, flags, main, table_of

GRAPHS, TOOLS = map(os.path.abspath, sys.argv[2:4])
VOXELS = "[32,32,16]"  # the deepest map of a smaller crop has too few voxels for its norms
SMALL = ["steps=2", "masks=4", "channels=[8,16,32,32,32]", "spacing=[6,6,12]", "min_voxels=10"]
BASELINES = ["simclr_steps=1", "simclr_batch=2", "reconstruct_steps=1", "reconstruct_batch=2"]


class Experiments(Massflow):
    ONE_FOLDER = True
    TIMEOUT = 300

    def prepare(self):
        """The phantoms lie beside the graph that writes them, so this is a copy."""
        shutil.copytree(GRAPHS, self.path("graphs"), ignore=shutil.ignore_patterns(".massflow"))
        self.massflow("run", "phantoms", "--set", f"size={VOXELS}", "--set", "spacing=[6,6,12]")
        self.choose("few.csv", "ct", "ct-plain002", "ct-lesion002", "ct-lesion003", "ct-plain004", ct_plain004="val")
        self.choose("one.csv", "ct", "ct-lesion004")
        self.choose("both.csv", "ct", "ct-plain002", "ct-lesion002", "ct-lesion003", "ct-plain004")

    def choose(self, name, of, *ids, **sets):
        """A table with a few of the cases of phantoms-OF.csv."""
        rows = [row for row in table_of(self.path(f"graphs/experiments/phantoms-{of}.csv")) if row["id"] in ids]
        rows = [{**row, "set": sets.get(row["id"].replace("-", "_"), row["set"])} for row in rows]
        self.write_csv(f"graphs/experiments/{name}", list(rows[0]), [list(row.values()) for row in rows])

    def cases(self, name):
        return "cases=" + self.path(f"graphs/experiments/{name}")

    def line(self, command, graph, *words):
        return super().line(command, self.path(f"graphs/experiments/{graph}.yaml"), *words, "--cache",
                            self.path("cache"))

    def rows(self, graph, node, settings):
        self.massflow("run", graph, node.split(".", maxsplit=1)[0], *flags(settings))
        return self.made(graph, node, settings)

    def made(self, graph, node, settings):
        self.massflow("get", graph, node, *flags(settings), "-o", "rows.csv")
        return self.read_csv("rows.csv")

    def assert_parts(self, rows, *columns):
        for row in rows:
            for name in columns:
                self.assertTrue(0 <= float(row[name]) <= 1, row)

    def needed(self, graph, node, settings):
        """How many nodes of each stage a node is made from: of those that a plan names."""
        out = self.massflow("plan", graph, node, *flags(settings))
        count = {}
        for line in out.splitlines():
            words = line.split()
            if not line.startswith(" ") and len(words) > 2 and words[1].isdigit():
                count[words[0]] = count.get(words[0], 0) + int(words[1])
        return count

    def test_few_shot(self):
        settings = SMALL + BASELINES + [self.cases("few.csv"), f"patch_size={VOXELS}", "tuning_list=[1]",
                            "merge_prob=1", "shots_list=[1]", "seeds=[7]"]
        rows = self.rows("few-shot", "table", settings)
        methods = ["scratch", "simclr", "reconstruction", "mass"]
        uses = [("in context", "scratch", "0"), ("in context", "mass", "0"), *[("fine-tuned", m, "1") for m in methods]]
        self.assertEqual([(row["use"], row["method"], row["tuning_steps"], row["shots"], row["label"]) for row in rows],
                         [(*use, "1", label) for use in uses for label in [*"12345678", "mean"]])
        self.assertEqual({row["rows"] for row in rows}, {"1"})
        self.assert_parts(rows, "dice")
        # All methods start from other weights.
        tuned = {self.massflow("show", "few-shot", f"tuned[method={method},shots=1,tuning_steps=1,seed=7].model",
                               *flags(settings)).split()[1] for method in methods}
        self.assertEqual(len(tuned), 4)
        # Another seed is another pretraining, and trains anew; scans and samples are shared.
        settings[-1] = "seeds=[7,8]"
        out = self.massflow("plan", "few-shot", "table", *flags(settings))
        self.assertEqual(set(re.findall(r"^(\S+) +1 to run ", out, re.MULTILINE)),
                         {"scratch", "simclr", "reconstruction", "mass"})
        self.assertRegex(out, r"\ntuned +4 cached\ntuned +4 undecided ")
        # More examples change nothing of what was made with fewer.
        settings[-2:] = ["shots_list=[1,2]", "seeds=[7]"]
        out = self.massflow("plan", "few-shot", "table", *flags(settings))
        self.assertRegex(out, r"\ntuned +4 cached\ntuned +4 (undecided|to run) ")
        self.assertRegex(out, r"\nmass +1 cached\n")
        for shots in (1, 2):
            for stage, steps, examples in (("tuned", ",tuning_steps=1", "labelled"), ("embedding", "", "truth")):
                node = f"{stage}[method=scratch,shots={shots}{steps},seed=7]"
                self.assertEqual(self.needed("few-shot", node, settings)[examples], shots)
        # The cases that are judged: one of test, or one of val.
        self.assertEqual(self.needed("few-shot", "table", [*settings[:-2], "judged=val"])["truth"], 3)

    def test_baselines(self):
        """Each method trains, and says what the page reads."""
        settings = [setting for setting in SMALL if not setting.startswith("masks")] + [
            self.cases("few.csv"), f"patch_size={VOXELS}", "seeds=[7]", "prototypes=16"]
        columns = {"simclr": ["accuracy"], "moco2": ["accuracy"], "moco3": ["accuracy"], "dino": ["teacher_entropy"],
                   "mae": [], "simmim": [], "genesis": [], "supervised": ["dice", "ce"]}
        self.massflow("run", "baselines", *columns, *flags(settings))
        for method, own in columns.items():
            rows = self.made("baselines", f"{method}[seed=7].metrics", settings)
            self.assertEqual(list(rows[0]), ["step", "loss", *own, "lr", "grad_norm"])
            self.assertEqual(len(rows), 2)

    def test_backbones(self):
        """An I3D halves its maps more often: crops of 32 voxels along each axis, two voxels in its deepest map."""
        settings = [setting for setting in SMALL if not setting.startswith("spacing")] + [
            self.cases("both.csv"), "spacing=[6,6,6]", "i3d_width=2", "tuning_steps=1", "probe_epochs=5", "shots_list=[1]",
            "seeds=[7]"]
        rows = self.rows("backbones", "table", settings)
        self.assertEqual([(row["result"], row["backbone"], row["shots"], row["value_n"]) for row in rows],
                         [("fine-tuned, Dice", "resunet", "1", "1"), ("fine-tuned, Dice", "i3d", "1", "1"),
                          ("frozen, AUC", "resunet", "all", "1"), ("frozen, AUC", "i3d", "all", "1")])
        self.assert_parts(rows, "value")
        # Both are pretrained once, on the same two scans, and tuned on one.
        needed = self.needed("backbones", "table", settings)
        self.assertEqual([needed[name] for name in ("unlabelled", "resunet", "i3d", "labelled")], [2, 1, 1, 1])
        for backbone, channels in (("resunet", "32"), ("i3d", "64")):
            node = f"features[case=ct-lesion003,backbone={backbone},seed=7]"
            shown = self.massflow("show", "backbones", node, *flags(settings))
            self.assertRegex(shown, rf"\n  values +f32 \[{channels}, ")

    def test_rivals(self):
        settings = ["channels=[8,16,32,32,32]", "spacing=[6,6,12]", "min_voxels=10", "masks=4", "steps=1", "contrast_steps=1",
                    "restore_steps=1", "restore_batch=2", "prototypes=16", "memory_bank=16", "tuning_steps=1",
                    self.cases("few.csv"), f"patch_size={VOXELS}", "shots_list=[1]", "seeds=[7]", "labels=[1,2]"]
        rows = self.rows("rivals", "table", settings)
        methods = ["scratch", "simclr", "moco_v2", "moco_v3", "dino", "mae", "simmim", "genesis", "labels_fixed_head",
                   "labels_in_context", "mass"]
        self.assertEqual([(row["method"], row["shots"], row["label"], row["dice_n"]) for row in rows],
                         [(method, "1", label, "1") for method in methods for label in ("1", "2", "mean")])
        self.assert_parts(rows, "dice")
        # All start from weights of their own, and learn from one example.
        tuned = {self.massflow("show", "rivals", f"tuned[method={method},shots=1,seed=7].model", *flags(settings)).split()[1]
                 for method in methods}
        self.assertEqual(len(tuned), 11)
        # Some of them: the others are not needed.
        needed = self.needed("rivals", "table", [*settings, "methods=[simclr,mass]"])
        self.assertEqual((needed["tuned"], needed["simclr"], "dino" in needed), (2, 1, False))
        needed = self.needed("rivals", "table", settings)
        self.assertEqual([needed[name] for name in ("unlabelled", "sample", "labelled")], [2, 2, 1])
        # Those that see labels see the labels that are judged.
        shown = self.massflow("show", "rivals", "organs[case=ct-plain002]", *flags(settings))
        self.assertRegex(shown, r"\n  label +i32 \[2\]  min 1  max 2 ")

    def test_diversity(self):
        """few-shot.yaml three times, over other scans."""
        out = self.massflow("graph", "diversity")
        for name, scans, pretrained in (("one", 10, 7), ("several", 10, 7), ("all", 14, 11)):
            self.assertIn(f"\n{name}.scan  volume.load  x {scans} cases\n", out)
            self.assertIn(f"\n{name}.unlabelled  mass.prepare  x {pretrained} cases\n", out)
        self.assertIn("\nscores  table.join  x 3 (scans)\n    tables <- ${scans}.table\n", out)
        for scans in ("one", "several", "all"):
            made = self.massflow("plan", "diversity", f"scores[scans={scans}]")
            self.assertRegex(made, rf"(?m)^{scans}\.mass +2 ")
            self.assertEqual({line.split(".")[0] for line in made.splitlines() if re.match(r"\w+\.mass ", line)}, {scans})

    def test_learning_curve(self):
        settings = SMALL + [self.cases("few.csv"), f"patch_size={VOXELS}", "points=[1,2]"]
        slic = [*settings, "sources=[slic]"]
        out = self.massflow("run", "learning-curve", "table", *flags(slic))
        # The second point goes on from the first.
        self.assertIn("\nmodel[source=slic,step=2,seed=1]: resumes after step 1 of 2\n", out)
        rows = self.made("learning-curve", "table", slic)
        self.assertEqual([(row["source"], row["step"], row["label"]) for row in rows],
                         [("slic", step, label) for step in "12" for label in [*"12345678", "mean"]])
        # Label maps as masks are trained and judged as often.
        needed = self.needed("learning-curve", "table", settings)
        self.assertEqual([needed[name] for name in ("model", "found")], [4, 4])
        # Settings are chosen on cases of val, without those of test.
        self.assertIn("found[case=ct-lesion003,source=slic,step=2,seed=1]", out)
        self.assertEqual(self.needed("learning-curve", "found[case=ct-plain004]", [*slic, "judged=val"])["found"], 2)

    def test_classification(self):
        settings = SMALL + BASELINES + [f"roi_size={VOXELS}", "probe_epochs=20", "seeds=[7]", "percents=[100]"]
        rows = self.rows("classification", "table", settings)
        uses = [("alone", "volume"), ("trained", "scratch"),
                *[("frozen", method) for method in ("scratch", "simclr", "reconstruction", "mass")]]
        self.assertEqual([(row["use"], row["method"], row["percent"], row["metric"], row["value_n"]) for row in rows],
                         [(*use, "100", "auc", "1") for use in uses])
        self.assert_parts(rows, "value")
        # The regression ranks the four test cases by their volume, up or down: AUC is that of the volume.
        lesions = {}
        cases = table_of(self.path("graphs/experiments/phantoms-class.csv"))
        for row in cases:
            if row["set"] == "test":
                shown = self.massflow("show", "classification", f"volume[case={row['id']}]", *flags(settings))
                lesions[row["id"]] = (float(shown.split(" mean ")[1].split()[0]), row["lesion"] == "yes")
        pairs = [(yes > no) + (yes == no) / 2 for yes, has in lesions.values() if has
                 for no, other in lesions.values() if not other]
        self.assertIn(float(rows[0]["value"]), (sum(pairs) / len(pairs), 1 - sum(pairs) / len(pairs)))
        # Fewer labels are fewer cases, and as many steps from random weights, one training for each percentage.
        trained = [int(row["percent"]) for row in cases if row["set"] == "train"]
        steps, settings[-1] = set(), "percents=[33,100]"
        for row in table_of(self.path("graphs/experiments/phantoms-scratch.csv")):
            count = sum(percent <= int(row["percent"]) for percent in trained)
            needed = self.needed("classification", f"regression[percent={row['percent']},seed=7]", settings)
            self.assertEqual(needed["volume"], count + len(lesions))
            steps.add(-(-count // 4) * int(row["epochs"]))
        self.assertEqual(steps, {10})
        self.assertEqual(self.needed("classification", "scores_trained", settings)["trained"], 2)

    def test_mask_source(self):
        settings = [self.cases("one.csv"), "points_per_side=2", "max_masks_per_slice=1",
                    "min_slices_per_sample=1", "physical_interval_mm=190", "min_voxels=1"]
        rows = self.rows("mask-source", "table", settings)
        self.assertEqual([row["source"] for row in rows], ["SLIC", "SAM 2", "SLIC and SAM 2", "label maps"])
        self.assert_parts(rows, "dice", "found", "labels_covered", "body_covered")
        labels = rows[-1]
        self.assertEqual((labels["cases"], labels["masks"], labels["dice"], labels["found"], labels["matching"],
                          labels["labels_covered"]), ("1", "8", "1", "1", "1", "1"))
        rows = self.rows("mask-source", "by_label", settings)
        self.assertEqual(len(rows), 3 * 8)
        self.assertEqual({row["rows"] for row in rows}, {"1"})


class Cases(Massflow):
    """tools/cases: from a folder of scans to a table of cases."""

    def table(self, *words):
        done = self.ended([sys.executable, os.path.join(TOOLS, "cases"), self.path("set"), *words])
        self.write("cases.csv", done.stdout)
        return self.read_csv("cases.csv")

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("set"))
        rows = [[f"c{i}", f"images/c{i}.nii", f"labels/c{i}.nii", "train", f"s{i // 2}", "ab"[i % 4 == 3]]
                for i in range(8)]
        rows += [["v", "images/v.nii", "", "val", "s8", "a"], ["t", "images/t.nii", "", "test", "s9", "b"]]
        self.write_csv("set/cases.csv", ["id", "image", "label", "split", "subject", "kind"], rows)
        self.source = self.read_csv("set/cases.csv")

    def test_ranks(self):
        rows = self.table("--target", "kind")
        self.assertEqual(list(rows[0]), ["id", "path", "labels", "set", "rank", "percent", "subject", "kind"])
        self.assertEqual(rows[3]["path"], self.path("set/images/c3.nii"))
        self.assertEqual(rows[3]["labels"], self.path("set/labels/c3.nii"))
        train = sorted((row for row in rows if row["set"] == "train"), key=lambda row: int(row["rank"]))
        self.assertEqual([row["rank"] for row in train], list("12345678"))
        # A case of each subject, before the second of any.
        self.assertEqual(len({row["subject"] for row in train[:4]}), 4)
        for kind, percents in (("a", ["16.67", "33.33", "50", "66.67", "83.33", "100"]), ("b", ["50", "100"])):
            self.assertEqual([row["percent"] for row in train if row["kind"] == kind], percents)
        self.assertEqual([(row["labels"], row["rank"], row["percent"]) for row in rows[8:]], [("", "", "")] * 2)
        self.assertEqual(rows, self.table("--target", "kind"))
        self.assertNotEqual([row["rank"] for row in rows], [row["rank"] for row in self.table("--seed", "2")])

    def test_scans_that_are_label_maps(self):
        rows = self.table("--labels-are-images")
        self.assertEqual([row["path"] for row in rows], [row["labels"] for row in rows])

    def test_tables_that_would_give_wrong_experiments(self):
        for change, words in (
                ({"id": "c3"}, "'c3' is there twice"),
                ({"split": "tset"}, "'c4' has the split 'tset'; it must be one of train, val, test"),
                ({"kind": ""}, "'c4' has no 'kind'; remove the row, or fill it in"),
                ({"split": "test"}, "'c5' is of split train, and its subject 's2' has a case of split test: a subject "
                 "must not be both trained on and judged")):
            rows = [{**row, **change} if row["id"] == "c4" else row for row in self.source]
            self.write_csv("set/cases.csv", list(rows[0]), [list(row.values()) for row in rows])
            done = self.ended([sys.executable, os.path.join(TOOLS, "cases"), self.path("set"), "--target", "kind"], 1)
            self.assertEqual(done.stderr, f"cases: {self.path('set')}/cases.csv: case {words}\n")

    def test_a_column_that_is_not_there(self):
        done = self.ended([sys.executable, os.path.join(TOOLS, "cases"), self.path("set"), "--target", "sex"], 1)
        self.assertEqual(done.stderr, f"cases: {self.path('set')}/cases.csv has no column 'sex'\n")


if __name__ == "__main__":
    main(3)
