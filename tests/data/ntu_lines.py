"""NTU's text, written by hand for the tests of its parser and reader."""

from __future__ import annotations

import numpy as np

from zskel.data.readers.ntu_text import parse_skeleton

FIRST_ID = 72057594037932358  # its successor is the same number as a double


def joint_line(x: str, y: str, z: str) -> str:
    return f"{x} {y} {z} 283.03 NaN -Infinity 581.3 -0.25 0.12 0.95 -1.5e-3 2"


def body_lines(body_id: int, offset: float = 0.0) -> list[str]:
    joints = [joint_line(f"{j + offset}", "-0.5", "4e0") for j in range(25)]
    return [f"{body_id} 0 1 1 1 1 0 0.339 -0.58 2", "25", *joints]


def lines_of(*frames: list[list[str]]) -> list[str]:
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body in bodies:
            lines += body
    return lines


def text_of(lines: list[str], newline: str = "\n") -> bytes:
    return "".join(line + newline for line in lines).encode()


ONE = lines_of([body_lines(FIRST_ID)])
TEXT = text_of(ONE)


def parse(text: bytes) -> np.ndarray:
    return parse_skeleton(text, "clip").keypoint
