#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Make the hostile squashfs image of scripts/sbm/demo.

  mkimage.py hostile IMAGE   write the hostile image, list its good file

Needs mksquashfs. A list is as those of jffs2/mkimage.py.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile

PATTERN = b"HOSTILE!"


def good_content():
    """The file that has to survive: text, a few pages, not a multiple."""
    return "".join(f"line {i}: this file is as good as any other, {i * i} is the square of {i}\n"
                   for i in range(300)).encode()


def make_hostile(path):
    """An image whose second file has a match that begins before the output.

    "HOSTILE!" again and again is a block of one sequence: a token (8 literals, a
    long match), the literals, and the distance of the match, 8 bytes. Change that to
    4096: the first byte of the match is 4088 bytes before the output's first one.
    """
    good = good_content()
    with tempfile.TemporaryDirectory() as top:
        for name, content in (("good.txt", good), ("hostile.txt", PATTERN * 1024)):
            with open(os.path.join(top, name), "wb") as file:
                file.write(content)
        subprocess.run(["mksquashfs", top, path, "-comp", "lz4", "-all-root", "-noappend",
                        "-no-fragments", "-mkfs-time", "0", "-all-time", "0",
                        "-no-progress", "-quiet"], check=True, stdout=subprocess.DEVNULL)

    with open(path, "r+b") as file:
        image = file.read()
        block = b"\x8f" + PATTERN + b"\x08\x00"
        if image.count(block) != 1:
            sys.exit(f"error: {path} does not have the block that was to be changed")
        file.seek(image.index(block) + len(block) - 2)
        file.write((4096).to_bytes(2, "little"))
    print("f", hashlib.sha256(good).hexdigest(), "good.txt")


def main():
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["hostile"])
    parser.add_argument("path")
    args = parser.parse_args()
    make_hostile(args.path)


if __name__ == "__main__":
    sys.exit(main())
