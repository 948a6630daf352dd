"""Former recipe keys, so that recipes and runs of earlier versions still load."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from iris_tf.support.errors import RecipeError

RENAMED = {"loss": "objective"}
"""Renamed keys of a training section: former name to current name."""

RETIRED = {"attention_kernel": 7}
"""Keys of a training's `network` that are constants now, with their values."""


_FORMER_FINISH = "statistics"
"""Former key of a release's `finish`; `unplaced` decides now."""


def renew(values: DictConfig) -> DictConfig:
    """Replace former keys of a recipe by the current ones.

    Parameters
    ----------
    values : DictConfig
        Any recipe as read, or the values of an override; modified in place.

    Returns
    -------
    DictConfig
        `values`.

    Raises
    ------
    RecipeError
        If a section has a key under both names.
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
    finish = _plain(values, "finish")
    if OmegaConf.is_dict(finish) and _FORMER_FINISH in finish:
        finish.pop(_FORMER_FINISH)
    return values


def retired(key: str) -> str:
    """Why a retired key is unknown; empty for other keys."""
    section, _, name = key.rpartition(".")
    if section.rpartition(".")[2] == "network" and name in RETIRED:
        return f"is always {RETIRED[name]} now; leave it out"
    return ""


def former_name(key: str) -> str:
    """Former name of a key; the key itself if it was never renamed."""
    section, dot, name = key.rpartition(".")
    former = {today: before for before, today in RENAMED.items()}
    return f"{section}{dot}{former.get(name, name)}"


def _training_sections(values: DictConfig) -> Iterator[Any]:
    """The recipe itself, and sections of a pipeline that have the keys of a training recipe."""
    models = _plain(values, "models")
    sections = [values, _plain(values, "training")]
    if OmegaConf.is_dict(models):
        sections += [_plain(models, name) for name in models]
    return (section for section in sections if OmegaConf.is_dict(section))


def _plain(values: DictConfig, key: str) -> Any:
    """A value, or None if it is absent or an interpolation."""
    if key not in values or OmegaConf.is_missing(values, key):
        return None
    return None if OmegaConf.is_interpolation(values, key) else values[key]
