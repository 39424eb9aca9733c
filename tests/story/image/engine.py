"""What builds and runs the image: docker or podman where one works, else buildah on a base of Debian's packages."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

from tests.support import TOP

WORK = TOP / "build" / "image"
BASE = "docker.io/library/debian:bookworm-slim"
LIMIT = 600  # seconds for one step
PYTHON = "/usr/bin/python3"

# Mounts and processes of its own for the whole test, so that none of them outlives it, however it ends.
APART = ["unshare", *(["--map-root-user", "--map-auto"] if os.getuid() else [])]
APART += ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]

# What makes Debian's own slim image slim, and how it comes by a /bin that is a link: else perl would come along.
SLIM = [
    f"--dpkgopt=path-{rule}"
    for rule in ("exclude=/usr/share/doc/*", "include=/usr/share/doc/*/copyright", "exclude=/usr/share/man/*",
                 "exclude=/usr/share/info/*", "exclude=/usr/share/locale/*")
]  # fmt: skip
MERGED = ["--include=usr-is-merged", "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"]


class Engine:
    """docker or podman."""

    not_shown = ""

    def __init__(self, *words: str) -> None:
        self.words = words  # the command begins with them

    def build(self, tag: str, **arguments: str) -> None:
        """Build the Dockerfile with these build arguments."""
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        run(*self.words, "build", *given, "-t", tag, str(TOP))

    def save(self, tag: str, path: Path) -> None:
        """Write the image as a tar file that holds a tar file for each layer."""
        run(*self.words, "save", "-o", str(path), tag)

    def close(self, *tags: str) -> None:
        """Remove the images."""
        for tag in tags:
            works(*self.words, "rmi", tag)


class Buildah(Engine):
    """A builder that needs no service; it runs commands in the image, too, with the network of the machine."""

    not_shown = (
        "\nNo docker, no podman: buildah has read the Dockerfile, and its run --isolation chroot stood for docker run."
        "\nNot shown are the registry's base image (this one is made of the same packages), how an engine itself reads"
        "\nREADME.md's lines, and what it separates: processes, network, /dev."
    )

    def __init__(self, storage: Path = WORK / "storage") -> None:
        places = ["buildah", "--root", f"{storage}/images", "--runroot", f"{storage}/run", "--storage-driver"]
        self._storage = storage
        works("rm", "-rf", str(storage))  # what a killed run has left
        # Where there is no overlay (on another overlay, say) vfs copies instead.
        super().__init__(*places, "overlay" if works(*places, "overlay", "info") else "vfs")

    def import_base(self, archive: Path) -> None:
        """Give the system in a tar file the name that FROM asks for."""
        name = run(*self.words, "from", "scratch").strip()
        run(*self.words, "add", "--quiet", name, str(archive), "/")
        run(*self.words, "commit", "--quiet", "--rm", name, BASE)

    def build(self, tag: str, **arguments: str) -> None:
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        how = ["--layers", "--pull-never", "--isolation", "chroot", "--network", "host"]
        run(*self.words, "bud", *how, *given, "-t", tag, str(TOP))

    def save(self, tag: str, path: Path) -> None:
        run(*self.words, "push", "--quiet", tag, f"docker-archive:{path}")

    def close(self, *tags: str) -> None:
        works(*self.words, "rm", "--all")
        works("umount", f"{self._storage}/images/overlay")
        works("rm", "-rf", str(self._storage))


def works(*command: str) -> bool:
    """Whether a command can be run and ends well."""
    try:
        return not subprocess.run(command, capture_output=True, timeout=60, check=False).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False


def run(*command: str) -> str:
    """The output of a command that must end well."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=LIMIT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{done.stdout[-3000:]}\n{shlex.join(command)} ended with status {done.returncode}")
    return done.stdout


def chosen(is_apart: bool) -> Engine:
    """The engine of this machine; without docker and podman the test is started anew, apart, before it gets one."""
    if is_apart:
        engine = Buildah()
        engine.import_base(base_archive())
        return engine
    for program in ("docker", "podman"):
        if os.getuid() == 0 and works(program, "info"):  # only root can look after the files of two users
            return Engine(program)
    if not works(*APART, "true"):
        raise SystemExit(
            "This machine gives its users no namespaces with ranges of /etc/subuid and /etc/subgid (package uidmap),"
            " so this test needs root: sudo make image-test"
        )
    subprocess.run([TOP / "tools" / "need", "buildah", "mmdebstrap"], check=True)
    base_archive()
    os.execvp(APART[0], [*APART, PYTHON, "-m", "tests.story.image", "apart"])


def base_archive() -> Path:
    """Debian's minimal system as a tar file, made once."""
    archive = WORK / "bookworm.tar"
    if not archive.exists():
        print("Fetching Debian's minimal system; it is kept in build/image", flush=True)
        WORK.mkdir(parents=True, exist_ok=True)
        sources = [str(path) for path in Path("/etc/apt").glob("sources.list.d/debian.sources")]
        beside = archive.with_name("new.tar")
        run("mmdebstrap", "--quiet", "--variant=minbase", *MERGED, *SLIM, "bookworm", str(beside), *sources)
        beside.rename(archive)
    return archive


def stand_in(engine: Engine, folder: Path, tag: str, *more: str) -> None:
    """Put into a folder a `docker` which runs README.md's lines with this engine, on this image, with more options."""
    folder.mkdir()
    script = folder / "docker"
    told = json.dumps({"words": engine.words, "tag": tag, "more": more})
    command = f"{PYTHON} -m tests.story.image.docker {shlex.quote(told)}"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(TOP))} exec {command} "$@"\n')
    script.chmod(0o755)
