"""The rules of the house: who may import whom, and what an import may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import eqnets

PACKAGE = Path(eqnets.__file__).parent
ROOT = PACKAGE.parent

# A part may import the parts named here (and itself); the order has no cycles.
MAY_IMPORT = {
    "groups": set(),
    "actions": set(),
    "polyphase": set(),
    "io": set(),
    "functional": set(),
    "reps": {"groups"},
    "measure": {"actions", "functional"},
    "maps": {"actions", "functional"},
    "nn": {"polyphase", "reps", "groups", "maps"},
    "models": {"nn", "polyphase", "reps", "groups", "io", "functional"},
    "report": {"io", "reps"},
    "commands": {
        *("actions", "measure", "maps", "models", "functional"),
        *("io", "report", "groups", "reps", "polyphase"),
    },
    "cli": {"commands"},
    "__main__": {"cli"},
    "__init__": set(),
}
FLAX_ALLOWED = {"functional", "nn", "models"}
# Loaded when a function that needs them runs, never by an import.
LAZY = {"matplotlib", "PIL", "skimage", "safetensors", "jinja2", "rich", "tyro"}
NEVER = {"tensorflow_datasets", "tensorflow", "torch", "sklearn", "requests"}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def sources():
    return sorted(PACKAGE.rglob("*.py"))


def imported(node: ast.AST, path: Path) -> list[str]:
    """Absolute dotted names that an import statement loads, with relative resolved."""
    if isinstance(node, ast.Import):
        return [a.name for a in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    module = node.module or ""
    if node.level:
        here = ["eqnets", *path.relative_to(PACKAGE).with_suffix("").parts]
        module = ".".join([*here[: len(here) - node.level], module]).strip(".")
    return [f"{module}.{a.name}" for a in node.names]


def test_parts_import_only_what_lies_below_them():
    wrong = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            for name in imported(node, path):
                parts = name.split(".")
                if parts[0] != "eqnets" or len(parts) < 2 or parts[1] == "__version__":
                    continue
                part = part_of(path)
                if parts[1] != part and parts[1] not in MAY_IMPORT[part]:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_the_order_of_parts_has_no_cycle():
    seen: dict[str, int] = {}

    def depth(part, trail=()):
        assert part not in trail, f"cycle: {trail}"
        if part not in seen:
            below = (depth(p, (*trail, part)) for p in MAY_IMPORT[part])
            seen[part] = 1 + max(below, default=0)
        return seen[part]

    assert max(depth(part) for part in MAY_IMPORT) <= len(MAY_IMPORT)


def test_flax_stays_in_its_rooms_and_others_stay_out():
    wrong = []
    for path in sources():
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            for name in imported(node, path):
                top = name.split(".")[0]
                flax = top == "flax" and part_of(path) not in FLAX_ALLOWED
                if flax or top in NEVER:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
        for node in tree.body:
            for name in imported(node, path):
                lazy = LAZY - ({"tyro"} if part_of(path) == "commands" else set())
                if name.split(".")[0] in lazy:
                    wrong.append(f"{path.relative_to(ROOT)} loads {name} at import")
    assert not wrong


def test_no_file_imports_a_private_name_of_another():
    wrong = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            for name in imported(node, path):
                if name.startswith("eqnets.") and name.split(".")[-1][0] == "_":
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not [w for w in wrong if not w.endswith("__version__")]


def test_no_star_imports_and_no_asserts():
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            star = isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
            assert not star, path
            assert not isinstance(node, ast.Assert), path


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import eqnets", {"jax", "numpy", "flax"}),
        (
            "from eqnets import actions, measure",
            {"flax", "matplotlib", "scipy.ndimage", "scipy.sparse", "PIL", "optax"},
        ),
        (
            "from eqnets import actions, measure, io, report, functional, models",
            {"matplotlib", "scipy.ndimage", "tensorflow", "PIL", "skimage"},
        ),
        ("import eqnets.cli", {"jax", "flax", "matplotlib"}),
    ],
)
def test_imports_stay_light(statement, absent):
    code = (
        f"{statement}; import sys; print(*[m for m in {absent!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_large_files_are_not_rooms_but_halls():
    """A file of the library holds one idea: at most 450 lines."""
    lengths = {p: len(p.read_text().splitlines()) for p in sources()}
    assert {str(p): n for p, n in lengths.items() if n > 450} == {}
