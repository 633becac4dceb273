#!/usr/bin/env python3
"""`massflow devices` and its checks, with a right driver and with one that lies, crashes and waits:
test_devices.py MASSFLOW LYING"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

MASSFLOW = os.path.abspath(sys.argv[1])
LYING = os.path.abspath(sys.argv[2])
# Under the address sanitizer: a library stands before its runtime, and a crash is the driver's.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0:handle_segv=0:handle_abort=0"
COLUMNS = r"op +form cases error/bound +time +rate +local private  result"
ADVICE = (r"Do not use device 0 with this driver: its results can be wrong\.\n"
          r"Install another version of the driver(, or use --device cpu)?\. Please send the file that\n"
          r"  massflow devices 0 --check --json > check\.json\nwrites\.\n")
ROW = {"op", "form", "result", "cases", "wrong", "ratio", "local_memory", "private_memory", "group_multiple",
       "max_group", "failures"}
TIMED = {"timed", "seconds"}
DEVICE = {"device", "name", "vendor", "platform", "version", "driver", "form", "compute_units", "memory",
          "max_allocation", "local_memory", "max_work_group", "cases", "wrong", "seconds", "rows"}


def massflow(*args, code=0, **variables):
    done = subprocess.run([MASSFLOW, *args], env=dict(os.environ, **variables), text=True, capture_output=True,
                          timeout=280)
    if done.returncode != code:
        raise AssertionError(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def check(*args, code=0, **variables):
    """The first device alone, so that a machine with a GPU and one without show the same."""
    return massflow("devices", "0", "--check", *args, code=code, **variables)


class Devices(unittest.TestCase):
    maxDiff = None

    def test_list(self):
        self.assertRegex(massflow("devices").stdout, r"^0  .+ \((CPU|GPU)\)   default\n   platform ")

    def test_wrong_requests(self):
        for args, text in [
                (["cpu"], "a device is named with --check only"),
                (["--json"], "--json goes with --check"),
                (["--only", "add"], "--only goes with --check"),
                (["--check", "--quick", "--thorough"], "--quick and --thorough exclude each other")]:
            self.assertEqual(massflow("devices", *args, code=2).stderr.split("\n")[0],
                             f"massflow: error: {text}")
        self.assertEqual(massflow("devices", "abacus", "--check", code=1).stderr.split("\n")[0],
                         'massflow: error: no OpenCL device matches "abacus"')
        self.assertEqual(check("--only", "wavelet", code=1).stderr,
                         'massflow: error: no op is called "wavelet"\n')

    def test_table(self):
        text = check("--only", "scale").stdout
        device, table = text.split("\n\n", 1)
        self.assertRegex(device, r"^0  .+ \((CPU|GPU)\)\n   vendor .+, platform .+\n   OpenCL .+, driver .+\n"
                                 r"   \d+ compute units, [\d.]+ GiB memory, [\d.]+ GiB maximum allocation, "
                                 r"\d+ KiB local, work-groups up to \d+$")
        lines = table.split("\n")
        self.assertRegex(lines[0], "^" + COLUMNS + "$")
        self.assertRegex(lines[1], r"^scale +(cpu|gpu) +6 +[01]\.\d\d +[\d.]+ ms +[\d.]+ GB/s +\d+ [BK] +\d+ [BK]  ok$")
        self.assertRegex(table, r"\n\n[67] cases on 1 device in \d+ s: all right\n$")

    def test_forms(self):
        own = json.loads(check("--only", "relu", "--quick", "--own-form", "--json").stdout)
        both = json.loads(check("--only", "relu", "--quick", "--json").stdout)
        form = own["devices"][0]["form"]
        for report, wanted in (own, {form}), (both, {"cpu", "gpu"} if form == "cpu" else {"gpu"}):
            self.assertEqual({row["form"] for row in report["devices"][0]["rows"]}, wanted)

    def test_json(self):
        done = check("--only", "mul_rows", "--json")
        self.assertRegex(done.stderr, COLUMNS)
        report = json.loads(done.stdout)
        self.assertEqual(set(report), {"version", "massflow", "numerics", "result", "seconds", "devices"})
        self.assertEqual((report["version"], report["result"]), (1, "ok"))
        device, = report["devices"]
        self.assertEqual(set(device), DEVICE)
        self.assertEqual(device["cases"], sum(row["cases"] for row in device["rows"]))
        own = device["rows"][0]
        self.assertEqual(set(own), ROW | TIMED | {"bytes"})
        self.assertEqual((own["op"], own["result"], own["wrong"], own["failures"]), ("mul_rows", "ok", 0, []))
        self.assertEqual(own["timed"], "mul_rows [1,1024,256] [256] 1")
        self.assertLessEqual(own["ratio"], 1)

    def test_a_wrong_result(self):
        lie = {"LD_PRELOAD": LYING, "LIE_ABOUT": "add_rows"}
        text = check("--only", "add", "--quick", "--own-form", code=1, **lie).stdout
        self.assertRegex(text, r"\nadd +(cpu|gpu) +1 +[01]\.\d\d .+  ok\n")
        self.assertRegex(text, r"\nadd_rows +(cpu|gpu) +1 +\d+\.\d\d +.+  WRONG\n"
                               r"    add_rows \[2,5,3\] \[3\]\n"
                               r"      value \[0,0,1\] is \S+, should be \S+, may differ by \S+\n")
        self.assertRegex(text, r"\n\n4 cases on 1 device in \d+ s: 1 wrong\n" + ADVICE + "$")
        report = json.loads(check("--only", "add_rows", "--quick", "--own-form", "--json", code=1, **lie).stdout)
        self.assertEqual(report["result"], "wrong")
        row, = report["devices"][0]["rows"]
        failure, = row["failures"]
        self.assertEqual((row["result"], row["wrong"]), ("wrong", 1))
        self.assertEqual((failure["case"], failure["element"]), ("add_rows [2,5,3] [3]", "value [0,0,1]"))
        self.assertAlmostEqual(failure["value"] - failure["expected"], 1, 5)
        self.assertLess(failure["bound"], 1e-6)

    def test_each_kernel_of_a_gradient_is_compared(self):
        for op, kernel in [("sigmoid", "sigmoid_gradient"), ("sum", "expand"), ("layer_norm", "layer_norm_gradient")]:
            text = check("--only", op, "--quick", "--own-form", code=1, LD_PRELOAD=LYING, LIE_ABOUT=kernel).stdout
            self.assertIn("WRONG", text)

    def test_a_crash(self):
        crash = {"LD_PRELOAD": LYING, "CRASH_IN": "add_rows"}
        text = check("--only", "rows", "--quick", "--own-form", code=1, **crash).stdout
        self.assertRegex(text, r"\nadd_rows +(cpu|gpu) +1 +.+  CRASHED\n    add_rows \[2,5,3\] \[3\]\n"
                               r"      the driver crashed: signal 11, Segmentation fault\n")
        self.assertRegex(text, r"\nmul_rows +(cpu|gpu) +1 +.+  ok\n") # in another process
        self.assertRegex(text, ADVICE + "$")
        report = json.loads(check("--only", "rows", "--quick", "--own-form", "--json", code=1, **crash).stdout)
        results = {row["op"]: row["result"] for row in report["devices"][0]["rows"]}
        self.assertEqual(results["add_rows"], "crashed")
        self.assertEqual(results["mul_rows"], "ok")

    def test_many_crashes_end_the_check_of_a_device(self):
        text = check("--only", "add", "--own-form", code=1, LD_PRELOAD=LYING, CRASH_IN="add").stdout
        self.assertEqual(len(re.findall("the driver crashed: signal 11", text)), 4 + 2) # 4 of a row are shown
        self.assertIn("    and 2 more\n", text)
        self.assertRegex(text, r"\n0  .+: the driver crashed in 8 cases; the rest was not run\n" + ADVICE + "$")
        self.assertNotIn("\nadd_rows", text)

    def test_a_case_that_takes_long_is_named(self):
        with tempfile.TemporaryDirectory(prefix="massflow-test-") as folder:
            file = os.path.join(folder, "go")
            child = subprocess.Popen([MASSFLOW, "devices", "0", "--check", "--only", "scale", "--quick",
                                      "--own-form"], text=True, stdout=subprocess.PIPE,
                                     env=dict(os.environ, LD_PRELOAD=LYING, WAIT_IN="scale", WAIT_FOR=file))
            for line in child.stdout:
                if "so far" in line:
                    self.assertRegex(line, r"^    scale \[77\]: \d\d s so far\n$")
                    open(file, "w", encoding="ascii").close()
                    break
            rest = child.communicate()[0]
            self.assertEqual(child.returncode, 0)
            self.assertRegex(rest, r"^scale +(cpu|gpu) +1 +[01]\.\d\d .*ok\n")



GRAPH = """massflow: 1
cases: [{count: 1, id: "a"}]
stages:
  patient: {use: phantom.volume, each: case, with: {size: [32, 32, 32], spacing: [6, 6, 6], seed: 1}}
  found: {use: slic.masks, each: case, in: {volume: patient.volume}, ISOLATE
          with: {sizes: [16], merge_thresholds: [3], edge_threshold: 4, min_edge_fraction: 0.9, min_voxels: 150}}
"""
ELEMENT = r"sum \[3,5,7\] \S+: value \[0,\d\] is \S+, should be \S+, may differ by \S+"


def said(output):
    """What the stage found, without the line that tells its device's form."""
    return [line for line in output.splitlines()
            if line.startswith("found[case=a]: ") and not line.startswith("found[case=a]: device ")]


class FirstUse(unittest.TestCase):
    """What a driver says is its version is the test's, so that nothing is known of it beforehand."""
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="massflow-test-")
        self.caches = 0

    def tearDown(self):
        shutil.rmtree(self.folder)

    def run_graph(self, code=0, isolate="", **variables):
        """The driver's launches ("kernel form"), what the run says on stderr, and what it found."""
        self.caches += 1
        log, cache = os.path.join(self.folder, f"log{self.caches}"), os.path.join(self.folder, f"c{self.caches}")
        graph = os.path.join(self.folder, "graph.yaml")
        with open(graph, "w", encoding="ascii") as file:
            file.write(GRAPH.replace("ISOLATE", isolate))
        done = massflow("run", graph, "--cache", cache, code=code, LD_PRELOAD=LYING, LAUNCHES=log,
                        XDG_CACHE_HOME=os.path.join(self.folder, "home"),
                        POCL_CACHE_DIR=os.path.join(self.folder, "pocl"), **variables)
        launches = []
        if os.path.exists(log):
            with open(log, encoding="ascii") as file:
                launches = file.read().splitlines()
        errors = re.sub(r"massflow: device 0 .* is used for the first time .*\n", "", done.stderr) # compiling
        return launches, errors, said(done.stdout)

    def test_first_use(self):
        launches, errors, right = self.run_graph(DRIVER="1.0")
        self.assertTrue(any(line.startswith("sum_last ") for line in launches))
        self.assertEqual(errors, "")
        own = launches[0].split()[1]
        other = "gpu" if own == "cpu" else "cpu"
        again, errors, _ = self.run_graph(DRIVER="1.0")
        self.assertFalse(any(line.startswith("sum_last ") for line in again)) # remembered
        self.assertEqual(errors, "")
        ignored, _, _ = self.run_graph(DRIVER="1.0", LIE_ABOUT="sum_last")
        self.assertEqual(ignored, again) # also where it lies by now: no check was run

        lie = {"DRIVER": "2.0", "LIE_ABOUT": "sum_last", "LIE_FORM": f"MF_CPU={int(own == 'cpu')}"}
        kernels = {"cpu": "kernels for CPUs", "gpu": "kernels for GPUs"}
        warning = (rf"^massflow: warning: device 0 \(.+\), driver 2\.0: the {kernels[own]} are wrong: {ELEMENT}\n"
                   rf"  The run uses the {kernels[other]} on it instead, which are slower there\. massflow devices 0 "
                   r"--check shows all that is wrong\.\n$")
        launches, errors, found = self.run_graph(**lie) # another version: checked again
        self.assertRegex(errors, warning)
        self.assertTrue(any(line.startswith("sum_last ") for line in launches))
        stage = {line.split()[1] for line in launches if line.startswith("slic_")}
        self.assertEqual(stage, {other})
        self.assertEqual(found, right)
        for isolate in ["", "isolate: true,"]: # a worker neither checks nor uses another form
            launches, errors, found = self.run_graph(isolate=isolate, **lie)
            self.assertRegex(errors, warning)
            # The log of the node keeps which form it ran in.
            self.assertRegex(massflow("log", os.path.join(self.folder, "graph.yaml"), "found", "--cache",
                                      os.path.join(self.folder, f"c{self.caches}")).stdout,
                             rf"device 0 \(.+\), driver 2\.0: its {kernels[own]} are wrong; it uses those for "
                             rf"{other.upper()}s\n")
            self.assertEqual({line.split()[1] for line in launches}, {other})
            self.assertFalse(any(line.startswith("sum_last ") for line in launches))
            self.assertEqual(found, right)

        both = {"DRIVER": "3.0", "LIE_ABOUT": "sum_last"}
        for _ in range(2): # a refusal is not remembered
            launches, errors, _ = self.run_graph(code=2, **both)
            self.assertRegex(errors, r"^massflow: error: device 0 \(.+\) computes wrong results with driver 3\.0\n"
                                     rf"  {kernels[own]}: {ELEMENT}\n  {kernels[other]}: {ELEMENT}\n"
                                     r"  use another version of the driver( or --device cpu)?; massflow devices 0 "
                                     r"--check shows all that is wrong\n$")
            self.assertFalse(any(line.startswith("slic_") for line in launches))
        launches, errors, _ = self.run_graph(MASSFLOW_FIRST_USE="0", **both)
        self.assertEqual(errors, "")
        self.assertFalse(any(line.startswith("sum_last ") for line in launches))

        crash = {"DRIVER": "4.0", "CRASH_IN": "sum_last"}
        launches, errors, _ = self.run_graph(code=2, **crash)
        self.assertIn("the driver crashed: signal 11, Segmentation fault", errors)

    def test_compiling_is_shown(self):
        """A build that waits for a file: the run's events say so until it is there."""
        for isolate in ["", "isolate: true,"]:
            go = os.path.join(self.folder, "go" + isolate[:3])
            graph = os.path.join(self.folder, "graph.yaml")
            with open(graph, "w", encoding="ascii") as file:
                file.write(GRAPH.replace("ISOLATE", isolate))
            child = subprocess.Popen(
                [MASSFLOW, "run", graph, "--log", "json", "--cache", os.path.join(self.folder, "c" + isolate[:3])],
                text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=dict(os.environ, LD_PRELOAD=LYING, WAIT_IN="build", WAIT_FOR=go, MASSFLOW_FIRST_USE="0",
                         XDG_CACHE_HOME=os.path.join(self.folder, "home")))
            told = []
            for line in child.stdout:
                event = json.loads(line)
                if event["event"] == "progress" and event.get("words"):
                    told.append((event["node"], event["words"]))
                    open(go, "w", encoding="ascii").close()
            self.assertEqual(child.wait(), 0)
            child.stdout.close()
            self.assertEqual(told[0], ("found[case=a]", "compiling kernels, source 1"))

    def test_two_first_uses_at_once(self):
        """Both end right; what they leave is whole: the next run uses it."""
        home = os.path.join(self.folder, "home")
        runs = []
        for i in range(2):
            graph = os.path.join(self.folder, f"graph{i}.yaml")
            with open(graph, "w", encoding="ascii") as file:
                file.write(GRAPH.replace("ISOLATE", ""))
            runs.append(subprocess.Popen(
                [MASSFLOW, "run", graph, "--cache", os.path.join(self.folder, f"both{i}")], text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=dict(os.environ, LD_PRELOAD=LYING, DRIVER="5.0", XDG_CACHE_HOME=home,
                         LAUNCHES=os.path.join(self.folder, f"both{i}.log"),
                         WAIT_IN="sum_last", WAIT_FOR=os.path.join(self.folder, "go"))))
        for i in range(2): # both are in the middle of their check
            while not os.path.exists(os.path.join(self.folder, f"both{i}.log")):
                self.assertIsNone(runs[i].poll())
                os.sched_yield()
        open(os.path.join(self.folder, "go"), "w", encoding="ascii").close()
        found = []
        for run in runs:
            out, _ = run.communicate()
            self.assertEqual(run.returncode, 0)
            found.append(said(out))
        self.assertEqual(found[0], found[1])
        left = os.listdir(os.path.join(home, "massflow", "programs"))
        self.assertEqual([name for name in left if name.startswith(".")], []) # nothing half written
        launches, errors, again = self.run_graph(DRIVER="5.0")
        self.assertFalse(any(line.startswith("sum_last ") for line in launches))
        self.assertEqual((errors, again), ("", found[0]))

    def test_a_folder_that_is_not_there(self):
        """Nothing is remembered, and the run goes on."""
        file = os.path.join(self.folder, "home")
        open(file, "w", encoding="ascii").close()
        for _ in range(2):
            launches, errors, _ = self.run_graph(DRIVER="1.0")
            self.assertTrue(any(line.startswith("sum_last ") for line in launches))
            self.assertEqual(errors, "")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
