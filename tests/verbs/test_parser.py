"""The parser: what is wrong is said by our own table of options, whatever argparse says."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whyact.errors import UserError
from whyact.settings import override, read_settings, setting
from whyact.verbs.parser import Kind, Parser, peek, read_options, whole_number


@dataclass(frozen=True)
class Section:
    width: int = setting(8, "how wide: 50% of it")
    sizes: tuple[int, int] = setting((1, 2), "of both")
    kind: Literal["a", "b"] = setting("a", "which")


@dataclass(frozen=True)
class Settings:
    rate: float = setting(0.5, "how fast")
    section: Section = field(default_factory=Section)


@dataclass(frozen=True)
class Options:
    window: float | None = setting(None, "how long", metavar="SECONDS")
    draw_to: Path | None = setting(None, "where", metavar="FILE")


def parser() -> Parser:
    made = Parser("try", "Try it.", ("whyact try x",), "it")
    made.add_argument("inputs", metavar="INPUT", nargs="+", help="what")
    made.add_argument("--out", metavar="DIR", type=Path, required=True, help="where")
    made.add_argument("--seed", metavar="N", type=whole_number, default=3, help="which")
    made.add_argument("--mode", choices=["fast", "slow"], default="fast", help="how")
    made.add_argument("--share", type=Kind("a share such as 1/3", lambda text: tuple(map(int, text.split("/")))))
    made.add_settings(Settings())
    return made


MISTAKES = {
    "an unknown option": (["x", "--out", "d", "--sed", "1"], "--sed: expected an option of whyact try. Did you mean"),
    "an unknown setting": (["x", "--out", "d", "--section.widht=1"], "Did you mean --section.width?"),
    "no input": (["--out", "d"], "INPUT: expected what. Try: whyact try --help"),
    "a missing option": (["x"], "--out: expected where. Try: whyact try --help"),
    "nothing after it": (["x", "--out"], "--out: found nothing after it, expected one value"),
    "an option after it": (["x", "--out", "--seed", "1"], "--out: found nothing after it, expected one value"),
    "a wrong number": (["x", "--out", "d", "--seed", "-1"], "--seed: found '-1', expected a whole number"),
    "a wrong choice": (["x", "--out", "d", "--mode", "fats"], "expected one of fast, slow. Did you mean 'fast'?"),
    "a wrong share": (["x", "--out", "d", "--share", "a"], "--share: found 'a', expected a share such as 1/3"),
    "a value of a flag": (["x", "--out", "d", "--json=1"], "--json: found '1', expected no value"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("sentences", ["as they are", "reworded"])
def test_a_mistake_is_said_alike_whatever_argparse_says(
    name: str, sentences: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sentences == "reworded":
        monkeypatch.setattr(argparse, "_", lambda text: "quite other words")
    words, message = MISTAKES[name]
    with pytest.raises(UserError) as caught:
        parser().parse_args(words)
    assert message in caught.value.command_line()


def test_values_are_read_and_defaults_filled_in() -> None:
    args = parser().parse_args(["--out=d", "--share", "1/3", "--section.width", "9", "--", "a", "--c"])
    assert (args.inputs, args.out, args.seed, args.mode, args.share) == (
        ["a", "--c"],
        Path("d"),
        3,
        "fast",
        (1, 3),
    )
    assert not args.json
    settings = read_settings({"default": Settings()}, "default", None, vars(args))
    assert settings == Settings(section=Section(width=9))


def test_help_says_what_each_setting_means_without_reading_sources(capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, type] = {}
    code = "@dataclass(frozen=True)\nclass Made:\n    depth: int = setting(4, 'how deep # it is')\n"
    exec(code, {"dataclass": dataclass, "setting": setting, "__name__": __name__}, scope)
    made = Parser("try", "Try it.", (), "it")
    made.add_settings(scope["Made"]())
    with pytest.raises(SystemExit) as stop:
        made.parse_args(["--help"])
    assert stop.value.code == 0
    assert "--depth int how deep # it is (default: 4)" in " ".join(capsys.readouterr().out.split())


def test_help_shows_what_is_required_as_required(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # parsing leaves the parser as it was
        with pytest.raises(SystemExit):
            parser().parse_args(["--help"])
        usage = capsys.readouterr().out.partition("\n\n")[0]
        assert "--out DIR" in usage
        assert "[--out DIR]" not in usage


def test_options_become_the_dataclass() -> None:
    made = Parser("try", "Try it.", (), "it")
    made.add_settings(Options(), grouped=False)
    assert read_options(Options, made.parse_args(["--window", "2", "--draw-to", "a.mp4"])) == Options(
        2.0, Path("a.mp4")
    )
    assert read_options(Options, made.parse_args([])) == Options()
    with pytest.raises(UserError, match="window: found 'soon', expected seconds"):
        read_options(Options, made.parse_args(["--window", "soon"]))


@given(
    width=st.integers(-(2**31), 2**31), sizes=st.tuples(st.integers(), st.integers()), kind=st.sampled_from(["a", "b"])
)
def test_a_shell_a_file_and_python_mean_the_same(
    width: int, sizes: tuple[int, int], kind: Literal["a", "b"], tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = Settings(section=Section(width, sizes, kind))
    words = [f"--section.width={width}", f"--section.sizes={list(sizes)}", f"--section.kind={kind}"]
    args = parser().parse_args(["x", "--out", "d", *words])
    file = tmp_path_factory.mktemp("settings") / "s.yaml"
    file.write_text(f"section: {{width: {width}, sizes: {list(sizes)}, kind: {kind}}}")
    presets = {"default": Settings()}
    assert read_settings(presets, "default", None, vars(args)) == expected
    assert read_settings(presets, "default", file, {}) == expected
    assert override(Settings(), {"section": {"width": width, "sizes": sizes}, "section.kind": kind}) == expected


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["a", "--model", "m"], "m"),
        (["--model=m", "a"], "m"),
        (["a", "--model"], None),
        (["--", "--model", "m"], None),
        ([], None),
    ],
)
def test_one_option_can_be_read_before_the_others(words: list[str], value: str | None) -> None:
    assert peek(words, "--model") == value
