"""The page of networks says what the registry has."""

from pathlib import Path

import keras
import pytest

from iris_tf.networks.registry import NETWORKS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "networks.md"
SIDE = 160


def row(name: str) -> str:
    """The row of a network in the page's table."""
    spec = NETWORKS[name]
    base = spec.build(keras.Input((SIDE, SIDE, 3)), None)
    channels = (base.get_layer(layer).output.shape[-1] for layer in spec.features.values())
    strides = (name.removeprefix("stride") for name in spec.features)
    maps = ", ".join(f"{s} ({c})" for s, c in zip(strides, channels, strict=True))
    parameters = f"{base.count_params():,}"
    published = "yes" if spec.pretrained_input else "no"
    return (
        f"| `{name}` | {parameters} | {base.output_shape[-1]} | {maps} | "
        f"{spec.minimum_side} | {published} |"
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_the_page_has_the_network(name):
    page = PAGE.read_text("utf-8")
    assert row(name) in page.splitlines()
    section = page.split(f"### {name}\n")[1].split("###")[0]
    assert all(f"- {layer}\n" in section for layer in NETWORKS[name].attention)
