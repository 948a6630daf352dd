"""Construction of the student network."""

import keras

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.networks.embedding_model import build_embedding_model


def build_student(recipe: TrainRecipe, channels: int = 1) -> keras.Model:
    """Build the network of a recipe before training, for crops of 1 or 3 channels.

    Initial weights are determined by the recipe's seed.
    """
    network = recipe.network
    rows, columns = network.reduction
    return build_embedding_model(
        network.name,
        input_size=network.crop_size,
        embedding_size=network.embedding_size,
        weights=network.weights,
        attention=list(network.attention),
        pooling=network.pooling,
        batchnorm_momentum=network.batchnorm_momentum,
        seed=recipe.seed,
        normalization=network.normalization,
        reduction=(rows, columns),
        channels=channels,
    )
