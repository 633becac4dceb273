#!/usr/bin/env python3
"""Signals, and what is left of killed runs: test_signals.py MASSFLOW CRASH.so COUNTING.so STEPS.so

What each signal does to a run, to its isolated workers and to the commands that it runs
(docs/reliability.md has the table).
"""
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
import unittest

from harness import CRASH, MASSFLOW, Signals, main, sanitized, state_of

LAST_WORDS = ("\n"
              "massflow: error: massflow crashed; running were: boom\n"
              "  isolate: true at a stage makes its crash an error of that node alone; finished results are "
              "kept\n")


# A shell's background jobs begin with it ignored.
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


class Crashing(Signals):
    def words_of(self, stage, how):
        text = CRASH.replace("crash.now", stage).replace("lines: 1", "lines: 0")
        self.write("g.yaml", text % ("", how))
        run = self.start()
        text = run.communicate(timeout=120)[0]
        self.assertIn(LAST_WORDS, text)
        return run.returncode, text


class LastWords(Crashing):
    def test_after_a_driver_was_loaded(self):
        """PoCL's compiler and PoCL itself catch signals."""
        for how, number in (("segv", signal.SIGSEGV), ("abort", signal.SIGABRT)):
            self.assertEqual(self.words_of("crash.device", how)[0], -number)

    @unittest.skipIf(sanitized(), "the address sanitizer has stacks of its own")
    def test_when_the_stack_is_used_up(self):
        self.assertEqual(self.words_of("crash.now", "overflow")[0], -signal.SIGSEGV)

    def test_below_a_handler_that_was_set_later(self):
        code, text = self.words_of("crash.now", "late")
        self.assertEqual(code, -signal.SIGSEGV)
        self.assertIn("trace of the driver\n" + LAST_WORDS, text)

    def test_above_a_handler_that_was_set_meanwhile(self):
        code, text = self.words_of("crash.now", "topped")
        self.assertEqual(code, -signal.SIGSEGV)
        self.assertIn(LAST_WORDS + "trace of the driver\n", text)
        self.assertEqual(text.count("massflow crashed"), 1)


CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT,
           signal.SIGTRAP, signal.SIGSYS)
CPU_WORDS = ("\nmassflow: error: the CPU time that this shell allows is used up; running were: boom\n"
             "  'ulimit -t' says how much; raise it and run again: finished results are kept\n")


class Compiled(Crashing):
    """After PoCL has compiled: its LLVM has set handlers for 16 signals by then."""

    def compiled(self, limits="", how="wait", **more):
        self.write("g.yaml", CRASH.replace("crash.now", "crash.device") % (limits, how))
        run = self.start(**more)
        self.until(run, "^boom: logged line 1$")
        return run

    @staticmethod
    def caught(pid):
        """The numbers of the signals that a process catches."""
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            bits = int(re.search(r"^SigCgt:\s*(\w+)", file.read(), re.M).group(1), 16)
        return {number for number in range(1, 32) if bits >> (number - 1) & 1}

    def test_a_crash_that_is_sent_ends_it(self):
        for limits in ("", "isolate: true, "):
            for number in CRASHES:
                run = self.compiled(limits)
                run.send_signal(number)
                text = self.rest(run, -number)
                self.assertTrue(text.endswith(LAST_WORDS), text)
                self.assertEqual(text.count("massflow crashed"), 1)

    def test_a_crash_of_an_instruction_ends_it(self):
        for how, number in (("segv", signal.SIGSEGV), ("ill", signal.SIGILL),
                            ("divide", signal.SIGFPE), ("trap", signal.SIGTRAP),
                            ("abort", signal.SIGABRT)):
            self.assertEqual(self.words_of("crash.device", how)[0], -number)

    def test_a_division_by_zero_in_a_kernel_is_no_crash(self):
        self.write("g.yaml", CRASH.replace("crash.now", "crash.device") % ("", "well"))
        self.assertIn("finished: 1 run, 0 cached", self.rest(self.start(), 0))

    def test_a_worker_that_is_sent_a_crash(self):
        for number, words in ((signal.SIGSEGV, "SIGSEGV (Segmentation fault)"),
                              (signal.SIGFPE, "SIGFPE (Floating point exception)"),
                              (signal.SIGABRT, "SIGABRT (Aborted)"),
                              (signal.SIGTRAP, "SIGTRAP (Trace/breakpoint trap)"),
                              (signal.SIGQUIT, "SIGQUIT (Quit)"),
                              (signal.SIGXCPU, "SIGXCPU (CPU time limit exceeded)")):
            run = self.compiled("isolate: true, ")
            worker, = self.workers(run)
            os.kill(worker, number)
            text = self.rest(run, 1)
            self.assertIn(f"failed: boom\n  its process was killed by {words}; peak memory", text)
            self.assertNotIn("massflow crashed", text)

    def test_a_worker_is_asked_to_end(self):
        for name in ("INT", "TERM", "HUP", "USR1", "USR2"):
            run = self.compiled("isolate: true, ")
            worker, = self.workers(run)
            os.kill(worker, getattr(signal, "SIG" + name))
            text = self.rest(run, 1)
            self.assertIn(f"failed: boom\n  its process was asked to end by SIG{name}\n", text)

    def test_a_second_request_ends_a_worker(self):
        run = self.compiled("isolate: true, ", how="hang")
        worker, = self.workers(run)
        for _ in range(2):
            self.wait_for("it is caught", lambda: signal.SIGTERM in self.caught(worker))
            os.kill(worker, signal.SIGTERM)
            self.wait_for("it has come", lambda: not self.is_pending(worker, signal.SIGTERM))
        self.assertIn("its process was killed by SIGTERM (Terminated)", self.rest(run, 1))

    @staticmethod
    def is_pending(pid, number):
        try:
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                bits = int(re.search(r"^ShdPnd:\s*(\w+)", file.read(), re.M).group(1), 16)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return bool(bits >> (number - 1) & 1)

    def test_sigquit_ends_it_at_once(self):
        for limits in ("", "isolate: true, "):
            run = self.compiled(limits, how="hang")
            others = [os.pidfd_open(pid) for pid in self.workers(run)]
            run.send_signal(signal.SIGQUIT)
            text = self.rest(run, -signal.SIGQUIT)
            self.assertNotIn("crashed", text)
            self.assertNotIn("stopping", text)
            for end in others:
                self.wait_for_death(end)

    def test_the_limit_of_cpu_time(self):
        for limits in ("", "isolate: true, "):
            run = self.compiled(limits)
            run.send_signal(signal.SIGXCPU)
            text = self.rest(run, -signal.SIGXCPU)
            self.assertTrue(text.endswith(CPU_WORDS), text)

    def test_requests_to_stop(self):
        for limits in ("", "isolate: true, "):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1,
                           signal.SIGUSR2):
                run = self.compiled(limits)
                run.send_signal(number)
                text = self.rest(run, 130)
                self.assertIn("stopping: running stages end at their next safe point", text)
                self.assertRegex(text, r"interrupted: 0 run, 0 cached, 1 left in")

    def test_nothing_that_is_sent_disarms_another(self):
        """What is caught, and that SIGINT is met, after each signal that leaves the run alive."""
        for first in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXFSZ,
                      signal.SIGPIPE, signal.SIGCONT, signal.SIGWINCH):
            run = self.compiled(how="hang")
            before = self.caught(run.pid)
            self.assertLessEqual({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1,
                                  signal.SIGUSR2, signal.SIGXCPU, *CRASHES}, before)
            self.assertNotIn(signal.SIGQUIT, before)
            run.send_signal(first)
            if first in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
                self.until(run, "^stopping: ")
            else:
                self.wait_for("it has come",
                              lambda: not self.is_pending(run.pid, first))  # pylint: disable=W0640
            self.assertEqual(self.caught(run.pid), before)
            run.send_signal(signal.SIGINT)
            if first in (signal.SIGXFSZ, signal.SIGPIPE, signal.SIGCONT, signal.SIGWINCH):
                self.until(run, "^stopping: ")
            self.assertEqual(self.caught(run.pid), before)
            run.send_signal(signal.SIGQUIT)
            self.rest(run, -signal.SIGQUIT)


class Stops(Signals):
    def test_these_stop_a_run(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1,
                       signal.SIGUSR2):
            for limits in ("", "isolate: true, "):
                run = self.waiting(limits)
                run.send_signal(number)
                text = self.rest(run, 130)
                self.assertIn("stopping: running stages end at their next safe point", text)
                self.assertRegex(text, r"interrupted: 0 run, 0 cached, 1 left in")

    def test_a_warning_never_stops_at_once(self):
        """A system sends it as often as it likes, and others beside it."""
        for warning in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            run = self.waiting(how="hang")
            run.send_signal(warning)
            self.until(run, "^stopping: ")
            run.send_signal(warning)
            run.send_signal(signal.SIGTERM)  # the first that counts
            with self.assertRaises(subprocess.TimeoutExpired):
                run.wait(1)
            run.send_signal(signal.SIGINT)
            self.assertIn("stopped\n", self.rest(run, 130))

    def test_nohup_is_heeded(self):
        """Also after a driver has set a handler for it."""
        for stage in ("crash.now", "crash.device"):
            self.write("g.yaml", CRASH.replace("crash.now", stage) % ("", "wait"))
            run = self.start(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
            self.until(run, "^boom: logged line 1$")
            run.send_signal(signal.SIGHUP)
            with open(f"/proc/{run.pid}/status", encoding="ascii") as file:
                ignored = int(re.search(r"^SigIgn:\s*(\w+)", file.read(), re.M).group(1), 16)
            self.assertTrue(ignored >> (signal.SIGHUP - 1) & 1)
            run.send_signal(signal.SIGINT)
            self.assertNotIn("stopping", self.rest(run, 130).split("stopping: ", 1)[1])

    def test_a_closed_terminal(self):
        """The kernel's own SIGHUP: the terminal of the session goes away."""
        self.write("g.yaml", CRASH % ("", "wait"))
        pid, terminal = os.forkpty()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(MASSFLOW, self.line("run", "g.yaml"), self.environment())
        seen = b""
        while b"logged line 1" not in seen:
            seen += os.read(terminal, 4096)
        os.close(terminal)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 130)
        self.assertIn("interrupted", self.recorded("runs"))

    def test_a_command_is_ended(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            run, command = self.commanding()
            run.send_signal(number)
            self.assertIn("interrupted: 0 run, 0 cached, 1 left in", self.rest(run, 130))
            self.assertEqual(state_of(command), "")
            self.assertEqual(os.listdir(self.temporary), [])

    def test_a_command_that_a_batch_system_signals_too(self):
        """It may end before the run has heard: that is not a failure."""
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            run, command = self.commanding()
            os.kill(run.pid, signal.SIGSTOP)  # it hears later
            self.wait_for("massflow is stopped", lambda: state_of(run.pid) == "T")  # pylint: disable=W0640
            os.killpg(command, number)
            run.send_signal(number)
            run.send_signal(signal.SIGCONT)
            text = self.rest(run, 130)
            self.assertIn("interrupted: 0 run, 0 cached, 1 left in", text)
            self.assertNotIn("failed", text)

    def test_a_worker_that_is_signalled_itself(self):
        for number, name in ((signal.SIGTERM, "TERM"), (signal.SIGHUP, "HUP"),
                             (signal.SIGINT, "INT")):
            run = self.waiting("isolate: true, ")
            worker, = self.workers(run)
            os.kill(worker, number)
            text = self.rest(run, 1)
            self.assertIn(f"failed: boom\n  its process was asked to end by SIG{name}\n", text)

    def test_sigquit_ends_all_at_once(self):
        run = self.waiting("isolate: true, ")
        worker, = self.workers(run)
        end = os.pidfd_open(worker)
        run.send_signal(signal.SIGQUIT)
        self.rest(run, -signal.SIGQUIT)
        self.wait_for_death(end)
        run, command = self.commanding()
        end = os.pidfd_open(command)
        run.send_signal(signal.SIGQUIT)
        self.rest(run, -signal.SIGQUIT)
        self.wait_for_death(end)


class Paused(Signals):
    """Ctrl-Z, and going on."""

    def stop_and_continue(self, run, others, meanwhile=lambda: None):
        run.send_signal(signal.SIGTSTP)
        for pid in [run.pid, *others]:
            self.wait_for(f"{pid} of {[run.pid, *others]} is stopped",
                          lambda: state_of(pid) == "T")  # pylint: disable=W0640
        meanwhile()
        run.send_signal(signal.SIGCONT)
        for pid in [run.pid, *others]:
            self.wait_for(f"{pid} of {[run.pid, *others]} goes on",
                          lambda: state_of(pid) != "T")  # pylint: disable=W0640

    def test_a_worker_stops_and_goes_on_too(self):
        run = self.waiting("isolate: true, ")
        worker, = self.workers(run)
        self.stop_and_continue(run, [worker])
        self.stop_and_continue(run, [worker])
        run.send_signal(signal.SIGINT)
        self.rest(run, 130)

    def test_a_command_too(self):
        for limits in ("", "isolate: true, "):
            run, command = self.commanding(limits)
            self.stop_and_continue(run, [command])
            self.finish(run)
            shutil.rmtree(self.path(".massflow"))

    def test_it_does_not_count_for_a_timeout(self):
        """That it is stopped for longer than the timeout is what is tested."""
        for limits in ("timeout: 3, ", "isolate: true, timeout: 3, "):
            run, command = self.commanding(limits)
            self.stop_and_continue(run, [command], lambda: time.sleep(4))
            self.finish(run)
            shutil.rmtree(self.path(".massflow"))

    def test_sigstop_can_be_continued(self):
        run = self.waiting("isolate: true, ")
        run.send_signal(signal.SIGSTOP)
        self.wait_for("massflow is stopped", lambda: state_of(run.pid) == "T")
        run.send_signal(signal.SIGCONT)
        run.send_signal(signal.SIGINT)
        self.rest(run, 130)


class Output(Signals):
    def test_a_closed_pipe_ends_no_run(self):
        self.write("g.yaml", CRASH % ("", "well"))
        for words in ([], ["--log", "json"]):
            read, write = os.pipe()
            os.close(read)
            done = self.ended(self.line("run", "g.yaml", *words), stdout=write)
            os.close(write)
            self.assertEqual(done.stderr.count("massflow: standard output can't be written any "
                                               "more; the run continues\n"), 1)
            self.assertIn("1 of 1 nodes are cached", self.massflow("run", "g.yaml"))
            shutil.rmtree(self.path(".massflow"))

    def test_its_failures_still_count(self):
        self.write("g.yaml", CRASH % ("", "fail"))
        read, write = os.pipe()
        os.close(read)
        done = self.ended(self.line("run", "g.yaml"), 1, stdout=write)
        os.close(write)
        self.assertIn("failed: boom\n  it went wrong as it should\n", done.stderr)

    @staticmethod
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))

    def test_the_limit_of_a_file_is_an_error(self):
        self.write("g.yaml", """massflow: 1
stages:
  scan: {use: phantom.volume, with: {size: [128, 128, 128], spacing: [2, 2, 2]}}
""")
        run = self.start("scan", preexec_fn=self.small_files)
        text = self.rest(run, 1)
        self.assertRegex(text, r"massflow: error: .*cannot write '.*\.db': it would be larger than this shell "
                               r"allows files to be\n  'ulimit -f' says how large; raise it and run again: "
                               r"finished results are kept\n")
        self.massflow("run", "g.yaml")

    def test_a_command_meets_it_as_ever(self):
        self.write("g.yaml", """massflow: 1
stages:
  it: {use: exec.run, with: {command: "dd if=/dev/zero of={out.text} bs=1M count=4"}}
""")
        run = self.start(preexec_fn=self.small_files)
        self.assertIn("'dd' was killed by SIGXFSZ (File size limit exceeded)", self.rest(run, 1))


class Left(Signals):
    """What killed processes leave behind in TMPDIR and beside exports."""

    def folders(self):
        return [name for name in os.listdir(self.temporary) if name.startswith("massflow-exec-")]

    def killed(self, keep=""):
        run, command = self.commanding(keep=keep)
        end = os.pidfd_open(command)
        run.kill()
        run.communicate()
        self.wait_for_death(end)
        self.wait_for("the command's children end", lambda: not self.group_lives(command))

    def group_lives(self, group):
        try:
            os.killpg(group, 0)
            return True
        except ProcessLookupError:
            return False
        except PermissionError:
            return True

    def small_run(self):
        self.write("h.yaml", CRASH % ("", "well"))
        self.massflow("run", "h.yaml")

    def test_the_next_run_sweeps_the_folder(self):
        self.killed()
        self.assertEqual(len(self.folders()), 1)
        self.small_run()
        self.assertEqual(self.folders(), [])

    def test_a_folder_that_is_kept_stays(self):
        self.killed(keep="keep: true, ")
        self.small_run()
        self.assertEqual(len(self.folders()), 1)

    def test_what_is_not_known_to_be_left_stays(self):
        run, _ = self.commanding()
        os.mkdir(os.path.join(self.temporary, "massflow-exec-abcdef"))  # says nothing of its owner
        other = os.path.join(self.temporary, "massflow-exec-ghijkl")
        os.mkdir(other)
        with open(os.path.join(other, ".massflow"), "w", encoding="utf-8") as file:
            file.write("of another machine\n1 1\ndrop\n")
        os.symlink(other, os.path.join(self.temporary, "massflow-exec-mnopqr"))
        os.mkdir(os.path.join(self.temporary, "massflow-exec-stuvwx"))
        os.mkfifo(os.path.join(self.temporary, "massflow-exec-stuvwx", ".massflow"))
        before = sorted(self.folders())
        self.assertEqual(len(before), 5)
        self.small_run()
        self.assertEqual(sorted(self.folders()), before)
        self.finish(run)

    def test_a_folder_that_a_command_left_running_uses_stays(self):
        run, command = self.commanding()
        folder, = self.folders()
        with open(os.path.join(self.temporary, folder, ".massflow"), encoding="utf-8") as file:
            lines = file.read().splitlines()
        self.assertEqual(lines[2:], ["drop", str(command)])
        self.assertEqual(int(lines[1].split()[0]), run.pid)
        # The same of an owner that is gone, its command still there.
        with open(os.path.join(self.temporary, folder, ".massflow"), "w", encoding="utf-8") as file:
            file.write("\n".join([lines[0], "4194304 1", "drop", str(command)]) + "\n")
        self.small_run()
        self.assertEqual(self.folders(), [folder])
        self.finish(run)
        self.assertEqual(self.folders(), [])

    def test_of_a_worker_that_was_killed(self):
        run, command = self.commanding("isolate: true, ")
        worker, = self.workers(run)
        end = os.pidfd_open(command)
        os.kill(worker, signal.SIGKILL)
        self.rest(run, 1)
        self.wait_for_death(end)
        self.wait_for("the command's children end", lambda: not self.group_lives(command))
        self.small_run()
        self.assertEqual(self.folders(), [])

    def test_half_files_of_a_killed_process(self):
        os.mkdir(self.path("out"))
        self.write("g.yaml", CRASH % ("", "well") + "export: {boom: out/a.txt}\n")
        self.massflow("run", "g.yaml")
        self.assertEqual(os.listdir(self.path("out")), ["a.txt"])
        run = self.waiting()  # one that lives
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            machine = file.read().strip() + " " + os.readlink("/proc/self/ns/pid")
        import hashlib
        digits = hashlib.sha256(machine.encode()).hexdigest()[:8]
        with open(f"/proc/{run.pid}/stat", encoding="ascii") as file:
            start = file.read().rsplit(")", 1)[1].split()[19]
        stays = [f".writing-{digits}-{run.pid}-{start}-a.txt", ".writing-00000000-1-1-a.txt",
                 ".writing-17-a.txt"]
        for name in [f".writing-{digits}-4194304-1-b.txt",
                     f".writing-{digits}-{run.pid}-{int(start) - 1}-a.txt", *stays]:
            self.write("out/" + name, "half")
        # As they are written now: each in a folder of its own.
        self.write("victim", "mine")
        for name, left in ((f".writing-{digits}-4194304-1-abcdef", True),
                           (f".writing-{digits}-{run.pid}-{start}-abcdef", False)):
            os.mkdir(self.path("out/" + name), 0o700)
            self.write(f"out/{name}/b.txt", "half")
            os.symlink("../../victim", self.path(f"out/{name}/link"))
            if not left:
                stays.append(name)
        os.symlink("..", self.path(f"out/.writing-{digits}-4194304-1-ghijkl"))
        self.write("g.yaml", CRASH % ("", "well") + "export: {boom: out/b.txt}\n")
        self.massflow("run", "g.yaml")
        self.assertEqual(sorted(os.listdir(self.path("out"))), sorted([*stays, "a.txt", "b.txt"]))
        self.assertEqual(self.read("victim"), "mine")
        run.kill()


    def test_half_an_export_of_a_cache(self):
        """The next export to that folder removes what one that was ended has left."""
        self.write("g.yaml", """massflow: 1
stages:
  scan: {use: phantom.volume, with: {size: [128, 128, 128], spacing: [2, 2, 2]}}
""")
        self.massflow("run", "g.yaml", "scan")
        os.mkdir(self.path("out"))
        line = [MASSFLOW, "cache", "export", "out/all.mfx"]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1,
                       signal.SIGKILL):
            left, tries = [], 0
            while not left:  # until one is met in the midst
                tries += 1
                self.assertLess(tries, 100)
                export = self.popen(line, stdout=subprocess.DEVNULL)
                while not any(name.startswith(".writing-") for name in
                              os.listdir(self.path("out"))) and export.poll() is None:
                    pass
                export.send_signal(number)
                code = export.wait(60)
                left = [name for name in os.listdir(self.path("out")) if name != "all.mfx"]
            self.assertEqual(code, -number)
            self.assertEqual([name[:9] for name in left], [".writing-"])
            self.ended(line)
            self.assertEqual(os.listdir(self.path("out")), ["all.mfx"])


class Overtime(Signals):
    WORDS = ("has run longer than its timeout of 0.2 s; it runs in a thread, which can't be killed, "
             "and ends at its next safe point; with isolate: true beside the timeout it is killed")

    def test_a_stage_whose_time_is_over_says_so(self):
        run = self.waiting("timeout: 0.2, ", how="hang")
        self.assertEqual(self.until(run, "^overtime .*$").group(0), "overtime boom: " + self.WORDS)
        self.wait_for("it is recorded", lambda: self.WORDS in self.recorded("log"))

    def test_to_a_program(self):
        self.write("g.yaml", CRASH % ("timeout: 0.2, ", "hang"))
        run = self.start("--log", "json")
        for line in run.stdout:
            if line.startswith("{") and json.loads(line)["event"] == "overtime":
                event = json.loads(line)
                break
        self.assertEqual((event["node"], event["text"]), ("boom", self.WORDS))
        self.assertGreaterEqual(event["seconds"], 0.2)  # that it has run
        run.kill()

    def test_not_of_one_that_ends_in_time(self):
        self.write("g.yaml", CRASH % ("timeout: 100, ", "well"))
        self.assertNotIn("overtime", self.massflow("run", "g.yaml"))


class Help(Signals):
    def help_text(self, *words):
        text = self.ended([MASSFLOW, *words]).stdout
        self.assertNotIn("(null)", text)
        return text

    def test_of_every_command(self):
        names = re.findall(r"^  massflow (\S+)", self.help_text("help"), re.M)
        self.assertGreater(len(names), 15)
        for name in [*names, "worker"]:
            text = self.help_text("help", name)
            self.assertRegex(text, rf"\Amassflow {name}( .*)? - \S")
            self.assertEqual(self.help_text(name, "--help"), text)

    def test_of_the_cache(self):
        text = self.help_text("help", "cache")
        self.assertIn("gc", text)


if __name__ == "__main__":
    main(4)
