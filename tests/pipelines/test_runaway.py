#!/usr/bin/env python3
"""Commands and stages that print without pause, and processes that would outlive them:
test_runaway.py MASSFLOW CRASH.so COUNTING.so STEPS.so
"""
import os
import re
import select
import shutil
import signal
import subprocess
import time

from harness import Signals, children_of, command_line, main, sanitized, state_of

# A process that has left its group, its session and its parents, and says its number.
DAEMON = """
import os, signal, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        print("daemon", os.getpid(), flush=True)
        if "bare" in sys.argv[2:]:
            os.environ.clear()
        if "quiet" in sys.argv[2:]:
            os.close(1), os.close(2)
        os.execv("/bin/sleep", ["sleep", "1000"])
    os._exit(0)
os.wait()
if "wait" in sys.argv[2:]:
    signal.pause()
with open(sys.argv[1], "w", encoding="ascii") as file:
    file.write("left")
"""

MOST = 400 if sanitized() else 100  # MB


class Floods(Signals):
    """However fast lines come, the run can be stopped, goes on, and stays small."""

    YES = """massflow: 1
stages:
  t: {use: exec.run, %swith: {command: 'sh -c "%syes hello; echo a >$0" {out.text}'}}
"""

    def flood(self, limits="", before="", words=()):
        """A run of an endless command, its lines in a file."""
        self.write("g.yaml", self.YES % (limits, before))
        return self.run_to_file(words)

    def run_to_file(self, words=()):
        with open(self.path("out"), "wb") as out:
            return self.start(*words, stdout=out)

    def end_of(self, run, code):
        """Its end, and the most memory that it and its workers had (MB)."""
        death = os.pidfd_open(run.pid)
        self.assertEqual(select.select([death], [], [], 100)[0], [death])
        os.close(death)
        _, how, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(how)
        self.assertEqual(run.returncode, code, self.tail())
        self.assertLess(usage.ru_maxrss / 1000, MOST)
        return self.tail()

    def tail(self):
        with open(self.path("out"), "rb") as file:
            file.seek(max(0, os.path.getsize(self.path("out")) - 4000))
            return file.read().decode()

    def is_flooding(self):
        return os.path.getsize(self.path("out")) > 1 << 20

    def test_a_time_out(self):
        for limits in ("timeout: 1, ", "isolate: true, timeout: 1, "):
            text = self.end_of(self.flood(limits), 1)
            self.assertIn("\nfailed: t\n  it ran longer than its timeout of 1 s\n", text)

    def test_one_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            run = self.flood()
            self.wait_for("it floods", self.is_flooding)
            run.send_signal(number)
            self.assertRegex(self.end_of(run, 130), r"interrupted: 0 run, 0 cached, 1 left in")

    def test_a_second_one(self):
        """The command does not heed the first; signals count as two after a fraction of a second."""
        run = self.flood(before="trap : TERM; while :; do yes hello; done; ")
        self.wait_for("it floods", self.is_flooding)
        end, sent = time.monotonic() + 60, 0
        while run.poll() is None and time.monotonic() < end:
            run.send_signal(signal.SIGINT)
            sent += 1
            try:
                run.wait(0.1)
            except subprocess.TimeoutExpired:
                pass
        self.assertEqual(run.returncode, 130)
        self.assertGreater(sent, 1)

    def test_timers_have_their_turn(self):
        run = self.flood(words=("--log", "json"))
        seen = 0

        def progress():
            nonlocal seen
            with open(self.path("out"), encoding="utf-8") as file:
                file.seek(seen)
                text = file.read()
                seen += text.rfind("\n") + 1
                return '"event":"progress"' in text
        self.wait_for("progress is told", progress)
        run.send_signal(signal.SIGTERM)
        self.end_of(run, 130)

    def test_a_stage_that_asks_without_pause_tells_its_progress(self):
        """Also from a process of its own, whose messages never leave off."""
        for limits in ("", "isolate: true, "):
            self.write("g.yaml", "massflow: 1\nstages:\n  t: {use: steps.do, " + limits +
                       "with: {steps: 1000000, every: 1000000, ask: 1}}\n")
            run = self.run_to_file(("--log", "json"))
            self.wait_for("a step is told", lambda: re.search(
                r'"event":"progress".*"done":[1-9]\d*,"total":1000000', self.tail()))
            run.kill()
            self.end_of(run, -signal.SIGKILL)

    def test_a_stage_that_talks_without_pause(self):
        for limits, code in (("timeout: 1, ", 1), ("isolate: true, timeout: 1, ", 1),
                             ("", 130), ("isolate: true, ", 130)):
            self.write("g.yaml", "massflow: 1\nstages:\n  boom: {use: crash.now, " + limits +
                       "with: {how: flood, lines: 0}}\n")
            run = self.run_to_file()
            if code == 130:
                self.wait_for("it floods", self.is_flooding)
                run.send_signal(signal.SIGINT)
            text = self.end_of(run, code)
            self.assertRegex(text, "it ran longer than its timeout of 1 s" if code == 1
                             else "interrupted: 0 run")

    def test_nobody_reads(self):
        """Then the loop waits for its output, and the stage leaves lines out."""
        self.write("g.yaml", self.YES % ("timeout: 2, ", ""))
        run = self.start()
        self.wait_for("the loop waits", lambda: state_of(run.pid) == "S" and
                      select.select([run.stdout], [], [], 0)[0])
        children = []
        self.wait_for("the command has begun", lambda: children.extend(children_of(run.pid))
                      or children)
        # Its supervisor ends with it: its time is over although nothing is shown.
        death = os.pidfd_open(children[0])
        self.assertEqual(select.select([death], [], [], 60)[0], [death])
        os.close(death)
        text = self.rest(run, 1)
        self.assertRegex(text, r"\nt: \d+ lines are dropped here: too many per second\n")
        self.assertIn("\nfailed: t\n  it ran longer than its timeout of 2 s\n", text)

    def test_the_record_has_a_limit_a_node(self):
        self.write("g.yaml", """massflow: 1
stages:
  many: {use: exec.run, with: {command: 'sh -c "seq 20000; echo a >$0" {out.text}'}}
  few: {use: exec.run, in: {text: many}, with: {command: 'sh -c "echo hello; echo a >$0" {out.text} {text}'}}
""")
        out = self.massflow("run", "g.yaml")
        shown = len(re.findall(r"^many: \d+$", out, re.M))
        left = sum(int(n) for n in re.findall(r"^many: (\d+) lines? (?:is|are) left out", out, re.M))
        self.assertEqual(shown + left, 20000)
        lines = re.findall(r"^ +\S+    (.*)$", self.recorded("log"), re.M)
        kept = [line for line in lines if line.isdigit()]
        if not left:
            self.assertEqual(kept, [str(i) for i in range(1, 10001)])
        self.assertLessEqual(len(kept), 10000)
        self.assertEqual(lines.count("later lines are dropped: 10000 lines per node are kept"), 1)
        self.assertEqual(lines.count("hello"), 1)


class Daemons(Signals):
    """What a command started ends with it, and with massflow."""

    def leaving(self, *words, limits="", plugin=False):
        self.write("daemon.py", DAEMON)
        if plugin:
            self.write("g.yaml", "massflow: 1\nstages:\n  it: {use: crash.now, " + limits +
                       "with: {how: daemon, lines: 0}}\n")
        else:
            self.write("g.yaml", f"""massflow: 1
stages:
  it: {{use: exec.run, {limits}with: {{files: daemon.py, command: "python3 {{files}} {{out.text}} {' '.join(words)}"}}}}
""")
        run = self.start()
        daemon = int(self.until(run, r"^it: daemon (\d+)$").group(1))
        return run, daemon

    def gone(self, pid):
        """It ends, without anybody's help: what is adopted by init may stay a zombie there."""
        self.wait_for(f"{pid} ends", lambda: state_of(pid) in ("", "Z"))

    def test_when_the_command_has_ended(self):
        for limits in ("", "isolate: true, "):
            for words in ((), ("quiet",), ("bare", "quiet")):
                run, daemon = self.leaving(*words, limits=limits)
                self.assertIn("finished: 1 run, 0 cached", self.rest(run, 0))
                self.assertEqual(state_of(daemon), "")
                shutil.rmtree(self.path(".massflow"))

    def test_when_the_run_is_stopped(self):
        for limits in ("", "isolate: true, "):
            run, daemon = self.leaving("wait", limits=limits)
            run.send_signal(signal.SIGINT)
            self.rest(run, 130)
            self.assertEqual(state_of(daemon), "")

    def test_when_time_is_over(self):
        run, daemon = self.leaving("wait", limits="timeout: 1, ")
        self.assertIn("it ran longer than its timeout of 1 s\n", self.rest(run, 1))
        self.assertEqual(state_of(daemon), "")

    def test_when_massflow_is_killed(self):
        for limits in ("", "isolate: true, "):
            run, daemon = self.leaving("wait", "bare", "quiet", limits=limits)
            run.kill()
            run.wait()
            self.gone(daemon)

    def test_when_the_worker_is_killed(self):
        run, daemon = self.leaving("wait", limits="isolate: true, ")
        worker, = self.workers(run)
        os.kill(worker, signal.SIGKILL)
        self.rest(run, 1)
        self.gone(daemon)

    def test_of_a_plugin_in_a_worker(self):
        """Nothing is above these but their mark."""
        run, daemon = self.leaving(limits="isolate: true, ", plugin=True)
        run.send_signal(signal.SIGINT)
        self.rest(run, 130)
        self.gone(daemon)
        for end in (lambda run: os.kill(self.workers(run)[0], signal.SIGKILL),
                    lambda run: run.kill()):
            run, daemon = self.leaving(limits="isolate: true, ", plugin=True)
            end(run)
            run.wait()
            self.gone(daemon)

    def test_when_the_supervisor_is_killed(self):
        self.write("g.yaml", """massflow: 1
stages:
  it: {use: exec.run, with: {command: 'sh -c "echo $$; sleep 100" {out}'}}
""")
        run = self.start()
        command = int(self.until(run, r"^it: (\d+)$").group(1))
        supervisor, = children_of(run.pid)
        self.assertIn(b"massflow-supervise", command_line(supervisor))
        os.kill(supervisor, signal.SIGKILL)
        self.assertIn("failed: it\n  the supervisor of 'sh' was killed, and so was the command\n",
                      self.rest(run, 1))
        self.gone(command)

    def test_a_flood_of_one_that_stays(self):
        """It holds the pipe open, and would print for ever."""
        self.write("g.yaml", """massflow: 1
stages:
  it: {use: exec.run, with: {shell: true, command: "setsid yes & echo done >{out.text}"}}
""")
        self.assertIn("finished: 1 run, 0 cached", self.massflow("run", "g.yaml"))


# The tests of the module that this one takes its ways from are run there.

if __name__ == "__main__":
    main(4)
