#!/usr/bin/env python3
"""MASS with an I3D-ResNet as its encoder: test_backbones.py MASSFLOW

Pretraining, fine-tuning, classification and features on phantoms; training that goes on; a ResNet of
images that is inflated; what is refused. About 15 s of CPU time.
"""
import json
import math
import os
import struct

from harness import Massflow, flags, main

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/inflated.safetensors")

MODEL = "channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32"
SMALL = "backbone: i3d, i3d_width: 4, i3d_blocks: [1, 2, 1, 1]"
GRAPH = f"""massflow: 1
params: {{mode: full, edge: 32, steps: 2, stop_at: -1, batch_norm: batch, weights: flat.safetensors,
  inflation: center, recompute: none, checkpoint: flat.safetensors}}
cases: {{csv: cases.csv}}
stages:
  patient:
    use: phantom.volume
    each: case
    with: {{size: [32, 32, 32], spacing: [6, 6, 6], seed: 1, lesion_size: 1.5}}
  found: {{use: slic.masks, each: case, in: {{volume: patient.volume}}, with: {{sizes: [24, 40], min_voxels: 50}}}}
  masks: {{use: masks.nms, each: case, in: {{masks: found}}, with: {{min_voxels: 50, pool: 1}}}}
  sample:
    use: mass.prepare
    each: case
    in: {{volume: patient.volume, masks: masks, labels: patient.labels}}
    with: {{spacing: [6, 6, 6], min_size: [32, 32, 32]}}
  views:
    use: augment.views
    in: {{samples: "sample[*]"}}
    with: {{patch_size: ["${{edge}}", "${{edge}}", "${{edge}}"], margin: 0, masks: 2, seed: 1}}
  encoder:
    use: mass.train
    in: {{pairs: views}}
    with: {{{MODEL}, {SMALL}, batch_norm: "${{batch_norm}}", steps: "${{steps}}", stop_at: "${{stop_at}}", batch_size: 2,
           recompute: "${{recompute}}"}}
  crops:
    use: augment.crops
    in: {{samples: "sample[set=train]"}}
    with: {{patch_size: [32, 32, 32], margin: 4, seed: 1}}
  tuned:
    use: mass.finetune
    in: {{crops: crops, train: "sample[set=train]", init: encoder}}
    with: {{labels: [1, 2], epochs: 1, steps_per_epoch: 1, batch_size: 1, batch_norm: "${{batch_norm}}"}}
  tuned_drawn:
    use: mass.finetune
    in: {{crops: crops, train: "sample[set=train]"}}
    with: {{{MODEL}, {SMALL}, labels: [1, 2], epochs: 1, steps_per_epoch: 1, batch_size: 1,
           batch_norm: "${{batch_norm}}", mode: "${{mode}}"}}
  scan: {{use: mass.normalize, each: case, in: {{volume: patient.volume}}, with: {{spacing: [6, 6, 6]}}}}
  judge:
    use: mass.classify
    in: {{model: encoder, train: "scan[set=train]", test: "scan[set=test]"}}
    with: {{target: sex, roi_size: [32, 32, 32], margin: 4, epochs: 1, batch_size: 2, freeze: false}}
  features:
    use: mass.features
    each: case
    in: {{model: encoder, volume: patient.volume}}
    with: {{spacing: [6, 6, 6], roi_size: [48, 32, 32]}}
  drawn: {{use: mass.init, with: {{{MODEL}, {SMALL}}}}}
  first: {{use: mass.train, in: {{pairs: views}}, with: {{{MODEL}, {SMALL}, steps: 1, batch_size: 1}}}}
  frozen:
    use: mass.train
    in: {{pairs: views, init: first}}
    with: {{batch_norm: frozen, steps: 1, batch_size: 1}}
  frozen_drawn: {{use: mass.train, in: {{pairs: views, init: drawn}}, with: {{batch_norm: frozen, steps: 1}}}}
  inflated: {{use: mass.inflate, in: {{model: drawn}}, with: {{path: "${{weights}}", inflation: "${{inflation}}"}}}}
  features_drawn:
    use: mass.features
    in: {{model: drawn, volume: "patient.volume[case=a]"}}
    with: {{spacing: [6, 6, 6], roi_size: [32, 32, 32]}}
  judge_drawn:
    use: mass.classify
    in: {{model: drawn, train: "scan[set=train]", test: "scan[set=test]"}}
    with: {{target: sex, roi_size: [32, 32, 32], margin: 4, epochs: 1, batch_size: 2, freeze: false}}
  tiny: {{use: mass.init, with: {{{MODEL}, backbone: i3d, i3d_width: 1, i3d_blocks: [1, 1, 1, 1]}}}}
  golden: {{use: mass.inflate, in: {{model: tiny}}, with: {{path: golden.safetensors, inflation: "${{inflation}}"}}}}
  trained: {{use: mass.train, in: {{pairs: views, init: inflated}}, with: {{steps: 1, batch_size: 1}}}}
  probed:
    use: mass.finetune
    in: {{crops: crops, train: "sample[set=train]", val: "sample[case=c]", init: inflated}}
    with: {{labels: [1, 2], epochs: 1, steps_per_epoch: 1, batch_size: 1, mode: probing}}
  found_again:
    use: mass.segment
    in: {{model: probed.model, embedding: probed.embedding, query: "patient.volume[case=d]"}}
    with: {{spacing: [6, 6, 6], patch_size: [32, 32, 32]}}
  embedded:
    use: mass.embed
    in: {{model: trained.model, references: "patient.volume[case=a]", labels: "patient.labels[case=a]"}}
    with: {{spacing: [6, 6, 6], patch_size: [32, 32, 32]}}
  unet: {{use: mass.init, with: {{{MODEL}}}}}
  other: {{use: mass.train, in: {{pairs: views, init: unet}}, with: {{backbone: i3d, steps: 1}}}}
  norms: {{use: mass.train, in: {{pairs: views, init: unet}}, with: {{batch_norm: frozen, steps: 1}}}}
  wrong: {{use: mass.inflate, in: {{model: unet}}, with: {{path: flat.safetensors}}}}
  again: {{use: model.load, with: {{path: "${{checkpoint}}"}}}}
  features_again:
    use: mass.features
    in: {{model: again, volume: "patient.volume[case=a]"}}
    with: {{spacing: [6, 6, 6], roi_size: [48, 32, 32]}}
"""


def tensors_of(path):
    """Shape and floats of each tensor of a safetensors file."""
    with open(path, "rb") as file:
        data = file.read()
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    return {name: (about["shape"], struct.unpack_from(f"<{math.prod(about['shape'])}f", data,
                                                      8 + size + about["data_offsets"][0]))
            for name, about in header.items() if name != "__metadata__"}


def resnet(width, blocks):
    """Shapes of a ResNet with bottlenecks, under torchvision's names."""
    shapes, i = {"conv1.weight": [width, 3, 7, 7], "fc.weight": [3, 32 * width], "fc.bias": [3]}, width

    def norm(name, channels):
        shapes.update({f"{name}.{part}": [channels] for part in ("weight", "bias", "running_mean", "running_var")})
    norm("bn1", width)
    for stage, count in enumerate(blocks):
        w = width << stage
        for n in range(count):
            at = f"layer{stage + 1}.{n}."
            for k, shape in enumerate(([w, i, 1, 1], [w, w, 3, 3], [4 * w, w, 1, 1])):
                shapes[f"{at}conv{k + 1}.weight"] = shape
                norm(f"{at}bn{k + 1}", shape[0])
            if not n:
                shapes[f"{at}downsample.0.weight"] = [4 * w, i, 1, 1]
                norm(f"{at}downsample.1", 4 * w)
            i = 4 * w
    return shapes


def number(name, e):
    return (len(name) + 13 * e) % 31 / 16 - 0.875 + (2 if name.endswith("var") else 0)


class Backbones(Massflow):
    ONE_FOLDER = True
    TIMEOUT = 300

    def prepare(self):
        self.write("graph.yaml", GRAPH)
        self.write_csv("cases.csv", ["id", "set", "sex"], [["a", "train", "F"], ["b", "train", "M"],
                                                          ["c", "test", "F"], ["d", "test", "M"]])
        self.write_flat("flat.safetensors", resnet(4, (1, 2, 1, 1)))
        flat = {name.removeprefix("flat."): tensor for name, tensor in tensors_of(GOLDEN).items()
                if name.startswith("flat.")}
        self.write_flat("golden.safetensors", {name: shape for name, (shape, _) in flat.items()},
                        **{name: values for name, (_, values) in flat.items()})

    def write_flat(self, name, shapes, **given):
        header, data = {}, b""
        for key, shape in shapes.items():
            values = given.get(key) or [number(key, e) for e in range(math.prod(shape))]
            values = struct.pack(f"<{math.prod(shape)}f", *values)
            header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
            data += values
        text = json.dumps(header).encode()
        with open(self.path(name), "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + data)

    def made(self, *targets, code=0, cache="cache", **values):
        return self.massflow("run", "graph.yaml", *targets, "--cache", cache, *flags(**values), code=code)

    def got(self, port, cache="cache", **values):
        self.massflow("get", "graph.yaml", port, "--cache", cache, *flags(**values), "-o", "got.safetensors")
        return tensors_of(self.path("got.safetensors"))

    def ids(self, cache):
        return self.ask("SELECT id FROM artifact WHERE type = 'model' ORDER BY id", cache)

    def test_all_that_uses_it(self):
        self.made("encoder", "tuned", "judge", "features", "drawn")
        few = "the deepest map of the I3D has 2 voxels of a crop: the statistics of its batch norms are rough\n"
        for stage in ("encoder", "tuned"):
            self.assertIn(few, self.massflow("log", "graph.yaml", stage, "--cache", "cache"))
        first, after = self.got("drawn"), self.got("encoder.model")
        self.assertEqual(first["encoder.conv1.weight"][0], [4, 3, 3, 7, 7])
        self.assertEqual(first["encoder.layer2.1.bn2.running_var"], ([8], (1.0,) * 8))
        for name in first: # everything learns, and the running statistics follow
            if not name.startswith("task_prior_"):
                self.assertNotEqual(after[name][1], first[name][1], name)
                self.assertNotEqual(after["ema." + name][1], after[name][1], name)
        tuned = self.got("tuned.model")
        self.assertNotEqual(tuned["encoder.bn1.running_mean"], after["ema.encoder.bn1.running_mean"])
        self.massflow("get", "graph.yaml", "features[case=a]", "--cache", "cache", "-o", "a.safetensors")
        features = tensors_of(self.path("a.safetensors"))
        self.assertEqual(features["values"][0], [128, 2, 1, 2])
        # a file of PyTorch holds all of it
        self.massflow("get", "graph.yaml", "encoder.model", "--cache", "cache", "-o", "encoder.pth")
        self.made("features_again", checkpoint="encoder.pth")
        self.assertEqual(self.got("features_again", checkpoint="encoder.pth")["values"], features["values"])

    def test_training_goes_on(self):
        self.made("encoder", stop_at=1, cache="halves")
        self.made("encoder", cache="halves", recompute="blocks")  # which changes no byte
        self.made("encoder", cache="whole")
        whole = self.ids("whole")
        self.assertEqual(len(whole), 1)
        self.assertIn(whole[0], self.ids("halves"))

    def test_frozen_batch_norms(self):
        self.made("frozen")
        first, after = self.got("first.model"), self.got("frozen.model")
        self.assertNotEqual(after["encoder.bn1.weight"], first["encoder.bn1.weight"])
        for name in first:
            if "running" in name and not name.startswith("ema."):
                self.assertNotIn(set(first[name][1]), ({0.0}, {1.0}), name)
                self.assertEqual(after[name], first[name], name)
                self.assertEqual(after["ema." + name], first[name], name)

    def test_statistics_that_nobody_has_trained_are_refused(self):
        untrained = ("all running statistics of the I3D are mean 0 and variance 1: it has not been trained\n"
                     "  connect a trained model, or one of mass.inflate\n")
        for target in ("encoder", "tuned_drawn"):
            self.assertIn("batch_norm is frozen, but there is no `init` whose running statistics could be kept\n"
                          "  connect a trained or inflated model as `init`, or set batch_norm: batch\n",
                          self.made(target, code=1, batch_norm="frozen"))
        self.assertIn("mode is probing, but there is no `init` whose running statistics could be kept\n"
                      "  connect a trained or inflated model as `init`, or set mode: full\n",
                      self.made("tuned_drawn", code=1, mode="probing"))
        self.assertIn("batch_norm is frozen: " + untrained, self.made("frozen_drawn", code=1))
        for target in ("features_drawn", "judge_drawn"):
            self.assertIn("the model: " + untrained, self.made(target, code=1))

    def test_inflation(self):
        """As PyTorch does it (tools/reference/golden_inflate.py)."""
        golden = tensors_of(GOLDEN)
        for inflation in ("center", "repeat"):
            self.made("golden", "tiny", inflation=inflation)
            drawn, inflated = self.got("tiny"), self.got("golden", inflation=inflation)
            filters = 0
            for name, (shape, values) in inflated.items():
                plain = name.removeprefix("encoder.")
                if plain == name:
                    self.assertEqual(values, drawn[name][1], name)
                elif len(shape) == 5:
                    self.assertEqual((shape, values), golden[f"{inflation}.{plain}"], name)
                    filters += 1
                else:
                    self.assertEqual((shape, values), golden["flat." + plain], name)
            self.assertEqual(filters, 17)

    def test_inflated_weights_are_used(self):
        self.made("trained", "probed", "found_again", "embedded")
        before, probed, trained = self.got("inflated"), self.got("probed.model"), self.got("trained.model")
        for name in before:
            if name.startswith("encoder."):
                self.assertEqual(probed[name], before[name], name)
                self.assertNotEqual(trained[name], before[name], name)
        self.massflow("get", "graph.yaml", "found_again", "--cache", "cache", "-o", "found.nii.gz")
        self.massflow("get", "graph.yaml", "embedded", "--cache", "cache", "-o", "embedded.safetensors")
        self.assertTrue(all(math.isfinite(v) for _, values in tensors_of(self.path("embedded.safetensors")).values()
                            for v in values))

    def test_what_is_refused(self):
        self.assertIn(
            "\nfailed: other\n  needs of mass.train: backbone is i3d, but the model of `init` has a ResUNet\n"
            "  connect a model of mass.init or mass.inflate with backbone i3d, or remove `backbone`\n",
            self.made("other", code=1))
        self.assertIn("batch_norm is frozen, but a ResUNet has no batch norms\n  remove `batch_norm`\n",
                      self.made("norms", code=1))
        self.assertIn("\nfailed: wrong\n  mass.inflate needs a model with backbone i3d; this one has a ResUNet\n"
                      "  connect a model of mass.init with backbone i3d\n", self.made("wrong", code=1))
        self.assertIn("flat.safetensors: a ResNet by itself, no model of MASS\n"
                      "  mass.inflate puts a ResNet of images into the I3D encoder of a model\n",
                      self.made("again", code=1))
        self.assertIn("\nfailed: encoder\n  needs of mass.train: the deepest map of the I3D has one voxel of a crop of "
                      "16 x 16 x 16 (z y x), and so no variance\n  raise patch_size, or set batch_norm: frozen where the stage has it\n",
                      self.made("encoder", code=1, edge=16))
        for name, shapes, text in [
                ("deep.safetensors", resnet(4, (1, 2, 3, 1)),
                 "/deep.safetensors: it has a tensor layer3.1.conv1.weight, but layer3 of the model has 1 "
                 "bottlenecks\n  i3d_blocks of ResNet-50 are 3 4 6 3, of ResNet-101 3 4 23 3, of ResNet-152 3 8 36 3\n"),
                ("flat4.safetensors", {**resnet(4, (1, 2, 1, 1)), "conv1.weight": [4, 1, 7, 7]},
                 "/flat4.safetensors: tensor conv1.weight is [4,1,7,7], which does not inflate to [4,3,3,7,7]\n"
                 "  i3d_width of the model is the number of filters of conv1 (64)\n"),
                ("se.safetensors", {**resnet(4, (1, 2, 1, 1)), "layer1.0.se.fc1.weight": [1, 16, 1, 1]},
                 "/se.safetensors: it has a tensor layer1.0.se.fc1.weight, which the I3D of the model lacks\n"
                 "  give the weights of a ResNet as torchvision's: with other layers it computes something else\n"),
                ("basic.safetensors", {"conv1.weight": [4, 3, 7, 7]},
                 "/basic.safetensors: it has no tensor bn1.bias\n"
                 "  give the weights of a ResNet with bottlenecks (50, 101, 152) under torchvision's names, "
                 "and a model with as many (i3d_blocks)\n")]:
            self.write_flat(name, shapes)
            self.assertIn(text, self.made("inflated", code=1, weights=name))
        self.write_flat("negative.safetensors", resnet(4, (1, 2, 1, 1)), **{"bn1.running_var": [1, 2, -0.5, 1]})
        self.assertIn("/negative.safetensors: tensor bn1.running_var: number 2 is -0.5, below 0\n",
                      self.made("inflated", code=1, weights="negative.safetensors"))
        self.made("drawn")
        drawn = self.got("drawn")
        self.write_flat("model.safetensors", {name: shape for name, (shape, _) in drawn.items()}, **{
            **{name: values for name, (_, values) in drawn.items()}, "encoder.bn1.running_var": [1, -2, 1, 1]})
        self.assertIn("model.safetensors: tensor encoder.bn1.running_var: number 1 is -2, below 0\n",
                      self.made("again", code=1, checkpoint="model.safetensors"))


if __name__ == "__main__":
    main(1)
