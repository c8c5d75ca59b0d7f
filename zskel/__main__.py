"""``python -m zskel``."""

from zskel.pipeline.cli import main

main()
