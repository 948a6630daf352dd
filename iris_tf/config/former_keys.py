"""What keys of recipes were called before, so that recipes and runs of earlier versions load."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from iris_tf.support.errors import RecipeError

RENAMED = {"loss": "objective"}
"""Keys of a training section: former name to today's."""

RETIRED = {"attention_kernel": 7}
"""Keys of a training's `network` that became constants, and their value."""


def renew(values: DictConfig) -> DictConfig:
    """Give a recipe today's keys.

    Parameters
    ----------
    values : DictConfig
        Any recipe as it was read, or the values of an override; changed in place.

    Returns
    -------
    DictConfig
        The same.

    Raises
    ------
    RecipeError
        When a section has a key under both names.
    """
    for section in _training_sections(values):
        for former, today in RENAMED.items():
            if former not in section:
                continue
            if today in section:
                raise RecipeError(
                    f"`{former}` is the former name of `{today}`, and both are given; remove one."
                )
            section[today] = section.pop(former)
        network = _plain(section, "network")
        if OmegaConf.is_dict(network):
            for name, constant in RETIRED.items():
                if name in network and network[name] == constant:
                    network.pop(name)
    return values


def retired(key: str) -> str:
    """Why a key is not known any more; empty for any other key."""
    section, _, name = key.rpartition(".")
    if section.rpartition(".")[2] == "network" and name in RETIRED:
        return f"is always {RETIRED[name]} now; leave it out"
    return ""


def former_name(key: str) -> str:
    """What a key was called before; the key itself where it has always been called so."""
    section, dot, name = key.rpartition(".")
    former = {today: before for before, today in RENAMED.items()}
    return f"{section}{dot}{former.get(name, name)}"


def _training_sections(values: DictConfig) -> Iterator[Any]:
    """The recipe itself if it is a training's, and a pipeline's sections of the same keys."""
    models = _plain(values, "models")
    sections = [values, _plain(values, "training")]
    if OmegaConf.is_dict(models):
        sections += [_plain(models, name) for name in models]
    return (section for section in sections if OmegaConf.is_dict(section))


def _plain(values: DictConfig, key: str) -> Any:
    """A value, or None where it is absent or stands for another one."""
    if key not in values or OmegaConf.is_missing(values, key):
        return None
    return None if OmegaConf.is_interpolation(values, key) else values[key]
