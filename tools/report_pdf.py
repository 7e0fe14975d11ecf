"""A report as a PDF of two pages: fpdf2 sets it, in the font that matplotlib brings.

The largest type that fits is taken. Where the smallest does not, the longest tables lose their last
rows, and a line says how many: the Markdown has them all.
"""

import datetime
import logging
from dataclasses import replace
from pathlib import Path

PAGES = 2
SIZES = (8.5, 7.5, 6.5, 6.0)            # points, of the text
SHORTEST = 4                            # rows that a table keeps
ROOM = 22                               # mm below a heading
BLUE, GREY = (30, 60, 110), (110, 110, 110)


def write(path, title, line, sections) -> tuple[int, int]:
    """Returns (pages, rows that did not fit). The same sections give the same bytes."""
    left = 0
    for size in SIZES:
        pdf = drawn(title, line, sections, size)
        if pdf.page_no() <= PAGES:
            break
    while pdf.page_no() > PAGES:
        sections, cut = shortened(sections, PAGES / pdf.page_no())
        if not cut:
            break
        left += cut
        pdf = drawn(title, line, sections, SIZES[-1], left)
    pdf.output(str(path))
    return pdf.page_no(), left


def shortened(sections, share) -> tuple[list, int]:
    """The sections with that share of the longest table, but two rows fewer at least and SHORTEST
    left; and how many rows went."""
    longest = max(sections, key=lambda section: len(section.rows))
    kept = max(SHORTEST, min(len(longest.rows) - 2, int(len(longest.rows) * share)))
    shorter = replace(longest, rows=longest.rows[:kept])
    return [shorter if section is longest else section for section in sections], (
        len(longest.rows) - kept)


def drawn(title, line, sections, size, left=0):
    """The document at a size of type."""
    pdf = blank(title)
    pdf.set_font("sans", "B", size + 5)
    pdf.set_text_color(*BLUE)
    pdf.multi_cell(0, (size + 5) * 0.45, title, align="L", new_x="LMARGIN", new_y="NEXT")
    text(pdf, line, size, GREY)
    for section in sections:
        pdf.ln(size * 0.14)
        if pdf.will_page_break(ROOM):  # no heading stands alone at the foot of a page
            pdf.add_page()
        pdf.set_font("sans", "B", size + 1.5)
        pdf.set_text_color(*BLUE)
        pdf.multi_cell(0, (size + 1.5) * 0.5, section.title, new_x="LMARGIN", new_y="NEXT")
        for paragraph in section.paragraphs:
            text(pdf, paragraph, size)
        if section.rows:
            table(pdf, section, size)
    if left:
        text(pdf, f"{left} more rows did not fit on two pages: make report writes them to the "
             "Markdown of the same name.", size, GREY)
    return pdf


def blank(title):
    import matplotlib
    from fpdf import FPDF

    logging.getLogger("fontTools.subset").setLevel(logging.WARNING)
    fonts = Path(matplotlib.get_data_path()) / "fonts/ttf"

    class Pages(FPDF):
        def footer(self):
            self.set_y(-10)
            self.set_font("sans", "", 6.5)
            self.set_text_color(*GREY)
            self.cell(0, 4, f"{self.page_no()} / {{nb}}", align="C")

    pdf = Pages(format="A4")
    pdf.add_font("sans", "", fonts / "DejaVuSans.ttf")
    pdf.add_font("sans", "B", fonts / "DejaVuSans-Bold.ttf")
    pdf.set_creation_date(datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC))  # no run differs
    pdf.set_title(title)
    pdf.set_lang("en")
    pdf.set_margins(14, 12)
    pdf.set_auto_page_break(True, 13)
    pdf.add_page()
    return pdf


def text(pdf, words, size, colour=(0, 0, 0)) -> None:
    pdf.set_font("sans", "", size)
    pdf.set_text_color(*colour)
    pdf.multi_cell(0, size * 0.45, words, align="L", new_x="LMARGIN", new_y="NEXT")


def table(pdf, section, size) -> None:
    from fpdf.fonts import FontFace

    pdf.set_font("sans", "", size - 0.5)
    pdf.set_text_color(0, 0, 0)
    pdf.set_draw_color(200, 200, 200)
    headed = any(section.head)
    with pdf.table(col_widths=section.widths, line_height=size * 0.42, text_align="LEFT",
                   borders_layout="HORIZONTAL_LINES", padding=(0.4, 1), v_align="TOP",
                   first_row_as_headings=headed,
                   headings_style=FontFace(emphasis="BOLD", color=BLUE)) as rows:
        for words in [section.head, *section.rows][not headed:]:
            row = rows.row()
            for word in words:
                row.cell(str(word))
