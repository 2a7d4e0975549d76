"""Opens a model file on the runtime that it is for, told apart by content: a file's name proves nothing."""

from pathlib import Path

from airlock.errors import UserError
from airlock.model.runnable import EXPORT_HINT, Engine, RunnableModel

LITERT_MAGIC = b"TFL3"  # at byte 4: the file identifier of TensorFlow Lite's FlatBuffers schema
ONNX_VERSION_FIELD = b"\x08"  # ONNX has no magic; the first field of a ModelProto is ir_version, a varint


def open_model(path: Path, threads: int = 1) -> RunnableModel:
    """Open a LiteRT or an ONNX file.

    :param threads: CPU threads of one prediction.
    :raises UserError: it is neither, or its runtime cannot read it.
    """
    if engine_of(path) == "litert":
        from airlock.model.litert import LiteModel

        return LiteModel(path, threads)
    from airlock.model.onnx import OnnxModel

    return OnnxModel(path, threads)


def engine_of(path: Path) -> Engine:
    """Say which runtime a file is for.

    :raises UserError: it cannot be read, or is for neither.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror}.", hint=EXPORT_HINT) from error
    if head[4:] == LITERT_MAGIC:
        return "litert"
    if head.startswith(ONNX_VERSION_FIELD):
        return "onnx"
    raise UserError(f"{path.name} is neither a LiteRT nor an ONNX model.", hint=EXPORT_HINT)
