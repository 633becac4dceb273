#!/usr/bin/env python3
"""Classifiers of scans by mass.classify: test_classify.py MASSFLOW GRAPHS

graphs/classify.yaml on made scans, then the stage alone: kinds of head, several labels, gaps, what is refused,
and training that is killed, extended, or that diverges. About 10 s of CPU time.
"""
import json
import os
import re
import signal
import sys

from harness import Massflow, flags, main

GRAPHS = os.path.abspath(sys.argv[2])
SMALL = {"spacing": "[6, 6, 6]", "roi_size": "[32, 32, 32]", "margin": 8, "epochs": 2, "batch_size": 3}
GRAPH = """massflow: 1
params:
  {target: lesion, multi_label: false, gaps: error, freeze: true, pooling: attention, epochs: 3, stop_at: -1,
   head_lr: 0.001, select: auc, checkpoint: 0, edge: 32, cases: cases.csv, batch_size: 3, max_grad_norm: 1}
cases: {csv: "${cases}"}
stages:
  patient:
    use: phantom.volume
    each: case
    with: {size: [32, 32, 32], spacing: [6, 6, 6], seed: 1, lesion_size: 1.5}
  model: {use: mass.init, with: {channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32}}
  scan: {use: mass.normalize, each: case, in: {volume: patient.volume}, with: {spacing: [6, 6, 6]}}
  classify:
    use: mass.classify
    in: {model: model, train: "scan[set=train]", val: "scan[set=val]", test: "scan[set=test]"}
    with: {target: "${target}", multi_label: "${multi_label}", gaps: "${gaps}", freeze: "${freeze}",
           pooling: "${pooling}", epochs: "${epochs}", stop_at: "${stop_at}", head_lr: "${head_lr}",
           select: "${select}", checkpoint_interval: "${checkpoint}", roi_size: ["${edge}", 32, 32], margin: 8,
           batch_size: "${batch_size}", max_grad_norm: "${max_grad_norm}"}
"""
# A second training from the head of the first, above the same encoder or one of other channels.
AGAIN = """  wide: {use: mass.init, with: {channels: [8, 8, 32, 32, 64], num_block: [1, 1, 1, 1], pos_embed_size: 32}}
  again:
    use: mass.classify
    in: {model: MODEL, head: classify.head, train: "scan[set=train]", test: "scan[set=test]"}
    with: {target: TARGET, roi_size: [32, 32, 32], margin: 8, epochs: 1}
  features: {use: mass.features, in: {model: wide, volume: "patient.volume[case=train00]"},
             with: {spacing: [6, 6, 6], roi_size: [48, 32, 32]}}
"""
COLUMNS = ["id", "set", "sex", "only", "gap", "a", "b", "c", "flag", "one"]


def cases(train=8, val=4, test=5):
    """Rows of cases: a, b, c of 0 and 1; `gap` is empty in train case 2, `flag` is no flag there."""
    sets = ["train"] * train + ["val"] * val + ["test"] * test
    return [[f"{part}{i:02}", part, "FM"[i % 2], "x", "" if i == 2 else "FM"[i % 2], i % 2, i // 2 % 2,
             int(i % 3 == 0), "maybe" if i == 2 else 1, 1] for i, part in enumerate(sets)]


class Classify(Massflow):
    ONE_FOLDER = True
    TIMEOUT = 300

    def prepare(self):
        self.write("graph.yaml", GRAPH)
        self.write_csv("cases.csv", COLUMNS, cases())

    def words(self, *more, cache="cache", **values):
        return ["run", "graph.yaml", "classify", "--cache", cache, *more, *flags(**values)]

    def made(self, code=0, cache="cache", **values):
        return self.massflow(*self.words(cache=cache, **values), code=code)

    def rows(self, port, cache="cache", **values):
        self.massflow("get", "graph.yaml", "classify." + port, "--cache", cache, *flags(**values), "-o", "rows.csv")
        return self.read_csv("rows.csv")

    def assert_fails(self, text, **values):
        """The whole error."""
        self.assertIn("failed   classify: " + text, self.made(code=1, **values))


class Results(Classify):
    def test_tables(self):
        out = self.made(target="sex", cache="tables")
        self.assertRegex(out, r"classify: epoch [123] of 3 was selected by the auc of 4 validation cases\n")
        self.assertRegex(out, r"classify: 5 test cases: accuracy [01]\.\d+, balanced accuracy [01]\.\d+; "
                              r"AUC [01]\.\d+ \(95% interval [01]\.\d+ to [01]\.\d+\)\n")
        rows = self.rows("metrics", target="sex", cache="tables")
        metrics = {(row["set"], row["class"], row["metric"]): row for row in rows}
        self.assertEqual(metrics["test", "all", "cases"]["value"], "5")
        auc = metrics["test", "all", "auc"]
        self.assertTrue(float(auc["low"]) <= float(auc["value"]) <= float(auc["high"]), auc)
        self.assertEqual(auc, {**metrics["test", "M", "auc"], "class": "all"})  # of the second class
        confusion = [float(metrics["test", a, f"{a} as {b}"]["value"]) for a in "FM" for b in "FM"]
        self.assertEqual(sum(confusion), 5)
        self.assertEqual(float(metrics["test", "all", "accuracy"]["value"]), (confusion[0] + confusion[3]) / 5)
        self.assertEqual({key[0] for key in metrics}, {"test", "val"})
        for metric in ("f1", "brier", "ece", "log_loss", "balanced_accuracy"):
            self.assertIn(("val", "F", metric), metrics)
        epochs = self.rows("epochs", target="sex", cache="tables")
        self.assertEqual([row["epoch"] for row in epochs], ["1", "2", "3"])
        best, = (row for row in epochs if row["best"] == "1")
        self.assertEqual(float(best["val_auc"]), max(float(row["val_auc"]) for row in epochs))
        # The validation cases are judged by the weights that are kept: of that epoch.
        self.assertEqual(best["val_auc"], metrics["val", "all", "auc"]["value"])
        self.assertEqual(best["val_loss"], metrics["val", "all", "log_loss"]["value"])
        predictions = self.rows("predictions", target="sex", cache="tables")
        self.assertEqual(len(predictions), 10)
        for row in predictions:
            self.assertEqual(row["predicted"], str(int(float(row["probability"]) > 0.5)), row)

    def test_a_trained_encoder_is_given_out(self):
        out = self.made(freeze="false", pooling="max", epochs=1, select="last")
        self.assertIn("classify: epoch 1, the last, is kept: select is last\n", out)
        self.massflow("get", "graph.yaml", "classify.model", "--cache", "cache",
                      *flags(freeze="false", pooling="max", epochs=1, select="last"), "-o", "trained.safetensors")
        self.massflow("get", "graph.yaml", "model", "--cache", "cache", "-o", "first.safetensors")
        first, trained = (self.tensors(name + ".safetensors") for name in ("first", "trained"))
        self.assertEqual(first.keys(), trained.keys())
        changed = {name for name in first if first[name] != trained[name]}
        self.assertEqual(changed, {name for name in first if name.startswith("encoder.")})

    def parts(self, name):
        """What a safetensors file says of each tensor, and its bytes."""
        data = self.read_bytes(name)
        size = int.from_bytes(data[:8], "little")
        head, body = json.loads(data[8:8 + size]), data[8 + size:]
        return {n: (t, body[slice(*t["data_offsets"])]) for n, t in head.items() if n != "__metadata__"}

    def tensors(self, name):
        return {n: data for n, (_, data) in self.parts(name).items()}

    def test_an_encoder_alone(self):
        """What a classifier's checkpoint keeps of the model gives what the whole model gives."""
        values = {"target": "sex", "freeze": "false", "pooling": "max", "epochs": 1}
        self.made(cache="whole", **values)
        self.massflow("get", "graph.yaml", "model", "--cache", "whole", "-o", "first.safetensors")
        parts = {n: part for n, part in self.parts("first.safetensors").items() if n.startswith("encoder.")}
        at, head = 0, {}
        for name, (info, data) in parts.items():
            head[name] = {**info, "data_offsets": [at, at + len(data)]}
            at += len(data)
        head = json.dumps(head).encode()
        with open(self.path("encoder.safetensors"), "wb") as out:
            out.write(len(head).to_bytes(8, "little") + head + b"".join(data for _, data in parts.values()))
        graph = re.sub("  model: .*", "  model: {use: model.load, with: {path: encoder.safetensors}}", GRAPH)
        self.write("alone.yaml", graph)
        words = ["--cache", "alone", *flags(**values)]
        self.massflow("run", "alone.yaml", "classify", *words)
        self.massflow("get", "alone.yaml", "classify.predictions", *words, "-o", "alone.csv")
        self.assertEqual(self.rows("predictions", cache="whole", **values), self.read_csv("alone.csv"))
        # So does the encoder that it gives out: an encoder alone again.
        self.massflow("get", "alone.yaml", "classify.model", *words, "-o", "alone.safetensors")
        self.massflow("get", "graph.yaml", "classify.model", "--cache", "whole", *flags(**values), "-o", "t.safetensors")
        whole, alone = self.tensors("t.safetensors"), self.tensors("alone.safetensors")
        self.assertEqual(alone, {name: whole[name] for name in parts})
        self.write("again.yaml", graph.replace("encoder.safetensors", "alone.safetensors"))
        self.massflow("run", "again.yaml", "model", "--cache", "alone")

    def test_several_labels(self):
        out = self.made(target="a, b,c", multi_label="true", pooling="mean", epochs=1)
        self.assertRegex(out, r"classify: 5 test cases: accuracy [01]\.\d+, balanced accuracy [01]\.\d+; "
                              r"AUC [01]\.\d+ ")
        values = {"target": "a, b,c", "multi_label": "true", "pooling": "mean", "epochs": 1}
        metrics = {(row["set"], row["class"], row["metric"]): row["value"] for row in self.rows("metrics", **values)}
        for name in "abc":
            self.assertEqual(float(metrics["test", name, "accuracy"]) * 5 % 1, 0)
        self.assertEqual(len(self.rows("predictions", **values)), 15)

    def test_gaps_are_left_out_by_name(self):
        out = self.made(target="gap", gaps="leave-out", pooling="none", epochs=1)
        self.assertIn("classify: train case 'train02' is left out: it has no 'gap'\n", out)

    def test_what_is_refused(self):
        for text, values in [
                ("train: case 'train02' has no 'gap'\n",
                 {"target": "gap"}),
                ("none of the 8 training cases has 'nothing'\n",
                 {"target": "nothing"}),
                ("all 8 training cases have the same 'only': x\n",
                 {"target": "only"}),
                ("train case 'train02': its 'flag' is 'maybe', not 0 or 1\n",
                 {"target": "a,flag", "multi_label": "true"}),
                ("all 8 training cases have 1 in 'one'\n",
                 {"target": "a,one", "multi_label": "true"})]:
            with self.subTest(text):
                self.assert_fails(text, **values)
        self.assertIn("target: the column 'a' is named twice", self.made(code=2, target="a,a", multi_label="true"))
        self.assertIn("target: 'a,,b' has an empty name of a column",
                      self.made(code=2, target="a,,b", multi_label="true"))
        self.assertIn("roi_size: 40 is not a multiple of 16", self.made(code=2, edge=40))

    def test_a_class_that_no_training_case_has(self):
        rows = cases()
        rows[-1][2] = "X"
        self.write_csv("other.csv", COLUMNS, rows)
        self.assert_fails("test case 'test16': its sex is 'X', which no training case has\n", target="sex",
                          cases="other.csv")

    def test_validation_cases_of_one_class(self):
        rows = cases()
        for row in rows:
            row[2] = "F" if row[1] == "val" else row[2]
        self.write_csv("alike.csv", COLUMNS, rows)
        self.assert_fails("the 4 validation cases do not differ in 'sex': their auc is undefined\n", target="sex",
                          cases="alike.csv")

    def again(self, model, target, code=0):
        self.write("again.yaml", GRAPH + AGAIN.replace("MODEL", model).replace("TARGET", target))
        return self.massflow("run", "again.yaml", "again", "--cache", "cache", *flags(target="sex"), code=code)

    def test_a_case_of_train_that_is_in_test(self):
        self.write("leak.yaml", self.read("graph.yaml").replace('test: "scan[set=test]"', 'test: "scan[set=train]"'))
        out = self.massflow("run", "leak.yaml", "classify", "--cache", "cache", *flags(target="sex", cases="cases.csv"), code=1)
        self.assertIn("failed   classify: scan[case=train00] of `test` is also in `train`\n", out)
        self.assertIn("  select different cases for the two, for example by a column `set`\n", out)

    def test_a_head_to_start_from(self):
        out = self.again("model", "sex")
        self.assertIn("again: epoch 1, the last, is kept: there are no validation cases\n", out)
        self.assertIn("failed   again: head: tensor pool.attention.0.weight is [8,32,1,1,1], the model's is "
                      "[16,64,1,1,1]\n", self.again("wide", "sex", code=1))
        self.assertIn("failed   again: head: the classes of the head are not those of the training cases\n",
                      self.again("model", "a", code=1))

    def test_a_head_of_a_file(self):
        """It does not name its classes: they are taken in order, and the log says so."""
        self.made(target="sex")
        self.massflow("get", "graph.yaml", "classify.head", "--cache", "cache", *flags(target="sex"), "-o", "head.safetensors")
        self.write("file.yaml", GRAPH + AGAIN.replace("MODEL", "model").replace("TARGET", "sex").replace("classify.head", "loaded")
                   + "  loaded: {use: model.load, with: {path: head.safetensors}}\n")
        out = self.massflow("run", "file.yaml", "again", "--cache", "cache", *flags(target="sex"))
        self.assertIn("again: row 0 of the head is taken as class F: the file does not name it\n", out)
        self.assertIn("again: row 1 of the head is taken as class M: the file does not name it\n", out)

    def test_a_view_larger_than_the_position_embedding(self):
        """The encoder has none: only masks are embedded with positions."""
        self.write("again.yaml", (GRAPH + AGAIN.replace("MODEL", "wide").replace("TARGET", "sex"))
                   .replace('["${edge}", 32, 32]', "[48, 32, 32]").replace("model: model", "model: wide"))
        self.massflow("run", "again.yaml", "features", "classify", "--cache", "cache", *flags(target="sex", epochs=1))

    def clipped(self, name, spacing="[6, 6, 6]", low=-991):
        """The graph in which case test12 has a window or a spacing of its own."""
        rows = [row + ["[6, 6, 6]", -991] for row in cases()]
        rows[12][-2:] = spacing, low
        self.write_csv(name + ".csv", COLUMNS + ["spacing", "low"], rows)
        self.write(name + ".yaml", GRAPH.replace("cases.csv", name + ".csv").replace(
            "with: {spacing: [6, 6, 6]}}", 'with: {spacing: "${case.spacing}", window_low: "${case.low}", modality: ct}}'))
        return self.massflow("run", name + ".yaml", "classify", "--cache", "cache", code=1)

    def test_cases_that_were_prepared_otherwise(self):
        self.assertIn("failed   classify: scan[case=test12] of `test` was clipped to the window -160 to 500, "
                      "scan[case=train00] of `train` to -991 to 500\n", self.clipped("window", low=-160))
        self.assertIn("failed   classify: the voxels of scan[case=test12] of `test` have 6 x 6 x 5 mm, those of "
                      "scan[case=train00] of `train` 6 x 6 x 6 mm\n", self.clipped("spacing", spacing="[6, 6, 5]"))

    def test_a_normalized_volume_stays_as_it_is(self):
        self.write("twice.yaml", GRAPH + """
  body: {use: body.mask, in: {volume: "patient.volume[case=train00]"}, with: {modality: ct}}
  cut: {use: volume.crop, in: {volume: "scan[case=train00]", region: body}, with: {margin: [500, 500, 500]}}
  again: {use: mass.normalize, in: {volume: cut}, with: {spacing: [6, 6, 6]}}
  features: {use: mass.features, in: {model: model, volume: cut},
             with: {spacing: [6, 6, 6], roi_size: [32, 32, 32], window_low: -160}}
""")
        self.massflow("run", "twice.yaml", "again", "--cache", "cache")
        for name, file in (("scan[case=train00]", "once.npy"), ("again", "again.npy")):
            self.massflow("get", "twice.yaml", name, "--cache", "cache", "-o", file)
        self.assertEqual(self.read_bytes("once.npy"), self.read_bytes("again.npy"))
        self.assertIn("failed: features\n  the volume is normalized already, clipped to the window -991 to 500 and not "
                      "to -160 to 500\n  connect the scan itself, or set the same window_low and window_high as where "
                      "it was normalized\n", self.massflow("run", "twice.yaml", "features", "--cache", "cache", code=1))

    def test_no_test_case(self):
        self.write_csv("untested.csv", COLUMNS, cases(test=0))
        out = self.made(code=2, target="sex", cases="untested.csv")
        self.assertIn("this selects none of the 12 cases of 'scan'", out)


class Interrupted(Classify):
    VALUES = {"freeze": "false", "target": "sex", "epochs": 3}

    def prepare(self):
        super().prepare()
        self.made(cache="whole", **self.VALUES)
        type(self).expected = self.results("whole")

    def test_killed(self):
        """A state is saved after each step: it goes on in the middle of an epoch, with the best so far."""
        run = self.start(*self.words(cache="a", **self.VALUES))
        self.wait_for("a state of step 4", lambda: run.poll() is not None or bool(
            self.ask_early("SELECT step FROM checkpoint WHERE step >= 4", "a")), seconds=120)
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=60)
        out = self.made(cache="a", **self.VALUES)
        self.assertRegex(out, r"classify: resumes after step [4-9] of 9\n")
        self.assertEqual(self.results("a"), self.expected)
        self.assertEqual(self.ask("SELECT count(*) FROM checkpoint", "a"), [(0,)])

    def test_extended(self):
        self.made(cache="b", stop_at=2, **self.VALUES)
        out = self.made(cache="b", **self.VALUES)
        self.assertIn("classify: resumes after step 6 of 9\n", out)
        whole = {name: made for name, made in self.results("b").items() if name in self.expected}
        self.assertEqual(whole, self.expected)

    def test_a_loss_that_is_no_number(self):
        """The step and the case are named; the state before the step is kept."""
        values = {"target": "sex", "head_lr": 10, "pooling": "mean", "epochs": 400, "checkpoint": 1e6,
                  "max_grad_norm": 1e12, "select": "last", "batch_size": 8}
        self.write("graph.yaml", GRAPH.replace("max_grad_norm: \"${max_grad_norm}\"",
                                               "weight_decay: 10, max_grad_norm: 0"))
        self.addCleanup(self.write, "graph.yaml", GRAPH)
        out = self.made(code=1, cache="c", **values)
        said = re.search(r"step (\d+) \(epoch (\d+)\), cases? '(train\d+)'", out)
        self.assertTrue(said, out)
        self.assertIn("lower head_lr or encoder_lr, or look for extreme voxels in the scans; the state before this "
                      "step is kept", out)
        self.assertEqual(self.ask("SELECT max(step) FROM checkpoint", "c"), [(int(said.group(1)) - 1,)])


class Graph(Massflow):
    """graphs/classify.yaml on scans that are files."""
    ONE_FOLDER = True

    def prepare(self):
        self.write("make.yaml", "massflow: 1\ncases: [{count: 9, id: \"p{id}\"}]\nstages:\n  patient:\n"
                   "    use: phantom.volume\n    each: case\n"
                   "    with: {size: [32, 32, 32], spacing: [6, 6, 6], seed: 1, lesion_size: 1.5}\n"
                   "  model: {use: mass.init, with: {channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1], "
                   "pos_embed_size: 32}}\n")
        self.massflow("run", "make.yaml", "--cache", "cache")
        rows = []
        for i, part in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 3):
            path = self.path(f"p{i}.nii.gz")
            self.massflow("get", "make.yaml", f"patient.volume[case=p{i:03}]", "--cache", "cache", "-o", path)
            rows.append([f"p{i}", path, part, "yes" if i % 2 else "no"])
        self.massflow("get", "make.yaml", "model", "--cache", "cache", "-o", "encoder.safetensors")
        self.write_csv("cases.csv", ["id", "path", "set", "label"], rows)

    def test_graph(self):
        words = ["--cache", "cache", *flags(**SMALL, model=self.path("encoder.safetensors"),
                                            cases=self.path("cases.csv"), modality="ct")]
        graph = os.path.join(GRAPHS, "classify.yaml")
        out = self.massflow("run", graph, *words)
        self.assertRegex(out, r"classify: epoch [12] of 2 was selected by the auc of 2 validation cases\n")
        self.massflow("get", graph, "classify.predictions", *words, "-o", "predictions.csv")
        self.assertEqual(len(self.read_csv("predictions.csv")), 6)
        self.assertIn("finished: 0 run, ", self.massflow("run", graph, *words))


if __name__ == "__main__":
    main(2)
