"""What a kubelet does with mounted Secrets and ConfigMaps: files in a folder, all replaced at once, a while later.

Knows an API server and folders. A mount whose object is missing stays as it was, as a kubelet leaves it.
"""

from __future__ import annotations

import base64
import itertools
import os
import threading
from collections.abc import Mapping
from pathlib import Path

import urllib3

from tests.e2e.istio.network import Namespace
from tests.e2e.kubernetes import Cluster

_LOOKS_EVERY = 0.2  # seconds; a real kubelet takes up to a minute or two


class Mount:
    """A folder that shows a Secret (`secrets`) or ConfigMap (`configmaps`) of a namespace."""

    def __init__(self, kind: str, namespace: str, name: str, folder: Path) -> None:
        self.path = f"/api/v1/namespaces/{namespace}/{kind}/{name}"
        self.folder = folder
        self._shown: dict[str, bytes] | None = None
        self._versions = itertools.count(1)

    @property
    def empty(self) -> bool:
        return self._shown is None

    def look(self, cluster: Cluster) -> dict[str, bytes] | None:
        """What the object holds, if that isn't what the folder shows."""
        code, found = cluster.request("GET", self.path)
        if code != 200:
            return None
        data: Mapping[str, str] = found.get("data") or {}
        secret = found["kind"] == "Secret"
        files = {name: base64.b64decode(text) if secret else text.encode() for name, text in data.items()}
        return None if files == self._shown else files

    def show(self, files: dict[str, bytes]) -> None:
        """Kubernetes' pkg/volume/util/atomic_writer.go: a new folder, `..data` leads to it, names lead through it."""
        version = self.folder / f"..version-{next(self._versions)}"
        version.mkdir(parents=True)
        for name, data in files.items():
            (version / name).write_bytes(data)
        (self.folder / "..data_tmp").symlink_to(version.name)
        (self.folder / "..data_tmp").replace(self.folder / "..data")
        for name in self._shown.keys() - files.keys() if self._shown else ():
            (self.folder / name).unlink()
        for name in files:
            if not os.path.lexists(self.folder / name):
                (self.folder / name).symlink_to(f"..data/{name}")
        self._shown = files


class Kubelet:
    """All mounts of one cluster. `delay`: seconds between a change and its files; `held`: nothing is brought at all."""

    def __init__(self, cluster: Cluster, network: Namespace, *, delay: float = 1) -> None:
        self.delay = delay
        self.held = False
        self._cluster = cluster
        self._network = network
        self._mounts: tuple[Mount, ...] = ()
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def mount(self, kind: str, namespace: str, name: str, folder: Path, *, optional: bool = False) -> Mount:
        """Return when the folder shows the object for the first time; `optional`: also if there is no such object."""
        mount = Mount(kind, namespace, name, folder)
        with self._changed:
            self._mounts += (mount,)
            if optional:
                self._bring(mount)
                return mount
            shown = self._changed.wait_for(lambda: not mount.empty, 60)
        assert shown, f"no {kind} {namespace}/{name} in {self._cluster.name} to mount"
        return mount

    def mount_again(self, mount: Mount) -> None:
        """Bring at once what there is now, as for a pod that begins."""
        with self._changed:
            self._bring(mount)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        with self._network.inside():
            while not self._stop.wait(_LOOKS_EVERY):
                try:
                    self._sync()
                except urllib3.exceptions.HTTPError:
                    continue  # the API server is away; mounts stay

    def _sync(self) -> None:
        news = [mount for mount in self._mounts if mount.look(self._cluster) is not None]
        if self.held or (any(not mount.empty for mount in news) and self._stop.wait(self.delay)):
            return
        with self._changed:
            for mount in news:
                self._bring(mount)
            self._changed.notify_all()

    def _bring(self, mount: Mount) -> None:
        """What there is by now; whoever calls this has the lock."""
        files = mount.look(self._cluster)
        if files is not None:
            mount.show(files)
