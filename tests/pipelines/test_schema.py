#!/usr/bin/env python3
"""The JSON Schema of graph files: test_schema.py MASSFLOW GRAPHS COUNTING.so

It must accept what massflow accepts, first of all the graphs that ship, and refuse the usual slips.
"""
import glob
import json
import os
import sys

from harness import Massflow, main

try:
    import jsonschema
    import yaml
except ImportError as missing:
    sys.exit(f"test_schema.py needs python3-jsonschema and python3-yaml (tools/packages test): {missing}")

GRAPHS = os.path.abspath(sys.argv[2])
GOOD = """massflow: 1
params: {n: 3, sizes: [1, 2], data: "x*", flag: no}
cases:
  - {glob: "${data}", set: train, rank: 2, exclude: ["*_labels.nii.gz", "${data}"]}
  - {glob: "b*", exclude: "*_seg*"}
  - {dicom: study}
  - {list: [a.nii, {id: b, path: b.nii}]}
axes: {seed: [1, 2], shots: "${sizes}"}
include: {pre: {file: pre.yaml, set: {steps: 3, sizes: [1, 2]}}}
isolate: true
stages:
  scan: {use: volume.load, each: case, with: {path: "${case.path}", time: "0", modality: PT}, timeout: 30}
  mr: {use: volume.load, each: case, with: {path: "${case.path}", modality: mRi}}
  any: {use: volume.load, each: case, with: {path: "${case.path}", modality: "${case.modality}"}}
  found: {use: slic.masks, each: [case, seed], in: {volume: scan}, with: {sizes: ["${n}", 20]}}
  views: {use: augment.views, in: {samples: ["pre.sample[*]"]}, skip_failed: true}
  model:
    use: mass.train
    in: {pairs: views}
    with: {lr: 1e-4, steps: "${n}", batch_size: 1}
  text: {use: count.add, in: {text: t}, with: {suffix: 3}, where: {set: [a, b], seed: 1}}
  first: {use: mass.init}
export: {model: out.safetensors, pre.model: "x/${seed}.safetensors"}
"""


class Schema(Massflow):
    PLUGINS = tuple(map(os.path.abspath, sys.argv[3:4]))
    ONE_FOLDER = True

    def prepare(self):
        type(self).schema = json.loads(self.massflow("schema"))
        jsonschema.Draft7Validator.check_schema(self.schema)
        type(self).validator = jsonschema.Draft7Validator(self.schema)

    def wrong(self, text):
        """Where the schema finds fault: paths below the root."""
        found = self.validator.iter_errors(yaml.safe_load(text))
        return sorted({"/".join(str(part) for part in error.absolute_path) for error in found})

    def test_the_graphs_that_ship(self):
        files = glob.glob(os.path.join(GRAPHS, "**/*.yaml"), recursive=True)
        self.assertGreaterEqual(len(files), 5)
        for name in files:
            with open(name, encoding="utf-8") as file:
                self.assertEqual(self.wrong(file.read()), [], name)

    def test_all_that_a_file_may_say(self):
        self.assertEqual(self.wrong(GOOD), [])

    def slip(self, before, after, where):
        self.assertIn(before, GOOD)
        self.assertEqual(self.wrong(GOOD.replace(before, after)), where)

    def test_sources_of_plugins_are_known(self):
        sources = self.schema["definitions"]["source"]["oneOf"]
        self.assertEqual([source["required"] for source in sources],
                         [["glob"], ["csv"], ["list"], ["count"], ["autopet"], ["dicom"], ["mass"],
                          ["mass_labels"], ["nnunet"]])
        self.assertEqual(sources[5]["properties"]["dicom"]["description"],
                         "The folder; it is searched with all folders in it.")

    def test_slips(self):
        self.slip("stages:", "stage:", [""])
        self.slip("{dicom: study}", "{dicom: [study]}", ["cases"])
        self.slip("{dicom: study}", "{dicom: study, nnunet: D}", ["cases"])
        self.slip("{dicom: study}", "{dicmo: study}", ["cases"])
        self.slip("massflow: 1", "massflow: 2", ["massflow"])
        self.slip("use: slic.masks", "use: slic.mask", ["stages/found/use"])
        self.slip("in: {volume: scan}", "in: {volum: scan}", ["stages/found/in"])
        self.slip("in: {volume: scan}", "in: {volume: [scan]}", ["stages/found/in/volume"])
        self.slip("steps: \"${n}\"", "step: 3", ["stages/model/with"])
        self.slip("lr: 1e-4", "lr: -1.5", ["stages/model/with/lr"])
        self.slip("batch_size: 1", "batch_size: many", ["stages/model/with/batch_size"])
        self.slip("path: \"${case.path}\", time", "time", ["stages/scan/with"])
        self.slip("skip_failed: true", "skip_failed: maybe", ["stages/views/skip_failed"])
        self.slip("skip_failed: true", "skipfailed: true", ["stages/views"])
        self.slip("{dicom: study}", "{dicom: study, glob: x}", ["cases"])
        self.slip("modality: PT", "modality: NM", ["stages/scan/with/modality"])
        self.slip('exclude: "*_seg*"', "exclude: {a: b}", ["cases"])
        self.slip("{file: pre.yaml, ", "{", ["include/pre"])

    def test_choices_between_true_and_false(self):
        """YAML reads these words as booleans."""
        for value, where in (("false", []), ("true", []), ("auto", []), ("no way", ["stages/s/with/compete"]),
                             ("0", ["stages/s/with/compete"])):
            self.assertEqual(self.wrong("massflow: 1\nstages:\n  s: {use: mass.segment, in: {model: m, query: q}, "
                                        f"with: {{compete: {value}}}}}\n"), where, value)

    def test_users_plugins(self):
        """Their parameters too."""
        self.slip("suffix: 3", "sufix: 3", ["stages/text/with"])
        text = self.schema["definitions"]["stage"]["allOf"]
        rule = [r["then"] for r in text if r["if"]["properties"]["use"]["const"] == "count.add"][0]
        self.assertEqual(rule["properties"]["with"]["properties"]["suffix"]["description"],
                         "What is added. Default: !.")


if __name__ == "__main__":
    main(3)
