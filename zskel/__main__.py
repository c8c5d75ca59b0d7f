"""``python -m zskel``."""

from zskel.pipeline.cli.main import main

main()
