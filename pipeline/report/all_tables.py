"""All tables of a report together, each made by the module that knows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zskel.pipeline.report import contents, gates
from zskel.pipeline.report.embedding import Embeddings
from zskel.pipeline.report.latents import latents_table
from zskel.pipeline.report.paired import paired_table
from zskel.pipeline.report.provenance import provenance_table
from zskel.pipeline.report.published import FILES, literature, published_tables
from zskel.pipeline.report.published_comparison import comparison_table
from zskel.pipeline.report.summary import Setting
from zskel.pipeline.report.tables import Table

#: Lists of what there is, which belong into no paper.
_LISTINGS = ("runs", "provenance")


@dataclass(frozen=True)
class Tables:
    """All tables of a report.

    Attributes:
        own: Those of results, by name.
        paper: The paper's tables with ours beside them.
        later: Those of later methods.
    """

    own: dict[str, Table]
    paper: tuple[Table, ...]
    later: tuple[Table, ...]

    @classmethod
    def of(
        cls, settings: Sequence[Setting], embeddings: Sequence[Embeddings], out_dir: Path
    ) -> Tables:
        """Makes them from settings; links are relative to ``out_dir``."""
        own = (
            contents.results_table(settings, out_dir),
            contents.class_averaged_table(settings, out_dir),
            gates.gates_table(settings, out_dir), paired_table(settings),
            gates.sensitivity_table(settings, out_dir),
            contents.per_class_table(settings, out_dir), contents.runs_table(settings, out_dir),
            provenance_table(settings), contents.confusion_table(settings, "zsl"),
            contents.confusion_table(settings, "gzsl"), gates.operating_curves_table(settings),
            gates.roc_table(settings), latents_table(list(zip(settings, embeddings))),
            contents.training_table(settings),
        )
        averages = literature("sa_dvae")["averages"]
        paper, later = (tuple(comparison_table(table, settings, out_dir, averages)
                              for table in published_tables(name)) for name in FILES)
        return cls({table.name: table for table in own}, paper, later)

    def all(self) -> list[Table]:
        """Every table, each of which becomes a CSV file."""
        return [*self.own.values(), *self.paper, *self.later]

    def printed(self) -> list[Table]:
        """Tables for papers that have rows: each of them becomes a LaTeX file."""
        return [table for table in self.all()
                if table.rows and not table.data and table.name not in _LISTINGS]
