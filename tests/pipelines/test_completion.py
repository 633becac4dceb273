#!/usr/bin/env python3
"""Completion of command lines, and the manual page: test_completion.py MASSFLOW"""
import os
import re
import subprocess
import sys

from harness import Massflow, main

GRAPH = """massflow: 1
params: {edge: 16, spacing: [6, 6, 6]}
cases: {count: 2}
axes: {seed: [1, 2]}
stages:
  patient:
    use: phantom.volume
    each: [case, seed]
    with: {size: ["${edge}", 16, 16], spacing: "${spacing}", seed: "${seed}"}
"""


class Completion(Massflow):
    ONE_FOLDER = True

    def prepare(self):
        self.write("graph.yaml", GRAPH)

    def complete(self, line, shell="bash"):
        return self.massflow("complete", shell, line.replace("graph.yaml", self.path("graph.yaml"))).splitlines()

    def test_pools_of_the_site(self):
        self.write("pools.yaml", "pools:\n  gpu: {submit: slurm, time: 60}\n  cpu: {submit: slurm, time: 60}\n")
        os.environ["MASSFLOW_POOLS"] = self.path("pools.yaml")
        self.addCleanup(os.environ.pop, "MASSFLOW_POOLS")
        self.assertEqual(self.complete("massflow run graph.yaml --pool "), ["gpu", "cpu"])
        self.assertEqual(self.complete("massflow run graph.yaml --pool gpu,c"), ["gpu,cpu"])
        self.assertEqual(self.complete("massflow pools g"), ["gpu"])

    def test_commands(self):
        self.assertEqual(self.complete("massflow ru"), ["run", "runs"])
        self.assertNotIn("complete", self.complete("massflow "))
        self.assertEqual(self.complete("massflow cache i"), ["import"])
        self.assertEqual(self.complete("massflow cache drop graph.yaml pa"), ["patient"])
        self.assertEqual(self.complete("massflow run graph.yaml --force pa"), ["patient"])
        self.assertEqual(self.complete("massflow experiments --format "), ["text", "csv", "json"])
        self.assertEqual(self.complete("massflow no-such-command "), [])

    def test_options(self):
        self.assertEqual(self.complete("massflow run graph.yaml --s"), ["--set", "--same-device"])
        self.assertEqual(self.complete("massflow run --code "), ["digest", "version"])
        self.assertEqual(self.complete("massflow run graph.yaml --set "), ["edge=", "spacing="])
        self.assertEqual(self.complete("massflow run graph.yaml --set edge="), [])
        self.assertEqual(self.complete("massflow run graph.yaml --case 00"), ["000", "001"])

    def test_nodes(self):
        self.assertEqual(self.complete("massflow run "), [])  # files, by the shell
        self.assertEqual(self.complete("massflow run graph.yaml p"), ["patient"])
        self.assertEqual(self.complete("massflow run graph.yaml patient"), ["patient", "patient\\["])
        self.assertEqual(self.complete("massflow get graph.yaml patient.f"), ["patient.facts"])
        self.assertEqual(self.complete("massflow get graph.yaml 'patient[case=001"),
                         ["patient[case=001,seed=1]", "patient[case=001,seed=2]"])
        # bash goes on behind the last '='
        self.assertEqual(self.complete("massflow run graph.yaml patient\\[case=0"),
                         [f"{case},seed={seed}\\]" for case in ("000", "001") for seed in (1, 2)])
        self.assertEqual(self.complete("massflow run graph.yaml patient\\[case=001,seed=1", "zsh"),
                         ["patient\\[case=001,seed=1\\]"])
        self.assertEqual(self.complete("massflow help phantom.v"), ["phantom.volume"])

    def test_ids_are_no_commands(self):
        """What is completed names the node whatever its case is called, and runs nothing."""
        case = "a $(touch it-ran) `touch it-ran` ${x} ~#&;|*?"
        self.write("odd.csv", f"id\n{case}\n")
        self.write("odd.yaml", "massflow: 1\ncases: {csv: odd.csv}\nstages:\n  scan: {use: phantom.volume, each: case}\n")
        for shell in ("bash", "zsh"):
            for quote in ("", "'", '"'):
                typed = f"{quote}scan[case" if quote else "scan\\[case"
                found, = self.complete(f"massflow run {self.path('odd.yaml')} {typed}", shell)
                done = subprocess.run(["bash", "-c", f"printf %s {quote}{found}{quote}"], cwd=self.folder, text=True,
                                      capture_output=True, check=True)
                self.assertEqual((done.stdout, done.stderr), (f"scan[case={case}]", ""))
        self.assertFalse(os.path.exists(self.path("it-ran")))

    def test_a_graph_that_is_wrong(self):
        self.write("wrong.yaml", "massflow: 1\nstages: {a: {use: no.such}}\n")
        self.assertEqual(subprocess.run([sys.argv[1], "complete", "bash", f"massflow run {self.path('wrong.yaml')} "],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout, b"")

    def test_in_bash(self):
        script = ('source <(massflow completion bash); COMP_LINE="massflow run graph.yaml --set ed"; '
                  'COMP_POINT=${#COMP_LINE}; compopt() { echo "$@"; }; _massflow; echo "${COMPREPLY[@]}"; '
                  'complete -p massflow')
        done = subprocess.run(["bash", "-c", script], cwd=self.folder, text=True, stdout=subprocess.PIPE, check=True,
                              env={**os.environ, "PATH": os.path.dirname(os.path.abspath(sys.argv[1])) + ":" +
                                   os.environ["PATH"]})
        self.assertEqual(done.stdout, "-o nospace\nedge=\ncomplete -o bashdefault -o default -F _massflow massflow\n")
        self.assertIn("take bash or zsh", self.massflow("completion", "fish", code=2))


class Manual(Massflow):
    def test_every_command_and_option(self):
        page = self.massflow("manual")
        for command in re.findall(r"^  massflow (\S+)", self.massflow("help"), re.M):
            self.assertRegex(page, rf'\n\.SS "massflow {command}[ "]')
            for option in re.findall(r"--([a-z-]+)", self.massflow("help", command).split("\nOptions:\n")[1]):
                self.assertTrue(option == "help" or "\\-\\-" + option.replace("-", "\\-") in page, option)
        if subprocess.run(["sh", "-c", "command -v man"], stdout=subprocess.DEVNULL, check=False).returncode == 0:
            self.write("massflow.1", page)
            shown = subprocess.run(["man", "--warnings", "-l", self.path("massflow.1")], text=True, check=True,
                                   capture_output=True)
            self.assertEqual(shown.stderr, "")
            self.assertIn("MASSFLOW(1)", shown.stdout)


main(1)
