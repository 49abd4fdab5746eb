"""Random job files: trees drawn from the schema, text that is broken, and overrides.

A tree begins as a valid job and then suffers a few faults, so that both ends are drawn often. Every
relative path below is one of a `Sandbox`, and nothing that is drawn names a place outside it.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from hypothesis import strategies as st

from dgmm.config import json_schema

#: What a sandbox holds: rows, a group, a model, and things that are none of these.
ROWS = ("rows.zarr", "./rows.zarr", "group.zarr/rows")
MODELS = ("model", "finished")
OTHER_INPUTS = ("group.zarr", "file.txt", "empty", "absent.zarr", "loop", "job.yaml")
OUTPUTS = ("run", "runs/a b", "./läufe/Δ", "run/../run2", "finished", "full", ".", "file.txt/run")

Path: TypeAlias = tuple[str, ...]
Tree: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Bare:
    """YAML text that stands as it is: `012`, `*a`, `!!int 3`."""

    text: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """A mapping in which a key may stand twice."""

    items: tuple[tuple[Any, Tree], ...]

    def without(self, key: str) -> Pairs:
        return Pairs(tuple(item for item in self.items if item[0] != key))

    def with_item(self, key: Any, value: Tree) -> Pairs:
        return Pairs((*self.items, (key, value)))

    def get(self, key: str) -> Tree:
        return next((value for name, value in self.items if name == key), None)


@dataclass(frozen=True, slots=True)
class JobFile:
    """A job file's bytes, the overrides beside it, and where it would write (None: not known)."""

    content: bytes
    overrides: tuple[str, ...] = ()
    output: str | None = None


_SCHEMA = json_schema()


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        found: dict[str, Any] = _SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema


def _leaves() -> dict[Path, dict[str, Any]]:
    """The schema of every key that holds a value."""
    found: dict[Path, dict[str, Any]] = {}
    for name, schema in _SCHEMA["properties"].items():
        section = _resolved(schema)
        if "properties" not in section:
            found[name,] = section
        for key, below in section.get("properties", {}).items():
            found[name, key] = _resolved(below)
    return found


LEAVES = _leaves()
SECTIONS = tuple(dict.fromkeys(path[0] for path in LEAVES if len(path) == 2))

_PATHS: dict[Path, tuple[str, ...]] = {
    ("data", "path"): ROWS,
    ("output", "path"): OUTPUTS[:5],
    ("model", "path"): MODELS,
    ("initialisation", "model"): MODELS,
    ("cluster", "scheduler_file"): ("absent.json", "file.txt"),
    ("cluster", "address"): ("tcp://127.0.0.1:1", "127.0.0.1:1", "tcp://[::1]:1"),
    ("data", "array"): ("rows", "rows2", "", "../rows.zarr", "a/b"),
}
_WORDS = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)


def valid(path: Path) -> st.SearchStrategy[Tree]:
    """Values that the schema takes at a key."""
    if path in _PATHS:
        return st.sampled_from(_PATHS[path])
    return _of_schema(LEAVES[path])


def _of_schema(  # noqa: PLR0911 - one branch for each kind of schema
    schema: dict[str, Any],
) -> st.SearchStrategy[Tree]:
    schema = _resolved(schema)
    if "anyOf" in schema:
        return st.one_of([_of_schema(branch) for branch in schema["anyOf"]])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type", "null")  # of any type
    if kind == "array":
        return st.lists(_of_schema(schema.get("items", {"type": "string"})), max_size=3)
    if kind == "object":
        return st.just(Pairs(()))
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if kind == "integer":
        large = st.integers(low, 10**30 if high is None else high)
        return st.integers(low, min(low + 5, high or low + 5)) | large
    if kind == "number":
        return st.floats(low, high, exclude_min=True, exclude_max=high is not None).filter(
            lambda x: x != float("inf")
        )
    if kind == "string":
        return st.sampled_from(["4GiB", "500 MB", "1B", "0.5 TiB", "9" * 390 + "TiB", "auto"])
    return {"boolean": st.booleans(), "null": st.none()}[kind]


def near_valid(path: Path) -> st.SearchStrategy[Tree]:
    """Values a step beyond what the schema takes: bounds, other types, other case."""
    schema = LEAVES[path]
    branches = schema.get("anyOf", [schema])
    bounds = [
        branch[name] + step
        for branch in branches
        for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        if name in branch
        for step in (-1, 0, 1)
    ]
    words = [w for b in branches for w in [*b.get("enum", []), *filter(None, [b.get("const")])]]
    words = [str(w) for w in words]
    near = [f(w) for w in words for f in (str.upper, lambda w: w[:-1], lambda w: f"{w} ", repr)]
    texts = [str(b) for b in bounds] + near + ["8", "true", "null", "auto", ""]
    wrong: list[Tree] = [True, False, None, 0, 1, 8.0, 8.5, -1, [], [1, 2], Pairs(())]
    return st.sampled_from([*bounds, *map(float, bounds), *texts, *wrong])


_CHARACTERS = st.characters(codec=None, exclude_characters="/")
_TEXT = st.text(_CHARACTERS, max_size=20).filter(lambda text: ".." not in text)
_ODD_TEXT = st.sampled_from(
    [
        "x" * 300, "x" * 100_000, "é" * 200, "a\0b", "\x1b[31mred\x1b[0m", "\u202egnp.exe",
        "\ud800",
        "\udcff", "a\nb", "\r", "\t", " ", "~", "~root/x", "~/x", "-", "--help", "con", "a\\b",
        "s3://bucket/x", "file:///x", "simplecache::s3://b/x", "http://u:hunter2@h/x?token=hunter2",
        "gs:/x", "memory://", "zip::file.zip", "tls://127.0.0.1:8786", "tcp://10.0.0.1:99999",
        "inproc://127.0.0.1/1/1", "ucx://h:1", "${UNSET}", "${", "$${HOME}", "${1}", "${PATH",
        "loop/x", "full/deep", "rows.zarr/run", "model/x", "file.txt", "job.yaml/x", "." * 5, "…",
    ]
)  # fmt: skip
_NUMBERS = st.sampled_from(
    [
        10**k * sign for k in (3, 6, 9, 18, 19, 30, 100, 308, 309, 399) for sign in (1, -1)
    ] + [2**31, 2**32, 2**63 - 1, 2**63, 2**64, 0, -1, 1e308, -1e308, 5e-324, 1e-300, -0.0]
) | st.floats(allow_nan=True, allow_infinity=True)  # fmt: skip
_BARE = st.sampled_from(
    [
        "012", "-07", "0x1F", "0o17", "0b1", "1_000", "1,000", "yes", "No", "on", "~", "NULL",
        "1e-6",
        "1E400", "-1e400", "+.inf", "-.INF", ".nan", ".NaN", ".5", "5.", "+1", "--1", "1:30", "=",
        "2024-01-01", "<<", "*a", "*run", "&a 1", "&a", "!!int 3", "!!python/object:os.system x",
        "!!python/name:os.system", "!!binary aGk=", "!!float 1", "!t", "! x", "'x", '"x', "'x'",
        "|",
        "> x", "[1", "{a: 1", "]", "}", "? x", "- x", "- - x", ": x", "@x", "`x", "%x", "#x", "\tx",
        '"\\x1b"', '"\\ud800"', '"\\U00110000"', '"\\q"', '"\\0"', "9" * 401, "9" * 5000,
        "1." + "0" * 500,
        "[" * 60 + "]" * 60, "{a: " * 60 + "1" + "}" * 60, "[" + "1," * 12_000 + "]", "&a [*a]",
        "[&b [x, x, x], *b, *b, *b]", "!!set {a, b}", "!!omap [a: 1]", "{? a : b}", "{<<: {a: 1}}",
    ]
)  # fmt: skip


def absurd() -> st.SearchStrategy[Tree]:
    """Values that no key was made for."""
    simple = st.one_of(
        _NUMBERS,
        _ODD_TEXT,
        _TEXT,
        _BARE.map(Bare),
        st.booleans(),
        st.none(),
        st.integers(),
    )
    lists = st.lists(simple, max_size=3)
    mappings = st.lists(st.tuples(_WORDS, simple), max_size=3).map(lambda p: Pairs(tuple(p)))
    return simple | lists | mappings


#: Keys that are none: misspelt, of a later version, for secrets, or odd.
_STRANGE_KEYS = st.sampled_from(
    [
        "pth", "n_component", "Model", "model ", "weights", "variables", "storage_options", "tls",
        "warm_start", "password", "api_key", "access-token", "secret:x", "__class__", "__init__",
        "",
        "<<", "\x1b[31m", "\ud800", "a.b", "model.n_components", "x" * 5000, "é", "\u202e", "null",
    ]
) | _TEXT | _BARE.map(Bare)  # fmt: skip

_REQUIRED: tuple[Path, ...] = (("data", "path"), ("model", "n_components"), ("output", "path"))


@st.composite
def trees(draw: st.DrawFn) -> Pairs:
    """A valid job that has suffered 0 to 3 faults."""
    extra = draw(st.lists(st.sampled_from(sorted(LEAVES)), max_size=6, unique=True))
    predicts = draw(st.integers(0, 9)) == 0
    needed = [("model", "path") if predicts and p[0] == "model" else p for p in _REQUIRED]
    values = {path: draw(valid(path)) for path in dict.fromkeys([*needed, *extra])}
    tree = Pairs(())
    for (section, *below), value in values.items():
        tree = _placed(tree, section, below, value)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 3]))):
        tree = draw(_suffering(tree))
    return tree


def _placed(tree: Pairs, section: str, below: Sequence[str], value: Tree) -> Pairs:
    if not below:
        return tree.without(section).with_item(section, value)
    held = tree.get(section)
    held = held if isinstance(held, Pairs) else Pairs(())
    return tree.without(section).with_item(
        section, held.without(below[0]).with_item(below[0], value)
    )


@st.composite
def _suffering(draw: st.DrawFn, tree: Pairs) -> Pairs:  # noqa: PLR0911 - one for each fault
    """The tree with one more fault."""
    fault = draw(st.integers(0, 8))
    path = draw(st.sampled_from(sorted(LEAVES)))
    section = tree.get(path[0])
    if fault <= 2:
        return _placed(tree, path[0], path[1:], draw(near_valid(path)))
    if fault <= 5:
        return _placed(tree, path[0], path[1:], draw(absurd()))
    if fault == 6:  # a key that is not there, or there twice
        twice = draw(st.booleans())
        if isinstance(section, Pairs) and section.items:
            key, value = draw(st.sampled_from(section.items))
            changed = section.with_item(key, value) if twice else section.without(key)
            return tree.without(path[0]).with_item(path[0], changed)
        return tree.with_item(path[0], section) if twice else tree.without(path[0])
    if fault == 7:  # a key too many
        key, value = draw(_STRANGE_KEYS), draw(absurd())
        if isinstance(section, Pairs) and draw(st.booleans()):
            return tree.without(path[0]).with_item(path[0], section.with_item(key, value))
        return tree.with_item(key, value)
    return tree.without(path[0]).with_item(path[0], draw(absurd()))


def written(tree: Tree, *, flow: bool = True, depth: int = 0) -> str:
    """A tree as YAML: in braces, or in blocks of two spaces."""
    if isinstance(tree, Bare):
        return tree.text
    if isinstance(tree, Pairs):
        if flow or not tree.items:
            return "{" + ", ".join(f"{_key(k)}: {written(v)}" for k, v in tree.items) + "}"
        lines = [
            f"{'  ' * depth}{_key(k)}: {written(v, flow=False, depth=depth + 1)}"
            for k, v in tree.items
        ]
        return ("\n" if depth else "") + "\n".join(lines)
    if isinstance(tree, list):
        return "[" + ", ".join(map(written, tree)) + "]"
    return _scalar(tree)


def _key(key: Any) -> str:
    return key.text if isinstance(key, Bare) else _scalar(key)


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return repr(value).replace("inf", ".inf").replace("nan", ".nan")
    if isinstance(value, str):
        is_plain = (
            value.isidentifier() and value.isascii() and value.lower() not in {"null", "true"}
        )
        return value if is_plain else '"' + "".join(map(_escaped, value)) + '"'
    return str(value)


def _escaped(character: str) -> str:
    code = ord(character)
    if character in string.printable[:95] and character not in '"\\':
        return character
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


@st.composite
def tree_files(draw: st.DrawFn) -> JobFile:
    """A job file that is YAML, whatever it says."""
    tree = draw(trees())
    text = written(tree, flow=draw(st.booleans()))
    output = tree.get("output")
    place = output.get("path") if isinstance(output, Pairs) else None
    overrides = draw(st.sampled_from([0, 0, 0, 1, 2]).flatmap(_overrides))
    return JobFile(
        text.encode("utf-8", "surrogatepass"),
        overrides,
        place if isinstance(place, str) and not overrides else None,
    )


def _overrides(n: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.tuples(*[overrides()] * n)


@st.composite
def overrides(draw: st.DrawFn) -> str:
    """One `--set`: mostly of a key that exists."""
    kind = draw(st.integers(0, 9))
    if kind <= 5:
        path = draw(st.sampled_from(sorted(LEAVES)))
        value = draw(st.one_of(valid(path), near_valid(path), absurd()))
        text = f"{'.'.join(path)}={written(value)}"
    elif kind == 6:
        text = f"{draw(st.sampled_from(SECTIONS))}={written(draw(absurd()))}"
    else:
        key = draw(_STRANGE_KEYS)
        name = key.text if isinstance(key, Bare) else key
        joint = draw(st.sampled_from(["", "=", "=1", ":1", ".=1", "..a=1", "=&a [*a]"]))
        text = draw(st.sampled_from(["", "model.", "data.", "."])) + name + joint
    return text.replace("\0", "")  # no word of a command line holds it


_FRAGMENTS = st.sampled_from(
    [
        b"\t", b"\n\t", b"\xef\xbb\xbf", b"\r\n", b"\r", b"\xe9", b"\xff\xfe", b"\xc0\x80", b"\x00",
        b"\x1b[2J", b"\x7f", b"\xc2\x85", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"&a ", b"*a ",
        b"&a\n", b"!!",
        b"!!python/object/apply:os.system [touch hacked] ", b"!!python/module:antigravity ", b"!x ",
        b"---\n", b"\n---\n", b"\n...\n", b"%YAML 1.1\n---\n", b"%TAG ! tag:x,2000:\n---\n", b"? ",
        b"- ",
        b"<<: *a\n", b"<<: {a: 1}\n", b"|\n  ", b">-\n ", b"'", b'"', b"\\", b"{", b"}", b"[",
        b"]", b",", b":",
        b": ", b"#", b" #", b"@", b"`", b"%", b"${", b"${X}", b"${HOME", b"0", b"9" * 450,
        b"[" * 200,
        b"{a: " * 200, b"a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n", b"~",
        b"=",
        b"data: {path: rows.zarr}\n", b"seed: 1\n", b"password: hunter2\n", b"x" * 3000,
        b"\n" * 300,
    ]
)  # fmt: skip


@st.composite
def broken_files(draw: st.DrawFn) -> JobFile:
    """A job file whose bytes were cut, flipped, doubled, or came from elsewhere."""
    tree = draw(trees())
    data = written(tree, flow=draw(st.booleans())).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(1, 4))):
        data = draw(_mutated(data))
    encoding = draw(st.sampled_from([None] * 12 + ["utf-16", "utf-32", "latin-1", "cp037"]))
    if encoding is not None:
        data = data.decode("utf-8", "replace").encode(encoding, "replace")
    return JobFile(data)


@st.composite
def _mutated(draw: st.DrawFn, data: bytes) -> bytes:
    place = draw(st.integers(0, len(data)))
    kind = draw(st.integers(0, 7))
    if kind <= 3:
        return data[:place] + draw(_FRAGMENTS) + data[place:]
    stop = min(place + draw(st.integers(1, 40)), len(data))
    if kind == 4:
        return data[:place] + data[stop:]
    if kind == 5:
        return data[:place]
    if kind == 6:
        return data[:stop] + data[place:]
    flipped = bytes(b ^ (1 << draw(st.integers(0, 7))) for b in data[place : place + 2])
    return data[:place] + flipped + data[place + 2 :]


def job_files() -> st.SearchStrategy[JobFile]:
    """Any of these; most are trees."""
    return st.one_of(tree_files(), tree_files(), broken_files())


#: What keeps a run small, in this process, and in its place, whatever the file asks for.
CAPS = (
    "cluster={kind: threads, n_workers: 1}",
    "model.max_iter=2",
    "model.n_init=1",
    "initialisation.n_sample_starts=0",
    "output.report=false",
)


def capped(job: JobFile) -> JobFile:
    """The same job, made small enough to be run; its place is given where it is not known."""
    place = () if job.output is not None else ("output.path=run",)
    return replace(
        job, overrides=(*job.overrides, *CAPS, *place), output="run" if place else job.output
    )
