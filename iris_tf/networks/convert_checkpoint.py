"""Conversion of public checkpoints to ``.keras`` files of this project."""

from pathlib import Path

from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.support.files import atomic_path


def convert_checkpoint(
    network: str,
    checkpoint: str | Path,
    out: str | Path,
    input_size: tuple[int, int],
    embedding_size: int,
    pooling: str,
    channels: int,
) -> None:
    """Write a public checkpoint as an embedding model, for training, teaching or evaluation.

    Parameters
    ----------
    network, input_size, embedding_size, pooling, channels
        See `iris_tf.networks.embedding_model.build_embedding_model`.
    checkpoint : str or Path
        ``.h5`` or ``.npz`` file, see `iris_tf.networks.public_checkpoints`.
    out : str or Path
        ``.keras`` file to write.

    Raises
    ------
    ModelError
        If the checkpoint cannot be read, or is of another network.
    """
    model = build_embedding_model(
        network,
        input_size,
        embedding_size,
        str(checkpoint),
        pooling=pooling,
        channels=channels,
    )
    with atomic_path(Path(out)) as temporary:
        model.save(temporary)
