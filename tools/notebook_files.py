"""A notebook as a file: from its py:percent source, and as it may be committed."""

import base64
import hashlib
import re
from collections import Counter, defaultdict

from lib.files import atomic

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LARGEST = 1_500_000                                          # bytes of a committed notebook
TABLE = re.compile(r"\bT_[0-9a-f]{5}(?=[\"_ ])")              # pandas draws it anew each time
ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=>)")
MACHINE_PATH = re.compile(r"(?<![\w./])/(?:home|root|tmp|work|Users)/")


def source_notebook(path):
    """The notebook of a py:percent file. Ids are hashes of the text: building again is no diff."""
    import jupytext  # takes seconds: not where nothing is to do
    import nbformat

    notebook = jupytext.read(path)
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    seen = Counter()
    for cell in notebook.cells:
        digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        cell.id = f"{digest}-{seen[digest]}"
        seen[digest] += 1
    return notebook


def write(path, notebook) -> None:
    import nbformat

    with atomic(path) as file:
        file.write(nbformat.writes(notebook).rstrip("\n").encode() + b"\n")


def cleaned(notebook):
    """Without what differs from run to run (papermill's metadata, progress bars, warnings, the
    names that pandas draws for its tables, addresses), and with small pictures."""
    import nbformat

    from studies.pictures import small_png

    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    tables = defaultdict(lambda: f"T_{len(tables):05}")
    for cell in notebook.cells:
        tags = tags_of(cell)
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    png = small_png(base64.b64decode(output.data["image/png"]))
                    output.data["image/png"] = base64.b64encode(png).decode()
                for kind in {"text/html", "text/plain"} & output.get("data", {}).keys():
                    text = TABLE.sub(lambda found: tables[found[0]], output.data[kind])
                    output.data[kind] = ADDRESS.sub("", text)
    return notebook


def tags_of(cell) -> list:
    return list(cell.metadata.get("tags", []))


def problems(notebook, source) -> list:
    """Why a notebook may not be committed; empty when it may. tests/test_notebooks.py asks too."""
    import nbformat

    wrong = []
    if [cell.source for cell in notebook.cells] != [cell.source for cell in source.cells]:
        wrong.append("its cells are not those of its source")
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        wrong.append("its cells were not all run once, in order")
    outputs = [output for cell in code for output in cell.outputs]
    if any(output.output_type == "error" for output in outputs):
        wrong.append("a cell failed")
    if any("image/png" in output.get("data", {}) and not alt_of(output) for output in outputs):
        wrong.append("a picture has no alternative text")
    if any("papermill" in part.metadata for part in [notebook, *notebook.cells]):
        wrong.append("it holds papermill's metadata")
    texts = [cell.source for cell in notebook.cells] + [said(output) for output in outputs]
    paths = sorted(set(MACHINE_PATH.findall("\n".join(texts))))
    if paths:
        wrong.append(f"it names folders of one machine ({', '.join(paths)})")
    size = len(nbformat.writes(notebook).encode())
    if size > LARGEST:
        wrong.append(f"it has {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.1f}")
    return wrong


def alt_of(output) -> str:
    return output.get("metadata", {}).get("image/png", {}).get("alt", "")


def said(output) -> str:
    """The text of an output; pictures left out, whose base64 can spell anything."""
    texts = [str(value) for kind, value in output.get("data", {}).items()
             if not kind.startswith("image/")]
    return "\n".join([output.get("text", ""), *texts])
