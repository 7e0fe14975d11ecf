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
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("SCOREBOARD.md", "RESULTS.md", "lib/README.md", "data/README.md", "bench/table.md",
         "notebooks/assignments/README.md")
FILES = ("LICENSE", "CITATION.cff", "notebooks/*.py", "notebooks/assignments/*.py")
MENU = """
```{toctree}
:hidden:
:caption: Notebooks

NOTEBOOKS
```

```{toctree}
:hidden:
:caption: Results

gallery
SCOREBOARD
RESULTS
bench/table
```

```{toctree}
:hidden:
:caption: Use it

lib/README
reference/index
data/README
notebooks/assignments/README
```
"""


def notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def title(file) -> str:
    """The first heading of a notebook."""
    text = "".join(json.loads(file.read_text())["cells"][0]["source"])
    return next(line[2:] for line in text.splitlines() if line.startswith("# "))


def to_index(text) -> str:
    """The README is the site's first page: links to it lead there."""
    return re.sub(r"\]\(((?:\.\./)*)README\.md", r"](\1index.md", text)


# ---- the documents

def copy_documents(source) -> None:
    for name in PAGES:
        write(source / name, to_index((ROOT / name).read_text()))
    names = "\n".join(f"{f.stem[:2]} {title(f)} <notebooks/{f.stem}>" for f in notebooks())
    write(source / "index.md", (ROOT / "README.md").read_text() + MENU.replace("NOTEBOOKS", names))
    for file in notebooks():
        notebook = json.loads(file.read_text())
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = to_index("".join(cell["source"]))
        heading = f"# {title(file)}\n"
        links = (f"[source]({file.stem}.py) · {{download}}`notebook <{file.name}>` · "
                 f"[its figures](#figures_{file.stem})")
        first = notebook["cells"][0]
        first["source"] = first["source"].replace(heading, f"{heading}\n{links}\n", 1)
        write(source / "notebooks" / file.name, json.dumps(notebook))
    for file in (file for pattern in FILES for file in ROOT.glob(pattern)):
        copy(file, source / file.relative_to(ROOT))
    for file in (ROOT / "figures").glob("*/[0-9]*/*.png"):
        copy(file, source / file.relative_to(ROOT))
    mathjax = files("sphinx-mathjax-offline") / "static/mathjax/tex-svg.js"
    write(source / "_static/mathjax/tex-svg.js", mathjax.read_text())
    for name in ("conf.py", "_static/site.css"):
        copy(ROOT / "tools/site" / Path(name).name, source / name)


def write(path, text) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def copy(file, path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, path)


# ---- the gallery

def gallery() -> str:
    """Every figure: of the paper profile where it is stored, else of this machine's quick run."""
    text = ["# Gallery", "Every figure that the notebooks draw, with its profile. *Paper profile*: "
            "computed at the papers' sizes as far as was possible here, and stored; *quick*: a run "
            "of minutes on two cores. Captions and numbers are in the notebooks.\n"]
    for file in notebooks():
        name, shown = file.stem, set()
        text += [f"(figures_{name})=", f"## {name[:2]} {title(file)}",
                 f"[To the notebook](notebooks/{name}.ipynb)\n"]
        for profile, label in (("paper", "paper profile"), ("quick", "quick")):
            folder = ROOT / "figures" / profile / name
            texts = json.loads((folder / "figures.json").read_text()) \
                if (folder / "figures.json").is_file() else {}
            for figure, alt in texts.items():
                if figure not in shown and (folder / f"{figure}.png").is_file():
                    shown.add(figure)
                    text += [f":::{{figure}} figures/{profile}/{name}/{figure}.png",
                             f":alt: {alt}", "", f"{figure.replace('_', ' ')} ({label})", ":::\n"]
    return "\n".join(text)


# ---- the reference

def reference(source) -> None:
    """A page a module of lib, in the order of its floors, from the text of its docstrings."""
    package = ast.get_docstring(ast.parse((ROOT / "lib/__init__.py").read_text()))
    floors = re.findall(r"^\d  (.*?)(?:  |$)", package, re.M)
    modules = [name for floor in floors for name in floor.split(", ")]
    write(source / "reference/index.md", "\n".join([
        "# Reference of lib", "From the docstrings: shapes, ranges, errors and sources.", "",
        "```text", package, "```", "", "```{toctree}", *modules, "```"]))
    for name in modules:
        text = (ROOT / f"lib/{name}.py").read_text()
        tree, lines = ast.parse(text), text.splitlines()
        parts = [f"# {name}", f"```{{py:module}} lib.{name}\n```", plain(ast.get_docstring(tree))]
        parts += [described(node, lines) for node in tree.body if public(node)]
        write(source / f"reference/{name}.md", "\n\n".join(parts))


def public(node) -> bool:
    return (isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            and bool(ast.get_docstring(node)))


def described(node, lines, fence="``````", kind="function") -> str:
    """A directive of Sphinx's Python domain, with what a class holds inside it. lines: the file,
    since the comments behind a class's fields say what they mean."""
    if isinstance(node, ast.FunctionDef):
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        marks = {ast.unparse(one) for one in node.decorator_list}
        if "property" in marks:
            head = f"{{py:property}} {node.name}"
        else:
            arguments = ast.unparse(node.args)
            if kind == "method" and "staticmethod" not in marks:
                arguments = arguments.partition(", ")[2]                # without self or cls
            head = f"{{py:{kind}}} {node.name}({arguments}){returns}"
        options = [f":{one}:" for one in ("classmethod", "staticmethod") if one in marks]
        return "\n".join([fence + head, *options, "", plain(ast.get_docstring(node)), fence])
    fields = [line.strip() for one in node.body if isinstance(one, ast.AnnAssign)
              for line in lines[one.lineno - 1:one.end_lineno]]
    body = [plain(ast.get_docstring(node))]
    if fields:
        body.append("\n".join(["```python", *fields, "```"]))
    body += [described(one, lines, "`````", "method") for one in node.body if public(one)]
    return "\n".join([f"{fence}{{py:class}} {node.name}", "", "\n\n".join(body), fence])


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

def main(folder=ROOT / "build/site") -> int:
    from sphinx.cmd.build import build_main

    source, out = Path(folder) / "source", Path(folder) / "html"
    shutil.rmtree(source, ignore_errors=True)
    copy_documents(source)
    write(source / "gallery.md", gallery())
    reference(source)
    kept = ["-d", str(Path(folder) / "doctrees")]            # what did not change is not read again
    failed = build_main(["-q", "-W", "--keep-going", *kept, str(source), str(out)])
    if not failed:
        print(out / "index.html")
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
