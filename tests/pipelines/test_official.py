#!/usr/bin/env python3
"""Files of the official MASS code, in and out: test_official.py MASSFLOW

Checkpoints, folders of npy and HDF5, tables of classes. What PyTorch and h5py say of files that are written is asked
of the Python that PYTHON_WITH_TORCH names (with torch, h5py and numpy); without it those tests are skipped. MASS_OFFICIAL
is a checkout of the official code, for the one test that loads a model with its classes.
"""
import array
import json
import os
import struct
import subprocess
import unittest

from harness import Massflow, main, read_npy, write_nifti

PYTHON = os.environ.get("PYTHON_WITH_TORCH")
OFFICIAL = os.environ.get("MASS_OFFICIAL")
PEER = unittest.skipUnless(PYTHON, "no PYTHON_WITH_TORCH")
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden")
ERROR = "massflow: error: "
MODEL = """massflow: 1
stages:
  model: {use: mass.init, with: {channels: [1, 1, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 16}}
"""
BACK = "massflow: 1\nstages: {back: {use: model.load, with: {path: m.pth}}}\n"


def npy(shape, values, code="f"):
    """The bytes of a .npy file."""
    kind = {"f": "<f4", "B": "|u1", "d": "<f8", "h": "<i2"}[code]
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({', '.join(map(str, shape))},), }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + array.array(code, values).tobytes()


class Official(Massflow):
    def peer(self, program):
        """What the other Python prints of a program."""
        done = subprocess.run([PYTHON, "-c", program], cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def failure(self, graph="g.yaml"):
        """The words of the one failure of a run."""
        text = self.massflow("run", graph, code=1)
        return text.split("failed: ", 1)[1].split("  retry:", 1)[0]

    # Checkpoints.

    def test_model(self):
        """Written as .pth and read again it is the same artifact."""
        self.write("g.yaml", MODEL)
        self.massflow("run", "g.yaml", "model")
        self.massflow("get", "g.yaml", "model", "-o", "m.pth")
        self.write("back.yaml", BACK)
        self.massflow("run", "back.yaml")
        for graph, name in ("g.yaml", "model"), ("back.yaml", "back"):
            self.massflow("get", graph, name, "-o", f"{name}.safetensors")
        self.assertEqual(self.read_bytes("model.safetensors"), self.read_bytes("back.safetensors"))
        self.massflow("get", "back.yaml", "back", "-o", "again.pth")
        self.assertEqual(self.read_bytes("again.pth"), self.read_bytes("m.pth"))

    @PEER
    def test_model_in_torch(self):
        self.write("g.yaml", MODEL)
        self.massflow("run", "g.yaml", "model")
        self.massflow("get", "g.yaml", "model", "-o", "m.pth")
        said = json.loads(self.peer("""
import json, torch
c = torch.load("m.pth", weights_only=True)
print(json.dumps({"keys": list(c), "config": c["config"], "count": len(c["model"]),
                  "prior": list(c["model"]["task_prior_2"].shape), "first": c["model"]["encoder.inc.conv1.weight"].dtype.__str__()}))
"""))
        self.assertEqual(said["keys"], ["model", "epoch", "iteration", "config"])
        self.assertEqual(said["prior"], [73, 11, 32])
        self.assertEqual(said["first"], "torch.float32")
        self.assertEqual(said["config"], {
            "model": {"type": "iris", "in_ch": 1, "channels": [1, 1, 32, 32, 32], "scale": [2] * 4, "kernel_size": [3] * 5,
                      "block": "BasicBlock", "num_block": [1] * 4, "pool": True, "norm": "in", "tn": 73,
                      "num_prior_stage": 3, "ema_moment": 0.99},
            "training_size": [16] * 3, "evaluation": {"sliding_window": True, "window_size": [16] * 3, "overlap": 0.5},
            "amp": {"enabled": False, "dtype": "float32"}})

    @unittest.skipUnless(PYTHON and OFFICIAL, "no PYTHON_WITH_TORCH or no MASS_OFFICIAL")
    def test_model_in_official_code(self):
        """Its class takes all weights; position embeddings of 128 are what it has."""
        self.write("g.yaml", MODEL.replace("pos_embed_size: 16", "pos_embed_size: 128"))
        self.massflow("run", "g.yaml", "model")
        self.massflow("get", "g.yaml", "model", "-o", "m.pth")
        self.assertEqual(self.peer(f"""
import sys, torch
sys.path.insert(0, {OFFICIAL!r})
from models.iris import Iris
c = torch.load("m.pth", weights_only=True)
config = dict(c["config"]["model"])
config.pop("type")
print(Iris(**config).load_state_dict(c["model"]))
"""), "<All keys matched successfully>\n")

    def test_lacking(self):
        """A checkpoint that is no model says why."""
        self.write("g.yaml", f"""massflow: 1
stages:
  tuned: {{use: model.load, with: {{path: {GOLDEN}/mass_finetuned.pt}}}}
  head: {{use: model.load, with: {{path: {GOLDEN}/mass_classifier.pt, part: head}}}}
  encoder: {{use: model.load, with: {{path: {GOLDEN}/mass_classifier.pt}}}}
  none: {{use: model.load, with: {{path: {GOLDEN}/mass_finetuned.pt, part: head}}}}
""")
        text = self.massflow("run", "g.yaml", code=1)
        self.assertIn("mass_finetuned.pt: no model that massflow knows: it has no tensor encoder.inc.conv1.weight "
                      "(Iris of MASS), encoder.conv1.weight (Iris with an I3D) or "
                      "image_encoder.trunk.patch_embed.proj.weight (SAM 2)", text)
        self.assertIn('mass_finetuned.pt: no tensors under "head_state_dict"', text)
        self.assertIn("done     head", text)
        shown = self.massflow("show", "g.yaml", "head")
        self.assertIn("fc.weight", shown)

    @PEER
    def test_classifier(self):
        """The encoder of a classifier's checkpoint: its features are those of the whole model; segmentation is refused."""
        write_nifti(self.path("a.nii"), (16, 16, 16), [(i * i) % 300 for i in range(4096)])
        write_nifti(self.path("b.nii"), (16, 16, 16), [i // 2048 for i in range(4096)])
        self.write("g.yaml", MODEL)
        self.massflow("run", "g.yaml", "model")
        self.massflow("get", "g.yaml", "model", "-o", "m.pth")
        self.peer("""
import torch
weights = torch.load("m.pth", weights_only=True)["model"]
torch.save({"encoder_state_dict": {k[8:]: v for k, v in weights.items() if k.startswith("encoder.")},
            "head_state_dict": {"fc.weight": torch.ones(2, 32), "fc.bias": torch.zeros(2)}}, "best.pth")
lacking = {k: v for k, v in weights.items() if not k.startswith("out.")}
torch.save({"model": lacking}, "lacking.pth")
""")
        self.write("g.yaml", """massflow: 1
stages:
  scan: {use: volume.load, with: {path: a.nii, modality: mr}}
  truth: {use: labels.load, in: {like: scan}, with: {path: b.nii}}
  whole: {use: model.load, with: {path: m.pth}}
  encoder: {use: model.load, with: {path: best.pth}}
  of_whole: {use: mass.features, in: {model: whole, volume: scan}, with: {roi_size: [16, 16, 16], spacing: [1, 1, 1]}}
  of_encoder: {use: mass.features, in: {model: encoder, volume: scan}, with: {roi_size: [16, 16, 16], spacing: [1, 1, 1]}}
  lacking: {use: model.load, with: {path: lacking.pth}}
  labels: {use: mass.segment, in: {model: encoder, query: scan, references: [scan], labels: [truth]}, with: {patch_size: [16, 16, 16]}}
""")
        self.massflow("run", "g.yaml", "of_whole", "of_encoder")
        for name in "whole", "encoder":
            self.massflow("get", "g.yaml", "of_" + name, "-o", name + ".npy")
        self.assertEqual(self.read_bytes("whole.npy"), self.read_bytes("encoder.npy"))
        text = self.massflow("run", "g.yaml", "lacking", code=1)
        self.assertIn("it has no tensor out.", text)
        text = self.massflow("run", "g.yaml", "labels", code=1)
        self.assertIn("the model is an encoder alone", text)
        self.assertIn("connect a whole model: an encoder alone is enough for mass.features and mass.classify only", text)

    # Task embeddings.

    def test_embedding(self):
        self.write("p.safetensors", self.priors(2, 32))
        self.write("g.yaml", """massflow: 1
stages:
  model: {use: mass.init, with: {channels: [1, 1, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 16}}
  learned: {use: embedding.load, in: {model: model}, with: {path: p.safetensors, labels: [3, 7], modality: ct}}
""")
        self.massflow("run", "g.yaml")
        self.massflow("get", "g.yaml", "learned", "-o", "learned_priors.pth")
        self.massflow("get", "g.yaml", "learned", "--array", "tokens1", "-o", "t.npy")
        self.write("back.yaml", self.read("g.yaml").replace("p.safetensors", "learned_priors.pth"))
        self.massflow("run", "back.yaml")
        self.massflow("get", "back.yaml", "learned", "--array", "tokens1", "-o", "u.npy")
        self.assertEqual(self.read_bytes("t.npy"), self.read_bytes("u.npy"))
        self.write("g.yaml", self.read("g.yaml").replace("[3, 7]", "[3, 7, 9]"))
        self.assertEqual(self.failure(), f"learned\n  labels: 3 values, where {self.path('p.safetensors')} has 2 classes\n")
        self.write("p.safetensors", self.priors(2, 64))
        self.assertEqual(self.failure(), f"learned\n  {self.path('p.safetensors')}: its task embeddings of level 0 are not "
                         "[classes, 11, 32] as those of the model\n"
                         "  connect the model that was fine-tuned with them\n")
        if PYTHON:
            said = self.peer("""
import torch
c = torch.load("learned_priors.pth", weights_only=True)
print([list(p.shape) for p in c["priors"]], float(c["priors"][1][1, 0, 0]), c["num_classes"], c["class_names"], c["is_ema"])
""")
            self.assertEqual(said, "[[2, 11, 32], [2, 11, 32], [2, 11, 32]] 1352.0 2 ['3', '7'] False\n")

    def test_segmentation(self):
        """What mass.embed has found, written as the official code writes it and loaded again, segments to the same labels."""
        write_nifti(self.path("a.nii"), (16, 16, 16), [(i * i) % 300 for i in range(4096)])
        write_nifti(self.path("b.nii"), (16, 16, 16), [3 * (i // 2048) for i in range(4096)])
        stages = """massflow: 1
stages:
  scan: {use: volume.load, with: {path: a.nii, modality: mr}}
  truth: {use: labels.load, in: {like: scan}, with: {path: b.nii}}
  model: {use: mass.init, with: {channels: [1, 1, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 16}}
  it: {use: %s, with: {%s, patch_size: [16, 16, 16], spacing: [1, 1, 1], modality: mr}}
  found: {use: mass.segment, in: {model: model, embedding: it, query: scan}, with: {patch_size: [16, 16, 16], spacing: [1, 1, 1], modality: mr}}
"""
        self.write("g.yaml", stages % ("mass.embed, in: {model: model, references: [scan], labels: [truth]}", "normalize: crop"))
        self.massflow("run", "g.yaml")
        self.massflow("get", "g.yaml", "it", "-o", "learned_priors.pth")
        self.write("h.yaml", stages % ("embedding.load, in: {model: model}", "path: learned_priors.pth, normalize: crop")) # its class is called 3
        self.massflow("run", "h.yaml")
        for graph in "g", "h":
            self.massflow("get", f"{graph}.yaml", "found", "-o", f"{graph}.npy")
            self.massflow("get", f"{graph}.yaml", "it", "--array", "tokens0", "-o", f"{graph}-tokens.npy")
        self.assertEqual(self.read_bytes("g-tokens.npy"), self.read_bytes("h-tokens.npy"))
        self.assertEqual(self.read_bytes("g.npy"), self.read_bytes("h.npy"))

    @staticmethod
    def priors(classes, channels):
        """A safetensors file of three levels: level L begins with 1000 L and counts."""
        count = classes * 11 * channels
        header = json.dumps({f"priors.{level}": {"dtype": "F32", "shape": [classes, 11, channels],
                                                 "data_offsets": [4 * level * count, 4 * (level + 1) * count]}
                             for level in range(3)}).encode()
        values = array.array("f", (1000 * level + i for level in range(3) for i in range(count)))
        return struct.pack("<Q", len(header)) + header + values.tobytes()

    # Folders.

    def made(self):
        """Two scans, their labels and masks, by way of mass.export."""
        for name, low in ("img0001", 0), ("img0002", 9):
            write_nifti(self.path(f"{name}.nii"), (12, 10, 8), [(low + i * i) % 200 for i in range(960)], spacing=(1.5, 1.5, 1.5))
            write_nifti(self.path(f"{name}-l.nii"), (12, 10, 8), [(i // 4 % 3) for i in range(960)], code="B",
                        spacing=(1.5, 1.5, 1.5))
        os.makedirs(self.path("out/bcv"), exist_ok=True)
        self.write("out.yaml", """massflow: 1
cases: {glob: "{id}.nii", exclude: "*-l.nii", labels: "{id}-l.nii"}
stages:
  scan: {use: volume.load, each: case, with: {path: "${case.path}", modality: mr}}
  truth: {use: labels.load, each: case, in: {like: scan}, with: {path: "${case.labels}"}}
  masks: {use: labels.masks, each: case, in: {labels: truth}}
  prepared: {use: mass.prepare, each: case, in: {volume: scan, masks: masks}, with: {min_size: [14, 14, 14]}}
  labels: {use: mass.labels, each: case, in: {labels: truth, sample: prepared}, with: {min_size: [14, 14, 14]}}
  all: {use: mass.export, in: {samples: "prepared[*]"}}
export:
  prepared: "out/bcv/${case.id}_image.npy"
  labels: "out/bcv/${case.id}_gt.npy"
  all: out/bcv/dataset.h5
""")
        self.massflow("run", "out.yaml")

    IN = """massflow: 1
cases: {mass: out/bcv, splits: splits.json}
stages:
  it: {use: mass.import, each: case, with: {image: "${case.path}", masks: "${case.masks}", group: "${case.name}", labels: "${case.labels}", modality: mr}}
"""

    def test_out_and_in(self):
        """What is exported comes back as it was, by the official layout."""
        self.made()
        self.write("splits.json", '{"bcv_train": ["img0001"], "bcv_val": [], "bcv_test": ["img0002"]}')
        self.write("in.yaml", self.IN + """
  normal: {use: mass.normalize, each: case, in: {volume: it.volume}, with: {modality: ct}}
  sample: {use: mass.prepare, each: case, in: {volume: it.volume, labels: it.labels}, with: {min_size: [14, 14, 14]}}
""")
        out = self.massflow("run", "in.yaml")
        self.assertIn("normal[case=img0001]: normalized already: intensities stay\n", out)
        shape, values = read_npy(self.path("out/bcv/img0001_gt.npy"))[:2]
        self.assertEqual(tuple(shape), (14, 14, 14))
        self.assertEqual(sorted(set(values)), [0, 1, 2])
        for name in "img0001", "img0002":
            for array_name in "image", "box":
                self.massflow("get", "in.yaml", f"it[case={name}].sample", "--array", array_name, "-o", "a.npy", "--force")
                self.massflow("get", "out.yaml", f"prepared[case={name}]", "--array", array_name, "-o", "b.npy", "--force")
                self.assertEqual(self.read_bytes("a.npy"), self.read_bytes("b.npy"))
            for node, array_name in (f"normal[case={name}]", "voxels"), (f"sample[case={name}]", "image"):
                self.massflow("get", "in.yaml", node, "--array", array_name, "-o", "a.npy", "--force")
                self.assertEqual(self.read_bytes("a.npy"), self.read_bytes(f"out/bcv/{name}_image.npy"))
            self.massflow("get", "in.yaml", f"it[case={name}].labels", "-o", "a.json", "--force")
        self.assertEqual(self.massflow("graph", "in.yaml").count("img000"), 0)

    @PEER
    def test_official_code_reads_it(self):
        """h5py sees what its loader looks for; image and masks of the same shape."""
        self.made()
        said = self.peer("""
import h5py, numpy
with h5py.File("out/bcv/dataset.h5", "r") as f:
    print(sorted(f), [tuple(f[g]["auto_masks"].shape) for g in sorted(f)], f["img0001"]["auto_masks"].dtype,
          f["img0001"]["auto_masks"].compression, f["img0001"]["auto_masks"].shuffle)
    masks = f["img0001"]["auto_masks"][:]
image = numpy.load("out/bcv/img0001_image.npy", mmap_mode="r")
labels = numpy.load("out/bcv/img0001_gt.npy")
print(image.shape, image.dtype, [bool((masks[k] == (labels == k + 1)).all()) for k in range(2)])
""")
        self.assertEqual(said, "['img0001', 'img0002'] [(2, 14, 14, 14), (2, 14, 14, 14)] uint8 gzip True\n"
                         "(14, 14, 14) float32 [True, True]\n")

    def test_of_h5py(self):
        """LZF, as the official code writes it (the file is made by h5py)."""
        self.write("a_image.npy", npy((4, 6, 40), range(960)))
        self.write("g.yaml", f"""massflow: 1
stages:
  it: {{use: mass.import, with: {{image: a_image.npy, masks: {GOLDEN}/mass_masks.h5, group: several}}}}
""")
        self.massflow("run", "g.yaml")
        self.massflow("get", "g.yaml", "it.sample", "--array", "box", "-o", "box.npy")
        self.assertEqual(read_npy(self.path("box.npy"))[1][:6], (0, 0, 0, 4, 6, 40))
        self.assertIn("3 masks", self.massflow("log", "g.yaml", "it"))

    def refused(self, settings, expected):
        self.write("g.yaml", "massflow: 1\nstages: {it: {use: mass.import, with: {%s}}}\n" % settings)
        self.assertEqual(self.failure(), "it\n  " + expected)

    def test_bad_files(self):
        masks = f"{GOLDEN}/mass_masks.h5"
        self.write("a.npy", npy((4, 6, 40), range(960)))
        self.refused(f"image: a.npy, masks: {masks}, group: lzf",
                     f"{masks}: voxel 0 of mask 1 of lzf has the value 108; masks are 0 and 1\n"
                     "  copy it again, or make it again with prepare_training_data.py\n")
        self.refused(f"image: a.npy, masks: {masks}, group: img0001",
                     f"{masks}: it has no group img0001\n"
                     "  h5ls lists its groups: one for each scan, with the name of its image\n")
        self.write("b.npy", npy((6, 40), range(240)))
        self.refused("image: b.npy", f"{self.path('b.npy')}: is not an array [depth, height, width]: it has 2 dimensions\n"
                     "  mass.import reads what prepare_training_data.py writes; other scans are read by volume.load\n")
        self.write("c.npy", npy((1, 1, 4), [0, float("nan"), float("inf"), 1]))
        self.refused("image: c.npy", f"{self.path('c.npy')}: 2 voxels of 4 are not finite numbers\n"
                     "  prepare the scan again: its normalization divided by 0\n")
        self.write("d.npy", npy((4, 6, 41), [0] * 984, "B"))
        self.refused("image: a.npy, labels: d.npy",
                     f"{self.path('d.npy')}: has 4 x 6 x 41 voxels, the image has 4 x 6 x 40\n"
                     "  labels and image of a scan are written together, by one run of prepare_training_data.py\n")
        self.write("e.npy", npy((4, 6, 40), [0.5] + [0] * 959))
        self.refused("image: a.npy, labels: e.npy", f"{self.path('e.npy')}: voxel 0 has the value 0.5, which is no label\n")

    def test_bad_settings(self):
        self.write("a.npy", npy((1, 1, 1), [0]))
        for settings, expected in (
                (f"masks: {GOLDEN}/mass_masks.h5", "masks: needs `group`, which of the file's groups is this scan's"),
                ("group: a", "group: is of no use without `masks`"),
                (f"masks: {GOLDEN}/mass_masks.h5, group: a/b", "group: 'a/b' is not the name of a group at the top of the file")):
            self.write("g.yaml", "massflow: 1\nstages: {it: {use: mass.import, with: {image: a.npy, %s}}}\n" % settings)
            self.assertIn(expected, self.massflow("graph", "g.yaml", code=2))

    # Cases.

    def test_splits(self):
        os.makedirs(self.path("out/bcv"))
        for name in "img0001", "img0002", "img0003":
            self.write(f"out/bcv/{name}_image.npy", npy((1, 1, 1), [0]))
        graph = """massflow: 1
cases: {mass: out/bcv%s}
stages: {it: {use: mass.import, each: case, where: {set: val}, with: {image: "${case.path}"}}}
"""
        self.write("splits.json", '{"train": ["img0001"], "val": ["img0002"]}')
        self.write("g.yaml", graph % ", splits: splits.json")
        self.assertIn("finished: 1 run", self.massflow("run", "g.yaml"))
        self.assertIn(f"mass {self.path('out/bcv')}: 1 of 3 scans are in no list of {self.path('splits.json')}",
                      self.massflow("graph", "g.yaml"))
        self.write("splits.json", '{"train": ["img0001"], "val": ["img0004"]}')
        self.assertIn(f"no file '{self.path('out/bcv')}/img0004_image.npy', of the set val",
                      self.massflow("graph", "g.yaml", code=2))
        self.write("splits.json", '{"trian": ["img0001"]}')
        self.assertIn("it has none of the lists train, val and test, nor bcv_train, ...",
                      self.massflow("graph", "g.yaml", code=2))
        os.mkdir(self.path("none"))
        self.write("g.yaml", (graph % "").replace("out/bcv", "none"))
        self.assertIn(f"no file '{self.path('none')}/*_image.npy'", self.massflow("graph", "g.yaml", code=2))

    def test_classes(self):
        os.mkdir(self.path("ich"))
        for name in "abc":
            self.write(f"ich/{name}.npy", npy((1, 1, 1), [0]))
        graph = """massflow: 1
cases: {mass_labels: ich}
stages: {it: {use: mass.import, each: case, where: {set: train, label: "1"}, with: {image: "${case.path}"}}}
"""
        self.write("g.yaml", graph)
        self.write("ich/labels.csv", 'filename,label,split,"site"\na,1,train,"Rome, ""north"""\nb.npy,0,train,x\nc,1,test,\n')
        self.assertIn("it[case=a]", self.massflow("run", "g.yaml"))
        for table, expected in (
                ("filename,split\na,train\n", "the columns are to be filename, label (or label_0, label_1, ...) and, if "
                 "there are splits, split"),
                ("filename,label\nd,1\n", f"no file '{self.path('ich')}/d.npy'"),
                ("filename,label\na\n", "1 fields, where the first line has 2 columns"),
                ("filename,label,label\na,1,1\n", "two columns are called label"),
                ('filename,label\n"a,1\n', "a quote that does not enclose a whole field")):
            self.write("ich/labels.csv", table)
            self.assertIn(expected, self.massflow("graph", "g.yaml", code=2))


if __name__ == "__main__":
    main(1)
