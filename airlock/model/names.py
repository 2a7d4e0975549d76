"""Names in MLflow: the tags that tie runs and versions to what Airlock stores by digest, and those of parameters."""

import re

CHAIN = "airlock.chain"
DATASET = "airlock.dataset"
DATA_MANIFEST = "airlock.data_manifest"
ENVIRONMENT = "airlock.environment"
LOCK = "airlock.environment_lock"
LOGGED_MODEL = "airlock.logged_model"
MANIFEST = "airlock.manifest"
MODEL = "airlock.model"
NETWORK = "airlock.network"
PARENT = "airlock.parent"
REVISES = "airlock.revises"
SEED = "airlock.seed"
TASK = "airlock.task"
TENSORS = "airlock.tensors"

WORDS = {"*": ":any", "?": ":one", "[": ":of", "]": ":end", "!": ":not"}


def parameter_name(key: str) -> str:
    """Return a parameter's name in MLflow, which takes no quotes, stars or brackets.

    ``net["conv*"].lr`` becomes ``net/conv:any/lr``; different keys become different names, others stay as they are.
    """
    found = re.fullmatch(r"""net\[(["'])(.+)\1\]\.(.+)""", key)
    if not found:
        return key
    return f"net/{''.join(WORDS.get(each, each) for each in found[2])}/{found[3]}"
