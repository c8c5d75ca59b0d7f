"""What a reader must know before comparing a setting's rows."""

from __future__ import annotations

import json
from collections import defaultdict

from zskel.pipeline.report.caches import changed_since
from zskel.pipeline.report.summary import READ, Setting


def remarks(setting: Setting) -> list[str]:
    """All of them, one sentence or two each."""
    found = list(dict.fromkeys(
        f"Notice on the skeletons: {notice['text']}."
        for run in setting.runs for notice in run.record.backbone.notices))
    found += stale(setting)
    for what, read in READ.items():
        kinds: dict[str, set[str]] = defaultdict(set)
        for group in setting.gated:
            kind, facts = map(json.dumps, read(group))
            kinds[kind].add(facts)
        if max(map(len, kinds.values())) > 1:
            found.append(f"The rows do not read the same {what}; each row says which.")
    counts = {len(group.runs) for group in setting.groups}
    if len(counts) > 1:
        found.append("The rows average over different numbers of seeds.")
    if any(len(group.runs) == 1 for group in setting.groups):
        found.append("A single seed has no standard deviation; none is shown.")
    return found


def stale(setting: Setting) -> list[str]:
    """Rows whose caches are there, but as other files; what ``pipeline verify`` finds, too."""
    rows: dict[str, dict[str, None]] = defaultdict(dict)
    for group in setting.gated:
        changed = dict.fromkeys(name for run in group.runs for name in changed_since(run))
        if changed:
            rows[", ".join(changed)][group.label] = None
    return [f"Made from features that have changed since ({changed}): {'; '.join(labels)}. "
            "Fit again, or extract as before." for changed, labels in rows.items()]
