#!/usr/bin/env python3
"""Runs graphs through the command: test_run.py MASSFLOW COUNTING.so

The stages of counting.c write down each time they run, so that a test can say exactly which did.
"""
import os
import re
import resource
import shutil
import signal
import struct
import unittest

from harness import CHAIN, WAIT, Pipeline, main

STREAM = """massflow: 1
params: {threads: "1", seed: "1", first: "0", broken: "-1"}
stages:
  numbers: {use: count.numbers, with: {seed: "${seed}", broken: "${broken}"}}
  rows: {use: count.collect, in: {items: numbers},
         with: {threads: "${threads}", first: "${first}", count: 20}}
"""


class Caching(Pipeline):
    def test_nothing_changed_runs_nothing(self):
        out = self.massflow("run")
        self.assertIn("finished: 10 run, 0 cached in", out)
        self.assertEqual(self.counts(), {"load": 3, "upper": 3, "add": 3, "join": 1})
        out = self.massflow("run")
        self.assertIn("finished: 0 run, 10 cached in", out)
        self.assertEqual(self.runs(), [])

    def test_a_parameter_reruns_what_depends_on_it(self):
        self.massflow("run")
        self.runs()
        out = self.massflow("plan", "--set", "suffix=?")
        self.assertIn("more                      3 to run      parameter suffix: ! -> ?\n", out)
        self.assertIn("all                       1 undecided   depends on more[case=a]\n", out)
        self.assertEqual(self.runs(), [])
        self.massflow("run", "--set", "suffix=?")
        self.assertEqual(self.counts(), {"add": 3, "join": 1})
        self.massflow("run")  # the old results are still there
        self.assertEqual(self.runs(), [])

    def test_forced_nodes_run_though_they_are_known(self):
        """What comes out is as before: what reads it stays cached."""
        self.massflow("run")
        self.runs()
        out = self.massflow("plan", "--force", "upper[case=b]", "--force", "all")
        self.assertRegex(out, r"upper +2 cached\nupper +1 to run +asked for again, by --force\n")
        self.assertRegex(out, r"more +1 undecided +depends on upper\[case=b\]\n")
        self.assertIn("finished: 2 run, 8 cached in", self.massflow("run", "--force", "upper[case=b]", "--force", "all"))
        self.assertEqual(self.runs(), ["join ", "upper text b"])
        self.assertIn("upper[case=b]: cached", self.massflow("why", "upper[case=b]"))
        self.massflow("run", "--force", "text")
        self.assertEqual(self.counts(), {"load": 3})

    def test_what_can_not_be_forced(self):
        self.assertIn("error: --force: more[case=a] is not part of this run\n", self.massflow(
            "run", "upper", "--force", "more[case=a]", code=2))
        self.assertIn("error: graph.yaml has no stage 'mor'", self.massflow("run", "--force", "mor", code=2))
        self.assertIn("error: --force takes nodes, without an output: 'more[case=a]'\n",
                      self.massflow("run", "--force", "more.text", code=2))
        self.assertEqual(self.runs(), [])

    def test_a_file_reruns_its_chain_and_the_gather(self):
        self.massflow("run")
        self.runs()
        self.write("scans/b.txt", "other b\n")
        self.massflow("run")
        self.assertEqual(self.runs(), ["add OTHER B", "join ", "load other b", "upper other b"])

    def test_same_bytes_stop_there(self):
        self.massflow("run")
        self.runs()
        self.write("scans/b.txt", "tExT b\n")
        out = self.massflow("run")
        self.assertEqual(self.runs(), ["load tExT b", "upper tExT b"])
        self.assertIn("finished: 2 run, 8 cached in", out)

    def test_a_touched_file_is_the_same_file(self):
        self.massflow("run")
        self.runs()
        os.utime(self.path("scans/a.txt"))
        self.massflow("run")
        self.assertEqual(self.runs(), [])

    def test_two_cases_of_one_content_run_once(self):
        self.write("scans/b.txt", "text a\n")
        self.massflow("run")
        self.assertEqual(self.counts(), {"load": 2, "upper": 2, "add": 2, "join": 1})
        out = self.massflow("show", "all")
        self.assertIn("a     TEXT A!\nb     TEXT A!\nc     TEXT C!\n", out)

    def test_targets_run_what_they_need(self):
        self.massflow("run", "upper[case=b]")
        self.assertEqual(self.runs(), ["load text b", "upper text b"])
        self.massflow("run", "upper")
        self.assertEqual(self.counts(), {"load": 2, "upper": 2})
        self.massflow("run", "--case", "a", "more")
        self.assertEqual(self.runs(), ["add TEXT A"])

    def test_a_new_case_reruns_the_gather(self):
        self.massflow("run")
        self.runs()
        self.write("scans/d.txt", "text d\n")
        self.massflow("run")
        self.assertEqual(self.runs(), ["add TEXT D", "join ", "load text d", "upper text d"])
        self.assertIn("  elements of input texts: 3 -> 4\n", self.massflow("why", "all"))

    def test_dry_run_runs_nothing(self):
        self.massflow("run", "--dry-run")
        self.assertEqual(self.runs(), [])
        self.assertFalse(os.path.exists(self.path(".massflow")))

    def test_another_cache(self):
        self.massflow("run", "--cache", "elsewhere")
        self.assertTrue(os.path.exists(self.path("elsewhere/cache.db")))
        self.assertFalse(os.path.exists(self.path(".massflow")))


class Why(Pipeline):
    def test_why_names_the_component(self):
        self.massflow("run")
        self.assertIn("more[case=a]: cached\n", self.massflow("why", "more[case=a]"))
        self.assertEqual(self.massflow("why", "more[case=a]", "--set", "suffix=?"),
                         "more[case=a]: to run\n  parameter suffix: ! -> ?\n")
        self.write("scans/a.txt", "other a\n")
        out = self.massflow("why", "text[case=a]")
        self.assertRegex(out, r"^text\[case=a\]: to run\n"
                              r"  content of path: [0-9a-f]{12} -> [0-9a-f]{12}\n$")
        out = self.massflow("why", "more[case=a]")
        self.assertTrue(out.startswith(
            "more[case=a]: undecided: depends on the result of text[case=a]\ntext[case=a]: to run\n"),
            out)

    def test_why_never_run(self):
        self.assertEqual(self.massflow("why", "text[case=a]"), "text[case=a]: to run: never run\n")

    def test_why_a_stream(self):
        self.write("graph.yaml", STREAM)
        self.massflow("run")
        self.assertEqual(self.massflow("why", "rows", "--set", "seed=2"),
                         "rows: to run\n  input items: parameter seed: 1 -> 2\n")


class Failures(Pipeline):
    def test_other_cases_go_on(self):
        self.write("scans/b.txt", "bad b\n")
        out = self.massflow("run", code=1)
        self.assertEqual(self.counts(), {"load": 3, "upper": 3, "add": 3})
        self.assertIn("finished: 8 run, 0 cached, 1 failed, 1 blocked in", out)
        self.assertIn("blocked  all: needs more[case=b]; 'skip_failed: true' at 'all' would continue without it\n", out)
        self.assertIn("the text holds 'BAD'\n", out)
        self.assertIn("  retry: massflow run graph.yaml 'more[case=b]' --plugins 'plugins'\n", out)
        # Nothing of it is kept as a result, and all else is.
        self.massflow("run", code=1)
        self.assertEqual(self.runs(), ["add BAD B"])
        self.write("scans/b.txt", "text b\n")
        self.massflow("run")
        self.assertEqual(self.runs(), ["add TEXT B", "join ", "load text b", "upper text b"])

    def test_fail_fast_stops(self):
        for name in "abc":
            self.write(f"scans/{name}.txt", f"bad {name}\n")
        self.massflow("run", "--fail-fast", "-j", "1", code=1)
        self.assertEqual(self.counts()["add"], 1)

    def test_a_bad_graph_runs_nothing(self):
        self.write("graph.yaml", CHAIN.replace("suffix: \"${suffix}\"", "sufix: x"))
        out = self.massflow("run", code=2)
        self.assertIn("unknown parameter 'sufix'", out)
        self.assertEqual(self.runs(), [])
        self.assertFalse(os.path.exists(self.path(".massflow")))

    def test_an_unknown_target(self):
        self.massflow("run", "mroe", code=2)
        self.assertEqual(self.runs(), [])

    def test_a_cache_that_cannot_be_written_stops_the_run(self):
        self.massflow("run", "text[case=a]")
        self.runs()
        for i in range(200):
            self.write(f"scans/{i}.txt", f"text {i}\n")
        largest = max(os.path.getsize(self.path(f".massflow/{n}"))
                      for n in os.listdir(self.path(".massflow")))

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 65536, largest + 65536))

        done = self.ended(self.line("run"), 1, preexec_fn=limit)
        self.assertIn("massflow: error: ", done.stderr)
        self.assertLess(self.counts().get("add", 0), 203)
        self.massflow("run")

    def test_no_device(self):
        self.write("graph.yaml", "massflow: 1\nstages:\n  x: {use: count.kernel}\n")
        self.assertIn('no OpenCL device matches "nonesuch"',
                      self.massflow("run", "--device", "nonesuch", code=2))
        self.assertEqual(self.runs(), [])

    def test_outputs_are_checked(self):
        self.write("graph.yaml", "massflow: 1\nparams: {how: none}\n"
                   "stages:\n  x: {use: count.careless, with: {how: \"${how}\"}}\n")
        self.assertIn("count.careless ended without its output 'features'",
                      self.massflow("run", code=1))
        self.assertIn("output 'features': a features needs an array 'values'",
                      self.massflow("run", "--set", "how=empty", code=1))


class Devices(Pipeline):
    def test_launch(self):
        self.write("graph.yaml", "massflow: 1\ncases: {glob: \"scans/{id}.txt\"}\nstages:\n"
                   "  text: {use: count.load, each: case, with: {path: \"${case.path}\"}}\n"
                   "  y: {use: count.kernel, each: case, in: {text: text},"
                   " with: {size: 5, add: 2}}\n")
        self.massflow("run", "y")
        # All cases share one session.
        self.assertEqual(self.counts(), {"load": 3, "kernel": 3, "open": 1})
        self.massflow("get", "y[case=b]", "-o", "y.npy")
        data = self.read_bytes("y.npy")[-5 * 4:]
        self.assertEqual(struct.unpack("<5f", data), (2, 3, 6, 11, 18))

    def test_two_devices_at_once(self):
        """Two tasks on two halves of the CPU: each waits until the other has started too."""
        self.write("graph.yaml", "massflow: 1\nparams: {add: 2}\n"
                   "stages:\n"
                   "  one: {use: count.kernel, with: {add: \"${add}\", together: 2}}\n"
                   "  two: {use: count.kernel, with: {add: 5, together: 2}}\n")
        self.massflow("run", "--device", "cpu/2", "-j", "2")
        self.assertEqual(self.counts(), {"kernel": 2, "open": 2})
        devices = [device for device, in self.ask("SELECT DISTINCT device FROM action")]
        self.assertEqual(len(devices), 1) # the parts are alike
        self.assertRegex(devices[0], r" / 2$")
        # What a part made is good for the whole.
        self.massflow("run", "--device", "cpu")
        self.assertEqual(self.runs(), [])

    def test_same_device(self):
        """Results of another kind of device can be left out; those of the host never are."""
        self.write("graph.yaml", "massflow: 1\nstages:\n"
                   "  text: {use: count.load, with: {path: scans/a.txt}}\n"
                   "  x: {use: count.kernel, in: {text: text}}\n")
        self.massflow("run", "--device", "cpu/2.0")
        self.assertEqual(self.counts(), {"load": 1, "kernel": 1, "open": 1})
        self.assertRegex(self.massflow("plan", "--device", "cpu", "--same-device"),
                         r"text +1 cached\nx +1 to run")
        self.massflow("run", "--device", "cpu", "--same-device")
        self.assertEqual(self.counts(), {"kernel": 1, "open": 1})
        for words in ("cpu", "cpu/2"):
            self.massflow("run", "--device", words, "--same-device")
            self.assertEqual(self.runs(), [])
        self.assertRegex(self.massflow("run", "--device", "cpu,cpu/2", "--same-device", code=2),
                         "massflow: error: --same-device: (.+) and \\1 / 2 are different devices\n"
                         "  choose devices of one kind with --device\n")

    def test_devices_are_checked(self):
        self.write("graph.yaml", "massflow: 1\nstages:\n  x: {use: count.kernel}\n")
        for words, message in (
                ("cpu,cpu", "device 0 (NAME) is chosen twice"),
                ("cpu/2,0/2.1", "device 0/2.1 (NAME / 2) is chosen twice"),
                ("cpu/0", "a device can't be cut in 0 parts"),
                ("cpu/2.2", "of 2 parts of a device the last is 1"),
                ("cpu,abacus", 'no OpenCL device matches "abacus"'),
                ("cpu/999", "can't be cut in 999 parts")):
            out = self.massflow("run", "--device", words, code=2)
            out = re.sub(r" \(.*?( / 2)?\) is", r" (NAME\1) is", out)
            self.assertIn("massflow: error: ", out)
            self.assertIn(message, out)
        self.assertEqual(self.runs(), [])


class Data(Pipeline):
    """Results whose data is gone or damaged."""

    def setUp(self):
        super().setUp()
        self.write("graph.yaml", "massflow: 1\nparams: {times: \"1\"}\n"
                   "cases: {glob: \"scans/{id}.txt\"}\nstages:\n"
                   "  text: {use: count.load, each: case, with: {path: \"${case.path}\"}}\n"
                   "  y: {use: count.kernel, each: case, in: {text: text}, with: {size: 5000}}\n"
                   "  s: {use: count.sum, each: case, in: {features: y}, "
                   "with: {times: \"${times}\"}}\n")
        self.write("scans/b.txt", "text a\n")
        self.massflow("run")
        self.runs()

    def test_dropped_data_is_made_again_where_it_is_needed(self):
        self.change("update artifact set present = 0 where type != 'table'")
        self.massflow("run")
        self.assertEqual(self.runs(), [])
        out = self.massflow("plan", "--set", "times=2")
        self.assertIn("text                      3 to run      its data was deleted, and y[case=a] needs it\n",
                      out)
        self.assertIn("s                         3 to run      parameter times: 1 -> 2\n", out)
        self.massflow("run", "s[case=a]", "--set", "times=2")
        self.assertEqual(self.counts(), {"load": 1, "open": 1, "kernel": 1, "sum": 1})
        self.massflow("get", "s[case=a]", "--set", "times=2", "-o", "s.csv")
        total = sum(struct.unpack("<f", struct.pack("<f", i * i))[0] for i in range(5000))
        self.assertEqual(self.read("s.csv"), f"sum\n{int(2 * total)}\n")

    def test_damaged_data_is_reported_and_made_again(self):
        self.change("update chunk_data set bytes = zeroblob(length(bytes))", file="chunks.db")
        out = self.massflow("run", "--set", "times=2", code=1)
        self.assertIn("failed   s[case=a]: ", out)
        self.runs()
        self.massflow("run", "--set", "times=2")
        self.assertEqual(self.counts()["sum"], 1)  # all cases have the same squares


class Stopping(Pipeline):
    GRAPH = WAIT

    def test_interrupted(self):
        process = self.start("run", "-j", "2")
        self.until_logged("wait", 2, process)
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=60)[0]
        self.assertEqual(process.returncode, 130, out)
        self.assertIn("interrupted: 3 run, 0 cached, 3 left in", out)
        self.runs()
        self.write("go", "")
        self.massflow("run", "--set", "file=" + self.path("go"))
        self.assertEqual(self.counts(), {"wait": 3})

    def test_killed(self):
        process = self.start("run", "-j", "2")
        self.until_logged("wait", 2, process)
        process.kill()
        process.communicate()
        self.runs()
        self.write("go", "")
        self.massflow("run", "--set", "file=" + self.path("go"))
        self.assertEqual(self.counts(), {"wait": 3})


class Streams(Pipeline):
    GRAPH = STREAM

    def rows(self, *words):
        self.massflow("run", "-j", "4", *words)
        self.massflow("get", "rows", "-o", "rows.json", *words)
        return self.read_json("rows.json")["rows"]

    def test_order_and_threads(self):
        one = self.rows("--cache", "one")
        four = self.rows("--cache", "four", "--set", "threads=4")
        self.assertEqual([row["item"] for row in one], list(range(20)))
        self.assertEqual(len({row["value"] for row in one}), 20)
        self.assertEqual(one, four)

    def test_seek(self):
        whole = self.rows()
        later = self.rows("--set", "first=7", "--set", "threads=3")
        self.assertEqual(later[:13], whole[7:])

    def test_threads_are_no_part_of_the_key(self):
        self.rows()
        self.runs()
        self.rows("--set", "threads=2")
        self.assertEqual(self.runs(), [])
        self.rows("--set", "seed=2")
        self.assertEqual(self.counts(), {"collect": 1})

    def test_a_broken_item(self):
        out = self.massflow("run", "--set", "broken=5", "--set", "threads=3", code=1)
        self.assertIn("item 5 of numbers: this item is broken", out)


class Files(Pipeline):
    def test_get_and_show(self):
        self.massflow("run")
        self.massflow("get", "all", "-o", "all.csv")
        self.assertEqual(self.read("all.csv"), "case,text\na,TEXT A!\nb,TEXT B!\nc,TEXT C!\n")
        self.massflow("get", "more[case=b]", "-o", "b.txt")
        self.assertEqual(self.read("b.txt"), "TEXT B!")
        self.assertIn("names 3 nodes", self.massflow("get", "more", "-o", "x.txt", code=2))
        self.assertIn("no writer takes a table by this suffix",
                      self.massflow("get", "all", "-o", "x.png", code=1))
        self.assertFalse([n for n in os.listdir(self.folder) if "writing" in n])
        self.assertIn("is not in the cache", self.massflow(
            "get", "all", "-o", "x.csv", "--set", "suffix=?", code=2))
        self.assertIn("suffixes for table: .csv, .json\n",
                      self.massflow("get", "all", "-o", "x.png", code=1))
        self.assertIn("table", self.massflow("cache", "ls", "table"))
        self.assertIn("actions    10\n", self.massflow("cache", "stat"))

    def test_get_of_several_nodes(self):
        self.massflow("run", "more[case=b]")
        self.assertEqual(self.massflow("get", "more", "-o", "some", code=2),
                         "massflow: error: 'more' names 3 nodes; take one of them: 'more[case=a]', 'more[case=b]', 'more[case=c]'\n"
                         "  all of them go into a folder: -o FOLDER/\n")
        self.assertIn("2 of 3 results are not in the cache, the first is more[case=a]; compute them by 'massflow run', "
                      "or add --skip-missing\n", self.massflow("get", "more", "-o", "some/", code=2))
        self.assertFalse(os.path.exists(self.path("some")))
        self.assertEqual(self.massflow("get", "more", "-o", "some/", "--skip-missing"), "some/more-case=b.txt\n")
        self.massflow("run")
        self.assertEqual(self.massflow("get", "more", "all", "more[case=b]", "-o", "every/").split(),
                         ["every/more-case=a.txt", "every/more-case=b.txt", "every/more-case=c.txt", "every/all.csv"])
        self.assertEqual(self.read("every/more-case=c.txt"), "TEXT C!")
        self.massflow("get", "more[case=a]", "-o", "every/", "--suffix", "json")
        self.assertIn("\"type\":\"text\"", self.read("every/more-case=a.json"))
        self.write("every/more-case=b.txt", "mine")
        self.assertIn("every/more-case=b.txt", self.massflow("get", "more", "-o", "every/", code=1))
        self.assertEqual(self.read("every/more-case=b.txt"), "mine")
        # What is of a case that is gone is named, and removed where that is asked for; not what is somebody's own.
        self.write("every/more-case=x.txt", "mine")
        os.rename(self.path("scans/c.txt"), self.path("c.txt"))
        out = self.massflow("get", "more[case=a]", "-o", "every/", "--force")
        self.assertEqual(out, "every/more-case=a.txt\nstale    every/more-case=c.txt\n1 file that massflow wrote there is "
                         "of nodes that the graph does not have now; --remove-stale removes it\n")
        self.assertIn("removed every/more-case=c.txt\n",
                      self.massflow("get", "more[case=a]", "-o", "every/", "--remove-stale"))
        self.assertEqual(sorted(os.listdir(self.path("every"))), [
            "all.csv", "more-case=a.json", "more-case=a.txt", "more-case=b.txt", "more-case=x.txt"])
        self.assertIn("--suffix, --skip-missing, --remove-stale and --nnunet are for results that go into a folder",
                      self.massflow("get", "all", "-o", "all.csv", "--suffix", "csv", code=2))
        self.assertIn("several results go into a folder: -o every.csv/",
                      self.massflow("get", "all", "more[case=a]", "-o", "every.csv", code=2))


    def test_exports_that_cannot_be_written_run_nothing(self):
        self.write("taken", "")
        self.write("graph.yaml", CHAIN + "export:\n  all: taken/all.csv\n")
        self.assertEqual(self.massflow("run", code=2), "massflow: error: graph.yaml:12:8: export of all: "
                         f"{self.path('taken')}: Not a directory\n")
        os.mkdir(self.path("all.csv"))
        self.write("graph.yaml", CHAIN + "export:\n  all: all.csv\n")
        self.assertEqual(self.massflow("run", code=2), "massflow: error: graph.yaml:12:8: export of all: "
                         f"{self.path('all.csv')}: is a folder, not a file\n"
                         "  name a file; one that is not there is made\n")
        self.assertEqual(self.runs(), [])
        # What is not wanted is not looked at.
        self.massflow("run", "upper")

    @unittest.skipIf(os.geteuid() == 0, "a read-only folder stops nobody who is root")
    def test_read_only_folders(self):
        os.mkdir(self.path("out"), 0o500)
        self.write("graph.yaml", CHAIN + "export:\n  all: out/x/all.csv\n")
        self.assertEqual(self.massflow("run", code=2), "massflow: error: graph.yaml:12:8: export of all: "
                         f"the folder {self.path('out')} cannot be written: Permission denied\n")
        self.assertEqual(self.runs(), [])
        shutil.rmtree(self.path(".massflow"))
        os.chmod(self.folder, 0o500)
        out = self.massflow("run", code=2)
        os.chmod(self.folder, 0o700)
        self.assertEqual(out, "massflow: error: while opening the cache: cannot make the cache folder "
                         f"'{self.path('.massflow')}': Permission denied\n"
                         "  --cache DIR puts the cache into another folder\n")

    def test_exports(self):
        self.write("graph.yaml", CHAIN + "export:\n  all: out/all.csv\n"
                   "  more: \"out/${case.id}.txt\"\n")
        out = self.massflow("run")
        self.assertEqual(out.count("wrote "), 4)
        self.assertEqual(self.read("out/b.txt"), "TEXT B!")
        self.assertNotIn("wrote", self.massflow("run"))
        # A case that is gone: its file is named, and removed where that is asked for.
        os.rename(self.path("scans/c.txt"), self.path("c.txt"))
        out = self.massflow("run")
        self.assertIn(f"stale    {self.path('out/c.txt')}\n1 file that this graph exported is of cases or parameters "
                      "that it does not have now; 'massflow run --remove-stale' removes it\n", out)
        self.assertIn(f"removed {self.path('out/c.txt')}\n", self.massflow("run", "--remove-stale"))
        self.assertFalse(os.path.exists(self.path("out/c.txt")))
        self.assertNotIn("stale", self.massflow("run"))
        os.rename(self.path("c.txt"), self.path("scans/c.txt"))
        self.massflow("run")
        # The same files by another path are no files of cases that are gone.
        os.symlink("out", self.path("way"))
        graph = self.read("graph.yaml")
        self.write("graph.yaml", graph.replace("out/$", "way/$"))
        out = self.massflow("run", "--remove-stale")
        self.assertNotIn("removed", out)
        self.write("graph.yaml", graph)
        self.assertNotIn("removed", self.massflow("run", "--remove-stale"))
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["a.txt", "all.csv", "b.txt", "c.txt"])
        # What is missing or is of another result is written again; what somebody changed is theirs.
        os.remove(self.path("out/b.txt"))
        self.write("out/c.txt", "mine")
        self.write("scans/a.txt", "new a")
        self.assertEqual(self.massflow("run", code=2),
                         f"massflow: error: graph.yaml:13:9: export of more[case=c]: {self.path('out/c.txt')}: "
                         "exists, and massflow did not write it or it has changed since\n"
                         "  --overwrite replaces it; or name another file\n")
        out = self.massflow("run", "--overwrite")
        self.assertEqual(sorted(os.path.basename(line) for line in out.splitlines()
                                if line.startswith("wrote ")),
                         ["a.txt", "all.csv", "b.txt", "c.txt"])
        self.assertEqual(self.read("out/c.txt"), "TEXT C!")


if __name__ == "__main__":
    main(2)
