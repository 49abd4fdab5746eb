"""Features of data are matched with a model's by name."""

from __future__ import annotations

import numpy as np
import pytest

from dgmm.data.array_dataset import ArrayDataset
from dgmm.data.feature_coordinates import coordinate_names
from dgmm.data.selected_features import in_model_order, position_note
from dgmm.errors import DataError
from dgmm.reduction.blocks import BlockRange


def test_features_that_are_too_many_or_lacking_are_named():
    rows = ArrayDataset(np.ones((4, 3)), ["a", "b", "weight"])
    with pytest.raises(DataError, match=r"features, the model has 2: the model has no weight\."):
        in_model_order(rows, ("a", "b"))
    said = r"the model has no weight; the data lack c, d\. Give the model's features alone"
    with pytest.raises(DataError, match=said):
        in_model_order(rows, ("a", "b", "c", "d"))
    with pytest.raises(DataError, match=r"the model has 2\. Those of the model have no names"):
        in_model_order(rows, ("x0", "x1"))


def test_the_models_features_are_taken_out_of_more_where_that_is_asked_for():
    rows = ArrayDataset(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), ["a", "b", "c"])
    taken, note = in_model_order(rows, ("c", "a"), may_have_more=True)
    assert note == "of the data's 3 features the model's 2 are taken, by name"
    (block,) = taken.read_blocks(BlockRange(0, 1))
    assert block.values.tolist() == [[3.0, 1.0], [6.0, 4.0]]
    with pytest.raises(DataError, match="lack the model's features d; they have b, c instead"):
        in_model_order(rows, ("a", "d"), may_have_more=True)
    said = r"the model has 2\. .* the data's are a, b, c\. .* name its columns in data\.columns"
    with pytest.raises(DataError, match=said):  # names that say nothing
        in_model_order(rows, ("x0", "x1"), may_have_more=True)
    unnamed = ArrayDataset(np.ones((2, 3)))
    with pytest.raises(
        DataError, match=r"Those of the data have no names.* the model's are a, d\."
    ):
        in_model_order(unnamed, ("a", "d"), may_have_more=True)
    with pytest.raises(DataError, match=r"Those of the data and the model have no names and are "):
        in_model_order(unnamed, ("x0", "x1"), may_have_more=True)


def test_a_coordinate_without_a_unit_is_the_one_of_its_value():
    rows = ArrayDataset(np.ones((2, 2)), ["t[z=5, lat=-1.5 deg]", "t[z=50, lat=-1.5 deg]"])
    model = ("t[z=50 dbar, lat=-1.5]", "t[z=5 dbar, lat=-1.5]")
    assert in_model_order(rows, model)[0].feature_names == rows.feature_names[::-1]
    other = ("t[z=50, lat=-1.5 rad]", "t[z=5, lat=-1.5 rad]")
    with pytest.raises(DataError, match=r"have t\[z=50, lat=-1.5 deg\] where the model has .* rad"):
        in_model_order(rows, other)


@pytest.mark.parametrize(
    ("own", "model", "taken"),
    [
        (("x1", "x0"), ("x0", "x1"), ("x0", "x1")),
        (("x0", "x1"), ("x1", "x0"), ("x1", "x0")),
        (("x1", "y", "x0"), ("x0", "x1"), ("x0", "x1")),
        (("b", "a"), ("x0", "x1"), ("b", "a")),
        (("x0", "x1"), ("b", "a"), ("x0", "x1")),
    ],
)
def test_columns_that_are_called_x0_and_x1_are_names_where_both_sides_have_them(own, model, taken):
    rows = ArrayDataset(np.array([[1.0, 2.0, 3.0][: len(own)]]), own)
    ordered, note = in_model_order(rows, model, may_have_more=True)
    assert ordered.feature_names == taken
    (block,) = ordered.read_blocks(BlockRange(0, 1))
    assert block.values.tolist() == [[own.index(name) + 1.0 for name in taken]]
    assert note or position_note(own, model)


@pytest.mark.parametrize(
    ("own", "model"),
    [(("y", "x0"), ("x0", "x1")), (("x0", "x1"), ("y", "x0")), (("x1", "x2"), ("x0", "x1"))],
)
def test_names_that_are_positions_in_part_are_refused_with_all_names(own, model):
    rows = ArrayDataset(np.ones((2, 2)), own)
    said = rf"features {own[0]}, {own[1]}, the model {model[0]}, {model[1]}: .* Call the data's"
    with pytest.raises(DataError, match=said):
        in_model_order(rows, model)


@pytest.mark.parametrize(
    ("own", "model", "whose"),
    [(("x0", "x1"), ("a", "b"), "data's"), (("a", "b"), ("x0", "x1"), "model's")],
)
def test_a_warning_tells_of_features_that_are_taken_by_position(own, model, whose):
    rows = ArrayDataset(np.ones((2, 2)), own)
    ordered, note = in_model_order(rows, model)
    assert ordered is rows
    assert note is None
    said = f"features are taken by position: the {whose} have no names"
    assert position_note(own, model) == said
    assert position_note(own, own) is position_note(("a",), ("b",)) is None


@pytest.mark.parametrize(
    ("own", "model"),
    [
        (["a[z=50]", "b"], ("a[z=50 m]", "a[z=50 km]")),
        (["a[z=50 m]", "b"], ("a[z=50 m]", "a[z=50]")),
    ],
)
def test_a_feature_of_the_data_is_one_of_the_model(own, model):
    rows = ArrayDataset(np.ones((2, 2)), own)
    said = rf"feature {own[0]} would be {model[0]} and {model[1]} of the model"
    with pytest.raises(DataError, match=said.replace("[", r"\[").replace("]", r"\]")):
        in_model_order(rows, model)


def test_coordinates_of_float32_and_float64_are_one_and_large_ones_are_not():
    def names(values):
        return coordinate_names("z", np.array(values, np.float64), "m")

    single = np.array([0.1, 16.3, 2.5e-5, 50], np.float32)
    rows = ArrayDataset(np.ones((2, 4)), names(single))
    assert rows.feature_names[0] == "z=0.10000000149011612 m"
    model = tuple(coordinate_names("z", single, "m"))
    assert in_model_order(rows, model)[0] is rows
    assert in_model_order(ArrayDataset(np.ones((2, 4)), model), rows.feature_names)[1] is None
    large = [20200101.0, 1700000000.5, 1e-40]
    other = names([20200102.0, 1700000001.5, 2e-40])
    with pytest.raises(DataError, match=r"lack .* z=1700000000.5 m, z=1e-40 m, z=20200101 m;"):
        in_model_order(ArrayDataset(np.ones((2, 3)), other), tuple(names(large)))
