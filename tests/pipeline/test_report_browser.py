"""The page in a browser, where there is one: it asks the network nothing and can be read."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from zskel.data.splits import class_split
from zskel.pipeline.report import embedding
from zskel.pipeline.report.report import write_report
from zskel.pipeline.steps.results import write_result

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """Path of a Chromium, None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser that speaks the DevTools protocol over file descriptors 3 and 4.

    Attributes:
        problems: What the page wrote to its console as warning or error, or threw.
        requests: URLs that it asked for.
    """

    def __init__(self, program: str, profile: Path) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._number, self._buffer = 0, b""
        self._events: list[dict[str, Any]] = []
        reads, self._write = os.pipe()
        self._read, writes = os.pipe()

        def place() -> None:
            # High numbers first: dup2 must not overwrite what it has yet to copy.
            high = [os.dup(reads), os.dup(writes)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self._process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", "--disable-extensions",
             "--hide-scrollbars", f"--user-data-dir={profile}", "--remote-debugging-pipe",
             "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=place, close_fds=False, env={**os.environ, "TMPDIR": str(profile)})
        os.close(reads), os.close(writes)
        self._session = None
        pages = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        target = pages[0]["targetId"] if pages else self.call(
            "Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target,
                                  flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, page: Path | str, width: int, height: int = 900, dark: bool = False,
             still: bool = False) -> None:
        """Shows a file or URL in a window of a size; forgets earlier problems and requests."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"}])
        self.problems.clear(), self.requests.clear(), self._events.clear()
        self.call("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        end = time.monotonic() + 60
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._receive(end)

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True,
                           awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def key(self, name: str, code: int) -> None:
        """Presses a key."""
        text = "\r" if name == "Enter" else ""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name,
                      windowsVirtualKeyCode=code, **({"text": text} if kind == "keyDown" else {}))

    def screenshot(self, path: Path, whole: bool = False, top: int = 0, height: int = 900) -> None:
        """Writes a PNG file of the page, from ``top``."""
        width = self.run("innerWidth")
        height = self.run("document.documentElement.scrollHeight") if whole else height
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip={
            "x": 0, "y": top, "width": width, "height": height, "scale": 1})
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """Ends the browser."""
        self._session = None
        self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read), os.close(self._write)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and returns its result."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60
        while True:
            answer = self._receive(end)
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _receive(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(end - time.monotonic(), 0))
            assert ready, "the browser does not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "the browser ended"
            self._buffer += data
        raw, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(raw)
        if "method" in message:
            self._note(message)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        details = event["params"]
        if event["method"] == "Network.requestWillBeSent":
            self.requests.append(details["request"]["url"])
        elif event["method"] == "Log.entryAdded" and details["entry"]["level"] != "verbose":
            self.problems.append(details["entry"]["text"])
        elif event["method"] == "Runtime.exceptionThrown":
            self.problems.append(str(details["exceptionDetails"]))
        elif event["method"] == "Runtime.consoleAPICalled":
            self.problems.append(str(details["args"]))


WINDOWS = [(width, dark) for width in (1200, 390) for dark in (False, True)]
CURVE = [(0.9, 0.0), (0.8, 0.3), (0.5, 0.5), (0.0, 0.6)]

#: Text whose colour is too near to what is behind it (WCAG 1.4.3).
CONTRAST = """(() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const over = (top, below) => {
    const a = top.length > 3 ? top[3] : 1;
    return [0, 1, 2].map(i => a * top[i] + (1 - a) * below[i]);
  };
  const light = rgb => rgb.map(c => c / 255).map(
    c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4
  ).reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement)
      layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const bad = [];
  let count = 0;
  for (let node; (node = walker.nextNode());) {
    const e = node.parentElement;
    if (!node.data.trim() || e.closest("script, style, title, .sr, .skip")) continue;
    const style = getComputedStyle(e);
    const ink = parse(e.closest("svg") ? style.fill : style.color);
    const paper = behind(e.closest("svg") ? e.closest("svg") : e);
    const [a, b] = [light(over(ink, paper)), light(paper)].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24 || (
      parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    count += 1;
    if ((a + .05) / (b + .05) < (large ? 3 : 4.5)) bad.push(node.data.trim().slice(0, 40));
  }
  return [count, bad];
})()"""

#: Links, buttons, drawings and tables without a name that can be read out.
NAMELESS = """(() => {
  const named = e => (e.getAttribute("aria-label") || e.textContent || "").trim() || (
    e.getAttribute("aria-labelledby") || "").split(" ").some(
    id => id && document.getElementById(id) && document.getElementById(id).textContent.trim());
  return Array.from(document.querySelectorAll(
    "a, button, [role=img], [role=region], table.data, table.matrix"
  )).filter(e => !named(e)).map(e => e.outerHTML.slice(0, 120));
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = find()
    if program is None:
        pytest.skip("no Chromium here")
    made = Browser(program, tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory, make_result, make_store) -> Path:
    folder = tmp_path_factory.mktemp("work")
    make_store(folder, make_result()[1])
    for protocol in ("strict", "released"):
        for variant in ("naive", "fd", "fd+tc"):
            for seed in range(2):
                for gate in ("", "hard"):
                    write_result(folder, *make_result(
                        seed=seed, variant=variant, protocol=protocol, gate_key=gate,
                        gate={"name": gate or "domain_classifier"}, gzsl_ausuc=0.4, domain_auc=0.7,
                        seen_unseen_curve=CURVE, domain_roc=[(0, 0), (0.2, 0.7), (1, 1)]))
    wide = tmp_path_factory.mktemp("wide")
    for seed in range(2):
        write_result(wide, *make_result(
            seed=seed, experiment="ntu120", dataset="ntu120", split="96-24", clips=1,
            classes=tuple(f"a class with a long name, number {i}" for i in range(120)),
            unseen=class_split("ntu120", "96-24").unseen))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "embed", lambda latent: latent[:, :2])
        return write_report([folder, wide], folder / "report").html


@pytest.fixture(scope="module")
def small_page(tmp_path_factory, make_result, make_store) -> Path:
    folder = tmp_path_factory.mktemp("small")
    record, arrays = make_result()
    write_result(folder, record, arrays)
    make_store(folder, arrays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "embed", lambda latent: latent[:, :2])
        return write_report([folder], folder / "report").html


#: The rules that a page breaks in a way that axe calls serious or critical.
FAULTS = """axe.run().then(found => found.violations.filter(
    each => ["serious", "critical"].includes(each.impact)).map(each => each.id))"""


@pytest.mark.parametrize(("width", "dark"), WINDOWS)
def test_axe_finds_no_serious_fault(browser, small_page, axe, width, dark):
    browser.open(small_page, width, dark=dark)
    browser.run(axe + ";0")
    assert browser.run(FAULTS) == []


def test_axe_sees_a_slider_without_a_name(browser, small_page, axe):
    browser.open(small_page, 1200)
    browser.run(axe + ";document.querySelector('input').removeAttribute('aria-label')")
    assert browser.run(FAULTS) == ["label"]


@pytest.mark.parametrize(("width", "dark"), WINDOWS)
def test_the_page_is_quiet_and_asks_for_nothing(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    browser.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith("data:")] == [page.as_uri()]


@pytest.mark.parametrize(("width", "dark"), WINDOWS)
def test_nothing_sticks_out_of_the_window(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") <= width
    outside = browser.run("""Array.from(document.querySelectorAll("main *, header *")).filter(
        e => !e.closest(".scroll, svg, .sr") && e.getBoundingClientRect().right > innerWidth + 1
    ).map(e => e.outerHTML.slice(0, 120))""")
    assert outside == []


def test_no_table_of_results_is_cut_in_a_usual_window(browser, page):
    browser.open(page, 1300)
    assert browser.run("""Array.from(document.querySelectorAll(".scroll:has(.data)"))
        .filter(e => !e.closest("#published") && e.scrollWidth > e.clientWidth + 1)
        .map(e => e.getAttribute("aria-labelledby"))""") == []


@pytest.mark.parametrize(("width", "dark"), WINDOWS)
def test_all_text_has_contrast(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    count, bad = browser.run(CONTRAST)
    assert count > 1000 and bad == []


def test_the_check_of_contrast_sees_faint_text(browser, page):
    browser.open(page, 1200)
    browser.run("document.querySelector('.lead').style.color = '#b0b0b0'")
    assert len(browser.run(CONTRAST)[1]) == 1


def test_everything_that_acts_or_shows_has_a_name(browser, page):
    browser.open(page, 1200)
    assert browser.run(NAMELESS) == []


def test_labels_of_drawings_lie_within_them(browser, page):
    browser.open(page, 1200)
    assert browser.run("""Array.from(document.querySelectorAll("svg.plot text")).filter(e => {
        const own = e.getBoundingClientRect(), all = e.closest("svg").getBoundingClientRect();
        return own.left < all.left - 1 || own.right > all.right + 1 || own.top < all.top - 1
            || own.bottom > all.bottom + 1;
    }).map(e => e.textContent)""") == []


def test_the_keyboard_reaches_the_content_and_sorts_tables(browser, page):
    browser.open(page, 1200)
    browser.key("Tab", 9)
    assert browser.run("document.activeElement.className") == "skip"
    table = "document.querySelector('[id^=demo][id$=strict] table.sortable')"
    column = f"Array.from({table}.tBodies[0].rows).map(row => Number(row.cells[2].dataset.value))"
    values = browser.run(column)
    browser.run(f"{table}.querySelectorAll('thead tr:last-child th button')[2].focus()")
    browser.key("Enter", 13)
    assert browser.run(column) == sorted(values)
    browser.key("Enter", 13)
    assert browser.run(column) == sorted(values, reverse=True)
    assert browser.run(f"{table}.querySelector('[aria-sort=descending]').textContent") == "Accuracy"


def test_downloads_hold_what_the_browser_decodes(browser, page):
    browser.open(page, 1200)
    text = browser.run("""(() => {
        const link = document.querySelector("a[download^='demo'][download$='confusion_zsl.csv']");
        return decodeURIComponent(link.href.slice(link.href.indexOf(",") + 1));
    })()""")
    head, *rows = text.splitlines()
    assert head == "label,gate,seeds,true_class,predicted_class,clips"
    assert sum(int(row.rpartition(",")[2]) for row in rows) == 2 * 19


LIST = "document.querySelector('.cards')"
#: The outlines of all skeletons of the first list of clips.
POSES = f"Array.from({LIST}.querySelectorAll('.bone')).map(path => path.getAttribute('d')).join()"
WAIT = "new Promise(done => setTimeout(done, 250))"


def moves(browser) -> bool:
    browser.run(LIST + ".scrollIntoView({behavior: 'instant'})")
    browser.run(WAIT)
    before = browser.run(POSES)
    browser.run(WAIT)
    return browser.run(POSES) != before


@pytest.mark.parametrize(("width", "dark"), WINDOWS)
def test_skeletons_move_until_they_are_paused(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    assert moves(browser)
    browser.run("document.querySelector('button.all').click()")
    assert not moves(browser)
    assert browser.run("document.querySelector('button.all').textContent") == "Play all"
    browser.run(f"{LIST}.querySelector('button').click()")
    assert moves(browser)
    playing = f"Array.from({LIST}.querySelectorAll('button')).map(each => each.textContent)"
    assert browser.run(playing).count("Pause") == 1
    assert browser.problems == []


def test_with_reduced_motion_skeletons_stand_still_until_asked(browser, page):
    browser.open(page, 1200, still=True)
    assert "M" in browser.run(POSES) and not moves(browser)
    browser.run("document.querySelector('button.all').focus()")
    browser.key("Enter", 13)
    assert moves(browser)


def test_a_number_of_a_matrix_shows_its_clips(browser, page):
    browser.open(page, 1200)
    first = browser.run(f"{LIST}.textContent")
    link = "document.querySelector('td:not(.hit) a[data-cell^=zsl]')"
    says, count = browser.run(f"[{link}.dataset.says, Number({link}.dataset.count)]")
    browser.run(f"{link}.focus()")
    browser.key("Enter", 13)
    assert browser.run("location.hash").endswith("-clips")
    shown = min(count, 12)
    assert browser.run("document.querySelector('.which').textContent") == (
        f"{says}: {shown} of {count} clips over all seeds, the surest first.")
    cards = browser.run(f"Array.from({LIST}.children).map(card => card.textContent)")
    assert len(cards) == shown
    true, guess = says.removeprefix("ZSL, ").split(" taken for ")
    assert all(card.startswith(f"{true}✗ taken for {guess}") for card in cards)
    browser.run("document.querySelector('button.back').click()")
    assert browser.run(f"{LIST}.textContent") == first


def test_points_of_the_latent_space_show_their_clips(browser, page):
    browser.open(page, 1200)
    panel = "document.querySelector('.panel[data-picture]')"
    text = f"{panel}.querySelector('.picked').textContent"
    before = browser.run(text)
    browser.run(f"{panel}.querySelector('input').focus()")
    browser.key("ArrowRight", 39)
    after = browser.run(text)
    assert after != before
    assert after.startswith(browser.run(
        f"{panel}.querySelector('input').getAttribute('aria-valuetext').split(',')[0]"))
    x, y, name = browser.run(f"""(() => {{
        const svg = {panel}.querySelector("svg"), box = svg.getBoundingClientRect();
        svg.scrollIntoView({{behavior: 'instant'}});
        const data = JSON.parse(document.querySelector(".clip-data").textContent);
        const scale = svg.getBoundingClientRect().width / 420, last = data.rows.length - 1;
        return [svg.getBoundingClientRect().left + scale * data.places[0][2 * last],
                svg.getBoundingClientRect().top + scale * data.places[0][2 * last + 1],
                data.clips[data.rows[last]].id];
    }})()""")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert browser.run(text).count(name) == 1
