#!/usr/bin/env python3
"""One training at several workers: test_ranks_workers.py MASSFLOW DRAWN_PAIRS.so

Two worker processes, each with one part of a CPU, train to the same bytes as one part alone; also where one of them
is killed and another comes, and where the training goes on with another number. About 30 s of CPU time.
"""
import os
import shutil
import signal
import sys
import unittest

from harness import MASSFLOW, Massflow, children_of, flags, main

MPI = shutil.which("mpirun") and os.path.exists(os.path.join(os.path.dirname(MASSFLOW), "../mpi/massflow-mpi.so"))
MODEL = "channels: [4, 8, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32"
GRAPH = f"""massflow: 1
params: {{ranks: 1, steps: 4, number: 1, batch: 3}}
stages:
  pairs: {{use: drawn.pairs}}
  large: {{use: drawn.pairs, with: {{patch_size: [32, 32, 16], masks: 1}}}}
  long:
    use: mass.train
    in: {{pairs: pairs}}
    with: {{{MODEL}, steps: "${{steps}}", batch_size: "${{batch}}", ranks: "${{ranks}}", checkpoint_interval: 0}}
  moco: {{use: moco.train, in: {{pairs: large}}, with: {{{MODEL}, steps: 2, batch_size: 2, memory_bank: 4, projection_dim: 16, ranks: "${{number}}"}}}}
"""


@unittest.skipIf((os.cpu_count() or 1) < 2, "one core: a CPU that cannot be cut in two parts")
class Ranks(Massflow):
    ONE_FOLDER = True
    TIMEOUT = 200
    PLUGINS = (os.path.abspath(sys.argv[2]),)

    def environment(self):
        return {**super().environment(), "POCL_AFFINITY": "0"}  # each process its own cores

    def prepare(self):
        self.write("graph.yaml", GRAPH)
        self.write("isolated.yaml", GRAPH.replace("use: mass.train", "use: mass.train\n    isolate: true"))
        self.massflow("run", "graph.yaml", "long", "moco", "--cache", "alone", "--device", "cpu/2.0")
        type(self).wanted = self.results("alone")

    def coordinator(self, *nodes, cache, **values):
        run = self.start("run", "graph.yaml", *nodes, "--cache", cache, "--listen", "127.0.0.1:0", "--token", "token",
                         "--local", "0", "--heartbeat", "0.5", *flags(**values))
        return run, self.until(run, r"listening at (127\.0\.0\.1:\d+)").group(1)

    def worker(self, where, part, name):
        return self.start("worker", "--connect", where, "--token", "token", "--cache", name, "--device",
                          f"cpu/2.{part}", "--slots", "4")

    def two(self, where, name):
        return [self.worker(where, part, f"{name}{part}") for part in range(2)]

    def state_after(self, run, cache, step):
        self.wait_for(f"a state of step {step}", lambda: self.ask_early(
            f"SELECT step FROM checkpoint WHERE step >= {step}", cache), run, seconds=120)

    def same(self, cache, stage):
        own = self.results(cache)
        keys = [key for key in self.wanted if stage in key]
        self.assertTrue(keys)
        self.assertEqual({key: own.get(key) for key in keys}, {key: self.wanted[key] for key in keys})

    def test_two_workers_give_the_bytes_of_one_device(self):
        run, where = self.coordinator("long", "moco", cache="two", ranks=2, number=2)
        workers = self.two(where, "two-w")
        out = self.rest(run)
        self.assertIn("finished: 2 run", out)
        self.assertEqual(self.results("two"), self.wanted)
        for worker in workers:
            self.rest(worker)

    def test_a_worker_is_killed(self):
        """The other one saves what was learned; the launcher's test kills both."""
        run, where = self.coordinator("long", cache="killed", ranks=2)
        workers = self.two(where, "killed-w")
        self.state_after(run, "killed", 1)
        workers[1].kill()
        self.until(run, r"came back after .*was lost")
        third = self.worker(where, 1, "killed-third")
        self.assertRegex(self.rest(run), r"long: resumes after step \d of 4\n")
        self.same("killed", "mass.train")
        for worker in (workers[0], third):
            self.rest(worker)

    def test_another_number_goes_on(self):
        run, where = self.coordinator("long", cache="other", ranks=2)
        workers = self.two(where, "other-w")
        self.state_after(run, "other", 1)
        run.send_signal(signal.SIGINT)
        self.rest(run, 130)
        for worker in workers:
            self.rest(worker)
        run, where = self.coordinator("long", cache="other", ranks=1)
        worker = self.worker(where, 0, "other-w0")
        self.assertRegex(self.rest(run), r"long: resumes after step \d of 4\n")
        self.same("other", "mass.train")
        self.rest(worker)

    @unittest.skipUnless(MPI, "no OpenMPI (libopenmpi-dev, openmpi-bin): 'tools/packages cluster' installs it")
    def test_workers_of_one_launcher(self):
        """By MPI; when one of them is killed the launcher ends the others, and other ones go on."""
        run, where = self.coordinator("long", cache="mpi", ranks=2)
        for tried in range(2):
            worker = self.line("worker", "--connect", where, "--token", "token", "--cache", f"mpi-{tried}", "--device",
                               "cpu/2.0", "--slots", "4", "--mpi")
            launcher = self.popen(["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", *worker])
            self.until(run, r"long: runs at .* together, which reach each other by MPI\n")
            if not tried:
                self.state_after(run, "mpi", 1)
                os.kill(children_of(launcher.pid)[0], signal.SIGKILL)
                self.until(run, r"came back after .*was lost")
                launcher.communicate(timeout=60)
                self.assertNotEqual(launcher.returncode, 0)
        self.assertRegex(self.rest(run), r"long: resumes after step \d of 4\n")
        self.same("mpi", "mass.train")
        self.rest(launcher)

    def test_a_plan_says_that_a_pool_is_too_small(self):
        self.write("pools.yaml", "pools: {two: {submit: slurm, time: 60, max: 2}}\n")
        plan = self.massflow("plan", "graph.yaml", "long", "--cache", "none", "--pool", "two", "--pools", "pools.yaml",
                             *flags(ranks=4, batch=4))
        self.assertTrue(plan.endswith(
            "  expected time not known: none of it has run here yet\n"
            "  long can't run there: it needs 4 workers at the same time (`ranks`), and there are at most 2 (`max`)\n"),
            plan)
        self.assertNotIn("can't run there", self.massflow("plan", "graph.yaml", "long", "--cache", "none", "--pool", "two",
                                                          "--pools", "pools.yaml", *flags(ranks=2)))

    def test_what_is_refused(self):
        def refused(*words, graph="graph.yaml", **values):
            return self.massflow("run", graph, "long", "--cache", "refused", "--device", "cpu/2", *words,
                                 *flags(**values), code=(1, 2))
        self.assertIn("error: no place can run stage 'long' (mass.train): it needs 2 workers at the same time: "
                      "this process is none\n"
                      "  connect 2 workers (--listen) or name pools that may have so many (--pool), or lower `ranks`; "
                      "`devices` takes several devices of one machine\n", refused(ranks=2))
        self.assertIn("ranks is 3; it must be a power of 2: 1, 2, 4, ...\n", refused(ranks=3))
        self.assertIn("ranks is 4, but a batch has 3 items\n", refused(ranks=4))
        self.assertIn("error: stage 'long' (mass.train): ranks is 2, and isolate is true: a process of its own has no "
                      "way to the other workers\n",
                      refused("--listen", "127.0.0.1:0", "--token", "token", graph="isolated.yaml", ranks=2))


if __name__ == "__main__":
    main(2)
