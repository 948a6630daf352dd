"""Checkpoints in the public formats, made here, give what their own networks compute."""

import logging
import pickle

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from iris_tf.networks.convert_checkpoint import convert_checkpoint
from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.support.errors import ModelError

RNG = np.random.default_rng(0)


# -- PyTorch's networks, with state dictionaries and forward passes written after their sources ----


class Torch:
    """Random state dictionary that grows as its forward pass asks for arrays, (N, H, W, C)."""

    def __init__(self):
        self.state = {}

    def array(self, name, *shape, low=-1.0, high=1.0):
        if name not in self.state:
            self.state[name] = RNG.uniform(low, high, shape).astype(np.float32)
        return self.state[name]

    def conv(self, x, name, filters, kernel, stride=1, pad=0, groups=1):
        inputs = x.shape[-1]
        scale = (3 / (kernel * kernel * inputs / groups)) ** 0.5
        w = self.array(
            f"{name}.weight", filters, inputs // groups, kernel, kernel, low=-scale, high=scale
        )
        x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        if groups > 1:
            return tf.nn.depthwise_conv2d(
                x, w.transpose(2, 3, 0, 1), [1, stride, stride, 1], "VALID"
            )
        return tf.nn.conv2d(x, w.transpose(2, 3, 1, 0), stride, "VALID")

    def bn(self, x, name, epsilon=1e-5):
        c = x.shape[-1]
        gamma, beta = self.array(f"{name}.weight", c, low=0.5), self.array(f"{name}.bias", c)
        mean = self.array(f"{name}.running_mean", c)
        # Small variances, where the epsilon counts.
        variance = self.array(f"{name}.running_var", c, low=0.001)
        self.array(f"{name}.num_batches_tracked")
        return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta

    def prelu(self, x, name):
        slopes = self.array(f"{name}.weight", x.shape[-1], low=0.0)
        return tf.where(x > 0, x, slopes * x)

    def block(self, x, name, filters, kernel, linear=False, **settings):
        x = self.bn(self.conv(x, f"{name}.conv", filters, kernel, **settings), f"{name}.bn")
        return x if linear else self.prelu(x, f"{name}.prelu")

    def depth_wise(self, x, name, filters, groups, stride=1, residual=False):
        y = self.block(x, f"{name}.conv", groups, 1)
        y = self.block(y, f"{name}.conv_dw", groups, 3, stride=stride, pad=1, groups=groups)
        y = self.block(y, f"{name}.project", filters, 1, linear=True)
        return x + y if residual else y

    def linear(self, x, name, size):
        scale = (3 / x.shape[-1]) ** 0.5
        return x @ self.array(f"{name}.weight", size, x.shape[-1], low=-scale, high=scale).T


def mobilefacenet(net, x, size):
    """MobileFaceNet of InsightFace_Pytorch."""
    x = x / 127.5 - 1
    x = net.block(x, "conv1", 64, 3, stride=2, pad=1)
    x = net.block(x, "conv2_dw", 64, 3, pad=1, groups=64)
    x = net.depth_wise(x, "conv_23", 64, 128, stride=2)
    for i in range(4):
        x = net.depth_wise(x, f"conv_3.model.{i}", 64, 128, residual=True)
    x = net.depth_wise(x, "conv_34", 128, 256, stride=2)
    for i in range(6):
        x = net.depth_wise(x, f"conv_4.model.{i}", 128, 256, residual=True)
    x = net.depth_wise(x, "conv_45", 128, 512, stride=2)
    for i in range(2):
        x = net.depth_wise(x, f"conv_5.model.{i}", 128, 256, residual=True)
    x = net.block(x, "conv_6_sep", 512, 1)
    x = net.block(x, "conv_6_dw", 512, x.shape[1], linear=True, groups=512)
    x = net.bn(net.linear(x[:, 0, 0], "linear", size), "bn")
    return tf.math.l2_normalize(x, axis=1)


def resnet18(net, x, size):
    """ResNet-18 of torchvision, to the pooled features; it has no embedding."""
    x = (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x = tf.nn.relu(net.bn(net.conv(tf.cast(x, tf.float32), "conv1", 64, 7, 2, 3), "bn1"))
    x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
    for stage, filters in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = net.bn(net.conv(x, f"{name}.conv1", filters, 3, stride, 1), f"{name}.bn1")
            y = net.bn(net.conv(tf.nn.relu(y), f"{name}.conv2", filters, 3, 1, 1), f"{name}.bn2")
            if stride == 2:
                x = net.conv(x, f"{name}.downsample.0", filters, 1, stride)
                x = net.bn(x, f"{name}.downsample.1")
            x = tf.nn.relu(x + y)
    return tf.reduce_mean(x, axis=(1, 2))


def faces(side, channels=3):
    return RNG.integers(0, 256, (2, side, side, channels)).astype(np.float32)


def test_mobilefacenet_of_insightface(tmp_path):
    net, x = Torch(), faces(48)
    # Zero padding of -1..1 is mid-grey: the border is grey, so that the padding is the same in
    # our normalisation, of which it is a known, small error.
    x[:, [0, 1, -1, -2]] = x[:, :, [0, 1, -1, -2]] = 127.5
    expected = mobilefacenet(net, tf.constant(x), 16)
    np.savez(tmp_path / "face.npz", **net.state)
    convert_checkpoint(
        "mobilefacenet", tmp_path / "face.npz", tmp_path / "face.keras", (48, 48), 16, "gdconv", 3
    )
    found = load_embedding_model(tmp_path / "face.keras")(x)
    assert np.sum(found * expected, axis=1).min() > 0.99
    model = load_embedding_model(tmp_path / "face.keras")
    kernel = net.state["conv_34.conv_dw.conv.weight"]
    found = model.get_layer("conv_34_conv_dw_conv").get_weights()[0]
    np.testing.assert_array_equal(found[..., 0], kernel[:, 0].transpose(1, 2, 0))
    slopes = model.get_layer("conv_6_sep_prelu").get_weights()[0]
    np.testing.assert_array_equal(slopes[0, 0], net.state["conv_6_sep.prelu.weight"])


def test_resnet18_of_torchvision_keeps_its_initial_head(tmp_path, caplog):
    net, x = Torch(), faces(64)
    expected = resnet18(net, x, None)
    net.array("fc.weight", 1000, 512)
    np.savez(tmp_path / "net.npz", **net.state)
    with caplog.at_level(logging.WARNING):
        model = build_embedding_model(
            "resnet18", (64, 64), 16, str(tmp_path / "net.npz"), channels=3
        )
    assert "head_dense, head_batchnorm" in caplog.text
    # The same normalisation, so that even the padding is the same.
    pooled = keras.Model(model.input, model.get_layer("head_pool").output)(x)
    np.testing.assert_allclose(pooled, expected, rtol=1e-3, atol=1e-3)


def test_a_converted_checkpoint_from_the_command_line(tmp_path, run_cli):
    net = Torch()
    resnet18(net, faces(64), None)
    np.savez(tmp_path / "net.npz", **net.state)
    options = ("--input-size", 64, 64, "--embedding-size", 16, "--channels", 1)
    status, printed, error = run_cli(
        "convert", "resnet18", tmp_path / "net.npz", tmp_path / "net.keras", *options
    )
    assert status == 0, error
    assert "written to" in printed
    model = load_embedding_model(tmp_path / "net.keras")
    assert (model.input_shape, model.output_shape) == ((None, 64, 64, 1), (None, 16))
    found = model.get_layer("layer4_1_2_conv").get_weights()[0]
    expected = net.state["layer4.1.conv2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(found, expected)
    mine = tmp_path / "mine.keras"
    mine.write_text("kept")
    status, _, error = run_cli("convert", "resnet18", tmp_path / "net.npz", mine, *options)
    assert (status, mine.read_text()) == (2, "kept")
    assert "is no earlier output of this command" in error
    status, _, error = run_cli("convert", "resnet81", tmp_path / "net.npz", tmp_path / "x.keras")
    assert status == 2
    assert "There is no network 'resnet81'" in error


def facenet_modules():
    """Modules of facenet-pytorch's InceptionResnetV1 with those of keras-facenet and deepface."""
    pairs = [
        (f"conv2d_{name[:2]}", f"Conv2d_{name}")
        for name in ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3", "4b_3x3")
    ]
    for number in range(5):
        torch, own = f"repeat_1.{number}", f"Block35_{number + 1}"
        pairs.append((f"{torch}.branch0", f"{own}_Branch_0_Conv2d_1x1"))
        pairs += [(f"{torch}.branch1.{i}", f"{own}_Branch_1_Conv2d_0{'ab'[i]}_{k}x{k}")
                  for i, k in enumerate((1, 3))]  # fmt: skip
        pairs += [(f"{torch}.branch2.{i}", f"{own}_Branch_2_Conv2d_0{'abc'[i]}_{k}x{k}")
                  for i, k in enumerate((1, 3, 3))]  # fmt: skip
    pairs += [("mixed_6a.branch0", "Mixed_6a_Branch_0_Conv2d_1a_3x3")]
    pairs += [(f"mixed_6a.branch1.{i}", f"Mixed_6a_Branch_1_Conv2d_{name}")
              for i, name in enumerate(("0a_1x1", "0b_3x3", "1a_3x3"))]  # fmt: skip
    for number in range(10):
        # deepface names the second branch of a block by the block's number.
        own, second = f"Block17_{number + 1}", f"Block17_{number + 1}_Branch_{number + 1}"
        pairs.append((f"repeat_2.{number}.branch0", f"{own}_Branch_0_Conv2d_1x1"))
        pairs += [(f"repeat_2.{number}.branch1.{i}", f"{second}_Conv2d_{name}")
                  for i, name in enumerate(("0a_1x1", "0b_1x7", "0c_7x1"))]  # fmt: skip
    for branch, names in enumerate(
        [("0a_1x1", "1a_3x3"), ("0a_1x1", "1a_3x3"), ("0a_1x1", "0b_3x3", "1a_3x3")]
    ):
        pairs += [(f"mixed_7a.branch{branch}.{i}", f"Mixed_7a_Branch_{branch}_Conv2d_{name}")
                  for i, name in enumerate(names)]  # fmt: skip
    for number in range(6):
        torch = f"repeat_3.{number}" if number < 5 else "block8"
        branch = number + 1 if number < 5 else 1
        own = f"Block8_{number + 1}"
        pairs.append((f"{torch}.branch0", f"{own}_Branch_0_Conv2d_1x1"))
        pairs += [(f"{torch}.branch1.{i}", f"{own}_Branch_{branch}_Conv2d_{name}")
                  for i, name in enumerate(("0a_1x1", "0b_1x3", "0c_3x1"))]  # fmt: skip
    return pairs


def test_facenet_in_both_formats(tmp_path):
    size, side = 16, 80
    model = build_embedding_model("inception_resnet_v1", (side, side), size, channels=3)
    state, layers = {}, {}
    conv = {layer.name: layer for layer in model.layers if "Conv2d" in layer.name}

    def normalisation(torch, keras_name, channels):
        beta, mean = RNG.uniform(-1, 1, (2, channels))
        variance = RNG.uniform(0.1, 1, channels)
        layers[keras_name] = {"beta:0": beta, "moving_mean:0": mean, "moving_variance:0": variance}
        state[f"{torch}.weight"], state[f"{torch}.bias"] = np.ones(channels), beta
        state[f"{torch}.running_mean"], state[f"{torch}.running_var"] = mean, variance

    for torch, keras_name in facenet_modules():
        own = keras_name
        if keras_name.startswith(("Block17", "Block8")) and "Branch_0" not in keras_name:
            block, rest = keras_name.split("_Branch_")
            own = f"{block}_Branch_1_{rest.split('_', 1)[1]}"
        kernel = RNG.normal(0, 0.1, conv.pop(own).kernel.shape)
        conv.pop(f"{own}_BatchNorm"), conv.pop(f"{own}_Activation")
        layers[keras_name] = {"kernel:0": kernel}
        state[f"{torch}.conv.weight"] = kernel.transpose(3, 2, 0, 1)
        normalisation(f"{torch}.bn", f"{keras_name}_BatchNorm", kernel.shape[-1])
    for kind, torch, count in (("35", "repeat_1", 5), ("17", "repeat_2", 10), ("8", "repeat_3", 6)):
        for number in range(count):
            name = f"Block{kind}_{number + 1}_Conv2d_1x1"
            module = "block8" if number == 5 and kind == "8" else f"{torch}.{number}"
            layer = conv.pop(name)
            kernel, bias = RNG.normal(0, 0.1, layer.kernel.shape), RNG.normal(0, 0.1, layer.filters)
            layers[name] = {"kernel:0": kernel, "bias:0": bias}
            state[f"{module}.conv2d.weight"] = kernel.transpose(3, 2, 0, 1)
            state[f"{module}.conv2d.bias"] = bias
    assert not conv  # every convolution of the network has a name in both formats
    kernel = RNG.normal(0, 0.1, (1792, size))
    layers["Bottleneck"], state["last_linear.weight"] = {"kernel:0": kernel}, kernel.T
    normalisation("last_bn", "Bottleneck_BatchNorm", size)

    np.savez(tmp_path / "facenet.npz", **state)
    with h5py.File(tmp_path / "facenet.h5", "w") as file:
        for layer, arrays in layers.items():
            for name, array in arrays.items():
                file[f"{layer}/{layer}/{name}"] = array
    x = faces(side)
    outputs = [
        build_embedding_model(
            "inception_resnet_v1", (side, side), size, str(tmp_path / f"facenet.{kind}"), channels=3
        )(x)
        for kind in ("npz", "h5")
    ]
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-6)
    assert np.abs(outputs[0] - model(x)).max() > 0.1


# -- Keras's FaceNet, with a forward pass written after its sources --------------------------------


class FaceNet:
    """Random arrays by keras-facenet's names, made as its forward pass asks for them."""

    def __init__(self):
        self.arrays = {}

    def array(self, layer, name, *shape, low=-1.0, high=1.0):
        array = RNG.uniform(low, high, shape).astype(np.float32)
        self.arrays[f"{layer}/{layer}/{name}:0"] = array
        return array

    def bn(self, x, name):
        """Without a scale."""
        c = x.shape[-1]
        # Small variances, where the epsilon counts.
        variance = self.array(name, "moving_variance", c, low=0.001)
        x = (x - self.array(name, "moving_mean", c)) / np.sqrt(variance + 1e-3)
        return x + self.array(name, "beta", c)

    def kernel(self, name, *shape):
        # Small enough for the small variances.
        scale = 0.7 * (3 / np.prod(shape[:-1])) ** 0.5
        return self.array(name, "kernel", *shape, low=-scale, high=scale)

    def conv(self, x, name, filters, stride=1, padding="SAME"):
        """Convolution whose name ends with its height and width, normalisation, ReLU."""
        height, width = map(int, name.split("_")[-1].split("x"))
        x = tf.nn.conv2d(x, self.kernel(name, height, width, x.shape[-1], filters), stride, padding)
        return tf.nn.relu(self.bn(x, f"{name}_BatchNorm"))

    def residual(self, x, name, scale, *branches):
        up = tf.concat([self.branch(x, f"{name}_Branch_{i}", b) for i, b in enumerate(branches)], 3)
        name, c = f"{name}_Conv2d_1x1", x.shape[-1]
        up = up @ self.kernel(name, 1, 1, up.shape[-1], c)[0, 0] + self.array(name, "bias", c)
        return x + scale * up

    def reduction(self, x, name, *branches):
        found = [self.branch(x, f"{name}_Branch_{i}", b) for i, b in enumerate(branches)]
        return tf.concat([*found, tf.nn.max_pool2d(x, 3, 2, "VALID")], 3)

    def branch(self, x, name, convolutions):
        for own, filters in convolutions.items():
            settings = (2, "VALID") if own == "1a_3x3" else (1, "SAME")
            x = self.conv(x, f"{name}_Conv2d_{own}", filters, *settings)
        return x


def facenet(net, x, size):
    """Inception-ResNet-v1 of davidsandberg/facenet, whose weights keras-facenet has."""
    x = (x - 127.5) / 128
    x = net.conv(x, "Conv2d_1a_3x3", 32, 2, "VALID")
    x = net.conv(x, "Conv2d_2a_3x3", 32, 1, "VALID")
    x = net.conv(x, "Conv2d_2b_3x3", 64)
    x = tf.nn.max_pool2d(x, 3, 2, "VALID")
    x = net.conv(x, "Conv2d_3b_1x1", 80, 1, "VALID")
    x = net.conv(x, "Conv2d_4a_3x3", 192, 1, "VALID")
    x = net.conv(x, "Conv2d_4b_3x3", 256, 2, "VALID")
    for i in range(1, 6):
        first, second = {"1x1": 32}, {"0a_1x1": 32, "0b_3x3": 32}
        third = {"0a_1x1": 32, "0b_3x3": 32, "0c_3x3": 32}
        x = tf.nn.relu(net.residual(x, f"Block35_{i}", 0.17, first, second, third))
    first, second = {"1a_3x3": 384}, {"0a_1x1": 192, "0b_3x3": 192, "1a_3x3": 256}
    x = net.reduction(x, "Mixed_6a", first, second)
    for i in range(1, 11):
        first, second = {"1x1": 128}, {"0a_1x1": 128, "0b_1x7": 128, "0c_7x1": 128}
        x = tf.nn.relu(net.residual(x, f"Block17_{i}", 0.10, first, second))
    first, second = {"0a_1x1": 256, "1a_3x3": 384}, {"0a_1x1": 256, "1a_3x3": 256}
    third = {"0a_1x1": 256, "0b_3x3": 256, "1a_3x3": 256}
    x = net.reduction(x, "Mixed_7a", first, second, third)
    for i in range(1, 7):
        first, second = {"1x1": 192}, {"0a_1x1": 192, "0b_1x3": 192, "0c_3x1": 192}
        x = net.residual(x, f"Block8_{i}", 0.20 if i < 6 else 1.0, first, second)
        x = tf.nn.relu(x) if i < 6 else x
    x = tf.reduce_mean(x, axis=(1, 2))
    x = net.bn(x @ net.kernel("Bottleneck", 1792, size), "Bottleneck_BatchNorm")
    return tf.math.l2_normalize(x, axis=1)


def test_facenet_of_keras_facenet(tmp_path):
    net, x = FaceNet(), faces(75)
    expected = facenet(net, tf.constant(x), 16)
    with h5py.File(tmp_path / "face.h5", "w") as file:
        for name, array in net.arrays.items():
            file[name] = array
    model = build_embedding_model(
        "inception_resnet_v1", (75, 75), 16, str(tmp_path / "face.h5"), channels=3
    )
    assert np.linalg.norm(expected[0] - expected[1]) > 0.01
    np.testing.assert_allclose(model(x), expected, atol=1e-4)


# -- Files that cannot be used ---------------------------------------------------------------------


def test_python_objects_are_not_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    np.savez(tmp_path / "trap.npz", **{"conv1.conv.weight": np.array([Trap()], dtype=object)})
    with pytest.raises(ModelError, match=r"trap\.npz: cannot be read"):
        build_embedding_model("mobilefacenet", (32, 32), 8, str(tmp_path / "trap.npz"))
    (tmp_path / "bare.npz").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelError, match=r"bare\.npz: cannot be read"):
        build_embedding_model("mobilefacenet", (32, 32), 8, str(tmp_path / "bare.npz"))
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_of_another_network(tmp_path):
    np.savez(tmp_path / "other.npz", **{"conv1.conv.weight": np.zeros((64, 3, 5, 5))})
    with pytest.raises(
        ModelError, match=r"not of the network mobilefacenet: conv1_conv has shapes"
    ):
        build_embedding_model("mobilefacenet", (32, 32), 8, str(tmp_path / "other.npz"))


def test_missing_checkpoint(tmp_path):
    with pytest.raises(ModelError, match=r"no weights file .*none\.npz"):
        build_embedding_model("resnet18", (32, 32), 8, str(tmp_path / "none.npz"))


def test_no_imagenet_weights():
    with pytest.raises(ModelError, match="Keras has no such weights of resnet18"):
        build_embedding_model("resnet18", (32, 32), 8, "imagenet")


# The first convolution and its normalisation: enough to see what is made of an array.
@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"bn1.running_var": np.zeros(0)}, "stem_bn has shapes .*instead of"),
        ({"bn1.bias": np.zeros(3)}, "stem_bn has shapes .*instead of"),
        ({"bn1.bias": np.array([b"text"] * 64)}, "stem_bn has shapes .*instead of"),
        ({"conv1.weight": np.array("text")}, "stem_conv (is missing|has shapes)"),
    ],
)
def test_arrays_that_are_no_weights_of_their_layer(tmp_path, arrays, problem):
    names = ("weight", "bias", "running_mean", "running_var")
    state = {f"bn1.{name}": np.ones(64, np.float32) for name in names}
    state["conv1.weight"] = np.ones((64, 3, 7, 7), np.float32)
    np.savez(tmp_path / "odd.npz", **state | arrays)
    with pytest.raises(ModelError, match=problem):
        build_embedding_model("resnet18", (32, 32), 16, str(tmp_path / "odd.npz"))


def test_damaged_structures_of_hdf5(tmp_path):
    with h5py.File(tmp_path / "damaged.h5", "w") as file:
        file["conv1/conv1/kernel:0"] = np.ones((7, 7, 3, 64), np.float32)
    content = (tmp_path / "damaged.h5").read_bytes()
    (tmp_path / "damaged.h5").write_bytes(content.replace(b"SNOD", b"SNOW"))
    with pytest.raises(ModelError, match=r"damaged\.h5: cannot be read as a checkpoint"):
        build_embedding_model("resnet18", (32, 32), 16, str(tmp_path / "damaged.h5"))
