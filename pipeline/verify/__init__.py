"""What ``pipeline verify`` and ``pipeline inspect`` know of whether files can be trusted.

``checks`` is what a finding is; ``files`` reads one file of any kind; ``work_dir``
reads a work directory; ``together`` tells whether its parts belong together,
``current`` whether they are what an experiment's config asks for; ``bank`` looks
through a bank; ``targets`` decides what a path is.
"""
