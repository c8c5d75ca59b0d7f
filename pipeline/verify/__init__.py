"""What ``pipeline verify`` and ``pipeline inspect`` know of whether files can be trusted.

Whether a file is whole is what reading it says. ``checks`` is what a finding is; ``files``
reads one file of any kind, ``work_dir`` those of a work directory; ``consistency`` tells
whether they belong together, ``staleness`` whether they are what an experiment's config asks
for; ``model_store`` looks through a model store; ``verify`` decides what a path is.
"""
