"""A real S3 for tests: radosgw on a one-process Ceph in memory, from Debian's packages, on 127.0.0.1.

``apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common``; it runs as root, without systemd, and
is up in about 15 seconds. Unlike a mock it has real authentication and a real create-if-absent.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph-authtool", "monmaptool")
PACKAGES = "radosgw ceph-mon ceph-osd ceph-common"
SECONDS = 120
# The same for every server: boto3 keeps the first keys it finds for as long as the process lives.
ACCESS_KEY, SECRET_KEY = "airlock-tests", "secret-of-airlock-tests"
# "secure", radosgw's default towards the monitor, cannot be had without authentication between the daemons.
CONFIGURATION = """
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{v2}/0,v1:127.0.0.1:{v1}/0]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = true
ms_mon_client_mode = crc
ms_client_mode = crc
ms_mon_service_mode = crc secure
ms_mon_cluster_mode = crc
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 4000
mon_data_avail_crit = 1
mon_cluster_log_file = /dev/null
run_dir = {folder}
pid_file = {folder}/$name.pid
log_file = {folder}/$name.log
admin_socket = {folder}/$name.asok
keyring = {folder}/keyring
mon_data = {folder}/mon
osd_data = {folder}/osd
[osd.0]
osd_objectstore = memstore
memstore_device_bytes = 6442450944
[client]
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_num_rados_handles = 1
rgw_data = {folder}/rgw
"""


class S3Server(msgspec.Struct, frozen=True, kw_only=True):
    """Where an S3 server answers, and to whom."""

    endpoint: str
    access_key: str
    secret_key: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which boto3 and Airlock find it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }


def missing() -> str:
    """Return why radosgw cannot run here; empty when it can."""
    if absent := [name for name in PROGRAMS if not shutil.which(name)]:
        return f"{', '.join(absent)} not installed: apt-get install --no-install-recommends {PACKAGES}"
    return "" if os.geteuid() == 0 else "Ceph's daemons are started as root"


@contextmanager
def running() -> Iterator[S3Server]:
    """Run a server until the block ends; what it holds is gone then."""
    with tempfile.TemporaryDirectory(prefix="airlock-ceph-") as name, ExitStack() as stack:
        folder, (v1, v2, port) = Path(name), _free_ports(3)
        for part in ("mon", "osd", "rgw"):
            (folder / part).mkdir()
        fsid, conf = str(uuid.uuid4()), folder / "ceph.conf"
        conf.write_text(CONFIGURATION.format(fsid=fsid, folder=folder, v1=v1, v2=v2, port=port))
        ceph = ["--conf", str(conf)]
        keyring, monmap = str(folder / "keyring"), str(folder / "monmap")
        allowed = ["--cap", "mon", "allow *", "--cap", "osd", "allow *"]
        _do("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "client.admin", *allowed)
        address = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
        _do("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", address, monmap)
        _do("ceph-mon", *ceph, "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        stack.enter_context(_daemon(folder, "ceph-mon", *ceph, "-i", "a", "-f"))
        _do("ceph-osd", *ceph, "-i", "0", "--mkfs", "--osd-uuid", str(uuid.uuid4()))
        stack.enter_context(_daemon(folder, "ceph-osd", *ceph, "-i", "0", "-f"))
        keys = [f"--access-key={ACCESS_KEY}", f"--secret={SECRET_KEY}"]
        _do("radosgw-admin", *ceph, "user", "create", "--uid=airlock", "--display-name=airlock", *keys)
        gateway = stack.enter_context(_daemon(folder, "radosgw", *ceph, "-n", "client.admin", "-f"))
        _wait(port, gateway, folder)
        yield S3Server(endpoint=f"http://127.0.0.1:{port}", access_key=ACCESS_KEY, secret_key=SECRET_KEY)


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")


@contextmanager
def _daemon(folder: Path, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    with (folder / f"{command[0]}.out").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            yield process
        finally:
            process.kill()  # nothing it holds is kept
            process.wait()


def _wait(port: int, gateway: "subprocess.Popen[bytes]", folder: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if gateway.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"radosgw did not come up: {(folder / 'radosgw.out').read_text()[-2000:]}")


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
