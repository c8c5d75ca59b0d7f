"""``pipeline show``: a server for this machine alone, until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import socket
import webbrowser
from pathlib import Path

from zskel.data.common.errors import BadInput
from zskel.pipeline.base.progress import say
from zskel.pipeline.predict.predict import (
    AS_EXTRACTED,
    OWN_MODEL,
    ModelChoice,
    Predictor,
    Reading,
)

#: The only address that is listened on.
LOOPBACK = "127.0.0.1"


def show(
    source: str | Path, port: int = 0, browser: bool = True,
    model: ModelChoice = OWN_MODEL, reading: Reading = AS_EXTRACTED,
) -> None:
    """Serves the report and the live page of a work directory.

    Args:
        source, model, reading: See ``zskel.pipeline.predict.predict.predict``.
        port: 0: a free one.
        browser: Whether to open the page.

    Raises:
        PipelineError: There is no fitted model, the port is taken, or the server's
            libraries are not there.
        KeyboardInterrupt: Somebody has ended it.
    """
    try:
        import uvicorn

        from zskel.pipeline.show.app import make_app
    except ImportError:
        raise BadInput("`pipeline show` needs starlette and uvicorn: "
                       "pip install 'zero-shot-skeleton[show]'") from None
    predictor = Predictor(source, model, reading)
    token = secrets.token_urlsafe(18)
    # Whatever is not answered within a second of Ctrl-C is given up.
    config = uvicorn.Config(make_app(predictor, token), lifespan="off", log_level="warning",
                            server_header=False, timeout_graceful_shutdown=1)
    try:
        listening = socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise BadInput(f"--port {port}: {os.strerror(error.errno or 0)}; take another one, or "
                       "none for a free one") from None
    with listening:
        url = f"http://{LOOPBACK}:{listening.getsockname()[1]}/{token}/"
        say(f"open {url} on this machine; Ctrl-C ends it")
        if browser:
            webbrowser.open(url)  # the socket listens already
        uvicorn.Server(config).run([listening])
