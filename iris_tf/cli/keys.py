"""Keys of encrypted files and of transforms, as commands take them."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from iris_tf.matching.keyed_transform import KeyedTransform
    from iris_tf.matching.secret_keys import SecretKey
    from iris_tf.recognition.recognizer import IrisRecognizer

KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="FILE|keyring:NAME",
        help="Key of encrypted files; without it, the one in the environment variable IRIS_TF_KEY.",
    ),
]


def key_given(option: str | None) -> "SecretKey | None":
    """Key that an option names, else that of the environment, else None."""
    from iris_tf.matching.secret_keys import SecretKey, key_or_none

    return key_or_none(option) or SecretKey.from_environment()


def key_required(option: str | None) -> "SecretKey":
    """Key that an option names, else that of the environment."""
    key = key_given(option)
    if key is None:
        raise typer.BadParameter(
            "give --key, or the key in the environment variable IRIS_TF_KEY; `iris-tf gallery key` "
            "makes one"
        )
    return key


TransformOption = Annotated[
    str | None,
    typer.Option(
        "--transform",
        metavar="FILE|keyring:NAME",
        help="Key of the transform that templates are protected by.",
    ),
]


def transform_given(option: str | None, recognizer: "IrisRecognizer") -> "KeyedTransform | None":
    """Keyed transform of the templates of a recogniser, if an option names its key."""
    from iris_tf.matching.keyed_transform import KeyedTransform
    from iris_tf.matching.secret_keys import key_or_none

    key = key_or_none(option)
    return None if key is None else KeyedTransform(key, recognizer.matcher)
