#!/usr/bin/env python3
"""What is told of runs: test_seeing.py MASSFLOW COUNTING.so (runs, log, events, plan, why)"""
import os
import re
import signal
import sqlite3
import unittest

from test_run import CHAIN, WAIT, Pipeline, Stopping


class Runs(Pipeline):
    def test_runs_and_log(self):
        self.write("scans/b.txt", "bad b\n")
        self.massflow("run", code=1)
        out = self.massflow("runs")
        self.assertRegex(out, r"^    1  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  failed +(< 1|\d+) s  "
                              r"8 done, 1 failed, 1 blocked\n"
                              r"       massflow run graph\.yaml\n$")
        self.assertEqual(self.massflow("runs", "graph.yaml"), out)
        self.write("scans/b.txt", "text b\n")
        self.massflow("run", "more", "--set", "suffix=?")
        out = self.massflow("runs")
        self.assertRegex(out, r"^    2  .* done .* 5 done, 4 cached\n")
        out = self.massflow("log", "1")
        self.assertRegex(out, r"^run 1: massflow run graph\.yaml\n  failed in (< 1|\d+) s; "
                              r"8 done, 1 failed, 1 blocked\n  started .* massflow \d+\.\d+\.\d+, "
                              r"\d+ worker slots\n    0:00\.000  done      text\[case=")
        self.assertRegex(out, r"\n    0:\d\d\.\d\d\d  done      more\[case=a\]  \(\d+ ms\)\n"
                              r"    0:\d\d\.\d\d\d    adds '!'\n")
        self.assertIn("  blocked   all\n                needs more[case=b]; 'skip_failed: true' "
                      "at 'all' would go on without it\n", out)
        self.assertNotIn("  cached  ", self.massflow("log"))
        self.assertIn("  cached    upper[case=a]\n", self.massflow("log", "--all"))

    def test_log_of_a_node(self):
        self.write("scans/b.txt", "bad b\n")
        self.massflow("run", code=1)
        out = self.massflow("log", "more[case=b]")
        graph = os.path.join(os.path.realpath(self.folder), "graph.yaml")
        self.assertRegex(out, r"\n +0:\d\d\.\d\d\d  failed    more\[case=b\]  \(\d+ ms\)\n"
                              r" +0:\d\d\.\d\d\d    adds '!'\n"
                              r" +the text holds 'BAD'\n"
                              r" +at most \d+ MB were resident in massflow meanwhile, with all "
                              r"that ran beside it\n +key [0-9a-f]{12}\n"
                              r" +again: massflow run " + re.escape(graph) +
                         r" 'more\[case=b\]'\n$")
        self.assertEqual(len(re.findall(r"more\[case=.\]  \(", self.massflow("log", "graph.yaml", "1",
                                                                        "more"))), 3)

    def test_refusals(self):
        self.assertIn("massflow: error: ", self.massflow("runs", code=2))
        self.massflow("run")
        self.assertEqual(self.massflow("log", "7", code=2),
                         "massflow: error: there is no run 7\n"
                         "  massflow runs lists those that there are\n")
        self.assertEqual(self.massflow("log", "mroe", code=2),
                         "massflow: error: run 1 had no node 'mroe'\n")
        self.assertEqual(self.massflow("runs", "nowhere.yaml", code=2),
                         "massflow: error: 'nowhere.yaml' is no file\n")
        self.write("other.yaml", CHAIN)
        self.assertEqual(self.massflow("log", "other.yaml", code=2),
                         "massflow: error: there was no run yet\n")


class Killed(Stopping):
    """A run that is killed: what it did is told, and what it was at."""
    def test_killed(self):
        self.write("graph.yaml", WAIT)
        process = self.start("-j", "2")
        self.until_logged("wait", 2, process)
        # The journal is written at least once a second.
        base = sqlite3.connect(self.path(".massflow/cache.db"), timeout=60)
        while not base.execute("select count(*) from run_node where outcome = 5 and "
                               "node >= 'wait'").fetchone()[0] == 2:
            self.assertIsNone(process.poll())
        self.assertIn("  running ", self.massflow("runs"))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        base.close()
        self.assertIn("  killed  ", self.massflow("runs"))
        out = self.massflow("log")
        self.assertIn("\n  killed; 3 done, 2 running\n", out)
        self.assertRegex(out, r"\n    0:\d\d\.\d\d\d  running   wait\[case=[abc]\]\n")
        base = sqlite3.connect(self.path(".massflow/cache.db"))
        base.execute("update run set host = 'elsewhere'")
        base.commit()
        base.close()
        self.assertIn("  running ", self.massflow("runs"))  # of another host it can't be seen


del Stopping  # its own tests run in test_run.py

if __name__ == "__main__":
    unittest.main(argv=["test_seeing.py"])
