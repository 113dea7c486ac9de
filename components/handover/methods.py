"""The names of what is trained and compared: super-resolution methods, classifiers, and their roles."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trained:
    """The description of a model that a stage of `dvc.yaml` trains."""

    title: str
    stage: str  # its `foreach` lists the model
    description: str = ""  # what it is, and the paper that says so


_GENERATORS = {
    "srcnn": Trained(
        "SRCNN", "train", "three convolutions on the bicubic enlargement (Dong et al. 2016, arXiv:1501.00092)"
    ),
    "srresnet": Trained(
        "SRResNet",
        "train",
        "residual blocks and sub-pixel convolution, trained for least squared error "
        "(Ledig et al. 2017, arXiv:1609.04802)",
    ),
    "srgan": Trained(
        "SRGAN",
        "train_adversarial",
        "SRResNet trained on against a discriminator (Ledig et al. 2017, arXiv:1609.04802)",
    ),
    "rrdb": Trained(
        "RRDB",
        "train",
        "residual in residual dense blocks, for least absolute error (Wang et al. 2018, arXiv:1809.00219)",
    ),
    "esrgan": Trained(
        "ESRGAN",
        "train_adversarial",
        "RRDB trained on against a relativistic discriminator, and interpolated with what it was before "
        "(Wang et al. 2018, arXiv:1809.00219)",
    ),
}
_CLASSIFIERS = {
    "classifier": Trained("DenseNet-201", "train"),
    "classifier_gan": Trained("DenseNet-201, generated images too", "train_with_generated"),
    "classical_svm": Trained("Hand-made features, SVM", "train_classical"),
    "classical_tree": Trained("Hand-made features, tree", "train_classical"),
    "classical_deep": Trained("Deep features, SVM", "train_classical_deep"),
    "classical_kmeans": Trained("k-means centroids, SVM", "train_classical"),
}
GENERATIVE = "dcgan"  # makes more training images
TRAINED = {**_GENERATORS, **_CLASSIFIERS, GENERATIVE: Trained("DCGAN", "train")}

GENERATORS = tuple(_GENERATORS)
METHODS = ("bicubic", *GENERATORS)
CLASSIFIER, WITH_GENERATED = "classifier", "classifier_gan"  # the second learns from generated images too
CLASSIFIERS = tuple(_CLASSIFIERS)
CLASSICAL = tuple(name for name in CLASSIFIERS if name.startswith("classical_"))
COMPARED = "classical_svm"  # the classifier that denoising is tried on
SPLITS = ("train", "validation", "test")
ORIGINAL, DOWNSAMPLED = "original", "downsampled"
SHOWN = (ORIGINAL, DOWNSAMPLED, *METHODS)  # the versions of each held-out image that the classifier reads
LEADER, CHAMPION = "leader", "champion"  # the best generator of this run; the one in service before it


def training_stage(name: str) -> str:
    """The stage of `dvc.yaml` that trains the model `name`; `train`, where `name` is in no table here."""
    stage = TRAINED[name].stage if name in TRAINED else "train"
    return f"{stage}@{name}"
