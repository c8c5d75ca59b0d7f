"""Text sources: what each gives, how they combine, and what they refuse."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from zskel.data.classes import class_names
from zskel.data.common.errors import BadConfig, BadInput, MissingModel, PipelineError
from zskel.data.texts import descriptions, part_texts
from zskel.extractors.text import ENCODERS, class_texts, embed_classes
from zskel.extractors.text.parts_of_speech import tag
from zskel.extractors.text.sources import SOURCES

DATASETS = ("ntu60", "ntu120", "pku-mmd", "utd-mhad", "nw-ucla", "synthetic")


@pytest.mark.parametrize("dataset", DATASETS)
def test_descriptions_come_in_label_order(dataset: str) -> None:
    names = class_names(dataset)
    texts = class_texts("description", names)
    assert texts == [[descriptions(dataset)[name]] for name in names]
    backward = class_texts("description", names[::-1])
    assert backward == texts[::-1]


def test_the_same_name_is_told_as_its_data_set_means_it() -> None:
    thrown = {
        dataset: dict(zip(class_names(dataset), class_texts("description", class_names(dataset))))
        ["throw"][0] for dataset in ("ntu60", "pku-mmd", "utd-mhad", "nw-ucla")
    }
    assert thrown["ntu60"] == thrown["pku-mmd"]
    assert len(set(thrown.values())) == 3
    for dataset, text in thrown.items():
        assert class_texts("description", ["throw"], dataset=dataset) == [[text]]
        with pytest.raises(BadConfig, match="class 'throw' differs.*options.dataset"):
            class_texts("description", ["throw"])


def test_parts_and_motion_of_the_shipped_classes() -> None:
    own = part_texts("utd-mhad")["wave"]
    assert class_texts("parts", ["wave"], of=["hands", "end"]) == [[own.hands, own.end]]
    assert class_texts("motion", ["Wave"]) == [[own.motion]]
    assert class_texts("parts", ["wave"]) == [list(own[:7])]
    with pytest.raises(BadConfig, match="no part 'hand'.*hands"):
        class_texts("parts", ["wave"], of=["hand"])
    with pytest.raises(BadConfig, match="list of parts"):
        class_texts("parts", ["wave"], of="hands")
    with pytest.raises(BadConfig, match="'moonwalk' has no motion text in any shipped data set"):
        class_texts("motion", ["moonwalk"])
    with pytest.raises(BadConfig, match="'utd-mhad', the nearest class is 'clap'"):
        class_texts("motion", ["clapp"], dataset="utd-mhad")


def test_verbs_and_nouns() -> None:
    names = ["wear a shoe", "sitting down", "reading"]
    assert class_texts("verb", names, dataset="ntu60") == [["put on"], ["sit down"], ["read"]]
    assert class_texts("noun", names) == [["shoe"], ["#"], ["#"]]
    assert len(class_texts("noun", class_names("utd-mhad"))) == 27


def test_concat_makes_one_text() -> None:
    names = ["wave", "jog"]
    (waved,), (jogged,) = class_texts("concat", names, sources=["label", "description"])
    assert waved == f"wave. {descriptions('utd-mhad')['wave']}"
    assert jogged.startswith("jog. Jogging in place")
    texts = class_texts("concat", ["take off jacket", "reading"], separator=" ",
                        sources=["verb", {"name": "noun", "options": {"dataset": "ntu120"}}])
    assert texts == [["take off jacket"], ["read"]]  # "#" is no word


def test_concat_does_not_double_a_full_stop_and_keeps_one_that_ends() -> None:
    (text,), = class_texts("concat", ["jog"], sources=["description", "label"])
    assert ".." not in text and text.endswith("slow running. jog")
    (text,), = class_texts("concat", ["jog"], sources=["description", "label"], separator=" / ")
    assert text.endswith("slow running. / jog")


def test_concat_gives_a_single_text_to_each_of_several() -> None:
    two = {"name": "template", "options": {"templates": ["a {}", "the {}"]}}
    assert class_texts("concat", ["jog"], sources=["label", two]) == [
        ["jog. a jog", "jog. the jog"]]
    assert class_texts("concat", ["jog"], sources=[two, two]) == [
        ["a jog. a jog", "the jog. the jog"]]
    three = {"name": "template", "options": {"templates": ["{}", "{}!", "{}?"]}}
    with pytest.raises(BadConfig, match="2 and 3 texts"):
        class_texts("concat", ["jog"], sources=[two, three])


def test_ensemble_collects_all_texts() -> None:
    names = ["wave", "jog"]
    nested = {"name": "concat", "options": {"sources": ["verb", "noun"], "separator": " "}}
    texts = class_texts("ensemble", names, sources=[
        "label", {"name": "template", "options": {"templates": ["a {}", "the {}"]}}, nested])
    assert texts == [["wave", "a wave", "the wave", "wave hand"],
                     ["jog", "a jog", "the jog", "jog"]]


def test_a_template_may_hold_other_braces() -> None:
    texts = class_texts("template", ["jog"], templates=["{x} {} {}"])
    assert texts == [["{x} jog jog"]]


def test_a_file_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeffshe waves\r\n he jogs \r\n\r\n".encode())
    assert class_texts("file", ["wave", "jog"], path=str(path)) == [["she waves"], ["he jogs"]]


def test_a_json_file_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "texts.json"
    path.write_text(json.dumps({"jog": ["he jogs", "jogging"], "wave": ["hi", "bye"], "x": "y"}))
    assert class_texts("file", ["wave", "jog"], path=str(path)) == [
        ["hi", "bye"], ["he jogs", "jogging"]]
    path.write_text(json.dumps({"jog": "he jogs", "wave": "hi"}))
    assert class_texts("file", ["wave", "jog"], path=str(path)) == [["hi"], ["he jogs"]]


def test_the_shipped_descriptions_are_such_a_file() -> None:
    import zskel.data.resources

    path = Path(zskel.data.resources.__file__).parent / "descriptions" / "nw-ucla.json"
    names = class_names("nw-ucla")
    assert class_texts("file", names, path=str(path)) == class_texts("description", names)


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.txt", "one line", "1 lines for 2 classes"),
    ("a.txt", "", "1 lines for 2 classes"),
    ("a.txt", "one\n\nthree", "3 lines for 2 classes"),
    ("a.txt", "\nsecond", "no text for class 'wave'"),
    ("a.txt", b"\xff\xfe\x00", "not UTF-8"),
    ("a.json", "{", "no valid JSON"),
    ("a.json", "[" * 100_000, "no valid JSON"),
    ("a.json", "[1]", "expected an object"),
    ("a.json", '{"wave": "hi"}', "no text for class 'jog'$"),
    ("a.json", '{"wave": "hi", "jogg": "x"}', "no text for class 'jog'; is 'jogg' meant"),
    ("a.json", '{"wave": "hi", "jog": 3}', "class 'jog': expected a string"),
    ("a.json", '{"wave": "hi", "jog": []}', "no text for class 'jog'"),
    ("a.json", '{"wave": "hi", "jog": "  "}', "no text for class 'jog'"),
    ("a.json", '{"wave": ["a", "b"], "jog": "x"}', "'jog' has 1 texts and class 'wave' has 2"),
])
def test_a_wrong_file_is_one_line(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput, match=message) as caught:
        class_texts("file", ["wave", "jog"], path=str(path))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="none.txt: .*No such file"):
        class_texts("file", ["wave"], path=str(tmp_path / "none.txt"))


@pytest.mark.parametrize(("source", "options", "message"), [
    ("description", {}, "class 'moonwalk' has no description in any shipped data set"),
    ("description", {"dataset": "utd-mhad"}, "'moonwalk' has no description in data set 'utd-m"),
    ("description", {"dataset": "utd-mad"}, "data set 'utd-mad'; did you mean 'utd-mhad'"),
    ("description", {"datset": "utd-mhad"}, "datset"),
    ("verb", {"dataset": "ucla"}, "did you mean 'nw-ucla'"),
    ("file", {}, "path"),
    ("concat", {"sources": ["lable"]}, "did you mean 'label'"),
    ("concat", {"sources": ["label", "description"]}, "'moonwalk' has no description"),
    ("concat", {"sources": "label"}, "has to be a list"),
    ("concat", {"sources": []}, "has to be a list"),
    ("ensemble", {"sources": [{"nome": "label"}]}, "nome.* is no source name"),
    ("ensemble", {"sources": [{"name": "label", "option": {}}]}, "is no source name"),
    ("ensemble", {"sources": [3]}, "3 is no source name"),
    ("template", {"templates": "a {}"}, "list of strings"),
    ("template", {"templates": []}, "list of strings"),
])
def test_what_a_source_refuses_is_one_line(
    source: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadConfig, match=message) as caught:
        class_texts(source, ["wave", "moonwalk"], **options)
    assert "\n" not in str(caught.value)


def test_a_source_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SOURCES, "_parts", dict(SOURCES._parts))
    SOURCES.register("shout", lambda names: [[name.upper()] for name in names])
    assert class_texts("shout", ["wave"]) == [["WAVE"]]
    assert class_texts("concat", ["jog"], sources=["shout", "label"]) == [["JOG. jog"]]


# Analyses in the style of spaCy's English model for a few labels: text, lemma, part of
# speech, dependency and the head's place in the sentence.
ANALYSED = {
    "they wipe face": [
        ("they", "they", "PRON", "nsubj", 1), ("wipe", "wipe", "VERB", "ROOT", 1),
        ("face", "face", "NOUN", "dobj", 1)],
    "they put on a hat or cap": [
        ("they", "they", "PRON", "nsubj", 1), ("put", "put", "VERB", "ROOT", 1),
        ("on", "on", "ADP", "prt", 1), ("a", "a", "DET", "det", 4),
        ("hat", "hat", "NOUN", "dobj", 1), ("or", "or", "CCONJ", "cc", 4),
        ("cap", "cap", "NOUN", "conj", 4)],
    "they make a phone call": [
        ("they", "they", "PRON", "nsubj", 1), ("make", "make", "VERB", "ROOT", 1),
        ("a", "a", "DET", "det", 4), ("phone", "phone", "NOUN", "compound", 4),
        ("call", "call", "NOUN", "dobj", 1)],
    "they are falling": [
        ("they", "they", "PRON", "nsubj", 2), ("are", "be", "AUX", "aux", 2),
        ("falling", "fall", "VERB", "ROOT", 2)],
    "they jump up": [
        ("they", "they", "PRON", "nsubj", 1), ("jump", "jump", "VERB", "ROOT", 1),
        ("up", "up", "ADP", "prt", 1)],
    "they tennis": [
        ("they", "they", "PRON", "nsubj", 1), ("tennis", "tennis", "NOUN", "ROOT", 1)],
}


@dataclass
class Word:
    text: str
    lemma_: str
    pos_: str
    dep_: str
    i: int
    head: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Word) and self.i == other.i


def analysed(sentence: str) -> list[Word]:
    rows = ANALYSED[sentence]
    words = [Word(*row[:4], place) for place, row in enumerate(rows)]
    for word, row in zip(words, rows):
        word.head = words[row[4]]
    return words


@pytest.mark.parametrize(("label", "verb", "noun"), [
    ("wipe face", "wipe", "face"),
    ("put on a hat/cap", "put on", "hat"),
    ("make a phone call (at home)", "make", "phone call"),
    ("falling", "fall", "#"),
    ("jump up", "jump up", "#"),
    ("tennis", "tennis", "#"),
    ("(jump up)", "jump up", "#"),
])
def test_a_tagged_label(label: str, verb: str, noun: str) -> None:
    assert tag([label], analysed) == {label: (verb, noun)}


@pytest.fixture
def spacy(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A spaCy with a model "tiny"; the list says which were loaded."""
    asked: list[str] = []

    def load(model: str) -> Any:
        asked.append(model)
        if model != "tiny":
            raise OSError("[E050] Can't find model.\nIt has a second line.")
        return analysed

    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=load))  # type: ignore[arg-type]
    from zskel.extractors.text import parts_of_speech

    parts_of_speech._load.cache_clear()
    monkeypatch.setattr(parts_of_speech, "_load", parts_of_speech._load.__wrapped__)
    return asked


def test_the_tagger_is_for_labels_that_no_table_has(spacy: list[str]) -> None:
    names = ["drink water", "make a phone call"]
    assert class_texts("noun", names, model="tiny") == [["water"], ["phone call"]]
    assert class_texts("verb", names, model="tiny") == [["drink"], ["make"]]
    assert class_texts("verb", ["drink water"]) == [["drink"]]
    assert spacy == ["tiny", "tiny"]


def test_the_tagger_for_all_labels(spacy: list[str]) -> None:
    assert class_texts("verb", ["falling"], dataset="ntu60") == [["fall down"]]
    assert class_texts("verb", ["falling"], tagger=True, model="tiny") == [["fall"]]
    assert class_texts("noun", ["put on a hat/cap"], dataset="ntu60", tagger=True,
                       model="tiny") == [["hat"]]


def test_a_missing_tagger_model_is_one_line(spacy: list[str]) -> None:
    with pytest.raises(MissingModel, match="'moonwalk'.*'large'.*install both.*'file'") as caught:
        class_texts("verb", ["moonwalk"], model="large")
    assert "\n" not in str(caught.value)


def test_a_missing_spacy_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)  # an import of it fails
    with pytest.raises(PipelineError, match="pip install spacy") as caught:
        class_texts("concat", ["moonwalk"], sources=["verb", "noun"], separator=" ")
    assert isinstance(caught.value, MissingModel) and "\n" not in str(caught.value)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def embedded() -> Any:
    """(data set, source) -> unit f_y of all-MiniLM-L6-v2."""
    encoder = ENCODERS.build("sentence_bert", model="all-MiniLM-L6-v2")

    @cache
    def embed(dataset: str, source: str) -> np.ndarray:
        names = class_names(dataset)
        texts = class_texts(source, names)
        features = embed_classes(encoder, names, texts, source)
        assert features.text.tolist() == [own[0] for own in texts]
        return unit(features.f_y)

    return embed


@pytest.mark.parametrize("dataset", ["ntu120", "utd-mhad", "nw-ucla", "synthetic"])
def test_descriptions_embed_near_their_own_label_but_not_on_it(
    embedded: Any, dataset: str
) -> None:
    label, description = embedded(dataset, "label"), embedded(dataset, "description")
    own = (label * description).sum(axis=1)
    assert own.max() < 0.95
    scores = description @ label.T
    rank = (scores > own[:, None]).sum(axis=1)
    assert (rank < 5).mean() >= 0.8
    assert own.mean() > scores.mean() + 0.15


@pytest.mark.parametrize(("dataset", "one", "two"), [
    ("ntu120", "sitting down", "standing up (from sitting position)"),
    ("ntu120", "wear jacket", "take off jacket"),
    ("ntu120", "wear on glasses", "take off glasses"),
    ("ntu120", "thumb up", "thumb down"),
    ("ntu120", "put on headphone", "take off headphone"),
    ("ntu120", "walking towards each other", "walking apart from each other"),
    ("nw-ucla", "sit down", "stand up"),
    ("utd-mhad", "swipe left", "swipe right"),
])
def test_opposites_are_each_others_nearest_neighbours_and_still_apart(
    embedded: Any, dataset: str, one: str, two: str
) -> None:
    rows, names = embedded(dataset, "description"), class_names(dataset)
    near = rows @ rows.T - 2 * np.eye(len(rows))
    i, j = names.index(one), names.index(two)
    assert near[i].argmax() == j and near[j].argmax() == i
    assert near[i, j] < 0.95
