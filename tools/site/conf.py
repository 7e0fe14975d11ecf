"""Sphinx's settings for the site that tools/build_site.py builds. Nothing is executed."""

import hashlib
import json
import re
from binascii import a2b_base64
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref

HERE = Path(__file__).resolve().parent  # the copy beside the documents

project = "Leaky Gradients"
author = "The Leaky Gradients authors"
copyright = "the Leaky Gradients authors, MIT"
extensions = ["myst_nb", "sphinx.ext.mathjax", "sphinx.ext.viewcode"]
exclude_patterns = ["_static"]
add_module_names = False
maximum_signature_line_length = 90
smartquotes = False  # quotes in docstrings are Python's

nb_execution_mode = "off"
nb_render_markdown_format = "myst"
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

viewcode_follow_imported_members = False  # lib's own source, not that of what it imports

html_theme = "furo"
html_title = "Leaky Gradients"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_search_summary = False  # they are fetched, which a page from the file system may not
html_theme_options = {"navigation_with_keys": True}
html_permalinks_icon = "#"
mathjax_path = "mathjax/tex-svg.js"  # one file, no fonts: nothing is fetched
mathjax3_config = {"options": {"enableMenu": False}}


def alternative_texts() -> dict:
    """The text of each picture in a notebook, by the name that MyST-NB gives its file."""
    texts = {}
    for file in (HERE / "notebooks").glob("*.ipynb"):
        for cell in json.loads(file.read_text())["cells"]:
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    png = a2b_base64("".join(output["data"]["image/png"]))
                    texts[hashlib.sha256(png).hexdigest()] = output["metadata"]["image/png"]["alt"]
    return texts


def link_names(app, doctree):
    """A name of lib in a text leads to the reference: `attacks.dlg`, with or without arguments, and
    on the page of its own module `dlg`. What the reference does not have stays as it is, and so
    does the bare name of a module: `labels` is more often the labels."""
    modules = {file.stem for file in (HERE / "reference").glob("*.md")} - {"index"}
    page = Path(app.env.docname)
    own = f"lib.{page.name}." if page.parent.name == "reference" and page.name in modules else None
    for literal in list(doctree.findall(nodes.literal)):
        name = literal.astext().partition("(")[0]
        if isinstance(literal.parent, nodes.reference) or not re.fullmatch(r"[A-Za-z][\w.]*", name):
            continue
        if not name.startswith("lib."):
            inside, dot, _ = name.partition(".")
            name = f"lib.{name}" if dot and inside in modules else own and own + name
        if name:
            link = pending_xref("", refdomain="py", reftype="obj", reftarget=name,
                                refdoc=app.env.docname)
            literal.replace_self(link)
            link += literal


def setup(app):
    texts = alternative_texts()

    def describe(app, doctree):
        for image in doctree.findall(nodes.image):
            if (name := Path(image["uri"]).stem) in texts:
                image["alt"] = texts[name]

    app.connect("doctree-read", describe)
    app.connect("doctree-read", link_names)
