import re
from dataclasses import replace
from pathlib import Path

import pytest

from iris_tf.config.load_recipe import first_difference, load_recipe, recipe_yaml, renewed_yaml
from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.config.release_recipe import FinishRecipe, ReleaseRecipe
from iris_tf.config.segmenter_recipe import SegmenterRecipe
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.support.errors import RecipeError
from iris_tf.training.model_recipes import model_recipes, trainings
from iris_tf.training.run_folder import RunFolder

TRAIN = "run: out\ndataset: eyes\n"  # lines 1 and 2
PIPELINE = """\
run: out
dataset: {synthetic: {subjects: 3, images: 2}}
training:
  network: {weights: none}
  unfreeze_epochs: 0
"""  # lines 1 to 5


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def error_of(path, schema, overrides=()):
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, schema, list(overrides))
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_found(path, schema, line, key, problem):
    """The recipe is refused with a message that begins with this place and names the problem."""
    message = error_of(path, schema)
    assert message.startswith(f"{path}, line {line}: {key} ")
    assert problem in message


# -- What a good recipe gives ---------------------------------------------------------------------


def test_values_defaults_and_overrides_come_together(write):
    path = write(TRAIN + "epochs: 12\nnetwork:\n  input_size: [64, 96]\n")
    recipe = load_recipe(
        path, TrainRecipe, ["network.embedding_size=256", "epochs=9", "margin.medi=[0.1,0.3]"]
    )
    assert (recipe.run, recipe.dataset) == ("out", "eyes")
    assert recipe.network.input_size == [64, 96]
    assert recipe.network.embedding_size == 256
    assert recipe.epochs == 9
    assert recipe.margin.medi == [0.1, 0.3]


def test_defaults_are_the_papers_values(write):
    recipe = load_recipe(write(TRAIN), TrainRecipe)
    assert recipe.network.name == "mobilenet_v3_large"
    assert recipe.network.input_size == [224, 224]
    assert (recipe.epochs, recipe.warm_epochs, recipe.batch.groups) == (40, 8, 32)
    assert recipe.batch.layout == "triplet"
    assert (recipe.mining.warm_ratios, recipe.mining.final_ratios) == ([0.2, 1.0], [0.1, 0.9])
    assert recipe.mining.hardest == 5
    assert recipe.distillation.weight[1] == 0.5
    augmentation = recipe.augmentation
    assert augmentation.rotation_degrees == 5
    assert (augmentation.translation, augmentation.scale) == (0.05, 0.05)
    assert recipe.triplet_reduction == "mean"
    margins = [recipe.margin.warm, *recipe.margin.medi, *recipe.margin.post]
    assert all(0.4 <= margin <= 0.5 for margin in margins)
    for group, (maximum, minimum, decay) in {
        "backbone": (5e-4, 1e-5, 1e-4),
        "attention": (1e-3, 1e-4, 5e-5),
        "head": (5e-3, 5e-4, 5e-5),
    }.items():
        values = getattr(recipe.optimizer, group)
        assert (values.maximum, values.minimum, values.weight_decay) == (maximum, minimum, decay)


def test_a_recipe_survives_being_written_and_read(write):
    text = TRAIN + "optimizer: {head: {maximum: 1e-3, minimum: 1.5e-05}}\nxla: true\n"
    recipe = load_recipe(write(text), TrainRecipe, ["distillation.teacher=runs/teacher"])
    again = load_recipe(write(recipe_yaml(recipe)), TrainRecipe)
    assert again == recipe
    assert recipe_yaml(again) == recipe_yaml(recipe)


def test_a_pipeline_recipe_survives_being_written_and_read(write):
    text = PIPELINE + "models:\n  base:\n  wide: {network: {embedding_size: 64}}\n"
    recipe = load_recipe(write(text), PipelineRecipe)
    again = load_recipe(write(recipe_yaml(recipe)), PipelineRecipe)
    assert again == recipe
    assert model_recipes(again) == model_recipes(recipe)


def test_models_share_training_and_differ_in_their_own_keys(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/model.keras").touch()
    text = PIPELINE + (
        "seed: 5\nmodels:\n"
        "  teacher: {network: {name: resnet50}}\n"
        "  student: {epochs: 20, distillation: {teacher: teacher}}\n"
        "  outside: {distillation: {teacher: other/model.keras}}\n"
        "  further: {network: {weights: student}}\n"
    )
    models = model_recipes(load_recipe(write(text), PipelineRecipe))
    assert list(models) == ["teacher", "student", "outside", "further"]
    further = models.pop("further").network
    assert (further.name, further.weights) == (
        "mobilenet_v3_large", str(RunFolder("out/student").best)
    )  # fmt: skip
    for name, recipe in models.items():
        assert (recipe.run, recipe.dataset, recipe.seed) == (f"out/{name}", "out/dataset", 5)
        assert recipe.network.weights == "none"
        assert recipe.unfreeze_epochs == 0
    assert [models[name].network.name for name in models] == [
        "resnet50", "mobilenet_v3_large", "mobilenet_v3_large",
    ]  # fmt: skip
    assert [models[name].epochs for name in models] == [40, 20, 40]
    assert [models[name].distillation.teacher for name in models] == [
        None, "out/teacher", "other/model.keras",
    ]  # fmt: skip


# -- Mistakes in a training recipe: key and line ---------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "key", "problem"),
    [
        ("epoch: 3", 3, "epoch", "unknown (did you mean epochs?)"),
        ("network:\n  name: resnet50\n  input_sise: [1, 2]", 5, "network.input_sise", "input_size"),
        ("optimizer:\n  hed: {maximum: 1}", 4, "optimizer.hed", "did you mean head?"),
        ("colour: red", 3, "colour", "unknown; known here: run, dataset, seed"),
        ("epochs: three", 3, "epochs", "'three'"),
        ("epochs: 2.5", 3, "epochs", "2.5"),
        ("epochs: true", 3, "epochs", "True"),
        ("epochs:", 3, "epochs", "None"),
        ("xla: maybe", 3, "xla", "'maybe'"),
        ("network:\n  input_size: [32, wide]", 4, "network.input_size[1]", "'wide'"),
        ("network:\n  input_size: 32", 4, "network.input_size", "is a list"),
        ("network:\n  attention: {a: 1}", 4, "network.attention", "is a list"),
        ("network: 5", 3, "network", "is a section"),
        ("network: [1]", 3, "network", "is a section"),
        ("network:", 3, "network", "is a section"),
        ("network: ${nothing}", 3, "network", "'nothing' not found"),
        ("optimizer:\n  head: 0.1", 4, "optimizer.head", "is a section"),
        ("distillation:\n  teacher: [a]", 4, "distillation.teacher", "string"),
        ("epochs: 0", 3, "epochs", "above 0, but is 0"),
        ("epochs: 10\nwarm_epochs: 11", 4, "warm_epochs", "between 0 and 10"),
        ("epochs: 10\nunfreeze_epochs: 11", 4, "unfreeze_epochs", "between 0 and 10"),
        ("unfreeze_epochs: 3\nnetwork: {weights: none}", 3, "unfreeze_epochs", "must be 0"),
        ("seed: -1", 3, "seed", "between 0"),
        ("triplet_reduction: sum", 3, "triplet_reduction", "mean, active"),
        ("strategy: all", 3, "strategy", "single, mirrored, multi_worker"),
        ("xla: true\nstrategy: multi_worker", 3, "xla", "must be false with `strategy: multi"),
        ("network:\n  input_size: [32]", 4, "network.input_size", "2 values, but has 1"),
        ("network:\n  input_size: [32, 8]", 4, "network.input_size", "but is 8"),
        ("network:\n  embedding_size: 1", 4, "network.embedding_size", "but is 1"),
        ("network:\n  pooling: max", 4, "network.pooling", "average, depthwise, placed"),
        ("network:\n  attention_kernel: 5", 4, "network.attention_kernel", "is always 7 now"),
        ("network:\n  batchnorm_momentum: 1.0", 4, "network.batchnorm_momentum", "1.0"),
        ("batch:\n  layout: pairs", 4, "batch.layout", "triplet, balanced"),
        ("batch:\n  groups: 1", 4, "batch.groups", "between 2"),
        ("batch:\n  images_per_identity: 1", 4, "batch.images_per_identity", "between 2"),
        ("batch:\n  steps_per_epoch: 0", 4, "batch.steps_per_epoch", "above 0"),
        ("batch: {layout: balanced, groups: 5, turned: true}", 3, "batch.turned", "even number"),
        ("batch: {layout: balanced, groups: 6, turned: true, datasets: 2}", 3, "batch.datasets",
         "half of `groups`, which is 3"),
        ("augmentation:\n  scale: 2", 4, "augmentation.scale", "between 0.0 and 0.5"),
        ("augmentation:\n  rotation_degrees: -1", 4, "augmentation.rotation_degrees", "-1"),
        ("margin:\n  warm: 2.5", 4, "margin.warm", "2.5"),
        ("margin:\n  post: [0.5]", 4, "margin.post", "2 values"),
        ("margin:\n  medi: [0.4, 3]", 4, "margin.medi", "3.0"),
        ("mining:\n  warm_ratios: [1.0, 0.2]", 4, "mining.warm_ratios", "rise"),
        ("mining:\n  hardest: 0", 4, "mining.hardest", "above 0"),
        ("distillation:\n  weight: [0.0, -1]", 4, "distillation.weight", "-1"),
        ("optimizer:\n  head:\n    maximum: 0", 5, "optimizer.head.maximum", "above 0"),
        ("optimizer:\n  head:\n    maximum: .nan", 5, "optimizer.head.maximum", "nan"),
        ("optimizer:\n  head:\n    maximum: .inf", 5, "optimizer.head.maximum", "inf"),
        ("optimizer:\n  head:\n    minimum: 1", 5, "optimizer.head.minimum", "0.005"),
        ("optimizer:\n  head:\n    weight_decay: -1", 5, "optimizer.head.weight_decay", "-1"),
        ("quantization:\n  fine_tuning:\n    rate: 0", 5, "quantization.fine_tuning.rate",
         "above 0"),
        ("quantization:\n  fine_tuning:\n    epochs: 0", 5, "quantization.fine_tuning.epochs",
         "above 0"),
        ("quantization:\n  fine_tuning:\n    warm_epochs: 5", 5,
         "quantization.fine_tuning.warm_epochs", "between 0 and 4"),
        ("quantization:\n  fine_tuning:\n    milestones: [3, 2]", 5,
         "quantization.fine_tuning.milestones", "must rise"),
        ("quantization:\n  fine_tuning:\n    milestones: [3]", 5,
         "quantization.fine_tuning.milestones", "must be empty without `optimizer.name: sgd`"),
        # The minimum is the default one: the section's line is the nearest.
        ("optimizer:\n  head:\n    maximum: 1e-5", 4, "optimizer.head.minimum", "1e-05"),
    ],
)  # fmt: skip
def test_a_mistake_names_key_and_line(write, text, line, key, problem):
    path = write(TRAIN + text)
    assert_found(path, TrainRecipe, line, key, problem)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ": run has no value and needs one"),
        ("run: out", ": dataset has no value and needs one"),
        ("- a\n- b", "key: value"),
        ("run: a\ndataset: b: c", ", line 2: invalid YAML"),
        (TRAIN + "epochs: 3\nepochs: 4", ", line 4: invalid YAML: found duplicate key epochs"),
        (b"run: \xff\xfe", ": invalid YAML"),
    ],
)
def test_what_is_no_recipe_at_all(write, text, expected):
    path = write(text)
    message = error_of(path, TrainRecipe)
    assert message.startswith(str(path))
    assert expected in message


def test_a_missing_file_is_named(tmp_path):
    assert str(tmp_path / "none.yaml") in error_of(tmp_path / "none.yaml", TrainRecipe)
    assert str(tmp_path) in error_of(tmp_path, TrainRecipe)


# -- Mistakes on the command line ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("batch.datasets=5", "batch.datasets must divide `groups`, which is 32"),
        ("batch.datasets=33", "batch.datasets must lie between 0 and 32"),
    ],
)
def test_a_mistaken_override_of_balanced_batches(write, override, problem):
    path = write(TRAIN + "batch: {layout: balanced, datasets: 4}\n")
    load_recipe(path, TrainRecipe)
    assert error_of(path, TrainRecipe, [override]).startswith(f"command line: {problem}")


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("epochs", "'epochs' must have the form key=value"),
        ("=3", "'=3' must have the form key=value"),
        ("epoch=3", "epoch is unknown (did you mean epochs?)"),
        ("epochs=three", "epochs is invalid: Value 'three'"),
        ("epochs=-3", "epochs must be above 0, but is -3"),
        ("epochs=[1", "'epochs=[1' is invalid"),
        ("epochs=", "epochs is invalid"),
        ("epochs.x=3", "epochs is invalid"),
        ("network=3", "network is a section"),
        ("network.name.x=3", "network.name is invalid"),
        ("network.input_size[0]=40", "'network.input_size[0]=40' is invalid"),
        ("network.input_size=[32,wide]", "network.input_size[1] is invalid"),
        ("optimizer.head.maximum=-1", "optimizer.head.maximum must be above 0"),
        ("optimizer.name=adam", "optimizer.name must be one of adamw, sgd"),
        ("optimizer.milestones=[4]", "optimizer.milestones must be empty with `name: adamw`"),
        ("optimizer.milestones=[4,4]", "optimizer.milestones must rise from above 0"),
        ("optimizer.momentum=1", "optimizer.momentum must lie between 0.0 and 0.9999"),
        ("optimizer.factor=0", "optimizer.factor must be above 0"),
        ("optimizer.groups.centres.maximum=-1", "optimizer.groups.centres."),
        ("objective=hinge", "objective must be one of triplet, contrastive"),
        ("objective=contrastive", "objective is contrastive, which needs `batch.layout: balanced`"),
        ("loss=hinge", "loss must be one of triplet, contrastive"),  # the former name
        ("loss=contrastive", "loss is contrastive, which needs `batch.layout: balanced`"),
        ("distillation.distiller=logits", "distillation.distiller must be one of cosine"),
        ("distillation.term_weights=none", "distillation.term_weights must be one of constant, "),
        ("distillation.term_weights=constant", "distillation.weight must be two equal values"),
        ("temperature=0", "temperature must be above 0"),
        ("network.normalization=none", "network.normalization must be one of imagenet, local_"),
        ("network.normalization=local_contrast", "network.weights must not be imagenet with"),
        ("network.phase=0.5", "network.phase needs `normalization: local_contrast`"),
        ("network.phase=1", "network.phase must"),
        ("batch.turned=true", "batch.turned needs `layout: balanced` and an even number"),
        ("batch.datasets=3", "batch.datasets must be 0 with `layout: triplet`"),
        ("network.reduction=[2]", "network.reduction must be a list of 2 values"),
        ("augmentation.hidden_share=2", "augmentation.hidden_share must lie between 0.0 and 1.0"),
        ("augmentation.sharpness=-0.1", "augmentation.sharpness must lie between 0.0 and 1.0"),
        (
            "augmentation.degraded_share=1.5",
            "augmentation.degraded_share must lie between 0.0 and 1.0",
        ),
        ("distillation.clean=true", "distillation.clean needs a `teacher`"),
    ],
)
def test_a_mistaken_override_is_found_on_the_command_line(write, override, problem):
    # The same key in the file is right, and must not be blamed.
    path = write(TRAIN + "epochs: 10\nnetwork:\n  input_size: [32, 32]\n  name: resnet50\n")
    message = error_of(path, TrainRecipe, ["seed=1", override])
    assert message.startswith(f"command line: {problem}")


# -- Mistakes in a pipeline recipe -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "key", "problem"),
    [
        ("models:\n  a:\n    epoch: 3", 8, "models.a.epoch", "did you mean epochs?"),
        ("models:\n  a:\n    network:\n      nam: resnet50", 9, "models.a.network.nam", "name?"),
        ("models:\n  a:\n    epochs: 0", 8, "models.a.epochs", "above 0"),
        ("models:\n  a: 5", 7, "models.a", "is a section"),
        ("models:\n  a: [1]", 7, "models.a", "is a section"),
        ("models:\n  a: big", 7, "models.a", "is a section"),
        ("models:\n  a:\n    network: 5", 8, "models.a.network", "is a section"),
        ("models:\n  a:\n    network: [5]", 8, "models.a.network", "is a section"),
        ("models: [a]", 6, "models", "is a section"),
        ("models: {}", 6, "models", "at least one"),
        ("models: {dataset: }", 6, "models", "'dataset'"),
        ("models: {comparison: }", 6, "models", "'comparison'"),
        ("models: {a/b: }", 6, "models", "'a/b'"),
        ("models: {pretrained: }", 6, "models", "'pretrained', a reserved value"),
        ("models: {phase_code: }", 6, "models", "'phase_code', a reserved value of `teacher`"),
        ("models:\n  a:\n    run: x", 8, "models.a.run", "set by the pipeline"),
        ("models:\n  a:\n    seed: 3", 8, "models.a.seed", "set by the pipeline"),
        ("models:\n  a:\n    distillation: {teacher: b}\n  b:", 8, "models.a.distillation.teacher",
         "must come before a"),
        ("models:\n  a:\n    network: {weights: b}\n  b:", 8, "models.a.network.weights",
         "must come before a"),
        ("models:\n  a:\n    distillation: {teacher: a}", 8, "models.a.distillation.teacher",
         "must come before a"),
        ("seed: -1\nmodels: {a: }", 6, "seed", "between 0"),
        ("models:\n  a:\n    distillation: {teacher: resnet5O}", 8, "models.a.distillation.teacher",
         "neither an existing file nor a model"),
        ("models:\n  a:\n    network: {weights: gone.keras}", 8, "models.a.network.weights",
         "neither an existing file nor a model"),
        ("models: {eyes: }", 6, "models", "'eyes'"),
        ("models: {a: }\nprecisions: []", 7, "precisions", "at least one"),
        ("models: {a: }\nprecisions: [int4]", 7, "precisions", "int16x8, dynamic8, int8, dynamic4"),
        ("models: {a: }\nprecisions: float32", 7, "precisions", "is a list"),
        ("models: {a: }\nlatency:\n  runs: 3", 8, "latency.runs", "between 50"),
        ("models: {a: }\nlatency:\n  threads: [0]", 8, "latency.threads", "between 1"),
        ("models: {a: }\ntrainin: {}", 7, "trainin", "did you mean training?"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_pipeline_names_key_and_line(write, text, line, key, problem):
    path = write(PIPELINE + text)
    assert_found(path, PipelineRecipe, line, key, problem)


@pytest.mark.parametrize(
    ("text", "line", "key", "problem"),
    [
        ("parts: {}", 3, "parts", "at least one"),
        ("parts: 5", 3, "parts", "is a section"),
        ("parts:\n  a: 5", 4, "parts.a", "is a section"),
        ("parts:\n  a:", 4, "parts.a", "is a section"),
        ("parts:\n  a: {height: 100}", 4, "parts.a.height", "a multiple of 48, but is 100"),
        ("parts:\n  a:\n    epoch: 3", 5, "parts.a.epoch", "did you mean epochs?"),
        ("parts:\n  a:\n    epochs: 0", 5, "parts.a.epochs", "above 0"),
        ("parts:\n  a:\n    epochs: few", 5, "parts.a.epochs", "is invalid"),
        ("parts: {a/b: {}}", 3, "parts", "'a/b'"),
        ("parts: {a: {eyes: 80, epochs: 1}}\nwarm_steps: 11", 4, "warm_steps", "between 0 and 10"),
    ],
)
def test_a_mistake_in_the_segmenter_s_recipe_names_key_and_line(write, text, line, key, problem):
    path = write("run: out\nout: models\n" + text)
    assert_found(path, SegmenterRecipe, line, key, problem)


def test_parts_of_the_segmenter_s_training_keep_their_order(write):
    path = write("run: out\nout: models\nparts: {z: {height: 96}, a: {eyes: 8000}}\n")
    recipe = load_recipe(path, SegmenterRecipe, ["parts.a.epochs=3"])
    assert list(recipe.parts) == ["z", "a"]
    assert (recipe.parts["z"].height, recipe.parts["a"].epochs) == (96, 3)
    written = write(recipe_yaml(recipe))
    assert load_recipe(written, SegmenterRecipe) == recipe


@pytest.mark.parametrize(
    ("text", "line", "key", "problem"),
    [
        ("training:\n  epoch: 3\nmodels: {a: }", 4, "training.epoch", "did you mean epochs?"),
        ("training:\n  epochs: -3\nmodels:\n  a:", 4, "training.epochs", "above 0"),
        ("training:\n  dataset: x\nmodels: {a: }", 4, "training.dataset", "set by the pipeline"),
        ("training: 5\nmodels: {a: }", 3, "training", "is a section"),
        ("training: [5]\nmodels: {a: }", 3, "training", "is a section"),
        ("training:\n  network: 5\nmodels: {a: }", 4, "training.network", "is a section"),
    ],
)
def test_a_mistake_in_what_models_share_is_found_there(write, text, line, key, problem):
    path = write("run: out\ndataset: {images: eyes}\n" + text)
    assert_found(path, PipelineRecipe, line, key, problem)


@pytest.mark.parametrize(
    ("dataset", "key", "problem"),
    [
        ("", "dataset", "is a section"),
        ("{}", "dataset.images", "either"),
        ("{images: x, synthetic: {subjects: 3, images: 2}}", "dataset.images", "either"),
        ("{synthetic: 5}", "dataset.synthetic", "is a section"),
        ("{synthetic: {subjects: 1, images: 2}}", "dataset.synthetic.subjects", "between 3"),
        (
            "{synthetic: {subjects: 3, images: 2, cameras: some}}",
            "dataset.synthetic.cameras",
            "one, many",
        ),
        ("{synthetic: {subject: 3, images: 2}}", "dataset.synthetic.subject", "mean subjects?"),
        ("{synthetic: {subjects: 3}}", "dataset.synthetic.images", "has no value"),
        ("{images: x, roi_mode: square}", "dataset.roi_mode", "algorithm1, aligned, unrolled"),
        ("{images: x, split_by: eye}", "dataset.split_by", "subject, identity"),
    ],
)
def test_a_mistake_in_the_dataset_section(write, dataset, key, problem):
    path = write(f"run: out\nmodels: {{a: }}\ndataset: {dataset}\n")
    assert_found(path, PipelineRecipe, 3, key, problem)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("models.a.epochs=-3", "models.a.epochs"),
        ("training.epochs=0", "training.epochs"),
        ("models.a.nework.name=x", "models.a.nework"),
        ("models.a=3", "models.a"),
        ("latency.runs=1", "latency.runs"),
    ],
)
def test_a_mistaken_override_of_a_pipeline(write, override, key):
    path = write(PIPELINE + "models:\n  a:\n")
    assert error_of(path, PipelineRecipe, [override]).startswith(f"command line: {key} ")


# -- Mistakes in the recipe of a release -----------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "key", "problem"),
    [
        ("precisions=[float32]", "precisions", "must contain float16"),
        ("strips.validation=6999", "strips.identities", "between 7001"),
        ("strips.views=1", "strips.views", "between 2"),
        ("models={real: {}}", "models", "'real'"),
        ("real={a/b: eyes}", "real", "'a/b'"),
        ("training.epochs=0", "training.epochs", "above 0"),
    ],
)
def test_a_mistake_in_a_release(write, override, key, problem):
    path = write("run: out\nout: models\ntraining: {epochs: 40}\nmodels: {a: }\n")
    assert list(load_recipe(path, ReleaseRecipe, ["real.a-b=eyes"]).real) == ["a-b"]
    message = error_of(path, ReleaseRecipe, [override])
    assert message.startswith(f"command line: {key} ")
    assert problem in message


# -- Comparing recipes -----------------------------------------------------------------------------


def test_the_first_difference_names_key_and_both_values(write):
    one = load_recipe(write(TRAIN), TrainRecipe)
    two = load_recipe(write(TRAIN), TrainRecipe, ["optimizer.head.maximum=0.01", "xla=true"])
    difference = first_difference(recipe_yaml(one), recipe_yaml(two))
    assert re.search(r"optimizer\.head\.maximum.*0\.005.*0\.01", difference)
    assert first_difference(recipe_yaml(one), recipe_yaml(one)) is None


def test_a_longer_list_is_the_difference_and_not_the_line_that_it_moved(write):
    one = load_recipe(write(TRAIN), TrainRecipe, ["network.attention=[a]"])
    two = load_recipe(write(TRAIN), TrainRecipe, ["network.attention=[a,b]"])
    assert first_difference(recipe_yaml(one), recipe_yaml(two)).startswith("network.attention is ")


def test_a_model_more_is_a_difference(write):
    one = load_recipe(write(PIPELINE + "models: {a: }"), PipelineRecipe)
    two = load_recipe(write(PIPELINE + "models: {a: , b: {epochs: 30}}"), PipelineRecipe)
    assert "models.b.epochs is absent there and 30 here" in first_difference(
        recipe_yaml(one), recipe_yaml(two)
    )


# -- Recipes of earlier versions -------------------------------------------------------------------


def test_a_former_name_means_the_same(write):
    text = TRAIN + "batch: {layout: balanced}\n"
    today = load_recipe(write(text + "objective: contrastive"), TrainRecipe)
    assert load_recipe(write(text + "loss: contrastive"), TrainRecipe) == today
    assert load_recipe(write(text), TrainRecipe, ["loss=contrastive"]) == today
    assert today.objective == "contrastive"
    # An override counts more than the file, whichever name either has.
    triplet = load_recipe(write(text + "loss: contrastive"), TrainRecipe, ["objective=triplet"])
    assert triplet.objective == "triplet"
    again = load_recipe(write(text + "objective: triplet"), TrainRecipe, ["loss=contrastive"])
    assert again == today


def test_both_names_at_once_are_refused(write):
    path = write(TRAIN + "loss: triplet\nobjective: contrastive")
    message = error_of(path, TrainRecipe)
    assert message.startswith(str(path))
    assert "`loss` is the former name of `objective`" in message


def test_a_recipe_that_lacks_later_settings_is_that_of_their_defaults(write):
    """As written by versions without them; its folder can be continued."""
    text = recipe_yaml(load_recipe(write(PIPELINE + "models:\n  a:\n"), PipelineRecipe))
    later = ("  channels: null\n", "  split: null\n", "  folds: null\n", "    cameras: one\n",
             "repeats: 1\n")  # fmt: skip
    former = text
    for line in later:
        assert text.count(line) == 1
        former = former.replace(line, "")
    assert first_difference(former, text) is None
    # Stated channels are those that earlier versions wrote, and that a folder without them has.
    grey = text.replace("channels: null", "channels: 1")
    assert first_difference(grey, text) is None and first_difference(former, grey) is None
    colour = text.replace("channels: null", "channels: 3")
    assert first_difference(text, colour) == "dataset.channels is None there and 3 here"
    many = text.replace("cameras: one", "cameras: many")
    assert first_difference(former, many) == "dataset.synthetic.cameras is one there and many here"


@pytest.mark.parametrize("teacher", ["pretrained", "phase_code"])
def test_teachers_of_a_pipeline_may_be_named_ones(write, teacher):
    text = f"models:\n  a: {{distillation: {{teacher: {teacher}, distiller: relational}}}}\n"
    recipe = load_recipe(write(PIPELINE + text), PipelineRecipe)
    assert model_recipes(recipe)["a"].distillation.teacher == teacher


def test_students_are_trained_again_with_further_seeds(write):
    text = PIPELINE + (
        "seed: 5\nrepeats: 3\nmodels:\n"
        "  teacher:\n"
        "  start: {epochs: 30}\n"
        "  plain: {epochs: 20}\n"
        "  taught: {distillation: {teacher: teacher}, network: {weights: start}}\n"
    )
    recipe = load_recipe(write(text), PipelineRecipe)
    models = model_recipes(recipe)
    assert [(name, model.seed) for name, model in models.items()] == [
        ("teacher", 5), ("start", 5), ("plain", 5), ("taught", 5),
        ("plain_2", 6), ("taught_2", 6), ("plain_3", 7), ("taught_3", 7),
    ]  # fmt: skip
    assert trainings(recipe) == {
        "teacher": ["teacher"],
        "start": ["start"],
        "plain": ["plain", "plain_2", "plain_3"],
        "taught": ["taught", "taught_2", "taught_3"],
    }
    assert models["taught_3"] == replace(models["taught"], run="out/taught_3", seed=7)


def test_a_model_called_like_the_repeat_of_another(write):
    text = PIPELINE + "repeats: 2\nmodels:\n  plain:\n  plain_2:\n"
    with pytest.raises(RecipeError, match="has plain_2, as repeat 2 of plain is called"):
        model_recipes(load_recipe(write(text), PipelineRecipe))


def test_former_names_in_a_pipeline(write):
    text = PIPELINE.replace("training:\n", "training:\n  loss: triplet\n") + (
        "models:\n  a:\n  b: {loss: contrastive, batch: {layout: balanced}}\n"
        "  c: {objective: contrastive, batch: {layout: balanced}}\n"
    )
    models = model_recipes(load_recipe(write(text), PipelineRecipe))
    assert [model.objective for model in models.values()] == ["triplet"] + 2 * ["contrastive"]
    wrong = text + "  d: {loss: hinge}\n"
    assert_found(write(wrong), PipelineRecipe, 11, "models.d.loss", "triplet, contrastive")
    one, two = (recipe_yaml(load_recipe(write(text), PipelineRecipe)) for _ in range(2))
    assert first_difference(one.replace("objective:", "loss:"), two) is None
    assert first_difference(text, text.replace("loss: contrastive", "loss: triplet")) == (
        "models.b.objective is contrastive there and triplet here"
    )


def test_a_setting_that_became_a_constant_is_dropped_where_it_has_its_value(write):
    path = write(TRAIN + "network: {name: resnet50, attention_kernel: 7}")
    assert load_recipe(path, TrainRecipe).network.name == "resnet50"
    path = write(TRAIN + "network: {name: resnet50, attention_kernel: 5}")
    assert "network.attention_kernel is always 7 now; leave it out" in error_of(path, TrainRecipe)


OLD = Path(__file__).parents[1] / "data" / "written_by_0_1_0"


@pytest.mark.parametrize("former", ["true", "false"])
def test_finishing_without_its_former_key_is_the_same(write, former):
    text = f"run: a\nout: b\nmodels: {{m: {{}}}}\nfinish: {{coarse: 0.5, statistics: {former}}}\n"
    recipe = load_recipe(
        write(text), ReleaseRecipe, ["training.network.weights=none", "training.unfreeze_epochs=0"]
    )
    assert recipe.finish == FinishRecipe(coarse=0.5)
    assert first_difference(text, text.replace(f", statistics: {former}", "")) is None


@pytest.mark.parametrize("name", ["triplet", "contrastive"])
def test_a_resolved_recipe_of_an_earlier_version_is_written_as_today(name):
    path = OLD / f"stopped_{name}" / "recipe.yaml"
    old = path.read_text()
    assert f"\nloss: {name}\n" in old
    recipe = load_recipe(path, TrainRecipe)
    assert recipe.objective == name
    assert (recipe.distillation.distiller, recipe.optimizer.name) == ("cosine", "adamw")
    assert renewed_yaml(old, TrainRecipe) == recipe_yaml(recipe)


# -- Text on the command line ---------------------------------------------------------------------


@pytest.mark.parametrize("text", ["007", "on", "1_000", "1e3", "2026-11-29", "yes", "0x1f", "a: b"])
def test_text_on_the_command_line_stays_text(write, text):
    recipe = load_recipe(write(TRAIN), TrainRecipe, [f"run={text}", f"network.weights={text}"])
    assert (recipe.run, recipe.network.weights) == (text, text)


def test_quotes_and_null_on_the_command_line_are_read_as_in_the_file(write):
    overrides = ["run='007'", "distillation.teacher=null", "epochs=9"]
    recipe = load_recipe(write(TRAIN), TrainRecipe, overrides)
    assert (recipe.run, recipe.distillation.teacher, recipe.epochs) == ("007", None, 9)


def test_text_for_the_models_of_a_pipeline_stays_text(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "007").mkdir()
    text = PIPELINE + "models: {a: {network: {name: resnet50}}}\n"
    overrides = ["run=08", "models.a.distillation.teacher=007"]
    recipe = load_recipe(write(text), PipelineRecipe, overrides)
    assert recipe.run == "08"
    assert model_recipes(recipe)["a"].distillation.teacher == "007"


def test_folders_by_name_stay_text(write):
    text = "run: out\nout: released\nmodels: {a: {network: {weights: none}, unfreeze_epochs: 0}}\n"
    assert load_recipe(write(text), ReleaseRecipe, ["real.mine=007"]).real == {"mine": "007"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network: {input_size: [[1], [2]]}", r"network\.input_size\[0\] is invalid: .*Integer"),
        ("network: {attention: [{a: 7}]}", r"network\.attention\[0\] is invalid: .*string"),
    ],
)
def test_elements_of_lists_are_checked(write, text, message):
    with pytest.raises(RecipeError, match=rf"line 3: {message}"):
        load_recipe(write(f"dataset: data\nrun: run\n{text}"), TrainRecipe)


def test_a_section_may_not_be_a_reference_to_nothing(write):
    with pytest.raises(RecipeError, match=r"recipe\.yaml: .*run"):
        load_recipe(write("out: o\nparts: {first: '${nothing}'}"), SegmenterRecipe)
