#!/usr/bin/env python3
"""A run whose workers come from Slurm: test_slurm.py MASSFLOW DRAWN_PAIRS.so

A small cluster is started for it (slurm_cluster.py). Where there is no Slurm, or where it does not start, the
test is skipped and says so. tools/slurm_faults does more with the same cluster.
"""
import json
import os
import sys
import tempfile
import unittest

from harness import MASSFLOW, Massflow, main
from slurm_cluster import Cluster, missing

GRAPH = """massflow: 1
cases: {count: 6}
stages:
  scan: {use: phantom.volume, each: case, with: {size: [48, 48, 32]}}
  masks: {use: slic.masks, each: case, pool: main, in: {volume: scan.volume}}
  gate: {use: exec.run, each: case, pool: main,
         with: {command: "sh -c 'until [ -e %s ]; do sleep 0.05; done; echo $0 >{out.text}' ${case.id}"}}
"""

POOLS = """listen: 127.0.0.1
folder: %s
pools:
  main:
    submit: slurm
    sbatch: [--cpus-per-task=2]
    time: 10
    max: 3
    backlog: 3
    idle: 60
    slots: 1
  fast:
    submit: slurm
    mpi: pmix
    sbatch: [--nodes=2, --ntasks=2]
    time: 10
    max: 3
  wrong:
    submit: slurm
    sbatch: [--partition=nowhere]
    time: 10
"""

TRAINING = """massflow: 1
params: {ranks: 1}
stages:
  pairs: {use: drawn.pairs}
  model:
    use: mass.train
    in: {pairs: pairs}
    with: {channels: [4, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32, steps: 2, batch_size: 2,
           ranks: "${ranks}"}
"""

MPI = os.path.exists(os.path.join(os.path.dirname(MASSFLOW), "../mpi/massflow-mpi.so"))


class Slurm(Massflow):
    """One cluster for all of them."""

    PLUGINS = (os.path.abspath(sys.argv[2]),)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        why = missing()
        if why:
            raise unittest.SkipTest(why)
        place = tempfile.TemporaryDirectory(prefix="massflow-slurm-")  # pylint: disable=consider-using-with
        cls.addClassCleanup(place.cleanup)
        try:
            cls.cluster = Cluster(place.name)
            cls.cluster.__enter__()
        except (RuntimeError, OSError) as error:
            raise unittest.SkipTest(f"Slurm does not start here: {error}") from error
        cls.addClassCleanup(cls.cluster.__exit__)

    def setUp(self):
        super().setUp()
        self.write("graph.yaml", GRAPH % self.path("go"))
        self.write("pools.yaml", POOLS % self.path("shared"))

    def environment(self):
        return {**super().environment(), **self.cluster.environment()}

    def test_a_run_on_two_nodes(self):
        """The same results as here; two workers run, the third waits and is cancelled."""
        process = self.start("run", "graph.yaml", "--pool", "main", "--pools", "pools.yaml", "--local", "0")
        crew = self.cluster.wait("two workers at work", self.crew)
        self.write("go", "")
        out = self.rest(process)
        self.assertRegex(out, "finished: 18 run, 0 cached in")
        self.massflow("run", "graph.yaml", "--cache", "here")
        self.assertEqual(self.results(), self.results("here"))
        self.assertEqual({w["pool"] for w in crew["workers"]}, {"main"})
        places = {place for place, in self.ask("SELECT place FROM run_node")}
        self.assertEqual(places, {w["name"] for w in crew["workers"]})
        self.cluster.wait("nothing is left in the queue", lambda: not self.cluster.jobs())
        self.assertEqual(self.massflow("workers", "graph.yaml"), "no run with workers is under way on this cache\n")

    def crew(self):
        """What 'massflow workers' knows, once two have a node each."""
        done = self.ended(self.line("workers", "graph.yaml", "--json"), code=None)
        runs = json.loads(done.stdout) if done.returncode == 0 else []
        return runs[0] if runs and [w["running"] for w in runs[0]["workers"]] == [1, 1] else None

    def test_one_is_tried(self):
        out = self.massflow("pools", "main", "--try", "--pools", "pools.yaml")
        self.assertRegex(out, r"worker \S+ joined after .*\n  1 slot, \S+ \SB of memory\n(  device: .*\n)+"
                              r"  (9|10) min \d+ s left\n")
        script = self.massflow("pools", "main", "--script", "--pools", "pools.yaml")
        self.assertRegex(script, "^sbatch --parsable --cpus-per-task=2 '?--array=1-1%3'? ")

    @unittest.skipUnless(MPI, "no OpenMPI (libopenmpi-dev, openmpi-bin): 'tools/packages cluster' installs it")
    def test_workers_that_srun_starts_together(self):
        """Two tasks of one job train by MPI, to the bytes of one worker; nobody asks for a second job."""
        if "pmix" not in self.cluster.ask("srun", "--mpi=list"):
            self.skipTest("this Slurm has no PMIx")
        self.write("training.yaml", TRAINING)
        self.massflow("run", "training.yaml", "--cache", "here")
        out = self.massflow("run", "training.yaml", "--pool", "fast", "--pools", "pools.yaml", "--local", "0",
                            "--set", "ranks=2")
        self.assertRegex(out, r"model: runs at \S+, \S+ together, which reach each other by MPI\n")
        self.assertEqual(out.count("has joined"), 2)
        self.assertEqual(self.results(), self.results("here"))
        self.cluster.wait("nothing is left in the queue", lambda: not self.cluster.jobs())

    def test_what_slurm_says_is_told(self):
        process = self.start("pools", "wrong", "--try", "--pools", "pools.yaml")
        said = self.until(process, "pool wrong: no worker could be asked for; it is tried again: (.*)").group(1)
        self.assertIn("invalid partition specified: nowhere", said)

    def test_what_the_site_does_not_know(self):
        out = self.massflow("run", "graph.yaml", "--pool", "wrong", "--pools", "pools.yaml", code=2)
        self.assertEqual(out, "massflow: error: graph.yaml:6:3: stage 'gate' asks for a pool: this run has no "
                              "workers of pool 'main'\n  --pool wrong,main\n")
        self.assertFalse(os.path.exists(self.path("shared")))


if __name__ == "__main__":
    main(2)
