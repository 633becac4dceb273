#!/usr/bin/env python3
"""Pretraining by restoration and with labels: test_reconstruction.py MASSFLOW BASELINES.md

reconstruct.train, genesis.train, supervised.train and label masks in context (the graph of the docs) on
phantoms: what learns, what resumes, what mass.finetune takes, what is refused. About 12 s of CPU time.
"""
import json
import re
import struct
import sys

from harness import Massflow, flags, main

with open(sys.argv[2], encoding="utf-8") as page:
    IN_CONTEXT = next(block for block in re.findall(r"```yaml\n(.*?)```", page.read(), re.S) if "labels.masks" in block)
MODEL = "channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32"
SCHEDULE = 'steps: "${steps}", stop_at: "${stop_at}", batch_size: 2, checkpoint_interval: 0'
GRAPH = f"""
massflow: 1
params: {{steps: 2, stop_at: -1, mask: mae, mask_share: -1, mask_patch: 0, labels: [], patch_size: [32, 32, 16],
         organs: 8}}
cases: {{count: 2, id: "p{{id}}"}}
stages:
  patient:
    {{use: phantom.volume, each: case, with: {{size: [32, 32, 32], spacing: [6, 6, 6], seed: 1, organs: "${{organs}}"}}}}
  masks: {{use: labels.masks, each: case, in: {{labels: patient.labels}}}}
  sample:
    use: mass.prepare
    each: case
    in: {{volume: patient.volume, masks: masks, labels: patient.labels}}
    with: {{spacing: [6, 6, 6], min_size: [32, 32, 32]}}
  pairs: {{use: augment.views, in: {{samples: "sample[*]"}}, with: {{patch_size: "${{patch_size}}", margin: 0, masks: 4}}}}
  crops: {{use: augment.crops, in: {{samples: "sample[*]"}}, with: {{patch_size: "${{patch_size}}", margin: 4}}}}
  simple: {{use: phantom.volume, each: case, with: {{size: [32, 32, 32], spacing: [6, 6, 6], seed: 1, organs: 2}}}}
  known:
    use: mass.prepare
    each: case
    in: {{volume: simple.volume, labels: simple.labels}}
    with: {{spacing: [6, 6, 6], min_size: [32, 32, 32]}}
  few: {{use: labels.masks, each: case, in: {{labels: patient.labels}}, with: {{min_voxels: 1000000}}}}
  padded: {{use: mass.prepare, each: case, in: {{volume: patient.volume, masks: masks}}, with: {{spacing: [6, 6, 6],
    min_size: [48, 48, 48]}}}}
  tall: {{use: augment.views, in: {{samples: "padded[*]"}}, with: {{patch_size: "${{patch_size}}", margin: 0}}}}
  deep: {{use: genesis.train, in: {{pairs: tall}}, with: {{{MODEL}, {SCHEDULE}}}}}
  bare: {{use: mass.prepare, each: case, in: {{volume: patient.volume, masks: few}}, with: {{spacing: [6, 6, 6]}}}}
  empty: {{use: augment.views, in: {{samples: "bare[*]"}}, with: {{patch_size: "${{patch_size}}", margin: 0}}}}
  blind: {{use: genesis.train, in: {{pairs: empty}}, with: {{{MODEL}, {SCHEDULE}}}}}
  random: {{use: mass.init, with: {{{MODEL}}}}}
  reconstruct:
    use: reconstruct.train
    in: {{pairs: pairs}}
    with: {{{MODEL}, {SCHEDULE}, mask: "${{mask}}", mask_share: "${{mask_share}}", mask_patch: "${{mask_patch}}"}}
  genesis: {{use: genesis.train, in: {{pairs: pairs}}, with: {{{MODEL}, {SCHEDULE}}}}}
  supervised:
    use: supervised.train
    in: {{crops: crops, samples: "sample[*]"}}
    with: {{{MODEL}, {SCHEDULE}, labels: "${{labels}}"}}
  apart:
    use: supervised.train
    in: {{crops: crops, samples: "known[*]"}}
    with: {{{MODEL}, {SCHEDULE}, labels: "${{labels}}"}}
  tuned:
    use: mass.finetune
    in: {{crops: crops, train: "sample[*]", init: supervised.model}}
    with: {{epochs: 1, steps_per_epoch: 1, batch_size: 1}}
"""
TRAINED = {"reconstruct": ["encoder."], "genesis": ["encoder.", "decoder.up"], "supervised": ["encoder.", "decoder.up"]}


class Reconstruction(Massflow):
    ONE_FOLDER = True
    TIMEOUT = 300

    def prepare(self):
        self.write("g.yaml", GRAPH)
        self.massflow("run", "g.yaml", "random", "sample", "--cache", "cache")

    def words(self, target, cache="cache", **values):
        return ["g.yaml", target, "--cache", cache, *flags(**values)]

    def made(self, target, code=0, **values):
        return self.massflow("run", *self.words(target, **values), code=code)

    def weights(self, target, **values):
        """The bytes of each tensor of a model."""
        self.massflow("get", *self.words(target, **values), "-o", "model.safetensors")
        data = self.read_bytes("model.safetensors")
        size, = struct.unpack_from("<Q", data)
        return {name: data[8 + size + about["data_offsets"][0]:8 + size + about["data_offsets"][1]]
                for name, about in json.loads(data[8:8 + size]).items() if name != "__metadata__"}

    def assert_learned(self, target, **values):
        """What learns, and its averages, differ from the first weights of that seed; all else is the same."""
        first, last = self.weights("random"), self.weights(f"{target}.model", **values)
        averaged = {f"ema.{name}": value for name, value in first.items() if not name.startswith("task_prior_")}
        self.assertEqual(set(last), {*first, *averaged})
        for name, value in [*first.items(), *averaged.items()]:
            learns = name.removeprefix("ema.").startswith(tuple(TRAINED[target])) and ".prior_fuse." not in name
            self.assertEqual(last[name] != value, learns, name)
        self.massflow("get", *self.words(f"{target}.metrics", **values), "-o", "rows.csv")
        return self.read_csv("rows.csv")

    def assert_trained(self, target, **values):
        """It learns, and is the same whether it is resumed or not."""
        self.massflow("run", *self.words(target, target, **values))
        whole = {name: id for name, id in self.results(target).items() if f"{target}.train" in name}
        self.made(target, stop_at=1, **values)
        self.assertIn(f"{target}: resumes after step 1 of 2\n", self.made(target, **values))
        here = self.results("cache")
        self.assertEqual(len(whole), 2)
        self.assertEqual({name: here[name] for name in whole}, whole)
        return self.assert_learned(target, **values)

    def assert_refused(self, text, target, **values):
        out = self.made(target, code=1, **values)
        self.assertIn(f"\nfailed: {target}\n", out)
        self.assertIn(text, out)

    def test_masked_reconstruction(self):
        simmim = {"mask": "simmim", "mask_patch": 8}
        self.made("reconstruct", **simmim)
        for rows in (self.assert_trained("reconstruct"), self.assert_learned("reconstruct", **simmim)):
            self.assertEqual([list(row) for row in rows], [["step", "loss", "lr", "grad_norm"]] * 2)
            self.assertEqual([row["step"] for row in rows], ["1", "2"])

    def test_models_genesis(self):
        rows = self.assert_trained("genesis")
        self.assertEqual([list(row) for row in rows], [["step", "loss", "lr", "grad_norm"]] * 2)

    def test_supervised(self):
        rows = self.assert_trained("supervised")
        self.assertEqual([list(row) for row in rows], [["step", "loss", "dice", "ce", "lr", "grad_norm"]] * 2)
        for row in rows:
            self.assertAlmostEqual(float(row["loss"]), float(row["dice"]) + float(row["ce"]), places=5)
        out = self.made("tuned")
        self.assertIn("done     tuned", out)

    def test_labels_of_other_samples(self):
        """What `samples` do not have is no background, unless `labels` says so."""
        out = self.made("apart", code=1)
        self.assertRegex(out, r"crop 0, of sample\[case=p00\d\]: no sample of `samples` has its label [3-8]\n"
                              r"  connect the samples that the crops are drawn from, or choose with `labels`\n")
        self.assertIn("done     apart", self.made("apart", labels="[1,2]"))

    def test_labels_in_context(self):
        self.write("context.yaml", IN_CONTEXT)
        self.massflow("run", "context.yaml", "--cache", "cache")

    def test_refused(self):
        self.assert_refused("the sample has 32x32x32 voxels, a view 48x32x16", "reconstruct", patch_size="[48,32,16]")
        self.assert_refused("the sample has 32x32x32 voxels, a crop 48x32x16", "supervised", patch_size="[48,32,16]")
        self.assert_refused("a crop of 48 x 16 x 16 (z y x): each side must be a multiple of 16, from 16 to 32\n  change "
                            "patch_size of the views, or raise pos_embed_size of the model", "deep", patch_size="[16,16,48]")
        self.assert_refused("item 0 of empty: none of the 2 samples has a mask\n  see what the stage of the masks says: ",
                            "blind")
        self.assert_refused("no sample has label 200\n  take it out of `labels`", "supervised", labels="[1,200]")
        self.assert_refused("a crop of 16 x 32 x 32 (z y x) is not whole patches of 12 voxels\n  "
                            "change mask_patch, or the size of the crops", "reconstruct", mask_patch=12)
        self.assert_refused("a crop of 16 x 32 x 32 (z y x) is not whole patches of 32 voxels\n", "reconstruct",
                            mask="simmim", mask_patch=0)
        self.assert_refused("a mask share of 0.75 hides 1 of the 1 patches of a crop of 16 x 16 x 16 (z y x); at least "
                            "one must be hidden and one seen\n  lower mask_patch, or change mask_share",
                            "reconstruct", patch_size="[16,16,16]")
        self.assert_refused("crops of 16 x 16 x 16 voxels (z y x): the deepest map has one voxel, whose norm is 0, and "
                            "nothing can be restored from it\n  take larger crops", "reconstruct",
                            patch_size="[16,16,16]", mask_patch=8)
        for share in ("0", "1", "-0.5"):
            out = self.massflow("run", *self.words("reconstruct", mask_share=share), code=2)
            self.assertIn(f"mask_share is {share}; it must be above 0, or there is no loss, and below 1, or nothing is "
                          "seen (-1: that of the paper)", out)


if __name__ == "__main__":
    main(2)
