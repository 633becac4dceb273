#!/usr/bin/env python3
"""What is told of runs: test_seeing.py MASSFLOW COUNTING.so (runs, log, events, plan, why)"""
import csv
import io
import json
import os
import re
import signal
import subprocess
import time

from harness import CHAIN, WAIT, Pipeline, main


class Runs(Pipeline):
    def test_runs_and_log(self):
        self.write("scans/b.txt", "bad b\n")
        self.massflow("run", code=1)
        out = self.massflow("runs")
        self.assertRegex(out, r"^    1  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  failed +(< 1|\d+) s  "
                              r"8 done, 1 failed, 1 blocked\n"
                              r"       massflow run graph\.yaml --plugins 'plugins'\n$")
        self.assertEqual(self.massflow("runs", "graph.yaml"), out)
        self.write("scans/b.txt", "text b\n")
        self.massflow("run", "more", "--set", "suffix=?")
        out = self.massflow("runs")
        self.assertRegex(out, r"^    2  .* done .* 5 done, 4 cached\n")
        out = self.massflow("log", "1")
        self.assertRegex(out, r"^run 1: massflow run graph\.yaml --plugins 'plugins'\n  failed in (< 1|\d+) s; "
                              r"8 done, 1 failed, 1 blocked\n  started .* massflow \d+\.\d+\.\d+, "
                              r"\d+ worker slots\n    0:00\.000  done      text\[case=")
        self.assertRegex(out, r"\n    0:\d\d\.\d\d\d  done      more\[case=a\]  \(\d+ ms\)\n"
                              r"    0:\d\d\.\d\d\d    adds '!'\n")
        self.assertIn("  blocked   all\n                needs more[case=b]; 'skip_failed: true' "
                      "at 'all' would continue without it\n", out)
        self.assertNotIn("  cached  ", self.massflow("log"))
        self.assertIn("  cached    upper[case=a]\n", self.massflow("log", "--all"))

    def test_log_of_a_node(self):
        self.write("scans/b.txt", "bad b\n")
        self.massflow("run", code=1)
        out = self.massflow("log", "more[case=b]")
        graph = os.path.join(os.path.realpath(self.folder), "graph.yaml")
        self.assertRegex(out, r"\n +0:\d\d\.\d\d\d  failed    more\[case=b\]  \(\d+ ms\)\n +0:\d\d\.\d\d\d    "
                              r"adds '!'\n +the text holds 'BAD'\n +peak resident memory \d+ MB, of massflow with "
                              r"all nodes that ran at the same time\n +key [0-9a-f]{12}\n +retry: massflow run " + re.escape(graph) +
                         r" 'more\[case=b\]'\n$")
        self.assertEqual(len(re.findall(r"more\[case=.\]  \(", self.massflow("log", "graph.yaml", "1",
                                                                        "more"))), 3)

    def test_refusals(self):
        self.assertIn("massflow: error: ", self.massflow("runs", code=2))
        self.massflow("run")
        self.assertEqual(self.massflow("log", "7", code=2),
                         "massflow: error: there is no run 7\n"
                         "  'massflow runs' lists the runs\n")
        self.assertEqual(self.massflow("log", "mroe", code=2),
                         "massflow: error: run 1 had no node 'mroe'\n")
        self.assertEqual(self.massflow("runs", "nowhere.yaml", code=2),
                         "massflow: error: 'nowhere.yaml' is not a file\n")
        self.write("other.yaml", CHAIN)
        self.assertEqual(self.massflow("log", "other.yaml", code=2),
                         "massflow: error: there are no runs yet\n")


class Experiments(Pipeline):
    """Parameters and metrics of earlier runs as a table."""

    GRAPH = CHAIN.replace("params:\n", "params:\n  dice: 0.5\n") + (
        "  score: {use: exec.run, with: {shell: true, command: \"printf 'label,dice\\\\nliver,${dice}\\\\nmean,${dice}\\\\n'"
        " > {out.table}\"}}\n")

    def setUp(self):
        super().setUp()
        for words in (("dice=0.5",), ("dice=0.75", "suffix=?"), ("dice=0.25", "suffix=?"), ("dice=0.5",)):
            self.massflow("run", *(word for value in words for word in ("--set", value)))

    def rows(self, *words):
        return json.loads(self.massflow("experiments", *words, "--format", "json"))

    def test_a_row_for_each_run_that_differs(self):
        rows = self.rows()
        self.assertEqual([(row["run"], row["more.suffix"], row["score.table.dice"]) for row in rows],
                         [(2, "?", 0.75), (3, "?", 0.25), (4, "!", 0.5)])
        self.assertEqual(set(rows[0]), {"run", "started", "status", "more.suffix", "score.command", "score.table.dice"})
        out = self.massflow("experiments", "--columns", "more.suffix,score.table.*")
        self.assertRegex(out, r"\Arun  started +status  more.suffix  score.table.dice\n"
                              r"  2  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  done    \? +0.75\n")

    def test_sorted_and_filtered(self):
        def runs(*words):
            return [row["run"] for row in self.rows(*words)]
        self.assertEqual(runs("--sort", "score.table.dice"), [3, 4, 2])
        self.assertEqual(runs("--sort", "-score.table.dice"), [2, 4, 3])
        self.assertEqual(runs("--sort", "-run"), [4, 3, 2])
        self.assertEqual(runs("--where", "run>=3"), [3, 4])
        self.assertEqual(runs("--where", "score.table.dice>=0.5"), [2, 4])
        self.assertEqual(runs("--where", "more.suffix=?", "--where", "score.table.dice<0.5"), [3])
        self.assertEqual(runs("--where", "more.suffix!=?"), [4])

    def test_long_tables(self):
        """Of a curve the end; of rows that are not one after another nothing, for none of them stands for all."""
        loop = "for i in $(seq 20); do echo $i,0.$i; done) > {out.table}"
        self.write("graph.yaml", "massflow: 1\nstages:\n" + "".join(
            f"  {name}: {{use: exec.run, with: {{shell: true, command: \"(echo {column},loss; {loop}\"}}}}\n"
            for name, column in (("curve", "step"), ("many", "case"))))
        self.massflow("run")
        self.assertEqual(self.rows("--where", "run=5")[0]["curve.table.loss"], 0.2)
        self.assertNotIn("many.table", self.massflow("experiments", "--list"))

    def test_csv(self):
        out = self.ended(self.line("experiments", "--columns", "score.*", "--format", "csv")).stdout
        rows = list(csv.DictReader(io.StringIO(out)))
        self.assertEqual([row["score.table.dice"] for row in rows], ["0.75", "0.25", "0.5"])
        self.assertIn("printf 'label,dice", rows[0]["score.command"])

    def test_names(self):
        out = self.massflow("experiments", "--list")
        self.assertIn("more.suffix  (differs)\n", out)
        self.assertIn("score.table.dice  (metric)\n", out)
        self.assertIn("error: there is no column 'score.table.dise'; did you mean 'score.table.dice'?",
                      self.massflow("experiments", "--sort", "score.table.dise", code=2))
        self.assertIn("error: --where takes COLUMN=VALUE", self.massflow("experiments", "--where", "x", code=2))
        self.assertIn("error: no column is named 'x*'", self.massflow("experiments", "--columns", "x*", code=2))
        self.assertIn("error: --format is 'text', 'csv' or 'json'", self.massflow("experiments", "--format", "x", code=2))


class Events(Pipeline):
    """run --log json: stdout holds nothing but events."""

    def events(self, *words, code=0):
        done = self.ended(self.line("run", *words, "--log", "json"), code)
        self.people = done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_every_event(self):
        self.write("scans/b.txt", "bad b\n")
        self.write("graph.yaml", CHAIN + "export: {text: \"out/${case.id}.txt\"}\n")
        events = self.events("-j", "1", code=1)
        self.assertIn("finished: 8 run, 0 cached, 1 failed, 1 blocked in", self.people)
        for event in events:
            self.assertEqual(event.pop("version"), 1)
            self.assertGreater(event.pop("time"), 1.7e9)
        self.assertEqual(events[0], {"event": "planned", "wanted": 10, "cached": 0, "imported": 0})
        self.assertIn({"event": "started", "node": "more[case=b]"}, events)
        self.assertIn({"event": "log", "node": "more[case=b]", "text": "adds '!'"}, events)
        self.assertIn({"event": "blocked", "node": "all", "text": "needs more[case=b]; "
                       "'skip_failed: true' at 'all' would continue without it"}, events)
        failed = [event for event in events if event["event"] == "failed"]
        self.assertEqual(len(failed), 1)
        self.assertLess(failed[0].pop("seconds"), 60)
        self.assertEqual(failed[0], {"event": "failed", "node": "more[case=b]",
                                     "error": "the text holds 'BAD'"})
        self.assertEqual(len([e for e in events if e["event"] == "done"]), 8)
        self.assertEqual([e for e in events if e["event"] == "export"],
                         [{"event": "export", "node": f"text[case={c}]", "written": True,
                           "path": os.path.join(os.path.realpath(self.folder), f"out/{c}.txt")}
                          for c in "abc"])
        self.assertLess(events[-1].pop("seconds"), 60)
        self.assertEqual(events[-1], {"event": "ended", "run": 1, "status": "failed", "wanted": 10,
                                      "done": 8, "cached": 0, "imported": 0, "failed": 1, "blocked": 1,
                                      "exit": 1})

    def test_found_while_running(self):
        self.events()
        self.write("scans/b.txt", "tExT b\n")  # upper makes the same of it
        found = [e["node"] for e in self.events() if e["event"] == "cached"]
        self.assertEqual(found, ["more[case=b]", "all"])

    def test_progress_and_stopping(self):
        self.write("graph.yaml", WAIT)
        process = self.start("run", "wait[case=a]", "--log", "json", stderr=subprocess.DEVNULL)
        events = []
        for line in process.stdout:  # each comes as it happens
            events.append(json.loads(line))
            if events[-1]["event"] == "progress":
                process.send_signal(signal.SIGINT)
                break
        events += [json.loads(line) for line in self.rest(process, 130).splitlines()]
        progress = next(e for e in events if e["event"] == "progress")
        self.assertEqual(progress["node"], "wait[case=a]")
        self.assertGreater(progress["seconds"], 0.5)
        names = [e["event"] for e in events]
        self.assertEqual(names[:5], ["planned", "started", "done", "started", "progress"])
        self.assertEqual(names[-2:], ["stopping", "ended"])
        self.assertEqual((events[-1]["status"], events[-1]["exit"]), ("interrupted", 130))

    def test_refused(self):
        self.assertEqual(self.massflow("run", "--log", "xml", code=2),
                         "massflow: error: --log is 'json', not 'xml'\n")


class Plan(Pipeline):
    def test_expected_times(self):
        out = self.massflow("plan", "-j", "2")
        self.assertIn("text                      3 to run      never run\n"
                      "                            expected time not known: it has not run here yet\n",
                      out)
        self.assertTrue(out.endswith("\ntotal: 3 nodes and 7 undecided ones; expected time not "
                                     "known: none of it has run here yet\n"), out)
        self.massflow("run", "more")
        for node, seconds in (("more[case=a]", 10), ("more[case=b]", 20), ("more[case=c]", 90)):
            self.change(f"update run_node set seconds = {seconds} where node = '{node}'")
        out = self.massflow("plan", "more", "--set", "suffix=?", "-j", "2")
        self.assertIn("                            expected 1 min 0 s, from 3 earlier runs of it\n",
                      out)
        # 3 x 20 s on two workers.
        self.assertTrue(out.endswith("\ntotal: 3 nodes; expected 30.0 s with 2 workers\n"),
                        out)
        out = self.massflow("plan", "more", "--set", "suffix=?", "-j", "9")
        self.assertTrue(out.endswith("\ntotal: 3 nodes; expected 20.0 s with 9 workers\n"),
                        out)
        out = self.massflow("plan", "--set", "suffix=?", "-j", "1")
        self.assertTrue(out.endswith("\ntotal: 3 nodes and 1 undecided one; expected at least 1 min 0 s with 1 "
                                     "worker; for 1 the time is not known\n"), out)
        self.massflow("run")
        self.assertNotIn("expected", self.massflow("plan"))
        self.assertEqual(self.massflow("plan", "-j", "0", code=2),
                         "massflow: error: --jobs is a number from 1 to 9999, not '0'\n")


class Why(Pipeline):
    """Every kind of change, with the whole text; test_run.py has parameter, file and stream."""

    def setUp(self):
        super().setUp()
        self.massflow("run")
        self.massflow("run")

    def why(self, *words):
        """Ids are of no interest here."""
        return re.sub(r"\b[0-9a-f]{12}\b", "ID", self.massflow("why", *words))

    def test_input(self):
        self.write("scans/b.txt", "other b\n")
        self.massflow("run", "upper")
        self.assertEqual(self.why("more[case=b]"), "more[case=b]: to run\n  input text: ID -> ID\n")
        self.massflow("run", "more")
        self.assertEqual(self.why("all"), "all: to run\n  input texts[case=b]: ID -> ID\n")

    def test_case_of_a_gathered_input(self):
        os.rename(self.path("scans/b.txt"), self.path("scans/e.txt"))
        self.assertEqual(self.why("all"), "all: to run\n  case of input texts[case=e]: b -> e\n")
        self.assertRegex(self.why("more[case=e]"),
                         r"^more\[case=e\]: cached\n  made .* in \d+ ms by run 1 as "
                         r"more\[case=b\]\n$")
        self.write("scans/f.txt", "text f\n")
        self.massflow("run", "more")
        self.assertEqual(self.why("all"), "all: to run\n  elements of input texts: 3 -> 4\n"
                         "  case of input texts[case=e]: b -> e\n"
                         "  input texts[case=f]: none -> ID\n")

    def test_new_case(self):
        self.write("scans/d.txt", "text d\n")
        out = self.why("text[case=d]")
        self.assertEqual(out, "text[case=d]: to run: never run: it is new among the nodes of text\n"
                         "  compared with text[case=a] of earlier runs:\n"
                         "  content of path: ID -> ID\n")
        self.assertIn("text                      1 to run      never run: [case=d] is new\n",
                      self.massflow("plan"))

    def test_new_stage(self):
        self.write("graph.yaml", CHAIN + "  again: {use: count.add, each: case, in: {text: upper}, "
                   "with: {suffix: \"#\"}}\n")
        self.assertEqual(self.why("again[case=a]"),
                         "again[case=a]: to run: never run: no earlier run of this graph had a "
                         "stage 'again'\n")
        self.assertIn("again                     3 to run      never run: the stage is new\n",
                      self.massflow("plan"))

    def test_another_stage(self):
        self.write("graph.yaml", CHAIN.replace("upper: {use: count.upper", "upper: {use: count.add"))
        self.assertEqual(self.why("upper[case=a]"), "upper[case=a]: to run\n"
                         "  stage: count.upper -> count.add\n"
                         "  parameter refuse: none -> BAD\n  parameter suffix: none -> !\n")

    def test_missing_and_dropped(self):
        self.change("update artifact set present = 0 where type = 'text'")
        self.assertIn(": cached\n", self.why("all"))  # what lies between is not needed
        self.assertEqual(self.why("more[case=a]", "--set", "suffix=?"),
                         "more[case=a]: to run\n"
                         "  parameter suffix: ! -> ?\n"
                         "  it reads upper[case=a], whose data was deleted from the cache and is computed again\n")
        out = self.massflow("plan", "more", "--set", "suffix=?")
        self.assertIn("upper                     3 to run      its data was deleted, and more[case=a] "
                      "needs it\n", out)
        self.assertIn("text                      3 to run      its data was deleted, and upper[case=a] "
                      "needs it\n", out)
        self.change("update artifact set present = 1")
        self.change("delete from action where stage = 'count.join'")
        self.assertEqual(self.why("all"), "all: to run: nothing changed, but its result is not in "
                         "the cache any more\n")
        self.assertIn("all                       1 to run      its result is not in the cache any "
                      "more\n", self.massflow("plan", "all"))

    def test_device(self):
        self.write("graph.yaml", "massflow: 1\nstages:\n"
                   "  text: {use: count.load, with: {path: scans/a.txt}}\n"
                   "  x: {use: count.kernel, in: {text: text}}\n")
        self.massflow("run", "--device", "cpu/2.0")
        out = self.why("x", "--device", "cpu", "--same-device")
        self.assertRegex(out, r"^x: to run: nothing changed, but its result was computed on another device, and "
                              r"--same-device requires this\n  device: (.+) / 2 -> \1\n$")
        self.assertIn("x                         1 to run      only computed on another device: ",
                      self.massflow("plan", "--device", "cpu", "--same-device"))
        self.assertIn("x: cached\n", self.why("x", "--device", "cpu"))


class Renamed(Pipeline):
    def test_case_of_a_random_stage(self):
        graph = ("massflow: 1\ncases: {count: 2, id: \"NAME{id}\"}\nstages:\n  scan: {use: "
                 "phantom.volume, each: case, with: {size: [16, 16, 16], spacing: [12, 12, 12]}}\n")
        self.write("graph.yaml", graph.replace("NAME", "p"))
        self.massflow("run")
        self.write("graph.yaml", graph.replace("NAME", "q"))
        self.assertEqual(self.massflow("why", "scan[case=q001]"),
                         "scan[case=q001]: to run: same as scan[case=p000] of earlier runs, but phantom.volume "
                         "draws random numbers, which depend on the case id\n"
                         "  case: p000 -> q001\n")
        self.assertIn("scan                      2 to run      case renamed: p000 -> q000\n",
                      self.massflow("plan"))
        self.write("graph.yaml", graph.replace("NAME", "p"))
        self.assertRegex(self.massflow("why", "scan[case=p000]", "--code", "version"),
                         r"^scan\[case=p000\]: to run\n  code: [0-9a-f]{12} -> version \d+\n$")


class Killed(Pipeline):
    """A run that is killed: what it did is told, and what it was at."""
    def test_killed(self):
        self.write("graph.yaml", WAIT)
        process = self.start("run", "-j", "2")
        self.until_logged("wait", 2, process)
        # The journal is written at least once a second.
        running = "select count(*) from run_node where outcome = 5 and node >= 'wait'"
        self.wait_for("it is recorded", lambda: self.ask(running) == [(2,)], process)
        self.assertIn("  running ", self.massflow("runs"))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        self.assertIn("  killed  ", self.massflow("runs"))
        out = self.massflow("log")
        self.assertIn("\n  killed; 3 done, 2 running\n", out)
        self.assertRegex(out, r"\n    0:\d\d\.\d\d\d  running   wait\[case=[abc]\]\n")
        for change, status in (
                (f"pid = {os.getpid()}, started = 1000000000", "killed"),  # the number is another's
                (f"pid = {os.getpid()}, started = {int(time.time())}", "running"),
                ("pid = 1, host = 'elsewhere'", "running")):  # of another host it can't be seen
            self.change("update run set " + change)
            self.assertIn(f"  {status} ", self.massflow("runs"), change)


if __name__ == "__main__":
    main(2)
