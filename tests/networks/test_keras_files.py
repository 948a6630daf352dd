import io
import json
import threading
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.networks.keras_files import hdf5_arrays, load_keras_file, open_hdf5
from iris_tf.networks.strip_normalization import StripNormalization
from iris_tf.support.errors import ModelError

ROOT = Path(__file__).parents[2]
EARLIER = ROOT / "tests" / "data" / "written_by_0_1_0"


def network():
    return keras.Sequential(
        [keras.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(4, name="dense")]
    )


@pytest.fixture
def saved(tmp_path):
    network().save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def edited(path, *, config=None, weights=None, **members):
    """The file with its configuration (a function of text), weights or members changed."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    if config is not None:
        content["config.json"] = config(content["config.json"].decode()).encode()
    if weights is not None:
        content["model.weights.h5"] = weights
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (content | members).items():
            archive.writestr(name, data)
    return path


def hdf5(change):
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        change(file)
    return buffer.getvalue()


def refusal(path):
    with pytest.raises(ModelError) as caught:
        load_keras_file(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 500
    return message


@pytest.mark.parametrize("path", sorted(EARLIER.rglob("*.keras")), ids=lambda p: p.parent.name)
def test_files_of_the_first_version_load(path):
    assert load_embedding_model(path).count_params() > 0


def test_the_released_weights_load():
    assert load_embedding_model(ROOT / "models" / "mobiiris" / "mobiiris.keras").built


def test_how_a_model_was_compiled_does_not_matter(tmp_path):
    model = network()
    model.compile(keras.optimizers.Adam(), keras.losses.MeanSquaredError())
    model.save(tmp_path / "model.keras")
    found = load_keras_file(tmp_path / "model.keras")
    np.testing.assert_array_equal(found.get_weights()[0], model.get_weights()[0])


def test_loading_in_threads_leaves_nothing_behind(saved):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(load_keras_file(saved))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [model.count_params() for model in found] == [16 * 16 * 4 + 4] * 3


def lambda_layer(tmp_path):
    model = keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Lambda(lambda x: x * 2.0)])
    model.save(tmp_path / "lambda.keras")
    return tmp_path / "lambda.keras"


def test_code_in_a_file_is_not_run(tmp_path):
    assert "Lambda" in refusal(lambda_layer(tmp_path))


def test_code_is_refused_even_where_keras_would_run_it(tmp_path):
    path = lambda_layer(tmp_path)
    keras.config.enable_unsafe_deserialization()
    try:
        assert "Lambda" in refusal(path)
    finally:
        keras.src.backend.common.global_state.set_global_attribute("safe_mode_saving", None)


@pytest.mark.parametrize(
    "found",
    [
        '{"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/"}}',
        '{"module": "keras.layers", "class_name": "StringLookup", "config": {}}',
        '{"module": "os", "class_name": "system", "config": "id"}',
        '{"module": "keras.utils", "class_name": "get_file", "config": {}}',
        '{"module": "builtins", "class_name": "function", "config": "eval"}',
        '{"module": null, "class_name": "__lambda__", "config": {}}',
        '{"module": "x", "class_name": "X", "registered_name": "iris_tf>X", "config": {}}',
        '{"module": "keras.layers", "class_name": ["Dense"], "config": {}}',
    ],
)
def test_foreign_classes_are_refused_wherever_they_are(saved, found):
    hidden = '"dtype": {"class_name": "DTypePolicy", "module": "keras", "config": ' + found + "}, "
    path = edited(saved, config=lambda text: text.replace('"units": 4', hidden + '"units": 4'))
    assert "which this project does not load" in refusal(path)


def test_a_configuration_may_not_ask_for_more_than_the_file_stores(saved):
    message = refusal(edited(saved, config=lambda text: text.replace('"units": 4', '"units": 9')))
    assert "2,313 parameters, but the file stores 1,028" in message  # 16 * 16 * 9 + 9


@pytest.mark.parametrize("number", ["100000", "1" + "0" * 4000, "1" + "0" * 5000, "1e999", "[4]"])
def test_sizes_that_no_network_has(saved, number):
    edited(saved, config=lambda text: text.replace('"units": 4', f'"units": {number}'))
    refusal(saved)


@pytest.mark.parametrize("levels", [70, 900, 100_000])
def test_deeply_nested_configurations(saved, levels):
    nested = '"units": ' + '{"a": ' * levels + "4" + "}" * levels
    path = edited(saved, config=lambda text: text.replace('"units": 4', nested))
    assert "nested too deeply" in refusal(path)


def test_members_that_keras_does_not_write(saved):
    assert "../evil" in refusal(edited(saved, **{"../evil": b"x"}))


def test_weights_that_lie_in_other_files(saved, tmp_path):
    np.arange(1028, dtype=np.float32).tofile(tmp_path / "private")
    with h5py.File(tmp_path / "private.h5", "w") as other:
        other["x"] = np.zeros(5)

    def external(file):
        file.create_dataset("x", (9,), "f4", external=[(str(tmp_path / "private"), 0, 36)])

    def virtual(file):
        layout = h5py.VirtualLayout((5,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "private.h5"), "x", (5,))
        file.create_virtual_dataset("x", layout)

    def linked(file):
        file["a/x"] = h5py.ExternalLink(str(tmp_path / "private.h5"), "x")

    def soft(file):
        file["x"] = h5py.SoftLink("/y")

    for change, reason in (
        (external, "lie in other files"), (virtual, "lie in other files"),
        (linked, "link to other places"), (soft, "link to other places"),
    ):  # fmt: skip
        assert reason in refusal(edited(saved, weights=hdf5(change)))


def test_arrays_that_declare_more_than_they_store():
    def unwritten(file):
        file.create_dataset("x", (2**20, 2**10), "f4", chunks=True)

    with (
        pytest.raises(ValueError, match="declares 4,294,967,296 bytes, but has 0"),
        open_hdf5(io.BytesIO(hdf5(unwritten))),
    ):
        pass


def test_groups_that_hold_themselves_end():
    def circle(file):
        file["a/x"] = np.zeros(3)
        file["a/b"] = file["a"]

    with open_hdf5(io.BytesIO(hdf5(circle))) as file:
        assert [array.size for array in hdf5_arrays(file)] == [3]


# HDF5 raises a RuntimeError for what is damaged within its structures.
def test_damaged_structures():
    def group(file):
        file["a/x"] = np.zeros(3)

    content = hdf5(group)
    assert b"SNOD" in content
    damaged = io.BytesIO(content.replace(b"SNOD", b"SNOW"))
    with pytest.raises(ValueError, match="symbol table node signature"), open_hdf5(damaged):
        pass


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(18), bytes(1000)])
def test_what_is_no_archive(tmp_path, content):
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    refusal(path)


def test_damaged_json_and_weights(saved):
    assert json.loads(zipfile.ZipFile(saved).read("config.json"))
    refusal(edited(saved, weights=b"\x89HDF\r\n\x1a\n" + bytes(100)))
    for damage in (lambda text: text[:-10], lambda text: "[]", lambda text: "{}", lambda text: ""):
        refusal(edited(saved, config=damage))


@pytest.mark.parametrize(
    ("before", "after"),
    [('"mask": null', '"mask": "text"'), ('"mask": null', '"mask": 1.5'), ("[3, 5]", '[3, "5"]')],
)
def test_values_that_only_a_call_finds(tmp_path, before, after):
    """Keras passes a layer whatever its configuration and the saved calls hold."""
    crop = keras.Input((64, 128, 1))
    strip = StripNormalization(windows=((3, 5), (5, 9)))(crop)
    outputs = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(strip))
    path = tmp_path / "model.keras"
    keras.Model(crop, outputs).save(path)
    assert load_embedding_model(path).output_shape == (None, 3)
    edited(path, config=lambda text: swapped(text, before, after))
    with pytest.raises(ModelError, match=r"its network fails on a black crop \(Exc.*call\(\)\);"):
        load_embedding_model(path)


def swapped(text, before, after):
    assert before in text
    return text.replace(before, after)
