"""From features to a probability: a projection, then a support vector machine or a decision tree, as arrays.

scikit-learn fits them (`fitting.py`); what it found is kept as plain arrays, so that weights outlive its versions.
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
        """Signed, 0 on the border, (N,)."""
        squared = (projected**2).sum(1)[:, None] - 2 * projected @ self.vectors.T + (self.vectors**2).sum(1)
        return np.asarray(np.exp(-self.gamma * squared) @ self.weights + self.intercept)


@dataclass(frozen=True)
class Tree:
    """A decision tree: node n asks whether `feature[n]` is at most `border[n]`; a leaf is its own child."""

    feature: NDArray[np.int64]
    border: Values
    below: NDArray[np.int64]  # the next node where it is
    above: NDArray[np.int64]
    share: Values  # of positives among the training images at a node

    def scores(self, projected: Values) -> Values:
        """The share of positives in the leaf, (N,)."""
        node = np.zeros(len(projected), np.int64)
        asked = projected.astype(np.float32)  # as scikit-learn's trees compare
        while True:
            low = asked[np.arange(len(node)), self.feature[node]] <= self.border[node]
            following = np.where(low, self.below[node], self.above[node])
            if np.array_equal(following, node):
                return self.share[node]
            node = following


@dataclass(frozen=True)
class Head:
    """`(features[selected] - centre) @ projection`, decided on, and the score made a probability (Platt 1999)."""

    selected: NDArray[np.int64]
    centre: Values
    projection: Values
    slope: Values  # ()
    offset: Values  # ()
    decision: SupportVectors | Tree

    def probabilities(self, features: Values) -> Values:
        """Of the positive class, (N,); `features` (N, features)."""
        scores = self.decision.scores((features[:, self.selected] - self.centre) @ self.projection)
        return np.asarray(1 / (1 + np.exp(self.slope * scores + self.offset)))

    def tensors(self) -> dict[str, NDArray[Any]]:
        own = {name: value for name, value in vars(self).items() if name != "decision"}
        return own | {f"decision.{name}": value for name, value in vars(self.decision).items()}


def head_from(tensors: dict[str, NDArray[Any]]) -> Head:
    """The head that `Head.tensors` gave. Raises `KeyError` or `TypeError` where it is not one."""
    own = {name: value for name, value in tensors.items() if not name.startswith("decision.")}
    inner = {name.removeprefix("decision."): value for name, value in tensors.items() if name not in own}
    return Head(**own, decision=SupportVectors(**inner) if "vectors" in inner else Tree(**inner))
