#!/usr/bin/env python3
"""The commands that only look, their texts and exit codes: test_inspect.py MASSFLOW PLUGIN_FOLDER

PLUGIN_FOLDER holds toy.so, engines.so and the plugins that must be refused."""
import os
import sys

from harness import MASSFLOW, Massflow, main

PLUGINS = os.path.abspath(sys.argv[2])

GRAPH = """massflow: 1
params: {data: "scans/*.nii", steps: 5}
cases: {glob: "${data}"}
stages:
  scan: {use: toy.load, each: case, with: {path: "${case.path}"}}
  masks: {use: toy.masks, each: case, in: {volume: scan}}
  views: {use: toy.views, in: {volumes: "scan[*]", masks: "masks[*]"}}
  model: {use: toy.train, in: {views: views}, with: {steps: "${steps}"}}
"""


class Inspect(Massflow):
    def setUp(self):
        super().setUp()
        for name in ("scans", "plugins"):
            os.mkdir(self.path(name))
        os.symlink(os.path.join(PLUGINS, "toy.so"), self.path("plugins/toy.so"))
        for name in "ab":
            self.write(f"scans/{name}.nii", "")
        self.write("g.yaml", GRAPH)

    def massflow(self, *words, code=0, **env):
        """What has ended: its stdout and stderr."""
        return self.ended([MASSFLOW, *words], code, env={**self.environment(), **env})

    def toys(self, *args, code=0):
        return self.massflow(*args, "--plugins", "plugins", code=code)

    def test_stages_and_describe(self):
        self.assertIn("\ntoy.masks ", "\n" + self.toys("stages").stdout)
        self.assertIn("toy.masks - Find masks.\n", self.toys("describe", "toy.masks").stdout)
        self.assertEqual(self.toys("describe", "toy.mask", code=2).stderr,
                         "massflow: error: no stage 'toy.mask'; did you mean 'toy.masks'?\n")
        self.assertIn("\nsources of cases, as in cases: {glob: ...}\n  glob ", self.toys("stages").stdout)
        self.assertIn("count - Numbered cases without a file.\n", self.toys("describe", "count").stdout)
        self.assertIn("dicom - A case for each DICOM series below a folder.\n",
                      self.massflow("help", "dicom").stdout)
        self.assertEqual(self.massflow("describe", "dicmo", code=2).stderr,
                         "massflow: error: no source of cases 'dicmo'; did you mean 'dicom'?\n")
        self.assertEqual(self.toys("describe", "bidsish", code=2).stderr,
                         "massflow: error: no stage or source of cases 'bidsish'; "
                         "'massflow stages' lists them\n")
        self.assertEqual(self.massflow("describe", code=2).stderr,
                         "massflow: error: usage: massflow describe STAGE\n"
                         "  massflow help describe\n")

    def test_graph(self):
        text = self.toys("graph", "g.yaml").stdout
        self.assertTrue(text.startswith("g.yaml: 4 stages, 2 cases, 6 nodes\n"), text)
        self.assertIn("steps: 7\n", self.toys("graph", "g.yaml", "--set", "steps=7").stdout)
        dot = self.toys("graph", "g.yaml", "--dot").stdout
        self.assertIn('"scan" -> "views" [label="volumes", style=bold];\n', dot)

    def test_a_wrong_graph_ends_with_2_and_says_why(self):
        done = self.toys("graph", "g.yaml", "--set", "steps=none", code=2)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr,
                         "g.yaml:8:61: error: toy.train: 'steps' is 'none', which is not an integer\n"
                         "    8 |   model: {use: toy.train, in: {views: views}, with: {steps: "
                         "\"${steps}\"}}\n"
                         "      |                                                         "
                         "    ^~~~~~~~~~\n"
                         "  'steps' is given by --set steps=none\n"
                         "  steps: Steps of the schedule.   (massflow describe toy.train)\n")
        self.assertEqual(self.toys("graph", "none.yaml", code=2).stderr,
                         "massflow: error: cannot read none.yaml: No such file or directory\n")
        self.assertEqual(self.toys("graph", "g.yaml", "--set", "steps", code=2).stderr,
                         "massflow: error: --set takes NAME=VALUE, not 'steps'\n")

    def test_spellings_of_a_choice(self):
        self.assertIn("\n                    choice: auto, ct, mr (or mri), pet (or pt); in upper or lower case; "
                      "default auto\n", self.massflow("describe", "volume.load").stdout)

    def test_help_on_a_command_that_is_not_listed(self):
        self.assertTrue(self.massflow("help", "complete").stdout.startswith(
            "massflow complete SHELL LINE - internal: for programs\n"))

    def test_wrong_plugins_end_with_2(self):
        for name, words in {"old_major": "was built for stage interface 2.7; this massflow has 1.7",
                            "no_symbol": "has no symbol massflow_plugin",
                            "private": "it calls mf_outcome_text, which is not a public function"}.items():
            folder = self.path(name)
            os.mkdir(folder)
            os.symlink(os.path.join(PLUGINS, f"wrong_{name}.so"), os.path.join(folder, "wrong.so"))
            error = self.massflow("stages", "--plugins", folder, code=2).stderr
            self.assertIn(f"{folder}/wrong.so", error)
            self.assertIn(words, error)
            self.assertIn(words, self.massflow("stages", code=2, MASSFLOW_PLUGINS=folder).stderr)
        self.assertEqual(self.massflow("stages", "--plugins", "nowhere", code=2).stderr,
                         "massflow: error: cannot read the plugin folder nowhere: "
                         "No such file or directory\n")

    def test_plugins_call_the_engine_of_the_command(self):
        os.symlink(os.path.join(PLUGINS, "engines.so"), os.path.join(self.folder, "plugins/engines.so"))
        self.assertIn(f"engines.count - Calls {os.path.realpath(MASSFLOW)}; engines in this process: 1.\n",
                      self.toys("describe", "engines.count").stdout)

    def test_help_and_wrong_requests(self):
        self.assertIn("massflow graph GRAPH", self.massflow("--help").stdout)
        self.assertIn("massflow graph GRAPH", self.massflow(code=2).stdout)
        self.assertIn("--set NAME=VALUE", self.massflow("help", "graph").stdout)
        self.assertEqual(self.massflow("graph", "--help").stdout,
                         self.massflow("help", "graph").stdout)
        # A stage, too; and what is neither.
        self.assertEqual(self.toys("describe", "toy.masks").stdout.split("\nplugin ")[0],
                         self.massflow("help", "toy.masks", MASSFLOW_PLUGINS="plugins").stdout.split("\nplugin ")[0])
        self.assertEqual(self.massflow("help", "volume.laod", code=2).stderr,
                         "massflow: error: no stage 'volume.laod'; did you mean 'volume.load'?\n")
        self.assertEqual(self.massflow("grahp", code=2).stderr,
                         "massflow: error: unknown command 'grahp'; did you mean 'graph'?\n")
        self.assertEqual(self.massflow("graph", "g.yaml", "--stet", "a=b", code=2).stderr,
                         "massflow: error: unknown option '--stet'; did you mean '--set'?\n"
                         "  massflow help graph\n")
        self.assertEqual(self.massflow("graph", "g.yaml", "--set", code=2).stderr,
                         "massflow: error: option '--set' needs a value: --set NAME=VALUE\n")
        self.assertEqual(self.massflow("graph", "g.yaml", "--dot=3", code=2).stderr,
                         "massflow: error: option '--dot' takes no value\n")
        self.assertIn("stage interface 1.7", self.massflow("--version").stdout)

    def test_models(self):
        listed = self.massflow("models").stdout
        for name in ("sam2.1_hiera_large.pt", "sam2_hiera_tiny.pt", "sam2-small.safetensors"):
            self.assertIn(name, listed)
        small = os.path.join(os.path.dirname(__file__), "../../graphs/models/sam2-small.safetensors")
        self.assertIn("the small SAM 2 of this massflow", self.massflow("models", small).stdout)
        path = self.path("weights.pt")
        with open(path, "wb") as file:
            file.write(b"no weights")
        self.assertIn("none of the published files", self.massflow("models", path).stdout)
        half = self.path("sam2.1_hiera_tiny.pt")
        os.rename(path, half)
        told = self.massflow("models", half, code=1).stdout
        self.assertIn("NOT the published file", told)
        self.assertIn("segment_anything_2/092824/sam2.1_hiera_tiny.pt", told)
        self.assertIn("No such file", self.massflow("models", path, code=2).stderr)


if __name__ == "__main__":
    main(2)
