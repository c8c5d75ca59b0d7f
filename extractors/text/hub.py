"""Model hubs: asked once whether they can be reached, then left alone."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5.0


@cache
def hub_reachable() -> bool:
    """Whether a connection to the Hugging Face hub (or its mirror) opens.

    ``HF_HUB_OFFLINE`` answers no; a configured proxy answers yes, since only a
    real request could tell more.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    if "https" in urllib.request.getproxies():
        return True
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    address = (endpoint.hostname or "huggingface.co", endpoint.port or 443)
    try:
        with socket.create_connection(address, timeout=TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def hub_access() -> Iterator[None]:
    """Lets a model load from the local cache only where no hub answers.

    Without this the hub clients retry for a minute and print a page of
    warnings before they say that a model cannot be had.
    """
    import huggingface_hub.constants as constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not hub_reachable()
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        logging.disable(logging.NOTSET)


def cached_commit(*repositories: str) -> str | None:
    """The commit that the local cache holds of the first of these repositories it knows."""
    folder = cached_folder(*repositories)
    return folder.name if folder is not None else None


def cached_folder(*repositories: str) -> Path | None:
    """Where the local cache keeps that commit's files."""
    import huggingface_hub.constants as constants

    for repository in repositories:
        folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
        try:
            commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            continue
        return folder / "snapshots" / commit if commit else None
    return None
