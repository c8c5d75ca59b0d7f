"""Zero-shot skeleton action recognition, from raw recordings to an honest report.

The folders ``data``, ``extractors``, ``zsl``, ``pipeline`` and ``configs`` of the checkout are
installed under this one name, so that they meet no other repository's: ``zskel.data`` and so on.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("zero-shot-skeleton")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0+unknown"
