#!/usr/bin/env python3
"""Several processes on one cache, through the command: test_sharing.py MASSFLOW COUNTING.so NETWORK.so

Whoever starts an action first does it; the other waits, says for whom, and takes the result. Who
only looks disturbs nobody, and needs no right to write. NETWORK.so is preloaded where the cache
shall seem to lie on a network file system.
"""
import json
import os
import shutil
import signal
import socket
import sys
import tempfile

from harness import MASSFLOW, WAIT, Pipeline, main, preloading

NETWORK = os.path.abspath(sys.argv[3])
# A program built with the address sanitizer wants to be the first library, which does not matter here.
PRETENDED = preloading(NETWORK)
HOST = socket.gethostname()


class Shared(Pipeline):
    GRAPH = WAIT

    def start(self, *targets, env=None):
        """A run that waits for the file go."""
        return super().start("run", *targets, "--set", "file=" + self.path("go"),
                             env={**self.environment(), **(env or {})})

    def until_runs(self, process, count=1):
        self.until_logged("wait", count, process)


class Sharing(Shared):
    def test_the_second_waits_and_takes_the_result(self):
        first = self.start("wait[case=a]")
        self.until_runs(first)
        second = self.start("wait[case=a]")
        line = self.until(second, "waiting for").string
        self.assertRegex(line, fr"^waiting for wait\[case=a\]: process {first.pid} on host {HOST} has been "
                               r"computing it for \d+ s\n$")
        self.write("go", "")
        self.assertIn("finished: 2 run, 0 cached in", self.rest(first))
        self.assertIn("finished: 0 run, 2 cached in", self.rest(second))
        self.assertEqual(self.runs(), ["load text a", "wait text a"])

    def test_waiting_is_an_event(self):
        first = self.start("wait[case=a]")
        self.until_runs(first)
        second = self.start("wait[case=a]", "--log", "json")
        event = json.loads(self.until(second, '"waiting"').string)
        self.assertEqual(event["node"], "wait[case=a]")
        self.assertIn(f"process {first.pid} on host {HOST} has been computing it for ", event["text"])
        self.write("go", "")
        self.rest(first)
        self.rest(second)

    def test_meanwhile_it_does_other_things(self):
        first = self.start("wait[case=a]")
        self.until_runs(first)
        second = self.start()
        self.until_runs(second, 3)
        self.write("go", "")
        self.rest(first)
        self.assertIn("finished: 4 run, 2 cached in", self.rest(second))
        self.assertEqual(self.counts(), {"load": 3, "wait": 3})

    def test_ctrl_c_ends_the_waiter_alone(self):
        first = self.start("wait[case=a]")
        self.until_runs(first)
        second = self.start("wait[case=a]")
        self.until(second, "waiting for")
        second.send_signal(signal.SIGINT)
        self.assertIn("interrupted: 0 run, 1 cached, 1 left in", self.rest(second, 130))
        self.write("go", "")
        self.rest(first)

    def test_a_killed_owner_is_noticed_at_once(self):
        first = self.start("wait[case=a]")
        self.until_runs(first)
        second = self.start("wait[case=a]")
        self.until(second, "waiting for")
        first.kill()
        first.communicate()
        self.until_runs(second, 2)
        self.write("go", "")
        self.assertIn("finished: 1 run, 1 cached in", self.rest(second))

    def test_an_owner_that_gives_up_lets_go(self):
        first = self.start("wait[case=a]")
        self.until_runs(first)
        second = self.start("wait[case=a]")
        self.until(second, "waiting for")
        first.send_signal(signal.SIGINT)
        self.rest(first, 130)
        self.until_runs(second, 2)
        self.write("go", "")
        self.rest(second)

    def test_an_owner_elsewhere_lives_while_its_heart_beats(self):
        first = self.start("wait[case=a]")
        self.until_runs(first)
        self.change("UPDATE lease SET machine = 'other', host = 'far'")
        second = self.start("wait[case=a]")
        line = self.until(second, "waiting for").string
        self.assertIn(f"process {first.pid} on host far has been", line)
        self.write("go", "")
        self.rest(first)
        self.assertIn("finished: 0 run, 2 cached in", self.rest(second))

    def test_many_at_once_run_everything_once(self):
        self.write("go", "")
        for name in "defghijklmno":
            self.write(f"scans/{name}.txt", f"text {name}\n")
        runs = [self.start() for _ in range(4)]
        for run in runs:
            self.rest(run)
        self.assertEqual(self.counts(), {"load": 15, "wait": 15})


class Looking(Shared):
    """What only looks: each command's exit status and a few words of what it says."""

    def setUp(self):
        super().setUp()
        self.out = tempfile.mkdtemp(prefix="massflow-test-")
        os.chmod(self.out, 0o777)

    def looks(self, env=None, user=None):
        out = os.path.join(self.out, "text.txt")
        asked = {
            ("plan", "graph.yaml"): "wait",
            ("why", "graph.yaml", "text[case=a]"): "",
            ("show", "graph.yaml", "text[case=a]"): "text a",
            ("get", "graph.yaml", "text[case=a]", "-o", out): "text.txt",
            ("cache", "ls"): "text",
            ("cache", "stat"): "artifacts",
            ("runs", "graph.yaml"): "",
        }
        for words, expected in asked.items():
            line = [MASSFLOW, *words, *([] if words[0] in ("cache", "runs") else
                                        ["--plugins", "plugins"])]
            done = self.ended(line, env={**self.environment(), **(env or {})}, user=user)
            self.assertIn(expected, done.stdout, words)
        with open(out, encoding="utf-8") as file:
            self.assertIn("text a", file.read())
        os.remove(out)

    def test_while_a_run_goes_on(self):
        run = self.start("wait[case=a]")
        self.until_runs(run)
        self.looks()
        self.write("go", "")
        self.assertIn("finished: 2 run, 0 cached in", self.rest(run))
        self.looks()

    def read_only(self):
        """Takes away the right to write; the user to look as."""
        for folder, _, files in os.walk(self.folder):
            for name in files:
                os.chmod(os.path.join(folder, name), 0o444)
            os.chmod(folder, 0o555)
        return "nobody" if os.getuid() == 0 else None

    def tearDown(self):
        for folder, _, _ in os.walk(self.folder):
            os.chmod(folder, 0o755)
        shutil.rmtree(self.out)
        super().tearDown()

    def test_in_a_folder_that_can_not_be_written(self):
        self.write("go", "")
        self.rest(self.start())
        self.looks(user=self.read_only())

    def test_in_a_folder_that_a_killed_run_left_and_that_can_not_be_written(self):
        run = self.start("wait[case=a]")
        self.until_runs(run)
        run.kill()
        run.wait()
        self.assertTrue(os.path.exists(self.path(".massflow/cache.db-wal")))
        self.looks(user=self.read_only())

    def test_of_another_user_while_a_run_goes_on(self):
        run = self.start("wait[case=a]")
        self.until_runs(run)
        self.looks(user=self.read_only())
        for folder, _, _ in os.walk(self.folder):
            os.chmod(folder, 0o755)
        self.write("go", "")
        self.rest(run)


class Network(Sharing, Looking):
    def start(self, *targets, env=None):
        return super().start(*targets, env={**PRETENDED, **(env or {})})

    def looks(self, env=None, user=None):
        super().looks(env=PRETENDED, user=user)

    def journal(self):
        with open(self.path(".massflow/cache.db"), "rb") as file:
            return file.read(20)[18:]

    def test_the_index_has_a_rollback_journal(self):
        self.write("go", "")
        self.rest(self.start())
        self.assertEqual(self.journal(), b"\1\1")  # 2 2: WAL
        self.assertIn("finished: 0 run, 6 cached in", self.rest(self.start()))

    def test_a_cache_that_moves(self):
        self.write("go", "")
        self.massflow("run", "--set", "file=" + self.path("go"))
        self.assertEqual(self.journal(), b"\2\2")
        self.assertIn("finished: 0 run, 6 cached in", self.rest(self.start()))
        self.assertEqual(self.journal(), b"\1\1")
        self.massflow("run", "--set", "file=" + self.path("go"))
        self.assertEqual(self.journal(), b"\2\2")

    def test_in_a_folder_that_a_killed_run_left_and_that_can_not_be_written(self):
        run = self.start("wait[case=a]")
        self.until_runs(run)
        run.kill()
        run.wait()
        self.assertFalse(os.path.exists(self.path(".massflow/cache.db-wal")))
        self.looks(user=self.read_only())


if __name__ == "__main__":
    main(3)
