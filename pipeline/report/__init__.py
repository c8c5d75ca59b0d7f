"""The report on result records: tables, figures and one self-contained page.

It sees result records only, and takes work directories in and files out::

    from pipeline.report import write_report
    write_report(["work_dirs/utd-mhad-22-5"]).html
"""

from __future__ import annotations

from pipeline.report.page import ReportPaths, write_report

__all__ = ["ReportPaths", "write_report"]
