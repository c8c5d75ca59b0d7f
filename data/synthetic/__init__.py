"""The animated body of the demo and the tests: genuine NTU files of made-up people.

Forty actions, named in plain English and composed of movement, body part and
direction, are performed by people of different size and manner, seen by three
noisy depth cameras, and written in NTU RGB+D's own text format.

    >>> from zskel.data.synthetic import Settings, generate, write_ntu
    >>> clips = generate(Settings(performers=1, cameras=1, actions=("jump up",)))
    >>> [clip.sample_id for clip in clips]
    ['S031C001P001R001A035']
"""

from __future__ import annotations

from zskel.data.synthetic.actions import UNSEEN, class_names
from zskel.data.synthetic.recording import Body, Recording, Settings, generate
from zskel.data.synthetic.write import write_ntu

__all__ = ["UNSEEN", "Body", "Recording", "Settings", "class_names", "generate", "write_ntu"]
