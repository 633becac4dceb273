#!/usr/bin/env python3
"""A plugin from nothing: test_new.py MASSFLOW BUILD

What `massflow new` makes builds against the build tree and against an installation, passes its own
test and runs; an edit to its source or kernel makes it run again.
"""
import glob
import os
import subprocess
import sys

from harness import MASSFLOW, Massflow, main

BUILD = os.path.abspath(sys.argv[2])


class New(Massflow):
    TIMEOUT = 200

    def run_in(self, folder, *words, code=0, **env):
        env = dict(os.environ, **env)
        for name in ("DESTDIR", "MESON_TEST_ITERATION", "LD_LIBRARY_PATH"):
            env.pop(name, None)
        return self.ended(words, code, cwd=self.path(folder), env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT).stdout

    def build_and_run(self, massflow, pkg_config):
        """As the new plugin's README says."""
        self.run_in("vessels", "meson", "setup", "build", PKG_CONFIG_PATH=pkg_config)
        self.run_in("vessels", "ninja", "-C", "build")
        self.run_in("vessels", "meson", "test", "-C", "build")
        out = self.run_in("vessels", massflow, "describe", "vessels.above", MASSFLOW_PLUGINS="build")
        self.assertIn("vessels.above - Label the voxels at or above a value.\n", out)
        out = self.run_in("vessels", massflow, "run", "vessels.yaml", MASSFLOW_PLUGINS="build")
        self.assertIn("finished: 4 run, 0 cached", out)

    def test_against_the_build_tree(self):
        out = self.run_in(".", MASSFLOW, "new", "vessels")
        self.assertEqual(out, f"""vessels/
  vessels.c            a stage
  vessels.cl           its kernel
  vessels.yaml         a graph with it
  test_vessels.py      its test
  meson.build          how it is built
  README.md            how to go on

  cd vessels
  export PKG_CONFIG_PATH={BUILD}/engine
  meson setup build && ninja -C build && meson test -C build
  MASSFLOW_PLUGINS=build massflow run vessels.yaml
""")
        self.build_and_run(MASSFLOW, BUILD + "/engine")
        # Sources and kernels are part of the key.
        for file, old, new in (("vessels.c", "%lld voxels", "of %lld voxels"),
                               ("vessels.cl", "voxels[i] >=", "voxels[i] >")):
            path = self.path(f"vessels/{file}")
            with open(path, encoding="ascii") as source:
                text = source.read()
            self.assertIn(old, text)
            with open(path, "w", encoding="ascii") as source:
                source.write(text.replace(old, new))
            self.run_in("vessels", "ninja", "-C", "build")
            out = self.run_in("vessels", MASSFLOW, "run", "vessels.yaml", MASSFLOW_PLUGINS="build")
            self.assertIn("finished: 2 run, 2 cached", out)

    def replace(self, file, old, new):
        path = self.path(f"vessels/{file}")
        with open(path, encoding="ascii") as source:
            text = source.read()
        self.assertIn(old, text)
        with open(path, "w", encoding="ascii") as source:
            source.write(text.replace(old, new))

    def build_and_fail(self):
        self.run_in("vessels", "ninja", "-C", "build")
        return self.run_in("vessels", MASSFLOW, "run", "vessels.yaml", code=1, MASSFLOW_PLUGINS="build")

    def test_mistakes_in_a_kernel(self):
        """The compiler's message has the file as it was written, and its line; a wrong name of a
        kernel is answered with the names there are."""
        self.run_in(".", MASSFLOW, "new", "vessels")
        self.replace("vessels.c", 't, "above"', 't, "abov"')
        self.run_in("vessels", "meson", "setup", "build", PKG_CONFIG_PATH=BUILD + "/engine")
        self.assertIn("the OpenCL source has no kernel 'abov'\n  its kernels: above\n", self.build_and_fail())
        self.replace("vessels.cl", "    int i =", "    int i = nothing +")
        self.assertRegex(self.build_and_fail(), r"(?m)^.*\bvessels\.cl\D4\D.*'?nothing'?")
        # Behind an included file the lines are still the user's.
        self.replace("vessels.cl", "__kernel", '#include "more.clh"\n__kernel')
        self.write("vessels/more.clh", "/* one\n   two */\n")
        out = self.build_and_fail()
        self.assertRegex(out, r"(?m)^.*\bvessels\.cl\D5\D.*'?nothing'?")
        with open(self.path("vessels/more.clh"), "a", encoding="ascii") as file:
            file.write("int wrong(void) { return nowhere; }\n")
        self.replace("vessels.cl", "nothing +", "nothing  +") # meson does not follow what a kernel includes
        self.assertRegex(self.build_and_fail(), r"(?m)^.*\bmore\.clh\D3\D.*'?nowhere'?")

    def test_a_function_that_massflow_does_not_have(self):
        """Misspelled, or private to massflow: the link says so, not the load."""
        self.run_in(".", MASSFLOW, "new", "vessels")
        self.run_in("vessels", "meson", "setup", "build", PKG_CONFIG_PATH=BUILD + "/engine")
        self.replace("vessels.c", "mf_log(", "mf_lgo(")
        self.assertIn("undefined reference to `mf_lgo'", self.run_in("vessels", "ninja", "-C", "build", code=1))
        self.replace("vessels.c", "mf_lgo(t", 'mf_log(t, "%s", mf_outcome_text(0)), mf_log(t')
        self.replace("vessels.c", "typedef", "const char *mf_outcome_text(int outcome);\n\ntypedef")
        self.assertIn("undefined reference to `mf_outcome_text'",
                      self.run_in("vessels", "ninja", "-C", "build", code=1))

    def test_against_an_installation(self):
        """Moved elsewhere, as a package would be."""
        root = self.path("root")
        self.run_in(".", "meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root)
        massflow, = glob.glob(f"{root}/**/bin/massflow", recursive=True)
        pkg_config, = map(os.path.dirname, glob.glob(f"{root}/**/massflow.pc", recursive=True))
        # Graphs, the model, documentation and the licence come along, found from where the command lies.
        self.assertRegex(self.run_in(".", massflow, "graphs"), r"(?m)^pretrain\.yaml +learn an encoder from scans")
        out = self.run_in(".", massflow, "graphs", "-o", "mine")
        self.assertRegex(out, r"mine: \d+ files; begin with: massflow run mine/quickstart.yaml")
        self.assertIn("mine: exists", self.run_in(".", massflow, "graphs", "-o", "mine", code=2))
        self.assertIn("the small SAM 2 of this massflow", self.run_in(
            ".", massflow, "models", "mine/models/sam2-small.safetensors"))
        for name in ("LICENSE", "docs/install.md", "examples/few_shot.ipynb"):
            self.assertEqual(len(glob.glob(f"{root}/**/share/doc/massflow/{name}", recursive=True)), 1, name)
        out = self.run_in(".", massflow, "new", "vessels")
        self.assertIn(f"  export PKG_CONFIG_PATH={pkg_config}\n", out)
        self.build_and_run(massflow, pkg_config)
        # Beside massflow's own plugins it is found without being told.
        self.run_in("vessels", "meson", "install", "-C", "build", "--quiet")
        out = self.run_in("vessels", massflow, "run", "vessels.yaml")
        self.assertIn("finished: 0 run, 4 cached", out)

    def test_names(self):
        for name, message in (
                ("Vessels", "'Vessels' is not a valid name of a plugin: lower-case letters, digits and _, "
                            "beginning with a letter"),
                ("slic", "there is a plugin 'slic' already"),
                ("taken", "taken: File exists")):
            if name == "taken":
                os.mkdir(self.path(name))
            self.assertEqual(self.run_in(".", MASSFLOW, "new", name, code=2),
                             f"massflow: error: {message}\n")


if __name__ == "__main__":
    main(2)
