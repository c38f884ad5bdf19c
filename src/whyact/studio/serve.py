"""``whyact serve``: drop a video, see the answer, question it."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Any

from whyact.errors import UserError
from whyact.files import writable_folder
from whyact.studio.limits import MB, Limits
from whyact.studio.models import find_models
from whyact.verbs.parser import Parser, existing_folder, print_json, whole_number

_EXAMPLES = (
    "whyact serve",
    "whyact serve --model runs/kitchen --model runs/kitchen-2 --corrections data/kitchen-corrected",
    "whyact serve --teach models --detector yolo.onnx --names coco.names",
    "whyact serve --host 0.0.0.0 --port 9000 --max-mb 200 --max-seconds 120",
)
LOCAL = ("127.0.0.1", "localhost", "::1")


def run(argv: list[str]) -> int:
    """Serve the studio until it is interrupted."""
    default = Limits()
    parser = Parser(
        "serve",
        "Open a local page: drop a video, see the answer and its evidence, question it, export it; or teach a model\n"
        "on clips of your own.\n"
        "Needs whyact[web]. Elsewhere than on 127.0.0.1 a token is needed, which is printed at the start.",
        _EXAMPLES,
        "the address",
    )
    parser.add_argument("--model", metavar="RUN", type=Path, action="append", default=[], help="a run to offer; repeat")
    parser.add_argument("--runs", metavar="DIR", type=Path, help="offer every run folder in this folder")
    parser.add_argument("--host", metavar="HOST", default="127.0.0.1", help="where to listen (default: 127.0.0.1)")
    parser.add_argument(
        "--port", metavar="N", type=whole_number, default=8000, help="0 takes a free one (default: 8000)"
    )
    parser.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="a further name of this machine"
    )
    parser.add_argument(
        "--corrections", metavar="DIR", type=Path, help="save corrections and videos there, as own data"
    )
    parser.add_argument("--teach", metavar="DIR", type=Path, help="keep there what is taught, and offer it again")
    parser.add_argument("--detector", metavar="NAME", default="auto", help="to teach: a name, FILE.onnx or a folder")
    parser.add_argument("--names", metavar="FILE", type=Path, help="the class names of that detector, one a line")
    for option, value, text in (
        ("--max-mb", default.size // MB, "of an upload"),
        ("--max-seconds", int(default.seconds), "of a video"),
        ("--max-memory-mb", default.memory // MB, "of a job"),
        ("--max-work", int(default.work), "seconds of a job"),
    ):
        said = f"{text} (default: {value})"
        parser.add_argument(option, metavar="N", type=whole_number, default=value, help=said)
    args = parser.parse_args(argv)
    if args.port > 65535:
        raise UserError("--port", args.port, "a port from 0 to 65535", "--port 0")
    teach = None if args.teach is None else writable_folder("--teach", args.teach)
    if args.names is not None and not args.names.is_file():
        raise UserError("--names", str(args.names), "a file with class names, one a line")
    uvicorn = _uvicorn()
    models = find_models(args.model, existing_folder("--runs", args.runs), teach)
    limits = Limits(size=args.max_mb * MB, seconds=args.max_seconds, memory=args.max_memory_mb * MB, work=args.max_work)
    token = "" if args.host in LOCAL else secrets.token_urlsafe(24)
    sock = _listen(args.host, args.port)
    port = sock.getsockname()[1]
    shown = f"[{args.host}]" if ":" in args.host else args.host
    address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
    if args.json:
        print_json({"address": address, "models": list(models)})
    else:
        print(f"The studio is at {address}\nStop it with Ctrl-C.", flush=True)

    from whyact.studio.app import create_app
    from whyact.studio.jobs import Jobs
    from whyact.studio.trainings import Trainings

    names = (*args.allow_host, *((args.host,) if args.host not in ("0.0.0.0", "::") else ()))
    jobs = Jobs(models, limits, keep_uploads=args.corrections is not None)
    trainings = Trainings(models, limits, folder=teach, detector=args.detector, names=str(args.names or ""))
    try:
        app = create_app(jobs, trainings, token=token, hosts=names, corrections=args.corrections)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=3
        )
        uvicorn.Server(config).run(sockets=[sock])
    finally:
        jobs.close()
        trainings.close()
    return 0


def _uvicorn() -> Any:
    try:
        import fastapi  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise UserError("whyact serve", error.name, "the extra `web`", "pip install 'whyact[web]'") from error
    return uvicorn


def _listen(host: str, port: int) -> Any:
    import socket

    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        if sys.platform != "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError("--host, --port", f"{host}:{port} ({reason})", "an address that is free", "--port 0") from error
    return sock
