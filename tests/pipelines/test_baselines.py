#!/usr/bin/env python3
"""Pretraining by the methods that MASS is compared with: test_baselines.py MASSFLOW

Each method on phantoms: its columns, training that stops and goes on to the same bytes, what later stages take,
what is refused. About 12 s of CPU time.
"""
import json

from harness import Massflow, flags, main

MODEL = "channels: [4, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32"
GRAPH = f"""massflow: 1
params: {{steps: 3, stop_at: -1, batch_size: 2, norms: 8, lr: 0.002, checkpoint: 0, bank: 8, same: false, ema: 0}}
cases: {{count: 3}}
stages:
  patient: {{use: phantom.volume, each: case, with: {{size: [32, 32, 32], spacing: [6, 6, 6], seed: 1, lesion_size: 1}}}}
  found: {{use: slic.masks, each: case, in: {{volume: patient.volume}}, with: {{sizes: [24], min_voxels: 50}}}}
  sample:
    use: mass.prepare
    each: case
    in: {{volume: patient.volume, masks: found, labels: patient.labels}}
    with: {{spacing: [6, 6, 6], min_size: [32, 32, 32]}}
  labelled:
    use: mass.prepare
    each: case
    in: {{volume: patient.volume, labels: patient.labels}}
    with: {{spacing: [6, 6, 6], min_size: [32, 32, 32]}}
  views:
    use: augment.views
    in: {{samples: "SAMPLES"}}
    with: {{patch_size: [32, 32, 32], margin: 0, masks: 1, ones_mask_prob: 1, seed: 1}}
  drawn: {{use: mass.init, with: {{{MODEL}}}}}
METHODS
  scan: {{use: mass.normalize, each: case, in: {{volume: patient.volume}}, with: {{spacing: [6, 6, 6]}}}}
  crops: {{use: augment.crops, in: {{samples: "sample[case<=001]"}}, with: {{patch_size: [32, 32, 32], margin: 0}}}}
  tuned:
    use: mass.finetune
    in: {{crops: crops, train: "sample[case<=001]", init: dino}}
    with: {{epochs: 1, steps_per_epoch: 1, batch_size: 1}}
  features:
    use: mass.features
    in: {{model: moco3, volume: "patient.volume[case=000]"}}
    with: {{spacing: [6, 6, 6], roi_size: [32, 32, 32]}}
  classify:
    use: mass.classify
    in: {{model: simclr, train: "scan[case<=001]", test: "scan[case=002]"}}
    with: {{target: lesion, roi_size: [32, 32, 32], margin: 0, epochs: 1, batch_size: 2}}
"""
METHODS = {
    "simclr": ("simclr.train", "projection_dim: 16, ema_decay: '${ema}', same_scan_negatives: '${same}'"),
    "moco2": ("moco.train", "memory_bank: '${bank}', projection_dim: 16, same_scan_negatives: '${same}'"),
    "moco3": ("moco.train", "version: v3, projection_hidden: 32, projection_dim: 16, same_scan_negatives: '${same}'"),
    "dino": ("dino.train", "hidden: 32, bottleneck: 16, prototypes: 40")}
COLUMNS = {"simclr": "accuracy", "moco2": "accuracy", "moco3": "accuracy", "dino": "teacher_entropy"}


def graph(samples):
    stages = "".join(f"""  {name}:
    use: {use}
    in: {{pairs: views}}
    with: {{{MODEL}, {more}, steps: "${{steps}}", stop_at: "${{stop_at}}", batch_size: "${{{'norms' if name == 'moco3' else 'batch_size'}}}",
           lr: "${{lr}}", checkpoint_interval: "${{checkpoint}}"}}
""" for name, (use, more) in METHODS.items())
    return GRAPH.replace("SAMPLES", samples).replace("METHODS", stages.rstrip())


def tensors_of(data):
    """The bytes of each tensor of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    head, body = json.loads(data[8:8 + size]), data[8 + size:]
    return {n: body[slice(*t["data_offsets"])] for n, t in head.items() if n != "__metadata__"}


class Baselines(Massflow):
    ONE_FOLDER = True
    TIMEOUT = 300

    def prepare(self):
        self.write("graph.yaml", graph("sample[*]"))
        self.write("one.yaml", graph("sample[case=000]"))
        self.write("twice.yaml", graph("TWO").replace('"TWO"', '["sample[case=000]", "labelled[case=000]"]'))
        self.made("drawn", *METHODS)

    def made(self, *nodes, cache="cache", file="graph.yaml", code=0, **values):
        return self.massflow("run", file, *nodes, "--cache", cache, *flags(**values), code=code)

    def got(self, result, suffix, cache="cache", **values):
        name = result + suffix
        self.massflow("get", "graph.yaml", result, "--cache", cache, *flags(**values), "-o", name, "--force")
        return name

    def model(self, node, **values):
        return tensors_of(self.read_bytes(self.got(node + ".model", ".safetensors", **values)))

    def failed(self, text, *nodes, code=1, **values):
        self.assertIn(text, self.made(*nodes, code=code, **values))

    def test_a_model_is_whole(self):
        first = self.model("drawn")
        for method in METHODS:
            rows = self.read_csv(self.got(method + ".metrics", ".csv"))
            self.assertEqual(list(rows[0]), ["step", "loss", COLUMNS[method], "lr", "grad_norm"])
            self.assertEqual([row["step"] for row in rows], ["1", "2", "3"])
            model = self.model(method)
            averages = {n for n in model if n.startswith("ema.")}
            self.assertEqual(bool(averages), method == "dino")  # the teacher is the result
            self.assertEqual(model.keys() - averages, first.keys())
            changed = {n for n in first if first[n] != model[n]}
            self.assertEqual(changed, {n for n in first if n.startswith("encoder.")})
            for name in averages:
                self.assertEqual(model[name] != first[name[4:]], name.startswith("ema.encoder."), name)

    def test_without_steps_it_is_the_first_model(self):
        self.made("simclr", steps=0)
        self.assertEqual(self.model("simclr", steps=0), self.model("drawn"))

    def test_a_stop_changes_nothing(self):
        self.made(*METHODS, cache="again", stop_at=2)
        out = self.made(*METHODS, cache="again")
        for method in METHODS:
            self.assertIn(f"{method}: resumes after step 2 of 3\n", out)
            for result, suffix in ((".model", ".safetensors"), (".metrics", ".csv")):
                first = self.read_bytes(self.got(method + result, suffix))
                self.assertEqual(self.read_bytes(self.got(method + result, suffix, cache="again")), first, method)

    def test_later_stages_take_the_models(self):
        out = self.made("tuned", "features", "classify")
        self.assertIn("\ndone     tuned (", out)
        self.assertIn("\ndone     features (", out)
        self.assertIn("\ndone     classify (", out)

    def test_what_is_refused(self):
        self.failed("error: moco.train: memory_bank is 1, less than the 2 keys of a batch (batch_size)\n", "moco2", code=2,
                    bank=1)
        self.failed("\n  a memory_bank of several batches, or a smaller batch_size\n", "moco2", code=2, bank=1)
        self.failed("error: simclr.train: batch_size is 1; simclr.train compares the pairs of a batch, which has at least "
                    "2\n", "simclr", code=2, batch_size=1)
        self.failed("error: moco.train: batch_size is 7; moco.train v3 has batch norms over the pairs of a batch, which "
                    "has at least 8\n", "moco3", code=2, norms=7)
        self.write("norm.yaml", graph("sample[*]").replace("prototypes: 40", "prototypes: 40, head_norm: batch"))
        self.failed("error: dino.train: batch_size is 1; head_norm: batch has batch norms over the views of a batch, "
                    "which has at least 2 pairs\n", "dino", code=2, batch_size=1, file="norm.yaml")
        for node in ("simclr", "moco2", "moco3"):
            self.failed(f"\nfailed: {node}\n"
                        "  all pairs of the first 3 steps show one scan, sample[case=000]: there is nothing to contrast "
                        "it with\n  more scans; or same_scan_negatives: true, and views of other places are negatives\n",
                        node, file="one.yaml", cache="one")
        self.made("simclr", file="one.yaml", cache="one", same="true")
        self.failed("\nfailed: simclr\n  all pairs of the first 3 steps show one scan, ", "simclr", file="twice.yaml",
                    cache="one")  # a scan is known by its image, not by a node's name
        self.write("near.yaml", graph("sample[*]").replace("patch_size: [32, 32, 32], margin: 0, masks",
                                                           "patch_size: [32, 16, 16], margin: 0, masks"))
        self.failed("\nfailed: moco2\n  needs of moco.train: views of 32 x 16 x 16 voxels: the deepest map has 2 of the 4 "
                    "voxels that its norms need: of one they leave 0, of two the same two values for all scans\n"
                    "  a larger patch_size of the pairs: at least 32 along two axes\n", "moco2", file="near.yaml")


DEEP = "channels: [4, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 64"
I3D = "backbone: i3d, i3d_width: 2, i3d_blocks: [1, 1, 1, 1]"
STEPS = 'steps: 2, batch_size: 2, stop_at: "${stop_at}", checkpoint_interval: 0'
DEEP_GRAPH = f"""massflow: 1
params: {{stop_at: -1, patch: [32, 32, 64]}}
cases: {{count: 2}}
stages:
  patient: {{use: phantom.volume, each: case, with: {{size: [32, 32, 64], spacing: [6, 6, 6], seed: 1}}}}
  organs: {{use: labels.masks, each: case, in: {{labels: patient.labels}}}}
  sample:
    use: mass.prepare
    each: case
    in: {{volume: patient.volume, masks: organs, labels: patient.labels}}
    with: {{spacing: [6, 6, 6], min_size: [32, 32, 64]}}
  views: {{use: augment.views, in: {{samples: "sample[*]"}}, with: {{patch_size: "${{patch}}", margin: 0, masks: 1}}}}
  crops: {{use: augment.crops, in: {{samples: "sample[*]"}}, with: {{patch_size: "${{patch}}", margin: 0}}}}
  drawn: {{use: mass.init, with: {{{DEEP}, {I3D}}}}}
  simclr: {{use: simclr.train, in: {{pairs: views}}, with: {{{DEEP}, {I3D}, {STEPS}, projection_dim: 8, ema_decay: 0}}}}
  dino:
    use: dino.train
    in: {{pairs: views}}
    with: {{{DEEP}, {I3D}, {STEPS}, hidden: 16, bottleneck: 8, prototypes: 16, teacher_momentum: 0.5, lr: 0.01}}
  mae: {{use: reconstruct.train, in: {{pairs: views}}, with: {{{DEEP}, {I3D}, {STEPS}, mask_patch: 8, ema_decay: 0}}}}
  supervised:
    use: supervised.train
    in: {{crops: crops, samples: "sample[*]", init: drawn}}
    with: {{{STEPS}, ema_decay: 0}}
  frozen:
    use: mass.finetune
    in: {{crops: crops, train: "sample[*]", init: dino}}
    with: {{epochs: 1, steps_per_epoch: 1, batch_size: 1, batch_norm: frozen}}
  unet: {{use: mass.init, with: {{{DEEP}}}}}
  other: {{use: genesis.train, in: {{pairs: views, init: unet}}, with: {{{I3D}, {STEPS}}}}}
"""


class OfAnI3D(Massflow):
    """The same methods on an I3D, whose running statistics are learned with it."""
    ONE_FOLDER = True
    TIMEOUT = 300

    def prepare(self):
        self.write("deep.yaml", DEEP_GRAPH)

    def words(self, *nodes, cache="deep", **values):
        return ["deep.yaml", *nodes, "--cache", cache, *flags(**values)]

    def model(self, node, cache="deep"):
        self.massflow("get", *self.words(node, cache=cache), "-o", "model.safetensors", "--force")
        return tensors_of(self.read_bytes("model.safetensors"))

    def test_what_learns(self):
        self.massflow("run", *self.words("drawn", "simclr", "dino", "mae", "supervised", "frozen"))
        first = self.model("drawn")
        for node, parts in (("simclr", ("encoder.",)), ("dino", ("encoder.",)), ("mae", ("encoder.",)),
                            ("supervised", ("encoder.", "decoder.lateral.", "decoder.up"))):
            model = self.model(node + ".model")
            self.assertEqual({name for name in first if model[name] != first[name]},
                             {name for name in first if name.startswith(parts) and ".prior_fuse." not in name}, node)
        # The teacher's statistics are averages of the student's.
        for name in ("encoder.bn1.running_mean", "encoder.layer4.0.bn3.running_var"):
            model = self.model("dino.model")
            self.assertEqual(len({first[name], model[name], model["ema." + name]}), 3)

    def test_a_stop_changes_nothing(self):
        self.massflow("run", *self.words("dino", "mae"))
        self.massflow("run", *self.words("dino", "mae", cache="again", stop_at=1))
        out = self.massflow("run", *self.words("dino", "mae", cache="again"))
        for node in ("dino", "mae"):
            self.assertIn(f"{node}: resumes after step 1 of 2\n", out)
            self.assertEqual(self.model(node + ".model"), self.model(node + ".model", cache="again"))

    def test_what_is_refused(self):
        out = self.massflow("run", *self.words("simclr", patch="[32,32,32]"), code=1)
        self.assertIn("needs of simclr.train: views of 32 x 32 x 32 voxels: the deepest map has 2 of the 4 voxels that its "
                      "norms need: of one they leave 0, of two the same two values for all scans\n"
                      "  a larger patch_size of the pairs: the map has a voxel for 32 x 32 x 16\n", out)
        out = self.massflow("run", *self.words("mae", patch="[32,32,16]"), code=1)
        self.assertIn("the deepest map of the I3D has one voxel of a crop of 16 x 32 x 32 (z y x), and so no variance\n", out)
        out = self.massflow("run", *self.words("other"), code=1)
        self.assertIn("backbone is i3d, but the model of `init` has a ResUNet\n", out)


if __name__ == "__main__":
    main(1)
