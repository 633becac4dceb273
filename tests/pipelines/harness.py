"""The one way in which Python tests drive the command.

A test is a class of `Massflow`: it has a folder of its own, in which it writes files, runs massflow, reads
what came of it and asks the cache's database. `Pipeline` has the counting plugin and three texts besides,
`Commands` a TMPDIR of its own, `Isolated` and `Signals` the plugin that crashes. Below are the files that
tests make and read: NIfTI, DICOM, NumPy arrays, CSV.

The first word of every test's command line is the command itself.
"""
import array
import ast
import contextlib
import csv
import gzip
import json
import os
import re
import select
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import unittest

MASSFLOW = os.path.abspath(sys.argv[1])
DATA = os.path.abspath(os.environ.get("MASSFLOW_DATA") or "nowhere")
REAL = unittest.skipUnless(os.path.isdir(DATA), "no MASSFLOW_DATA")

# What differs each time.
TIMES = [(re.compile(r"peak memory \d+ MB"), "peak memory N MB"),
         (re.compile(r"\(\d[^)]*s\)"), "(TIME)"),
         (re.compile(r" in \d\S* ?m?s$", re.M), " in TIME")]

# Of commands that take neither a graph nor plugins.
BARE = ("cache", "runs", "log", "workers")


def sanitized():
    with open(MASSFLOW, "rb") as file:
        return b"libasan" in file.read()


def preloading(library):
    """The variables by which a library is loaded into massflow."""
    return {"LD_PRELOAD": library,
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}


def flags(settings=(), **values):
    """--set of each "NAME=VALUE" and NAME=VALUE."""
    settings = [*settings, *(f"{name}={value}" for name, value in values.items())]
    return [word for setting in settings for word in ("--set", setting)]


def table_of(path):
    """The rows of a CSV file, each by the names of its columns."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Massflow(unittest.TestCase):
    """Tests in a folder: one for each test, or one for all of the class."""

    PLUGINS = ()         # files; they are found in plugins/ of the folder
    ONE_FOLDER = False
    TIMEOUT = 120
    REPLACED = ()        # (pattern, words) in what massflow says, as TIMES

    @classmethod
    def setUpClass(cls):
        if cls.ONE_FOLDER:
            cls.make_folder(cls)
            cls.addClassCleanup(shutil.rmtree, cls.folder)
            cls().prepare()

    def prepare(self):
        """What all tests of a class with one folder begin with. It is kept in the class."""

    def setUp(self):
        if not self.ONE_FOLDER:
            self.make_folder(self)
            self.addCleanup(shutil.rmtree, self.folder)

    @staticmethod
    def make_folder(owner):
        owner.folder = tempfile.mkdtemp(prefix="massflow-test-")
        if owner.PLUGINS:
            os.mkdir(os.path.join(owner.folder, "plugins"))
        for file in owner.PLUGINS:
            os.symlink(file, os.path.join(owner.folder, "plugins", os.path.basename(file)))

    # Files.

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        """A file of text or bytes."""
        data = content if isinstance(content, (bytes, bytearray)) else content.encode()
        with open(self.path(name), "wb") as file:
            file.write(data)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def read_bytes(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def read_json(self, name, **more):
        return json.loads(self.read(name), **more)

    def read_csv(self, name):
        return table_of(self.path(name))

    def write_csv(self, name, columns, rows):
        with open(self.path(name), "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([columns, *rows])

    # The command.

    def environment(self):
        env = dict(os.environ)
        env.pop("MASSFLOW_PLUGINS", None)
        return env

    def line(self, command, *words):
        """The command line of these words."""
        plugins = ["--plugins", "plugins"] if self.PLUGINS and command not in BARE else []
        return [MASSFLOW, command, *words, *plugins]

    def ended(self, line, code=0, **how):
        """A command line that has ended so (or in one of several ways, or in any: None): its stdout, stderr and
        returncode."""
        how = {"cwd": self.folder, "env": self.environment(), "timeout": self.TIMEOUT, "capture_output": True,
               "text": True, **how}
        if "stdout" in how:
            del how["capture_output"]
            how.setdefault("stderr", subprocess.PIPE)
        done = subprocess.run(line, check=False, **how)
        if code is not None:
            codes = code if isinstance(code, tuple) else (code,)
            self.assertIn(done.returncode, codes, f"{line}\n{done.stdout}{done.stderr}")
        return done

    def massflow(self, *words, code=0, **env):
        """Everything that massflow says with these words and, by their names, environment variables."""
        done = self.ended(self.line(*words), code, env={**self.environment(), **env})
        return self.replaced(done.stdout + done.stderr)

    def replaced(self, text):
        for pattern, words in self.REPLACED:
            text = pattern.sub(words, text)
        return text

    def popen(self, line, **how):
        """A command line that has been started. It is ended with the test."""
        how = {"cwd": self.folder, "env": self.environment(), "stdout": subprocess.PIPE,
               "stderr": subprocess.STDOUT, "text": True, **how}
        process = subprocess.Popen(line, **how)
        self.addCleanup(end_process, process)
        return process

    def start(self, *words, **how):
        return self.popen(self.line(*words), **how)

    def rest(self, process, code=0):
        """What a started command says up to its end, which is this."""
        out, err = process.communicate(timeout=self.TIMEOUT)
        self.assertEqual(process.returncode, code, (out or "") + (err or ""))
        return out

    def until(self, process, pattern):
        """Reads lines until one matches; gives its match."""
        seen = []
        for line in process.stdout:
            seen.append(line)
            found = re.search(pattern, line)
            if found:
                return found
        return self.fail("no " + pattern + " in " + "".join(seen))

    def wait_for(self, what, condition, *processes, seconds=60):
        """Until it holds, while these processes run."""
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            for process in processes:
                self.assertIsNone(process.poll(), what)
            time.sleep(0.005)

    def wait_for_death(self, pidfd):
        """Until the process of this descriptor, which is closed then, has ended."""
        self.assertEqual(select.select([pidfd], [], [], 60)[0], [pidfd])
        os.close(pidfd)

    # The cache.

    def ask(self, query, cache=".massflow", file="cache.db"):
        with contextlib.closing(sqlite3.connect(self.path(f"{cache}/{file}"), timeout=60)) as db:
            return db.execute(query).fetchall()

    def ask_early(self, query, cache=".massflow"):
        """As ask; nothing where the cache is not made yet."""
        try:
            db = sqlite3.connect(f"file:{self.path(cache)}/cache.db?mode=ro", uri=True, timeout=60)
            with contextlib.closing(db):
                return db.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []

    def change(self, *statements, cache=".massflow", file="cache.db"):
        with contextlib.closing(sqlite3.connect(self.path(f"{cache}/{file}"), timeout=60)) as db:
            for statement in statements:
                db.execute(statement)
            db.commit()

    def results(self, cache=".massflow"):
        """Ids of what each action put out, by its key, stage and port."""
        return dict(self.ask("SELECT hex(a.key) || a.stage || '.' || o.port || o.position, hex(f.id)"
                             " FROM action a JOIN output o ON o.action = a.num"
                             " JOIN artifact f ON f.num = o.artifact", cache=cache))


def end_process(process):
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()


CHAIN = """massflow: 1
params:
  suffix: "!"
cases:
  glob: scans/{id}.txt
stages:
  text: {use: count.load, each: case, with: {path: "${case.path}"}}
  upper: {use: count.upper, each: case, in: {text: text}}
  more: {use: count.add, each: case, in: {text: upper}, with: {suffix: "${suffix}"}}
  all: {use: count.join, in: {texts: "more[*]"}}
"""

WAIT = """massflow: 1
params: {file: never}
cases:
  glob: scans/{id}.txt
stages:
  text: {use: count.load, each: case, with: {path: "${case.path}"}}
  wait: {use: count.wait, each: case, in: {text: text}, with: {file: "${file}"}}
"""


class Pipeline(Massflow):
    """Three texts and the plugin whose stages write down each time they run (the second argument)."""

    PLUGINS = tuple(map(os.path.abspath, sys.argv[2:3]))
    GRAPH = CHAIN

    def setUp(self):
        super().setUp()
        self.log = self.path("log")
        os.mkdir(self.path("scans"))
        for name in "abc":
            self.write(f"scans/{name}.txt", f"text {name}\n")
        self.write("graph.yaml", self.GRAPH)

    def environment(self):
        return {**super().environment(), "MASSFLOW_TEST_LOG": self.log}

    def line(self, command, *words, graph="graph.yaml"):
        return super().line(command, *([] if command in BARE else [graph]), *words)

    def massflow(self, *words, graph="graph.yaml", code=0, **env):
        done = self.ended(self.line(*words, graph=graph), code, env={**self.environment(), **env})
        return self.replaced(done.stdout + done.stderr)

    def bare(self, *words, code=0):
        """Without graph and plugins."""
        done = self.ended([MASSFLOW, *words], code)
        return done.stdout + done.stderr

    def logged(self, word=""):
        """How many lines of the log begin with the word."""
        if not os.path.exists(self.log):
            return 0
        return sum(line.startswith(word) for line in self.read("log").splitlines())

    def steps_logged(self):
        """The lines of the log since the last call, in order."""
        if not os.path.exists(self.log):
            return []
        lines = self.read("log").splitlines()
        os.remove(self.log)
        return lines

    def runs(self):
        """Which stages ran since the last call, sorted."""
        return sorted(self.steps_logged())

    def counts(self):
        found = {}
        for line in self.runs():
            stage = line.split(" ")[0]
            found[stage] = found.get(stage, 0) + 1
        return found

    def until_logged(self, word, count, process):
        self.wait_for(f"'{word}' is logged {count} times", lambda: self.logged(word) >= count, process)


class Commands(Massflow):
    """With a TMPDIR of its own."""

    REPLACED = [(re.compile(r"/\S*/massflow-exec-\w{6}"), "FOLDER"), *TIMES]

    def setUp(self):
        super().setUp()
        self.temporary = self.path("t")
        os.mkdir(self.temporary)

    def environment(self):
        return {**super().environment(), "TMPDIR": self.temporary}


class Isolated(Massflow):
    """With a plugin that crashes, one that counts and one that saves states (arguments 2 to 4)."""

    PLUGINS = tuple(map(os.path.abspath, sys.argv[2:5]))
    REPLACED = TIMES

    def environment(self):
        env = super().environment()
        # Signals are to end the process as they do without a sanitizer.
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":handle_segv=0:handle_abort=0"
        return env


# A stage that does as it is told (limits, how), and a command that waits (limits, keep, pipe).
CRASH = """massflow: 1
stages:
  boom: {use: crash.now, %swith: {how: %s, lines: 1}}
"""
COMMAND = """massflow: 1
stages:
  it: {use: exec.run, %swith: {shell: true, %scommand: "echo $$; read line <%s; echo done >{out.text}"}}
"""


class Signals(Isolated):
    """Runs that are met in the midst."""

    def setUp(self):
        super().setUp()
        self.temporary = self.path("t")
        os.mkdir(self.temporary)

    def environment(self):
        env = dict(super().environment(), TMPDIR=self.temporary)
        env["ASAN_OPTIONS"] += ":handle_sigbus=0:handle_sigfpe=0"
        return env

    def start(self, *words, **how):
        """A run of g.yaml."""
        return super().start("run", "g.yaml", *words, **how)

    def waiting(self, limits="", how="wait", **more):
        """A run with one stage that has begun."""
        self.write("g.yaml", CRASH % (limits, how))
        run = self.start(**more)
        self.until(run, "^boom: logged line 1$")
        return run

    def commanding(self, limits="", keep=""):
        """A run with one command that has begun, and the command's number."""
        self.write("g.yaml", COMMAND % (limits, keep, self.path("go")))
        if not os.path.exists(self.path("go")):
            os.mkfifo(self.path("go"))
        run = self.start()
        return run, int(self.until(run, r"^it: (\d+)$").group(1))

    def finish(self, run):
        """Lets the command of `commanding` end."""
        self.write("go", "on\n")
        self.assertIn("finished: 1 run, 0 cached", self.rest(run, 0))

    def recorded(self, command):
        """What is recorded of the runs of g.yaml."""
        return self.ended([MASSFLOW, command, "g.yaml"]).stdout

    def workers(self, run):
        return [pid for pid in children_of(run.pid) if b"\0worker\0" in command_line(pid)]


# Processes.

def state_of(pid):
    """The letter of /proc/PID/stat, or "" where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children_of(pid):
    """Processes that any of its threads has started."""
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
            found += [int(child) for child in file.read().split()]
    return found


def command_line(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()


# Volumes: size and spacing are x, y, z; codes are those of the module array.

NIFTI_CODES = {"B": 2, "h": 4, "i": 8, "f": 16, "H": 512}


def nifti_header(size, code="h", spacing=(1, 1, 1), magic=b"n+1\0"):
    """RAS, the first voxel at 0; 352 bytes of a single file, 348 of a pair (magic ni1)."""
    x, y, z = spacing
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *size, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, NIFTI_CODES[code], 8 * struct.calcsize(code))
    struct.pack_into("<8f", header, 76, 1, x, y, z, 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, 352 if magic == b"n+1\0" else 0, 1, 0)
    struct.pack_into("<hh", header, 252, 0, 1)
    struct.pack_into("<12f", header, 280, x, 0, 0, 0, 0, y, 0, 0, 0, 0, z, 0)
    header[344:348] = magic
    return bytes(header if magic == b"n+1\0" else header[:348])


def write_nifti(path, size, voxels, code="h", spacing=(1, 1, 1)):
    """Numbers or bytes as .nii or .nii.gz."""
    data = nifti_header(size, code, spacing) + array.array(code, voxels).tobytes()
    with open(path, "wb") as file:
        file.write(gzip.compress(data, 1) if path.endswith(".gz") else data)


def nifti_bytes(path):
    """What is in a .nii.gz."""
    with gzip.open(path) as file:
        return file.read()


def read_nifti(path):
    """The size x, y, z of a .nii.gz and its volumes, each a flat array."""
    data = nifti_bytes(path)
    size = struct.unpack_from("<3h", data, 42)
    code, = struct.unpack_from("<h", data, 70)
    first, = struct.unpack_from("<f", data, 108)
    code, = [letter for letter, number in NIFTI_CODES.items() if number == code]
    values = array.array(code, data[int(first):])
    voxels = size[0] * size[1] * size[2]
    return size, [values[i:i + voxels] for i in range(0, len(values), voxels)]


def read_npy(path):
    """The shape and the numbers of a NumPy file of version 1."""
    with open(path, "rb") as file:
        data = file.read()
    length, = struct.unpack_from("<H", data, 8)
    header = ast.literal_eval(data[10:10 + length].decode())
    code = {"|u1": "B", "|i1": "b", "<i2": "h", "<u2": "H", "<i4": "i", "<f4": "f"}[header["descr"]]
    body = data[10 + length:]
    return header["shape"], struct.unpack(f"<{len(body) // struct.calcsize(code)}{code}", body)


EXPLICIT = "1.2.840.10008.1.2.1"  # explicit VR, little endian: pixels as they are


def dicom_element(tag, vr, value):
    """A value of text, of bytes, or of a number of 16 bits (US) or 32 (UL)."""
    if isinstance(value, int):
        value = struct.pack("<I" if vr == "UL" else "<H", value)
    elif isinstance(value, str):
        value = value.encode()
    value += (b"\0" if vr in ("UI", "OW") else b" ") * (len(value) % 2)
    size = struct.pack("<2xI" if vr == "OW" else "<H", len(value))
    return struct.pack("<HH", tag >> 16, tag & 0xffff) + vr.encode() + size + value


def dicom_file(rows, columns, pixels, *, modality="MR", z=0, spacing=1, signed=0, series="1.2", syntax=EXPLICIT,
               more=()):
    """One slice at z of 16 bits a pixel. Pixels of another syntax are one frame of its stream; more are
    (tag, VR, value)."""
    meta = dicom_element(0x00020010, "UI", syntax)
    elements = [
        (0x00080060, "CS", modality), (0x0020000e, "UI", series), (0x00200032, "DS", f"0\\0\\{z}"),
        (0x00200037, "DS", "1\\0\\0\\0\\1\\0"), (0x00280002, "US", 1), (0x00280004, "CS", "MONOCHROME2"),
        (0x00280010, "US", rows), (0x00280011, "US", columns), (0x00280030, "DS", f"{spacing}\\{spacing}"),
        (0x00280100, "US", 16), (0x00280101, "US", 16), (0x00280102, "US", 15), (0x00280103, "US", signed), *more]
    if syntax == EXPLICIT:
        body = dicom_element(0x7fe00010, "OW", pixels)
    else:
        item = b"\xfe\xff\x00\xe0"
        pixels += b"\0" * (len(pixels) % 2)
        body = (b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + item + bytes(4) + item + struct.pack("<I", len(pixels))
                + pixels + b"\xfe\xff\xdd\xe0" + bytes(4))
    return b"".join([bytes(128), b"DICM", dicom_element(0x00020000, "UL", len(meta)), meta,
                     *(dicom_element(*element) for element in sorted(elements)), body])


def main(arguments):
    """Runs the tests of the module. After so many arguments of its own come those of unittest."""
    unittest.main("__main__", argv=sys.argv[:1] + sys.argv[1 + arguments:])
