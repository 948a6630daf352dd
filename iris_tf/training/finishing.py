"""Finishing of trained models before release, without further training."""

import shutil
from collections.abc import Sequence

import keras
import numpy as np

from iris_tf.config.release_recipe import FinishRecipe
from iris_tf.data.crop_store import load_rois
from iris_tf.data.manifest import read_manifest
from iris_tf.matching.whitening import second_moment, whitening_matrix
from iris_tf.networks.embed_rois import embed_rois, load_embedding_model
from iris_tf.networks.input_normalization import NORMALIZATION_LAYER
from iris_tf.networks.parameter_groups import backbone_stages
from iris_tf.networks.strip_normalization import COARSE, StripNormalization
from iris_tf.support.files import replace_folder
from iris_tf.training.run_folder import RunFolder

_BATCH = 128


def average_weights(models: Sequence[keras.Model], shares: Sequence[float]) -> keras.Model:
    """Average the weights of several models (Wortsman et al., 2022).

    Models that were fine-tuned from the same weights on different data make different errors;
    the averaged model makes fewer.

    Parameters
    ----------
    models : sequence of keras.Model
        All of one architecture; the first is modified in place and returned.
    shares : sequence of float
        Weight of each model; only their proportions matter.
    """
    weights = zip(*(model.get_weights() for model in models), strict=True)
    shares = np.asarray(shares, np.float64) / np.sum(shares)
    models[0].set_weights([np.tensordot(shares, np.stack(same), 1) for same in weights])
    return models[0]


def weaken_low_frequency_input(model: keras.Model, share: float) -> None:
    """Scale down the low-frequency local contrast that a network receives.

    Synthetic irises differ more in low spatial frequencies than real ones do, so a network
    trained on them relies too much on these frequencies.

    Parameters
    ----------
    model : keras.Model
        With a `StripNormalization` layer; the weights of its first convolution are modified in
        place.
    share : float
        Factor, 0..1.

    Raises
    ------
    ValueError
        If the model has no such layer.
    """
    if not isinstance(model.get_layer(NORMALIZATION_LAYER), StripNormalization):
        raise ValueError(f"{model.name} has no local contrast, which `coarse` needs.")
    first = next(x for x in backbone_stages(model)[0] if isinstance(x, keras.layers.Conv2D))
    kernel = first.kernel.numpy()
    kernel[:, :, COARSE] *= share
    first.kernel.assign(kernel)


def weaken_angle_independent(model: keras.Model, share: float) -> None:
    """Scale down the components of an embedding that do not depend on the angle.

    These components encode the kind of texture, which a population shares; identity is in the
    positions of details. In depthwise pooling, they come from the mean of the pooling weights
    over the angle. Removing it removes from the embedding its mean over all rotations of the
    strip, up to the stride of the network.

    Parameters
    ----------
    model : keras.Model
        For unrolled strips; its pooling weights are modified in place. This invalidates the
        moving statistics of the subsequent batch normalisation, see `estimate_batch_statistics`.
    share : float
        Factor, 0..1.

    Raises
    ------
    ValueError
        If the pooling has no weights.
    """
    pool = model.get_layer("head_pool")
    if not pool.weights:
        raise ValueError(f"{model.name} pools without weights, which `unplaced` needs.")
    (kernel,) = pool.get_weights()
    pool.set_weights([kernel - (1.0 - share) * kernel.mean(axis=1, keepdims=True)])


def estimate_batch_statistics(model: keras.Model, rois: np.ndarray) -> None:
    """Recompute the moving statistics of batch normalisation on unaugmented crops.

    The statistics from training are of augmented, partly occluded crops and of weights from
    earlier steps. The new ones are the mean over all batches (Wu and Johnson, 2021).

    Parameters
    ----------
    model : keras.Model
        Modified in place.
    rois : ndarray of shape (n, H, W), uint8
        At least one crop, in random order: batches are consecutive slices.
    """
    layers = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    before = [(layer.momentum, layer.trainable) for layer in layers]
    for layer in layers:
        layer.trainable = True  # a layer frozen at the best epoch would not update its statistics
    # All batches have the same size, so that they have equal weight.
    batch = min(_BATCH, len(rois))
    for number in range(len(rois) // batch):
        for layer in layers:
            layer.momentum = number / (number + 1)
        crops = rois[number * batch : (number + 1) * batch, :, :, None]
        model(crops.astype(np.float32), training=True)
    for layer, (momentum, trainable) in zip(layers, before, strict=True):
        layer.momentum, layer.trainable = momentum, trainable


def whiten_head(model: keras.Model, rois: np.ndarray, power: float) -> None:
    """Fold `whitening_matrix` into the last layers of a model, at no cost in inference.

    Linear layer and batch normalisation keep their names and semantics, so that training can
    start from the resulting weights.

    Parameters
    ----------
    model : keras.Model
        From `iris_tf.networks.embedding_model.build_embedding_model`; modified in place.
    rois : ndarray of shape (n, H, W), uint8
        Crops of many identities, whose embeddings give the second moment.
    power : float
        0..0.5.
    """
    dense, norm = model.get_layer("head_dense"), model.get_layer("head_batchnorm")
    gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in norm.get_weights())
    (kernel,) = (np.asarray(w, np.float64) for w in dense.get_weights())
    features = embed_rois(keras.Model(model.input, dense.output), rois).astype(np.float64)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    embeddings = (features - mean) * scale + beta
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    matrix = whitening_matrix(second_moment(embeddings), power)
    mix = scale[:, None] * matrix
    # In training, batch normalisation divides by the standard deviation of the batch; gamma
    # must compensate for it.
    variance = (features @ mix).var(axis=0)
    dense.set_weights([kernel @ mix])
    norm.set_weights([np.sqrt(variance + norm.epsilon), beta @ matrix, mean @ mix, variance])


def finish(
    models: Sequence[keras.Model], shares: Sequence[float], rois: np.ndarray, settings: FinishRecipe
) -> keras.Model:
    """Apply the finishing steps that `settings` selects, in the order of this module.

    Parameters
    ----------
    models, shares
        See `average_weights`.
    rois : ndarray of shape (n, H, W), uint8
        One crop per identity, of many identities.
    settings : FinishRecipe

    Returns
    -------
    keras.Model
        The first of `models`.
    """
    model = average_weights(models, shares)
    if settings.coarse < 1.0:
        weaken_low_frequency_input(model, settings.coarse)
    if settings.unplaced < 1.0:
        weaken_angle_independent(model, settings.unplaced)
        estimate_batch_statistics(model, rois)
    if settings.whitening:
        whiten_head(model, rois, settings.whitening)
    return model


def finish_runs(
    runs: dict[str, RunFolder], name: str, out: RunFolder, settings: FinishRecipe
) -> None:
    """Write a run folder with the model that results from finishing trained runs.

    Parameters
    ----------
    runs : dict of str to RunFolder
        Complete runs, by the names in `settings.average`.
    name : str
        Run whose recipe and manifest are copied. Crops are from its dataset, one training image
        per identity.
    out : RunFolder
        Written atomically: recipe, manifest and best model.
    settings : FinishRecipe
    """
    source, shares = runs[name], settings.average or {name: 1.0}
    recipe = source.recipe()
    rows = [row for row in read_manifest(source.manifest) if row.split == "train"]
    rois = load_rois(rows, recipe.dataset, recipe.network.crop_size)
    _, firsts = np.unique([row.identity for row in rows], return_index=True)
    firsts = np.random.default_rng(recipe.seed).permutation(firsts)  # identities are sorted by site
    models = [load_embedding_model(runs[averaged].best_model()) for averaged in shares]
    model = finish(models, list(shares.values()), rois[firsts], settings)
    with replace_folder(out.path) as folder:
        new = RunFolder(folder)
        for file in ("recipe_file", "manifest", "dataset_description"):
            shutil.copy2(getattr(source, file), getattr(new, file))
        new.checkpoints.mkdir()
        model.save(new.best)
