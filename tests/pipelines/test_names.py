#!/usr/bin/env python3
"""Names of labels from a data set to a data set, and the everyday stages: test_names.py MASSFLOW

A data set of nnU-Net is made of few voxels; what stages make of scans is compared with plain Python.
"""
import collections
import json
import os
import re
import struct

from harness import Massflow, main, read_nifti, write_nifti

SIZE = (12, 10, 8)
COUNT = SIZE[0] * SIZE[1] * SIZE[2]


def at(x, y, z, size=SIZE):
    return (z * size[1] + y) * size[0] + x


def boxes(*filled):
    """Labels: (value, low x y z, high x y z) each."""
    voxels = [0] * COUNT
    for value, low, high in filled:
        for z in range(low[2], high[2]):
            for y in range(low[1], high[1]):
                for x in range(low[0], high[0]):
                    voxels[at(x, y, z)] = value
    return voxels


TRUTH = {"a": boxes((1, (1, 1, 1), (5, 5, 5)), (2, (6, 2, 2), (9, 6, 6)), (3, (9, 7, 6), (11, 9, 8))),
         "b": boxes((1, (2, 1, 1), (6, 5, 5)), (2, (7, 2, 2), (9, 6, 6)))}
SCAN = {case: [(7 * i + 3 * (i // 12) + 40 * (case == "b")) % 400 - 150 for i in range(COUNT)] for case in TRUTH}
NAMES = {"liver": 1, "left kidney": 2, "right kidney": 3}


def header(path):
    """Size, spacing and origin of a .nii."""
    with open(path, "rb") as file:
        data = file.read(352)
    rows = [struct.unpack_from("<4f", data, 280 + 16 * i) for i in range(3)]
    return struct.unpack_from("<3h", data, 42), [rows[i][i] for i in range(3)], [rows[i][3] for i in range(3)]


def reals(path):
    """The voxels of a .nii of 32-bit reals."""
    with open(path, "rb") as file:
        data = file.read()
    first, = struct.unpack_from("<f", data, 108)
    return struct.unpack(f"<{(len(data) - int(first)) // 4}f", data[int(first):])


class Names(Massflow):
    def dataset(self, folder="D", labels=None, spacing=(2, 3, 4), **more):
        for name in ("imagesTr", "labelsTr"):
            os.makedirs(self.path(f"{folder}/{name}"), exist_ok=True)
        for case in TRUTH:
            write_nifti(self.path(f"{folder}/imagesTr/{case}_0000.nii.gz"), SIZE, SCAN[case], spacing=spacing)
            write_nifti(self.path(f"{folder}/labelsTr/{case}.nii.gz"), SIZE, TRUTH[case], spacing=spacing)
        about = {"channel_names": {"0": "CT"}, "labels": labels or {"background": 0, **NAMES}, "numTraining": 2,
                 "file_ending": ".nii.gz", **more}
        self.write(f"{folder}/dataset.json", json.dumps(about))

    def graph(self, *stages, cases="{nnunet: D}", name="g.yaml"):
        self.write(name, "\n".join(["massflow: 1", f"cases: {cases}", "stages:", *("  " + line for line in (
            'scan: {use: volume.load, each: case, with: {path: "${case.path}", modality: ct}}',
            'truth: {use: labels.load, each: case, in: {like: scan}, with: {path: "${case.label}", names: "${case.names}"}}',
            *stages))]) + "\n")

    def named(self, node, graph="g.yaml"):
        """The names that `show` lists."""
        lines = self.massflow("show", graph, node).splitlines()
        first = [i for i, line in enumerate(lines) if line.startswith("  names ")]
        if not first:
            return []
        listed = [lines[first[0]][19:]]
        for line in lines[first[0] + 1:]:
            if not line.startswith(" " * 19):
                break
            listed.append(line.strip())
        return listed

    def got(self, node, suffix=".nii.gz", graph="g.yaml"):
        path = self.path("out" + suffix)
        self.massflow("get", graph, node, "-o", path)
        return path

    def voxels(self, node, graph="g.yaml"):
        return list(read_nifti(self.got(node, graph=graph))[1][0])

    # Names.

    def test_from_a_data_set_to_a_data_set(self):
        self.dataset()
        self.graph("kidneys: {use: labels.remap, each: case, in: {labels: truth}, with: {map: {right kidney: 1, left kidney: 1, liver: 2}}}",
                   "dice: {use: metrics.overlap, in: {pred: \"kidneys[*]\", truth: \"kidneys[*]\"}, with: {labels: [liver], surface_distances: false}}",
                   "picture: {use: image.overlay, each: case, in: {volume: scan, labels: truth}, with: {tile: 64}}",
                   "bare: {use: image.overlay, each: case, in: {volume: scan}, with: {tile: 64}}")
        self.massflow("run", "g.yaml")
        self.assertEqual(self.named("truth[case=a]"), ["1 liver", "2 left kidney", "3 right kidney"])
        self.assertEqual(self.named("kidneys[case=a]"), ["1 left kidney and right kidney", "2 liver"])
        self.assertEqual(self.voxels("kidneys[case=a]"), [[0, 2, 1, 1][v] for v in TRUTH["a"]])
        self.massflow("get", "g.yaml", "dice.table", "-o", self.path("dice.csv"))
        self.assertEqual([(row["case"], row["label"], row["name"], row["dice"]) for row in self.read_csv("dice.csv")],
                         [("a", "2", "liver", "1"), ("b", "2", "liver", "1")])
        # A legend of the labels stands below the picture.
        sizes = [struct.unpack_from(">2I", self.read_bytes(self.got(node, ".png")), 16)
                 for node in ("bare[case=a]", "picture[case=a]")]
        self.assertEqual(sizes[0][0], sizes[1][0])
        self.assertGreater(sizes[1][1], sizes[0][1])
        # Out as nnU-Net raw, and in again.
        said = self.massflow("get", "g.yaml", "scan", "kidneys[case=b]", "-o", self.path("Out/"), "--nnunet")
        written = ["imagesTs/a_0000.nii.gz", "imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz", "dataset.json"]
        self.assertEqual(said.splitlines(), [self.path("Out/" + name) for name in written])
        self.assertEqual(self.read_json("Out/dataset.json"),
                         {"channel_names": {"0": "CT"}, "labels": {"background": 0, "left kidney and right kidney": 1, "liver": 2},
                          "numTraining": 1, "file_ending": ".nii.gz"})
        self.assertEqual(list(read_nifti(self.path("Out/labelsTr/b.nii.gz"))[1][0]), [[0, 2, 1, 1][v] for v in TRUTH["b"]])
        self.assertEqual(list(read_nifti(self.path("Out/imagesTs/a_0000.nii.gz"))[1][0]), SCAN["a"])
        self.write("back.yaml", "massflow: 1\ncases: {nnunet: Out}\nstages:\n"
                   "  truth: {use: labels.load, each: case, where: {set: train}, with: {path: \"${case.label}\", names: \"${case.names}\"}}\n")
        self.massflow("run", "back.yaml", "truth[case=b]")
        self.assertEqual(self.named("truth[case=b]", "back.yaml"), ["1 left kidney and right kidney", "2 liver"])

    def test_what_makes_no_data_set(self):
        self.dataset()
        self.graph("gap: {use: labels.remap, each: case, in: {labels: truth}, with: {map: {liver: 5}}}",
                   "masks: {use: labels.masks, each: case, in: {labels: truth}}",
                   "zero: {use: labels.remap, each: case, in: {labels: truth}, with: {map: {3: 3}, names: {3: background}}}",
                   "fine: {use: labels.resample, each: case, in: {labels: truth}, with: {spacing: [1, 1, 1]}}")
        self.massflow("run", "g.yaml")
        out = self.path("Out/")
        self.assertIn("label 1 is missing; nnU-Net's labels are 1, 2, 3, ... without gaps\n  number them anew with labels.remap",
                      self.massflow("get", "g.yaml", "scan", "gap", "-o", out, "--nnunet", code=2))
        self.assertIn("label 3 is called 'background', as 0 is\n",
                      self.massflow("get", "g.yaml", "scan", "zero", "-o", out, "--nnunet", code=2))
        self.assertIn("scan[case=a] and fine[case=a] would be written on different grids; nnU-Net wants one for the files of a case\n",
                      self.massflow("get", "g.yaml", "scan", "fine", "-o", out, "--nnunet", code=2))
        self.assertIn("--nnunet: masks[case=a] is of type masks; volumes and labels can be written",
                      self.massflow("get", "g.yaml", "scan", "masks", "-o", out, "--nnunet", code=2))
        self.assertIn("--nnunet: no volume is named", self.massflow("get", "g.yaml", "truth", "-o", out, "--nnunet", code=2))
        self.assertIn("are label maps; name one stage",
                      self.massflow("get", "g.yaml", "scan", "gap", "truth", "-o", out, "--nnunet", code=2))
        self.assertFalse(os.path.exists(out))

    def test_regions(self):
        self.dataset(labels={"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}, regions_class_order=[1, 2, 3])
        self.graph('file: {use: labels.load, each: case, with: {path: "${case.label}", names_from: D/dataset.json}}')
        self.massflow("run", "g.yaml")
        regions = ["1+2+3 whole", "2+3 core", "3 enhancing"]
        for node in ("truth[case=a]", "file[case=a]"):
            self.assertEqual(self.named(node), ["1 whole without core", "2 core without enhancing", "3 enhancing", *regions])
        self.graph(cases="{nnunet: E}")
        for labels, words in (({"a": 1, "b": 1}, "the labels 'a' and 'b' both have the value 1"),
                              ({"a": {"b": 1}}, "a label is one value or a list of values"),
                              ({"a": "x"}, "the label 'a' has the value 'x'")):
            self.dataset("E", labels=labels)
            self.assertIn(words, self.massflow("run", "g.yaml", code=2))

    def test_regions_are_chosen_by_name(self):
        order = {"whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
        self.dataset(labels={"background": 0, **order}, regions_class_order=[1, 2, 3])
        load = "use: labels.load, each: case, in: {like: scan}"
        self.graph("core: {use: labels.remap, each: case, in: {labels: truth}, with: {map: {core: 1}, others: background, names: {1: core}}}",
                   f'loaded: {{{load}, with: {{path: "${{case.label}}", names_from: D/dataset.json, select_labels: [core]}}}}',
                   "fine: {use: labels.resample, each: case, in: {labels: truth}, with: {spacing: [1, 1, 1]}}",
                   "same: {use: exec.run, each: case, in: {labels: truth}, with: {command: 'cp {labels} {out.labels}'}}",
                   'dice: {use: metrics.overlap, in: {pred: "loaded[*]", truth: "truth[*]"}, with: {labels: [whole, core, 3], surface_distances: false}}',
                   "cut: {use: volume.crop, each: case, in: {volume: scan, region: truth}, with: {labels: [core]}}",
                   "own: {use: labels.load, each: case, with: {path: \"${case.label}\", names: {1: a, 2: b, 1+2: ab}}}",
                   "wrong: {use: labels.remap, each: case, in: {labels: truth}, with: {map: {cor: 1}}}")
        said = self.massflow("run", "g.yaml", code=1)
        self.assertIn("map: no label is called 'cor'", said)
        self.assertEqual(self.voxels("core[case=a]"), [int(v in (2, 3)) for v in TRUTH["a"]])
        self.assertEqual(self.named("core[case=a]"), ["1 core"])
        self.assertEqual(self.voxels("loaded[case=a]"), [v if v in (2, 3) else 0 for v in TRUTH["a"]])
        self.assertEqual(self.named("loaded[case=a]"), ["2 core without enhancing", "3 enhancing", "2+3 core", "3 enhancing"])
        kept = ["1 whole without core", "2 core without enhancing", "3 enhancing", "1+2+3 whole", "2+3 core", "3 enhancing"]
        for node in ("fine[case=a]", "same[case=a]"):
            self.assertEqual(self.named(node), kept)
        self.assertEqual(self.named("own[case=a]"), ["1 a", "2 b", "1+2 ab"])
        self.assertEqual(header(self.got("cut[case=b]", ".nii"))[0], SIZE)
        self.massflow("get", "g.yaml", "dice.table", "-o", self.path("dice.csv"))
        count = {case: [sum(v == label for v in voxels) for label in range(4)] for case, voxels in TRUTH.items()}
        rows = {(row["case"], row["name"]): row for row in self.read_csv("dice.csv")}
        for case in TRUTH:
            _, one, two, three = count[case]
            whole, core = rows[case, "whole"], rows[case, "core"]
            self.assertEqual((whole["label"], core["label"], core["dice"]), ("", "", "1"))
            self.assertAlmostEqual(float(whole["dice"]), 2 * (two + three) / (one + 2 * (two + three)), places=6)
        self.assertEqual((rows["a", "enhancing"]["label"], rows["a", "enhancing"]["dice"]), ("3", "1"))
        self.massflow("get", "g.yaml", "dice.summary", "-o", self.path("sum.csv"))
        self.assertEqual([(row["label"], row["name"], row["cases"]) for row in self.read_csv("sum.csv")],
                         [("3", "enhancing", "1"), ("", "whole", "2"), ("", "core", "2"), ("mean", "", "5")])
        # Written back as they were.
        self.massflow("get", "g.yaml", "scan", "same", "-o", self.path("Out/"), "--nnunet")
        self.assertEqual(self.read_json("Out/dataset.json"),
                         {"channel_names": {"0": "CT"}, "labels": {"background": 0, **order}, "regions_class_order": [1, 2, 3],
                          "numTraining": 2, "file_ending": ".nii.gz"})
        self.assertEqual(list(self.read_json("Out/dataset.json")["labels"]), ["background", "whole", "core", "enhancing"])
        # Without a way to paint them they are refused.
        self.dataset(labels={"background": 0, "enhancing": 3, "core": [2, 3], "whole": [1, 2, 3]})
        self.graph()
        self.massflow("run", "g.yaml")
        self.assertIn("all labels of the region 'enhancing' lie in regions behind it, too",
                      self.massflow("get", "g.yaml", "scan", "truth", "-o", self.path("No/"), "--nnunet", code=2))

    def test_a_nul_in_a_name(self):
        """What stands behind it is not lost in silence."""
        self.dataset()
        for name, content, words in (("n.csv", "1,liver\n2,kid\0ney\n", "n.csv:2: a NUL byte stands in the line"),
                                     ("n.txt", "1 kid\0ney 1 2 3 255\n", "n.txt:1: a NUL byte stands in the line"),
                                     ("n.json", '{"labels":\n {"kid\0ney": 2}}', "n.json:2: a NUL byte stands in the file"),
                                     ("n.json", '{"labels": {"a\\\\u0000": 1,\n"kid\\u0000ney": 2}}',
                                      "n.json:2: a NUL (\\u0000) stands in the file")):
            self.write(name, content)
            self.graph(f'x: {{use: labels.load, each: case, with: {{path: "${{case.label}}", names_from: {name}}}}}')
            self.assertIn(words, self.massflow("run", "g.yaml", "x[case=a]", code=1))
        self.dataset("E", labels={"kid\0ney": 1})
        self.graph(cases="{nnunet: E}")
        self.assertIn("E/dataset.json", self.massflow("run", "g.yaml", code=2))

    def test_what_keeps_names(self):
        """Each stage that takes labels or samples and gives what may have names either keeps them, or is here with a
        reason: whoever adds one decides."""
        self.dataset()
        otherwise = {"augment.crops": "crops hold values, and mass.finetune asks the samples for names",
                     "slic.masks": "the labels are a body mask",
                     "mass.export": "a corpus of the official code, which has no names",
                     "supervised.train": "an encoder, without the head that has the labels",
                     # These keep the names of the labels that they use; a network would take half of this test's time.
                     "mass.embed": "slow", "mass.segment": "slow", "mass.finetune": "slow"}
        grid = "spacing: [2, 3, 4], min_size: [16, 16, 16]"
        keeps = {"labels.remap": "in: {labels: truth}, with: {map: {1: 1}}",
                 "labels.resample": "in: {labels: truth}, with: {spacing: [2, 2, 2]}",
                 "labels.masks": "in: {labels: truth}",
                 "mass.labels": f"in: {{labels: truth, sample: sample}}, with: {{{grid}}}",
                 "mass.prepare": "in: {volume: scan, labels: truth}",
                 "exec.run": "in: {labels: truth}, with: {command: 'cp {labels} {out.labels}'}",
                 "sam2.segment": None}  # its prompts are labels: test_sam2_stages
        found = set()
        for line in self.massflow("stages").splitlines():
            stage = line.split()[0] if line.split() else ""
            if "." not in stage:
                continue
            said = self.massflow("describe", stage)
            ins, outs = (re.search(rf"^{what}\n((?:  .*\n)+)", said, re.M) for what in ("in", "out"))
            takes = ins and re.search(r"^  \w+ +(labels|sample)\b", ins[1], re.M)
            gives = outs and re.search(r"^  \w+ +(stream<crop>|labels|sample|masks|embedding|model|probabilities|mass_masks)",
                                       outs[1], re.M)
            if takes and gives:
                found.add(stage)
        self.assertEqual(found, {*otherwise, *keeps})
        self.graph(f"sample: {{use: mass.prepare, each: case, in: {{volume: scan, labels: truth}}, with: {{{grid}}}}}",
                   *(f"n{i}: {{use: {stage}, each: case, {rest}}}" for i, (stage, rest) in enumerate(keeps.items()) if rest))
        self.massflow("run", "g.yaml", "--case", "a")
        for i, (stage, rest) in enumerate(keeps.items()):
            if rest:
                with self.subTest(stage):
                    self.assertEqual(self.named(f"n{i}[case=a]" + (".labels" if stage == "exec.run" else "")),
                                     ["1 liver", "2 left kidney", "3 right kidney"])

    def test_masks_become_labels(self):
        """Masks of labels become these labels; of masks that overlap the smallest is on top."""
        self.dataset()
        self.graph("masks: {use: labels.masks, each: case, in: {labels: truth}, with: {min_voxels: 9}}",
                   "back: {use: masks.labels, each: case, in: {masks: masks}}",
                   "parts: {use: slic.masks, each: case, in: {volume: scan}, with: {sizes: [6, 12], min_voxels: 4, body_method: none}}",
                   "drawn: {use: masks.labels, each: case, in: {masks: parts}}")
        self.massflow("run", "g.yaml")
        for node in ("back[case=a]", "drawn[case=a]", "parts[case=a]"):
            self.massflow("get", "g.yaml", node, "-o", node[:5] + ".nii.gz")
        self.assertEqual(self.named("back[case=a]"), ["1 liver", "2 left kidney", "3 right kidney"])
        self.assertEqual(list(read_nifti(self.path("back[.nii.gz"))[1][0]), [v if v < 3 else 0 for v in TRUTH["a"]])
        layers = read_nifti(self.path("parts.nii.gz"))[1]
        self.assertGreater(len(layers), 1)
        sizes = collections.Counter(v for layer in layers for v in layer)
        smallest = [min((v for v in at if v), key=lambda v: (sizes[v], v), default=0) for at in zip(*layers)]
        self.assertEqual(list(read_nifti(self.path("drawn.nii.gz"))[1][0]), smallest)

    def test_names_of_a_command(self):
        self.dataset()
        run = "use: exec.run, each: case, in: {labels: truth}, with: {command: 'cp {labels} {out.labels}'"
        self.graph(f"anew: {{{run}, keep_names: false}}}}", f"own: {{{run}, names: {{1: Leber, 7: x}}}}}}",
                   f"both: {{{run}, keep_names: false, names: {{1: Leber}}}}}}")
        self.massflow("run", "g.yaml", "--case", "a")
        self.assertEqual(self.named("anew[case=a]"), [])
        self.assertEqual(self.named("own[case=a]"), ["1 Leber", "2 left kidney", "3 right kidney", "7 x"])
        self.assertEqual(self.named("both[case=a]"), ["1 Leber"])
        self.graph(f"bad: {{{run}, names: {{x: y}}}}}}")
        self.assertIn("names: 'x=y' names no label", self.massflow("run", "g.yaml", code=2))

    def test_cases_that_contradict(self):
        """One training never learns two organs as one label."""
        self.dataset()
        self.write("table.csv", "id,path,label,names\na,D/imagesTr/a_0000.nii.gz,D/labelsTr/a.nii.gz,\"1=liver, 2=spleen\"\n"
                                "b,D/imagesTr/b_0000.nii.gz,D/labelsTr/b.nii.gz,\"1=spleen, 2=liver\"\n")
        self.graph("sample: {use: mass.prepare, each: case, in: {volume: scan, labels: truth}, with: {spacing: [2, 3, 4], min_size: [16, 16, 16]}}",
                   "crops: {use: augment.crops, in: {samples: \"sample[*]\"}, with: {patch_size: [16, 16, 16]}}",
                   "tuned: {use: mass.finetune, in: {crops: crops, train: \"sample[*]\"}, with: {channels: [4, 4, 32, 32, 32], num_block: [1, 1, 1, 1], epochs: 1, steps_per_epoch: 1}}",
                   "dice: {use: metrics.overlap, in: {pred: \"truth[*]\", truth: \"truth[*]\"}}",
                   cases="{csv: table.csv}")
        said = self.massflow("run", "g.yaml", code=1)
        for where in ("sample", "truth"):
            self.assertIn(f"label 1 is 'liver' in {where}[case=a] and 'spleen' in {where}[case=b]\n"
                          "  give both the same names with the parameter `names` of labels.load", said)

    def test_labels_by_name(self):
        self.dataset()
        self.graph('some: {use: labels.load, each: case, with: {path: "${case.label}", names: "${case.names}", select_labels: [left kidney, 1]}}',
                   "volumes: {use: labels.volumes, each: case, in: {labels: truth}, with: {labels: [right kidney]}}",
                   "wrong: {use: labels.volumes, each: case, in: {labels: truth}, with: {labels: [left kidny]}}",
                   'bare: {use: labels.load, each: case, with: {path: "${case.label}"}}',
                   "nameless: {use: labels.volumes, each: case, in: {labels: bare}, with: {labels: [liver]}}")
        said = self.massflow("run", "g.yaml", code=1)
        self.assertIn("labels: no label is called 'left kidny'; did you mean 'left kidney'?\n"
                      "  the labels are 1 liver, 2 left kidney, 3 right kidney", said)
        self.assertIn("labels: 'liver' is a name, but these labels have no names\n"
                      "  name them with the parameter `names` of labels.load, or give the value", said)
        self.assertEqual(self.named("some[case=a]"), ["1 liver", "2 left kidney"])
        self.assertEqual(self.voxels("some[case=a]"), [v if v < 3 else 0 for v in TRUTH["a"]])
        self.assertIn("0.192", self.massflow("show", "g.yaml", "volumes[case=a]"))  # 8 voxels of 24 mm3

    def test_names_and_keys(self):
        """Names are part of the result; without them it is what it was."""
        self.dataset()
        self.graph('none: {use: labels.load, each: case, with: {path: "${case.label}"}}',
                   'empty: {use: labels.load, each: case, with: {path: "${case.label}", names: ""}}',
                   'map: {use: labels.load, each: case, with: {path: "${case.label}", names: {1: liver, 2: "left kidney #102030"}}}',
                   'text: {use: labels.load, each: case, with: {path: "${case.label}", names: "2=left kidney #102030, 1=liver"}}')
        self.massflow("run", "g.yaml")
        ids = {node: self.massflow("show", "g.yaml", f"{node}[case=a]").split()[1] for node in ("none", "empty", "map", "text")}
        self.assertEqual((ids["none"], ids["map"]), (ids["empty"], ids["text"]))
        self.assertNotEqual(ids["none"], ids["map"])
        self.assertEqual(self.named("none[case=a]"), [])
        self.assertEqual(self.named("map[case=a]"), ["1 liver", "2 left kidney #102030"])
        self.graph('map: {use: labels.load, each: case, with: {path: "${case.label}", names: {1: [liver]}}}')
        self.assertIn("labels.load: 'names' takes one value for a key", self.massflow("run", "g.yaml", code=2))
        self.graph('map: {use: labels.load, each: case, with: {path: "${case.label}", names: {liver: 1}}}')
        self.assertIn("names: 'liver=1' names no label", self.massflow("run", "g.yaml", code=2))

    def test_files_of_viewers(self):
        self.dataset()
        self.graph()
        self.massflow("run", "g.yaml")
        said = self.massflow("get", "g.yaml", "truth[case=a]", "-o", self.path("seg.v1.nii.gz"), "--names")
        self.assertEqual(said.split(), [self.path("seg.v1." + suffix) for suffix in ("nii.gz", "txt", "ctbl")])
        self.massflow("get", "g.yaml", "truth[case=a]", "-o", self.path("a.seg.nrrd"))
        with open(self.path("a.seg.nrrd"), "rb") as file:
            head = file.read().split(b"\n\n")[0].decode()
        self.assertIn("\nSegment1_LabelValue:=2\n", head)
        self.assertIn("\nSegment1_Name:=left kidney\n", head)
        self.write("n.yaml", "massflow: 1\nstages:\n"
                   "  segments: {use: labels.load, with: {path: a.seg.nrrd}}\n"
                   "  snap: {use: labels.load, with: {path: seg.v1.nii.gz, names_from: seg.v1.txt}}\n"
                   "  slicer: {use: labels.load, with: {path: seg.v1.nii.gz, names_from: seg.v1.ctbl, names: {2: Niere}}}\n")
        self.massflow("run", "n.yaml")
        names = ["1 liver #195cff", "2 left kidney #b9ff59", "3 right kidney #d815c0"]
        self.assertEqual(self.named("segments", "n.yaml"), names)
        self.assertEqual(self.named("snap", "n.yaml"), names)
        self.assertEqual(self.named("slicer", "n.yaml"), [names[0], "2 Niere", names[2]])
        self.assertEqual(self.voxels("segments", "n.yaml"), TRUTH["a"])

    # Everyday stages.

    def test_resample(self):
        self.dataset()
        self.graph("wide: {use: volume.resample, each: case, in: {volume: scan}, with: {spacing: [4, 3, 4]}}",
                   "labels: {use: labels.resample, each: case, in: {labels: truth, like: wide}}",
                   "by: {use: labels.resample, each: case, in: {labels: truth}, with: {spacing: [4, 3, 4]}}",
                   "back: {use: volume.resample, each: case, in: {volume: scan, like: turned}}",
                   'turned: {use: volume.load, each: case, with: {path: "${case.path}", orientation: LPS, modality: ct}}',
                   "both: {use: volume.resample, each: case, in: {volume: scan, like: turned}, with: {spacing: [1, 1, 1]}}",
                   "neither: {use: volume.resample, each: case, in: {volume: scan}}")
        said = self.massflow("run", "g.yaml", code=1)
        self.assertIn("both `like` and `spacing` say what to resample to", said)
        self.assertIn("nothing says what to resample to\n  connect the input `like`, or set `spacing`", said)
        path = self.got("wide[case=a]", ".nii")
        size, spacing, origin = header(path)
        self.assertEqual((size, spacing, origin), ((6, 10, 8), [4, 3, 4], [1, 0, 0]))
        # A voxel of 4 mm lies midway between two of 2 mm.
        half = [(SCAN["a"][at(2 * x, y, z)] + SCAN["a"][at(2 * x + 1, y, z)]) / 2
                for z in range(8) for y in range(10) for x in range(6)]
        self.assertEqual(list(reals(path)), half)
        upper = [TRUTH["a"][at(2 * x + 1, y, z)] for z in range(8) for y in range(10) for x in range(6)]
        for node in ("labels", "by"):
            self.assertEqual(self.voxels(f"{node}[case=a]"), upper)
            self.assertEqual(self.named(f"{node}[case=a]")[0], "1 liver")
        # Written on the scan's own grid, a scan that was turned is the scan.
        self.assertEqual(list(reals(self.got("back[case=a]", ".nii"))), SCAN["a"])

    def test_crop_and_pad(self):
        self.dataset()
        self.graph("organ: {use: volume.crop, each: case, in: {volume: scan, region: truth}, with: {labels: [left kidney], margin: [2, 0, 0], written: itself}}",
                   "box: {use: volume.crop, each: case, in: {volume: scan}, with: {box: [1, 2, 3, 4, 6, 8], written: itself}}",
                   "padded: {use: volume.pad, each: case, in: {volume: box}, with: {margin: [2, 0, 0], min_size: [1, 7, 1], value: [-7]}}",
                   "least: {use: volume.pad, each: case, in: {volume: box}, with: {margin: [0, 0, 1]}}",
                   "labels: {use: labels.resample, each: case, in: {labels: truth, like: padded}}",
                   "nothing: {use: volume.crop, each: case, in: {volume: scan}}",
                   "beyond: {use: volume.crop, each: case, in: {volume: scan}, with: {box: [0, 0, 0, 1, 1, 9]}}")
        said = self.massflow("run", "g.yaml", code=1)
        self.assertIn("nothing says what is kept\n  connect the input `region`, or set `box`", said)
        self.assertIn("box: z ends at 9; the volume has 8 voxels", said)

        def part(low, high):
            return [SCAN["a"][at(x, y, z)] for z in range(low[2], high[2]) for y in range(low[1], high[1])
                    for x in range(low[0], high[0])]

        path = self.got("organ[case=a]", ".nii")
        self.assertEqual(header(path), ((5, 4, 4), [2, 3, 4], [10, 6, 8]))
        self.assertEqual(list(read_nifti(self.got("organ[case=a]"))[1][0]), part((5, 2, 2), (10, 6, 6)))
        self.assertEqual(header(self.got("box[case=a]", ".nii")), ((3, 4, 5), [2, 3, 4], [2, 6, 12]))
        # 2 mm are one voxel on both sides; three lines lack, of which one goes before.
        path = self.got("padded[case=a]", ".nii")
        self.assertEqual(header(path), ((5, 7, 5), [2, 3, 4], [0, 3, 12]))
        whole = {(x, y, z): SCAN["a"][at(x, y, z)] for x in range(1, 4) for y in range(2, 6) for z in range(3, 8)}
        self.assertEqual(list(reals(path)), [whole.get((x, y, z), -7) for z in range(3, 8) for y in range(1, 8) for x in range(5)])
        self.assertEqual(min(reals(self.got("least[case=a]", ".nii"))), min(whole.values()))
        self.assertEqual(self.voxels("labels[case=a]"), [TRUTH["a"][at(x, y, z)] for z in range(3, 8) for y in range(1, 8) for x in range(5)])

    def test_window(self):
        self.dataset()
        self.graph("own: {use: volume.window, each: case, in: {volume: scan}, with: {window: [0, 200], range: [0, 100]}}",
                   "usual: {use: volume.window, each: case, in: {volume: scan}}")
        self.massflow("run", "g.yaml")
        self.assertEqual(list(reals(self.got("own[case=a]", ".nii"))), [min(max(v, -100), 100) / 2 + 50 for v in SCAN["a"]])
        for got, v in zip(reals(self.got("usual[case=a]", ".nii")), SCAN["a"]):
            self.assertAlmostEqual(got, (min(max(v, -160), 240) + 160) / 400, places=6)

    def test_remap(self):
        self.dataset()
        self.graph("clash: {use: labels.remap, each: case, in: {labels: truth}, with: {map: {3: 1}}}",
                   "rest: {use: labels.remap, each: case, in: {labels: truth}, with: {map: {3: 1}, others: background, names: {1: Niere}}}",
                   "strict: {use: labels.remap, each: case, in: {labels: truth}, with: {map: \"liver=2, 2=1\", others: refuse}}",
                   "unknown: {use: labels.remap, each: case, in: {labels: truth}, with: {map: {livr: 1}}}",
                   "gone: {use: labels.remap, each: case, in: {labels: truth}, with: {map: {liver: 0, left kidney: 70000}}}")
        said = self.massflow("run", "g.yaml", code=1)
        self.assertIn("label 1 is kept, and label 3 becomes 1, too: they would be one\n"
                      "  name both in `map`, or set others: background", said)
        self.assertIn("label 3 is not in `map`\n  add it, or set others: keep or background", said)
        self.assertIn("map: no label is called 'livr'; did you mean 'liver'?", said)
        self.assertEqual(self.voxels("rest[case=a]"), [int(v == 3) for v in TRUTH["a"]])
        self.assertEqual(self.named("rest[case=a]"), ["1 Niere"])
        self.assertEqual(self.voxels("strict[case=b]"), [[0, 2, 1][v] for v in TRUTH["b"]])
        self.assertEqual(self.named("strict[case=b]"), ["1 left kidney", "2 liver"])
        self.assertEqual(self.voxels("gone[case=a]"), [[0, 0, 70000, 3][v] for v in TRUTH["a"]])
        self.assertEqual(self.named("gone[case=a]"), ["3 right kidney", "70000 left kidney"])
        self.graph("bad: {use: labels.remap, each: case, in: {labels: truth}, with: {map: {liver: x}}}")
        self.assertIn("map: 'liver=x' is no change of a label", self.massflow("run", "g.yaml", code=2))

    def test_intensities_that_are_not_the_scans_own(self):
        """HU windows and thresholds are never applied to what is normalized or windowed."""
        self.dataset()
        self.graph("normal: {use: mass.normalize, each: case, in: {volume: scan}, with: {spacing: [2, 3, 4]}}",
                   "windowed: {use: volume.window, each: case, in: {volume: scan}}",
                   *(f"{name}_{of}: {{use: {use}, each: case, in: {{volume: {of}}}}}" for of in ("normal", "windowed")
                     for name, use in (("slic", "slic.masks"), ("body", "body.mask"), ("rgb", "window.rgb"), ("again", "volume.window"))),
                   "mass: {use: mass.normalize, each: case, in: {volume: windowed}}",
                   "turned: {use: window.rgb, each: case, in: {volume: normal}, with: {profile: totalseg_mr}}")
        said = self.massflow("run", "g.yaml", "--case", "a", code=1)
        for of in ("normalized", "windowed"):
            for what in ("the window in HU", "the threshold in HU", "a window of fixed bounds", "a window"):
                self.assertIn(f"  {what} needs the scan's own intensities, and the volume is {of} already\n  connect the scan itself\n", said)
        self.assertIn("  normalization needs the scan's own intensities, and the volume is windowed already\n", said)
        self.assertIn("9 failed", said)


if __name__ == "__main__":
    main(1)
