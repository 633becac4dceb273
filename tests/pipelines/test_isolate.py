#!/usr/bin/env python3
"""Nodes in processes of their own: test_isolate.py MASSFLOW CRASH.so COUNTING.so STEPS.so

What a crash, a time-out and a retry look like to the user, and that a graph comes out the same with
and without isolation.
"""
import os
import shutil
import signal
import unittest

from harness import MASSFLOW, Isolated, children_of, main, sanitized


class Crashing(Isolated):
    def crash(self, how, *, lines=2, limits="isolate: true", code=1, once=""):
        self.write("g.yaml", "massflow: 1\nstages:\n  boom: {use: crash.now, " + limits +
                   f", with: {{how: {how}, lines: {lines}, once: '{once}'}}}}\n")
        return self.massflow("run", "g.yaml", code=code)

    def failure(self, *args, **kwargs):
        """From the report's 'failed:' on."""
        out = self.crash(*args, **kwargs)
        return out[out.index("\nfailed: ") + 1:]


REPEAT = "  retry: massflow run g.yaml 'boom' --plugins 'plugins'\n"


class Crashes(Crashing):
    def test_without_isolation(self):
        """massflow goes down with the plugin, but says with which."""
        out = self.crash("segv", limits="timeout: 100", code=-signal.SIGSEGV)
        self.assertIn("\nmassflow: error: massflow crashed; running were: boom\n"
                      "  isolate: true at a stage makes its crash an error of that node alone; "
                      "finished results are kept\n", out)

    def test_a_segmentation_fault(self):
        self.assertEqual(self.crash("segv"), """0 of 1 nodes are cached
start    boom
boom: logged line 1
boom: printed line 2
failed   boom: its process was killed by SIGSEGV (Segmentation fault); peak memory N MB
finished: 0 run, 0 cached, 1 failed in TIME

failed: boom
  its process was killed by SIGSEGV (Segmentation fault); peak memory N MB
  last lines that it logged:
  | logged line 1
  last lines that it printed:
  | printed line 2
""" + REPEAT)

    def test_an_abort(self):
        self.assertEqual(self.failure("abort", lines=0), """failed: boom
  its process was killed by SIGABRT (Aborted); peak memory N MB
""" + REPEAT)

    def test_exit(self):
        self.assertEqual(self.failure("exit", lines=1), """failed: boom
  its process ended with exit status 3 before the stage was done; peak memory N MB
  last lines that it logged:
  | logged line 1
""" + REPEAT)

    def test_a_kill_hints_at_memory(self):
        self.assertEqual(self.failure("kill", lines=0), """failed: boom
  its process was killed by SIGKILL (Killed); peak memory N MB
  probably the system is out of memory: see dmesg
""" + REPEAT)

    def test_only_the_last_lines_are_shown(self):
        logged = [f"  | logged line {i}" for i in range(265, 300, 3)]
        printed = [f"  | printed line {i}" if i % 3 == 2 else f"  | line {i} of stderr"
                   for i in range(284, 301) if i % 3 != 1]
        self.assertEqual(self.failure("abort", lines=300).splitlines()[2:-1],
                         ["  last lines that it logged:"] + logged[-12:] +
                         ["  last lines that it printed:"] + printed[-12:])

    def test_every_line_is_logged(self):
        out = self.crash("well", lines=300, code=0)
        found = sorted(line for line in out.splitlines() if line.startswith("boom: "))
        wanted = [f"boom: logged line {i}" if i % 3 == 1 else f"boom: printed line {i}"
                  if i % 3 == 2 else f"boom: line {i} of stderr" for i in range(1, 301)]
        self.assertEqual(found, sorted(wanted))

    def test_what_a_stage_started_ends_with_it(self):
        self.assertIn("killed by SIGABRT", self.failure("orphan", lines=0))

    def test_an_error_is_the_same_as_without(self):
        own = self.failure("fail", lines=0)
        self.assertEqual(own, """failed: boom
  it went wrong as it should
  this is not an accident
""" + REPEAT)
        self.assertEqual(self.failure("fail", lines=0, limits="isolate: false"), own)

    def test_others_go_on(self):
        self.write("g.yaml", """massflow: 1
isolate: true
stages:
  boom: {use: crash.now, with: {how: segv, lines: 0}}
  fine: {use: crash.now, with: {lines: 0}}
""")
        self.assertIn("finished: 1 run, 0 cached, 1 failed in TIME\n",
                      self.massflow("run", "g.yaml", code=1))
        self.assertIn("1 of 2 nodes are cached\n", self.massflow("run", "g.yaml", code=1))


class Limits(Crashing):
    def test_a_hang_is_killed(self):
        self.assertEqual(self.failure("hang", lines=1, limits="isolate: true, timeout: 0.2"),
                         """failed: boom
  it ran longer than its timeout of 0.2 s and was killed; peak memory N MB
  last lines that it logged:
  | logged line 1
""" + REPEAT)

    def test_who_looks_ends_by_itself(self):
        wanted = "failed: boom\n  it ran longer than its timeout of 0.2 s\n" + REPEAT
        for isolate in ("true", "false"):
            self.assertEqual(
                self.failure("wait", lines=0, limits=f"isolate: {isolate}, timeout: 0.2"), wanted)

    @unittest.skipIf(sanitized(), "the address sanitizer allocates more than any limit")
    def test_memory(self):
        text = self.failure("eat", lines=0, limits="isolate: true, memory: 300 MB")
        self.assertEqual(text, """failed: boom
  its process was killed by SIGSEGV (Segmentation fault); peak memory N MB
  its process is limited to 300 MB by 'memory' in the graph file
""" + REPEAT)

    def test_a_retry_after_a_crash(self):
        for isolate, how in (("true", "segv"), ("false", "fail")):
            out = self.crash(how, lines=0, once=self.path("once-" + how), code=0,
                             limits=f"isolate: {isolate}, retries: 2")
            what = ("its process was killed by SIGSEGV (Segmentation fault); peak memory N MB"
                    if how == "segv" else "it went wrong as it should")
            self.assertIn(f"boom: attempt 1 of 3 failed, retrying: {what}\ndone     boom", out)

    def test_the_last_retry_fails(self):
        out = self.crash("exit", lines=0, limits="isolate: true, retries: 1")
        self.assertEqual(out.count("retrying"), 1)
        self.assertIn("\n  its process ended with exit status 3 before the stage was done", out)

    def test_limits_are_no_part_of_a_key(self):
        self.crash("well", code=0, limits="isolate: false")
        out = self.crash("well", code=0,
                         limits="isolate: true, timeout: 9, retries: 3, memory: 1 GB")
        self.assertIn("1 of 1 nodes are cached\n", out)

    def test_peak_memory_is_kept(self):
        self.crash("well", code=0)
        (peak,), = self.ask("SELECT peak_bytes FROM action")
        self.assertGreater(peak, 1 << 20)


class Interrupted(Crashing):
    def test_an_interrupt_reaches_the_stage(self):
        self.write("g.yaml", "massflow: 1\nisolate: true\n"
                             "stages:\n  boom: {use: crash.now, with: {how: wait, lines: 1}}\n")
        run = self.start("run", "g.yaml")
        self.until(run, "^boom: logged line 1$")
        run.send_signal(signal.SIGINT)
        self.assertIn("interrupted: 0 run, 0 cached, 1 left in", self.rest(run, 130))

    def test_when_massflow_is_killed_its_workers_end(self):
        self.write("g.yaml", "massflow: 1\nisolate: true\n"
                             "stages:\n  boom: {use: crash.now, with: {how: hang, lines: 1}}\n")
        run = self.start("run", "g.yaml")
        self.until(run, "^boom: logged line 1$")
        worker, = children_of(run.pid)
        death = os.pidfd_open(worker)
        run.kill()
        run.communicate()
        self.wait_for_death(death)

# Every kind of port: one, list, optional, keyed, stream; kernels, programs, sessions.
GRAPH = """massflow: 1
params: {isolate: "false"}
isolate: "${isolate}"
cases:
  count: 3
stages:
  scan: {use: phantom.volume, each: case, with: {size: [32, 32, 32], spacing: [6, 6, 6]}}
  found: {use: slic.masks, each: case, in: {volume: scan.volume}, with: {sizes: [24, 48], merge_thresholds: [3], min_voxels: 50}}
  sample: {use: mass.prepare, each: case, in: {volume: scan.volume, masks: found},
           with: {spacing: [6, 6, 6], min_size: [32, 32, 32]}}
  views: {use: augment.views, in: {samples: "sample[*]"}, with: {patch_size: [32, 32, 32], margin: 0, masks: 4}}
  encoder: {use: mass.train, in: {pairs: views},
            with: {channels: [16, 16, 32, 32, 32], num_block: [1, 1, 1, 1], pos_embed_size: 32, steps: 2, batch_size: 1}}
  organs: {use: mass.segment, each: case,
           in: {model: encoder, references: "scan.volume[*]", labels: "scan.labels[*]", query: scan.volume},
           with: {spacing: [6, 6, 6], patch_size: [32, 32, 32]}}
  dice: {use: metrics.overlap, in: {pred: "organs[*]", truth: "scan.labels[*]"}}
  rows: {use: count.collect, in: {items: numbers}, with: {threads: "2", first: "3", count: 20}}
  numbers: {use: count.numbers, with: {seed: "7"}}
"""


class Same(Isolated):
    def ids(self, cache, isolate):
        self.massflow("run", "g.yaml", "--cache", cache, "--set", f"isolate={isolate}")
        return sorted(self.ask("SELECT hex(id) FROM artifact", cache=cache))

    def test_results_are_the_same_bytes(self):
        self.write("g.yaml", GRAPH)
        apart, together = self.ids("apart", "true"), self.ids("together", "false")
        self.assertGreater(len(apart), 3 * 5 + 2)
        self.assertEqual(apart, together)


class States(Isolated):
    """A stage that saves its state goes on from it, whichever process it is in."""

    def steps(self, isolate, *settings, code=0):
        self.write("g.yaml", f"""massflow: 1
params: {{die: -1}}
isolate: {isolate}
stages:
  numbers: {{use: steps.do, with: {{steps: 6, every: 1, die: "${{die}}"}}}}
""")
        out = self.massflow("run", "g.yaml", *settings, code=code, MASSFLOW_TEST_LOG=self.path("steps"))
        found = [int(line.split()[1]) for line in self.read("steps").splitlines()]
        os.remove(self.path("steps"))
        return found, out

    def test_killed_and_gone_on_with(self):
        wanted = None
        for first, second in (("true", "true"), ("true", "false")):
            steps, out = self.steps(first, "--set", "die=4", code=1)
            self.assertEqual(steps, [0, 1, 2, 3])
            self.assertIn("its process was killed by SIGKILL (Killed)", out)
            self.assertEqual(self.steps(second)[0], [4, 5])
            self.assertEqual(self.ask("SELECT count(*) FROM checkpoint"), [(0,)])
            result = self.ask("SELECT id FROM artifact")
            self.assertEqual(len(result), 1)
            self.assertIn(wanted, (None, result))
            wanted = result
            shutil.rmtree(self.path(".massflow"))
        self.assertEqual(self.steps("false")[0], [0, 1, 2, 3, 4, 5])
        self.assertEqual(self.ask("SELECT id FROM artifact"), wanted)


class Command(Isolated):
    def test_worker_without_a_run(self):
        self.assertEqual(self.ended([MASSFLOW, "worker", "x"], 2).stderr,
                         "massflow: error: 'massflow worker' needs --connect HOST:PORT and --token FILE\n")


if __name__ == "__main__":
    main(4)
