"""``pipeline show``: the answers of ``predict`` on a page that this machine alone can open."""

from __future__ import annotations

import builtins
import http.client
import io
import json
import os
import pickle
import re
import signal
import socket
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import psutil
import pytest
from test_report_browser import CONTRAST, FAULTS, NAMELESS, WINDOWS, Browser, find

from zskel.data.common.errors import BadInput
from zskel.pipeline.predict.predict import Predictor, predict
from zskel.pipeline.show.show import show

LABELS = ["drink water", "wave goodbye"]
TOKEN = "a-token-of-the-tests"


class Page(NamedTuple):
    """A running server and where it writes what is dropped."""

    port: int
    folder: Path

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        """Status, and JSON or text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, content.decode()

    def left(self) -> list[str]:
        """What dropped files have left behind; torch and others have theirs there too."""
        return [path.name for path in self.folder.iterdir()
                if path.name.startswith(("show-", "predict-"))]

    def drop(self, name: str, content: bytes) -> tuple[int, Any]:
        return self.ask("POST", f"/{TOKEN}/files?name={quote(name)}", content)

    def question(self, file: str, labels: list[str], gzsl: bool = False) -> tuple[int, Any]:
        return self.ask("POST", f"/{TOKEN}/answers", json.dumps(
            {"file": file, "labels": labels, "gzsl": gzsl}).encode())


@pytest.fixture(scope="module")
def page(tiny_work: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    uvicorn = pytest.importorskip("uvicorn")
    from zskel.pipeline.show.app import make_app

    folder = tmp_path_factory.mktemp("dropped")
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        server = uvicorn.Server(uvicorn.Config(
            make_app(Predictor(tiny_work), TOKEN), lifespan="off", log_level="critical"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield Page(listening.getsockname()[1], folder)
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def clip(tiny_raw: Path) -> Path:
    return sorted(tiny_raw.glob("*.skeleton"))[3]


@pytest.fixture(scope="module")
def dropped(page: Page, clip: Path) -> dict[str, Any]:
    status, content = page.drop(clip.name, clip.read_bytes())
    assert status == 200, content
    return content


@pytest.mark.parametrize(("labels", "gzsl"), [(LABELS, False), (LABELS, True), ([], True)])
def test_answers_are_those_of_predict(
    page: Page, dropped: dict[str, Any], tiny_work: Path, clip: Path, labels: list[str], gzsl: bool
) -> None:
    status, answer = page.question(dropped["file"], labels, gzsl)
    assert status == 200, answer
    wanted = predict(tiny_work, [clip], labels, gzsl=gzsl)
    assert answer["clips"][0]["file"] == clip.name
    wanted["clips"][0]["file"] = clip.name
    assert answer == wanted


def test_the_skeleton_comes_with_the_file_and_nothing_of_it_stays(
    page: Page, dropped: dict[str, Any]
) -> None:
    assert len(dropped["bones"]) == len(dropped["sides"]) == 24
    assert {"left", "right", ""} == set(dropped["sides"])
    (drawing,) = dropped["clips"]
    assert drawing["t"] >= 16 and drawing["m"] == 1
    assert page.left() == []


class Executes:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


def bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("S001C001P001R001A001.skeleton", bytes(200 << 20))
    return file.getvalue()


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.skeleton", b"\0\xff" * 5000, "a.skeleton"),
    ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "a.png"),
    ("a.pkl", pickle.dumps(Executes()), "a.pkl"),
    ("a.npz", pickle.dumps(Executes()), "a.npz"),
    ("a.zip", bomb(), "a.zip"),
    ("a.skeleton", b"", "a.skeleton"),
    ("../../escape.skeleton", b"x", "escape.skeleton"),
    ("clips.h5", b"x", "clips.h5"),
    ("\u4e16" * 300 + "\n.skeleton", b"x", "_.skeleton"),
    ("..", b"x", "no name of a file"),
    ("", b"x", "no name of a file"),
])
def test_hostile_files_are_refused_in_one_line(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, content: bytes, message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    status, answer = page.drop(name, content)
    assert status == 400 and list(answer) == ["error"], answer
    assert message in answer["error"] and "\n" not in answer["error"]
    assert str(page.folder) not in answer["error"]
    assert list(tmp_path.iterdir()) == [] and page.left() == []


@pytest.mark.parametrize("announced", [True, False])
def test_a_huge_file_is_refused_before_it_is_taken(page: Page, announced: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
    connection.putrequest("POST", f"/{TOKEN}/files?name=a.skeleton")
    if announced:
        connection.putheader("Content-Length", str(10 << 30))
        connection.endheaders(b"x")
    else:
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        part = b"%x\r\n%s\r\n" % (1 << 20, bytes(1 << 20))
        for _ in range(65):
            connection.send(part)
    answer = connection.getresponse()
    assert answer.status == 413
    assert "larger than 64 MB" in json.loads(answer.read())["error"]
    connection.close()
    assert page.left() == []


def test_an_archive_of_too_many_clips_is_refused(page: Page, tiny_raw: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(tiny_raw.glob("*.skeleton"))[:21]:
            archive.write(path, path.name)
    status, answer = page.drop("many.zip", file.getvalue())
    assert status == 400 and "holds 21 clips, more than 20" in answer["error"]


@pytest.mark.parametrize(("body", "message"), [
    (b"nonsense", "not a question"),
    (b'{"file": "x", "labels": "wave"}', "not a question"),
    (b'{"file": "nobody", "labels": []}', "drop it again"),
    (json.dumps({"file": "x", "labels": ["a" * 70_000]}).encode(), "larger than 64 KB"),
])
def test_a_question_that_is_none_is_refused(page: Page, body: bytes, message: str) -> None:
    status, answer = page.ask("POST", f"/{TOKEN}/answers", body)
    assert status in (400, 413) and message in answer["error"]


def test_a_label_that_makes_no_question_is_one_line(page: Page, dropped: dict[str, Any]) -> None:
    status, answer = page.question(dropped["file"], ["wave", "Wave"])
    assert (status, answer) == (400, {"error": "label 'Wave' is given twice"})


@pytest.mark.parametrize(("path", "headers", "status"), [
    ("/", {}, 404),
    ("/another-token/", {}, 404),
    (f"/{TOKEN}/", {"Host": "evil.example"}, 400),
    (f"/{TOKEN}/", {"Origin": "http://evil.example"}, 403),
    (f"/{TOKEN}/", {"Origin": "null"}, 403),
    (f"/{TOKEN}/report/../features/text.h5", {}, 404),
    (f"/{TOKEN}/report/%2e%2e/features/text.h5", {}, 404),
    (f"/{TOKEN}/", {}, 200),
    (f"/{TOKEN}/report/report.html", {}, 200),
])
def test_who_may_see_what(
    page: Page, path: str, headers: dict[str, str], status: int
) -> None:
    assert page.ask("GET", path, **headers)[0] == status


def test_two_at_once_get_their_own_answers(page: Page, tiny_raw: Path, tiny_work: Path) -> None:
    clips = sorted(tiny_raw.glob("*.skeleton"))[:2]
    asked = [(path, labels) for path in clips for labels in (LABELS, ["jump", "sit", "run"])]

    def visit(each: tuple[Path, list[str]]) -> Any:
        _, file = page.drop(each[0].name, each[0].read_bytes())
        return page.question(file["file"], each[1])[1]

    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(visit, asked))
    for (path, labels), answer in zip(asked, answers, strict=True):
        wanted = predict(tiny_work, [path], labels)["clips"][0]
        assert answer["clips"][0] == {**wanted, "file": path.name}


def test_it_listens_on_the_loopback_address_and_ends_with_ctrl_c(
    tiny_work: Path, clip: Path, commands: Any, wait_for: Callable[..., None], tmp_path: Path
) -> None:
    here = commands.at(tmp_path)
    process = here.start("show", tiny_work, "--no-browser")
    wait_for(lambda: "http" in (tmp_path / "err").read_text())
    url = re.search(r"http://127\.0\.0\.1:(\d+)/[\w-]{24}/", (tmp_path / "err").read_text())
    assert url is not None
    listening = [each.laddr for each in psutil.Process(process).net_connections("inet")
                 if each.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", int(url[1]))]
    connection = http.client.HTTPConnection("127.0.0.1", int(url[1]), timeout=60)
    connection.request("GET", url[0])
    assert connection.getresponse().read()  # It serves, beyond only listening.
    # A file that is being read does not hold it up.
    connection.request("POST", f"{url[0]}files?name={clip.name}", clip.read_bytes())
    os.kill(process, signal.SIGINT)
    ended = here.wait()
    connection.close()
    assert ended.code == 130
    assert "interrupted" in ended.err and "Traceback" not in ended.err, ended.err


def test_mistakes_are_one_line(
    tiny_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"--port {port}: Address already in use; take another"):
            show(tiny_work, port, browser=False)
    with pytest.raises(BadInput, match="no fitted model"):
        show(tmp_path, browser=False)
    load = builtins.__import__

    def without(name: str, *others: Any) -> Any:
        if name == "uvicorn":
            raise ImportError(name)
        return load(name, *others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BadInput, match=r"pip install 'zero-shot-skeleton\[show\]'"):
        show(tiny_work, browser=False)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find()
    if program is None:
        pytest.skip("no Chromium here")
    made = Browser(program, tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


DROP = """(() => {
  const files = new DataTransfer();
  files.items.add(new File([%s], %s));
  document.getElementById("drop").dispatchEvent(
    new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true}));
})()"""


def text_of(browser: Browser, element: str) -> str:
    return browser.run(f"document.getElementById('{element}').textContent")


def settle(browser: Browser, wait_for: Callable[..., None], condition: str) -> None:
    wait_for(lambda: browser.run(condition), 60)


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)])
def test_a_file_is_dropped_and_labels_are_typed(
    page: Page, browser: Browser, clip: Path, tiny_work: Path, wait_for: Callable[..., None],
    width: int, dark: bool,
) -> None:
    url = f"http://127.0.0.1:{page.port}/{TOKEN}/"
    browser.open(url, width, dark=dark)
    browser.run(DROP % (json.dumps(clip.read_text()), json.dumps(clip.name)))
    settle(browser, wait_for, "document.getElementById('prediction').textContent.length > 1")
    wanted = predict(tiny_work, [clip])["clips"][0]
    assert text_of(browser, "prediction") == wanted["prediction"]
    before = browser.run("document.querySelector('#figure path.left').getAttribute('d')")
    settle(browser, wait_for, "document.querySelector('#figure path.left').getAttribute('d') !== "
           + json.dumps(before))
    browser.run("document.getElementById('labels').focus()")
    browser.call("Input.insertText", text="\n".join(LABELS))
    settle(browser, wait_for, f"document.querySelectorAll('#top li').length === {len(LABELS)}")
    wanted = predict(tiny_work, [clip], LABELS)["clips"][0]
    assert text_of(browser, "prediction") == wanted["prediction"]
    shown = browser.run("Array.from(document.querySelectorAll('#top li')).map(e => e.textContent)")
    assert shown == [f"{each['label']}{100 * each['probability']:.1f} %" for each in wanted["top"]]
    browser.run("document.getElementById('gzsl').click()")
    settle(browser, wait_for, "document.querySelectorAll('#top li').length === 5")
    wanted = predict(tiny_work, [clip], LABELS, gzsl=True)["clips"][0]
    assert text_of(browser, "prediction") == wanted["prediction"]
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(NAMELESS) == []
    for scheme in ("dark", "light"):
        browser.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}])
        assert browser.run(CONTRAST)[1] == []
    assert browser.problems == []
    assert all(each.startswith((url, "data:")) for each in browser.requests)
    # What is refused is said, and the former file stays.
    browser.run(DROP % ('"no skeleton"', '"a.skeleton"'))
    settle(browser, wait_for, "document.getElementById('message').className.includes('wrong')")
    assert "a.skeleton" in text_of(browser, "message")
    assert text_of(browser, "prediction") == wanted["prediction"]


def test_nothing_moves_for_who_asked_for_that(
    page: Page, browser: Browser, clip: Path, wait_for: Callable[..., None]
) -> None:
    browser.open(f"http://127.0.0.1:{page.port}/{TOKEN}/", 1200, still=True)
    browser.run(DROP % (json.dumps(clip.read_text()), json.dumps(clip.name)))
    settle(browser, wait_for, "document.querySelectorAll('#figure path').length > 0")
    assert text_of(browser, "play") == "Play"
    drawn = "document.querySelector('#figure path.left').getAttribute('d')"
    before = browser.run(drawn)
    browser.run("new Promise(done => setTimeout(done, 200))")
    assert before and browser.run(drawn) == before
    browser.run("document.getElementById('play').click()")
    settle(browser, wait_for, f"{drawn} !== {json.dumps(before)}")


@pytest.mark.parametrize(("width", "dark"), WINDOWS)
def test_axe_finds_no_serious_fault(
    page: Page, browser: Browser, axe: str, width: int, dark: bool
) -> None:
    browser.open(f"http://127.0.0.1:{page.port}/{TOKEN}/", width, dark=dark)
    browser.run(axe + ";0")
    assert browser.run(FAULTS) == []
