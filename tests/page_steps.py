"""What a page or a notebook asks its reader to do, and how a test does it: in this process, as quickly as it can be.

Importing torch takes seconds, so commands are calls of :func:`whyact.cli.main` and Python blocks are executed here.
Only a line that needs a shell (a pipe, a loop, ``python -m``) gets one.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from whyact.cli import main

ROOT = Path(__file__).parents[1]
LIMIT = 1800  # seconds for a command in a shell, on a machine that is busy with other things

FENCE = re.compile(
    r"(?:^File `(?P<file>[^`\n]+)`:\n\n|^<!-- transcript: (?P<transcript>[^\n]+) -->\n)?"
    r"^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"^(whyact|python)\s")
SHELL = frozenset("|&;<$`*")  # what only a shell understands; `> FILE` is understood here


class Step(NamedTuple):
    """Something a reader of a page does: write a file, run a command, run Python, or compare a transcript."""

    kind: str
    text: str
    name: str = ""

    @property
    def needs_data(self) -> bool:
        """Return whether the step reads CAD-120. A study is too long to run here and reads an empty folder instead."""
        return "data/cad120" in self.text and not is_study(self.text)


class Outcome(NamedTuple):
    """What a command or a block of Python did."""

    code: int
    stdout: str
    stderr: str

    def describe(self, text: str) -> str:
        """Return what was run and what it printed, for the message of a failure."""
        return f"{text}\nexit code {self.code}\n{self.stdout[-2000:]}\n{self.stderr[-2000:]}"


def is_study(command: str) -> bool:
    """Return whether a command starts a study."""
    return command.startswith("whyact reproduce")


def page_steps(page: str) -> Iterator[Step]:
    """Yield the steps of a page in reading order."""
    for block in FENCE.finditer(page):
        text = block["text"]
        if block["file"]:
            yield Step("file", text, block["file"])
        elif block["transcript"]:
            yield Step("transcript", block["transcript"], text)
        elif block["language"] == "python":
            yield Step("python", text)
        elif block["language"] == "sh":
            lines = text.replace("\\\n", " ").splitlines()
            yield from (Step("sh", line) for line in lines if COMMAND.match(line))


def join_sessions(steps: Iterable[Step]) -> list[Step]:
    """Join Python steps that follow each other: they are one session."""
    joined: list[Step] = []
    for step in steps:
        if joined and joined[-1].kind == step.kind == "python":
            joined[-1] = step._replace(text=f"{joined[-1].text}\n{step.text}")
        else:
            joined.append(step)
    return joined


def run_command(command: str, folder: Path) -> Outcome:
    """Run a command line in a folder: ``whyact`` in this process, anything else in a shell."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=">")
    lexer.whitespace_split = True
    words = list(lexer)
    if words[0] != "whyact" or SHELL & set("".join(words)):
        return run_shell(command, folder)
    target = words[-1] if words[-2:-1] == [">"] else None
    arguments = words[1:-2] if target else words[1:]
    stdout, stderr = io.StringIO(), io.StringIO()
    with chdir(folder), redirect_stdout(stdout), redirect_stderr(stderr):
        code = main(arguments)
    if target:
        (folder / target).write_text(stdout.getvalue(), encoding="utf-8")
    return Outcome(code, stdout.getvalue(), stderr.getvalue())


def run_shell(command: str, folder: Path) -> Outcome:
    """Run a line in a shell, with this environment's ``whyact`` and ``python`` first, and a clone's own modules."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    modules = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": modules, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    return Outcome(process.returncode, process.stdout, process.stderr)


def run_python(code: str, folder: Path, names: dict[str, Any] | None = None) -> Outcome:
    """Execute Python in a folder of its own names, or of the names of a session that goes on."""
    stdout, stderr = io.StringIO(), io.StringIO()
    names = {"__name__": "__main__"} if names is None else names
    with chdir(folder), redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            exec(compile(code, "<page>", "exec"), names)
        except Exception:
            traceback.print_exc()
            return Outcome(1, stdout.getvalue(), stderr.getvalue())
    return Outcome(0, stdout.getvalue(), stderr.getvalue())
