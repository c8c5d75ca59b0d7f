"""All tables of a report together, each made by the module that knows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zskel.pipeline.report import contents, gates, provenance
from zskel.pipeline.report.embedding import Embeddings
from zskel.pipeline.report.latents import latents_table
from zskel.pipeline.report.published import FILES, literature, published_tables
from zskel.pipeline.report.published_comparison import comparison_table
from zskel.pipeline.report.summary import Setting
from zskel.pipeline.report.tables import Table


@dataclass(frozen=True)
class Tables:
    """All tables of a report; see ``contents``, ``gates`` and ``beside``.

    Attributes:
        paper: The paper's tables with ours beside them.
        later: Those of later methods.
    """

    results: Table
    class_averaged: Table
    gates: Table
    paired: Table
    sensitivity: Table
    per_class: Table
    runs: Table
    provenance: Table
    paper: tuple[Table, ...]
    later: tuple[Table, ...]
    confusion_zsl: Table
    confusion_gzsl: Table
    seen_unseen_curves: Table
    gate_roc: Table
    latents: Table
    training: Table

    @classmethod
    def of(
        cls, settings: Sequence[Setting], embeddings: Sequence[Embeddings], out_dir: Path
    ) -> Tables:
        """Makes them from settings; links are relative to ``out_dir``."""
        averages = literature("sa_dvae")["averages"]

        def published(name: str) -> tuple[Table, ...]:
            return tuple(comparison_table(table, settings, out_dir, averages)
                         for table in published_tables(name))

        paper, later = map(published, FILES)
        return cls(
            contents.results_table(settings, out_dir),
            contents.class_averaged_table(settings, out_dir),
            gates.gates_table(settings, out_dir), gates.paired_table(settings),
            gates.sensitivity_table(settings, out_dir),
            contents.per_class_table(settings, out_dir), contents.runs_table(settings, out_dir),
            provenance.provenance_table(settings), paper, later,
            contents.confusion_table(settings, "zsl"), contents.confusion_table(settings, "gzsl"),
            gates.operating_curves_table(settings), gates.roc_table(settings),
            latents_table(list(zip(settings, embeddings))), contents.training_table(settings),
        )

    def all(self) -> list[Table]:
        """Every table, each of which becomes a CSV file."""
        return [table for item in vars(self).values()
                for table in (item if isinstance(item, tuple) else (item,))]

    def printed(self) -> list[Table]:
        """Tables for papers that have rows: each of them becomes a LaTeX file."""
        listings = (self.runs, self.provenance)
        return [table for table in self.all()
                if table.rows and not table.data and table not in listings]
