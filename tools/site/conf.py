"""Sphinx's settings for the site that tools/build_site.py builds. Nothing is executed."""

import hashlib
import json
from binascii import a2b_base64
from pathlib import Path

from docutils import nodes

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


def setup(app):
    texts = alternative_texts()

    def describe(app, doctree):
        for image in doctree.findall(nodes.image):
            if (name := Path(image["uri"]).stem) in texts:
                image["alt"] = texts[name]

    app.connect("doctree-read", describe)
