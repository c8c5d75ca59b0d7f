"""NTU's text: what the parser gives, and what it refuses."""

from __future__ import annotations

import tracemalloc

import numba
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ntu_lines import FIRST_ID, ONE, TEXT, body_lines, joint_line, lines_of, parse, text_of

from zskel.data.common.compiled import jit
from zskel.data.common.errors import ClipError
from zskel.data.readers.ntu_text import MAX_BODIES, parse_skeleton


def test_bodies_are_kept_apart_by_id_not_by_position():
    first, second = FIRST_ID, FIRST_ID + 1
    frames = (
        [],
        [body_lines(first, 0.125)],
        [body_lines(second, 100.0), body_lines(first, 0.25)],
        [body_lines(second, 200.0)],
    )
    keypoint, ids = parse_skeleton(text_of(lines_of(*frames)), "clip")
    assert keypoint.dtype == np.float32
    assert ids.tolist() == [first, second]
    x = np.zeros((2, 4, 25), np.float32)
    x[0, 1], x[0, 2] = np.arange(25) + 0.125, np.arange(25) + 0.25
    x[1, 2], x[1, 3] = np.arange(25) + 100, np.arange(25) + 200
    np.testing.assert_array_equal(keypoint[..., 0], x)
    there = np.array([[0, 1, 1, 0], [0, 0, 1, 1]], np.float32)[..., None]
    np.testing.assert_array_equal(keypoint[..., 1], np.broadcast_to(-0.5 * there, x.shape))
    np.testing.assert_array_equal(keypoint[..., 2], np.broadcast_to(4 * there, x.shape))


@pytest.mark.parametrize(
    "text",
    [
        text_of(ONE, "\r\n"),
        text_of(ONE).replace(b"\n", b"\r\n", 9),
        text_of(ONE).rstrip(b"\n"),
        text_of(ONE).rstrip(b"\n") + b"\r",
        text_of(ONE) + b"\n \t\r\n",
        b"\xef\xbb\xbf" + TEXT,
        text_of(["  " + line.replace(" ", " \t  ") + " " for line in ONE]),
    ],
    ids=["crlf", "mixed", "no last line end", "last cr", "blank lines after", "byte-order mark",
         "blanks"],
)
def test_line_ends_and_blanks_do_not_matter(text):
    np.testing.assert_array_equal(parse(text), parse(TEXT))


POWER = r"([eE]([+]?0{0,3}1?[0-9]|-[0-9]{1,3}))?"
DECIMALS = st.one_of(
    st.from_regex(r"\A[+-]?[0-9]{1,18}(\.[0-9]{0,20})?" + POWER + r"\Z"),
    st.from_regex(r"\A[+-]?\.[0-9]{1,25}" + POWER + r"\Z"),
    st.floats(-1e38, 1e38).map(repr),
    st.floats(-(2.0**126), 2.0**126, width=32).map(lambda value: f"{value:.7g}"),
    st.floats(-10, 10).map(lambda value: f"{value:.25f}"),
)


@given(st.lists(DECIMALS, min_size=1, max_size=15))
def test_coordinates_are_those_of_float_bit_for_bit(numbers):
    numbers = (75 * numbers)[:75]
    expected = np.array([float(number) for number in numbers]).astype(np.float32)
    assume(expected.any())
    joints = [joint_line(*numbers[i : i + 3]) for i in range(0, 75, 3)]
    bits = parse(text_of([*ONE[:4], *joints])).ravel().view(np.uint32)
    np.testing.assert_array_equal(bits, expected.view(np.uint32))


def test_a_file_full_of_long_numbers():
    rng = np.random.default_rng(5)
    numbers = rng.normal(size=(6, 25, 3))
    frames = [
        [[*body_lines(FIRST_ID)[:2], *(joint_line(*map(repr, joint)) for joint in frame.tolist())]]
        for frame in numbers
    ]
    keypoint = parse(text_of(lines_of(*frames)))
    np.testing.assert_array_equal(keypoint[0], numbers.astype(np.float32))


def broken(line: int, new: str | None) -> bytes:
    """The text with one line, counted from 1, replaced or taken out."""
    lines = list(ONE)
    lines[line - 1 : line] = [] if new is None else [new]
    return text_of(lines)


JOINT = joint_line("1", "2", "3")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"", 1, "the number of frames, but the file is empty"),
        (b"\n", 1, "expected the number of frames, found 0 fields"),
        (broken(1, "-1"), 1, "expected the number of frames, found 1 field: '-1'"),
        (broken(1, "1.0"), 1, "the number of frames"),
        (broken(1, "1 1"), 1, "found 2 fields: '1 1'"),
        (broken(1, "99999999999"), 1, "99999999999 frames are announced"),
        (broken(1, "9" * 30), 1, "the number of frames"),
        (broken(1, "2"), 30, "the number of bodies of frame 2, but the file ends here"),
        (broken(1, "0"), 2, "expected the end of the file after 0 frames, found 1 field: '1'"),
        (broken(2, "-2"), 2, "the number of bodies of frame 1, found 1 field: '-2'"),
        (broken(2, "2"), 30, "expected a body .* but the file ends here"),
        (broken(2, "9"), 2, "9 bodies are announced, more than the rest"),
        (broken(2, "one"), 2, "found 1 field: 'one'"),
        (broken(3, f"{FIRST_ID} 0 1 1 1 1 0 0.3 -0.5"), 3, "expected a body .* found 9 fields"),
        (broken(3, f"{FIRST_ID}.5 0 1 1 1 1 0 0.3 -0.5 2"), 3, "an integer id"),
        (broken(3, f"{2**63} 0 1 1 1 1 0 0.3 -0.5 2"), 3, "an integer id"),
        (broken(4, "24"), 4, "expected 25, the number of joints, found 1 field: '24'"),
        (broken(4, None), 4, "25, the number of joints, found 12 fields"),
        (broken(5, JOINT + " 1"), 5, "expected a joint .* found 13 fields"),
        (broken(5, JOINT[:-2]), 5, "found 11 fields"),
        (broken(5, "1 2"), 5, "found 2 fields: '1 2'"),
        (broken(5, JOINT.replace("2", "0x2", 1)), 5, "finite x, y and z"),
        (broken(5, JOINT.replace("2", "1_0", 1)), 5, "finite x, y and z"),
        (broken(5, JOINT.replace("2", "nan", 1)), 5, "finite x, y and z"),
        (broken(6, JOINT.replace("3", "-Infinity", 1)), 6, "finite x, y and z"),
        (broken(6, JOINT.replace("3", "1e39", 1)), 6, "beyond float32"),
        (broken(6, JOINT.replace("3", "1e999", 1)), 6, "beyond float32"),
        (broken(6, JOINT.replace("3", "1e", 1)), 6, "finite x, y and z"),
        (broken(6, JOINT.replace("3", ".", 1)), 6, "finite x, y and z"),
        (broken(7, JOINT.replace("581", "5\x008")), 7, "a byte that is no plain text"),
        (broken(7, JOINT.replace("581", "5\r8")), 7, "a byte that is no plain text"),
        (broken(7, JOINT.replace("581", "5\x7f8")), 7, "a byte that is no plain text"),
        (broken(7, JOINT.replace("581", "é")), 7, "a byte that is no plain text"),
        (broken(29, None), 29, "expected a joint .* but the file ends here"),
        (text_of(ONE[:2]), 2, "1 bodies are announced"),
        (TEXT + b"0\n", 30, "the end of the file after 1 frames, found 1 field: '0'"),
        (2 * b"\xef\xbb\xbf" + TEXT, 1, "a byte that is no plain text"),
        (text_of(lines_of([body_lines(7), body_lines(7)])), 30, "already has: '7 0 1"),
    ],
)
def test_damage_is_one_line_with_the_line_number(text, line, message):
    with pytest.raises(ClipError, match=rf"^clip: line {line}: .*{message}") as caught:
        parse(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_a_clip_without_any_body_is_an_error():
    with pytest.raises(ClipError, match="clip: no body in any of its 3 frames"):
        parse(b"3\n0\n0\n0\n")
    nowhere = text_of([*ONE[:4], *[joint_line("0", "-0.0", "0e3")] * 25])
    with pytest.raises(ClipError, match="in any of its 1 frames, all coordinates are zero"):
        parse(nowhere)
    with pytest.raises(ClipError, match="clip: holds only zero bytes"):
        parse(bytes(100))


def test_bodies_and_arrays_have_a_limit():
    few = [body_lines(number) for number in range(MAX_BODIES)]
    assert len(parse(text_of(lines_of(few)))) == MAX_BODIES
    with pytest.raises(ClipError, match=f"more than {MAX_BODIES} different body ids"):
        parse(text_of(lines_of([*few, body_lines(MAX_BODIES)])))
    # Small as text, large as an array: one frame of many bodies, many frames of none.
    text = text_of([str(10_000), *lines_of(few)[1:], *["0"] * 9_999])
    with pytest.raises(ClipError, match="1024 bodies in 10000 frames would take 2929 MB"):
        parse(text)


def test_memory_is_bounded_by_the_size_of_the_file():
    damaged = [broken(1, "9999999"), broken(2, "9999999"), b"1\n" * 100_000, b"1 " * 100_000]
    tracemalloc.start()
    try:
        for text in damaged:
            tracemalloc.reset_peak()
            with pytest.raises(ClipError):
                parse(text)
            assert tracemalloc.get_traced_memory()[1] < 3 * len(text) + 100_000
    finally:
        tracemalloc.stop()


def test_code_compiles_where_the_result_cannot_be_kept():
    scope: dict = {}
    exec("def twice(x):\n    return 2 * x", scope)  # no file, hence no place beside it
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(scope["twice"])
    assert jit(numba.int64(numba.int64))(scope["twice"])(21) == 42
