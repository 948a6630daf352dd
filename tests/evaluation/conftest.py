import numpy as np
import pytest

from iris_tf.datasets.manifest import ManifestRow


def make_rows(identities):
    """Rows from (subject, eye) of each image."""
    return [
        ManifestRow(f"{i}.png", "set", subject, eye, f"{subject}-{eye}", str(i))
        for i, (subject, eye) in enumerate(identities)
    ]


@pytest.fixture
def rows_of():
    return make_rows


@pytest.fixture
def population():
    """Maker of noisy embeddings: persons, images an eye, noise, seed -> (embeddings, rows)."""
    def make(persons, images, noise=1.2, size=16, seed=0):
        rng = np.random.default_rng(seed)
        vectors, identities = [], []
        for person in range(persons):
            for eye in "LR":
                centre = rng.normal(size=size)
                for _ in range(images):
                    vector = centre + noise * rng.normal(size=size)
                    vectors.append(vector / np.linalg.norm(vector))
                    identities.append((f"p{person}", eye))
        order = rng.permutation(len(vectors))
        return (np.array(vectors, np.float32)[order], make_rows([identities[i] for i in order]))

    return make
