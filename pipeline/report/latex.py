"""The LaTeX form of a table, for the package booktabs."""

from __future__ import annotations

from dataclasses import replace

from zskel.pipeline.report.labels import protocol_label
from zskel.pipeline.report.tables import Table
from zskel.zsl.protocols import protocol_warning

#: Columns that say which row is whose, where rows differ in them.
_TELLING = ("experiment", "protocol")

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "–": "--", "—": "---", "±": r"$\pm$", "×": r"$\times$",
    "β": r"$\beta$", "▲": r"$\uparrow$", "▼": r"$\downarrow$", "−": "$-$",
    "“": "``", "”": "''", "’": "'",
    "\u202f": r"\,", "\u00a0": "~", "…": r"\dots{}",
}


def escape(text: str) -> str:
    r"""Text that LaTeX sets as it reads.

    >>> escape("50 % of A_1 & {b} ± 2")
    '50 \\% of A\\_1 \\& \\{b\\} $\\pm$ 2'
    """
    return "".join(_SPECIAL.get(character, character) for character in " ".join(text.split()))


def to_latex(table: Table) -> str:
    r"""A ``table`` with a ``tabular`` inside, captioned and labelled by the table's name.

    Needs ``\usepackage{booktabs}``. Where a number's record lies is said in a comment
    behind its row.
    """
    table = _for_paper(table)
    columns = list(table.columns)
    lines = [
        r"\begin{table}[t]", r"\centering", rf"\caption{{{escape(table.caption)}}}",
        rf"\label{{tab:{table.name.replace('_', '-')}}}",
        rf"\begin{{tabular}}{{{''.join('r' if c.numeric else 'l' for c in columns)}}}", r"\toprule",
    ]
    groups = table.heading_groups()
    if groups:
        heads, rules, at = [], [], 1
        for label, span in groups:
            heads.append(rf"\multicolumn{{{span}}}{{c}}{{{escape(label)}}}" if label
                         else "&" * (span - 1))
            if label:
                rules.append(rf"\cmidrule(lr){{{at}-{at + span - 1}}}")
            at += span
        lines += [" & ".join(heads) + r" \\", " ".join(rules)]
    lines += [" & ".join(escape(c.label) for c in columns) + r" \\", r"\midrule"]
    for row in table.rows:
        cells = [table.cell(row, column) for column in columns]
        shown = " & ".join(
            escape(c.text) + (rf"\textsuperscript{{{escape(c.mark)}}}" if c.mark else "")
            + (f" {escape(c.spread)}" if c.spread else "") for c in cells)
        records = dict.fromkeys(
            href for c in cells for href in (c.href, *(link.href for link in c.links)) if href)
        comment = f"  % {', '.join(records)}" if records else ""
        lines.append(rf"{shown} \\{comment}")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _for_paper(table: Table) -> Table:
    """Without the columns that are for machines; a protocol's warning stays in any case."""
    def differs(key: str) -> bool:
        return len({row.get(key) for row in table.rows}) > 1

    kept = [column for column in table.columns
            if not column.context or (column.key in _TELLING and differs(column.key))]
    rows = [{**row, "protocol": protocol_label(row["protocol"])} if "protocol" in row else row
            for row in table.rows]
    warned = {str(row.get("protocol")) for row in table.rows
              if protocol_warning(str(row.get("protocol")))}
    caption = table.heading
    if warned and not differs("protocol"):
        caption = f"{caption} Protocol {protocol_label(warned.pop())}."
    return replace(table, columns=kept, rows=rows, caption=caption, legend="")
