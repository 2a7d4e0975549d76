"""Training a network: interrupted anywhere, it goes on as if nothing had happened."""

from airlock.model.training.checkpoints import Checkpoint, CheckpointStore
from airlock.model.training.fitting import Interrupted
from airlock.model.training.loop import Trained, Training
from airlock.model.training.schedule import Schedule
from airlock.model.training.sharing import Group, join

__all__ = ["Checkpoint", "CheckpointStore", "Group", "Interrupted", "Schedule", "Trained", "Training", "join"]
