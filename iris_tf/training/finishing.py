"""What is done to trained models before one is released; nothing is learnt any more."""

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
    """The first model, with the weighted mean of the weights of all (Wortsman et al., 2022).

    Models that were trained on from the same weights, each on something else, are wrong about
    different things, and their mean about less.

    Parameters
    ----------
    models : sequence of keras.Model
        Of one architecture; the first is changed in place.
    shares : sequence of float
        One a model; what counts is their proportion.
    """
    weights = zip(*(model.get_weights() for model in models), strict=True)
    shares = np.asarray(shares, np.float64) / np.sum(shares)
    models[0].set_weights([np.tensordot(shares, np.stack(same), 1) for same in weights])
    return models[0]


def weaken_coarse(model: keras.Model, share: float) -> None:
    """Let a network with `StripNormalization` see a share of the coarse local contrast alone.

    Drawn irises differ more in what is coarse than real ones do, so a network that learnt from
    them trusts it more than it should.

    Parameters
    ----------
    model : keras.Model
        Changed in place: the weights of its first convolution.
    share : float
        0..1.

    Raises
    ------
    ValueError
        When it has no such layer.
    """
    if not isinstance(model.get_layer(NORMALIZATION_LAYER), StripNormalization):
        raise ValueError(f"{model.name} has no local contrast; `coarse` is for models that have.")
    first = next(x for x in backbone_stages(model)[0] if isinstance(x, keras.layers.Conv2D))
    kernel = first.kernel.numpy()
    kernel[:, :, COARSE] *= share
    first.kernel.assign(kernel)


def weaken_unplaced(model: keras.Model, share: float) -> None:
    """Leave an embedding a share of what features say wherever around the ring they are.

    That is the texture's kind, which a population has in common; identity is in where details
    lie. Of depthwise pooling's weights their mean over the angle is what does not ask where:
    the embedding loses its own mean over all turns of the strip, to the network's stride.

    Parameters
    ----------
    model : keras.Model
        Of unrolled strips, changed in place: its pooling weights. Statistics of the batch
        normalisation after it are wrong then, see `estimate_batch_statistics`.
    share : float
        0..1.

    Raises
    ------
    ValueError
        When it pools without weights.
    """
    pool = model.get_layer("head_pool")
    if not pool.weights:
        raise ValueError(f"{model.name} pools without weights; `unplaced` needs some.")
    (kernel,) = pool.get_weights()
    pool.set_weights([kernel - (1.0 - share) * kernel.mean(axis=1, keepdims=True)])


def estimate_batch_statistics(model: keras.Model, rois: np.ndarray) -> None:
    """Take the statistics of batch normalisation anew, from crops as they are.

    Those of training are of crops that were changed and half hidden, and of weights as they
    were some batches before. Mean over all batches, as by Wu and Johnson (2021).

    Parameters
    ----------
    model : keras.Model
        Changed in place.
    rois : ndarray of shape (n, H, W), uint8
        At least one, and in no order: batches are cut from them as they come.
    """
    layers = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    before = [(layer.momentum, layer.trainable) for layer in layers]
    for layer in layers:
        layer.trainable = True  # one that was frozen at the best epoch would take none
    # All batches of one size, so that they count alike.
    batch = min(_BATCH, len(rois))
    for number in range(len(rois) // batch):
        for layer in layers:
            layer.momentum = number / (number + 1)
        crops = rois[number * batch : (number + 1) * batch, :, :, None]
        model(crops.astype(np.float32), training=True)
    for layer, (momentum, trainable) in zip(layers, before, strict=True):
        layer.momentum, layer.trainable = momentum, trainable


def whiten_head(model: keras.Model, rois: np.ndarray, power: float) -> None:
    """Multiply a model's embeddings by `whitening_matrix`, at no cost: its last layers change.

    Linear layer and batch normalisation keep their names and what they mean, so that training
    can start from such weights.

    Parameters
    ----------
    model : keras.Model
        Of `iris_tf.networks.embedding_model.build_embedding_model`; changed in place.
    rois : ndarray of shape (n, H, W), uint8
        Crops of many identities; the second moment is that of their embeddings.
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
    # A training step divides by the batch's own deviation, which gamma must give back.
    variance = (features @ mix).var(axis=0)
    dense.set_weights([kernel @ mix])
    norm.set_weights([np.sqrt(variance + norm.epsilon), beta @ matrix, mean @ mix, variance])


def finish(
    models: Sequence[keras.Model], shares: Sequence[float], rois: np.ndarray, settings: FinishRecipe
) -> keras.Model:
    """All of the above, in this order.

    Parameters
    ----------
    models, shares
        See `average_weights`.
    rois : ndarray of shape (n, H, W), uint8
        One crop of each of many identities.
    settings : FinishRecipe

    Returns
    -------
    keras.Model
        The first of `models`.
    """
    model = average_weights(models, shares)
    if settings.coarse < 1.0:
        weaken_coarse(model, settings.coarse)
    if settings.unplaced < 1.0:
        weaken_unplaced(model, settings.unplaced)
    if settings.statistics:
        estimate_batch_statistics(model, rois)
    if settings.whitening:
        whiten_head(model, rois, settings.whitening)
    return model


def finish_runs(
    runs: dict[str, RunFolder], name: str, out: RunFolder, settings: FinishRecipe
) -> None:
    """Write a run folder of the model that comes out of trained ones.

    Parameters
    ----------
    runs : dict of str to RunFolder
        Complete, by the names that `settings.average` has.
    name : str
        Of the run whose recipe and manifest the folder gets; crops are its dataset's, one
        training image of each identity.
    out : RunFolder
        Written whole or not at all: recipe, manifest and best model.
    settings : FinishRecipe
    """
    source, shares = runs[name], settings.average or {name: 1.0}
    recipe = source.recipe()
    rows = [row for row in read_manifest(source.manifest) if row.split == "train"]
    rois = load_rois(rows, recipe.dataset, recipe.network.crop_size)
    _, firsts = np.unique([row.identity for row in rows], return_index=True)
    firsts = np.random.default_rng(recipe.seed).permutation(firsts)  # sites lie side by side
    models = [load_embedding_model(runs[part].best_model()) for part in shares]
    model = finish(models, list(shares.values()), rois[firsts], settings)
    with replace_folder(out.path) as folder:
        new = RunFolder(folder)
        for file in ("recipe_file", "manifest", "dataset_description"):
            shutil.copy2(getattr(source, file), getattr(new, file))
        new.checkpoints.mkdir()
        model.save(new.best)
