"""The documentation tells the truth: its commands and code run, its links lead somewhere, its names and defaults exist.

Commands run in a temporary folder in the order of the page, in this process where they can; Python blocks with no
command between them are one session. The demo is filmed once for all pages. A page's steps that read ``data/cad120``
are a test of their own, which skips where the data is not at hand.
"""

from __future__ import annotations

import ast
import fcntl
import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from page_steps import Step, is_study, join_sessions, page_steps, run_command, run_python, run_shell

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "whyact"
CAD120 = ROOT.parent / "shared" / "data" / "cad120"
DETECTOR = SOURCE / "shipped" / "laiar" / "detector"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [*PAGES, *sorted(ROOT.glob("[CS]*.md")), *sorted((ROOT / "docs").glob("*/*.md"))]
REFERENCE = re.compile(r"`([\w/]+\.py)(?:::([\w.]+))?`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
SETTING = re.compile(r"`((?:data|model|select|loss|optim)\.\w+)`")
RESULT = re.compile(r"^\| `([^`]+)` \| (\w+) \| ([\d.]+) ± ([\d.]+) \|", re.MULTILINE)
ROW = re.compile(r"^\| `(\w+\.\w+)` \|(.*)\|$", re.MULTILINE)


def needs_detector(step: Step) -> bool:
    """Return whether the step looks at pixels with the detector that is bundled with the package."""
    return "--data.pixels" in step.text or "runs/eyes" in step.text


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Film the demo once, also when several workers share the session, and return its folder."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "docs-demo"
    with (shared / "docs-demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "demo" / "report.html").exists():
            folder.mkdir(exist_ok=True)
            outcome = run_shell("whyact demo", folder)  # as a reader types it, the installed program included
            assert outcome.code == 0, outcome.describe("whyact demo")
    return folder / "demo"


def follow(step: Step, folder: Path) -> None:
    """Do one step in a folder; fail with what it printed."""
    if step.kind == "file":
        (folder / step.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / step.name).write_text(step.text, encoding="utf-8")
    elif step.kind == "python":
        outcome = run_python(step.text, folder)
        assert outcome.code == 0, outcome.describe(step.text)
    elif step.kind == "transcript":
        outcome = run_command(step.text, folder)
        assert outcome.code == 0, outcome.describe(step.text)
        answered = outcome.stdout.splitlines()[0].rpartition(" ")[0]  # "CLIP: ACTION"; the score may differ in a digit
        assert f"\n{answered} " in step.name, outcome.describe(f"the transcript of {step.text} has another answer")
    elif is_study(step.text):
        (folder / "empty").mkdir(exist_ok=True)
        outcome = run_command(step.text.replace("data/cad120", "empty"), folder)
        assert (outcome.code, "annotations.zip" in outcome.stderr) == (2, True), outcome.describe(step.text)
    else:
        outcome = run_command(step.text, folder)
        assert outcome.code == 0, outcome.describe(step.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_tells_to_run_runs(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    todo = [step for step in page_steps(page.read_text(encoding="utf-8")) if not step.needs_data]
    if not DETECTOR.is_dir():  # a checkout in which the models that travel with the package are still to be made
        todo = [step for step in todo if not needs_detector(step)]
    if any("demo" in step.text for step in todo):
        shutil.copytree(request.getfixturevalue("demo"), tmp_path / "demo")
    for step in join_sessions(todo):
        follow(step, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_tells_to_run_on_cad120_runs(page: Path, tmp_path: Path) -> None:
    todo = [step for step in page_steps(page.read_text(encoding="utf-8")) if step.needs_data]
    if not todo:
        pytest.skip("the page has no step that reads CAD-120")
    if not CAD120.is_dir():
        pytest.skip(f"CAD-120 is not at hand: no folder ../{CAD120.relative_to(ROOT.parent)}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cad120").symlink_to(CAD120, target_is_directory=True)
    for step in todo:
        follow(step, tmp_path)


def test_steps_are_found_in_a_page() -> None:
    page = (
        "```sh\nmake demo\nwhyact a \\\n  --b   # c\npip install -e .\npython -m d\n```\n\n"
        "File `x/y.txt`:\n\n```text\none\n```\n```text\nwhyact no\n```\n\n"
        "<!-- transcript: whyact t -->\n```text\nCLIP: eat 0.9\n```\n\n```python\nz = 1\n```\n"
    )
    page += "```python\ny = z\n```\n"
    assert join_sessions(page_steps(page)) == [
        Step("sh", "whyact a    --b   # c"),
        Step("sh", "python -m d"),
        Step("file", "one\n", "x/y.txt"),
        Step("transcript", "whyact t", "CLIP: eat 0.9\n"),
        Step("python", "z = 1\n\ny = z\n"),
    ]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            missing.append(target)
    assert not missing


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [page for page in TEXTS if page.parent.name != "results"], ids=lambda page: page.name)
def test_named_code_exists(page: Path) -> None:
    missing = []
    for path, name in REFERENCE.findall(page.read_text(encoding="utf-8")):
        file = next((root / path for root in (SOURCE, ROOT) if (root / path).is_file()), None)
        if file is None or (name and name not in names(file)):
            missing.append(f"{path}::{name}")
    assert not missing


@cache
def names(file: Path) -> set[str]:
    """Return the functions, classes and variables that a file defines, members as ``Class.member``."""
    return set(defined(ast.parse(file.read_text(encoding="utf-8")).body))


def defined(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """Yield the names that statements define, those of classes with their members."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from defined(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from (prefix + part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def settings(preset: str) -> dict[str, Any]:
    """Return the dotted settings of a LaIAR preset as a page writes them."""
    from whyact.laiar.config import PRESETS

    def written(value: Any) -> str:
        return str(value).lower() if isinstance(value, bool) else str(value)

    sections = vars(PRESETS[preset])
    return {f"{name}.{key}": written(value) for name, part in sections.items() for key, value in vars(part).items()}


def test_named_settings_exist_with_the_values_that_the_page_says() -> None:
    page = (ROOT / "docs" / "laiar.md").read_text(encoding="utf-8")
    presets = [settings("default"), settings("paper-literal")]
    assert not {name for name in SETTING.findall(page) if name not in presets[0]}
    departures = set()
    for name, cells in ROW.findall(page):
        said = [cell.strip() for cell in cells.split("|")]
        wanted = [preset[name] for preset in presets][: len(said) - 1]
        assert said[: len(wanted)] == wanted, name
        if len(wanted) == 2:
            departures.add(name)
    assert departures == {name for name, value in presets[0].items() if presets[1][name] != value}


def test_results_in_short_are_those_of_the_study() -> None:
    rows = json.loads((ROOT / "docs" / "results" / "laiar-cad120.json").read_text(encoding="utf-8"))["rows"]
    measured = {(row["row"], row["table"]): (row["mean"], row["sd"]) for row in rows if row["metric"] == "mAR"}
    shown = RESULT.findall((ROOT / "docs" / "results.md").read_text(encoding="utf-8"))
    assert shown
    for name, table, mean, sd in shown:
        assert (float(mean), float(sd)) == pytest.approx(measured[name, table], abs=0.00501), name


def test_each_number_of_the_front_page_and_its_neighbour_is_in_the_study_that_it_links() -> None:
    metrics = {"laiar-cad120": "mAR", "pvlr": "avg_mAP", "locate-gat": "zsl_top1"}
    checked = 0
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        for study in re.findall(r"\]\(docs/results/([\w-]+)\.md\)", line):
            rows = json.loads((ROOT / "docs" / "results" / f"{study}.json").read_text(encoding="utf-8"))["rows"]
            for name, mean, sd in re.findall(r"`([\w+-]+)` ([\d.]+) ± ([\d.]+)", line):
                measured = [(r["mean"], r["sd"]) for r in rows if (r["row"], r["metric"]) == (name, metrics[study])]
                digit = 10.0 ** -len(mean.partition(".")[2])
                assert any((float(mean), float(sd)) == pytest.approx(m, abs=0.501 * digit) for m in measured), line
                checked += 1
    assert checked == 6, "three numbers, each with its neighbour"


def test_the_lists_of_pages_hold_every_page() -> None:
    for folder in ("docs", "docs/decisions"):
        text = (ROOT / folder / "index.md").read_text(encoding="utf-8")
        pages = [*(ROOT / folder).glob("*.md"), *(ROOT / folder).glob("results/*.md"), *(ROOT / folder).glob("*.ipynb")]
        listed = {(ROOT / folder / link.partition("#")[0]).resolve() for link in LINK.findall(text)}
        assert {page.name for page in pages if page.name != "index.md"} <= {path.name for path in listed}


def test_the_citation_and_the_workflow_say_what_the_package_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))
    tested = set(workflow["jobs"]["tests"]["strategy"]["matrix"]["python"])
    prefix = "Programming Language :: Python :: 3."
    promised = {c.removeprefix(prefix[:-2]) for c in project["classifiers"] if c.startswith(prefix)}
    assert tested == promised
    targets = set(re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    used = {name for command in commands for name in re.findall(r"\bmake ([\w-]+)", command)}
    assert {"lint", "docs", "test", "test-wheel"} <= used
    assert used <= {name for line in targets for name in line.split()}
