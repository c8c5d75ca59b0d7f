"""An experiment's content as a config file of its own."""

from __future__ import annotations

import pprint
from collections.abc import Mapping, Sequence
from typing import Any


def experiment_source(comments: Sequence[str], content: Mapping[str, Any]) -> str:
    """The text of a config file that needs no other.

    Args:
        comments: Lines that stand first.
        content: Section -> its values.

    >>> print(experiment_source(["Mine."], {"name": "a", "fit": {"seeds": 3}}), end="")
    # Mine.
    name = 'a'
    fit = {'seeds': 3}
    """
    lines = [f"# {comment}" for comment in comments]
    lines += [f"{key} = {pprint.pformat(value, width=96, sort_dicts=False, compact=True)}"
              for key, value in content.items()]
    return "\n".join(lines) + "\n"
