"""What is compared, by name: methods of super-resolution, classifiers, and what stands for one of them."""

from __future__ import annotations

METHODS = ("bicubic", "srcnn", "srresnet", "srgan", "rrdb", "esrgan")
GENERATORS = METHODS[1:]
CLASSIFIER = "classifier"
SPLITS = ("train", "validation", "test")
CLASSICAL = ("classical_svm", "classical_tree", "classical_deep", "classical_kmeans")
GENERATIVE, WITH_EXTRA = "dcgan", "classifier_gan"  # what makes more training images, and who learns from them too
READERS = (CLASSIFIER, WITH_EXTRA, *CLASSICAL)
COMPARED = "classical_svm"  # the reader that denoising is tried on
ORIGINAL, DOWNSAMPLED = "original", "downsampled"
SHOWN = (ORIGINAL, DOWNSAMPLED, *METHODS)  # what the reader is shown of each held-out image
LEADER, CHAMPION = "leader", "champion"  # the best generator of this run; the one in service before it


def training_stage(name: str) -> str:
    """The stage of `dvc.yaml` that trains the model `name`."""
    return f"train_classical@{name}" if name in CLASSICAL else f"train@{name}"
