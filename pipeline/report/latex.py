"""The LaTeX form of a table, for the package booktabs."""

from __future__ import annotations

from zskel.pipeline.report.rows import across_settings
from zskel.pipeline.report.tables import Table

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
    table = across_settings(table)
    columns = list(table.columns)
    lines = [
        r"\begin{table}[t]", r"\centering", rf"\caption{{{escape(table.heading)}}}",
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
