"""The site of `make site`: what it is built of; and, with `make test-slow`, the whole of it in a
headless Chromium, from the file system and without a network."""

import json
import re
import shutil
import subprocess
import sys
import time
from binascii import a2b_base64
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tools import build_site

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--force-color-profile=srgb")


def browser(width, height):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_experimental_option("mobileEmulation", {"deviceMetrics": {
        "width": width, "height": height, "pixelRatio": 1.0, "mobile": width < 600}})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


def wait_for(script, page, seconds=30):
    end = time.monotonic() + seconds
    while not (found := page.execute_script(script)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def asked_for(page) -> list:
    """The addresses that were requested since the last call."""
    events = [json.loads(line["message"])["message"] for line in page.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events
            if event["method"] == "Network.requestWillBeSent"]


def assert_inside(page, html):
    """Since the last call nothing went wrong by the console, or was asked for outside."""
    said = [line for line in page.get_log("browser") if line["level"] != "INFO"]
    assert said == [], page.current_url
    within = (html.as_uri() + "/", "data:")
    assert not [url for url in asked_for(page) if not url.startswith(within)], page.current_url


LOOK = """
const images = [...document.querySelectorAll('article img')];
const math = [...document.querySelectorAll('span.math, div.math')];
return {
  broken: images.filter(i => !(i.complete && i.naturalWidth)).map(i => i.src),
  texts: images.map(i => i.alt),
  unset: math.filter(m => !m.querySelector('mjx-container svg')).map(m => m.textContent),
  wrong: document.querySelectorAll('[data-mml-node="merror"]').length,
  displayed: document.querySelectorAll('div.math:not(:has(div.math))').length,
  raw: (article => { article.querySelectorAll('pre, code, .math').forEach(e => e.remove());
    return article.textContent.match(/\\$[^$]+\\$/g) || [] })(
    document.querySelector('article').cloneNode(true)),
  figures: [...document.querySelectorAll('article figure:has(img)')].map(f => ({
    src: f.querySelector('img').src, text: f.querySelector('img').alt,
    caption: f.querySelector('figcaption').textContent})),
  next: document.querySelector('a.next-page')?.href,
  previous: document.querySelector('a.prev-page')?.href,
  inner: window.innerWidth,
  width: document.documentElement.scrollWidth,
  inside: [...document.querySelectorAll('article a')].map(a => a.href),
  links: [...document.querySelectorAll('a[href], link[href]')].map(a => a.href),
}"""


DESK = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


def look(page, html, file) -> dict:
    """Load a page of the site; it has to load whole, without a warning on the console, ask for
    nothing outside, and be as wide as the window, also where that is narrowed to a phone's."""
    page.get(file.as_uri())
    seen = look_at(page, html, file, DESK["width"])
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    look_at(page, html, file, PHONE["width"])
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", DESK)
    return seen


def look_at(page, html, file, width) -> dict:
    """What there is on the page that is loaded, and that it is right."""
    wait_for("return document.readyState == 'complete'", page)
    wait_for("return !window.MathJax || (MathJax.startup && MathJax.startup.promise && "
             "!document.querySelector('span.math:not(:has(mjx-container)), "
             "div.math:not(:has(mjx-container))'))", page)
    seen = page.execute_script(LOOK)
    assert_inside(page, html)
    assert all(seen["texts"]), (file, seen["texts"])
    assert not (seen["broken"] or seen["unset"] or seen["wrong"] or seen["raw"]), (file, seen)
    assert seen["width"] <= seen["inner"] == width, (file, seen["width"], seen["inner"])
    return seen


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The folder of the site, built once."""
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, "tools/build_site.py", str(place)], cwd=ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if not (CHROMIUM and DRIVER):
        pytest.skip("built, not looked at: no browser, apt-get install chromium chromium-driver")
    return place / "html"


# ---- what it is built of


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The documents of the site, as Sphinx gets them."""
    place = tmp_path_factory.mktemp("site") / "source"
    build_site.write_source(place)
    return place


FIGURE = re.compile(r"^:::\{figure\} (.+)\n:alt: (.+)\n\n(.+)\n:::$", re.M)
LINK = re.compile(r"(?<!\\)\]\(([^()\s]+)\)")


def markdown(file) -> str:
    """The text of a document, or of a notebook's cells of text; its code is left out."""
    text = file.read_text()
    if file.suffix == ".ipynb":
        text = "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"]
                           if cell["cell_type"] == "markdown")
    return re.sub(r"^( *)(`{3,})(?!\{).*?^\1\2$|`[^`\n]*`", "", text, flags=re.M | re.S)


def test_every_document_is_there_and_leads_to_what_is(source):
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    pages = [*source.rglob("*.md"), *(source / "notebooks").rglob("*.ipynb")]
    assert {source / name for name in build_site.PAGES} < set(pages)
    assert len(pages) > 90 and len(list((source / "reference").rglob("*.md"))) > 60
    lost, count = [], 0
    for page in pages:
        for link in LINK.findall(markdown(page)):
            path = unquote(urlsplit(link).path)
            if path and not urlsplit(link).scheme:
                count += 1
                lost += [] if (page.parent / path).exists() else [(page.name, link)]
    assert count > 200 and not lost
    menu = (source / "index.md").read_text()
    places = [menu.index(f"<notebooks/{file.stem}>") for file in notebooks]
    assert places == sorted(places), "the next page of a notebook is the next notebook"


def test_the_gallery_has_every_figure_once(source):
    figures = [{"src": (source / path).as_uri(), "text": text, "caption": caption}
               for path, text, caption in FIGURE.findall((source / "gallery.md").read_text())]
    check_gallery(sorted((ROOT / "notebooks").glob("*.ipynb")), figures)


def test_a_notebook_to_save_is_the_repositorys_and_its_page_has_all_of_it(source):
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        assert (source / f"_static/notebooks/{file.name}").read_bytes() == file.read_bytes()
        cells, there = (json.loads(place.read_text())["cells"]
                        for place in (file, source / "notebooks" / file.name))
        assert len(cells) == len(there) and texts(cells) == texts(there), file
        assert [cell.get("outputs") for cell in cells] == [cell.get("outputs") for cell in there]


# ---- the whole of it


MANY = ("_modules", "reference")  # over a hundred pages of one kind, made of lib


@pytest.mark.slow
def test_the_site_works_in_a_browser_without_a_network(html):
    """Of the pages made of lib every tenth."""
    many = [page for folder in MANY for page in sorted((html / folder).rglob("*.html"))]
    pages = sorted(set(html.rglob("*.html")) - set(many)) + many[::10]
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert len(pages) > 30 and {html / f"notebooks/{n.stem}.html" for n in notebooks} <= set(pages)
    wide = browser(1280, 900)
    try:
        seen = {page.relative_to(html).as_posix(): look(wide, html, page) for page in pages}
        check_links(html, seen)
        check_gallery(notebooks, seen["gallery.html"]["figures"])
        sources = {page.relative_to(html / "_modules").parts[0]
                   for page in html.rglob("_modules/**/*.html")}
        assert sources == {"index.html", "lib"}
        assert not any(link.endswith("labels.html")          # a key of a file, not the module
                       for link in seen["data/README.html"]["inside"])
        for one, other in pairwise(f"notebooks/{file.stem}.html" for file in notebooks):
            assert seen[one]["next"] == (html / other).as_uri()
            assert seen[other]["previous"] == (html / one).as_uri()
        for file in notebooks:                             # nothing of a notebook is lost
            there = seen[f"notebooks/{file.stem}.html"]
            cells = json.loads(file.read_text())["cells"]
            assert there["texts"] == texts(cells), file
            blocks = sum("".join(cell["source"]).count("$$") // 2 for cell in cells
                         if cell["cell_type"] == "markdown")
            assert there["displayed"] == blocks, file
            assert any(Path(link).read_bytes() == file.read_bytes() for link in
                       (unquote(urlsplit(link).path) for link in there["links"])
                       if link.endswith(".ipynb")), "the notebook to save is the repository's"
        check_search(wide, html)
        check_reading(wide, html)
        check_sliders(wide, html)
    finally:
        wide.quit()


@pytest.mark.slow
def test_every_page_works_on_a_desk_and_on_a_phone(html):
    """Loaded on the phone, not only narrowed."""
    wide, narrow = browser(1280, 900), browser(PHONE["width"], PHONE["height"])
    seen = {}
    try:
        for file in html.rglob("*.html"):
            seen[file.relative_to(html).as_posix()] = look(wide, html, file)
            narrow.get(file.as_uri())
            look_at(narrow, html, file, PHONE["width"])
    finally:
        wide.quit()
        narrow.quit()
    check_links(html, seen)


def pictures(cells) -> list:
    """The pictures that a notebook shows, in order: png and alternative text."""
    data = [(output["data"]["image/png"], output["metadata"]["image/png"]["alt"]) for cell in cells
            for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    return [(a2b_base64("".join(png)), text) for png, text in data]


def texts(cells) -> list:
    """The alternative texts of a page's pictures, those that its prose shows among them."""
    found = []
    for cell in cells:
        if cell["cell_type"] == "markdown":
            found += re.findall(r"!\[(.*?)\]\(", "".join(cell["source"]), re.S)
        found += [text for _, text in pictures([cell])]
    return [" ".join(text.split()) for text in found]


def check_gallery(notebooks, figures):
    """Each figure once: of the paper profile where it is stored, else of the quick run, and its
    caption says which."""
    wanted = []
    for file in notebooks:
        folder = ROOT / "figures/paper" / file.stem
        stored = json.loads((folder / "figures.json").read_text())
        wanted += [(text, (folder / f"{name}.png").read_bytes(), "(paper profile)")
                   for name, text in stored.items()]
        quick = pictures(json.loads(file.read_text())["cells"])
        wanted += [(text, png, "(quick)") for png, text in quick if text not in stored.values()]
    shown = [(one["text"], Path(unquote(urlsplit(one["src"]).path)).read_bytes(),
              re.search(r"\([a-z ]+\)", one["caption"])[0]) for one in figures]
    assert len(shown) > 50 and shown == wanted


def check_links(html, seen):
    """Every link within the site leads to a file, and to a heading that it has."""
    targets = {}
    for name, page in seen.items():
        for link in page["links"]:
            parts = urlsplit(link)
            if parts.scheme != "file":
                assert parts.scheme in ("https", "http", "mailto"), (name, link)
                continue
            file = Path(unquote(parts.path))
            assert file.is_file() and html in file.parents, (name, link)
            if parts.fragment and file.suffix == ".html":
                if file not in targets:
                    targets[file] = set(re.findall(r'\bid="([^"]+)"', file.read_text()))
                assert unquote(parts.fragment) in targets[file], (name, link)


def check_search(page, html):
    page.get((html / "search.html").as_uri() + "?q=cosine")
    found = wait_for("const all = [...document.querySelectorAll('#search-results li a')];"
                     "return all.length > 5 && all.map(a => a.getAttribute('href'))", page)
    assert found and any("notebooks/03_inverting_gradients.html" in link for link in found)
    assert any(link.startswith("reference/objectives.html") for link in found)
    assert_inside(page, html)


SLIDE = """
const [kind, at, value] = arguments;
const section = document.querySelectorAll('.watch')[kind];
const slider = section.querySelectorAll('input')[at];
slider.value = value;
slider.dispatchEvent(new Event('input', {bubbles: true}));
return {
  said: slider.getAttribute('aria-valuetext'),
  shown: slider.parentElement.querySelector('output').textContent,
  places: [...section.querySelectorAll('.tile')].map(t => getComputedStyle(t).backgroundPosition),
  notes: section.querySelector('[data-notes]')?.textContent,
}"""


def check_sliders(page, html):
    """Frames move with the iterations, while private images stay; attacks and defenses likewise."""
    page.get((html / "watch.html").as_uri())
    first, last = (page.execute_script(SLIDE, 0, 0, value) for value in (0, 12))
    assert first["shown"] == first["said"] == "0 iterations" and last["said"] == "500 iterations"
    assert len(first["places"]) == 12
    moved = [a != b for a, b in zip(first["places"], last["places"], strict=True)]
    assert moved == [True, False] * 6
    one, other = page.execute_script(SLIDE, 1, 0, 0), page.execute_script(SLIDE, 1, 0, 1)
    pruned = page.execute_script(SLIDE, 1, 1, 4)
    assert one["places"][0] != other["places"][0] != pruned["places"][0]
    assert one["places"][1] == other["places"][1] == pruned["places"][1]
    assert one["notes"] != other["notes"] != pruned["notes"] and "dB" in pruned["notes"]
    assert_inside(page, html)


def check_reading(page, html):
    """The source beside a notebook, names that lead to the reference, dark mode."""
    page.get((html / "notebooks/01_dlg.html").as_uri())
    hrefs = page.execute_script("return [...document.querySelectorAll('a')].map(a => a.href)")
    assert any(href.endswith("/01_dlg.py") for href in hrefs)
    assert any(href.endswith("/01_dlg.ipynb") for href in hrefs)
    assert any(href.endswith("/reference/attacks.html#lib.attacks.dlg") for href in hrefs)
    page.get((html / "reference/analytic.html").as_uri())
    assert page.execute_script(                              # of the same module, in a docstring
        "return document.querySelector('dd a[href=\"#lib.analytic.demix_weights\"] code')")
    brightness = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    modes = {}
    for _ in range(3):                                       # auto, light, dark: the button turns
        page.execute_script("document.querySelector('.theme-toggle').click()")
        modes[page.execute_script("return document.body.dataset.theme")] = max(
            page.execute_script(brightness)[:3])
    assert modes["dark"] < 60 and modes["light"] > 200
    assert_inside(page, html)
