#!/usr/bin/env python3
"""Training that is killed, stopped, extended: test_training.py MASSFLOW WHOLE.yaml

Whatever happened on the way, the artifacts are those of an undisturbed run, byte for byte (an
artifact's id is the digest of its content).
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys

from harness import Massflow, children_of, flags, main, sanitized

WHOLE = os.path.abspath(sys.argv[2])
# A shell's background jobs begin with it ignored.
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
SETTINGS = {"patients": 2, "steps": 5, "epochs": 20, "checkpoint": 0}


class Training(Massflow):
    ONE_FOLDER = True
    TIMEOUT = 300

    def prepare(self):
        shutil.copy(WHOLE, self.path("graph.yaml"))
        self.write("scan.nii.gz", "")  # never read: the stage that would is not a target
        self.made("whole")
        type(self).expected = self.results("whole")

    def words(self, cache, graph="graph.yaml", target="probe", **values):
        return ["run", graph, target, "--cache", cache, *flags(**{**SETTINGS, **values})]

    def made(self, cache, *more, code=0, **values):
        return self.massflow(*self.words(cache, *more, **values), code=code)

    def disturbed(self, cache, sign, stage, step, **values):
        """Runs until `stage` has saved a state of at least `step` steps, then sends it a signal."""
        run = self.start(*self.words(cache, **values))
        self.wait_for(f"{stage} has saved a state", lambda: run.poll() is not None or (
            stage == self.running(cache) and self.saved(cache, step)), seconds=240)
        run.send_signal(sign)
        out = run.communicate(timeout=240)[0]
        return run.returncode, out

    def running(self, cache):
        """The stage whose state is saved now: the encoder's are dropped before features are made."""
        done = self.ask_early("SELECT count(*) FROM action WHERE stage = 'mass.features'", cache)
        return "probe" if done and done[0][0] else "encoder"

    def saved(self, cache, step):
        return bool(self.ask_early(f"SELECT step FROM checkpoint WHERE step >= {step}", cache))

    def assert_sound(self, cache, left=0):
        self.assertEqual(self.ask("SELECT count(*) FROM checkpoint", cache), [(left,)])
        self.assertEqual(self.ask("SELECT count(*) FROM artifact WHERE type = 'state'", cache),
                         [(left,)])
        self.massflow("cache", "verify", "--cache", cache)

    def test_killed_while_it_trains(self):
        code, out = self.disturbed("a", signal.SIGKILL, "encoder", 2)
        self.assertEqual(code, -signal.SIGKILL, out)
        self.assertNotIn("done     encoder", out)
        out = self.made("a")
        self.assertRegex(out, r"encoder: resumes after step [234] of 5\n")
        self.assertEqual(self.results("a"), self.expected)
        whole = self.ask("SELECT seconds FROM action WHERE stage = 'mass.train'", "a")
        last = self.ask("SELECT max(seconds) FROM run_node WHERE node = 'encoder'", "a")
        self.assertGreater(whole[0][0], last[0][0])  # both starts count
        self.assert_sound("a")

    def test_killed_while_the_probe_trains(self):
        code, out = self.disturbed("b", signal.SIGKILL, "probe", 3)
        self.assertEqual(code, -signal.SIGKILL, out)
        out = self.made("b")
        self.assertRegex(out, r"probe: resumes after epoch \d+ of 20\n")
        self.assertEqual(self.results("b"), self.expected)
        self.assert_sound("b")

    def test_stopped_with_ctrl_c_nothing_learned_is_lost(self):
        code, out = self.disturbed("c", signal.SIGINT, "encoder", 1)
        self.assertEqual(code, 130, out)
        saved = self.ask("SELECT max(step) FROM checkpoint", "c")[0][0]
        out = self.made("c")
        self.assertIn(f"encoder: resumes after step {saved} of 5\n", out)
        self.assertEqual(self.results("c"), self.expected)

    def following(self, cache, *, graph="graph.yaml", **values):
        """A run that trains for ever, and its events about the encoder."""
        words = self.words(cache, graph, steps=100000, checkpoint=1e6, **values)
        run = self.start(*words, "--log", "json", stderr=subprocess.PIPE)
        events = (json.loads(text) for text in run.stdout)
        return run, (event for event in events if event.get("node") == "encoder")

    def assert_goes_on(self, cache, graph="graph.yaml"):
        """What was saved is what an undisturbed run has after as many steps: both end alike."""
        (saved,), = self.ask("SELECT max(step) FROM checkpoint", cache)
        self.assertGreater(saved, 0)
        more = {"steps": 100000, "stop_at": saved + 1}
        self.assertIn(f"encoder: resumes after step {saved} of {saved + 1}\n",
                      self.made(cache, graph, "encoder", **more))
        self.made(cache + "-undisturbed", graph, "encoder", **more)
        trained = [{name: artifact for name, artifact in self.results(made).items()
                    if "mass.train." in name} for made in (cache, cache + "-undisturbed")]
        self.assertEqual(len(trained[0]), 2)
        self.assertEqual(trained[0], trained[1])

    def stopped_by(self, number, cache, graph="graph.yaml"):
        """No state is due: the last finished step is saved at the stop, in the middle of the next."""
        run, events = self.following(cache, graph=graph)
        for event in events:
            if event["event"] == "progress" and event.get("done", 0) >= 2:
                break
        run.send_signal(number)
        out, err = run.communicate(timeout=240)
        self.assertEqual(run.returncode, 130, out + err)
        self.assert_goes_on(cache, graph)

    def test_a_closed_terminal_loses_nothing_that_was_learned(self):
        self.stopped_by(signal.SIGHUP, "f")

    def test_nor_does_a_warning_of_a_batch_system(self):
        self.stopped_by(signal.SIGUSR1, "j")
        self.isolate_all()
        self.stopped_by(signal.SIGUSR2, "k", graph="own.yaml")

    def test_ctrl_backslash_ends_it_as_a_kill_does(self):
        code, out = self.disturbed("l", signal.SIGQUIT, "encoder", 2)
        self.assertEqual(code, -signal.SIGQUIT, out)
        self.assertNotIn("stopping", out)
        self.assertRegex(self.made("l"), r"encoder: resumes after step [234] of 5\n")
        self.assertEqual(self.results("l"), self.expected)
        self.assert_sound("l")

    def test_signals_that_end_it(self):
        """In the midst of launches, whatever handlers the driver has set."""
        crashes = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT,
                   signal.SIGTRAP, signal.SIGSYS)
        crashed = r"\nmassflow: error: massflow crashed; running were: (.*, )?encoder(, .*)?\n"
        used_up = (r"\nmassflow: error: the CPU time that this shell allows is used up; running were: "
                   r"(.*, )?encoder(, .*)?\n")
        self.isolate_all()
        for graph, numbers in (("graph.yaml", crashes), ("own.yaml", crashes[:1])):
            for number in (signal.SIGQUIT, signal.SIGXCPU, *numbers):
                if number in crashes and sanitized():
                    continue  # it ends with a report of its own
                run, events = self.following("m", graph=graph)
                for event in events:
                    if event["event"] == "progress" and event.get("done", 0) >= 1:
                        break
                run.send_signal(number)
                err = run.communicate(timeout=240)[1]
                self.assertEqual(run.returncode, -number, err)
                self.assertNotIn("stopping", err)
                if number == signal.SIGQUIT:
                    self.assertNotIn("massflow: error", err)
                else:
                    self.assertRegex(err, used_up if number == signal.SIGXCPU else crashed)

    def isolate_all(self):
        text = self.read("graph.yaml")
        self.write("own.yaml", text.replace("massflow: 1\n", "massflow: 1\nisolate: true\n"))

    def test_nor_does_a_worker_that_is_told_to_end(self):
        self.isolate_all()
        run, events = self.following("g", graph="own.yaml")
        for event in events:
            if event["event"] == "progress" and event.get("done", 0) >= 2:
                break
        for child in children_of(run.pid):
            os.kill(child, signal.SIGTERM)
        for event in events:
            if event["event"] == "failed":
                self.assertEqual(event["error"], "its process was asked to end by SIGTERM")
        run.communicate(timeout=240)
        self.assertEqual(run.returncode, 1)
        self.assert_goes_on("g", graph="own.yaml")

    def test_it_is_never_silent(self):
        """The steps done of all at once; rate and time left as soon as more is done."""
        run, events = self.following("h")
        known = first = None
        for event in events:
            if event["event"] != "progress" or "total" not in event:
                continue
            self.assertEqual(event["total"], 100000)
            if "rate" in event:
                known = event
                break
            first = event["done"] if first is None else first
            self.assertEqual(event["done"], first)
        run.kill()
        self.assertGreater(known["rate"], 0)
        left = 100000 - known["left"] * known["rate"]  # steps, with what is done of one
        self.assertGreaterEqual(left, known["done"] - 0.1)
        self.assertLessEqual(left, known["done"] + 1.1)

    def test_a_sample_smaller_than_a_view_is_an_error(self):
        text = self.read("graph.yaml")
        self.write("small.yaml", text.replace("size: [16, 16, 16], margin: 0", "size: [32, 32, 32], margin: 0"))
        self.assertRegex(self.made("i", "small.yaml", "encoder", code=1), r"""
failed: encoder
  item 0 of views: sample \d \(sample\[case=p00\d\]\): the sample has 24x24x24 voxels, a view 32x32x32
  let mass.prepare pad samples to at least the view
  retry: massflow run small.yaml 'encoder' """)

    def test_a_loss_that_is_not_finite(self):
        text = self.read("graph.yaml")
        self.write("far.yaml", text.replace("lr: 0.002,", "lr: 10, weight_decay: 0, max_grad_norm: 0, optimizer: adamw, scheduler: constant,"))
        out = self.made("n", "far.yaml", "encoder", code=1, steps=40, checkpoint=100000)
        self.assertRegex(out, r"""
failed: encoder
  step \d+: (pair \d+, of sample\[case=p00\d\]: the loss is|pairs \d+ to \d+: the norm of the gradient is) \S+
  lower lr, or look for extreme voxels in the samples
  retry: """)
        step, = re.findall(r"encoder: the weights after step (\d+) are kept as a checkpoint\n", out)
        self.assertEqual(self.ask("SELECT max(step) FROM checkpoint", "n"), [(int(step),)])

    def test_extended(self):
        self.made("d", stop_at=2, probe_stop_at=4)
        out = self.made("d", stop_at=5, probe_stop_at=20)
        self.assertIn("encoder: resumes after step 2 of 5\n", out)
        self.assertNotIn("probe: resumes", out)  # of other features
        got = sorted(self.results("d").values())
        for name, artifact in self.expected.items():
            self.assertIn(artifact, got, name)

    def test_a_probe_is_extended(self):
        self.made("e", probe_stop_at=4)
        out = self.made("e", probe_stop_at=20)
        self.assertIn("probe: resumes after epoch 4 of 20\n", out)
        got = sorted(self.results("e").values())
        for name, artifact in self.expected.items():
            self.assertIn(artifact, got, name)
        self.assert_sound("e")


if __name__ == "__main__":
    main(2)
