"""The descriptions and parts of speech that ship, and how they are found."""

from __future__ import annotations

import difflib
import itertools
import re
from collections import Counter

import pytest

from zskel.data.classes import class_names
from zskel.data.common.errors import BadConfig
from zskel.data.texts import (
    NO_NOUN,
    PartsOfSpeech,
    descriptions,
    look_up,
    of_all,
    part_texts,
    parts_of_speech,
)

DATASETS = ("ntu60", "ntu120", "pku-mmd", "utd-mhad", "nw-ucla", "synthetic")


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_class_is_described_in_label_order(dataset: str) -> None:
    assert tuple(descriptions(dataset)) == class_names(dataset)


@pytest.mark.parametrize("dataset", DATASETS)
def test_descriptions_are_one_or_two_full_sentences(dataset: str) -> None:
    for name, text in descriptions(dataset).items():
        assert 15 <= len(text.split()) <= 40, name
        assert text[0].isupper() and text.endswith("."), name
        assert text.isascii() and "  " not in text and text == text.strip(), name
        assert text.count(".") <= 2, name
        assert not re.search(r"[{}<>\[\]\n]|\b(\w+) \1\b", text), name


@pytest.mark.parametrize("dataset", DATASETS)
def test_no_two_classes_share_a_description(dataset: str) -> None:
    texts = descriptions(dataset)
    assert len(set(texts.values())) == len(texts)
    if dataset == "synthetic":  # mirrored movements are told alike but for left and right
        return
    for (one, a), (two, b) in itertools.combinations(texts.items(), 2):
        a, b = words(a), words(b)
        if len(set(a) & set(b)) > 0.6 * min(len(set(a)), len(set(b))):
            assert difflib.SequenceMatcher(None, a, b).ratio() < 0.8, (one, two)


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_description_tells_more_than_its_label(dataset: str) -> None:
    for name, text in descriptions(dataset).items():
        assert len(set(words(text)) - set(words(name))) >= 11, name


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_description_names_what_moves(dataset: str) -> None:
    body = set(words("""arm arms hand hands palm palms finger fingers thumb thumbs fist fists wrist
        forearm elbow elbows shoulder shoulders head face neck mouth nose trunk waist body chest
        spine hip hips leg legs knee knees foot feet heel toes forearms fingertips lips"""))
    for name, text in descriptions(dataset).items():
        assert set(words(text)) & body, name


@pytest.mark.parametrize("dataset", ["ntu120", "pku-mmd", "utd-mhad", "nw-ucla"])
def test_descriptions_do_not_follow_a_template(dataset: str) -> None:
    texts = descriptions(dataset).values()
    for count in (5, 4):
        starts = Counter(tuple(words(text)[:count]) for text in texts)
        assert starts.most_common(1)[0][1] <= 2, starts.most_common(1)
    ends = Counter(tuple(words(text)[-5:]) for text in texts)
    assert ends.most_common(1)[0][1] <= 2, ends.most_common(1)


def test_mirrored_movements_are_told_alike_but_for_the_side() -> None:
    texts = descriptions("synthetic")
    mirrored = [name for name in texts if "left" in name.split()]
    assert len(mirrored) == 13
    for name in mirrored:
        assert "right" not in texts[name].lower().replace("upright", "")
        told = texts[name].replace("left", "right").replace("Left", "Right")
        assert told == texts[name.replace("left", "right")]


@pytest.mark.parametrize(("dataset", "name", "said"), [
    ("ntu120", "wear a shoe", "on"),
    ("ntu120", "take off a shoe", "off"),
    ("ntu120", "reading", "eyes"),
    ("ntu120", "writing", "pen"),
    ("ntu120", "thumb up", "up"),
    ("ntu120", "thumb down", "floor"),
    ("ntu120", "walking towards each other", "shrinks"),
    ("ntu120", "walking apart from each other", "growing"),
    ("utd-mhad", "draw circle (clockwise)", "right"),
    ("utd-mhad", "draw circle (counter clockwise)", "left"),
    ("utd-mhad", "sit to stand", "rise"),
    ("utd-mhad", "stand to sit", "lowers"),
])
def test_near_pairs_are_told_apart(dataset: str, name: str, said: str) -> None:
    assert said in words(descriptions(dataset)[name])


def test_two_people_are_in_the_mutual_actions() -> None:
    texts = list(descriptions("ntu120").values())
    mutual = [*range(49, 60), *range(105, 120)]
    for text in (texts[k] for k in mutual):
        assert re.search(r"two people|person|someone|opponent|other|attacker", text, re.I)
        assert re.search(r"two people|other|one\b|opponent|neighbour|companion", text, re.I)


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_class_has_a_text_of_each_part_and_third(dataset: str) -> None:
    table = part_texts(dataset)
    assert tuple(table) == class_names(dataset)
    for name, own in table.items():
        for text in own:
            assert 3 <= len(text.split()) <= 30, (name, text)
            assert text.isascii() and "  " not in text and text == text.strip(), (name, text)
            assert text[0].islower() and not text.endswith("."), (name, text)
        assert len({own.start, own.middle, own.end}) == 3, name


@pytest.mark.parametrize("dataset", DATASETS)
def test_no_two_classes_move_alike(dataset: str) -> None:
    motions = [own.motion for own in part_texts(dataset).values()]
    assert len(set(motions)) == len(motions)


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_motion_names_no_object(dataset: str) -> None:
    objects = set(words("""water cup food snack toothbrush brush jacket coat shoe glasses hat cap
        ball phone tablet screen keyboard watch paper bag backpack box racket bat knife gun camera
        coin money scissors bottle book pen chair door headphone headphones cream cube"""))
    for name, own in part_texts(dataset).items():
        assert not set(words(own.motion)) & objects, name


def test_mirrored_movements_have_mirrored_parts() -> None:
    table = part_texts("synthetic")
    for name in (name for name in table if "left" in name.split()):
        told = tuple(text.replace("left", "right") for text in table[name])
        assert told == tuple(table[name.replace("left", "right")]), name


def test_ntu60_is_the_first_half_of_ntu120() -> None:
    assert list(descriptions("ntu60").items()) == list(descriptions("ntu120").items())[:60]
    assert (list(parts_of_speech("ntu60").items())
            == list(parts_of_speech("ntu120").items())[:60])
    assert list(part_texts("ntu60").items()) == list(part_texts("ntu120").items())[:60]


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_class_has_a_verb_and_perhaps_a_noun(dataset: str) -> None:
    table = parts_of_speech(dataset)
    assert tuple(table) == class_names(dataset)
    for name, (verb, noun) in table.items():
        assert verb and verb == verb.strip() and verb != NO_NOUN, name
        assert noun and noun == noun.strip(), name
        assert 1 <= len(words(verb)) <= 5, name
        assert len(words(noun)) <= 3, name
    assert len(set(table.values())) == len(table)


@pytest.mark.parametrize(("dataset", "name", "verb", "noun"), [
    ("ntu60", "drink water", "drink", "water"),
    ("ntu60", "sitting down", "sit down", "#"),
    ("ntu60", "touch head (headache)", "have", "headache"),
    ("ntu120", "hands up (both hands)", "capitulate", "#"),
    ("ntu120", "finger-guessing game (playing rock-paper-scissors)", "play",
     "rock paper scissors"),
    ("pku-mmd", "put something inside pocket", "put into", "pocket"),
    ("utd-mhad", "tennis serve", "serve", "tennis ball"),
    ("nw-ucla", "doffing", "take off", "jacket"),
    ("synthetic", "kick backward with left leg", "kick backward", "left leg"),
])
def test_parts_of_speech(dataset: str, name: str, verb: str, noun: str) -> None:
    assert parts_of_speech(dataset)[name] == PartsOfSpeech(verb, noun)


@pytest.mark.parametrize("read", [descriptions, part_texts, parts_of_speech])
def test_a_data_set_without_texts_is_named(read: object) -> None:
    with pytest.raises(BadConfig, match="'ntu61'; did you mean") as caught:
        read("ntu61")  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_all_tables_have_all_data_sets() -> None:
    for tables in map(of_all, (descriptions, part_texts, parts_of_speech)):
        assert set(tables) == set(DATASETS)


TABLES = {
    "one": {"throw": "high", "sit": "low", "fall": "flat"},
    "two": {"throw": "far", "sit": "low", "run": "fast"},
    "three": {"throw": "high", "swim": "wet"},
}


@pytest.mark.parametrize(("names", "dataset", "found"), [
    (["throw", "fall"], None, ["high", "flat"]),
    (["run", "throw"], None, ["fast", "far"]),
    (["sit"], None, ["low"]),  # two data sets, one text
    (["Run!", "THROW", "Sit "], None, ["fast", "far", "low"]),  # however they are written
    (["throw"], "two", ["far"]),
    (["throw", "run"], "one", ["high", None]),
    (["run", "swim", "dance"], None, ["fast", "wet", None]),  # no one data set
    ([], None, []),
])
def test_names_are_read_as_in_the_data_set_that_has_them_all(
    names: list[str], dataset: str | None, found: list[str | None]
) -> None:
    assert look_up(names, TABLES, dataset) == found


@pytest.mark.parametrize("names", [["throw"], ["throw", "sit"], ["throw", "dance"]])
def test_a_name_with_two_meanings_is_an_error(names: list[str]) -> None:
    with pytest.raises(BadConfig, match="class 'throw' differs between one, two.*options.dataset"):
        look_up(names, TABLES)


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(BadConfig, match="'tow'; did you mean 'two'"):
        look_up(["run"], TABLES, "tow")
