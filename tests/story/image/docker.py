"""`docker run` as README.md has it, for the image that is tested and on the network of this machine."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

MANUALS_IMAGE = "gitlab-registry.in2p3.fr/ip2igamma/docker_images:agata_grid_IAM"


def main(told: str, *arguments: str) -> int:
    """Run such a line with docker or podman, or do with buildah what it says."""
    here = json.loads(told)
    parser = argparse.ArgumentParser("docker")
    parser.add_argument("run", choices=["run"])
    for option in ("-i", "-t", "--rm"):
        parser.add_argument(option, action="store_true")
    parser.add_argument("-v", action="append", default=[])
    parser.add_argument("--user")
    parser.add_argument("image", choices=[MANUALS_IMAGE])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    line = parser.parse_args([*arguments[:1], *here["more"], *arguments[1:]])
    options = ["--network", "host", *(f"-v{mount}" for mount in line.v), *(["--user", line.user] if line.user else [])]
    program = here["words"]
    if program[0] != "buildah":
        options += [option for option in ("-i", "-t", "--rm") if vars(line)[option.strip("-")]]
        os.execvp(program[0], [*program, "run", *options, here["tag"], *line.command])
    if not line.rm:
        parser.error("README.md's lines say --rm")
    image = json.loads(told_by([*program, "inspect", "--type", "image", here["tag"]]))
    command = line.command or image["OCIv1"]["config"]["Cmd"]
    container = told_by([*program, "from", "--pull-never", here["tag"]]).strip()
    try:
        options += ["--isolation", "chroot", *(["--tty"] if line.t else [])]
        return subprocess.call([*program, "run", *options, container, "--", *command])
    finally:
        told_by([*program, "rm", container])


def told_by(command: list[str]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
