"""Every public name is documented: shapes, errors, and an example that runs."""

import ast
import builtins
import dataclasses
import dis
import doctest
import importlib
import inspect
import re
import textwrap
import types
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"

PACKAGES = (
    *("functional", "groups", "reps", "actions", "polyphase", "measure", "maps"),
    *("nn", "models", "io", "report"),
)

READS = ("LOAD_NAME", "LOAD_GLOBAL")
WRITES = ("STORE_NAME", "STORE_GLOBAL")

# Functions of a whole measurement, and whose example makes one and calls them.
SHOWN_AT = {
    "report.lee_lines": "Measurement",
    "report.lee_table": "Measurement",
    "report.page": "Measurement",
    "report.top_table": "Measurement",
    "report.layer_lines": "LayerReport",
    "report.layer_page": "LayerReport",
    "report.layer_table": "LayerReport",
    "report.maps_page": "MapsMeasurement",
    "report.maps_table": "MapsMeasurement",
    "report.shifts_lines": "ShiftsMeasurement",
    "report.shifts_page": "ShiftsMeasurement",
    "report.shifts_table": "ShiftsMeasurement",
    "report.stitch_page": "StitchMeasurement",
}


def public(package: str) -> dict[str, object]:
    """The functions and classes of eqnets that a package hands out."""
    module = importlib.import_module(f"eqnets.{package}")
    return {
        name: thing
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and hasattr(thing, "__name__")
        and getattr(thing, "__module__", "").startswith("eqnets")
    }


def tree_of(thing: object) -> ast.AST:
    source = inspect.getsource(inspect.unwrap(thing))
    return ast.parse(textwrap.dedent(source)).body[0]


def made_by(tree: ast.AST) -> ast.FunctionDef | None:
    """What runs when the public name is called."""
    if isinstance(tree, ast.FunctionDef):
        return tree
    made = (node for node in tree.body if getattr(node, "name", "") == "__init__")
    return next(made, None)


def raised(function: ast.FunctionDef) -> set[str]:
    """The errors of bad input that a function raises itself."""
    found = (n.exc for n in ast.walk(function) if isinstance(n, ast.Raise))
    names = {ast.unparse(getattr(exc, "func", exc)) for exc in found if exc}
    return names & {"ValueError", "TypeError"}


def takes_arrays(function: ast.FunctionDef) -> bool:
    """Whether a parameter is an array with axes: not a key, and no scalar."""
    a = function.args
    for argument in (*a.posonlyargs, *a.args, *a.kwonlyargs):
        kind = "" if argument.annotation is None else ast.unparse(argument.annotation)
        scalar = "''" in kind or re.search(r"\bfloat\b", kind)
        axes = re.search(r"\b(Array|ArrayLike|AnyArray|ndarray)\b", kind)
        if axes and not scalar and argument.arg not in ("key", "self"):
            return True
    return False


def fields(thing: object) -> tuple[str, ...]:
    """The fields of a plain container of results."""
    if dataclasses.is_dataclass(thing):
        return tuple(f.name for f in dataclasses.fields(thing))
    return getattr(thing, "_fields", ())


def own_fields(thing: object) -> set[str]:
    inherited = {name for base in thing.__mro__[1:] for name in fields(base)}
    return set(fields(thing)) - inherited


def written(thing: object) -> str | None:
    """The docstring in the source: not that of a base class, nor a generated one."""
    return ast.get_docstring(tree_of(thing))


def read_by(code: types.CodeType) -> set[str]:
    """The global names that code reads, and the functions and lambdas in it."""
    found = {i.argval for i in dis.get_instructions(code) if i.opname in READS}
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return found.union(*map(read_by, inner))


def borrowed(text: str) -> set[str]:
    """The names of an example that a reader who copies it does not have."""
    known, found = set(dir(builtins)), set()
    for example in doctest.DocTestParser().get_examples(text):
        code = compile(example.source, "example", "single")
        known |= {i.argval for i in dis.get_instructions(code) if i.opname in WRITES}
        found |= read_by(code) - known
    return found


def faults(package: str, name: str, thing: object) -> list[str]:
    text = written(thing)
    if not text:
        return ["no docstring"]
    found = []
    container = inspect.isclass(thing) and fields(thing)
    if container:
        described = set(re.findall(r"^ +(\w+):", text, re.M))
        if missing := own_fields(thing) - described:
            found.append(f"no word of {', '.join(sorted(missing))}")
    # What a function returns is shown where the function is.
    shown = container or f"{package}.{name}" in SHOWN_AT
    if ">>>" not in text and not shown:
        found.append("no example")
    if names := borrowed(text):
        found.append(f"the example does not say where {sorted(names)} come from")
    function = made_by(tree_of(thing))
    if function is None:
        return found
    errors = text.partition("Raises:")[2]
    if missing := {e for e in raised(function) if e not in errors}:
        found.append(f"raises {', '.join(sorted(missing))} and does not say so")
    prose = "\n".join(line for line in text.splitlines() if ">>>" not in line)
    if takes_arrays(function) and not re.search(r"\[[^\]]+\]", prose):
        found.append("takes an array of unsaid shape")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_documented(package):
    names = public(package)
    wrong = {name: faults(package, name, thing) for name, thing in names.items()}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_what_is_shown_elsewhere_is_shown_there():
    for function, place in SHOWN_AT.items():
        package, name = function.split(".")
        assert name in public(package), function
        example = written(public(package)[place]).partition(">>>")[2]
        assert f"{function}(" in example, f"{package}.{place} does not call {name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_reference_has_every_public_name_once(package):
    page = (REFERENCE / f"{package}.md").read_text()
    listed = re.findall(rf"^::: eqnets\.{package}\.(\w+)$", page, re.M)
    assert sorted(listed) == sorted(public(package))
