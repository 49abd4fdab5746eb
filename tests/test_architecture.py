"""The house: its layers, one room per foreign library, and what the code does without.

Every rule is a function from one module to its faults, and is shown to find a fault before it is
trusted to find none.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent

# Imports point down this table, or sideways where no circle comes of it. The package itself (the
# room "") is the plate on the door: what stands in it is imported when it is first asked for.
LAYERS = {
    "interface": [
        "",
        "__main__",
        "cli",
        "job",
        "checkpoint",
        "estimator",
        "fitted_mixture",
        "fitted",
        "python_warnings",
        "config",
    ],
    "products": ["scores", "row_scores", "outputs", "anomaly", "overlap", "digests", "report"],
    "method": [
        "fit",
        "fit_warnings",
        "held_components",
        "em",
        "acceleration",
        "judgement",
        "candidate",
        "survey",
        "expectation",
        "collapse",
        "initialisation",
        "model",
        "assigned",
        "model_files",
        "regularisation",
        "effort",
        "rehearsal",
        "screening",
        "trials",
        "resumption",
        "starts",
        "start_arrays",
        "given_arrays",
        "last_fit",
    ],
    "ground": [
        "data",
        "data.blocks",
        "data.decoded_cache",
        "execution",
        "memory",
        "persistence",
        "array_files",
        "line_files",
        "regular_files",
        "folders",
        "file_kinds",
    ],
    "mathematics": [
        "arithmetic",
        "covariance",
        "kernels",
        "statistics",
        "parameters",
        "criteria",
        "random_streams",
    ],
    "words": [
        "errors",
        "outcome",
        "listener",
        "printable",
        "python_words",
        "shortage",
        "stopping",
        "version",
        "sklearn_classes",
        "plain_estimator",
    ],
}
HEIGHT = {
    room: -depth for depth, rooms in enumerate(LAYERS.values()) for room in rooms
}  # the door's is 0

# Which room a foreign library lives in; NumPy is at home everywhere.
FOREIGN_ROOM = {
    "zarr": "data",
    "numcodecs": "data",
    "dask": "execution",
    "distributed": "execution",
    "threadpoolctl": "execution",
    "numba": "arithmetic",
    "llvmlite": "arithmetic",
    "pydantic": "config",
    "pydantic_core": "config",
    "ruamel": "config",
    "click": "cli",
    "rich": "cli",
    "matplotlib": "report",
    "jinja2": "report",
    "sklearn": "sklearn_classes",
}
SCIPY_PARTS = {"special", "stats", "cluster"}  # scipy.linalg brings a second BLAS, with other bits
EMPTY_WORDS = {"utils", "util", "helpers", "helper", "misc", "core", "common", "manager"}
# The design's name for the monoid; nothing in the package imports the standard library's.
FIELD_WORDS = {"statistics"}
LONGEST_FILE = 320


@dataclass(frozen=True)
class Module:
    """One file of the package; `name` is dotted and begins with `dgmm`."""

    name: str
    source: str
    is_package: bool = False

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, filename=self.name)

    @property
    def room(self) -> str:
        return room_of(self.name)

    @property
    def imports(self) -> Iterator[tuple[str, int]]:
        """Every imported dotted name, absolute, with its line; lazy imports included."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                yield from ((f"{origin}.{alias.name}", node.lineno) for alias in node.names)

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parent = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*parent, *([node.module] if node.module else [])])


def room_of(name: str) -> str:
    """The longest entry of the table that the dotted name lies in; outside the table its first."""
    within = name.removeprefix("dgmm").removeprefix(".")
    rooms = [room for room in HEIGHT if room and f"{within}.".startswith(f"{room}.")]
    if rooms:
        return max(rooms, key=len)
    first = within.split(".")[0]
    return first if first != "__version__" else ""


def modules() -> list[Module]:
    found = []
    for path in sorted((PROJECT / "dgmm").rglob("*.py")):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    return found


def rooms_used(module: Module) -> Iterator[tuple[str, str, int]]:
    """The rooms of the house that a module imports from, with what it imports and where."""
    for name, line in module.imports:
        if name.split(".")[0] == "dgmm" and name != "dgmm.__version__":
            yield room_of(name), name, line


def stands_in_the_table(module: Module) -> list[str]:
    return [] if module.room in HEIGHT else [f"{module.name}: no layer has room {module.room!r}"]


def imports_downward(module: Module) -> list[str]:
    if module.name == "dgmm":
        return []
    height = HEIGHT.get(module.room, 0)
    return [
        f"{module.name}:{line} imports {name}, which lies above it"
        for room, name, line in rooms_used(module)
        if HEIGHT.get(room, 0) > height or room == ""
    ]


def keeps_foreign_libraries_in_their_rooms(module: Module) -> list[str]:
    faults = []
    for name, line in module.imports:
        library = name.split(".")[0]
        if library in sys.stdlib_module_names or library in {"dgmm", "numpy", "scipy"}:
            continue
        home = FOREIGN_ROOM.get(library)
        if home is None:
            faults.append(f"{module.name}:{line} imports {library}, which has no room")
        elif module.room != home:
            faults.append(f"{module.name}:{line} imports {library}, whose room is {home}")
    return faults


def takes_only_special_functions_from_scipy(module: Module) -> list[str]:
    allowed = set() if module.room == "kernels" else SCIPY_PARTS | {"__version__"}
    faults = []
    for name, line in module.imports:
        library, *parts = name.split(".")
        if library == "scipy" and not set(parts[:1]) <= allowed:
            faults.append(f"{module.name}:{line} imports {name}")
    return faults


def never_asks_for_the_family(module: Module) -> list[str]:
    if module.room == "covariance":
        return []
    faults = []
    for node in ast.walk(module.tree):
        asked = []
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            asked = [node.subject]
        if any(_bears_the_family(operand) for operand in asked):
            faults.append(f"{module.name}:{node.lineno} asks which family it is")
    return faults


def _bears_the_family(operand: ast.expr) -> bool:
    match operand:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(name)):
            return name == "covariance_type"
    return False


def does_not_print(module: Module) -> list[str]:
    if module.room == "cli":
        return []
    return [
        f"{module.name}:{node.lineno} prints"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def raises_instead_of_asserting(module: Module) -> list[str]:
    return [
        f"{module.name}:{node.lineno} asserts"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assert)
    ]


def has_a_telling_name(module: Module) -> list[str]:
    faults = []
    for word in module.name.split(".")[1:]:
        if EMPTY_WORDS & set(word.split("_")):
            faults.append(f"{module.name}: {word} says nothing")
        if word in sys.stdlib_module_names - FIELD_WORDS:
            faults.append(f"{module.name}: {word} is a module of the standard library")
    return faults


def is_short(module: Module) -> list[str]:
    n_lines = len(module.source.splitlines())
    return [f"{module.name} has {n_lines} lines"] if n_lines > LONGEST_FILE else []


def circle(house: list[Module]) -> list[str]:
    """The rooms that import each other in a circle, or nothing."""
    uses: dict[str, set[str]] = {}
    for module in house:
        others = {room for room, _, _ in rooms_used(module) if room != module.room}
        uses.setdefault(module.room, set()).update(others if module.room else ())
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


Rule = Callable[[Module], list[str]]

OFFENCES: list[tuple[Rule, Module]] = [
    (stands_in_the_table, Module("dgmm.attic", "")),
    (imports_downward, Module("dgmm.em", "from dgmm.job import run_job")),
    (imports_downward, Module("dgmm.errors", "import dgmm.data.blocks")),
    (imports_downward, Module("dgmm.kernels.product", "def f():\n    from dgmm import model")),
    (imports_downward, Module("dgmm.data.zarr_dataset", "from ..outputs import write")),
    (imports_downward, Module("dgmm.data", "from ..outputs import write", is_package=True)),
    (imports_downward, Module("dgmm.report.page", "from dgmm import GaussianMixture")),
    (keeps_foreign_libraries_in_their_rooms, Module("dgmm.outputs", "import zarr")),
    (keeps_foreign_libraries_in_their_rooms, Module("dgmm.data.blocks", "import zarr")),
    (keeps_foreign_libraries_in_their_rooms, Module("dgmm.job", "from dask.utils import f")),
    (keeps_foreign_libraries_in_their_rooms, Module("dgmm.model", "import sklearn.mixture")),
    (takes_only_special_functions_from_scipy, Module("dgmm.em", "from scipy import linalg")),
    (takes_only_special_functions_from_scipy, Module("dgmm.em", "import scipy.linalg as l")),
    (
        takes_only_special_functions_from_scipy,
        Module("dgmm.kernels.tiles", "from scipy.special import logsumexp"),
    ),
    (never_asks_for_the_family, Module("dgmm.em", "if covariance_type == 'full': pass")),
    (never_asks_for_the_family, Module("dgmm.em", "x = 'full' != model.covariance_type")),
    (never_asks_for_the_family, Module("dgmm.em", "x = job['covariance_type'] in ('tied',)")),
    (
        never_asks_for_the_family,
        Module("dgmm.em", "match self.covariance_type:\n    case 'full': pass"),
    ),
    (does_not_print, Module("dgmm.em", "print('iteration 1')")),
    (raises_instead_of_asserting, Module("dgmm.em", "assert n > 0, 'n'")),
    (has_a_telling_name, Module("dgmm.utils", "")),
    (has_a_telling_name, Module("dgmm.data.zarr_helpers", "")),
    (has_a_telling_name, Module("dgmm.report.html", "")),
    (is_short, Module("dgmm.em", "\n" * (LONGEST_FILE + 1))),
]
RULES = list(dict.fromkeys(rule for rule, _ in OFFENCES))


@pytest.mark.parametrize(
    ("rule", "module"), OFFENCES, ids=lambda value: getattr(value, "__name__", "")
)
def test_each_rule_finds_its_offence(rule: Rule, module: Module) -> None:
    assert len(rule(module)) == 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Rule) -> None:
    faults = [fault for module in modules() for fault in rule(module)]
    assert not faults, "\n".join(faults)


def test_a_circle_of_rooms_is_found() -> None:
    house = [
        Module("dgmm.em", "from dgmm.model import MixtureModel"),
        Module("dgmm.model", "from dgmm.collapse import CollapsePolicy"),
        Module("dgmm.collapse", "def f():\n    from dgmm.em import fit"),
    ]
    assert set(circle(house)) == {"em", "model", "collapse"}


def test_no_rooms_import_each_other_in_a_circle() -> None:
    assert not circle(modules())


def test_every_room_in_the_table_exists() -> None:
    empty = set(HEIGHT) - {module.room for module in modules()}
    assert not empty, f"drawn, but not built: {sorted(empty)}"


def test_the_table_in_the_documents_is_this_one() -> None:
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for layer, rooms in LAYERS.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {layer} |")]
        hidden = {"", "__main__", "data.blocks", "data.decoded_cache"}
        assert re.findall(r"`(\w+)`", row) == [room for room in rooms if room not in hidden]


def test_the_walk_through_the_package_sees_it_whole() -> None:
    names = {module.name for module in modules()}
    assert {"dgmm", "dgmm.errors", "dgmm.data", "dgmm.data.blocks"} <= names


@pytest.mark.parametrize("job", sorted((PROJECT / "jobs").glob("*.py")), ids=lambda job: job.name)
def test_jobs_guard_main_because_worker_processes_import_them(job: Path) -> None:
    assert "\nif __name__ == " in job.read_text(encoding="utf-8")
