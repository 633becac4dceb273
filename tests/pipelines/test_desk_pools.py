#!/usr/bin/env python3
"""massflow desk with workers of pools: which there are, a run with them, what is refused: test_desk_pools.py MASSFLOW"""
import os
import re

import harness
from desk import PHANTOMS, Desk, Pools, until_ended


class AtWorkers(harness.Massflow):
    def setUp(self):
        super().setUp()
        self.pools = Pools(self)

    def desk(self, *words):
        return Desk(self, "graph.yaml", "--pools", "pools.yaml", *words)

    def test_run(self):
        """All at a worker, which is told of while it works and gone with the run."""
        self.write("graph.yaml", self.pools.graph)
        d = self.desk()
        there = d.get("/api/pools")
        self.assertEqual([pool["name"] for pool in there["pools"]], ["here", "other"])
        self.assertEqual(there["pools"][0]["words"], "command, at most 1 worker, each with 1 slot")
        self.assertEqual(there["path"], "pools.yaml")
        self.assertEqual(d.get("/api/workers"), [])
        with d.events() as stream:
            d.post("/api/run", {"pools": ["here"], "local": False})
            run = self.busy(d)
            self.assertEqual((run["process"], [pool["name"] for pool in run["pools"]]), (d.process.pid, ["here"]))
            worker, = run["workers"]
            self.assertEqual((worker["pool"], worker["state"], worker["slots"]), ("here", "open", 1))
            self.pools.go()
            seen = until_ended(stream)
        self.assertEqual((seen[-1]["status"], seen[-1]["counts"]["done"]), ("done", 2))
        self.assertTrue([e for e in seen if e["kind"] == "notice" and "joined" in e["text"]], seen)
        self.assertEqual(d.get("/api/workers"), [])
        # The next run has this machine again, and nothing to do.
        self.assertEqual(d.run()[-1]["counts"]["cached"], 2)

    def busy(self, d):
        """The run that has a worker with a node."""
        def working():
            return [run for run in d.get("/api/workers") if any(w["running"] for w in run["workers"])]
        self.wait_for("a worker has a node", working, d.process)
        run, = working()
        return run

    def test_beside_this_machine(self):
        """What asks for a pool runs there, all else in the desk or there."""
        self.write("graph.yaml", PHANTOMS.replace("    use: slic.masks\n", "    use: slic.masks\n    pool: here\n"))
        d = self.desk()
        end = d.run({"pools": ["here"]})[-1]
        self.assertEqual((end["status"], end["counts"]["done"]), ("done", 6))

    def test_commands_end_with_their_workers(self):
        """The run tells its workers to go before it waits for the commands of a pool: none of them is killed."""
        self.write("graph.yaml", self.pools.graph)
        with open(self.path("pools.yaml"), encoding="utf-8") as file:
            self.write("pools.yaml", re.sub(r"(here: .*command: ')(.*)('})", r"\1(\2); echo $? >ended\3", file.read()))
        self.pools.go()
        out = self.massflow("run", "graph.yaml", "--pools", "pools.yaml", "--pool", "here", "--local", "0")
        self.assertIn("finished: 2 run", out)
        with open(self.path("ended"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "0\n")

    def test_stop(self):
        self.write("graph.yaml", self.pools.graph)
        d = self.desk()
        with d.events() as stream:
            d.post("/api/run", {"pools": ["here"], "local": False})
            self.busy(d)
            d.post("/api/stop")
            self.assertEqual(until_ended(stream)[-1]["status"], "interrupted")
        self.assertEqual(d.get("/api/workers"), [])

    def test_refused(self):
        self.write("graph.yaml", self.pools.graph)
        d = self.desk()
        for body, words, code in (
                ({"pools": ["nothing"]}, "nothing", 404), ({"pools": ["here", "here"]}, "'here' is there twice", 400),
                ({"pools": "here"}, "'pools' has to be a list of texts", 400),
                ({"pools": [1]}, "'pools' has to be a list of texts", 400),
                ({"local": False}, "a run needs this machine, or a pool", 400)):
            with self.subTest(body):
                self.assertIn(words, d.post("/api/run", body, code)["error"])
        self.assertFalse(d.get("/api/run")["running"])

    def test_a_pool_that_the_run_has_not(self):
        """The place in the graph, before anything runs."""
        self.write("graph.yaml", PHANTOMS.replace("    use: slic.masks\n", "    use: slic.masks\n    pool: other\n"))
        end = self.desk().run({"pools": ["here"]})[-1]
        self.assertEqual((end["status"], end["counts"]["done"]), ("failed", 0))
        self.assertRegex(end["text"], r"graph\.yaml:\d+:\d+: ")
        self.assertIn("this run has no workers of pool 'other'", end["text"])

    def test_a_broken_file(self):
        """What is wrong with the site's file has its place, and mended it counts at once."""
        self.write("graph.yaml", PHANTOMS)
        good = self.read("pools.yaml")
        self.write("pools.yaml", good.replace("submit: command", "submit: comand", 1))
        d = self.desk()
        there = d.get("/api/pools")
        self.assertEqual(there["pools"], [])
        self.assertRegex(there["trouble"], r"^pools\.yaml:\d+:\d+: error: 'submit' is slurm or command, not 'comand'")
        self.assertEqual(d.post("/api/run", {"pools": ["here"]}, 400)["error"], there["trouble"])
        self.write("pools.yaml", good)
        self.assertNotIn("trouble", d.get("/api/pools"))
        self.assertEqual(d.run({"pools": ["here"], "local": False})[-1]["status"], "done")


class WithoutPools(harness.Massflow):
    def environment(self):
        env = {**super().environment(), "XDG_CONFIG_HOME": self.path("config")}
        env.pop("MASSFLOW_POOLS", None)
        return env

    def test_no_file(self):
        """None is no trouble, unless it was named."""
        self.write("graph.yaml", PHANTOMS)
        usual, named = Desk(self, "graph.yaml"), Desk(self, "graph.yaml", "--pools", "none.yaml")
        if not os.path.exists("/etc/massflow/pools.yaml"):
            self.assertEqual(usual.get("/api/pools"), {"pools": []})
        self.assertIn("none.yaml", named.get("/api/pools")["trouble"])
        self.assertIn("none.yaml", named.post("/api/run", {"pools": ["here"]}, 404)["error"])


if __name__ == "__main__":
    harness.main(1)
