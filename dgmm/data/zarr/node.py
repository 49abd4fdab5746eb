"""Finding an array on disk: the folder, its raw metadata, and what to say when it is not there."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dgmm.data.feature_names import safe_text
from dgmm.errors import DataError, DataNotFoundError, UnavailableError
from dgmm.storage.atomic_files import parse_json
from dgmm.storage.regular_files import MOST_METADATA_BYTES, read_regular
from dgmm.storage.retry import is_transient, with_retries
from dgmm.terminal_text import listed, printable

T = TypeVar("T")
_SHOWN = 20
#: Folders looked at when the arrays of a group are listed for a message.
_MOST_FOLDERS = 2000
_LONGEST_SHOWN = 1000
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")


@dataclass(frozen=True, slots=True)
class ArrayNode:
    """One array's folder and metadata as they stand on disk.

    Parameters
    ----------
    folder : str
        Absolute path.
    zarr_format : int
        2 or 3.
    metadata, attributes : mapping
        `.zarray` and `.zattrs`, or `zarr.json` and its `attributes`.
    digest : str
        SHA-256 of the metadata files.
    """

    folder: str
    zarr_format: int
    metadata: Mapping[str, Any]
    attributes: Mapping[str, Any]
    digest: str


def find_array(path: str, array: str | None) -> ArrayNode:
    """The array at `path`, or the array of that name in the group at `path`.

    Raises
    ------
    DataNotFoundError
        If the path is absent, not readable, or not local.
    DataError
        If it is no Zarr array, or its metadata are damaged.
    """
    root = _local_folder(path)
    if array is None:
        node = _node(root)
        if isinstance(node, ArrayNode):
            return node
        _refuse_sparse(node, root)
        raise DataError(f"{root}: {_not_an_array(root, node)}")
    return _array_in_group(root, array)


def node_in(folder: Path) -> ArrayNode | dict[str, Any] | None:
    """The array in a folder, the attributes of the group in it, or None where there is neither.

    Raises
    ------
    DataError
        If its metadata are damaged.
    DataNotFoundError
        If they cannot be read.
    """
    return _node(folder)


def array_beside(node: ArrayNode, name: str) -> ArrayNode | None:
    """The array of that name in the group that holds this one, or in the nearest group above.

    None where none can be read.
    """
    if not name or "/" in name or "\0" in name or name in {".", ".."}:
        return None
    for folder in (Path(node.folder).parent, *_groups_above(node)):
        try:
            beside = _node(folder / name)
        except (DataError, OSError):
            continue
        if isinstance(beside, ArrayNode):
            return beside
    return None


def group_attributes(node: ArrayNode) -> list[dict[str, Any]]:
    """Attributes of the groups that hold an array, the nearest first; those that can be read."""
    groups = (
        _readable_group(folder) for folder in (Path(node.folder).parent, *_groups_above(node))
    )
    return [attributes for attributes in groups if attributes is not None]


def _groups_above(node: ArrayNode) -> Iterator[Path]:
    """Folders of the groups of a store that hold the array's own group, the nearest first."""
    folder = Path(node.folder).parent
    while folder != folder.parent and _readable_group(folder) is not None:
        folder = folder.parent
        if _readable_group(folder) is not None:
            yield folder


def _readable_group(folder: Path) -> dict[str, Any] | None:
    """Attributes of the group in a folder; None where there is none, or it cannot be read."""
    try:
        node = _node(folder)
    except (DataError, OSError):
        return None
    return None if isinstance(node, ArrayNode) else node


def read_local(read: Callable[[], T], what: str) -> T | None:
    """What `read` returns; None where there is nothing, other errors in words.

    Raises
    ------
    DataNotFoundError
        If the operating system refuses.
    UnavailableError
        If storage fails in a way that may pass, for longer than it is waited for.
    """
    try:
        return with_retries(read)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise DataNotFoundError(
            f"{what}: permission denied; it exists but is not yours to read"
        ) from None
    except OSError as error:
        reason = f"{what}: cannot be read: {error.strerror or error}"
        if is_transient(error):
            raise UnavailableError(
                f"{reason}. Run the same command again when the storage is back "
                "(storage.retry_s: how long it is waited for)"
            ) from None
        raise DataNotFoundError(reason) from None


def metadata_digest(folder: Path, zarr_format: int) -> str:
    """SHA-256 of the metadata files as they stand now."""
    names = ("zarr.json",) if zarr_format == 3 else (".zarray", ".zattrs")
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode() + b"\0" + (_metadata_bytes(folder / name, name) or b""))
    return digest.hexdigest()


def url_of(path: str) -> str | None:
    """The URL that a path is; None where it is none.

    pathlib makes one slash of two: `s3:/bucket` is a URL where nothing of that name exists.
    """
    if "://" in path or "::" in path:
        return path
    is_squeezed = _SCHEME.match(path) is not None and not os.path.lexists(path)
    return path.replace(":/", "://", 1) if is_squeezed else None


def _local_folder(path: str) -> Path:
    if (url := url_of(path)) is not None:
        remedy = "Leave out file://" if url.startswith("file://") else "Copy or mount the store"
        raise DataNotFoundError(
            f"{_without_secrets(url)}: URLs are not read; expected the path of a local folder. "
            f"{remedy}"
        )
    root = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - resolve() would follow links
    what = f"data.path {printable(_cut(str(root)))}"
    if read_local(root.stat, what) is None:
        raise DataNotFoundError(f"{what} does not exist")
    if not root.is_dir():
        raise DataError(f"{what} is a file; expected the folder of a Zarr array or group")
    return root


def _cut(path: str) -> str:
    """A path as messages show it: cut where it is too long to be one."""
    return path if len(path) <= _LONGEST_SHOWN else path[:_LONGEST_SHOWN] + "…"


def _without_secrets(url: str) -> str:
    """Scheme and host; user, password and query stay out of messages."""
    scheme, separator, rest = url.partition("://")
    host = rest.split("?")[0].rpartition("@")[2]
    return safe_text(scheme.split("?")[0] + separator + host)


def _metadata_bytes(path: Path, what: str) -> bytes | None:
    """A metadata file's content; None where there is none."""
    return read_local(lambda: read_regular(path, MOST_METADATA_BYTES), what)


def _document(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where the file does not exist."""
    content = _metadata_bytes(path, str(path))
    if content is None:
        return None
    try:
        document = parse_json(content)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is damaged: not valid JSON ({error}). Restore it from the array's source"
        ) from None
    if not isinstance(document, dict):
        raise DataError(f"{path} is damaged: expected a JSON object")
    return document


def _node(folder: Path) -> ArrayNode | dict[str, Any] | None:
    """The array in a folder, the attributes of the group in it, or None where there is neither."""
    document = _document(folder / "zarr.json")
    if document is not None:
        attributes = _object(document.get("attributes"), folder / "zarr.json")
        if document.get("node_type") == "group":
            return attributes
        return ArrayNode(str(folder), 3, document, attributes, metadata_digest(folder, 3))
    document = _document(folder / ".zarray")
    if document is not None:
        attributes = _document(folder / ".zattrs") or {}
        return ArrayNode(str(folder), 2, document, attributes, metadata_digest(folder, 2))
    if (folder / ".zgroup").exists():
        return _document(folder / ".zattrs") or {}
    return None


def _object(value: object, source: Path) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DataError(f"{source} is damaged: attributes are not a JSON object")
    return value


def _array_in_group(root: Path, array: str) -> ArrayNode:
    if isinstance(_node(root), ArrayNode):
        raise DataError(f"{root} is itself an array; remove data.array ({safe_text(array)!r})")
    parts = [part for part in array.split("/") if part]
    if parts and not any(part in {".", ".."} or "\0" in part for part in parts):
        target = root.joinpath(*parts)
        node = _node(target)
        if isinstance(node, ArrayNode):
            return node
        _refuse_sparse(node, target)
    names = list(_array_names(root))
    close = difflib.get_close_matches(array, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise DataError(f"{root} has no array {safe_text(array)!r}.{hint} {_listed(names)}")


def _not_an_array(root: Path, node: dict[str, Any] | None) -> str:
    names = list(_array_names(root))
    if node is None and not names:
        return "no Zarr array: it holds neither zarr.json nor .zarray"
    return (
        f"is a group; name one of its arrays in data.array. {_listed(names)}. Of arrays whose "
        "dimensions have names, data.variables and data.sample_dims make each place a row "
        "(dgmm inspect prints such a job)"
    )


def _listed(names: list[str]) -> str:
    if not names:
        return "It holds no arrays"
    return f"Its arrays: {listed(map(safe_text, names), _SHOWN)}"


def _array_names(root: Path) -> Iterator[str]:
    """Names of the arrays below a folder, breadth first; arrays are not entered."""
    waiting = [root]
    for n_seen, folder in enumerate(waiting):
        if n_seen > _MOST_FOLDERS:
            return
        try:
            if folder != root and isinstance(_node(folder), ArrayNode):
                yield folder.relative_to(root).as_posix()
                continue
            waiting += sorted(
                Path(e.path) for e in os.scandir(folder) if e.is_dir(follow_symlinks=False)
            )
        except (OSError, DataError):
            continue  # the list is a help within a message; what cannot be read is left out of it


def _refuse_sparse(node: object, folder: Path) -> None:
    encoding = node.get("encoding-type") if isinstance(node, dict) else None
    if encoding in {"csr_matrix", "csc_matrix"}:
        raise DataError(
            f"{folder} is an AnnData sparse matrix ({encoding}); expected a dense array. Write a "
            "dense embedding (for instance obsm/X_pca), or X.toarray() in chunks, and name that"
        )
