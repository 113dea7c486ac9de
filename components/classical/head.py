"""Head of a classical classifier: a projection, then a support vector machine or a decision tree, then a probability.

scikit-learn fits it (`fitting.py`). Its parameters are plain arrays, readable whatever version is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class SupportVectors:
    """A support vector machine with a Gaussian kernel: `vectors` (V, D), `weights` (V,)."""

    vectors: Values
    weights: Values
    intercept: Values  # ()
    gamma: Values  # ()

    def scores(self, projected: Values) -> Values:
        """The decision function, (N,): 0 on the border, above it on the positive side."""
        squared = (projected**2).sum(1)[:, None] - 2 * projected @ self.vectors.T + (self.vectors**2).sum(1)
        return np.asarray(np.exp(-self.gamma * squared) @ self.weights + self.intercept)


@dataclass(frozen=True)
class Tree:
    """A decision tree: node n asks whether `feature[n]` is at most `border[n]`; a leaf is its own child."""

    feature: NDArray[np.int64]
    border: Values
    below: NDArray[np.int64]  # the next node if it is
    above: NDArray[np.int64]  # the next node if it is not
    share: Values  # of positives among the training images at the node

    def scores(self, projected: Values) -> Values:
        """The share of positives in the leaf, (N,)."""
        node = np.zeros(len(projected), np.int64)
        values = projected.astype(np.float32)  # as scikit-learn's trees compare
        while True:
            low = values[np.arange(len(node)), self.feature[node]] <= self.border[node]
            child = np.where(low, self.below[node], self.above[node])
            if np.array_equal(child, node):
                return self.share[node]
            node = child


@dataclass(frozen=True)
class Head:
    """`decision` scores `(features[selected] - centre) @ projection`; `slope` and `offset` turn the score into a
    probability (Platt 1999)."""

    selected: NDArray[np.int64]
    centre: Values
    projection: Values
    slope: Values  # ()
    offset: Values  # ()
    decision: SupportVectors | Tree

    def probabilities(self, features: Values) -> Values:
        """Probabilities of the positive class, (N,), for `features` (N, features)."""
        scores = self.decision.scores((features[:, self.selected] - self.centre) @ self.projection)
        return np.asarray(1 / (1 + np.exp(self.slope * scores + self.offset)))

    def tensors(self) -> dict[str, NDArray[Any]]:
        fields = {name: value for name, value in vars(self).items() if name != "decision"}
        return fields | {f"decision.{name}": value for name, value in vars(self.decision).items()}


def head_from(tensors: dict[str, NDArray[Any]]) -> Head:
    """The head whose `Head.tensors` these are. Raises `KeyError` or `TypeError` where they are no head's."""
    fields = {name: value for name, value in tensors.items() if not name.startswith("decision.")}
    decision = {name.removeprefix("decision."): value for name, value in tensors.items() if name not in fields}
    return Head(**fields, decision=SupportVectors(**decision) if "vectors" in decision else Tree(**decision))
