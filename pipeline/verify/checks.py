"""What is found out about one part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

OK, NOTICE, STALE, BROKEN = "ok", "notice", "stale", "broken"


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        part: The file it is about.
        check: What was looked at, put as what should hold.
        status: "ok"; "notice": could not be looked at, which is no fault; "stale":
            was made from something that is no more; "broken": damaged, or
            contradicts itself.
        detail: What is wrong.
        remedy: What to do, usually a command.
    """

    part: Path
    check: str
    status: str = OK
    detail: str = ""
    remedy: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.status in (OK, NOTICE)

    def row(self) -> dict[str, Any]:
        """For ``pipeline inspect``."""
        detail = "; ".join(filter(None, (self.detail, self.remedy)))
        return {"check": self.check, "passed": self.passed,
                **({"detail": detail} if detail else {})}


def checked(
    part: Path, check: str, holds: bool, status: str, detail: str = "", remedy: str = ""
) -> Check:
    """A finding that is "ok", or has ``status`` and says why."""
    return Check(part, check) if holds else Check(part, check, status, detail, remedy)
