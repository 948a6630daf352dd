"""Spreading a trained model's embeddings over their dimensions, inside its head."""

import shutil

import keras
import numpy as np

from iris_tf.datasets.manifest import read_manifest
from iris_tf.datasets.roi_store import load_rois
from iris_tf.files import replace_folder
from iris_tf.networks.embed import embed_rois, load_embedding_model
from iris_tf.run_folder import RunFolder

_LEAST_MOMENT = 1e-4  # of embeddings of unit length: along what hardly varies nothing is learnt


def whitening_matrix(embeddings: np.ndarray, power: float) -> np.ndarray:
    """Second moment of embeddings to the power of `-power`.

    With 0.5 the embeddings' second moment becomes the identity (whitening, here without
    centring); smaller powers go part of the way. Strangers are alike along the few directions
    in which most of the variance lies, so it is there that similarity says least.

    Parameters
    ----------
    embeddings : ndarray of shape (n, D), float
        Of unit length, of many identities.
    power : float
        0..0.5.

    Returns
    -------
    ndarray of shape (D, D), float64
        Symmetric; to be multiplied with embeddings, which then want their length 1 again.
    """
    embeddings = np.asarray(embeddings, np.float64)
    moments, directions = np.linalg.eigh(embeddings.T @ embeddings / len(embeddings))
    return (directions * np.maximum(moments, _LEAST_MOMENT) ** -power) @ directions.T


def whiten_head(model: keras.Model, embeddings: np.ndarray, power: float) -> None:
    """Multiply a model's embeddings by `whitening_matrix`, at no cost: its last layers change.

    Linear layer and batch normalisation keep their names, so that training can start from such
    weights. The moving variance is no longer that of the features: a training step, which
    divides by its batch's own, begins with embeddings scaled otherwise than inference does.

    Parameters
    ----------
    model : keras.Model
        Of `iris_tf.networks.embedding_model.build_embedding_model`; changed in place.
    embeddings : ndarray of shape (n, D), float
        The model's own, of many identities.
    power : float
        0..0.5.
    """
    matrix = whitening_matrix(embeddings, power)
    dense, norm = model.get_layer("head_dense"), model.get_layer("head_batchnorm")
    gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in norm.get_weights())
    (kernel,) = (np.asarray(w, np.float64) for w in dense.get_weights())
    scale = gamma / np.sqrt(variance + norm.epsilon)
    dense.set_weights([kernel * scale @ matrix])
    # The linear layer has done all the scaling; the normalisation adds what is left to add.
    one = np.ones_like(gamma)
    norm.set_weights([one, beta @ matrix, (mean * scale) @ matrix, one - norm.epsilon])


def whiten_run(source: RunFolder, out: RunFolder, power: float) -> None:
    """Write a run folder of a trained model whose head is whitened.

    Parameters
    ----------
    source : RunFolder
        Complete. The second moment is that of one training image of each identity.
    out : RunFolder
        Written whole or not at all: recipe, manifest and best model.
    power : float
        See `whitening_matrix`.
    """
    recipe = source.recipe()
    rows = [row for row in read_manifest(source.manifest) if row.split == "train"]
    rois = load_rois(rows, recipe.dataset, tuple(recipe.network.input_size))
    _, firsts = np.unique([row.identity for row in rows], return_index=True)
    model = load_embedding_model(source.best_model())
    whiten_head(model, embed_rois(model, rois[firsts]), power)
    with replace_folder(out.path) as folder:
        new = RunFolder(folder)
        for name in ("recipe_file", "manifest", "dataset_description"):
            shutil.copy2(getattr(source, name), getattr(new, name))
        new.checkpoints.mkdir()
        model.save(new.best)
