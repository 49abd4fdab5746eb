"""The architecture: packages are layers, one package per foreign library, what the code avoids.

Every rule is a function from one module to what breaks it, and is shown to find an offence before
it is trusted to find none.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest
from layers import LAYERS, PICTURE, picture, uses, without_detours

PROJECT = Path(__file__).resolve().parent.parent

HEIGHT = {package: height for height, line in enumerate(LAYERS) for package in line}

# Which package imports a foreign library; NumPy is used everywhere.
LIBRARY_PACKAGE = {
    "zarr": "data",
    "numcodecs": "data.zarr",
    "xarray": "data.sources.labelled",
    "pyarrow": "data.sources.tables",
    "h5py": "data.sources.hdf5",
    "dask": "execution",
    "distributed": "execution",
    "threadpoolctl": "runtime.blas_threads",
    "numba": "mixture.backends",
    "llvmlite": "mixture.backends",
    "pydantic": "config",
    "pydantic_core": "config",
    "ruamel": "config",
    "click": "cli",
    "rich": "cli",
    "jinja2": "report",
    "sklearn": "sklearn_classes",
}
#: scipy.linalg brings a second BLAS, with other bits; `optimize` matches components, without any.
SCIPY_PARTS = {"special", "stats", "cluster", "optimize"}
#: Old names of the design (docs/glossary.md has today's) that mean nothing else in this field.
OLD_WORDS = re.compile(
    r"(?<![a-z])(rehears\w*|patien(ce|tly)|workplace|lettering|headline|thinn(ed|ing)|admission"
    r"|bears?[_ ]out|is_fresh|refuted|doors?|door-plate|stor(y|ies)|house|tell_workers|payload"
    r"|mend(s|ed|ing)?|the same bits|nats a row|dearer|says so|LastWalk|NothingKept)(?![a-z])",
    re.IGNORECASE,
)
EMPTY_WORDS = {"utils", "util", "helpers", "helper", "misc", "core", "common", "manager"}
LONGEST_FILE = 320
#: Lines of a function below its signature and its docstring.
LONGEST_FUNCTION, MEDIAN_FUNCTION = 50, 8


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
    def package(self) -> str:
        return package_of(self.name)

    @property
    def imports(self) -> Iterator[tuple[str, int]]:
        """Every imported dotted name, absolute, with its line; lazy imports included."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                yield from ((f"{origin}.{alias.name}", node.lineno) for alias in node.names)

    @property
    def own_imports(self) -> Iterator[tuple[str, int]]:
        """Those of them that lie in dgmm."""
        for name, line in self.imports:
            if name.split(".")[0] == "dgmm" and name != "dgmm.__version__":
                yield name, line

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parent = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*parent, *([node.module] if node.module else [])])


def package_of(name: str) -> str:
    """The package or module directly below `dgmm` that a dotted name lies in; `dgmm` itself: ""."""
    first = name.removeprefix("dgmm").removeprefix(".").split(".")[0]
    return first if first in HEIGHT or (PROJECT / "dgmm" / f"{first}.py").exists() else ""


def modules() -> list[Module]:
    found = []
    for path in sorted((PROJECT / "dgmm").rglob("*.py")):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    return found


def stands_in_a_layer(module: Module) -> list[str]:
    first = module.name.removeprefix("dgmm").removeprefix(".").split(".")[0]
    return [] if first in HEIGHT else [f"{module.name}: no layer has {first!r}"]


def imports_downward(module: Module) -> list[str]:
    if module.name == "dgmm":
        return []
    height = HEIGHT.get(module.package, 0)
    return [
        f"{module.name}:{line} imports {name}, which lies above it"
        for name, line in module.own_imports
        if HEIGHT.get(package_of(name), 0) > height or package_of(name) == ""
    ]


def keeps_foreign_libraries_in_one_package(module: Module) -> list[str]:
    faults = []
    for name, line in module.imports:
        library = name.split(".")[0]
        if library in sys.stdlib_module_names or library in {"dgmm", "numpy", "scipy"}:
            continue
        package = LIBRARY_PACKAGE.get(library)
        if package is None:
            faults.append(f"{module.name}:{line} imports {library}, which has no package")
        elif not f"{module.name}.".startswith(f"dgmm.{package}."):
            faults.append(f"{module.name}:{line} imports {library}, which {package} does")
    return faults


def takes_only_special_functions_from_scipy(module: Module) -> list[str]:
    is_kernel = module.name.startswith("dgmm.mixture.kernels")
    allowed = set() if is_kernel else SCIPY_PARTS | {"__version__"}
    faults = []
    for name, line in module.imports:
        library, *parts = name.split(".")
        if library == "scipy" and not set(parts[:1]) <= allowed:
            faults.append(f"{module.name}:{line} imports {name}")
    return faults


def imports_scipy_only_when_needed(module: Module) -> list[str]:
    """It takes a sixth of the start of every process, and most jobs need none of it."""
    at_import = [node for node in module.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return [
        f"{module.name}:{node.lineno} imports SciPy outside a function"
        for node in at_import
        for name in ([getattr(node, "module", None) or ""] + [alias.name for alias in node.names])
        if name.split(".")[0] == "scipy"
    ]


def never_asks_for_the_family(module: Module) -> list[str]:
    if module.name.startswith("dgmm.mixture.covariance"):
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
    if module.package == "cli":
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
        if word in sys.stdlib_module_names:
            faults.append(f"{module.name}: {word} is a module of the standard library")
    return faults


def uses_the_words_of_the_glossary(module: Module) -> list[str]:
    return [
        f"{module.name}:{i} says {found[0]!r}: an old name"
        for i, line in enumerate(module.source.splitlines(), 1)
        if (found := OLD_WORDS.search(line)) is not None
    ]


def is_short(module: Module) -> list[str]:
    n_lines = len(module.source.splitlines())
    return [f"{module.name} has {n_lines} lines"] if n_lines > LONGEST_FILE else []


def function_lines(module: Module) -> Iterator[tuple[str, int]]:
    """Each function with its lines below its signature and its docstring."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[ast.get_docstring(node, clean=False) is not None :]
            yield node.name, (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def has_short_functions(module: Module) -> list[str]:
    return [
        f"{module.name}: {name} has {n_lines} lines"
        for name, n_lines in function_lines(module)
        if n_lines > LONGEST_FUNCTION
    ]


def circle(package: list[Module]) -> list[str]:
    """Modules or packages side by side in one folder that import each other in a circle, if any.

    Folders are compared level by level: of `dgmm.data.zarr.node` and `dgmm.data.open_dataset` it is
    `zarr` and `opening` that stand side by side in `dgmm.data`.
    """
    names = {module.name for module in package}
    uses: dict[str, set[str]] = {}
    for module in package:
        for name, _ in module.own_imports:
            target = name if name in names else name.rpartition(".")[0]
            here, there = _where_they_part(module, target)
            if here != there:
                uses.setdefault(here, set()).add(there)
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _where_they_part(module: Module, target: str) -> tuple[str, str]:
    """The two children of the nearest folder that holds both; a package's own file is its name."""
    here = [*module.name.split("."), *(["__init__"] if module.is_package else [])]
    there = [*target.split("."), "__init__"]
    depth = next((i for i, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), 0)
    return ".".join(here[: depth + 1]), ".".join(there[: depth + 1])


Rule = Callable[[Module], list[str]]
ZARR_DATASET, EM_LOOP = "dgmm.data.zarr.dataset", "dgmm.fitting.em.loop"
PRODUCT = "dgmm.mixture.kernels.product_kernel"
one_package = keeps_foreign_libraries_in_one_package
from_scipy = takes_only_special_functions_from_scipy
scipy_late = imports_scipy_only_when_needed

OFFENCES: list[tuple[Rule, Module]] = [
    (stands_in_a_layer, Module("dgmm.attic", "")),
    (imports_downward, Module(EM_LOOP, "from dgmm.job import run_job")),
    (imports_downward, Module("dgmm.errors", "import dgmm.reduction.blocks")),
    (imports_downward, Module(PRODUCT, "def f():\n    from dgmm import model")),
    (imports_downward, Module(ZARR_DATASET, "from ...scoring.row_outputs import write")),
    (imports_downward, Module("dgmm.data", "from ..scoring import write", is_package=True)),
    (imports_downward, Module("dgmm.report.page", "from dgmm import GaussianMixture")),
    (one_package, Module("dgmm.scoring.scoring_pass", "import zarr")),
    (one_package, Module("dgmm.reduction.blocks", "import zarr")),
    (one_package, Module("dgmm.job", "from dask.utils import f")),
    (one_package, Module("dgmm.model.mixture_model", "import sklearn.mixture")),
    (one_package, Module("dgmm.model.mixture_model", "import pandas")),
    (from_scipy, Module(EM_LOOP, "from scipy import linalg")),
    (from_scipy, Module(EM_LOOP, "import scipy.linalg as l")),
    (from_scipy, Module(PRODUCT, "from scipy.special import logsumexp")),
    (scipy_late, Module(EM_LOOP, "from scipy import special")),
    (scipy_late, Module(EM_LOOP, "import scipy.special as s")),
    (never_asks_for_the_family, Module(EM_LOOP, "if covariance_type == 'full': pass")),
    (never_asks_for_the_family, Module(EM_LOOP, "x = 'full' != model.covariance_type")),
    (never_asks_for_the_family, Module(EM_LOOP, "x = job['covariance_type'] in ('tied',)")),
    (
        never_asks_for_the_family,
        Module(EM_LOOP, "match self.covariance_type:\n    case 'full': pass"),
    ),
    (does_not_print, Module(EM_LOOP, "print('iteration 1')")),
    (raises_instead_of_asserting, Module(EM_LOOP, "assert n > 0, 'n'")),
    (has_a_telling_name, Module("dgmm.utils", "")),
    (has_a_telling_name, Module("dgmm.data.zarr_helpers", "")),
    (has_a_telling_name, Module("dgmm.report.html", "")),
    (uses_the_words_of_the_glossary, Module(EM_LOOP, "# history\nmost_patient_door = 1")),
    (is_short, Module(EM_LOOP, "\n" * (LONGEST_FILE + 1))),
    (has_short_functions, Module(EM_LOOP, "def f():\n" + "    x = 1\n" * (LONGEST_FUNCTION + 1))),
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


def test_functions_are_counted_without_their_docstrings_and_half_of_them_are_short() -> None:
    text = '"""One.\n\n' + 2 * LONGEST_FUNCTION * "Two.\n" + '"""'
    source = f"def f():\n    {text}\n" + "    x = 1\n" * LONGEST_FUNCTION
    assert list(function_lines(Module(EM_LOOP, source))) == [("f", LONGEST_FUNCTION)]
    assert median(n for m in modules() for _, n in function_lines(m)) <= MEDIAN_FUNCTION


def test_a_circle_of_packages_is_found() -> None:
    package = [
        Module("dgmm.config.schema", "from dgmm.report.page import write_report"),
        Module("dgmm.report.page", "from dgmm.checkpoint import RunState"),
        Module("dgmm.checkpoint", "def f():\n    from dgmm.config import Job", is_package=True),
        Module("dgmm.config", "", is_package=True),
    ]
    assert set(circle(package)) == {"dgmm.config", "dgmm.report", "dgmm.checkpoint"}


def test_a_circle_of_modules_inside_a_package_is_found() -> None:
    package = [
        Module("dgmm.data.open_dataset", "from dgmm.data.zarr.node import find_array"),
        Module("dgmm.data.zarr.node", "from dgmm.data.open_dataset import as_dataset"),
    ]
    assert set(circle(package)) == {"dgmm.data.zarr", "dgmm.data.open_dataset"}


def test_nothing_is_imported_in_a_circle() -> None:
    assert not circle(modules())


def test_every_package_in_the_layers_exists() -> None:
    empty = set(HEIGHT) - {module.package for module in modules()}
    assert not empty, f"listed, but not there: {sorted(empty)}"


def test_the_picture_of_the_layers_is_that_of_the_imports() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture(), "stale: run `python docs/layers.py`"
    assert "scoring" in uses()["model"]
    detour = {"job": {"data", "model"}, "model": {"data"}, "data": set()}
    assert without_detours(detour) == {"job": {"model"}, "model": {"data"}, "data": set()}


def test_the_documents_list_the_layers_in_their_order() -> None:
    page = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert listed == [
        name
        for line in reversed(LAYERS)
        for name in line
        if name.isidentifier() and name != "__main__"
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("reduction.tree", "job.lock", "runtime.row_cache", "mixture.backends.fused_products"),
        *("storage.retry", "storage.folders", "data.zarr.bounded_codecs"),
    ],
)
def test_where_own_code_stays_its_first_lines_say_why_no_library_serves(name: str) -> None:
    (module,) = (module for module in modules() if module.name == f"dgmm.{name}")
    said = ast.get_docstring(module.tree) or ""
    assert re.search(r"^No library('s \w+)? serves: \w.{40,}", said, re.MULTILINE)


def test_the_search_for_modules_finds_them() -> None:
    names = {module.name for module in modules()}
    assert {"dgmm", "dgmm.errors", "dgmm.data", "dgmm.data.zarr.dataset"} <= names


@pytest.mark.parametrize("job", sorted((PROJECT / "jobs").glob("*.py")), ids=lambda job: job.name)
def test_jobs_guard_main_because_worker_processes_import_them(job: Path) -> None:
    source = job.read_text(encoding="utf-8")
    is_shared_part = "def main(" not in source  # which other jobs import
    assert is_shared_part or "\nif __name__ == " in source
