"""The closed lists of names that recipes, commands and files use, each written once."""

ROI_MODES = ("algorithm1", "aligned", "unrolled")
"""How a crop is cut from an eye image (`iris_tf.segmentation.roi_modes`)."""

CARD_NAME = "model_card.json"
"""File beside a model that says how to crop, compare and decide with it."""

NAMED_WEIGHTS = ("none", "imagenet", "pretrained")
"""What `network.weights` can be besides a file or a model of the same recipe."""
