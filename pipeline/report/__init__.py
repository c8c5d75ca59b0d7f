"""The report on result records: tables, figures and one self-contained page.

It takes work directories or result files in and gives files out. It sees result
records, and where they still lie beside them the feature caches, for f_x and for what
was done to the clips::

    from zskel.pipeline.report.report import report
    report(["work_dirs/utd-mhad-22-5"]).html
"""
