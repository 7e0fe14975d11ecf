"""studies/report.py: published numbers, products, captions."""

import io
import json

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from storing import begin, cell, draw

from lib import run as runs
from studies import pictures, report, store

pytestmark = pytest.mark.usefixtures("place")
PRODUCTS = "build/quick/99_fixture"
TEXT = "A straight line that rises from one to three."


# ---- published numbers

GOOD = {"paper": "p", "floats": {"fig1": {"title": "t", "product": "a"}}, "numbers": [
    {"float": "fig1", "row": "DLG", "column": "MNIST", "value": 0.0038, "certainty": "recalled"}]}


def publish(place, **changes):
    (place / "data/published/p.json").write_text(json.dumps(GOOD | changes))
    return report.published("p")


def test_published(place):
    table = publish(place)
    assert table.value.tolist() == [0.0038] and table.spread.isna().all()
    assert table.attrs["floats"]["fig1"]["product"] == "a"
    assert report.show(table.iloc[0]) == "0.0038 (recalled)"


@pytest.mark.parametrize(("number", "text"), [
    ({"value": 2.5, "spread": 0.1, "certainty": "read"}, "2.5 ± 0.1"),
    ({"value": 2.5, "spread": None, "certainty": "digitised"}, "2.5 (digitised)"),
    ({"value": None, "spread": None, "certainty": "quoted"}, "–")])
def test_show(number, text):
    assert report.show(number) == text


@pytest.mark.parametrize(("changes", "word"), [
    ({"numbers": [GOOD["numbers"][0] | {"certainty": "sure"}]}, "certainty"),
    ({"numbers": [GOOD["numbers"][0] | {"float": "fig7"}]}, "fig7"),
    ({"floats": {"fig1": {"title": "t"}}}, "fig1 needs"),
    ({"floats": {"fig1": {"title": "t", "product": "a", "reason": "b"}}}, "fig1 needs"),
    ({"floats": {"fig1": {"product": "a"}}}, "fig1 needs")])
def test_a_wrong_entry_is_named(place, changes, word):
    with pytest.raises(ValueError, match=word):
        publish(place, **changes)


def test_published_numbers_of_an_unknown_paper():
    with pytest.raises(ValueError, match="'nobody'"):
        report.published("nobody")


def test_every_published_file_is_well_formed(monkeypatch):
    monkeypatch.undo()
    for file in (runs.ROOT / "data/published").glob("*.json"):
        report.published(file.stem)


# ---- products

def test_a_start_that_ends_a_cell_shows_nothing():
    """A page is refused that names folders of one machine, as a run does."""
    assert report.start("99_fixture", runs.current()) is None
    assert store.current().notebook == "99_fixture"


def line():
    figure, axes = plt.subplots()
    axes.plot([1, 2, 3], label="a word")
    axes.legend()
    return figure


def saved(place):
    """The bytes of a figure's two files."""
    figure = line()
    report.save_figure(figure, "fig1", TEXT)
    plt.close(figure)
    return [(place / PRODUCTS / f"fig1.{kind}").read_bytes() for kind in ("png", "pdf")]


def test_figures_have_the_same_bytes_twice(place):
    first, second = saved(place), saved(place)
    assert first == second
    assert b"CreationDate" not in first[1] and b"Software" not in first[0]


def test_a_users_matplotlibrc_changes_no_byte(place):
    own = {"font.size": 20, "lines.linewidth": 5, "savefig.facecolor": "red", "axes.grid": True,
           "pdf.compression": 0, "path.simplify": False, "figure.autolayout": True}
    drawn = []
    for settings in ({}, own):
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)                 # as matplotlib does when it is loaded
        begin()
        drawn.append(saved(place))
    assert drawn[0] == drawn[1]
    assert matplotlib.rcParams["font.sans-serif"] == ["DejaVu Sans"]


def test_a_figure_has_alternative_text(place):
    figure = plt.figure()
    for name in ("fig1", "fig2"):
        report.save_figure(figure, name, TEXT)
    kept = json.loads((place / PRODUCTS / "figures.json").read_text())
    assert kept == {"fig1": TEXT, "fig2": TEXT}
    with pytest.raises(ValueError, match="fig3"):
        report.save_figure(figure, "fig3", "a line")
    plt.close(figure)


def test_a_plot_gets_smaller_and_a_photograph_keeps_its_colours():
    def png(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png")
        return file.getvalue()

    ramp = np.arange(200, dtype=np.uint8)
    plot = png(np.stack([ramp[None].repeat(200, 0), ramp[:, None] // 8 * 8 + 0 * ramp,
                         np.full((200, 200), 9, np.uint8)], -1))
    few = pictures.small_png(plot)
    before, after = (np.asarray(Image.open(io.BytesIO(p)).convert("RGB"), int) for p in (plot, few))
    assert Image.open(io.BytesIO(few)).mode == "P" and abs(before - after).max() <= 16
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    small = Image.open(io.BytesIO(pictures.small_png(png(noise))))
    assert (np.asarray(small) == noise).all()


def test_tables_reasons_and_provenance(place):
    products = place / PRODUCTS
    report.save_table(pd.DataFrame({"a": [1.5]}), "plain")
    report.save_table(pd.DataFrame({"a": [1.5]}, index=["x"]), "named")
    report.save_timings(pd.DataFrame({"seconds": [1]}))
    report.not_made("fig2", "no data")
    report.not_made("fig3", "no people")
    assert (products / "plain.csv").read_text() == "a\n1.5\n"
    assert (products / "named.csv").read_text() == ",a\nx,1.5\n"
    assert (products / "timings.csv").exists()
    assert json.loads((products / "reasons.json").read_text()) == {
        "fig2": "no data", "fig3": "no people"}
    about = json.loads((products / "about.json").read_text())
    assert (about["paper"], about["profile"]) == ("fixture", "quick")


@pytest.mark.parametrize(("float_id", "reason", "word"), [
    ("a/b", "no data", "float_id"), ("fig1", "", "why fig1"), ("fig1", None, "why fig1")])
def test_a_float_is_not_made_for_a_reason(float_id, reason, word):
    with pytest.raises(ValueError, match=word):
        report.not_made(float_id, reason)


# ---- captions, settings

def of_victim(victim, n):
    return draw(n)


@pytest.fixture
def captions(monkeypatch):
    shown = []
    monkeypatch.setattr(report, "display", lambda markdown: shown.append(markdown.data))
    return shown


def test_a_caption_says_of_which_profile_settings_and_device_a_cell_is(captions):
    begin("paper")
    quick, paper = ({"victim": {"name": "dense"}, "n": n} for n in (2, 5))
    both = {"quick": [quick], "paper": [paper]}
    store.Sweep("a", of_victim, **both).run()
    begin("quick")
    heavy = store.Sweep("a", of_victim, **both)
    device = runs.device_name("cpu")
    report.caption("Dots are clients.", heavy.run(), heavy.stored(), heavy.stored())
    report.caption("No result.")
    report.caption("Plain.", cell("b", draw, {"n": 2}))
    assert captions == [
        f"*Quick profile, {device}: one dense layer. "
        f"Paper profile, stored, {device}: one dense layer. Dots are clients.*",
        "*No result.*", f"*Quick profile, {device}. Plain.*"]
    several = [store.Sweep(f"n{n}", of_victim, [{"victim": {"name": "resnet", "depth": n}, "n": n}],
                           []).run() for n in (8, 14, 20, 26, 32)]
    report.caption("Five.", *several)
    assert captions[-1] == (f"*Quick profile, {device}: ResNet-8 | ResNet-14 | ResNet-20 "
                            "| and 2 more. Five.*")


def test_in_the_paper_profile_a_caption_does_not_call_its_cells_stored(captions):
    begin("paper")
    report.caption("Plain.", cell("b", draw, {"n": 2}))
    assert captions == [f"*Paper profile, {runs.device_name('cpu')}. Plain.*"]


def test_what_a_study_declares_is_a_row_a_sweep():
    victim = {"victim": {"name": "lenet"}, "n": 2}
    one = store.Sweep("one", of_victim, quick=[victim], paper=[])
    two = store.Sweep("two", of_victim, quick=[], paper=[victim])
    table = report.declared(one, two)
    assert table.sweep.tolist() == ["one", "two"]
    assert table.quick.tolist() == ["LeNet", "–"] and table.paper.tolist() == ["–", "LeNet"]
    assert table.stored.tolist() == ["no", "no"]
    begin("paper")
    store.Sweep("two", of_victim, quick=[], paper=[victim]).run()
    assert report.declared(two).stored.tolist() == ["yes"]


def test_a_table_of_texts_wraps():
    assert "white-space: normal" in report.wrapped(pd.DataFrame({"a": ["a text"]})).to_html()


def test_a_table_has_three_digits_no_index_and_no_empty_column():
    rows = pd.DataFrame({"name": ["a", "b"], "PSNR": [12.3456, np.nan], "n": [8, 16],
                         "LPIPS": [np.nan, np.nan], "share": [0.5, 0.25]}, index=[3, 4])
    style = report.table(rows, share="{:.0%}")
    assert "LPIPS" not in style.to_html() and ">3<" not in style.to_html()
    assert "white-space: normal" in style.to_html()
    body = style.to_html().partition("<tbody>")[2]
    assert [text.partition("<")[0] for text in body.split(">") if text[:1] not in "<\n"] == [
        "a", "12.3", "8", "50%", "b", "–", "16", "25%"]


def test_a_table_keeps_a_named_index_and_shows_a_series():
    rows = pd.Series({"DLG": 1.0}, name="PSNR")
    html = report.table(rows.rename_axis("attack")).to_html()
    assert ">DLG<" in html and html.count("<tr>") == 2  # one row of headings
    assert ">DLG<" not in report.table(rows).to_html()


def test_texts_of_a_table_are_no_markup():
    html = report.table(pd.DataFrame({"criterion": ["AVD < 0.8"]})).to_html()
    assert "AVD &lt; 0.8" in html


@pytest.mark.parametrize(("value", "text"), [
    (63.106998, "63.1"), (9697.0, "9,697"), (-0.0, "0"), (0.0123456, "0.0123"), (1.0, "1.00"),
    (123456.0, "123,456"), (1.2345e-7, "1.2e-07"), (-0.5, "-0.500"), (np.inf, "∞"),
    (-np.inf, "-∞"), (np.float32(12.34), "12.3"), (999.7, "1,000")])
def test_significant_digits(value, text):
    assert report.significant(value) == text


@pytest.mark.parametrize(("rows", "formats", "says"), [
    ([1, 2], {}, "DataFrame or a Series, not list"),
    (pd.DataFrame([range(8)]), {}, "8 columns: a page shows at most 7"),
    (pd.DataFrame([range(7)], index=pd.Index([1], name="k")), {}, "8 columns"),
    (pd.DataFrame({"a": [1]}), {"b": "{:.0f}"}, "no column 'b': there are a")])
def test_a_table_that_no_page_can_show_is_refused(rows, formats, says):
    with pytest.raises(ValueError, match=says):
        report.table(rows, **formats)
