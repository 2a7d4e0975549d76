"""The body of a prediction: the input itself, or a form of several (RFC 7578)."""

from collections.abc import Mapping

BOUNDARY = "airlock-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def request_of(sent: Mapping[str, bytes], types: Mapping[str, str]) -> tuple[bytes, str]:
    """Return body and content type of a prediction.

    :param sent: what is sent, by input's name; ``types`` the MIME types.
    """
    if len(sent) == 1:
        return next(iter(sent.values())), next(iter(types.values()))
    parts = [_part(name, types[name], data) for name, data in sent.items()]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode(), FORM


def _part(name: str, mime_type: str, data: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
    return head.encode() + f"Content-Type: {mime_type}\r\n\r\n".encode() + data + b"\r\n"
