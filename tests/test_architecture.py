"""The house stands: imports point down, no circles, methods do not know each other, no pickle, no file too long."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "whyact"
METHODS = {"laiar", "pvlr", "locate_gat", "clip_zero_shot"}
FLOORS = (
    {"prediction", "errors", "settings", "exports", "arrays", "files", "progress", "devices"},
    {"wording", "sentences"},
    {"metrics", "video"},
    {"training", "engines", "report", "perception", "features", "data", "ablation"},
    {"homeworld"},
    METHODS,
    {"methods"},
    {"verbs", "api", "reproduce"},
    {"cli", "studio"},
    {"__main__"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
PICKLES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
MOST_LINES = 400

FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [path.relative_to(SOURCE).as_posix() for path in FILES]


def room_of(path: str) -> str:
    """Return the first part of a path under ``src/whyact``: the package, or the module without its ending."""
    return path.split("/")[0].removesuffix(".py")


def imported(source: str, path: str) -> Iterator[str]:
    """Yield the dotted name of everything a file imports, anywhere in it; relative imports made absolute."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ["whyact", *path.split("/")[:-1]]
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def rooms_imported(source: str, path: str) -> set[str]:
    """Return the rooms of whyact that a file imports from, other than its own."""
    names = {name for name in imported(source, path) if name.startswith("whyact.")}
    return {name.split(".")[1] for name in names} - {room_of(path)}


def wrong_arrows(source: str, path: str) -> set[str]:
    """Return the rooms that a file may not import from."""
    own, rooms = room_of(path), rooms_imported(source, path)
    wrong = {room for room in rooms if FLOOR.get(room, len(FLOORS)) > FLOOR[own]}
    if own in METHODS:
        wrong |= rooms & METHODS
    if own in ("report", *FLOORS[1]):
        wrong |= rooms - FLOORS[0] - FLOORS[1]
    if own in FLOORS[0]:
        wrong |= rooms - {"errors"}
    return wrong


def circle_of_files(sources: dict[str, str]) -> list[str]:
    """Return files that import each other in a circle; imports in functions and for type checkers count too."""
    modules = {("whyact/" + path).removesuffix(".py").replace("/", "."): path for path in sources}
    modules |= {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph: dict[str, set[str]] = {path: set() for path in sources}
    for path, source in sources.items():
        for name in imported(source, path):
            while name and name not in modules:
                name = name.rpartition(".")[0]
            if name and modules[name] != path:
                graph[path].add(modules[name])
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def pickles_used(source: str) -> set[str]:
    """Return the ways in which a file could read or write a pickle."""
    found = {name for name in imported(source, "x.py") if name.split(".")[0] in PICKLES}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in {"load", "save"} and isinstance(node.value, ast.Name):
            found |= {f"torch.{node.attr}"} & {f"{node.value.id}.{node.attr}"}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            allowed = not (isinstance(node.value, ast.Constant) and node.value.value is False)
            found |= {"allow_pickle"} if allowed else set()
    return found


@pytest.mark.parametrize("path", [name for name in NAMES if name != "__init__.py"])
def test_imports_point_down(path: str) -> None:
    assert room_of(path) in FLOOR, f"{path} is in no room of the house: give {room_of(path)!r} a floor"
    assert wrong_arrows((SOURCE / path).read_text(encoding="utf-8"), path) == set()


MAKES_A_WORLD = {"verbs/demo.py", "verbs/data_make.py"}


@pytest.mark.parametrize("path", [name for name in NAMES if room_of(name) not in ("homeworld", "reproduce")])
def test_only_what_makes_a_world_imports_homeworld(path: str) -> None:
    """Nothing that answers a video knows the generated world."""
    if path not in MAKES_A_WORLD:
        assert "homeworld" not in rooms_imported((SOURCE / path).read_text(encoding="utf-8"), path)


def test_the_front_door_opens_only_the_lowest_floor_and_the_verbs() -> None:
    rooms = rooms_imported((SOURCE / "__init__.py").read_text(encoding="utf-8"), "__init__.py")
    assert rooms <= FLOORS[0] | {"api"}


def test_rooms_form_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in NAMES:
        if path != "__init__.py":
            graph.setdefault(room_of(path), set()).update(
                rooms_imported((SOURCE / path).read_text(encoding="utf-8"), path)
            )
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"rooms in a circle: {' -> '.join(error.args[1])}")


def test_files_form_no_circle() -> None:
    assert circle_of_files({path: (SOURCE / path).read_text(encoding="utf-8") for path in NAMES}) == []


@pytest.mark.parametrize("path", NAMES)
def test_private_names_of_other_libraries_are_not_imported(path: str) -> None:
    names = imported((SOURCE / path).read_text(encoding="utf-8"), path)
    private = {name for name in names if not name.startswith("whyact") and "._" in name and "__" not in name}
    assert private == set()


@pytest.mark.parametrize("path", [name for name in NAMES if name != "data/io/pickles.py"])
def test_nothing_is_a_pickle(path: str) -> None:
    assert pickles_used((SOURCE / path).read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize("path", NAMES)
def test_no_file_is_too_long(path: str) -> None:
    assert len((SOURCE / path).read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize(
    ("path", "source", "wrong"),
    [
        ("metrics/x.py", "from whyact.laiar.model import Model", {"laiar"}),
        ("laiar/x.py", "def f():\n    from whyact.pvlr import model", {"pvlr"}),
        ("laiar/x.py", "from ..pvlr import model", {"pvlr"}),
        ("laiar/x.py", "from . import model\nfrom whyact.training.fit import fit", set()),
        ("training/x.py", "import whyact.verbs.train", {"verbs"}),
        ("report/x.py", "from whyact.data import types\nfrom whyact.prediction import Prediction", {"data"}),
        ("files.py", "from whyact.prediction import Prediction", {"prediction"}),
        ("data/x.py", "from whyact import unknown_room", {"unknown_room"}),
        ("verbs/x.py", "from whyact.reproduce import bench\nimport torch", set()),
    ],
)
def test_the_check_itself_finds_wrong_arrows(path: str, source: str, wrong: set[str]) -> None:
    assert wrong_arrows(source, path) == wrong


@pytest.mark.parametrize(
    ("sources", "circle"),
    [
        ({"a/x.py": "from whyact.a.y import f", "a/y.py": "def f():\n    from . import x"}, {"a/x.py", "a/y.py"}),
        ({"a/x.py": "if TYPE_CHECKING:\n    from .y import Y", "a/y.py": "import whyact.a.x"}, {"a/x.py", "a/y.py"}),
        (
            {"a/x.py": "from whyact import b", "b/__init__.py": "from .y import f", "b/y.py": "from ..a.x import g"},
            {"a/x.py", "b/__init__.py", "b/y.py"},
        ),
        ({"a/__init__.py": "", "a/x.py": "from whyact.a import y", "a/y.py": "import torch"}, set()),
    ],
)
def test_the_check_itself_finds_circles(sources: dict[str, str], circle: set[str]) -> None:
    assert set(circle_of_files(sources)) == circle


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", {"pickle"}),
        ("from joblib import dump", {"joblib.dump"}),
        ("torch.load('x', weights_only=True)", {"torch.load"}),
        ("np.load('x', allow_pickle=True)", {"allow_pickle"}),
        ("np.load('x', allow_pickle=False)\nyaml.load", set()),
    ],
)
def test_the_check_itself_finds_pickles(source: str, found: set[str]) -> None:
    assert pickles_used(source) == found
