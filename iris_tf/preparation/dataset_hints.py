"""What a user should know about a dataset before trusting its figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from iris_tf.config.names import NO_SEGMENTER
from iris_tf.data.layouts import ONE_EYE_PER_FOLDER, LayoutScan
from iris_tf.data.side_hints import side_hints
from iris_tf.preparation.duplicates import label_hints
from iris_tf.preparation.journal import Outcome


def dataset_hints(
    scan: LayoutScan, outcomes: Sequence[Outcome], settings: Mapping[str, Any]
) -> list[str]:
    """Sentences about eyes that may be taken for each other, and about contradictory labels.

    Parameters
    ----------
    scan : LayoutScan
        What was found in the image folder.
    outcomes : sequence of Outcome
        Of all images, before duplicates are marked.
    settings : mapping
        Of the dataset.
    """
    hints = label_hints(outcomes, {row.image: row.identity for row in scan.rows})
    if scan.name == ONE_EYE_PER_FOLDER and settings["segmenter"] != NO_SEGMENTER:
        hints += side_hints(scan.rows)
    return hints
