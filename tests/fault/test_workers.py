#!/usr/bin/env python3
"""Runs with workers on other machines, disturbed: test_workers.py MASSFLOW MESSAGES.so STEPS.so [--every N]

A worker is killed before or within a message, its connection is cut or a bit of it flipped, in the way that
MESSAGES.so counts; another worker then goes on. Results must be those of a run without workers, byte for
byte, and `cache verify` must find nothing. Without --every a few messages are tried; with it each N-th one. tools/worker_faults does more, on links and hosts that
need root.
"""
import argparse
import itertools
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "pipelines"))
from harness import MASSFLOW, Massflow, preloading, sanitized  # noqa: E402 (its folder has to be on the path)
from relay import Relay  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("massflow", type=os.path.abspath)
parser.add_argument("messages", type=os.path.abspath)
parser.add_argument("steps", type=os.path.abspath)
parser.add_argument("--every", type=int, default=0)
options = parser.parse_args()

# A volume of some bricks, masks with rows, and a stage that saves states.
GRAPH = """massflow: 1
params: {stop_at: -1}
stages:
  patient: {use: phantom.volume, with: {size: [48, 48, 80], spacing: [4, 4, 3], seed: 7}}
  found:
    use: slic.masks
    in: {volume: patient.volume}
    with: {sizes: [16], merge_thresholds: [3], edge_threshold: 4, min_edge_fraction: 0.9, min_voxels: 150}
  masks: {use: masks.nms, in: {masks: found}, with: {min_voxels: 150, pool: 1}}
  numbers: {use: steps.do, with: {steps: 6, stop_at: "${stop_at}", every: 2, seed: 1}}
"""
DUMP = ("SELECT hex(a.key), o.port, hex(f.id) FROM action a JOIN output o ON o.action = a.num"
        " JOIN artifact f ON f.num = o.artifact ORDER BY 1, 2")


class Workers(Massflow):
    """Each run has a cache of its own."""

    PLUGINS = (options.steps,)
    ONE_FOLDER = True
    TIMEOUT = 25

    def prepare(self):
        self.write("g.yaml", GRAPH)
        self.massflow("run", "g.yaml", "--cache", "alone")
        type(self).wanted = self.ask(DUMP, cache="alone")

    def setUp(self):
        self.runs = 0

    def run_graph(self, port=0, again=False):
        """A run that listens, and where."""
        if not again:
            self.runs += 1
            self.cache = f"cache-{self._testMethodName}-{self.runs}"
        run = self.start("run", "g.yaml", "--cache", self.cache, "--listen", f"127.0.0.1:{port}",
                         "--token", "token", "--local", "0", "--heartbeat", "0.2")
        return run, self.until(run, r"listening at (127\.0\.0\.1:\d+)").group(1)

    def worker(self, where, name="w", *words, **env):
        return self.start("worker", "--connect", where, "--token", "token", "--cache", f"{self.cache}-{name}",
                          "--slots", "2", "--retry", "5", *words, env={**self.environment(), **env})

    def check(self, run, code=0):
        """The end of the run, and what came of it."""
        said = self.rest(run, code)
        self.assertEqual(self.ask(DUMP, cache=self.cache), self.wanted)
        self.assertIn("no damage found", self.massflow("cache", "verify", "--cache", self.cache))
        for folder in (self.cache, f"{self.cache}-w", f"{self.cache}-second"):
            shutil.rmtree(self.path(folder), ignore_errors=True)
        return said

    @staticmethod
    def resident(process):
        """Bytes of memory; 0 where it has ended."""
        try:
            with open(f"/proc/{process.pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * resource.getpagesize()
        except (OSError, IndexError):
            return 0


class Sound(Workers):
    def test_two_workers(self):
        run, where = self.run_graph()
        first, second = self.worker(where), self.worker(where, "second")
        self.assertIn("finished: 4 run", self.check(run))
        self.rest(first)
        self.rest(second)

    def test_asked_to_end(self):
        """States are saved in the run's cache, and the node goes on elsewhere."""
        run, where = self.run_graph()
        first = self.worker(where)
        self.until(run, "^start    ")
        first.send_signal(signal.SIGTERM)
        self.until(run, "takes no new nodes: it was asked to end")
        second = self.worker(where, "second")
        self.check(run)
        self.rest(first)
        self.rest(second)

    def test_cancelled(self):
        """Ctrl-C at the run: it ends, and so does the worker."""
        run, where = self.run_graph()
        self.until(run, "no worker|waiting|cached")
        first = self.worker(where)
        self.until(run, "^start    ")
        run.send_signal(signal.SIGINT)
        self.rest(run, 130)
        self.rest(first)


    def test_run_killed_and_started_again(self):
        """The worker joins the next run by itself; what it has made or read lies in its cache."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        run, where = self.run_graph(port)
        first = self.worker(where)
        self.until(run, "^start    ")
        run.kill()
        run.wait()
        run, where = self.run_graph(port, again=True)
        self.check(run)
        self.assertIn("joining again", self.rest(first))


class Disturbed(Workers):
    def disturbed(self, what, side, number):
        """Whether the message was there to be disturbed."""
        run, where = self.run_graph()
        counts = self.path(f"{self.cache}-counts")
        first = self.worker(where, MASSFLOW_MESSAGE=f"{what} {side} {number}", MASSFLOW_MESSAGE_COUNT=counts,
                            **preloading(options.messages))
        first.wait(self.TIMEOUT)
        if first.returncode:
            second = self.worker(where, "second")
            self.check(run)
            self.rest(second)
        else:  # it came to its end all the same: it joined again, or there was no such message
            self.check(run)
        with open(counts, encoding="ascii") as file:
            return int(file.read().split()[side == "in"]) >= number

    def each(self, what, side, few):
        """Those messages, or each so many of all that there are."""
        tried = 0
        for number in few if not options.every else itertools.count(1, options.every):
            with self.subTest(what=what, side=side, number=number):
                if not self.disturbed(what, side, number):
                    break
                tried += 1
        if options.every:
            print(f"{what} {side}: {tried} messages", flush=True)

    def test_killed_before_a_message(self):
        self.each("kill", "out", (9,))

    def test_killed_within_a_message(self):
        self.each("half", "out", (7,))

    def test_killed_at_a_message_that_it_hears(self):
        self.each("kill", "in", (5,))

    def test_cut(self):
        self.each("cut", "out", (8,))

    def test_a_bit_flipped_on_the_way(self):
        self.each("flip", "out", (6,))

    def test_a_bit_flipped_on_the_way_back(self):
        self.each("flip", "in", (4,))

    @unittest.skipUnless(options.every, "of the long form")
    def test_cut_on_the_way_back(self):
        self.each("cut", "in", ())


class Ahead(Workers):
    """Short nodes wait at a worker. One of them takes long all of a sudden: those behind it run elsewhere."""

    CASES, LONG = 40, 20

    def prepare(self):
        self.write("cases.csv", "id,seconds\n" + "".join(
            f"c{i:02},{5 if i == self.LONG else 0.01}\n" for i in range(self.CASES)))
        self.write("g.yaml", """massflow: 1
cases: {csv: cases.csv}
stages:
  t: {use: exec.run, each: case, with: {command: "sh -c 'sleep ${case.seconds}; echo ${case.id} >{out.text}'"}}
""")
        type(self).wanted = None

    def test_taken_back(self):
        self.runs, self.cache = 1, "cache-ahead"
        run = self.start("run", "g.yaml", "--cache", self.cache, "--listen", "127.0.0.1:0", "--token", "token",
                         "--local", "0", "--log", "json")
        where = self.until(run, r"listening at (127\.0\.0\.1:\d+)").group(1)
        workers = [self.start("worker", "--connect", where, "--token", "token", "--cache", f"{self.cache}-{name}",
                              "--slots", "1", "--retry", "5") for name in ("first", "second")]
        events = [json.loads(line) for line in self.rest(run).splitlines() if line.startswith("{")]
        for worker in workers:
            self.rest(worker)
        done = [event for event in events if event["event"] == "done"]
        self.assertEqual(len(done), self.CASES)
        self.assertEqual(done[-1]["node"], f"t[case=c{self.LONG}]")
        self.assertEqual(len({event["worker"] for event in done}), 2)


class Links(Workers):
    def test_late_and_cut_in_chunks(self):
        """20 ms each way, and the connection is reset after so many bytes: inside chunks of the volume."""
        run, where = self.run_graph()
        with Relay(where, delay=0.02, cut=(8000, 20000, 60000)) as relay:
            first = self.worker(relay.address)
            self.check(run)
            self.rest(first)
        self.assertEqual(relay.cuts, 3)


# A node that says that it begins, and waits for a file.
GATE = """massflow: 1
stages:
  gate:
    use: exec.run
    with: {{command: "sh -c 'echo x >>{folder}/begun; until [ -e {folder}/go ]; do sleep 0.02; done; echo y >{{out.text}}'"}}
"""


class Away(Workers):
    """The run is killed; the worker goes on meanwhile."""

    ONE_FOLDER = False

    def setUp(self):
        Massflow.setUp(self)
        super().setUp()
        self.write("g.yaml", GATE.format(folder=self.folder))
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]

    def prepare(self):
        """Each test has a folder of its own."""

    def begun(self):
        try:
            return self.read("begun")
        except FileNotFoundError:
            return ""

    def killed(self):
        """A run whose node was begun by a worker, and which was killed then."""
        run, where = self.run_graph(self.port)
        first = self.worker(where)
        self.wait_for("the node is begun", self.begun, run, first)
        run.kill()
        run.wait()
        return first

    def again(self):
        return self.run_graph(self.port, again=True)[0]

    def finished(self, run, worker):
        """The node was computed once."""
        self.assertIn("finished: 1 run", self.rest(run))
        self.rest(worker)
        self.assertEqual(self.begun(), "x\n")
        self.assertIn("no damage found", self.massflow("cache", "verify", "--cache", self.cache))

    def test_what_still_runs_is_taken_over(self):
        worker = self.killed()
        run = self.again()
        self.until(run, "^start    gate")
        self.write("go", "")
        self.finished(run, worker)

    def test_what_has_ended_is_handed_in(self):
        worker = self.killed()
        self.until(worker, "joining again")
        self.write("go", "")
        self.wait_for("the command has ended", lambda: not self.commands(worker), worker)
        self.finished(self.again(), worker)

    @staticmethod
    def commands(worker):
        """Processes that the worker has started."""
        with open(f"/proc/{worker.pid}/task/{worker.pid}/children", encoding="ascii") as file:
            children = file.read().split()
        found = []
        for task in os.listdir(f"/proc/{worker.pid}/task"):
            try:
                with open(f"/proc/{worker.pid}/task/{task}/children", encoding="ascii") as file:
                    found += file.read().split()
            except OSError:
                pass
        return children + found

    def test_killed_at_random(self):
        """Three times within one run; what comes of it is as if nobody had."""
        self.write("go", "")
        self.write("g.yaml", GRAPH)
        self.massflow("run", "g.yaml", "--cache", "alone")
        type(self).wanted = self.ask(DUMP, cache="alone")
        drawn = random.Random(1)
        run, where = self.run_graph(self.port)
        worker = self.worker(where)
        for _ in range(3):
            time.sleep(drawn.uniform(0.1, 0.6))
            run.kill()
            run.wait()
            run = self.again()
        self.check(run)
        worker.communicate(timeout=self.TIMEOUT)


class Floods(Workers):
    LINES = 40000

    def test_lines_have_room(self):
        """A stage that says more than anybody can hear: neither end keeps it, and what is left out is counted."""
        self.write("flood.yaml", "massflow: 1\nstages:\n  t: {use: exec.run, with: {command: \"sh -c 'yes %s | head -n %d; "
                   "echo a >{out.text}'\"}}\n" % ("x" * 900, self.LINES))
        self.runs, self.cache = 1, "cache-flood"
        run = self.start("run", "flood.yaml", "--cache", self.cache, "--listen", "127.0.0.1:0", "--token", "token",
                         "--local", "0")
        where = self.until(run, r"listening at (127\.0\.0\.1:\d+)").group(1)
        with Relay(where, delay=0.02) as relay:
            worker = self.worker(relay.address)
            self.until(run, "^start    t")
            before = {p.pid: self.resident(p) for p in (run, worker)}
            most = {}
            said = ""
            for line in run.stdout:
                said = line
                for process in (run, worker):
                    most[process.pid] = max(most.get(process.pid, 0), self.resident(process))
            self.assertEqual(run.wait(self.TIMEOUT), 0)
            self.rest(worker)
        self.assertIn("finished: 1 run", said)
        shown = self.massflow("log", "flood.yaml", "t", "--cache", self.cache)
        self.assertRegex(shown, "dropped")
        if not sanitized():
            for process in (run, worker):
                self.assertLess(most[process.pid] - before[process.pid], 20 << 20)


class Strangers(Workers):
    def test_a_thousand_connections(self):
        """That say nothing, or nonsense: a worker joins all the same, and memory does not grow."""
        run, where = self.run_graph()
        host, port = where.split(":")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = 1000 if options.every else 200
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
        before = most = self.resident(run)
        sockets = []
        for i in range(count):
            most = max(most, self.resident(run))
            sockets.append(socket.create_connection((host, int(port))))
            if i % 3 == 0:
                sockets[-1].sendall(b"x" * 300)
        # Of a stranger it keeps a socket and a few hundred bytes. The nodes come with the worker, which waits.
        if not sanitized():
            self.assertLess(max(most, self.resident(run)) - before, 4 << 20)
        first = self.worker(where)
        self.check(run)
        self.rest(first)
        for s in sockets:
            s.close()

    def test_another_token(self):
        run, where = self.run_graph()
        self.write("other", "x" * 40)
        os.chmod(self.path("other"), 0o600)
        wrong = self.ended(self.line("worker", "--connect", where, "--token", "other", "--retry", "0"), 1)
        self.assertEqual(wrong.stderr, f"massflow: error: {where} refused the token\n"
                                       "  give run and worker the same token file\n")
        os.chmod(self.path("other"), 0o644)
        wrong = self.ended(self.line("worker", "--connect", where, "--token", "other", "--retry", "0"), 2)
        self.assertRegex(wrong.stderr, "can be read by others than its owner")
        first = self.worker(where)
        said = self.check(run)
        self.assertTrue(re.search("was refused: it does not know the token", said), said)
        self.rest(first)


class Files(Massflow):
    """Stages that read files, at a worker. A path through /proc/self/cwd leads each process to its own folder, as
    a path leads two machines to files of their own."""

    PLUGINS = (options.steps,)
    TIMEOUT = 40
    GRAPH = """massflow: 1
params: {data: /proc/self/cwd, scripts: scripts}
stages:
  ct: {use: volume.load, with: {path: "${data}/ct.mhd"}}
  labels: {use: labels.load, with: {path: "${data}/labels.nii.gz"}}
  words:
    use: exec.run
    with: {command: "{files}/say {out.text}", files: "${scripts}"}
"""

    def setUp(self):
        super().setUp()
        self.write("phantom.yaml", "massflow: 1\nstages:\n  patient: {use: phantom.volume, with: "
                                   "{size: [24, 20, 16], spacing: [8, 8, 8], seed: 3}}\n")
        self.massflow("run", "phantom.yaml")
        self.massflow("get", "phantom.yaml", "patient.labels", "-o", "labels.nii.gz")
        self.write("ct.mhd", "ObjectType = Image\nNDims = 3\nDimSize = 9 8 7\nElementSpacing = 1 2 3\n"
                             "ElementType = MET_UCHAR\nElementDataFile = ct.raw\n")
        self.write("ct.raw", bytes(i * i % 251 for i in range(9 * 8 * 7)))
        os.makedirs(self.path("scripts/below/deep"))
        for i in range(40):
            self.write(f"scripts/below/deep/{i}.txt", f"{i}\n" * i)
        self.write("scripts/none.txt", "")
        self.write("scripts/say", '#!/bin/sh\nf=$(dirname "$0")\ncat "$f"/below/deep/*.txt "$f/none.txt" > "$1"\n')
        os.chmod(self.path("scripts/say"), 0o755)
        self.write("g.yaml", self.GRAPH)
        os.mkdir(self.path("far"))

    def run_there(self, cache, code=0, folder="far", scripts="/proc/self/cwd/scripts", size="1GB",
                  change=None, cut_back=()):
        """A run whose nodes are all at one worker, in another folder; what it says. The link is cut after so many bytes
        that the run has sent."""
        run = self.start("run", "g.yaml", "--cache", cache, "--listen", "127.0.0.1:0", "--token", "token", "--local", "0",
                         "--set", f"scripts={scripts}")
        where = self.until(run, r"listening at (127\.0\.0\.1:\d+)").group(1)
        with Relay(where, cut_back=cut_back) as relay:
            worker = self.popen([MASSFLOW, "worker", "--connect", relay.address if cut_back else where, "--token",
                                 self.path("token"), "--cache", self.path("worker"), "--slots", "2", "--cache-size", size,
                                 "--plugins", self.path("plugins")], cwd=self.path(folder))
            if change:
                change(run)
            said = self.rest(run, code)
            self.rest(worker)
        self.assertEqual(relay.cuts, len(cut_back))
        return said

    def ids(self, cache):
        return self.ask(DUMP, cache=cache)

    def copies(self):
        """Each copy at the worker, with its files."""
        top = self.path("worker/files")
        return {copy: sorted(os.path.relpath(os.path.join(folder, file), os.path.join(top, copy))
                             for folder, _, files in os.walk(os.path.join(top, copy)) for file in files)
                for copy in os.listdir(top)}

    def test_read_in_place_and_copied(self):
        self.massflow("run", "g.yaml", "--cache", "alone")
        self.run_there("beside", folder=".", scripts="scripts")
        self.assertEqual(self.ids("beside"), self.ids("alone"))
        self.assertEqual(self.copies(), {})
        # Something else lies under that name there: it is not read.
        self.write("far/labels.nii.gz", b"no scan")
        self.run_there("copied")
        self.assertEqual(self.ids("copied"), self.ids("alone"))
        scripts = sorted([f"scripts/below/deep/{i}.txt" for i in range(40)] + ["scripts/none.txt", "scripts/say"])
        self.assertEqual(sorted(self.copies().values()), [["ct.mhd", "ct.raw"], ["labels.nii.gz"], scripts])
        # Once more, from the copies; one is damaged, and is made anew.
        [raw] = [self.path(f"worker/files/{copy}/ct.raw") for copy in self.copies() if "ct.mhd" in self.copies()[copy]]
        data = self.read_bytes(raw)
        self.write(raw, data[:-1] + bytes([data[-1] ^ 1]))
        before = {copy: os.stat(self.path(f"worker/files/{copy}")).st_ctime_ns for copy in self.copies()}
        self.run_there("again")
        self.assertEqual(self.ids("again"), self.ids("alone"))
        self.assertEqual(self.read_bytes(raw), data)
        self.assertEqual(sum(os.stat(self.path(f"worker/files/{copy}")).st_ctime_ns != time
                             for copy, time in before.items()), 1)

    def test_link_lost_in_a_copy(self):
        """The worker joins again, and has whole files in the end."""
        self.write("ct.mhd", "ObjectType = Image\nNDims = 3\nDimSize = 150 140 130\nElementSpacing = 1 2 3\n"
                             "ElementType = MET_UCHAR\nElementDataFile = ct.raw\n")
        noise = random.Random(5).randbytes(150 * 140 * 130)
        self.write("ct.raw", noise)
        self.massflow("run", "g.yaml", "--cache", "alone")
        said = self.run_there("cut", cut_back=(150_000, 1_000_000, 1_400_000))
        self.assertEqual(self.ids("cut"), self.ids("alone"), said)
        self.massflow("cache", "verify", "--cache", "cut")
        [copy] = [copy for copy, files in self.copies().items() if "ct.raw" in files]
        self.assertEqual(self.read_bytes(self.path(f"worker/files/{copy}/ct.raw")), noise)
        self.assertEqual(len(self.copies()), 3)  # nothing half is left

    def test_errors_name_the_users_path(self):
        self.write("labels.nii.gz", b"no scan")
        for said in (self.run_there("there", 1), self.massflow("run", "g.yaml", "--cache", "alone", code=1)):
            self.assertIn("failed: labels\n  /proc/self/cwd/labels.nii.gz: is not a NIfTI file: text, 7 bytes, too "
                          "few for a header\n", said)

    def test_no_room(self):
        """A file larger than half of the worker's cache: the node fails, and the worker stays."""
        self.write("ct.mhd", "ObjectType = Image\nNDims = 3\nDimSize = 100 90 80\nElementType = MET_UCHAR\n"
                             "ElementDataFile = ct.raw\n")
        self.write("ct.raw", bytes(100 * 90 * 80))
        said = self.run_there("there", 1, size="1MB")
        self.assertRegex(said, r"failed: ct\n  the worker's cache '.*' has no room for 0.7 MB of input files: half of it, "
                               r"0.5 MB, is for them\n  give it more with --cache-size")
        self.assertIn("2 run, 0 cached, 1 failed", said)

    def test_changed_during_the_run(self):
        """After it was planned, and before the worker asks for it."""
        self.write("g.yaml", self.GRAPH + """  after:
    use: exec.run
    in: {text: words}
    with: {command: "{files}/copy {text} {out.text}", files: "${data}/more"}
""")
        os.mkdir(self.path("more"))
        self.write("more/copy", "#!/bin/sh\ncp $1 $2\n")
        self.write("scripts/say", "#!/bin/sh\nsleep 0.5\necho x > $1\n")

        def change(run):
            self.until(run, "^start .*words")
            self.write("more/copy", "#!/bin/sh\necho other > $2\n")
        said = self.run_there("there", 1, change=change)
        self.assertRegex(said, r"failed: after\n  /proc/self/cwd/more changed after the run was planned \(last: copy\): "
                               r"the result was discarded\n")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
