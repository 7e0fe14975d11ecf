"""The report of an audit in a headless Chromium: wide, narrow, dark, alone, and readable."""

import re

import pytest
import test_site
import torch
from auditing import short_attacks

from lib import audit, client, data, models

pytestmark = pytest.mark.skipif(not (test_site.CHROMIUM and test_site.DRIVER),
                                reason="no browser: apt-get install chromium chromium-driver")
EVIL = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
LOOK = """
const shown = [...document.querySelectorAll('body *')].filter(
  e => [...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim()));
function light(colour) {
  const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
  const part = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  return [0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b), a];
}
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
function behind(element) {
  let layers = [];
  for (let e = element; e; e = e.parentElement) layers.unshift(getComputedStyle(e).backgroundColor);
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  canvas.fillStyle = dark ? 'rgb(18, 18, 18)' : 'white';
  canvas.fillRect(0, 0, 1, 1);
  for (const layer of layers) { canvas.fillStyle = layer; canvas.fillRect(0, 0, 1, 1); }
  return `rgb(${canvas.getImageData(0, 0, 1, 1).data.slice(0, 3).join(',')})`;
}
function contrast(e) {
  const a = light(getComputedStyle(e).color)[0] + 0.05, b = light(behind(e))[0] + 0.05;
  return Math.max(a, b) / Math.min(a, b);
}
return {
  title: document.title,
  width: document.documentElement.scrollWidth, inner: window.innerWidth,
  outside: [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') &&
    e.getBoundingClientRect().right > window.innerWidth + 1).map(e => e.tagName),
  pictures: [...document.images].map(i => [i.alt, i.naturalWidth, i.src.slice(0, 15)]),
  headings: [...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.tagName[1]),
  scripts: document.querySelectorAll('script, iframe, object, link').length,
  lang: document.documentElement.lang, mains: document.querySelectorAll('main').length,
  contrast: Math.min(...shown.map(contrast)), shown: shown.length,
  small: Math.min(...shown.map(e => parseFloat(getComputedStyle(e).fontSize))),
  heads: [...document.querySelectorAll('th')].every(h => h.scope == 'col'),
  reach: [...document.querySelectorAll('.scroll')].filter(
    s => s.scrollWidth > s.clientWidth && s.tabIndex != 0).length,
  text: document.body.innerText,
  ground: getComputedStyle(document.body).color,
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A rehearsal's report, of a file and a model with names that are no names."""
    photos = data.load("photos", size=8)
    batch = photos.clients(1)
    torch.manual_seed(0)
    update = client.share(models.dense(photos), batch)
    about = {"update": f"{EVIL}.pt", "model": f"net.py:{EVIL}", "command": f"leaky {EVIL} " * 9}
    with pytest.MonkeyPatch.context() as patch:
        short_attacks(patch)
        report = audit.audit(update, 1e4, truth=batch.images[0], labels=batch.labels[0],
                             about=about)
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(audit.as_html(report))
    return file


@pytest.fixture(scope="module")
def window():
    opened = test_site.browser(1280, 900)
    yield opened
    opened.quit()


def look(window, page, width, scheme="light") -> dict:
    size = test_site.DESK | {"width": width, "mobile": width < 600}
    window.get(page.as_uri())
    window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
        {"name": "prefers-color-scheme", "value": scheme}]})
    test_site.wait_for("return document.readyState == 'complete'", window)
    return window.execute_script(LOOK)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 360])
def test_nothing_is_outside_and_all_is_readable(window, page, width, scheme):
    seen = look(window, page, width, scheme)
    assert seen["width"] <= seen["inner"] == width and not seen["outside"]
    assert seen["contrast"] >= 4.5 and seen["shown"] > 50       # WCAG 2.2, level AA
    assert seen["small"] >= 12
    light = sum(map(int, re.findall(r"\d+", seen["ground"])[:3])) > 3 * 128
    assert light == (scheme == "dark")
    assert not seen["reach"], "what scrolls is reached by the keyboard"


def test_nothing_is_fetched_and_nothing_is_said_on_the_console(window, page):
    test_site.asked_for(window)
    look(window, page, 1280)
    asked = [url for url in test_site.asked_for(window) if not url.startswith("data:")]
    assert asked == [page.as_uri()]
    assert not [line for line in window.get_log("browser") if line["level"] != "INFO"]


def test_pictures_have_texts_and_headings_an_order(window, page):
    seen = look(window, page, 1280)
    assert len(seen["pictures"]) >= 2  # the closed form's, and the private one
    for text, wide, source in seen["pictures"]:
        assert len(text) > 8 and wide and source == "data:image/png;"
    texts = [text for text, *_ in seen["pictures"]]
    assert len(set(texts)) == len(texts)
    headings = seen["headings"]
    assert headings[0] == 1 and headings.count(1) == 1 and len(headings) > 5
    assert all(after <= before + 1 for before, after in zip(headings, headings[1:], strict=False))
    assert seen["lang"] == "en" and seen["mains"] == 1 and seen["heads"]


def test_names_are_text(window, page):
    seen = look(window, page, 1280)
    assert seen["title"].startswith("Audit: ") and not seen["scripts"]
    assert seen["text"].count(EVIL) >= 3


def test_it_prints(window, page):
    look(window, page, 1280)
    printed = window.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    assert len(printed["data"]) > 20_000
