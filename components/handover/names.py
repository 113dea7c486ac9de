"""The name of each file that several modules write or read."""

from __future__ import annotations

INDEX = "index.csv"  # of a folder of images: one row an image
IMAGES = "images.npy"  # of the labelled images, one below the other, in the order of their index
WEIGHTS, CONFIG = "weights.safetensors", "config.json"  # of a model: what it learned, and what rebuilds it
TRAINED_ON = "trained_on"  # in a model's configuration: ids of the images that it, or its start, was trained on
HISTORY, RECORD = "history.csv", "run.json"  # of a training: its curves, and where MLflow keeps it
CHAMPION_RECORD = "champion.json"  # which version served, beside its weights; and in the reports, what came of it
PICTURES = "pictures.json"  # of a folder of pictures: what each shows
REVIEWED = "reviewed_regions.csv"  # what a person found burned into an image
DATABASE = "mlflow.db"
PARAMS, GRAPH, LOCK, REQUIREMENTS = "params.yaml", "dvc.yaml", "dvc.lock", "requirements.lock"
