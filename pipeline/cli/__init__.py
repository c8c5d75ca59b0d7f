"""The commands. Each is a thin shell over an importable function.

``app`` is the program, ``options`` what commands share; the others hold commands by
topic, in the order in which the help shows them.
"""

from zskel.pipeline.cli import stages, search, tables, ask, exchange  # noqa: F401, I001  registers them
from zskel.pipeline.cli.app import app, main

__all__ = ["app", "main"]
