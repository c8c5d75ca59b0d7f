"""The live page, and what it asks the server for."""

from __future__ import annotations

import re
import secrets
import tempfile
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from zskel.data.common.errors import BadInput, PipelineError
from zskel.pipeline.predict.predict import Predictor, Recordings
from zskel.pipeline.report.clips import encode
from zskel.pipeline.report.templating import render_template

#: How large a dropped file, how many clips in it, and of how many files the features stay.
MOST_BYTES, MOST_CLIPS, MOST_FILES = 64 << 20, 20, 16
_MOST_JSON = 64 << 10
#: Of longer clips frames are left out; the page moves between those it has.
_MOST_FRAMES = 150
_TOP = 5
_HEADERS = {
    # The address is the secret, so no other page may learn it.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"),
}


class _Asked(BaseModel, extra="forbid"):
    """What the page asks of a file that was dropped on it."""

    file: str
    labels: Annotated[list[str], Field(max_length=100)]
    gzsl: bool = False


def make_app(predictor: Predictor, token: str) -> Starlette:
    """The server's program.

    Args:
        predictor: Answers.
        token: Every address begins with it.
    """
    answers = _Answers(predictor)

    def page(request: Request) -> Response:
        report = (predictor.work.report / "report.html").is_file()
        return HTMLResponse(render_template(
            "show.html", str, it=predictor.card["origin"]["identity"],
            experiment=predictor.card["origin"]["experiment"], report=report,
            unseen=predictor.unseen_classes, most=MOST_BYTES >> 20))

    async def drop(request: Request) -> Response:
        with tempfile.TemporaryDirectory(prefix="show-") as folder:
            path = Path(folder) / _file_name(request.query_params.get("name", ""))
            with path.open("wb") as file:
                async for part in _body(request, MOST_BYTES):
                    file.write(part)
            return JSONResponse(await run_in_threadpool(answers.take, path))

    async def ask(request: Request) -> Response:
        content = b"".join([part async for part in _body(request, _MOST_JSON)])
        try:
            asked = _Asked.model_validate_json(content)
        except ValidationError as error:
            raise BadInput(f"not a question: {error.errors()[0]['msg']}") from None
        return JSONResponse(await run_in_threadpool(answers.answer, asked))

    return Starlette(
        routes=[Mount(f"/{token}", routes=[
            Route("/", page), Route("/files", drop, methods=["POST"]),
            Route("/answers", ask, methods=["POST"]),
            Mount("/report", StaticFiles(directory=predictor.work.report, check_dir=False)),
        ])],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"],
                               www_redirect=False),
                    Middleware(_OwnPages)],
        exception_handlers={PipelineError: _refusal, HTTPException: _refusal, Exception: _refusal},
    )


class _OwnPages(BaseHTTPMiddleware):
    """Refuses what another site's page asks, and keeps the answers to our own."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{request.headers['host']}":
            return JSONResponse({"error": "asked by another site's page"}, 403)
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response


class _Answers:
    """Dropped files by a random name, asked one at a time; the oldest are forgotten."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor, self._lock = predictor, threading.Lock()
        self._kept: OrderedDict[str, Recordings] = OrderedDict()

    def take(self, path: Path) -> dict[str, Any]:
        """Reads a file; what the page draws of it. The file may go afterwards."""
        folder = f"{path.parent}/"
        try:
            with self._lock, tempfile.TemporaryDirectory(prefix="show-") as store:
                clips = self._predictor.read([path], Path(store), MOST_CLIPS)
                recordings, layout = self._predictor.describe(clips), clips.store.layout
                drawings = [encode(clips.store.keypoint(row), _MOST_FRAMES)
                            for row in range(len(clips.store))]
                key = secrets.token_urlsafe(9)
                self._kept[key] = replace(recordings, file=[
                    file.replace(folder, "") for file in recordings.file])
                while len(self._kept) > MOST_FILES:
                    self._kept.popitem(last=False)
        except PipelineError as error:
            raise BadInput(str(error).replace(folder, "")) from None
        return {
            "file": key, "name": path.name, "names": list(recordings.sample_id),
            "skipped": [f"{skip['name']}: {skip['reason']}" for skip in clips.skipped],
            "bones": [list(bone) for bone in layout.bones],
            "sides": [layout.sides[child] for child, _ in layout.bones],
            "clips": drawings,
        }

    def answer(self, asked: _Asked) -> dict[str, Any]:
        """The document of ``pipeline predict``."""
        with self._lock:
            recordings = self._kept.get(asked.file)
            if recordings is None:
                raise BadInput("the file is forgotten, because others came after it; drop it again")
            self._kept.move_to_end(asked.file)
            return self._predictor.answer(
                recordings, self._predictor.ask(asked.labels, gzsl=asked.gzsl, top=_TOP))


def _file_name(given: str) -> str:
    """The last part of a name, as short and in such characters that every system takes it."""
    name = re.sub(r"[^\w .()+-]", "_", re.split(r"[/\\]", given)[-1])[-60:]
    if not name.strip(". "):
        raise BadInput(f"{given[:60]!r} is no name of a file")
    return name


async def _body(request: Request, most: int) -> Any:
    """Parts of what was sent, as long as it is not too much."""
    total = int(request.headers.get("content-length", "0"))
    if total > most:
        _too_large(most)
    total = 0
    async for part in request.stream():
        total += len(part)
        if total > most:
            _too_large(most)
        yield part


def _too_large(most: int) -> NoReturn:
    size = f"{most >> 20} MB" if most >> 20 else f"{most >> 10} KB"
    raise HTTPException(413, f"larger than {size}, the most that the page takes; `pipeline "
                             "predict` has no such limit")


def _refusal(request: Request, error: Exception) -> Response:
    """An error in one line, which the page shows."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code)
    if isinstance(error, PipelineError):
        return JSONResponse({"error": " ".join(str(error).split())}, 400)
    return JSONResponse({"error": f"the server failed ({type(error).__name__}); what happened is "
                                  "where `pipeline show` runs"}, 500)
