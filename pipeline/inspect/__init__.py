"""What ``pipeline inspect`` knows: recognise a path, describe it, draw a clip.

Descriptions are JSON values. ``inspect`` decides what a path is, ``reader_choice``
which reader understands raw recordings; ``sources``, ``features`` and ``records``
describe one family each; ``draw`` draws one clip and alone imports matplotlib.
"""
