"""Closed lists of names in recipes, commands and files, each defined once."""

IRIS_ROI_MODES = ("algorithm1", "aligned", "unrolled")
"""ROI modes that crop along the outlines of pupil and iris, and therefore need a segmenter."""

IMAGE_ROI_MODES = ("whole", "center")
"""ROI modes that need no iris: the image itself, or its central square."""

ROI_MODES = (*IRIS_ROI_MODES, *IMAGE_ROI_MODES)
"""Ways of cropping an image (`iris_tf.segmentation.roi_modes`)."""

DEFAULT_SEGMENTER = "network"
"""Default segmenter of recipes and commands; see `iris_tf.segmentation.segmenter.SEGMENTERS`."""

KINDS = ("auto", "eye", "roi")
"""Kinds of images to recognise: eye image or ROI crop; ``auto`` decides by the image's pixels."""

NO_SEGMENTER = "none"
"""Instead of a segmenter's name: images are cropped without locating an iris."""

SPLIT_BY = ("subject", "identity")
"""Unit that a train/val/test split keeps together."""

BY_SUBJECT = "subject"
"""Both eyes of a subject are one identity, as in periocular recognition with mirrored left eyes."""

IDENTITIES = ("eye", BY_SUBJECT)
"""What counts as one identity, where subjects have both eyes."""

CLOSED_WORLD = "image"
"""Instead of a unit of `SPLIT_BY`: splits of a table may separate images of one identity."""

SPLIT_BY_ALIASES = {"person": "subject"}
"""Former spellings in recipes, commands and ``dataset.json``, with the current ones."""

CHANNELS = (1, 3)
"""Channels of a dataset's crops: grey, or red, green and blue."""

SPLITS = ("train", "val", "test")
"""Splits of a prepared dataset."""

ALL_SPLITS = "all"
"""Instead of a split's name: all images of a dataset."""

PROTOCOLS = ALL_PAIRS, SAME_EYE, ACROSS_DATASETS = ("all-pairs", "same-eye", "across-datasets")
"""Which images of a set are compared (`iris_tf.evaluation.protocols`)."""

PAIR_LISTS = "pair-lists"
"""Protocol of comparisons that are listed in files."""

BASELINES = ("iriscode",)
"""Baselines besides other models (`iris_tf.evaluation.iriscode`)."""

FALSE_MATCH_RATES = {"far_1e-2": 1e-2, "far_1e-3": 1e-3}
"""Operating points of model cards and calibrations that are set by a FAR, with that FAR."""

OPERATING_POINTS = ("eer", *FALSE_MATCH_RATES)
"""Thresholds of a model card."""

IMAGE_FORMATS = ("jpg", "png")
"""File formats of generated eyes."""

CAMERAS = ("one", "many")
"""Simulated cameras of generated eyes (`iris_tf.synthetic.dataset_writer`)."""

CARD_NAME = "model_card.json"
"""File beside a model that specifies its crops, comparison and thresholds."""

FMRS = {"fmr_1e-2": 1e-2, "fmr_1e-3": 1e-3, "fmr_1e-4": 1e-4, "fmr_1e-5": 1e-5}
"""Operating points at which an evaluation measures the FNMR, with their FMR."""

SCORE_RATES = {**FMRS, "fmr_1e-6": 1e-6}
"""Operating points of scores, with the FMR of each; in a search, with the rate at which an eye that
is not enrolled matches any image of the gallery."""

SCORE_POINT = "fmr_1e-4"
"""Default operating point of decisions by score."""

LENIENT_POINT, STRICT_POINT = "far_1e-2", "far_1e-3"
"""Default operating points of decisions by similarity, where a card has no scores.

Verification has the lenient one where too few comparisons support the strict one. Identification
always has the strict one, because every template of a gallery may cause a false match.
"""

NAMED_WEIGHTS = ("none", "imagenet", "pretrained")
"""Values of `network.weights` besides a file or a model of the same recipe."""

PHASE_CODE = "phase_code"
"""Teacher that needs no training: the phase code of unrolled strips."""

NAMED_TEACHERS = ("pretrained", PHASE_CODE)
"""Values of `distillation.teacher` besides a run, a file or a model of the same recipe."""

CLASSIFIERS = ("arcface", "cosface", "softmax")
"""Training objectives that classify the training identities."""

OBJECTIVES = ("triplet", "contrastive", *CLASSIFIERS)
"""Training objectives (`iris_tf.objectives.registry`)."""

DISTILLERS = ("cosine", "soft_labels", "features", "relational", "hybrid", "afl")
"""Distillers, which compare student and teacher (`iris_tf.objectives.registry`)."""

LOGIT_DISTILLERS = ("soft_labels", "hybrid", "afl")
"""Distillers that compare class logits, and need an objective of `CLASSIFIERS`."""

FEATURE_DISTILLERS = ("features", "afl")
"""Distillers that compare feature maps."""

AFL_TERMS = ("soft_labels", "features")
"""Loss terms of the distiller afl, the only one with several."""

RELATIONS = ("distance", "angle", "distance_angle", "similarity")
"""Relations of the relational distiller (`iris_tf.objectives.relations`)."""

TERM_WEIGHTS = ("constant", "scheduled", "gradient_norm")
"""Weightings of the terms of an objective (`iris_tf.objectives.registry`)."""

NORM_ORDERS = ("matched", "printed")
"""Which gradient norm weighs which term (`iris_tf.objectives.gradient_norm_weights`)."""

LAYOUTS_OF_BATCHES = ("triplet", "balanced", "shuffled")
"""Samplings of batches (`iris_tf.training.batches`)."""

STRATEGIES = ("single", "mirrored", "multi_worker")
"""Distribution of a training over devices and workers (`iris_tf.training.strategies`)."""

OPTIMIZERS = ("adamw", "sgd")
"""Optimisers (`iris_tf.training.optimizer`)."""

POOLINGS = ("average", "depthwise", "placed", "gdconv")
"""Pooling of the feature map in the embedding head (`iris_tf.networks.head`)."""

NORMALIZATIONS = ("imagenet", "local_contrast")
"""Input normalisations of a network (`iris_tf.networks.input_normalization`)."""
