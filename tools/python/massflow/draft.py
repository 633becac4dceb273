"""Graphs that are built in Python, and saved as graph files that read well.

    d = massflow.Draft()
    sizes = d.param("sizes", [20, 40], "mm")
    d.cases(count=3)
    patient = d.phantom.volume("patient", each="case")
    found = d.slic.masks("found", each="case", volume=patient.volume, sizes=sizes)
    d.image.overlay("picture", each="case", volume=patient.volume, masks=found)
    g = d.open("first.yaml")

The functions are made from the stages that are installed: help(d.slic.masks) shows ports, parameters and ranges.
"""
import difflib
import inspect
import json
import os
import re
import textwrap
from ctypes import byref, c_void_p

from ._library import Invalid, NotFound, check, load, path_bytes, take_text
from .graph import Graph, own_python, plain

WIDE = 110  # columns of a line
PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./*+-]*")
WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"}
# What a stage of a graph file has besides its ports and parameters.
OPTIONS = ("each", "where", "skip_failed", "isolate", "timeout", "retries", "memory")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def stages(plugins=None):
    """What stages are installed: a list of dicts, with ports, parameters, ranges and help."""
    own_python()
    text = c_void_p()
    check(load().mf_stages_json(path_bytes(plugins) if plugins else None, byref(text)))
    return json.loads(take_text(text))


def _near(word, words):
    found = difflib.get_close_matches(word, words, 1)
    return f"; did you mean '{found[0]}'?" if found else f"; there is: {', '.join(words) or 'none'}"


# ---- values as YAML ------------------------------------------------------------------------------

def _flow(value):
    """A value within a line."""
    if isinstance(value, (_Parameter, Output, Selection)):
        return _flow(value.text)
    value = plain(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(str(name))}: {_flow(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise Invalid(f"a value is a text, a number, true or false, or a list of these, not {value!r}")
    if PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def _block(name, value, indent):
    """`name: {...}` in a line where it fits, else a line for each."""
    line = f"{indent}{name}: {_flow(value)}"
    if len(line) <= WIDE:
        return [line]
    return [f"{indent}{name}:"] + [f"{indent}  {_flow(str(key))}: {_flow(item)}" for key, item in value.items()]


# ---- what stages are connected by ----------------------------------------------------------------

class _Parameter:
    """A parameter of the graph, or the value of an axis, where a stage uses it."""

    def __init__(self, name):
        self.text = "${" + name + "}"

    def __str__(self):
        return self.text


class Selection:
    """Some of the nodes of a stage, for an input that takes a list."""

    def __init__(self, text, kind):
        self.text, self.type = text, kind


class Output:
    """An output of a stage in a draft: `.all()` or `.where(set="train")` for an input that takes a list."""

    def __init__(self, text, kind):
        self.text, self.type = text, kind

    def all(self):
        return Selection(f"{self.text}[*]", self.type)

    def where(self, **columns):
        return Selection(f"{self.text}[{', '.join(f'{name}={value}' for name, value in columns.items())}]", self.type)


class Added:
    """A stage that was added; its outputs are attributes."""

    def __init__(self, name, described):
        self._name = name
        self._outputs = {port["name"]: Output(f"{name}.{port['name']}", port["type"].rstrip("?"))
                         for port in described["out"]}

    def _only(self):
        if len(self._outputs) > 1:
            raise Invalid(f"'{self._name}' has several outputs; take one of them: "
                          + ", ".join(f".{name}" for name in self._outputs))
        kind = next(iter(self._outputs.values())).type
        return Output(self._name, kind)

    def all(self):
        """All of its nodes, for an input that takes a list."""
        return self._only().all()

    def where(self, **columns):
        """Those of its nodes whose cases or axes have these values."""
        return self._only().where(**columns)

    def __getattr__(self, name):
        if name.startswith("__") or name not in self.__dict__.get("_outputs", {}):
            raise AttributeError(f"'{self.__dict__.get('_name')}' has no output '{name}'"
                                 + _near(name, list(self.__dict__.get("_outputs", {}))))
        return self._outputs[name]

    def __dir__(self):
        return [*self._outputs, "all", "where"]


# ---- the functions -------------------------------------------------------------------------------

def _signature(described):
    """Inputs, then parameters with their defaults, then what every stage has."""
    keyword, given = inspect.Parameter.KEYWORD_ONLY, [inspect.Parameter("name", inspect.Parameter.POSITIONAL_ONLY)]
    for port in described["in"]:
        optional = port["type"].endswith("?")
        given.append(inspect.Parameter(port["name"], keyword, annotation=port["type"],
                                       default=None if optional else inspect.Parameter.empty))
    taken = {one.name for one in given}
    given += [inspect.Parameter(param["name"], keyword, annotation=param["kind"],
                                default=param.get("default", inspect.Parameter.empty))
              for param in described["params"] if param["name"] not in taken]
    taken = {one.name for one in given}
    given += [inspect.Parameter(name, keyword, default=None) for name in (*OPTIONS, "with_") if name not in taken]
    return inspect.Signature(given)


def _words(described):
    lines = [described["summary"], ""]
    if described.get("help"):
        lines += [*textwrap.wrap(described["help"], 100), ""]
    for title, ports in (("in", described["in"]), ("out", described["out"])):
        lines += [f"{title}: {port['name']} ({port['type']}): {port['help']}" for port in ports]
    for param in described["params"]:
        facts = [param["kind"]]
        facts += [param[name] for name in ("range", "choices") if param.get(name)]
        facts += [f"default {param['default']}" if "default" in param else "required"]
        lines.append(f"with: {param['name']} ({'; '.join(facts)}): {param['help']}")
    return "\n".join(lines)


def _function(draft, described):
    """A function that adds the stage to the draft."""

    def stage(name, /, **values):
        return draft.add(name, described["name"], **values)

    stage.__name__ = stage.__qualname__ = described["name"]
    stage.__doc__ = _words(described)
    stage.__signature__ = _signature(described)
    return stage


class _Family:
    """The stages with one word before the point: d.volume.load, d.volume.crop."""

    def __init__(self, name, functions):
        self._name, self._functions = name, functions

    def __getattr__(self, name):
        if name.startswith("_") or name not in self._functions:
            raise AttributeError(f"no stage '{self._name}.{name}'" + _near(name, list(self._functions)))
        return self._functions[name]

    def __dir__(self):
        return list(self._functions)


class Draft:
    """A graph that is being built. plugins: a folder of plugins besides the installed ones, or a file NAME.py."""

    def __init__(self, plugins=None):
        self._plugins = plugins
        self._described = {one["name"]: one for one in stages(plugins)}
        self._families = {}
        for full, described in self._described.items():
            family, _, verb = full.partition(".")
            self._families.setdefault(family, {})[verb] = _function(self, described)
        self._params, self._sources, self._axes, self._stages, self._exports = {}, [], {}, {}, {}

    def __getattr__(self, name):
        families = self.__dict__.get("_families", {})
        if name not in families:
            raise AttributeError(f"no stage begins with '{name}.'" + _near(name, list(families)))
        return _Family(name, families[name])

    def __dir__(self):
        return [*super().__dir__(), *self._families]

    # Its parts.

    @staticmethod
    def _check_name(name, taken, what):
        if not NAME.fullmatch(name):
            raise Invalid(f"'{name}' is no name of a {what}: letters, digits, _ and -")
        if name in taken:
            raise Invalid(f"there is a {what} '{name}' already")

    def param(self, name, default, comment=""):
        """A parameter that --set and Graph(...) can change; what it returns goes where its value is to be."""
        self._check_name(name, self._params, "parameter")
        self._params[name] = (default, comment)
        return _Parameter(name)

    def cases(self, **source):
        """A source of cases: glob="/scans/{id}.nii.gz", count=3, csv="cases.csv"; other names are columns."""
        self._sources.append(source)

    def axis(self, name, values):
        """An axis beside the cases; what it returns is its value."""
        self._check_name(name, self._axes, "axis")
        self._axes[name] = list(values)
        return _Parameter(name)

    def case(self, column):
        """The value of a column of the case, such as "path" or "id"."""
        return _Parameter(f"case.{column}")

    def add(self, name, use, **values):
        """A stage by its name; d.volume.load("scan", ...) does the same. A parameter that has the name of an input
        goes into with_={...}."""
        self._check_name(name, self._stages, "stage")
        described = self._described.get(use)
        if not described:
            raise NotFound(f"no stage '{use}'" + _near(use, list(self._described)))
        ports = {port["name"]: port for port in described["in"]}
        params = {param["name"]: param for param in described["params"]}
        written = {"use": use, "in": {}, "with": {}}
        for key, value in (values.pop("with_", None) or {}).items():
            if key not in params:
                raise Invalid(f"{use} has no parameter '{key}'" + _near(key, list(params)))
            written["with"][key] = value
        for key, value in values.items():
            if key in ports:
                if value is not None:
                    written["in"][key] = self._connected(use, ports[key], value)
            elif key in params:
                written["with"][key] = value
            elif key in OPTIONS:
                if value is not None:
                    written[key] = value
            else:
                raise Invalid(f"{use} has no input or parameter '{key}'" + _near(key, [*ports, *params]))
        for port in ports.values():
            if not port["type"].endswith("?") and port["name"] not in written["in"]:
                raise Invalid(f"{use}: nothing is connected to '{port['name']}' ({port['type']}: {port['help']})")
        for param in params.values():
            if "default" not in param and param["name"] not in written["with"]:
                raise Invalid(f"{use}: the parameter '{param['name']}' is required: {param['help']}")
        self._stages[name] = written
        return Added(name, described)

    def _connected(self, use, port, value):
        if isinstance(value, (list, tuple)):
            return [self._connected(use, port, item) for item in value]
        if isinstance(value, Added):
            value = value._only()
        if isinstance(value, str):
            return value
        if not isinstance(value, (Output, Selection)):
            raise Invalid(f"{use}: '{port['name']}' takes an output of a stage, not {value!r}")
        wanted = re.sub(r"^stream<(.*)>$", r"\1", port["type"].rstrip("?")).replace("[]", "")
        if re.sub(r"^stream<(.*)>$", r"\1", value.type) != wanted:
            raise Invalid(f"{use}: '{port['name']}' takes {port['type']}, and '{value.text}' is {value.type}")
        return value

    def export(self, output, path):
        """A file wanted outside the cache: d.export(picture, "out/${case.id}.png")."""
        self._exports[(output._only() if isinstance(output, Added) else output).text] = str(path)

    # As a file.

    def __str__(self):
        lines = ["massflow: 1"]
        if self._params:
            rows = [(f"  {name}: {_flow(value)}", comment) for name, (value, comment) in self._params.items()]
            width = max((len(row) for row, comment in rows if comment), default=0)
            lines += ["", "params:"] + [f"{row:{width}} # {' '.join(comment.split())}" if comment else row
                                        for row, comment in rows]
        if self._sources:
            lines += [""] + (_block("cases", self._sources[0], "") if len(self._sources) == 1 else
                             ["cases:"] + [f"  - {_flow(source)}" for source in self._sources])
        if self._axes:
            lines += ["", *_block("axes", self._axes, "")]
        lines += ["", "stages:"]
        for i, (name, stage) in enumerate(self._stages.items()):
            lines += ([""] if i else []) + [f"  {name}:", f"    use: {stage['use']}"]
            for key in OPTIONS:
                if key in stage:
                    lines += [f"    {key}: {_flow(stage[key])}"]
            for key in ("in", "with"):
                if stage[key]:
                    lines += _block(key, stage[key], "    ")
        if self._exports:
            lines += ["", "export:"] + [f"  {_flow(output)}: {_flow(path)}" for output, path in self._exports.items()]
        return "\n".join(lines) + "\n"

    def save(self, path, force=False):
        """Writes the graph file; another file of that name is replaced only with force."""
        text, path = str(self), os.fspath(path)
        if os.path.exists(path) and not force:
            with open(path, encoding="utf-8", errors="replace") as file:
                if file.read() == text:
                    return path
            raise Invalid(f"{path} exists and is another graph; .save(path, force=True) replaces it")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def open(self, path, force=False, **options):
        """Writes the graph file and opens it, as massflow.Graph does."""
        return Graph(self.save(path, force), plugins=self._plugins, **options)
