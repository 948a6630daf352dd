"""The closed lists of names that recipes, commands and files use, each written once."""

ROI_MODES = ("algorithm1", "aligned", "unrolled")
"""How a crop is cut from an eye image (`iris_tf.segmentation.roi_modes`)."""

CARD_NAME = "model_card.json"
"""File beside a model that says how to crop, compare and decide with it."""

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
