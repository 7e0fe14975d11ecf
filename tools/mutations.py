"""What one line of a file could say instead: the mutations that `mutants.py` runs tests against."""

import ast
import contextlib
import random
from dataclasses import dataclass
from pathlib import Path

SEED = 2026


@dataclass(frozen=True)
class Mutant:
    file: str
    line: int
    before: str
    after: str
    code: str  # the whole mutated file


SWAPPED = {
    "LessThan": "LessThanEqual", "LessThanEqual": "LessThan", "GreaterThan": "GreaterThanEqual",
    "GreaterThanEqual": "GreaterThan", "Equal": "NotEqual", "NotEqual": "Equal", "In": "NotIn",
    "NotIn": "In", "Is": "IsNot", "IsNot": "Is", "Add": "Subtract", "Subtract": "Add",
    "Multiply": "Divide", "Divide": "Multiply", "Power": "Multiply", "FloorDivide": "Divide",
    "BitAnd": "BitOr", "And": "Or", "Or": "And", "Modulo": "FloorDivide",
}
RENAMED = {"min": "max", "max": "min", "amin": "amax", "amax": "amin", "argmin": "argmax",
           "argmax": "argmin", "all": "any", "any": "all", "sum": "mean", "mean": "sum",
           "sign_": "abs_", "lt": "le", "triu": "tril", "zeros": "ones", "ones": "zeros",
           "zeros_like": "ones_like", "nnls": "lsq_linear", "trunc": "round", "round": "trunc"}
DROPPED = ("abs", "square", "sqrt", "log10", "sort", "sign", "trunc", "clone", "clamp", "clamp_min",
           "sign_", "double")
# Nothing of these is changed: what is written for the reader, or checked by no run.
LEFT_ALONE = ("Annotation", "Raise", "Import", "ImportFrom", "FormattedString", "Decorator")


def mutants_of(root: Path, file: str, count: int) -> list[Mutant]:
    """`count` mutations of a file, drawn with SEED of all that there are."""
    import libcst as cst
    from libcst.metadata import MetadataWrapper, PositionProvider

    source = (root / file).read_text()
    wrapper = MetadataWrapper(cst.parse_module(source))
    positions = wrapper.resolve(PositionProvider)
    candidates = []

    class Collector(cst.CSTVisitor):
        def on_visit(self, node) -> bool:
            if type(node).__name__ in LEFT_ALONE:
                return False
            candidates.extend((node, new) for new in alternatives(node))
            return True

    for statement in wrapper.module.body:
        statement.visit(Collector())
    random.Random(SEED).shuffle(candidates)
    mutants = []
    for node, new in candidates:
        if len(mutants) == count:
            break
        code = wrapper.module.deep_replace(node, new).code
        with contextlib.suppress(SyntaxError):
            ast.parse(code)
            mutants.append(described(file, source, code, positions[node].start.line))
    return sorted(mutants, key=lambda m: (m.line, m.before, m.after))


def described(file: str, source: str, code: str, line: int) -> Mutant:
    """The mutant with the first line that differs."""
    old, new = source.splitlines(), code.splitlines()
    differ = [i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b]
    i = differ[0] if differ else line - 1
    return Mutant(file, i + 1, old[i].strip(), new[i].strip(), code)


def alternatives(node) -> list:
    """What a node of the syntax tree could be instead."""
    import libcst as cst

    if isinstance(node, cst.Integer | cst.Float):
        return of_number(node)
    if isinstance(node, cst.BinaryOperation | cst.BooleanOperation):
        words = cst.SimpleString | cst.FormattedString
        texts = isinstance(node.left, words) or isinstance(node.right, words)
        return [] if texts else [node.with_changes(operator=new) for new in swapped(node.operator)]
    if isinstance(node, cst.ComparisonTarget):
        return [node.with_changes(operator=new) for new in swapped(node.operator)]
    if isinstance(node, cst.Name) and node.value in ("True", "False"):
        return [cst.Name(str(node.value != "True"))]
    if isinstance(node, cst.UnaryOperation):
        return [node.expression]
    if isinstance(node, cst.If | cst.IfExp):
        test = cst.UnaryOperation(cst.Not(), node.test.with_changes(
            lpar=[cst.LeftParen()], rpar=[cst.RightParen()]))
        return [node.with_changes(test=test)]
    return of_call(node) if isinstance(node, cst.Call) else []


def of_number(node) -> list:
    """A whole number and one; another doubled, but for a tiny one, which only keeps a division
    from failing."""
    import libcst as cst

    if isinstance(node, cst.Integer):
        return [cst.Integer(str(int(node.value.replace("_", "")) + 1))]
    number = float(node.value)
    if 0 < number <= 1e-10:
        return []
    return [cst.Float(repr(2 * number or 1.0))]


def swapped(operator) -> list:
    """The operator that stands for this one, where there is one."""
    import libcst as cst

    name = SWAPPED.get(type(operator).__name__)
    return [getattr(cst, name)()] if name else []


def of_call(call) -> list:
    """A call without a keyword, under another name, or without its method."""
    import libcst as cst

    out = []
    for i, arg in enumerate(call.args):
        if arg.keyword is not None and arg.keyword.value not in ("dtype", "device", "generator"):
            out.append(call.with_changes(args=[*call.args[:i], *call.args[i + 1 :]]))
    function = call.func
    if isinstance(function, cst.Attribute):
        name = function.attr.value
        if name in RENAMED:
            out.append(call.with_deep_changes(function, attr=cst.Name(RENAMED[name])))
        if name in DROPPED:
            out.append(function.value)
    elif isinstance(function, cst.Name) and function.value in ("min", "max", "all", "any"):
        out.append(call.with_changes(func=cst.Name(RENAMED[function.value])))
    return out
