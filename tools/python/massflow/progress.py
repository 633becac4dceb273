"""What is shown of a run while it goes on: a line that is rewritten in a terminal, a cell's output in a
notebook, and where nobody looks (a file, a pipe) only failures and the end."""
import html
import sys
import time

EVERY = 0.2  # seconds between two drawings


def duration(seconds):
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    return f"{int(seconds) // 3600} h {int(seconds) // 60 % 60} min"


def in_notebook():
    """Whether IPython's display goes to a front end, not to a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython and hasattr(ipython, "get_ipython") else None
    return shell is not None and hasattr(shell, "kernel")


class _Terminal:
    def __init__(self):
        self.shown = 0

    def put(self, text, _):
        import shutil
        text = text[:max(shutil.get_terminal_size().columns - 1, 20)]
        sys.stderr.write("\r" + text + " " * max(self.shown - len(text), 0))
        sys.stderr.flush()
        self.shown = len(text)

    def line(self, text):
        self.wipe()
        sys.stderr.write(text + "\n")

    def wipe(self):
        if self.shown:
            sys.stderr.write("\r" + " " * self.shown + "\r")
            self.shown = 0

    def end(self, text):
        self.line(text)
        sys.stderr.flush()


class _Notebook:
    def __init__(self):
        from IPython.display import HTML, display
        self.html, self.lines = HTML, []
        self.handle = display(HTML(""), display_id=True)

    def _show(self, text, part):
        bar = f'<progress value="{part:.4f}" max="1" style="width:20em"></progress> ' if part is not None else ""
        said = "".join(f"<pre style='margin:0'>{html.escape(line)}</pre>" for line in self.lines)
        self.handle.update(self.html(f"<div>{bar}{html.escape(text)}</div>{said}"))

    def put(self, text, part):
        self._show(text, part)

    def line(self, text):
        self.lines = [*self.lines[-50:], text]

    def end(self, text):
        self._show(text, None)


class _Plain:
    def put(self, text, part):
        pass

    def line(self, text):
        sys.stderr.write(text + "\n")

    end = line


class _Nobody:
    def put(self, text, part):
        pass

    line = end = lambda self, text: None


def _view(wanted):
    if not wanted:
        return _Nobody()
    if in_notebook():
        return _Notebook()
    try:
        return _Terminal() if sys.stderr.isatty() else _Plain()
    except (AttributeError, ValueError):  # no stderr, or a closed one
        return _Nobody()


class Progress:
    """Takes the events of a run, in the thread that waits for it."""

    def __init__(self, path, wanted):
        self.view = _view(wanted)
        self.begun = time.monotonic()
        self.drawn = 0.0
        self.counts = (0, 0, 0, 0, 0)
        self.active = []
        self.ended = False

    def text(self):
        wanted, done, cached, failed, blocked = self.counts
        parts = [f"{done + cached}/{wanted}", duration(time.monotonic() - self.begun)]
        parts += [f"{failed} failed"] if failed else []
        for node, seconds, done, total, words in self.active[:3]:
            state = f" {100 * done / total:.0f} %" if total else ""
            left = f", {duration(seconds * (total - done) / done)} left" if total and 0 < done < total else ""
            parts.append(f"{node}{state}{left}{' ' + words if words else ''}")
        if len(self.active) > 3:
            parts.append(f"and {len(self.active) - 3} more")
        return "  ".join(parts)

    def event(self, kind, node, text, seconds, counts, active):
        if kind in ("failed", "blocked", "waiting", "overtime", "notice", "export failed"):
            self.view.line(" ".join(part for part in (kind, node and node + ":", text) if part))
        if kind not in ("notice", "export", "export failed"):
            self.counts = counts
        if kind == "tick":
            self.active = active
        now = time.monotonic()
        if now - self.drawn >= EVERY:
            self.drawn = now
            wanted, ended = self.counts[0], sum(self.counts[1:])
            self.view.put(self.text(), ended / wanted if wanted else 0)

    def stopping(self):
        self.view.line("cancelling: running stages end at their next safe point; Ctrl-C again does not wait for it")

    def close(self, result=None):
        if not self.ended:
            self.view.end(str(result) if result else "the run ends in the background")
        self.ended = True
