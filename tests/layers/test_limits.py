#!/usr/bin/env python3
"""Devices with little memory and other limits: test_limits.py MASSFLOW LIMITS.so GROUPS UNIT MODELS

A layer (limits.c) makes the device look small and refuses what such a device would refuse. Kernels and
stages have to give the same results there, and nothing may be refused. GROUPS is the program of groups.c, UNIT is the folder of the unit
tests, MODELS that of the small SAM 2.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

MASSFLOW, LAYER, GROUPS, UNIT, MODELS = (os.path.abspath(a) for a in sys.argv[1:6])
MIB = 1 << 20
SMALL = 38 * MIB
# Under the address sanitizer: a library stands before its runtime.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"

GRAPH = """massflow: 1
params: {models: ., patch: [32, 32, 32]}
cases: {count: 1}
stages:
  scan: {use: phantom.volume, each: case, with: {size: [32, 32, 16], spacing: [6, 6, 12], seed: 1}}
  masks: {use: slic.masks, each: case, in: {volume: scan.volume}, with: {sizes: [24]}}
  sample: {use: mass.prepare, each: case, in: {volume: scan.volume, masks: masks},
           with: {spacing: [6, 6, 6]}}
  views: {use: augment.views, in: {samples: "sample[*]"},
          with: {patch_size: "${patch}", margin: 0, masks: 4}}
  model: {use: mass.train, in: {pairs: views},
          with: {channels: [8, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32,
                 steps: 2, batch_size: 1}}
  slices: {use: window.rgb, in: {volume: "scan.volume[case=000]"}, with: {axis: z}}
  weights: {use: model.load, with: {path: "${models}/sam2-small.safetensors"}}
  seeds: {use: sam2.masks, in: {slices: slices, model: weights},
          with: {points_per_side: 4, points_per_batch: 16, pred_iou_thresh: 0.01,
                 stability_score_thresh: 0.01, crop_n_layers: 0, min_slices_per_sample: 1,
                 physical_interval_mm: 1000}}
"""

# The official sizes: what a card of 2, 4 or 8 GB can do is known before anything runs.
OFFICIAL = """massflow: 1
cases: {count: 1}
stages:
  scan: {use: phantom.volume, each: case}
  masks: {use: slic.masks, each: case, in: {volume: scan.volume}}
  sample: {use: mass.prepare, each: case, in: {volume: scan.volume, masks: masks}}
  views: {use: augment.views, in: {samples: "sample[*]"}}
  model: {use: mass.train, in: {pairs: views}}
"""


class Limits(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="massflow-test-")
        self.write("g.yaml", GRAPH)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def run_with(self, command, code=0, kernels="gpu", **limits):
        """The output of a command on a device with these limits; nothing may be refused."""
        env = dict(os.environ, LD_PRELOAD=LAYER, MASSFLOW_LIMIT_LOG=self.path("refused"),
                   MASSFLOW_KERNELS=kernels)
        env.update({f"MASSFLOW_LIMIT_{name}": str(value) for name, value in limits.items()})
        ended = subprocess.run(command, cwd=self.folder, env=env, text=True, check=False,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(ended.returncode, code, ended.stdout)
        if os.path.exists(self.path("refused")):
            with open(self.path("refused"), encoding="utf-8") as file:
                self.fail(f"refused: {file.read()}\n{ended.stdout}")
        return ended.stdout

    def massflow(self, *words, code=0, cache="cache", **limits):
        return self.run_with([MASSFLOW, words[0], "g.yaml", *words[1:], "--cache", cache,
                              "--set", f"models={MODELS}"], code, **limits)

    def digest(self, target, **limits):
        """What the target's result is on a device with these limits."""
        cache = "cache" + "".join(f"-{value}" for value in limits.values())
        self.massflow("run", target, cache=cache, **limits)
        shown = self.massflow("show", target, cache=cache)
        return re.findall(r"\b[0-9a-f]{12,64}\b", shown)

    def test_kernels_keep_to_the_limits(self):
        # Sizes of groups and widths of sub-groups: 256 is the form for GPUs, less the plain form.
        for name, group, multiple in (("optimizer", 256, 8), ("space", 256, 16), ("losses", 256, 64),
                                      ("optimizer", 64, 8), ("space", 64, 32), ("losses", 128, 64)):
            with self.subTest(name=name, group=group):
                self.run_with([os.path.join(UNIT, "test_" + name)], GROUP=group, MULTIPLE=multiple,
                              LOCAL=32768, ALLOCATION=64 * MIB, ALIGNMENT=4096)

    def test_a_kernel_runs_in_smaller_groups_than_the_device(self):
        # What a driver says of kernels with many registers. The size of `stated` is its compiler's to
        # keep, whatever is said of it; where none is given, groups are as large as may be.
        text = self.run_with([GROUPS], KERNEL=32)
        self.assertRegex(text, "\\Astated: 128\n"
                               r"kernel free: groups of 128 work-items, where .+ runs it in groups of "
                               "at most 32\n"
                               "  MASSFLOW_KERNELS=cpu in the environment chooses simpler kernels\n"
                               "free: 32\n\\Z")
        text = self.run_with([GROUPS], kernels="cpu", KERNEL=32)
        self.assertRegex(text, "\\Astated: 128\n"
                               r"kernel free: groups of 128 work-items, where .+ runs it in groups of "
                               "at most 32\nfree: 32\n\\Z")
        self.run_with([MASSFLOW, "devices", "--check", "0", "--quick", "--own-form", "--only", "linear"],
                      KERNEL=32)

    def test_a_driver_that_refuses_a_launch(self):
        ended = subprocess.run([GROUPS], text=True, check=True, stdout=subprocess.PIPE,
                               env=dict(os.environ, LD_PRELOAD=LAYER, MASSFLOW_LIMIT_STATED="64",
                                        MASSFLOW_KERNELS="gpu"))
        refused = ": launching: CL_INVALID_WORK_GROUP_SIZE (-54)\n  " \
                  "MASSFLOW_KERNELS=cpu in the environment chooses simpler kernels\n"
        self.assertEqual(ended.stdout, f"kernel stated{refused}kernel free{refused}free: 64\n")

    def test_groups_that_are_too_small_are_refused(self):
        self.assertIn("device pthread", self.massflow("run", "model", code=2, GROUP=32))

    def test_results_do_not_depend_on_limits(self):
        self.write("g.yaml", GRAPH.replace("patch: [32, 32, 32]", "patch: [16, 16, 16]"))
        plain = self.digest("model.metrics", kernels="cpu")
        tiles = self.digest("model.metrics")
        self.assertTrue(plain)
        self.assertNotEqual(plain, tiles)
        self.assertEqual(self.digest("model.metrics", GROUP=256, LOCAL=32768, ALLOCATION=16 * MIB), tiles)
        self.assertEqual(self.digest("model.metrics", GROUP=64), plain)

    def test_memory_for_training(self):
        text = self.massflow("plan", "model", kernels="cpu", MEMORY=SMALL)
        needed = re.search(r"will fail: needs of mass.train: training with crops of 32 x 32 x 32 "
                           r"voxels and 4 masks takes (\d+) MiB of device memory; \S+.* has 38 MiB\n"
                           r" +lower patch_size of the pairs: \[16, 16, 16\] takes (\d+) MiB; or "
                           r"set recompute: blocks, or lower channels of the model\n", text)
        self.assertTrue(needed, text)
        text = self.massflow("run", "model", code=1, kernels="cpu", MEMORY=SMALL)
        self.assertIn("  needs of mass.train: training with crops of 32 x 32 x 32 voxels and 4 masks "
                      f"takes {needed[1]} MiB of device memory; ", text)
        # What it says would do does, and where there is so much, the driver refuses nothing.
        self.massflow("run", "model", kernels="cpu", MEMORY=(int(needed[1]) + 1) * MIB)

    def test_sam2_takes_smaller_batches(self):
        whole = self.digest("seeds")
        self.assertTrue(whole)
        self.assertEqual(self.digest("seeds", MEMORY=48 * MIB), whole)
        text = self.massflow("run", "seeds", code=1, cache="none", MEMORY=16 * MIB)
        self.assertIn("raise device_memory, or take a smaller model", text)

    def test_cards_of_2_4_and_8_gb(self):
        self.write("g.yaml", OFFICIAL)
        for gib, words in ((2, ": decoder.up4: concat makes [1,128,128,128,96], 805306368 bytes, more "
                               "than the device allocates at once (536870912)"),
                           (4, "lower patch_size of the pairs: [64, 64, 64] takes 3."),
                           (8, "lower patch_size of the pairs: [112, 112, 112] takes 6.")):
            text = self.run_with([MASSFLOW, "plan", "g.yaml", "model"], MEMORY=gib << 30,
                                 ALLOCATION=gib << 28)
            self.assertIn(words, text)
        self.write("g.yaml", OFFICIAL.replace("in: {pairs: views}", "in: {pairs: views}, with: {recompute: blocks}"))
        for gib in (8, 24):
            text = self.run_with([MASSFLOW, "plan", "g.yaml", "model"], MEMORY=gib << 30,
                                 ALLOCATION=gib << 28)
            self.assertNotIn("will fail", text)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[6:])
