"""Graphs: a graph file, opened with its parameters and its cache; plans and runs of it."""
import collections
import os
import queue
import signal
import sys
import threading
import time
from ctypes import byref, c_char_p, c_int64, c_void_p
from typing import NamedTuple

from . import _html
from ._library import (
    WATCH,
    Ask,
    Error,
    Handle,
    Invalid,
    NotFound,
    Options,
    RunOptions,
    RunResult,
    Setting,
    Stage,
    Unpicklable,
    check,
    load,
    path_bytes,
    take_text,
    text_of,
    texts,
)
from .artifact import State, artifact
from .progress import Progress

TICK = 0.2  # seconds between two looks at a run
# What drivers of devices set handlers for, while a run opens them; Python's own are put back.
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGPIPE")


class RunFailed(Error):
    """Nodes failed. `result` is what the run came to, and `result.failures` has the errors by node."""

    kind = "failed"

    def __init__(self, text, result):
        super().__init__(text)
        self.result = result


def plain(value):
    """A number or an array of numpy or torch as Python's own; all else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def _scalar(value, quoted):
    value = plain(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else str(value)
    if not isinstance(text, str):
        raise Invalid(f"a parameter is a text, a number, true or false, or a list of these, not {value!r}")
    return "'" + text.replace("'", "''") + "'" if quoted and isinstance(value, (str, os.PathLike)) else text


def setting(value):
    """A value as --set takes it."""
    value = plain(value)
    if isinstance(value, (dict, bytes, bytearray)) or value is None:
        raise Invalid(f"a parameter is a text, a number, true or false, or a list of these, not {value!r}")
    if isinstance(value, (str, os.PathLike)) or not hasattr(value, "__iter__"):
        return _scalar(value, False)
    return "[" + ", ".join(_scalar(item, True) for item in value) + "]"


def own_python():
    """Stages in Python are run by this Python where no other is named."""
    if sys.executable:  # a program that embeds Python may have none
        os.environ.setdefault("MASSFLOW_PYTHON", sys.executable)


class StageOf(NamedTuple):
    """A stage as the graph file writes it."""

    name: str
    use: str
    summary: str
    nodes: "list[str]"
    stream: bool


class Node(NamedTuple):
    """A node of a plan. `state` is "cached", "to run", "undecided" (the result of a node above decides),
    "failed", "blocked" or "stream"."""

    name: str
    stage: str
    state: str


class Items(Unpicklable):
    """The items of a stream, one after the other: `for item in items`. They are made while they are read, by threads that
    work ahead, and are not stored. One thread at a time reads them."""

    _instead = "Open the stream in the process that reads it."

    def __init__(self, handle, name):
        self._handle, self.name = handle, name

    def __iter__(self):
        return self

    def __next__(self):
        pointer = c_void_p()
        check(load().mf_items_next(self._handle.pointer, byref(pointer)))
        if not pointer.value:
            raise StopIteration
        return artifact(pointer.value, self.name)

    def seek(self, i):
        """The next item is item i."""
        check(load().mf_items_seek(self._handle.pointer, i))
        return self

    def close(self):
        """Ends its threads now; items that were read stay valid."""
        self._handle.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Plan(Unpicklable):
    """What would run, and what is cached: a list of nodes, with `.why(node)`."""

    _instead = "Hand on its nodes: list(plan)."

    def __init__(self, graph, handle):
        library = load()
        self._graph, self._handle = graph, handle  # the graph stays open as long as its plan
        self._index, self.nodes = {}, []
        for stage in graph.stages:
            for name in stage.nodes:
                i = len(self._index)
                self._index[name] = i
                state = library.mf_stands_text(library.mf_forecast_node(handle.pointer, i)).decode()
                if state != "unwanted":
                    self.nodes.append(Node(name, stage.name, state))

    def __iter__(self):
        return iter(self.nodes)

    def __len__(self):
        return len(self.nodes)

    @property
    def counts(self):
        """How many nodes are in each state."""
        return dict(collections.Counter(node.state for node in self.nodes))

    def _why(self, name, in_full):
        if name not in self._index:
            raise NotFound(f"{self._graph.path} has no node '{name}'")
        text = c_void_p()
        check(load().mf_forecast_why(self._handle.pointer, self._index[name], in_full, byref(text)))
        return take_text(text)

    def why(self, node):
        """Which part of the node's key changed since it last ran, old -> new."""
        return self._why(node.name if isinstance(node, Node) else node, True).rstrip("\n")

    def by_stage(self):
        """(stage, state, count, reason of the first) for each that has any, as 'massflow plan' shows them."""
        rows = {}
        for node in self.nodes:
            if node.state != "stream":
                rows.setdefault((node.stage, node.state), []).append(node.name)
        return [(stage, state, len(names), self._why(names[0], False))
                for (stage, state), names in rows.items()]

    def __repr__(self):
        rows = self.by_stage()
        width = max([len(row[0]) for row in rows], default=0)
        return "\n".join(f"{stage:{width}}  {count:6} {state:10} {why}".rstrip()
                         for stage, state, count, why in rows) or "no nodes"

    def _repr_html_(self):
        return _html.plan(self)


class Result:
    """What a run came to: counts of nodes, and the errors of those that failed."""

    def __init__(self):
        self.wanted = self.done = self.cached = self.failed = self.blocked = 0
        self.run = 0             # its number: 'massflow log' tells of it
        self.cancelled = False
        self.seconds = 0.0
        self.failures = {}       # node: error
        self.exports = []        # paths of files that were written
        self.export_failures = {}  # node: error

    @property
    def left(self):
        """Nodes that are not known."""
        return self.wanted - self.done - self.cached - self.failed - self.blocked

    def __str__(self):
        parts = [f"{self.done} run", f"{self.cached} cached"]
        parts += [f"{count} {word}" for count, word in
                  ((self.failed, "failed"), (self.blocked, "blocked"), (self.left, "left")) if count]
        return f"{'cancelled' if self.cancelled else 'finished'}: {', '.join(parts)} in {self.seconds:.1f} s"

    def __repr__(self):
        return f"<{self}>"

    def _repr_html_(self):
        return _html.result(self)


def _hold_signals():
    """Drivers set handlers when they are loaded or compile; those that Python set are put back."""
    if threading.current_thread() is threading.main_thread():
        for name in SIGNALS:
            handler = signal.getsignal(getattr(signal, name))
            if handler is not None:  # None: somebody else's, who is not Python
                signal.signal(getattr(signal, name), handler)


class _Run:
    """A run in a thread of its own, followed by the thread that asked for it."""

    END = object()

    def __init__(self, graph, ask, options, progress):
        self.graph, self.ask, self.options = graph, ask, options
        self.progress = progress
        self.result = Result()
        self.error = None
        self.events = queue.SimpleQueue()
        self.watch = WATCH(self._event)  # must live as long as the run
        self.options.watch = self.watch
        self.pointer = graph._handle.pointer
        self.thread = threading.Thread(target=self._work, name="massflow run")

    def _event(self, _, pointer):
        """In the run's thread, while the event is valid: all is copied."""
        e = pointer.contents
        active = [(text_of(a.node), a.seconds, a.done, a.total, text_of(a.words))
                  for a in e.active[:e.active_count]] if e.active_count else []
        c = e.counts
        self.events.put((e.kind.decode(), text_of(e.node), text_of(e.text), e.seconds,
                         (c.wanted, c.done, c.cached, c.failed, c.blocked), active))

    def _work(self):
        found = RunResult()
        try:
            check(load().mf_workspace_run(self.pointer, byref(self.ask), byref(self.options), byref(found)))
        except BaseException as error:
            self.error = error
        c, r = found.counts, self.result
        r.wanted, r.done, r.cached, r.failed, r.blocked = c.wanted, c.done, c.cached, c.failed, c.blocked
        r.cancelled, r.run = found.cancelled, found.run
        self.events.put(self.END)

    def _follow(self):
        """Until the run has ended."""
        while True:
            _hold_signals()
            try:
                event = self.events.get(timeout=TICK)
            except queue.Empty:
                if self.thread.is_alive() or not self.events.empty():
                    continue
                return  # Ctrl-C came between the last event and its reading
            if event is self.END:
                return
            kind, node, text = event[:3]
            if kind == "failed":
                self.result.failures[node] = text
            elif kind == "export":
                self.result.exports.append(text)
            elif kind == "export failed":
                self.result.export_failures[node] = text
            self.progress.event(*event)

    def follow(self):
        """The first Ctrl-C cancels the run and waits for its end; the second one leaves it to end by itself."""
        begun, interrupt = time.monotonic(), None
        while True:
            try:
                if not self.thread.ident:
                    self.thread.start()
                self._follow()
                self.thread.join()
                break
            except KeyboardInterrupt as error:
                load().mf_workspace_cancel(self.pointer)
                if interrupt:
                    self.progress.close()
                    raise
                interrupt = error
                self.progress.stopping()
        self.result.seconds = time.monotonic() - begun
        self.progress.close(self.result)
        if interrupt:
            raise interrupt
        if self.error:
            raise self.error
        return self.result


class Graph(Unpicklable):
    """A graph file, opened with parameters: Graph("pretrain.yaml", data="/scans/*.nii.gz", seed=1).

    cache: its folder (default: .massflow beside the graph). plugins: a folder of plugins besides the installed
    ones. devices: "cpu", "gpu", "all", a number of 'massflow devices', or part of a name. code: "digest" or
    "version", by which stages are known. params: parameters of the graph whose names are not Python's, or are
    one of these words.
    """

    def __init__(self, path, *, cache=None, plugins=None, devices=None, code="digest", params=None, **settings):
        if code not in ("digest", "version"):
            raise Invalid(f"code is 'digest' or 'version', not {code!r}")
        self.params = {**(params or {}), **settings}
        self._settings = {name: setting(value) for name, value in self.params.items()}
        self._cache, self._plugins, self._devices, self._code = cache, plugins, devices, code
        own_python()
        library = load()
        pointer, warnings = c_void_p(), c_void_p()
        values = (Setting * len(self._settings))(*[Setting(name.encode(), value.encode())
                                                   for name, value in self._settings.items()])
        options = Options(values, len(values), path_bytes(plugins) if plugins else None,
                          path_bytes(cache) if cache else None, devices.encode() if devices else None,
                          code == "version")
        check(library.mf_workspace_open(path_bytes(path), byref(options), byref(warnings), byref(pointer)))
        self._handle = Handle(pointer.value, library.mf_workspace_close, f"the graph {os.fspath(path)}")
        self.path = os.fsdecode(library.mf_workspace_path(pointer))
        self.warnings = take_text(warnings)  # what the file is warned of; None

    # What it has.

    @property
    def stages(self):
        """The stages of the file, in topological order, with the names of their nodes."""
        library, pointer, stage, found = load(), self._handle.pointer, Stage(), []
        for i in range(library.mf_workspace_stage_count(pointer)):
            library.mf_workspace_stage_at(pointer, i, byref(stage))
            nodes = [text_of(library.mf_workspace_node(pointer, k))
                     for k in range(stage.first, stage.first + stage.count)]
            found.append(StageOf(text_of(stage.name), text_of(stage.use), text_of(stage.summary), nodes,
                                 stage.stream))
        return found

    @property
    def nodes(self):
        """The names of all nodes."""
        return [name for stage in self.stages for name in stage.nodes]

    @property
    def cases(self):
        """The ids of its cases."""
        library, pointer = load(), self._handle.pointer
        return [text_of(library.mf_workspace_case(pointer, i)) for i in range(library.mf_workspace_case_count(pointer))]

    def outputs(self, node):
        """The outputs of a node and their types, by name."""
        names = self.nodes
        if node not in names:
            raise NotFound(f"{self.path} has no node '{node}'")
        kind, found, i = c_char_p(), {}, names.index(node)
        while True:
            name = load().mf_workspace_output(self._handle.pointer, i, len(found), byref(kind))
            if not name:
                return found
            found[name.decode()] = kind.value.decode()

    # What is done with it.

    def _ask(self, targets, cases):
        for values, what in ((targets, "targets"), (cases or (), "cases")):
            if isinstance(values, str) or not all(isinstance(value, str) for value in values):
                raise Invalid(f"{what} are texts, such as 'masks' or 'masks[case=012]', not {values!r}")
        targets, cases = texts(targets), texts(cases or ())
        ask = Ask(targets, len(targets), cases, len(cases))
        ask.held = targets, cases
        return ask

    def plan(self, *targets, cases=None):
        """What would run and what is cached, of all or of some targets: "masks", "seg[shots=5]"."""
        pointer, ask = c_void_p(), self._ask(targets, cases)
        check(load().mf_workspace_plan(self._handle.pointer, byref(ask), byref(pointer)))
        return Plan(self, Handle(pointer.value, load().mf_forecast_free, "a plan"))

    def why(self, node):
        """Which part of the key of a node changed since it last ran, old -> new."""
        return self.plan(node).why(node)

    def run(self, *targets, cases=None, jobs=None, fail_fast=False, force=False, progress=True, check=True):
        """Runs what is not known yet, with all that it needs, and writes the exports of the graph.

        jobs: worker slots (default: one for each core). fail_fast: stop after the first failure. force: exports
        also replace files that massflow did not write. progress: show it (on stderr, or in the notebook). check:
        raise RunFailed where nodes or exports failed; else see the result.

        Ctrl-C cancels: stages end at their next cancel point, those that save their state do, and
        KeyboardInterrupt is raised when the run has ended. A second Ctrl-C does not wait for that end.
        """
        ask = self._ask(targets, cases)
        options = RunOptions(jobs=jobs or 0, fail_fast=fail_fast, force=force, tick=int(TICK * 1000),
                             command=self._line(targets).encode())
        result = _Run(self, ask, options, Progress(self.path, progress)).follow()
        if check and (result.failed or result.blocked or result.export_failures):
            raise RunFailed(self._failures(result), result)
        return result

    def _line(self, targets):
        values = ", ".join([repr(self.path)] + [f"{name}={value!r}" for name, value in self.params.items()])
        return f"massflow.Graph({values}).run({', '.join(map(repr, targets))})"

    @staticmethod
    def _failures(result):
        lines = [str(result)]
        for what, failures in (("failed", result.failures), ("export failed", result.export_failures)):
            lines += [f"{what}: {node}\n  " + (text or "").replace("\n", "\n  ")
                      for node, text in list(failures.items())[:20]]
            if len(failures) > 20:
                lines.append(f"and {len(failures) - 20} more: see .result.failures")
        return "\n".join(lines)

    def cancel(self):
        """Ends a run that another thread waits for."""
        load().mf_workspace_cancel(self._handle.pointer)

    def __getitem__(self, name):
        """The result of a node: g["scan[case=012]"], or g["scan[case=012].volume"] where it has several."""
        if not isinstance(name, str):
            raise Invalid(f"a result is named by a text, such as 'scan[case=012]', not {name!r}")
        pointer = c_void_p()
        check(load().mf_workspace_artifact(self._handle.pointer, name.encode(), byref(pointer)))
        return artifact(pointer.value, name)

    def items(self, stream, threads=2):
        """The items of a stream, "views" or "views[seed=1]", from the first: those that a stage would read. What the stream
        reads must be in the cache."""
        pointer = c_void_p()
        check(load().mf_workspace_items(self._handle.pointer, stream.encode(), threads, byref(pointer)))
        return Items(Handle(pointer.value, load().mf_items_close, f"the stream {stream}"), stream)

    def state(self, node):
        """The newest state that the stage of a node saved of itself, such as the weights of a training that goes on."""
        pointer, step = c_void_p(), c_int64()
        check(load().mf_workspace_state(self._handle.pointer, node.encode(), byref(step), byref(pointer)))
        return State(Handle(pointer.value, load().mf_artifact_unref, f"the state of {node}"), node, step.value)

    def __contains__(self, name):
        """Whether that result is in the cache."""
        try:
            self[name].close()
        except NotFound:
            return False
        return True

    def __iter__(self):
        return iter(self.nodes)

    def save(self, name, path, force=False):
        """Writes a result to a file, by its suffix, as 'massflow get' does: what belongs to a scan is written on
        the grid of the scan's own file. force: also in the place of a file that massflow did not write."""
        check(load().mf_workspace_write(self._handle.pointer, name.encode(), path_bytes(path), force))
        return os.fspath(path)

    # What the command massflow draws and reports.

    def _command(self, verb, *words):
        import subprocess
        command = take_text(load().mf_workspace_command())
        if not command:
            raise NotFound(f"'massflow {verb}' is needed for this, and the command is not beside the library; "
                           "install massflow whole")
        options = [word for name, value in self._settings.items() for word in ("--set", f"{name}={value}")]
        for name, value in (("--cache", self._cache), ("--plugins", self._plugins)):
            options += [name, os.fspath(value)] if value else []
        if self._code == "version":
            options += ["--code", "version"]
        done = subprocess.run([command, verb, self.path, *words, *options], capture_output=True, check=False)
        if done.returncode:
            text = text_of(done.stderr).strip()
            raise Error(text[len("massflow: error: "):] if text.startswith("massflow: error: ") else text)
        return text_of(done.stdout)

    def report(self, path="report.html", *targets, force=False):
        """Writes one page about the graph and the run that made its results; the path."""
        self._command("report", *targets, "-o", os.fspath(path), *(["--force"] if force else []))
        return os.fspath(path)

    def svg(self):
        """The graph drawn, with what is cached in colour."""
        return self._command("graph", "--svg")

    def close(self):
        """Closes it now; results that were opened stay readable."""
        self._handle.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __str__(self):
        return take_text(load().mf_workspace_text(self._handle.pointer))

    def __repr__(self):
        values = "".join(f", {name}={value!r}" for name, value in self.params.items())
        return f"massflow.Graph({self.path!r}{values})"

    def _repr_html_(self):
        return _html.graph(self)
