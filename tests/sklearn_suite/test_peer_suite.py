"""scikit-learn's own mixture tests pass with `dgmm.GaussianMixture` in its mixture's place."""

from __future__ import annotations

import edited_tests
import numpy as np
import pytest
from edited_tests import Edit, StaleError

from dgmm import GaussianMixture

# scikit-learn's tests are written for its own configuration, in which warnings are no errors.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(params=[0, 1, 42])
def global_random_seed(request):
    return request.param


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def global_dtype(request):
    return request.param


globals().update(edited_tests.mixture_tests(GaussianMixture))
globals().update(edited_tests.control_tests())


def test_tests_of_scikit_learn_are_run_or_left_out_with_a_reason():
    run = edited_tests.mixture_tests(GaussianMixture)
    assert len(run) >= 40
    assert not set(run) & set(edited_tests.LEFT_OUT)
    assert all(len(reason.split()) > 4 for reason in edited_tests.LEFT_OUT.values())


@pytest.mark.parametrize(
    "edit", [Edit("test_absent", "x = 1", "x = 2"), Edit("test_b", "x = 1", "x = 2")]
)
def test_an_edit_that_finds_nothing_is_an_error(edit):
    text = "def test_a():\n    x = 1\n\n\ndef test_b():\n    y = 1\n"
    with pytest.raises(StaleError, match=r"is not in (this scikit-learn|test_b)"):
        edited_tests.edited(text, [edit])


def test_an_edit_stays_within_its_function():
    text = "def test_a():\n    x = 1\n\n\n@mark\ndef test_b():\n    x = 1\n"
    changed = edited_tests.edited(text, [Edit("test_a", "x = 1", "x = 2")])
    assert changed == text.replace("x = 1", "x = 2", 1)
