#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Make the policies of scripts/sbm/demo apparmor.

  mkimage.py hostile IMAGE   a hostile policy and a good one after it
  mkimage.py healthy IMAGE   policies of many kinds

An image is a tar file, each of whose members is a policy. What is printed is a list of the
profiles that are there when all but the hostile one are loaded, as "p NAME" (see
guest/demo-init). Needs apparmor_parser.
"""

import argparse
import importlib.machinery
import importlib.util
import io
import os
import random
import sys
import tarfile
import tempfile

# As many as an emulator loads in a quarter of a minute, twice
HEALTHY = 40
# "start" is a 32-bit number, and 0x3fffffff times 4 is far from anything
START = b"\x04\x06\x00start\x00\x02" + (0x3fffffff).to_bytes(4, "little")
# The end of a structure: that of the profile is the last byte of a policy
END = b"\x08"


def load_mkcorpus():
    """The maker of policies for the tests, which is a program."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mkcorpus")
    loader = importlib.machinery.SourceFileLoader("mkcorpus", path)
    spec = importlib.util.spec_from_loader("mkcorpus", loader)
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


def add(image, name, policy):
    member = tarfile.TarInfo("apparmor/" + name)
    member.size = len(policy)
    image.addfile(member, io.BytesIO(policy))


def make(corpus, what, image):
    """Write the image, and return the names of its good profiles."""
    rng = random.Random(23269)
    with tempfile.TemporaryDirectory() as folder:
        known = corpus.features(folder)
        good = corpus.compile_profile(folder, known, corpus.CONFINED)
        profiles = list(corpus.names(good))
        if what == "healthy":
            for number in range(HEALTHY):
                policy = corpus.compile_profile(folder, known, corpus.profile(rng, number))
                profiles += corpus.names(policy)
                add(image, f"policy-{number:02}", policy)
        else:
            policy = corpus.compile_profile(
                folder, known, "profile sbm-hostile {\n  /tmp/** rw,\n}\n")
            # Its last database is the one of file rules, and ends with the profile
            if policy[-1:] != END or policy.count(b"\x04\x06\x00aadfa\x00") != 2:
                sys.exit("error: apparmor_parser's policy does not end as it used to")
            add(image, "1-hostile", policy[:-1] + START + END)
        add(image, "policy-last" if what == "healthy" else "2-good", good)
    return profiles


def main():
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["hostile", "healthy"])
    parser.add_argument("path")
    args = parser.parse_args()

    corpus = load_mkcorpus()
    with tarfile.open(args.path, "w", format=tarfile.USTAR_FORMAT) as image:
        profiles = make(corpus, args.what, image)
    for name in profiles:
        print("p", name)


if __name__ == "__main__":
    sys.exit(main())
