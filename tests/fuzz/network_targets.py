"""Targets for weights of networks: public checkpoints, weights files, packed networks."""

import dataclasses
import functools
import io

import numpy as np
import tiny_network

from fuzz import mutations
from fuzz.exchange_targets import resummed
from fuzz.target import Target

SIZE, EMBEDDING = (32, 32), 8
# What an HDF5 file can hold in place of an array or a group.
REPLACEMENTS = (
    "soft", "dangling", "external", "cycle", "attribute", "array", "group", "stored", "virtual",
    "gone",
)  # fmt: skip


def _spec():
    from iris_tf.networks.registry import PublicCheckpoint

    checkpoint = PublicCheckpoint(lambda module: module, epsilon=1e-3)
    return dataclasses.replace(tiny_network.SPEC, checkpoint=checkpoint)


@functools.cache
def _model():
    """One model for all mutants: building another takes longer than reading a file."""
    from iris_tf.networks.embedding_model import build_embedding_model

    tiny_network.NETWORKS[tiny_network.NAME] = _spec()
    return build_embedding_model(tiny_network.NAME, SIZE, EMBEDDING, "none", seed=1)


def _checkpoint_arrays():
    """Arrays of a checkpoint by module and parameter, as Keras names and shapes them."""
    return {
        (layer.name, variable.name): np.asarray(variable)
        for layer in _model().layers
        for variable in layer.weights
    }


def _checkpoint_h5(folder):
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for (module, parameter), array in _checkpoint_arrays().items():
            file.create_dataset(f"{module}/{module}/{parameter}:0", data=array)
    return [buffer.getvalue()]


def _checkpoint_npz(folder):
    names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
             "moving_variance": "running_var", "kernel": "weight"}  # fmt: skip
    buffer = io.BytesIO()
    np.savez(
        buffer,
        **{
            f"{module}.{names.get(parameter, parameter)}": (
                array.transpose((3, 2, 0, 1) if array.ndim == 4 else None)
                if parameter == "kernel"
                else array
            )
            for (module, parameter), array in _checkpoint_arrays().items()
        },
    )
    return [buffer.getvalue()]


def _read_checkpoint(path):
    from iris_tf.networks.public_checkpoints import load_public_checkpoint

    load_public_checkpoint(_model(), _spec(), path)


def _weights(folder):
    _model().save(folder / "original.keras")
    return [(folder / "original.keras").read_bytes()]


def _weights_h5(folder):
    _model().save_weights(folder / "original.weights.h5")
    return [(folder / "original.weights.h5").read_bytes()]


def _read_weights(path):
    from iris_tf.networks.weights import load_matching_weights

    load_matching_weights(_model(), path)


def _mutated_h5(content, rng):
    """Mutate bytes, or replace an array or a group by something else that HDF5 can hold."""
    import h5py

    if rng.random() < 0.4:
        return mutations.of_bytes(content, rng)
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        names = []
        file.visit(names.append)
        for _ in range(int(rng.integers(1, 3))):
            name = mutations.pick(rng, names)
            if file.get(name) is not None:  # neither gone nor a dangling link
                _replace(file, name, rng)
    return buffer.getvalue()


def _replace(file, name, rng):
    import h5py

    kind = mutations.pick(rng, REPLACEMENTS)
    attributes = dict(file[name].attrs)
    if kind == "attribute":
        key = mutations.pick(rng, [*attributes, "name"])
        values = ("", b"\xff", 7, "a\nb", "x" * 5000, "conv1_conv", np.zeros(3), np.nan)
        file[name].attrs[key] = mutations.pick(rng, values)
        return
    del file[name]
    if kind == "soft":
        file[name] = h5py.SoftLink("/")
    elif kind == "dangling":
        file[name] = h5py.SoftLink("/nowhere")
    elif kind == "external":
        file[name] = h5py.ExternalLink("/proc/self/maps", "/")
    elif kind == "cycle":
        file[name] = file["/"]
    elif kind == "array":
        shape = mutations.pick(rng, ((), (0,), (1,), (3, 3, 1, 4), (2,) * 20, (2**20, 2**20)))
        types = ("f4", "f8", "i1", "S9", "c8", h5py.string_dtype(), h5py.ref_dtype)
        chunks = (9, 9) if shape == (2**20, 2**20) else None  # declared, but never written
        file.create_dataset(name, shape, mutations.pick(rng, types), chunks=chunks)
    elif kind == "group":
        file.create_group(name).attrs.update(attributes)
    elif kind == "stored":
        file.create_dataset(name, (1000,), "f4", external=[("/etc/passwd", 0, 4000)])
    elif kind == "virtual":
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("/tmp/elsewhere.h5", "a", (4,))
        file.create_virtual_dataset(name, layout)


def _mutated_weights(content, rng):
    return mutations.of_archive(content, rng, {"json": mutations.of_json, "h5": _mutated_h5})


def _mutated_npz(content, rng):
    return mutations.of_archive(content, rng, {"npy": mutations.of_array})


def _packed_network(folder):
    from iris_tf.quantization.packed_model import pack_model
    from iris_tf.quantization.wrapping import fix_precision, kernels, mix_precision

    rng = np.random.default_rng(0)
    rois = rng.integers(0, 256, (4, *SIZE), dtype=np.uint8)
    mask = {
        name: rng.choice([2, 4, 8], kernel.shape).astype(np.uint8)
        for name, kernel in kernels(_model()).items()
    }
    contents = []
    for name, quantized in (
        ("fixed", fix_precision(_model(), 4, rois)),
        ("mixed", mix_precision(_model(), mask, rois)),
    ):
        pack_model(quantized, folder / f"{name}.irq")
        contents.append((folder / f"{name}.irq").read_bytes())
    return contents


def _mutated_network(content, rng):
    """Mutants with the right checksum, so that the network is built from them."""
    return resummed(content, rng, header=rng.random() < 0.5)


def _read_packed_network(path):
    from iris_tf.quantization.packed_model import load_packed_model

    load_packed_model(path)


NETWORK_TARGETS = {
    "checkpoint_h5": Target("checkpoint.h5", _checkpoint_h5, _mutated_h5, _read_checkpoint),
    "checkpoint_npz": Target("checkpoint.npz", _checkpoint_npz, _mutated_npz, _read_checkpoint),
    "weights": Target("model.keras", _weights, _mutated_weights, _read_weights),
    "weights_h5": Target("model.weights.h5", _weights_h5, _mutated_h5, _read_weights),
    "network": Target("model.irq", _packed_network, _mutated_network, _read_packed_network),
}
