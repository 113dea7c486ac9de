from __future__ import annotations

import numpy as np
import pytest

from components.classical.head import Head, SupportVectors, Tree, head_from

VECTORS = SupportVectors(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([1.0, -2.0]), np.array(0.5), np.array(2.0))
TREE = Tree(
    np.array([1, 0, 0, 0, 0]),
    np.array([0.5, 2.0, 0.0, 0.0, 0.0]),
    np.array([1, 3, 2, 3, 4]),
    np.array([2, 4, 2, 3, 4]),
    np.array([0.5, 0.3, 0.9, 0.1, 0.6]),
)


def head(decision: SupportVectors | Tree) -> Head:
    selected, centre = np.array([2, 0]), np.array([1.0, 0.0])
    return Head(selected, centre, np.eye(2), np.array(-1.0), np.array(0.25), decision)


def test_support_vectors_weigh_by_distance() -> None:
    scores = VECTORS.scores(np.array([[0.0, 0.0], [1.0, 0.0]]))
    np.testing.assert_allclose(scores, [1 - 2 * np.exp(-2) + 0.5, np.exp(-2) - 2 + 0.5])


def test_a_tree_asks_its_way_to_a_leaf() -> None:
    asked = np.array([[0.0, 0.5], [3.0, 0.5], [0.0, 0.6], [2.0, 0.0]])
    np.testing.assert_array_equal(TREE.scores(asked), [0.1, 0.6, 0.9, 0.1])


@pytest.mark.parametrize("decision", [VECTORS, TREE])
def test_a_head_selects_shifts_and_calibrates(decision: SupportVectors | Tree) -> None:
    features = np.array([[0.3, 99.0, 1.4], [1.0, -5.0, 1.0]])
    scores = decision.scores(np.array([[0.4, 0.3], [0.0, 1.0]]))
    np.testing.assert_allclose(head(decision).probabilities(features), 1 / (1 + np.exp(0.25 - scores)))


@pytest.mark.parametrize("decision", [VECTORS, TREE])
def test_a_head_comes_back_from_its_arrays(decision: SupportVectors | Tree) -> None:
    features = np.random.default_rng(0).normal(size=(7, 3))
    again = head_from(head(decision).tensors())
    np.testing.assert_array_equal(again.probabilities(features), head(decision).probabilities(features))
    with pytest.raises(TypeError):
        head_from({key: value for key, value in head(decision).tensors().items() if key != "slope"})
