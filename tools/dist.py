#!/usr/bin/python3
"""Make what a release consists of, from what is committed, into dist/: make dist.

    gridsync-VERSION.tar.gz                 the source: what git has
    gridsync-VERSION-py3-none-any.whl       for pip, built from the source
    gridsync.py                             all of the program in one file
    gridsync-image-VERSION.tar.gz           the container's recipe: docker build -t NAME - < THIS
    SHA256SUMS                              of these

Its time is that of the last commit, so that who builds it again gets the same bytes. The Python that runs this has what
tools/dist.txt lists; the one file is made by Debian's, which is to run it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
DIST = TOP / "dist"
SUMS = "SHA256SUMS"
# What .dockerignore lets through, and itself.
RECIPE = (
    ".dockerignore", "Dockerfile", "gridsync.py", "gridsync_parts", "tools/one_file.py", "gen_cert.sh",
    "do_grid_completion.sh", "image",
)  # fmt: skip


def git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=TOP, stdout=subprocess.PIPE, check=True).stdout


def archive(path: Path, folder: Path, names: list[str]) -> None:
    """Pack files of a folder, with nothing of whoever packs them, nor of when."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(names):
            info = tarfile.TarInfo(name)
            data = (folder / name).read_bytes()
            info.size, info.mode = len(data), 0o755 if os.access(folder / name, os.X_OK) else 0o644
            info.mtime = int(os.environ["SOURCE_DATE_EPOCH"])
            tar.addfile(info, io.BytesIO(data))
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=0))


def unpack(tar: tarfile.TarFile, folder: Path) -> list[str]:
    """Write what an archive holds, with modes that no umask changes; the names of its files."""
    tar.extractall(folder)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()]


def build(what: str, folder: Path, into: Path) -> Path:
    """Have setuptools build an sdist or a wheel of a folder."""
    code = f"import sys, setuptools.build_meta as backend; backend.build_{what}(sys.argv[1])"
    command = [sys.executable, "-W", "ignore", "-c", code, into]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout)
    (built,) = into.iterdir()
    return built


def release(scratch: Path) -> list[str]:
    """Build all; the names of what is for pip."""
    source, sdists, wheels = scratch / "source", scratch / "sdist", scratch / "wheel"
    with tarfile.open(fileobj=io.BytesIO(git("archive", "HEAD"))) as tar:
        names = unpack(tar, source)
    recipe = [name for name in names if name in RECIPE or name.startswith(tuple(f"{top}/" for top in RECIPE))]
    sdist = build("sdist", source, sdists)
    with tarfile.open(sdist) as tar:
        names = unpack(tar, scratch / "unpacked")
    archive(DIST / sdist.name, scratch / "unpacked", names)
    archive(DIST / sdist.name.replace("-", "-image-", 1), source, recipe)
    wheel = build("wheel", scratch / "unpacked" / sdist.name.removesuffix(".tar.gz"), wheels)
    (DIST / wheel.name).write_bytes(wheel.read_bytes())
    subprocess.run(["/usr/bin/python3", source / "tools/one_file.py", DIST / "gridsync.py"], check=True)
    return [sdist.name, wheel.name]


def main() -> int:
    if changed := git("status", "--porcelain", "--untracked-files=no").decode():
        print(f"Commit what has changed first; a release is what is committed:\n{changed}", end="", file=sys.stderr)
        return 1
    os.umask(0o022)  # whatever the user's; setuptools keeps the modes of the files that it makes
    os.environ["SOURCE_DATE_EPOCH"] = git("log", "-1", "--format=%ct").decode().strip()
    DIST.mkdir(exist_ok=True)
    for path in DIST.iterdir():
        path.unlink()
    with tempfile.TemporaryDirectory() as scratch:
        for_pip = release(Path(scratch))
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(DIST.iterdir())}
    (DIST / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    print(f"dist/ has {', '.join([*sums, SUMS])}.", flush=True)
    check = [sys.executable, "-m", "twine", "check", "--strict", *for_pip]
    return subprocess.run(check, cwd=DIST, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
