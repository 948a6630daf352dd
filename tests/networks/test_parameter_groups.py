import itertools
import re

import keras
import pytest

from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.parameter_groups import GROUP_PATTERNS, backbone_stages, parameter_group
from iris_tf.support.errors import ModelError


def test_each_variable_has_its_group(attentive):
    groups = {}
    for variable in attentive.variables:
        groups.setdefault(parameter_group(variable), []).append(variable)
    # conv_1 + 15 blocks + stem, counted by keras.applications: 2,996,352 without top.
    sizes = {
        name: sum(int(v.value.shape.num_elements()) for v in vs) for name, vs in groups.items()
    }
    # Attention: 8 kernels of 7 x 7 x 2. Head: 960 x 128, and 4 x 128 of the normalisation.
    assert sizes == {"backbone": 2_996_352, "attention": 784, "head": 123_392}


def test_depthwise_pooling_belongs_to_the_head():
    model = build_embedding_model("mobilenet_v3_large", (32, 32), pooling="depthwise")
    pool = model.get_layer("head_pool").variables
    assert [parameter_group(variable) for variable in pool] == ["head"]


def test_patterns_fit_exactly_one_group(attentive):
    for variable in attentive.variables:
        fitting = [
            g for g, pattern in GROUP_PATTERNS.items() if re.fullmatch(pattern, variable.path)
        ]
        assert fitting == [parameter_group(variable)]


def in_order(model, stages):
    names = [layer.name for stage in stages for layer in stage]
    backbone = [
        la.name for la in model.layers if la.weights and parameter_group(la.name) == "backbone"
    ]
    assert sorted(names) == sorted(backbone)
    assert len(set(names)) == len(names)
    place = {layer.name: i for i, layer in enumerate(model.layers)}
    for before, after in itertools.pairwise(stages):
        assert max(place[la.name] for la in before) < min(place[la.name] for la in after)


def test_stages_of_mobilenet(attentive):
    stages = backbone_stages(attentive)
    in_order(attentive, stages)
    assert [stage[0].name for stage in stages] == [
        "conv",
        "expanded_conv_depthwise",
        *(f"expanded_conv_{block}_expand" for block in range(1, 15)),
        "conv_1",
    ]


def test_stages_of_resnet(teacher):
    stages = backbone_stages(teacher)
    in_order(teacher, stages)
    # ResNet-50: a stem, then 3, 4, 6 and 3 blocks of three convolutions and one projection.
    convolutions = [sum(isinstance(la, keras.layers.Conv2D) for la in stage) for stage in stages]
    assert convolutions == [1, 10, 13, 19, 10]


def test_another_model_has_no_stages():
    roi = keras.Input((8, 8, 1))
    with pytest.raises(ModelError, match="no network 'mine'"):
        backbone_stages(keras.Model(roi, keras.layers.Flatten()(roi), name="mine"))
