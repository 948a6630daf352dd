"""The closed lists of names that recipes, commands and files use, each written once."""

IRIS_ROI_MODES = ("algorithm1", "aligned", "unrolled")
"""ROI modes that cut along the outlines of pupil and iris, so they need a segmenter."""

IMAGE_ROI_MODES = ("whole", "center")
"""ROI modes that need no iris: the image itself, or its central square."""

ROI_MODES = (*IRIS_ROI_MODES, *IMAGE_ROI_MODES)
"""How a crop is cut from an image (`iris_tf.segmentation.roi_modes`)."""

DEFAULT_SEGMENTER = "network"
"""Segmenter of recipes and commands (all: `iris_tf.segmentation.segmenter.SEGMENTERS`)."""

KINDS = ("auto", "eye", "roi")
"""What an image to be recognised is: an eye image or a finished crop; ``auto``: its pixels tell."""

NO_SEGMENTER = "none"
"""In the place of a segmenter's name: images are cropped without locating an iris."""

SPLIT_BY = ("subject", "identity")
"""What a train/val/test split keeps together."""

SPLIT_BY_ALIASES = {"person": "subject"}
"""Earlier spellings in recipes, commands and ``dataset.json``, and what they are now."""

CHANNELS = (1, 3)
"""Channels of a dataset's crops: grey, or red, green and blue."""

SPLITS = ("train", "val", "test")
"""Splits of a prepared dataset."""

ALL_SPLITS = "all"
"""In the place of a split's name: all images of a dataset."""

PROTOCOLS = ALL_PAIRS, SAME_EYE, ACROSS_DATASETS = ("all-pairs", "same-eye", "across-datasets")
"""Which images of a set are compared (`iris_tf.evaluation.protocols`)."""

PAIR_LISTS = "pair-lists"
"""Protocol of comparisons that are listed in files."""

BASELINES = ("iriscode",)
"""What a model can be compared with, besides other models (`iris_tf.evaluation.iriscode`)."""

FALSE_MATCH_RATES = {"far_1e-2": 1e-2, "far_1e-3": 1e-3}
"""Operating points of model cards and calibrations that are set by a FAR, with that FAR."""

OPERATING_POINTS = ("eer", *FALSE_MATCH_RATES)
"""Thresholds of a model card."""

IMAGE_FORMATS = ("jpg", "png")
"""Files that generated eyes are written to."""

CAMERAS = ("one", "many")
"""What takes the images of generated eyes (`iris_tf.synthetic.dataset_writer`)."""

CARD_NAME = "model_card.json"
"""File beside a model that says how to crop, compare and decide with it."""

FMRS = {"fmr_1e-2": 1e-2, "fmr_1e-3": 1e-3, "fmr_1e-4": 1e-4, "fmr_1e-5": 1e-5}
"""Operating points at which an evaluation measures the FNMR, with their FMR."""

VERIFICATION_POINT, IDENTIFICATION_POINT = "far_1e-2", "far_1e-3"
"""Operating points at which decisions are made by default.

Identification has the stricter one, because every template of a gallery may cause a false match.
"""

NAMED_WEIGHTS = ("none", "imagenet", "pretrained")
"""What `network.weights` can be besides a file or a model of the same recipe."""

OBJECTIVES = ("triplet", "contrastive")
"""What a training can minimise (`iris_tf.objectives.registry`)."""

DISTILLERS = ("cosine",)
"""How student and teacher can be compared (`iris_tf.objectives.registry`)."""

TERM_WEIGHTS = ("constant", "scheduled")
"""How the terms of an objective become one loss (`iris_tf.objectives.registry`)."""

OPTIMIZERS = ("adamw", "sgd")
"""How parameters can be changed (`iris_tf.training.optimizer`)."""

POOLINGS = ("average", "depthwise", "placed")
"""How an embedding head pools its feature map (`iris_tf.networks.head`)."""

NORMALIZATIONS = ("imagenet", "local_contrast")
"""How a network normalises its crops (`iris_tf.networks.input_normalization`)."""
