"""A compute profile whose pods see the machine's own file system in place of an image."""

import sys
from pathlib import Path
from typing import Any

import airlock

NAMESPACE = "airlock-test"


def host_profile(folders: list[Path], plugins: Path, pull: str = "Never", **more: Any) -> dict[str, Any]:
    """Return a profile whose pods run this machine's Python, as root because the test's files are root's.

    :param folders: what the step needs beside the interpreter and the project.
    """
    # As it is named and where it leads: a virtual environment names its interpreter either way.
    needed = [Path(sys.prefix), Path(sys.base_prefix), Path(airlock.__file__).parents[1], *folders]
    needed = sorted({each for path in needed for each in (path, path.resolve())})
    outer = [path for path in needed if not any(other in path.parents for other in needed)]
    mounts = {f"host-{number}": str(path) for number, path in enumerate(outer)} | {"usr": "/usr", "etc": "/etc"}
    container = {
        "name": "step",
        "imagePullPolicy": pull,
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items()],
    }
    profile: dict[str, Any] = {
        "place": "pod",
        "image": "localhost/host:1",
        "namespace": NAMESPACE,
        "resources": {"memory": "1500Mi"},
        "environment": {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "PYTHONPATH": str(plugins), "HOME": "/tmp"},
        "grace": 5,
        "restart_delay": 0.1,
        "pod": {
            "hostNetwork": True,
            "securityContext": {"runAsNonRoot": False, "runAsUser": 0},
            "containers": [container],
            "volumes": [{"name": name, "hostPath": {"path": path}} for name, path in mounts.items()],
        },
    }
    return profile | more
