"""What ``pipeline inspect`` knows: recognise a path, describe it, print it, draw a clip.

Descriptions are JSON values. ``recognise`` decides what a path is, ``opening``
which reader understands raw recordings; ``sources``, ``features`` and ``records``
describe one family each; ``render`` prints any description; ``draw`` draws one
clip and alone imports matplotlib.
"""
