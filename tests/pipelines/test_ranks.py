#!/usr/bin/env python3
"""One training on several devices: test_ranks.py MASSFLOW DRAWN_PAIRS.so

Whatever trains gives the same bytes on one part of a CPU and on both, goes on with another number of them, and fails
with the same words. About 15 s of CPU time.
"""
import os
import signal
import sys
import unittest

from harness import Massflow, flags, main

MODEL = "channels: [4, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32"
MORE = f"{MODEL}, steps: 2, devices: '${{devices}}'"
# Those with a loss over the batch need larger views.
BASELINES = {
    "moco2": ("moco.train", "pairs: large", "batch_size: 2, memory_bank: 4, projection_dim: 16"),
    "dino": ("dino.train", "pairs: large", "batch_size: 2, hidden: 16, bottleneck: 8, prototypes: 12"),
    "supervised": ("supervised.train", "crops: crops, samples: 'sample[*]'", "batch_size: 3")}
SIZES = (1, 3)  # the unit test `ranks` has others
TRAININGS = "".join(f"  train{n}: {{use: mass.train, in: {{pairs: small}}, with: {{{MORE}, batch_size: {n}}}}}\n"
                    for n in SIZES)
TRAININGS += "".join(f"  {name}: {{use: {use}, in: {{{ports}}}, with: {{{MORE}, {own}}}}}\n"
                     for name, (use, ports, own) in BASELINES.items())
GRAPH = f"""massflow: 1
params: {{devices: 1, bad: -1, steps: 6, stop_at: -1, number: 2}}
cases: {{count: 3}}
stages:
  small: {{use: drawn.pairs, with: {{bad: "${{bad}}"}}}}
  large: {{use: drawn.pairs, with: {{patch_size: [32, 32, 16], masks: 1, bad: "${{bad}}"}}}}
  crops: {{use: drawn.crops, with: {{patch_size: [32, 32, 16]}}}}
{TRAININGS.rstrip()}
  patient: {{use: phantom.volume, each: case, with: {{size: [32, 32, 32], spacing: [6, 6, 6], seed: 1, lesion_size: 1}}}}
  sample:
    use: mass.prepare
    each: case
    in: {{volume: patient.volume, labels: patient.labels}}
    with: {{spacing: [6, 6, 6], min_size: [32, 32, 32]}}
  cut: {{use: augment.crops, in: {{samples: "sample[case<=001]"}}, with: {{patch_size: [32, 32, 16], margin: 0}}}}
  tuned:
    use: mass.finetune
    in: {{crops: cut, train: "sample[case<=001]", val: "sample[case=002]", init: train3}}
    with: {{epochs: 1, steps_per_epoch: 2, batch_size: 3, devices: "${{devices}}"}}
  scan: {{use: mass.normalize, each: case, in: {{volume: patient.volume}}, with: {{spacing: [6, 6, 6]}}}}
  classified:
    use: mass.classify
    in: {{model: train3, train: "scan[case<=001]", test: "scan[case=002]"}}
    with: {{target: lesion, roi_size: [32, 32, 16], margin: 0, epochs: 1, batch_size: 2, freeze: false, devices: "${{devices}}"}}
  long:
    use: mass.train
    in: {{pairs: small}}
    with: {{{MODEL}, steps: "${{steps}}", stop_at: "${{stop_at}}", batch_size: 3, devices: "${{devices}}", checkpoint_interval: 0}}
  other: {{use: genesis.train, in: {{pairs: small}}, with: {{{MODEL}, steps: 1, batch_size: 4, devices: "${{number}}"}}}}
"""
TARGETS = [f"train{n}" for n in SIZES] + [*BASELINES, "tuned", "classified"]
ONE, TWO = ("cpu/2.0", 1), ("cpu/2", 2)


@unittest.skipIf((os.cpu_count() or 1) < 2, "one core: a CPU that cannot be cut in two parts")
class Ranks(Massflow):
    ONE_FOLDER = True
    TIMEOUT = 300
    PLUGINS = (os.path.abspath(sys.argv[2]),)

    def prepare(self):
        self.write("graph.yaml", GRAPH)

    def words(self, where, *nodes, cache, **values):
        device, devices = where
        return ["run", "graph.yaml", *nodes, "--cache", cache, "--device", device, *flags(devices=devices, **values)]

    def made(self, where, *nodes, code=0, **values):
        return self.massflow(*self.words(where, *nodes, **values), code=code)

    def test_the_bytes_are_those_of_one_device(self):
        self.made(ONE, *TARGETS, cache="one")
        out = self.made(TWO, *TARGETS, cache="two")
        self.assertIn("train1: devices is 2, but a batch has 1 item: it trains on 1\n", out)
        self.assertEqual(out.count("it trains on"), 1)
        self.assertEqual(self.results("two"), self.results("one"))

    def test_another_number_goes_on(self):
        self.made(ONE, "long", cache="whole")
        self.made(ONE, "long", cache="parts", stop_at=2)
        run = self.start(*self.words(TWO, "long", cache="parts"))
        self.wait_for("a state of step 3", lambda: run.poll() is not None or self.ask_early(
            "SELECT step FROM checkpoint WHERE step >= 3", "parts"), seconds=120)
        run.send_signal(signal.SIGINT)
        out = run.communicate(timeout=120)[0]
        self.assertIn("long: resumes after step 2 of 6\n", out)
        self.assertRegex(self.made(ONE, "long", cache="parts"),
                         r"long: resumes after step \d+ of 6\n" if run.returncode else "cached")
        key = next(k for k in self.results("whole") if k.endswith("mass.train.model0"))
        self.assertEqual(self.results("parts")[key], self.results("whole")[key])

    def test_the_first_pair_that_fails_is_named(self):
        for bad in (1, 3):  # of 4: the first part, the second
            said = [self.made(where, "other", cache=f"bad{bad}{where[1]}", bad=bad, number=where[1], code=1)
                    for where in (ONE, TWO)]
            text = (f"\n  step 1: pairs 0 to 3, of scan 0, scan 1, scan 2 and others: pair {bad}, of scan {bad}: a voxel is nan\n"
                    "  lower lr, or look for extreme voxels in the samples\n")
            for out in said:
                self.assertIn(text, out.replace("-nan", "nan"))

    def test_what_is_refused(self):
        self.assertIn("error: genesis.train: devices is 3; it must be a power of 2: 1, 2, 4, ...\n",
                      self.made(TWO, "other", cache="refused", number=3, code=2))
        out = self.made(TWO, "other", cache="refused", number=4, code=1)
        self.assertIn("\nfailed: other\n"
                      "  no place can run it: this process has 2 devices of one kind, and it needs 4\n"
                      "  choose 4 devices of one kind with --device (such as gpus, or cpu/4), or lower `devices`\n", out)


if __name__ == "__main__":
    main(2)
