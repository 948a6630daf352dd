import keras
import pytest

from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.registry import NETWORKS


@pytest.fixture(scope="session")
def student():
    """MobileNetV3-Large without attention, 64x64. Not to be changed."""
    return build_embedding_model("mobilenet_v3_large", (64, 64), seed=1)


@pytest.fixture(scope="session")
def attentive():
    """MobileNetV3-Large of the same seed with attention in all its usual places."""
    places = NETWORKS["mobilenet_v3_large"].attention
    return build_embedding_model("mobilenet_v3_large", (64, 64), attention=places, seed=1)


@pytest.fixture(scope="session")
def teacher():
    """ResNet-50, 32x32. Not to be changed."""
    return build_embedding_model("resnet50", (32, 32))


@pytest.fixture
def mixed_float16():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(policy)
