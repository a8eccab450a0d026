"""The project's own artifact types, beside those of TFX."""

from tfx.types.artifact import Artifact


class Weights(Artifact):
    """A trained captioning model: see `components.shared.models.weights`."""

    TYPE_NAME = "captions.Weights"


class Features(Artifact):
    """The manifest of the images' features: see `components.shared.features`."""

    TYPE_NAME = "captions.Features"


class Rejects(Artifact):
    """What the ingest did not take, with the reasons, as JSON lines."""

    TYPE_NAME = "captions.Rejects"


class Predictions(Artifact):
    """Captions of the test images in COCO's results format."""

    TYPE_NAME = "captions.Predictions"


class Report(Artifact):
    """A run's report for people: one HTML file."""

    TYPE_NAME = "captions.Report"
