"""The command ``whyact VERB ...``: a table of verbs, and the one place where errors become exit codes.

Exit codes: 0 ok, 1 the run failed, 2 wrong usage or input, 130 interrupted. Nothing slow is imported here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

VERBS: dict[str, tuple[str, str]] = {
    "demo": ("whyact.verbs.demo:run", "film a household scene and explain what happens in it"),
    "predict": ("whyact.verbs.predict:run", "say which action a video shows, and why"),
    "train": ("whyact.verbs.train:run", "train a method on a data set"),
    "eval": ("whyact.verbs.eval:run", "measure a trained model"),
    "extract": ("whyact.verbs.extract:run", "turn videos into snippet features to train on"),
    "data": ("whyact.verbs.data:run", "check, make, convert, prepare, draw or verify data"),
    "report": ("whyact.verbs.report:run", "turn the JSON of predict into one HTML page"),
    "reproduce": ("whyact.verbs.reproduce:run", "measure a published table again"),
    "serve": ("whyact.studio.serve:run", "open the studio: look at answers and question them in a browser"),
    "doctor": ("whyact.verbs.doctor:run", "check this installation, and say how to fix what does not work"),
}

RESUMABLE = {"train", "extract", "reproduce"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; a user's mistake ends in one line on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        return _dispatch(words)
    except KeyboardInterrupt:
        resume = "; run the same command to resume" if words[:1] and words[0] in RESUMABLE else ""
        return _say(f"whyact: interrupted{resume}", 130)
    except BrokenPipeError:  # the reader of our output is gone, as `head` is after ten lines
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SystemExit as stop:  # argparse after --help
        return stop.code if isinstance(stop.code, int) else 0
    except Exception as error:
        from whyact.errors import UserError

        if debug:
            import traceback

            traceback.print_exc()
        if isinstance(error, UserError):
            return _say(f"whyact: {error.command_line()}", error.exit_code)
        hint = "" if debug else " (--debug shows where)"
        return _say(f"whyact: {type(error).__name__}: {error}{hint}", 1)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help(), flush=True)
        return 0 if words else 2
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"whyact {version('whyact')}", flush=True)
        return 0
    from whyact.errors import choose
    from whyact.verbs.lazy import load

    verb = choose(words[0], VERBS, "VERB", "whyact --help")
    code: int = load(VERBS[verb][0])(words[1:])
    return code


def _help() -> str:
    from whyact.verbs.lazy import listed

    return (
        "usage: whyact VERB ...\n\n"
        "Video action understanding that shows its evidence.\n\n"
        f"verbs:\n{listed(VERBS)}\n\n"
        "options:\n"
        "  --help     this text; after a verb, the verb's own\n"
        "  --version  the version\n"
        "  --debug    with any verb: show the traceback of an error\n\n"
        "Data goes to stdout, progress and errors to stderr.\n"
        "Exit codes: 0 ok, 1 the run failed, 2 wrong usage or input."
    )


def _say(text: str, code: int) -> int:
    from whyact.progress import print_error

    print_error(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
