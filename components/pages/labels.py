"""What pages call methods, opponents, classifiers and ways to denoise, and who described them."""

from __future__ import annotations

from collections.abc import Iterable

from components.handover import CLASSIFIER
from components.handover.methods import CHAMPION, LEADER, WITH_EXTRA

NAMES = {
    "bicubic": "Bicubic",
    "srcnn": "SRCNN",
    "srresnet": "SRResNet",
    "srgan": "SRGAN",
    "rrdb": "RRDB",
    "esrgan": "ESRGAN",
}
OPPONENTS = {"bicubic": "bicubic", LEADER: "the best network of this run", CHAMPION: "the champion in service"}
READER_NAMES = {
    CLASSIFIER: "DenseNet-201",
    WITH_EXTRA: "DenseNet-201, made images too",
    "classical_svm": "Hand-made features, SVM",
    "classical_tree": "Hand-made features, tree",
    "classical_deep": "Deep features, SVM",
    "classical_kmeans": "k-means centroids, SVM",
}
DENOISERS = {"none": "none", "nlm": "Non-local means", "wavelet": "Wavelet", "bm3d": "BM3D"}
PAPERS = {
    "srcnn": "three convolutions on the bicubic enlargement (Dong et al. 2016, arXiv:1501.00092)",
    "srresnet": "residual blocks and sub-pixel convolution, trained for least squared error "
    "(Ledig et al. 2017, arXiv:1609.04802)",
    "srgan": "SRResNet trained on against a discriminator (Ledig et al. 2017, arXiv:1609.04802)",
    "rrdb": "residual in residual dense blocks, for least absolute error (Wang et al. 2018, arXiv:1809.00219)",
    "esrgan": "RRDB trained on against a relativistic discriminator, and interpolated with what it was before "
    "(Wang et al. 2018, arXiv:1809.00219)",
}


def named(methods: Iterable[str]) -> dict[str, str]:
    """Methods as people write them; other programs' keep the name they were given."""
    return {method: NAMES.get(method, "Champion before" if method == CHAMPION else method) for method in methods}
