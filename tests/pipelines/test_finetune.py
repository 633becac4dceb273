#!/usr/bin/env python3
"""Fine-tuning: test_finetune.py MASSFLOW GRAPHS

graphs/finetune.yaml on phantoms, what learns in each mode, training that is killed and goes on, early
stop, and what is refused. With MASSFLOW_DATA a step on real scans.
"""
import json
import os
import pickletools
import re
import signal
import struct
import sys
import zipfile

from harness import DATA, Massflow, flags, main, table_of, write_nifti

GRAPHS = os.path.abspath(sys.argv[2])
SMALL = {"spacing": "[6,6,6]", "patch_size": "[32,32,16]", "min_size": "[32,32,32]", "margin": 4, "epochs": 2,
         "steps_per_epoch": 2, "val_interval": 2}
MAKE = """
massflow: 1
cases: {count: 5}
stages:
  patient: {use: phantom.volume, each: case, with: {size: [32, 32, 32], spacing: [6, 6, 6], seed: 1}}
  model: {use: mass.init, with: {channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32}}
export: {patient.volume: "${case.id}.nii.gz", patient.labels: "${case.id}-labels.nii.gz", model: model.safetensors}
"""
ROWS = [("a", "000", "train", 1), ("b", "001", "train", 2), ("c", "002", "train", 3), ("v", "003", "val", ""),
        ("t", "004", "test", "")]


def tensors_of(path):
    """The bytes of each tensor of a safetensors file."""
    with open(path, "rb") as file:
        data = file.read()
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    return {name: data[8 + size + about["data_offsets"][0]:8 + size + about["data_offsets"][1]]
            for name, about in header.items() if name != "__metadata__"}


class Finetune(Massflow):
    ONE_FOLDER = True
    TIMEOUT = 300

    def prepare(self):
        self.write("make.yaml", MAKE)
        self.massflow("run", "make.yaml")
        self.write_csv("cases.csv", ["id", "path", "labels", "set", "rank"],
                       [(name, f"{file}.nii.gz", f"{file}-labels.nii.gz", kind, rank)
                        for name, file, kind, rank in ROWS])
        with open(os.path.join(GRAPHS, "finetune.yaml"), encoding="utf-8") as file:
            type(self).graph = file.read()
        self.write("g.yaml", self.graph)

    def words(self, *targets, graph="g.yaml", cache="cache", **values):
        settings = {"model": "model.safetensors", "cases": "cases.csv", "shots": 2, **SMALL, **values}
        return [graph, *targets, "--cache", cache, *flags(**settings)]

    def made(self, *targets, code=0, **values):
        return self.massflow("run", *self.words(*targets, **values), code=code)

    def rows(self, node, **values):
        self.massflow("get", *self.words(node, **values), "-o", "rows.csv")
        return self.read_csv("rows.csv")

    def changed(self, old, new, name="other.yaml"):
        """The graph with this in place of that."""
        self.assertIn(old, self.graph)
        self.write(name, self.graph.replace(old, new))
        return name

    def assert_fails(self, text, target="tuned", **values):
        out = self.made(target, code=1, **values)
        self.assertIn(f"\nfailed: {target}\n{text}  retry: ", out)

    def trained(self, **values):
        self.made("tuned", **values)
        self.massflow("get", *self.words("tuned.last", **values), "-o", "last.safetensors")
        return tensors_of(self.path("model.safetensors")), tensors_of(self.path("last.safetensors"))

    # What it does.

    def test_the_graph(self):
        out = self.made()
        self.assertRegex(out, r"tuned: step 0: mean Dice 0\.\d{4} in the validation, the best so far\n")
        self.assertEqual([row["step"] for row in self.rows("tuned.metrics")], ["1", "2", "3", "4"])
        rates = [float(row["lr"]) for row in self.rows("tuned.metrics")]
        self.assertEqual(rates[:2], [0.0005, 0.0005])  # that of the epoch
        for rate in rates[2:]:
            self.assertAlmostEqual(rate, 1e-6 + (0.0005 - 1e-6) / 2)
        steps = self.rows("tuned.validation")
        self.assertEqual([row["step"] for row in steps if row["label"] == "mean"], ["0", "2", "4"])
        self.assertEqual(sum(row["step"] == "0" for row in steps), 9)  # labels 1 to 8, and the mean
        self.assertEqual(len(self.rows("dice.summary")), 9)  # a raw scan is segmented with the tokens
        self.assertIn("finished: 0 run, ", self.made())
        self.assertRegex(self.massflow("plan", *self.words("tuned", shots=1)), r"tuned +1 to run")

    def test_what_learns(self):
        before, after = self.trained()
        self.assertEqual({name for name in after if not name.startswith("ema.")}, set(before))
        for name, values in before.items():
            same = name.startswith("task_embedding.") or name.startswith("task_prior_")
            self.assertEqual(after[name] == values, same, name)
            if same and name.startswith("task_embedding."):
                self.assertEqual(after["ema." + name], values, name)
        before, after = self.trained(mode="probing")
        for name, values in before.items():
            learns = name.startswith("out.")
            self.assertEqual(after[name] != values, learns, name)
            if not name.startswith("task_prior_"):
                self.assertEqual(after["ema." + name] != values, learns, name)

    def test_one_class(self):
        self.made("dice", labels="[1]", steps_per_epoch=1)
        self.assertEqual([row["label"] for row in self.rows("tuned.validation", labels="[1]", steps_per_epoch=1)],
                         ["1", "mean"] * 2)

    def test_killed_and_resumed(self):
        undisturbed = self.stepwise("one")
        for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
            cache = f"killed{number}"
            run = self.start("run", *self.words("tuned", graph="steps.yaml", cache=cache))
            self.wait_for("a state was saved", lambda: run.poll() is not None or self.ask_early(
                "SELECT step FROM checkpoint WHERE step >= 2", cache), seconds=240)
            run.send_signal(number)
            out = run.communicate(timeout=240)[0]
            self.assertEqual(run.returncode, code, out)
            out = self.made("tuned", graph="steps.yaml", cache=cache)
            self.assertRegex(out, r"tuned: resumes after step [23] of 4\n")
            self.assertEqual(self.results(cache), undisturbed)
            self.assertEqual(self.ask("SELECT count(*) FROM checkpoint", cache), [(0,)])

    def stepwise(self, cache):
        self.changed("token_lr: \"${token_lr}\"\n", "token_lr: \"${token_lr}\"\n      checkpoint_interval: 0\n",
                     "steps.yaml")
        self.made("tuned", graph="steps.yaml", cache=cache)
        return self.results(cache)

    def test_extended(self):
        whole = self.stepwise("whole")
        for stop in (1, 3, 4): # computing blocks again changes nothing
            name = self.changed("token_lr: \"${token_lr}\"\n",
                                f"token_lr: \"${{token_lr}}\"\n      stop_at: {stop}\n      recompute: blocks\n",
                                f"stop{stop}.yaml")
            out = self.made("tuned", graph=name, cache="more")
            self.assertEqual("resumes after step" in out, stop > 1)
        got = sorted(self.results("more").values())
        for name, artifact in whole.items():
            self.assertIn(artifact, got, name)

    def test_early_stop(self):
        """Where nothing changes, no validation is better than the first."""
        name = self.changed("token_lr: \"${token_lr}\"\n", "token_lr: 0\n      lr_min: 0\n      weight_decay: 0\n")
        still = {"graph": name, "lr": 0, "labels": "[1]", "patience": 1}
        out = self.made("tuned", **still)
        self.assertIn("tuned: stopped after step 2: 1 validations without a better mean Dice\n", out)
        self.assertEqual(len(self.rows("tuned.metrics", **still)), 2)
        self.assertEqual([row["step"] for row in self.rows("tuned.validation", **still)], ["0", "0", "2", "2"])

    def test_best_and_last(self):
        """The best is what `last` is where the training stops at its step."""
        self.made("tuned", labels="[1,8]")
        dice = {row["step"]: float(row["dice"]) for row in self.rows("tuned.validation", labels="[1,8]")
                if row["label"] == "mean"}
        step = max(dice, key=dice.get)  # the first of equals
        name = self.changed("token_lr: \"${token_lr}\"\n", f"token_lr: \"${{token_lr}}\"\n      stop_at: {step}\n")
        self.made("tuned", graph=name, labels="[1,8]")
        for graph, port in (("g.yaml", "model"), (name, "last")):
            self.massflow("get", *self.words(f"tuned.{port}", graph=graph, labels="[1,8]"), "-o", f"{port}.st.safetensors")
        best, last = (tensors_of(self.path(f"{port}.st.safetensors")) for port in ("model", "last"))
        for tensor, values in last.items():
            self.assertEqual(best[tensor], values, tensor)

    def test_without_validation_cases(self):
        name = self.changed("      val: \"sample[set=val]\"\n", "")
        out = self.made("tuned", graph=name, steps_per_epoch=1)
        self.assertIn("tuned: there are no validation cases: the model is that of the last step\n", out)
        self.assertEqual(self.rows("tuned.validation", graph=name, steps_per_epoch=1), [])
        ports = dict(self.ask("SELECT o.port, hex(f.id) FROM output o JOIN artifact f ON f.num = o.artifact JOIN action a"
                              " ON o.action = a.num WHERE a.stage = 'mass.finetune' ORDER BY a.num", "cache"))
        self.assertEqual(ports["model"], ports["last"])
        self.assertEqual(ports["embedding"], ports["last_embedding"])

    def is_ema(self, path):
        """What a learned_priors.pth says of its tokens."""
        with zipfile.ZipFile(self.path(path)) as archive:
            name, = (name for name in archive.namelist() if name.endswith("data.pkl"))
            ops = [(op.name, arg) for op, arg, _ in pickletools.genops(archive.read(name))]
        at, = (i for i, (_, arg) in enumerate(ops) if arg == "is_ema")
        return next(name for name, _ in ops[at + 1:] if name.startswith("NEW"))

    def test_tokens_say_whether_they_are_averages(self):
        """In the file for the official code, and in that of what was read of it."""
        for decay, said in (0.9, "NEWTRUE"), (0, "NEWFALSE"):
            name = self.changed("token_lr: \"${token_lr}\"\n",
                                f"token_lr: \"${{token_lr}}\"\n      ema_decay: {decay}\n      stop_at: 1\n")
            self.made("tuned", graph=name)
            self.massflow("get", *self.words("tuned.last_embedding", graph=name), "-o", "learned.pth")
            self.assertEqual(self.is_ema("learned.pth"), said)
            self.write("back.yaml", self.read(name) + "  back: {use: embedding.load, in: {model: tuned.last}, "
                       "with: {path: learned.pth}}\n")
            self.made("back", graph="back.yaml")
            self.massflow("get", *self.words("back", graph="back.yaml"), "-o", "again.pth")
            self.assertEqual(self.is_ema("again.pth"), said)

    # What it refuses.

    def test_a_label_that_no_case_has(self):
        self.assert_fails("  no training case has label 77\n  take it out of `labels`, or set `absent: draw`\n",
                          labels="[1,77]")
        name = self.changed("labels: \"${labels}\"\n", "labels: \"${labels}\"\n      absent: draw\n")
        out = self.made("tuned", graph=name, labels="[1,77]", steps_per_epoch=1)
        self.assertIn("tuned: no training case shows label 77 in one crop: its tokens are drawn\n", out)

    def test_a_case_of_train_that_is_in_val(self):
        name = self.changed("val: \"sample[set=val]\"", "val: \"sample[id=a]\"")
        self.assert_fails("  sample[case=a] of `val` is also in `train`\n"
                          "  select different cases for the two, for example by a column `set`\n", graph=name)

    def test_a_spacing_that_files_round(self):
        """6.1 mm are 6.09999990463 in a NIfTI file: scans keep their grid, and the tokens fit all the same."""
        self.write("round.yaml", MAKE.replace("[6, 6, 6]", "[6.1, 6.1, 6.1]").replace("{count: 5}", "{count: 2}")
                   .replace("${case.id}", "r${case.id}").replace("model: model.safetensors", "model: round.safetensors"))
        self.massflow("run", "round.yaml", "--cache", "made")
        self.write_csv("round.csv", ["id", "path", "labels", "set", "rank"],
                       [(f"r{i}", f"r00{i}.nii.gz", f"r00{i}-labels.nii.gz", kind, 1) for i, kind in enumerate(("train", "test"))])
        name = self.changed("      val: \"sample[set=val]\"\n", "")
        self.made("found", graph=name, cases="round.csv", spacing="[6.1,6.1,6.1]", epochs=1, steps_per_epoch=1)

    def test_no_shots(self):
        out = self.made(code=2, shots=0)
        self.assertIn("error: this selects none of the 4 cases of 'sample'\n", out)

    def test_a_loss_that_is_not_finite(self):
        out = self.made("tuned", code=1, lr=10, token_lr=10, labels="[1]", steps_per_epoch=20, batch_size=1)
        self.assertRegex(out, r"""
failed: tuned
  step \d+: (a crop of sample\[case=[ab]\]: the loss is|crops of sample\[case=[ab]\]: the norm of the gradient is) \S+
  lower lr and token_lr, or look for extreme voxels in these cases
  retry: """)
        step, = re.findall(r"tuned: the weights after step (\d+) are kept as a checkpoint\n", out)
        self.assertEqual(self.ask("SELECT max(step) FROM checkpoint", "cache"), [(int(step),)])

    def test_a_model_of_another_kind(self):
        self.assert_fails("  needs of mass.finetune: the model of `init`: not an Iris model: it has no tensor encoder.inc.conv1.weight\n"
                          "  encoders that are read are the ResUNet of MASS and I3D-ResNets (encoder.conv1.weight)\n",
                          model=os.path.join(GRAPHS, "models/sam2-small.safetensors"))

    def test_a_model_of_smaller_crops(self):
        self.assert_fails("  a crop of 16 x 48 x 48 (z y x): each side must be a multiple of 16, from 16 to 32\n"
                          "  change patch_size of the crops, or raise pos_embed_size of the model\n", patch_size="[48,48,16]", min_size="[48,48,48]")

    def test_tokens_of_another_model(self):
        name = self.changed("{model: tuned.model, embedding: tuned.embedding", "{model: model, embedding: tuned.last_embedding")
        out = self.made("found", graph=name, code=1)
        self.assertRegex(out, r"\nfailed: found\[case=t\]\n  the embedding was made with other weights "
                         r"\(fingerprint [0-9a-f]{16}\) than this model's \([0-9a-f]{16}\)\n  use the model that the "
                         r"embedding was made with, or make the embedding again with this model\n  retry: ")

    def test_grids_that_differ(self):
        text = self.graph.replace("spacing: \"${spacing}\", min_size", "spacing: \"${case.grid}\", min_size")
        self.write("grids.yaml", text)
        rows = [(name, f"{file}.nii.gz", f"{file}-labels.nii.gz", kind, rank, "[6,6,5]" if name == "b" else "[6,6,6]")
                for name, file, kind, rank in ROWS]
        self.write_csv("grids.csv", ["id", "path", "labels", "set", "rank", "grid"], rows)
        self.assert_fails("  sample 1 of `train` (sample[case=b]): its voxels have 6 x 6 x 5 mm, those of "
                          "sample[case=a] 6 x 6 x 6 mm\n  prepare all samples with one `spacing`\n",
                          graph="grids.yaml", cases="grids.csv")
        self.write_csv("grids.csv", ["id", "path", "labels", "set", "rank", "grid"],
                       [(*row[:5], "[6,6,5]" if row[0] == "v" else "[6,6,6]") for row in rows])
        self.assert_fails("  the voxels of `val` have 6 x 6 x 5 mm, those of `train` 6 x 6 x 6 mm\n"
                          "  prepare all samples with one `spacing`\n", graph="grids.yaml", cases="grids.csv")

    def clipped(self, **cases):
        """The graph with window, percentiles and modality of each case, and the cases."""
        self.write("clips.yaml", self.graph.replace(
            "modality: \"${modality}\"}\n\n  crops", "modality: \"${case.modality}\", window_low: \"${case.low}\", "
            "percentile_high: \"${case.high}\"}\n\n  crops"))
        usual = {"modality": "ct", "low": -991, "high": 98}
        rows = [(name, f"{file}.nii.gz", f"{file}-labels.nii.gz", kind, rank, *{**usual, **cases.get(name, {})}.values())
                for name, file, kind, rank in ROWS]
        self.write_csv("clips.csv", ["id", "path", "labels", "set", "rank", *usual], rows)
        return {"graph": "clips.yaml", "cases": "clips.csv", "steps_per_epoch": 1, "labels": "[1]"}

    def test_samples_that_were_clipped_otherwise(self):
        words = ("  prepare all samples of one modality with the same window_low, window_high, percentile_low and "
                 "percentile_high\n")
        other = {"low": -160, "high": 99}
        self.assert_fails("  sample[case=b] of `train` was clipped to the window -160 to 500, "
                          "sample[case=a] of `train` to -991 to 500\n" + words, **self.clipped(b=other))
        self.assert_fails("  sample[case=v] of `val` was clipped to the window -160 to 500, "
                          "sample[case=a] of `train` to -991 to 500\n" + words, **self.clipped(v=other))
        mr = {"modality": "mr"}
        self.assert_fails("  sample[case=v] of `val` was clipped to the percentiles 2 to 99, "
                          "sample[case=a] of `train` to 2 to 98\n" + words,
                          **self.clipped(a=mr, b=mr, v={**mr, **other}))

    def test_samples_of_two_modalities(self):
        """A window says nothing of an MR, nor percentiles of a CT: the tokens keep those of their kind."""
        values = self.clipped(a={"modality": "mr", "low": 0}, b={"high": 60}, v={"high": 50})
        self.made("tuned", **values)
        self.massflow("get", *self.words("tuned.embedding", **values), "-o", "facts.json")
        at = self.read_json("facts.json")["attributes"]
        self.assertEqual((at["window"], at["percentiles"], at["modality"]), ([-991, 500], [2, 98], ""))

    def volumes(self, name, size, values):
        """A scan and a label map of the same file, all voxels of which have one of these values each."""
        count = size[0] * size[1] * size[2]
        for suffix, value in zip(("", "-labels"), values):
            write_nifti(self.path(f"{name}{suffix}.nii.gz"), size, [value, *[0] * (count - 1)], spacing=(6, 6, 6))

    def test_labels_of_another_grid(self):
        self.volumes("odd", (24, 32, 32), (0, 1))
        name = self.changed("in: {volume: scan, labels: truth}", "in: {volume: scan, labels: \"other[case=odd]\"}")
        self.write(name, self.read(name).replace("cases:\n  csv: ${cases}\n", """cases:
  - {csv: "${cases}"}
  - {list: [{id: odd, path: odd.nii.gz, set: odd}]}
""").replace("  truth:\n", """  other:
    use: labels.load
    each: case
    where: {set: odd}
    in: {like: scan}
    with: {path: odd-labels.nii.gz}

  truth:
""").replace("with: {path: \"${case.labels}\"}", "where: {set: [train, val, test]}\n    with: {path: \"${case.labels}\"}"))
        self.assertIn("  the labels do not lie on the volume's grid\n", self.made("sample", graph=name, code=1))

    def test_neither_masks_nor_labels(self):
        name = self.changed("in: {volume: scan, labels: truth}", "in: {volume: scan}")
        self.assertIn("  neither masks nor labels are connected\n  connect the input `masks`, `labels` or both\n",
                      self.made("sample", graph=name, code=1))

    def test_samples_without_labels(self):
        name = self.changed("in: {volume: scan, labels: truth}", "in: {volume: scan, masks: known}")
        self.write(name, self.read(name) + "\n  known: {use: labels.masks, each: case, in: {labels: truth}}\n")
        self.assert_fails("  sample 0 of `train` (sample[case=a]): the sample has no labels\n"
                          "  connect the input `labels` of mass.prepare\n", graph=name)

    def test_no_label_at_all(self):
        self.volumes("zero", (32, 32, 32), (100, 0))
        self.write_csv("zero.csv", ["id", "path", "labels", "set", "rank"],
                       [(name, "zero.nii.gz", "zero-labels.nii.gz", kind, rank) for name, _, kind, rank in ROWS])
        self.assert_fails("  the samples of `train` have no label other than 0\n"
                          "  check their label maps, and `select_labels` of labels.load\n", cases="zero.csv")


class Real(Massflow):
    def test_crops_of_a_hippocampus(self):
        folder = os.path.join(DATA, "sets/msd_hippocampus")
        if not os.path.isdir(folder):
            self.skipTest("no sets/msd_hippocampus in MASSFLOW_DATA")
        self.write("make.yaml", MAKE.replace("pos_embed_size: 32", "pos_embed_size: 64"))
        self.massflow("run", "make.yaml", "model")
        kinds = {"train": 2, "val": 1, "test": 1}
        rows = []
        for row in table_of(os.path.join(folder, "cases.csv")):
            if kinds[row["split"]] > 0:
                kinds[row["split"]] -= 1
                rows.append((row["id"], os.path.join(folder, row["image"]), os.path.join(folder, row["label"]),
                             row["split"], len(rows)))
        self.write_csv("cases.csv", ["id", "path", "labels", "set", "rank"], rows)
        settings = flags(model="model.safetensors", cases="cases.csv", spacing="[1,1,1]", patch_size="[48,64,48]",
                         min_size="[48,64,48]", epochs=1, steps_per_epoch=1, batch_size=1, modality="mr")
        graph = os.path.join(GRAPHS, "finetune.yaml")
        self.massflow("run", graph, "--cache", "cache", *settings)
        self.massflow("get", graph, "dice.summary", "--cache", "cache", *settings, "-o", "rows.csv")
        self.assertEqual([row["label"] for row in self.read_csv("rows.csv")], ["1", "2", "mean"])


if __name__ == "__main__":
    main(2)
