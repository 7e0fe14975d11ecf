"""The hands of `make site`: a static site of what the repository holds.

    python tools/build_site.py [FOLDER]             FOLDER/html, build/site/html if none is given

The documents are copied to FOLDER/source in the repository's own layout, so that their links to one
another hold; the gallery and the reference of lib are written there. Nothing is executed.
"""

import ast
import inspect
import json
import re
import shutil
import sys
from binascii import a2b_base64
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("SCOREBOARD.md", "RESULTS.md", "lib/README.md", "lib/USING.md", "lib/EXTENDING.md",
         "lib/ENGINE.md", "data/README.md", "docs/cluster/README.md", "bench/table.md",
         "bench/README.md", "notebooks/assignments/README.md", "notebooks/README.md",
         "notebooks/READING.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/CARDS.md",
         "examples/README.md")
FILES = ("LICENSE", "CITATION.cff", "Dockerfile", "data/references.bib", "notebooks/*.py",
         "notebooks/assignments/*.py", "notebooks/solutions/*.py", "figures/attack.gif",
         "examples/*.py")
LONG = 40  # lines of a cell of code that is folded: plans and drawing, not what a page teaches
MENU = """
```{toctree}
:hidden:
:caption: Notebooks

watch
NOTEBOOKS
```

```{toctree}
:hidden:
:caption: Solutions

SOLUTIONS
```

```{toctree}
:hidden:
:caption: Results

gallery
SCOREBOARD
RESULTS
bibliography
bench/table
bench/README
```

```{toctree}
:hidden:
:caption: Use it

lib/README
lib/USING
lib/EXTENDING
lib/ENGINE
reference/index
data/README
docs/CARDS
docs/cluster/README
notebooks/README
notebooks/READING
notebooks/assignments/README
examples/README
CONTRIBUTING
CHANGELOG
SECURITY
```
"""


def notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def solutions() -> list[Path]:
    return sorted((ROOT / "notebooks/solutions").glob("[0-9][0-9]_*.ipynb"))


def title(file) -> str:
    """The first heading of a notebook."""
    text = "".join(json.loads(file.read_text())["cells"][0]["source"])
    return next(line[2:] for line in text.splitlines() if line.startswith("# "))


def to_index(text) -> str:
    """The README is the site's first page: links to it lead there."""
    return re.sub(r"\]\(((?:\.\./)*)README\.md", r"](\1index.md", text)


ANCHOR = re.compile(r'<a id="([^"]+)"></a>\n')


def to_targets(text, stem, anchors) -> str:
    """Links within a page, as Jupyter takes them, as Sphinx does: "#R1:-Sources" leads to the
    heading "R1: Sources", and the name of an HTML anchor to the heading that follows it. Names are
    of the whole site, so they bear the page's. anchors: those that the page has. The texts of
    pictures are one line, since Sphinx joins lines without a blank."""
    def led(found):
        name = found[1]
        target = f"{stem}-{name}" if name in anchors else re.sub(r"[^\w-]", "", name.lower())
        return f"](#{target})"

    text = re.sub(r"\]\(#([^)]+)\)", led, ANCHOR.sub(rf"({stem}-\1)=\n", text))
    return re.sub(r"(?<=!\[)[^\]]+(?=\]\()", lambda alt: " ".join(alt[0].split()), text)


# ---- the documents

def copy_documents(source) -> None:
    for name in PAGES:
        write(source / name, to_index((ROOT / name).read_text()))
    names = "\n".join(f"{f.stem[:2]} {title(f)} <notebooks/{f.stem}>" for f in notebooks())
    answers = "\n".join(f"{f.stem[:2]} <notebooks/solutions/{f.stem}>" for f in solutions())
    menu = MENU.replace("NOTEBOOKS", names).replace("SOLUTIONS", answers)
    write(source / "index.md", (ROOT / "README.md").read_text() + menu)
    for file in notebooks():
        write(source / "notebooks" / file.name, json.dumps(page(file)))
        copy(file, source / "_static/notebooks" / file.name)             # as it is, to take away
    for file in solutions():
        copy(file, source / file.relative_to(ROOT))
    for file in (file for pattern in FILES for file in ROOT.glob(pattern)):
        copy(file, source / file.relative_to(ROOT))
    for file in (ROOT / "figures/paper").glob("[0-9]*/*.png"):
        copy(file, source / file.relative_to(ROOT))
    for file in (ROOT / "docs/cluster").iterdir():
        if file.suffix != ".md":
            copy(file, source / file.relative_to(ROOT))
    mathjax = files("sphinx-mathjax-offline") / "static/mathjax/tex-svg.js"
    write(source / "_static/mathjax/tex-svg.js", mathjax.read_text())
    for name in ("conf.py", "_static/site.css"):
        copy(ROOT / "tools/site" / Path(name).name, source / name)


def page(file) -> dict:
    """A notebook for the site: number and links at its head, long cells of code folded."""
    notebook = json.loads(file.read_text())
    anchors = ANCHOR.findall("".join("".join(cell["source"]) for cell in notebook["cells"]))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            cell["source"] = to_targets(to_index(cell["source"]), file.stem, anchors)
        elif cell["source"].count("\n") >= LONG:
            cell["metadata"].setdefault("tags", []).append("hide-input")
    heading = f"# {title(file)}\n"
    links = (f"*The quick run; results of the paper profile where a caption says so.* To save: "
             f"[source]({file.stem}.py), {{download}}`notebook <../_static/notebooks/{file.name}>`."
             f" [Its figures](#figures_{file.stem})")
    first = notebook["cells"][0]
    first["source"] = first["source"].replace(
        heading, f"# {file.stem[:2]} {heading[2:]}\n{links}\n", 1)
    return notebook


def pictures(file) -> list[tuple[bytes, str]]:
    """The pictures that a notebook shows: png and alternative text."""
    outputs = [output for cell in json.loads(file.read_text())["cells"]
               for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    return [(a2b_base64("".join(output["data"]["image/png"])),
             output["metadata"]["image/png"]["alt"]) for output in outputs]


def write(path, text) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def copy(file, path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, path)


# ---- the gallery

def gallery(source) -> str:
    """Every figure: of the paper profile where it is stored, else as the notebook shows it."""
    text = ["# Gallery", "Every figure that the notebooks draw. *Paper profile*: drawn from the "
            "results that are stored, at the papers' sizes as far as was possible here; the page "
            "of a notebook shows its quick run, where the same figure may hold smaller examples. "
            "*Quick*: drawn by the quick run alone.\n"]
    for file in notebooks():
        name, folder = file.stem, ROOT / "figures/paper" / file.stem
        texts = json.loads((folder / "figures.json").read_text())
        figures = [(f"figures/paper/{name}/{figure}.png", alt, figure.replace("_", " "),
                    "paper profile") for figure, alt in texts.items()]
        for i, (png, alt) in enumerate(pictures(file), 1):
            if alt not in texts.values():
                path = f"figures/quick/{name}/{i}.png"
                (source / path).parent.mkdir(parents=True, exist_ok=True)
                (source / path).write_bytes(png)
                figures.append((path, alt, f"picture {i} of the notebook", "quick"))
        text += [f"(figures_{name})=", f"## {name[:2]} {title(file)}",
                 f"[To the notebook](notebooks/{name}.ipynb)\n"]
        for path, alt, caption, profile in figures:
            text += [f":::{{figure}} {path}", f":alt: {alt}", "", f"{caption} ({profile})", ":::\n"]
    return "\n".join(text)


# ---- the bibliography

def bibliography() -> str:
    """Every work that is cited, an item a work, with its key as the anchor."""
    from studies import references

    text = ["# Bibliography", "What the notebooks, the documents and the reference cite, in the "
            "order of authors. As BibTeX: {download}`references.bib <data/references.bib>`.\n"]
    for key in references.in_order(*references.keys()):
        item = references.listed(key).removeprefix("- ")
        text += [f"- ({key})=", f"  {item}\n"]
    return "\n".join(text)


# ---- the reference

def reference(source) -> None:
    """A page a module of lib, in the order of its floors, from the text of its docstrings."""
    package = ast.get_docstring(ast.parse((ROOT / "lib/__init__.py").read_text()))
    modules = list(modules_of_lib(package))
    write(source / "reference/index.md", "\n".join([
        "# Reference of lib", "From the docstrings: shapes, ranges, errors and sources.", "",
        "```text", package, "```", "", "```{toctree}", *modules, "```"]))
    for name, file in modules_of_lib(package).items():
        text = file.read_text()
        tree, lines = ast.parse(text), text.splitlines()
        parts = [f"# lib.{name}", f"```{{py:module}} lib.{name}\n```",
                 plain(ast.get_docstring(tree))]
        classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        parts += [described(node, lines, classes) for node in tree.body if public(node)]
        write(source / f"reference/{name}.md", "\n\n".join(parts))


def modules_of_lib(package) -> dict[str, Path]:
    """{name: file} in the order of the floors that the docstring of lib lists; of a package first
    the whole, then its modules."""
    modules = {}
    for floor in re.findall(r"^\d+  (.*?)(?:  |$)", package, re.M):
        for name in floor.split(", "):
            place = ROOT / "lib" / name.replace(".", "/")
            if not place.is_dir():
                modules[name] = place.with_name(f"{place.name}.py")
                continue
            modules[name] = place / "__init__.py"
            for file in sorted(place.glob("[!_]*.py")):
                modules[f"{name}.{file.stem}"] = file
    return modules


def public(node) -> bool:
    """A function, a class or a constant that is for others to use."""
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Name) and bool(
            re.fullmatch("[A-Z][A-Z_]+", node.targets[0].id))
    return isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")


def described(node, lines, classes, fence="``````", kind="function") -> str:
    """A directive of Sphinx's Python domain, with what a class holds inside it. lines: the file,
    since the comments at constants and at a class's fields say what they mean. classes: those of
    the file."""
    if isinstance(node, ast.Assign):
        first = node.lineno - 1
        while lines[first - 1].startswith("# "):
            first -= 1
        return "\n".join([f"{fence}{{py:data}} {node.targets[0].id}", "```python",
                          *lines[first:node.end_lineno], "```", fence])
    if isinstance(node, ast.ClassDef):
        return described_class(node, lines, classes, fence)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    marks = {ast.unparse(one) for one in node.decorator_list}
    if "property" in marks:
        head = f"{{py:property}} {node.name}"
    else:
        arguments = ast.unparse(node.args)
        if kind == "method" and "staticmethod" not in marks:
            arguments = arguments.partition(", ")[2]                     # without self or cls
        head = f"{{py:{kind}}} {node.name}({arguments}){returns}"
    options = [f":{one}:" for one in ("classmethod", "staticmethod") if one in marks]
    return "\n".join([fence + head, *options, "", plain(ast.get_docstring(node)), fence])


def described_class(node, lines, classes, fence) -> str:
    """With its bases, and with the fields that it has of its own or from a base in the file."""
    def fields(one):
        inherited = [field for base in one.bases if ast.unparse(base) in classes
                     for field in fields(classes[ast.unparse(base)])]
        return inherited + [field for field in one.body if isinstance(field, ast.AnnAssign)]

    starts = [one for one in node.body if getattr(one, "name", "") == "__init__"]
    arguments = ast.unparse(starts[0].args).partition(", ")[2] if starts else ", ".join(
        ast.unparse(field.target) for field in fields(node))
    bases = ", ".join(f"`{ast.unparse(base)}`" for base in node.bases)
    shown = [line.strip() for field in fields(node)
             for line in lines[field.lineno - 1:field.end_lineno]]
    body = [f"Bases: {bases}"] * bool(bases) + [plain(ast.get_docstring(node))]
    body += ["\n".join(["```python", *shown, "```"])] * bool(shown)
    body += [described(one, lines, classes, "`````", "method")
             for one in node.body if public(one)]
    head = f"{fence}{{py:class}} {node.name}({arguments})"
    return "\n".join([head, "", "\n\n".join(body), fence])


def plain(docstring) -> str:
    """A docstring as Markdown: it is written for reading as it is, so nothing in it is markup but
    `code`, *emphasis* and indented formulas."""
    def escaped(line):
        if line.startswith("    "):
            return line
        parts = re.split(r"(`[^`]*`)", line)
        return "".join(part if part.startswith("`") else re.sub(r"([<\[\]_|$#])", r"\\\1", part)
                       for part in parts)

    return "\n".join(escaped(line) for line in inspect.cleandoc(docstring or "").splitlines())


# ---- all of it

def write_source(source) -> None:
    """The folder of documents that Sphinx makes the site of."""
    from tools import watch

    copy_documents(source)
    write(source / "gallery.md", gallery(source))
    write(source / "bibliography.md", bibliography())
    watch.write(source)
    reference(source)


def main(folder=ROOT / "build/site") -> int:
    from sphinx.cmd.build import build_main

    sys.path.insert(0, str(ROOT))                            # tools are run from anywhere
    source, out, doctrees = (Path(folder) / name for name in ("source", "html", "doctrees"))
    for former in (source, out, doctrees):                   # no page of a document that is gone
        shutil.rmtree(former, ignore_errors=True)
    write_source(source)
    failed = build_main(["-q", "-W", "--keep-going", "-d", str(doctrees), str(source), str(out)])
    print("" if failed else out / "index.html")
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
