#!/usr/bin/env python3
"""Two processes on one cache, through the command: test_sharing.py MASSFLOW COUNTING.so

Whoever starts an action first does it; the other waits, says for whom, and takes the result.
"""
import os
import signal
import socket
import sqlite3
import subprocess
import time
import unittest

from test_run import MASSFLOW, WAIT, Pipeline

HOST = socket.gethostname()


class Sharing(Pipeline):
    def setUp(self):
        super().setUp()
        self.write("graph.yaml", WAIT)
        self.going = []

    def tearDown(self):
        for process in self.going:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
        super().tearDown()

    def start(self, *targets, env=None):
        process = subprocess.Popen(
            [MASSFLOW, "run", "graph.yaml", *targets, "--plugins", "plugins",
             "--set", "file=" + self.path("go")], cwd=self.folder,
            env={**self.environment(), **(env or {})}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        self.going.append(process)
        return process

    def until(self, condition, *processes):
        end = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), end)
            for process in processes:
                self.assertIsNone(process.poll())
            time.sleep(0.005)

    def logged(self, word):
        if not os.path.exists(self.log):
            return 0
        with open(self.log, encoding="utf-8") as file:
            return sum(line.startswith(word) for line in file)

    def until_runs(self, process, count=1):
        self.until(lambda: self.logged("wait") >= count, process)

    def until_says(self, process, words):
        """Reads lines up to one that has the words, and gives it."""
        for line in process.stdout:
            if words in line:
                return line
        self.fail("it ended without saying: " + words)

    def end(self, process, code=0):
        out = process.communicate(timeout=60)[0]
        self.assertEqual(process.returncode, code, out)
        return out

    def change(self, sql):
        db = sqlite3.connect(self.path(".massflow/cache.db"), timeout=60)
        db.execute(sql)
        db.commit()
        db.close()

    def test_the_second_waits_and_takes_the_result(self):
        first = self.start("wait[case=a]")
        self.until_runs(first)
        second = self.start("wait[case=a]")
        line = self.until_says(second, "waiting for")
        self.assertRegex(line, rf"^waiting for wait\[case=a\]: process {first.pid} on host {HOST}"
                               r" has been at it for \d+ s\n$")
        self.write("go", "")
        self.assertIn("finished: 2 run, 0 cached in", self.end(first))
        self.assertIn("finished: 0 run, 2 cached in", self.end(second))
        self.assertEqual(self.runs(), ["load text a", "wait text a"])

    def test_meanwhile_it_does_other_things(self):
        first = self.start("wait[case=a]")
        self.until_runs(first)
        second = self.start()
        self.until_runs(second, 3)
        self.write("go", "")
        self.end(first)
        self.assertIn("finished: 4 run, 2 cached in", self.end(second))
        self.assertEqual(self.counts(), {"load": 3, "wait": 3})

    def test_ctrl_c_ends_the_waiter_alone(self):
        first = self.start("wait[case=a]")
        self.until_runs(first)
        second = self.start("wait[case=a]")
        self.until_says(second, "waiting for")
        second.send_signal(signal.SIGINT)
        self.assertIn("interrupted: 0 run, 1 cached, 1 left in", self.end(second, 130))
        self.write("go", "")
        self.end(first)

    def test_a_killed_owner_is_noticed_at_once(self):
        first = self.start("wait[case=a]")
        self.until_runs(first)
        second = self.start("wait[case=a]")
        self.until_says(second, "waiting for")
        first.kill()
        first.communicate()
        self.until_runs(second, 2)
        self.write("go", "")
        self.assertIn("finished: 1 run, 1 cached in", self.end(second))

    def test_an_owner_that_gives_up_lets_go(self):
        first = self.start("wait[case=a]")
        self.until_runs(first)
        second = self.start("wait[case=a]")
        self.until_says(second, "waiting for")
        first.send_signal(signal.SIGINT)
        self.end(first, 130)
        self.until_runs(second, 2)
        self.write("go", "")
        self.end(second)

    def test_an_owner_elsewhere_lives_while_its_heart_beats(self):
        first = self.start("wait[case=a]")
        self.until_runs(first)
        self.change("UPDATE lease SET machine = 'other', host = 'far'")
        second = self.start("wait[case=a]")
        line = self.until_says(second, "waiting for")
        self.assertIn(f"process {first.pid} on host far has been", line)
        self.write("go", "")
        self.end(first)
        self.assertIn("finished: 0 run, 2 cached in", self.end(second))

    def test_many_at_once_run_everything_once(self):
        self.write("go", "")
        for name in "defghijklmno":
            self.write(f"scans/{name}.txt", f"text {name}\n")
        runs = [self.start() for _ in range(4)]
        for run in runs:
            self.end(run)
        self.assertEqual(self.counts(), {"load": 15, "wait": 15})


if __name__ == "__main__":
    unittest.main(argv=["test_sharing"])
