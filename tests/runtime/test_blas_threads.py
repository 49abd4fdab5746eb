from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from dgmm.runtime import blas_threads
from dgmm.runtime.blas_threads import blas_report, single_blas_thread

pytestmark = pytest.mark.timeout(60)


def in_a_process_with_two_blas_threads(program: str) -> None:
    """The limit belongs to a process, and other tests hold it in this one."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    header = (
        "from dgmm.runtime.blas_threads import blas_report, single_blas_thread\n"
        "def threads(): return {library['num_threads'] for library in blas_report()}\n"
        "before = threads()\n"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", header + program],
        check=True,
        env=environment,
        timeout=50,
    )


def test_blas_has_one_thread_until_the_last_holder_lets_go() -> None:
    in_a_process_with_two_blas_threads(
        "outer, inner = single_blas_thread(), single_blas_thread()\n"
        "assert threads() == {1}\n"
        "outer.restore(); outer.restore()\n"
        "assert threads() == {1}\n"
        "inner.restore()\n"
        "assert threads() == before\n"
    )


def test_many_threads_may_hold_the_limit_and_the_process_gets_its_own_back() -> None:
    in_a_process_with_two_blas_threads(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def hold(_):\n"
        "    with single_blas_thread(): return threads()\n"
        "with ThreadPoolExecutor(8) as pool: limits = list(pool.map(hold, range(40)))\n"
        "assert all(found == {1} for found in limits), limits\n"
        "assert threads() == before\n"
    )


def test_a_limit_set_in_another_thread_than_the_first_works_too() -> None:
    in_a_process_with_two_blas_threads(
        "import threading\n"
        "with single_blas_thread(): pass\n"
        "limits = []\n"
        "thread = threading.Thread(target=lambda: limits.append(single_blas_thread()))\n"
        "thread.start(); thread.join()\n"
        "assert threads() == {1}\n"
        "limits.pop().restore()\n"
        "assert threads() == before\n"
    )


def test_the_report_names_numpys_library_without_a_path() -> None:
    with single_blas_thread():
        report = blas_report()
    assert all(library["num_threads"] == 1 for library in report)
    assert all(os.sep not in str(value) for library in report for value in library.values())
    assert any(library["package"] != "scipy" for library in report)


def test_libraries_are_looked_for_again_only_once_modules_are_imported(monkeypatch):
    with single_blas_thread():
        before, looked = blas_report(), []
    found = blas_threads.ThreadpoolController

    def counted() -> Any:
        looked.append(len(looked))
        return found()

    monkeypatch.setattr(blas_threads, "ThreadpoolController", counted)
    blas_threads._blas_libraries_of.cache_clear()
    with single_blas_thread():
        assert [library["file"] for library in blas_report()] == [b["file"] for b in before]
    assert len(looked) == 1
    monkeypatch.setitem(sys.modules, "a_module_that_brings_a_blas", sys)
    with single_blas_thread():
        blas_report()
    assert len(looked) == 2
