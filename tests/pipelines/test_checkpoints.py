#!/usr/bin/env python3
"""Stages that save their state, through the command: test_checkpoints.py MASSFLOW STEPS.so

Killed, stopped or failed in the middle, a stage goes on from its last state and ends with the same
bytes as if nothing had happened.
"""
import signal

from harness import Pipeline, flags, main

GRAPH = """massflow: 1
params: {stop_at: -1, every: 1, die: -1, fail: -1, seed: 1}
stages:
  numbers: {use: steps.do, with: {steps: 6, stop_at: "${stop_at}", every: "${every}",
            die: "${die}", fail: "${fail}", seed: "${seed}"}}
"""


class Checkpoints(Pipeline):
    GRAPH = GRAPH

    def result(self, **values):
        out = self.massflow("show", "numbers", *flags(**values))
        return out.splitlines()[0]

    def steps(self):
        """Which steps were done since the last call, in order."""
        return [int(line.split()[1]) for line in self.steps_logged()]

    def saved(self):
        return [step for step, in self.ask("SELECT step FROM checkpoint ORDER BY step")]

    def undisturbed(self, **values):
        self.massflow("run", "--cache", "other", *flags(**values))
        out = self.massflow("show", "numbers", "--cache", "other", *flags(**values))
        self.steps_logged()
        return out.splitlines()[0]

    def killed(self, **values):
        self.massflow("run", *flags(**values), code=-signal.SIGKILL)

    def test_killed_and_started_again(self):
        expected = self.undisturbed()
        self.killed(die=4)
        self.assertEqual(self.steps(), [0, 1, 2, 3])
        self.assertEqual(self.saved(), [3, 4])  # the newest and the one before
        self.assertEqual(self.ask("SELECT count(*) FROM action"), [(0,)])
        self.massflow("run")
        self.assertEqual(self.steps(), [4, 5])
        self.assertEqual(self.result(), expected)
        self.assertEqual(self.saved(), [])
        self.assertEqual(self.ask("SELECT count(*) FROM artifact"), [(1,)])

    def test_forced_it_begins_anew(self):
        """Though the state of its last step is kept, for a longer run; and so is the new one."""
        self.massflow("run", *flags(stop_at=4))
        expected = self.result(stop_at=4)
        self.assertEqual((self.steps(), self.saved()), ([0, 1, 2, 3], [4]))
        self.massflow("run", "--force", "numbers", *flags(stop_at=4))
        self.assertEqual((self.steps(), self.saved()), ([0, 1, 2, 3], [4]))
        self.assertEqual(self.result(stop_at=4), expected)

    def test_state_lies_between_steps(self):
        expected = self.undisturbed()
        self.killed(die=5, every=2)
        self.assertEqual(self.saved(), [2, 4])
        self.massflow("run")
        self.assertEqual(self.steps(), [0, 1, 2, 3, 4, 4, 5])
        self.assertEqual(self.result(), expected)

    def test_failed_and_run_again(self):
        expected = self.undisturbed()
        out = self.massflow("run", *flags(fail=3), code=1)
        self.assertIn("failed as told", out)
        self.massflow("run")
        self.assertEqual(self.steps(), [0, 1, 2, 3, 4, 5])
        self.assertEqual(self.result(), expected)

    def test_another_action_has_another_state(self):
        self.killed(die=4)
        self.steps_logged()
        self.massflow("run", *flags(seed=2))
        self.assertEqual(self.steps(), [0, 1, 2, 3, 4, 5])
        self.assertEqual(self.saved(), [3, 4])

    def test_a_longer_run_goes_on_from_a_shorter_one(self):
        expected = self.undisturbed()
        shorter = self.undisturbed(stop_at=5)
        self.massflow("run", *flags(stop_at=3))
        self.assertEqual(self.saved(), [3])
        self.massflow("run", *flags(stop_at=5))
        self.assertEqual(self.saved(), [5])
        self.massflow("run", *flags(stop_at=6))
        self.assertEqual(self.steps(), [0, 1, 2, 3, 4, 5])
        self.assertEqual(self.saved(), [])
        self.assertEqual(self.result(stop_at=6), expected)
        self.assertEqual(self.result(stop_at=5), shorter)

    def test_a_shorter_run_takes_nothing_from_a_longer_one(self):
        expected = self.undisturbed(stop_at=2)
        self.massflow("run", *flags(stop_at=4))
        self.steps_logged()
        self.massflow("run", *flags(stop_at=2))
        self.assertEqual(self.steps(), [0, 1])
        self.assertEqual(self.result(stop_at=2), expected)
        self.assertEqual(self.saved(), [2, 4])

    def test_a_damaged_state_is_passed_over(self):
        expected = self.undisturbed()
        self.killed(die=4)
        self.steps_logged()
        self.change("UPDATE chunk_data SET bytes = CAST(x'0000' || substr(bytes, 3) AS BLOB)"
                    " WHERE num = (SELECT max(num) FROM chunk_data)")
        out = self.massflow("run")
        self.assertIn("numbers: the checkpoint of step 4 cannot be used and is skipped: chunk",
                      out)
        self.assertEqual(self.steps(), [3, 4, 5])
        self.assertEqual(self.result(), expected)


if __name__ == "__main__":
    main(2)
