#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Make and inspect the JFFS2 images of scripts/sbm/demo.

  mkimage.py hostile IMAGE   write the hostile image, list its good file
  mkimage.py tree DIR        fill DIR with the files of the healthy image, list them
  mkimage.py nodes IMAGE     count the data nodes of an image by compressor

A list has one line for each object, in the order of the bytes of its path:
"d - PATH" for a directory, "l TARGET PATH" for a symbolic link and
"f SHA256 PATH" for a file. The same input gives the same bytes, always.
"""

import argparse
import hashlib
import os
import random
import struct
import sys
import zlib

PAGE = 4096
ERASE_BLOCK = 65536
# The kernel refuses a medium of fewer than five erase blocks.
HOSTILE_BLOCKS = 8

MAGIC = 0x1985
NODE_DIRENT = 0xe001
NODE_INODE = 0xe002
COMPR_NAMES = {0: "none", 1: "zero", 2: "rtime", 6: "zlib", 7: "lzo"}
COMPR_NONE = 0
COMPR_RTIME = 2

ROOT_INO = 1
DT_REG = 8
S_IFREG = 0o100000

# struct jffs2_unknown_node without its CRC; the rest of struct
# jffs2_raw_inode up to data_crc; the rest of struct jffs2_raw_dirent up to
# node_crc. Little-endian, as x86 reads it.
HEADER = struct.Struct("<HHI")
INODE = struct.Struct("<IIIHHIIIIIIIBBH")
DIRENT = struct.Struct("<IIIIBBH")
INODE_SIZE = 68


def crc(data):
    """JFFS2's CRC-32: starts at 0 and is not inverted at the end."""
    return zlib.crc32(data, 0xffffffff) ^ 0xffffffff


def header(nodetype, totlen):
    """The first 12 bytes of any node, with their CRC."""
    head = HEADER.pack(MAGIC, nodetype, totlen)
    return head + struct.pack("<I", crc(head))


def dirent(ino, name, version):
    """A directory entry of the root directory."""
    name = name.encode()
    totlen = 40 + len(name)
    node = header(NODE_DIRENT, totlen)
    node += DIRENT.pack(ROOT_INO, version, ino, 0, len(name), DT_REG, 0)
    node += struct.pack("<II", crc(node), crc(name))
    return node + name


def inode(ino, version, isize, offset, dsize, compr, data):
    """A data node: @dsize bytes at @offset of a file that is @isize long."""
    node = header(NODE_INODE, INODE_SIZE + len(data))
    node += INODE.pack(ino, version, S_IFREG | 0o644, 0, 0, isize, 0, 0, 0,
                       offset, len(data), dsize, compr, 0, 0)
    # The CRC of the node leaves out the two CRCs at its end.
    node += struct.pack("<II", crc(data), crc(node))
    return node + data


def rtime_compress(data):
    """What jffs2_rtime_compress() makes of @data."""
    out = bytearray()
    positions = [0] * 256
    pos = 0
    while pos < len(data):
        value = data[pos]
        out.append(value)
        pos += 1
        back = positions[value]
        positions[value] = pos
        run = 0
        while (back < pos < len(data) and run < 255 and
               data[pos] == data[back]):
            back += 1
            pos += 1
            run += 1
        out.append(run)
    return bytes(out)


def rtime_decompress(data, size):
    """jffs2_rtime_decompress() with its bug, in a buffer that grows."""
    out = bytearray()
    positions = [0] * 256
    pos = 0
    while len(out) < size:
        value, repeat = data[pos], data[pos + 1]
        pos += 2
        out.append(value)
        back = positions[value]
        positions[value] = len(out)
        for _ in range(repeat):
            out.append(out[back])
            back += 1
    return bytes(out)


def hostile_data():
    """A compressed page that decompresses to more than a page.

    rtime is a list of pairs (byte, repeat count): output the byte, then copy
    "repeat" bytes from behind the place where that byte was last put out. A
    decompressor that stops when its output is full, but does not bound the
    count of the last pair, overruns the output by up to 255 bytes.

    The content is "HOSTILE!" again and again, so that what has been
    overwritten can be recognised in a hex dump.
    """
    pattern = b"HOSTILE!"
    out = bytearray()
    # 8 bytes as they are: nothing to repeat yet.
    for byte in pattern:
        out += bytes([byte, 0])
    # 'H' and 255 more are 256 bytes, a multiple of the pattern: up to 3848.
    for _ in range(15):
        out += bytes([pattern[0], 255])
    # Up to 4080, and up to 4088.
    out += bytes([pattern[0], 231])
    out += bytes([pattern[0], 7])
    # From 4088 up to 4344: 248 bytes too many. The last 'H' was just 8 bytes
    # before, so source and destination of this run overlap. The decompressor
    # then copies byte by byte in a loop of its own, not with memcpy(), and
    # the first byte out of bounds is the one right behind the buffer.
    out += bytes([pattern[0], 255])
    return bytes(out)


def good_content():
    """The file that has to survive: text, a few pages, not a multiple."""
    lines = [f"line {i}: this file is as good as any other, "
             f"{i * i} is the square of {i}\n" for i in range(300)]
    return "".join(lines).encode()


def make_hostile(path):
    """Write the hostile image."""
    nodes = []

    # The good file comes first, a node for each page, as mkfs.jffs2 does it.
    good = good_content()
    nodes.append(dirent(2, "good.txt", 1))
    for version, start in enumerate(range(0, len(good), PAGE), 1):
        page = good[start:start + PAGE]
        data = rtime_compress(page)
        assert len(data) < len(page)
        assert rtime_decompress(data, len(page)) == page
        nodes.append(inode(2, version, len(good), start, len(page),
                           COMPR_RTIME, data))

    # The hostile node claims to hold a page, and holds more. Everything that
    # is checked when it is read is in order: sizes, both CRCs of the node.
    # A newer node covers the last 96 bytes of the page. So 4000 bytes of the
    # hostile node are wanted, not all of it, and jffs2_read_dnode() does not
    # decompress it right into the page cache but into a kmalloc() buffer of
    # 4096 bytes. An overrun of the page cache is just as bad, but silent;
    # behind a kmalloc() buffer "slub_debug=FZ" puts a red zone, and tells.
    data = hostile_data()
    out = rtime_decompress(data, PAGE)
    assert len(out) == PAGE + 248 and out == b"HOSTILE!" * (len(out) // 8)
    nodes.append(dirent(3, "hostile.txt", 2))
    nodes.append(inode(3, 1, PAGE, 0, PAGE, COMPR_RTIME, data))
    nodes.append(inode(3, 2, PAGE, PAGE - 96, 96, COMPR_NONE, b"x" * 96))

    image = bytearray()
    for node in nodes:
        # Nodes start at a multiple of four bytes.
        image += node + b"\xff" * (-len(node) % 4)
    # All of it has to fit into one erase block, no node may cross its end.
    assert len(image) <= ERASE_BLOCK
    image += b"\xff" * (HOSTILE_BLOCKS * ERASE_BLOCK - len(image))
    with open(path, "wb") as file:
        file.write(image)

    print("f", hashlib.sha256(good).hexdigest(), "good.txt")


def text_content(rng, size):
    """Words, which rtime makes smaller."""
    words = ["kernel", "sandbox", "buffer", "page", "table", "and", "the",
             "of", "window", "guard", "returns", "faults", "node"]
    out = bytearray()
    while len(out) < size:
        out += rng.choice(words).encode() + rng.choice([b" ", b" ", b"\n"])
    return bytes(out[:size])


def mixed_content(rng, size):
    """Stretches that compress and stretches that do not."""
    out = bytearray()
    while len(out) < size:
        stretch = rng.randrange(1, 700)
        if rng.random() < 0.6:
            out += bytes([rng.randrange(256)]) * stretch
        else:
            out += rng.randbytes(stretch)
    return bytes(out[:size])


def period_content(rng, size):
    """A short pattern again and again: runs that overlap themselves."""
    pattern = rng.randbytes(rng.randrange(1, 40))
    return (pattern * (size // len(pattern) + 1))[:size]


def holes_content(rng, size):
    """Zeroes with a few bytes here and there, like a sparse file."""
    out = bytearray(size)
    for _ in range(size // 3000):
        at = rng.randrange(size)
        island = rng.randbytes(16)[:size - at]
        out[at:at + len(island)] = island
    return bytes(out)


def tree_files():
    """The files of the healthy image: pairs of path and content."""
    rng = random.Random(57850)
    kinds = {
        "text": text_content,
        "mixed": mixed_content,
        "period": period_content,
        "holes": holes_content,
        "zero": lambda rng, size: bytes(size),
        "random": lambda rng, size: rng.randbytes(size),
    }
    sizes = [1, 2, 3, 4, 5, 64, 127, 128, 129, 255, 256, 257, 1000]
    for pages in (1, 2, 3, 4, 8, 16):
        sizes += [pages * PAGE - 1, pages * PAGE, pages * PAGE + 1]
    sizes += [10000, 50000, 100000]

    for kind, make in kinds.items():
        for size in sizes:
            yield f"{kind}/size-{size}", make(rng, size)
    yield "empty", b""
    yield "large/text", text_content(rng, 1 << 19)
    yield "deep/" + "/".join("abcdefgh") + "/file", text_content(rng, 9000)
    # The longest name that JFFS2 can hold
    yield "names/" + "n" * 254, text_content(rng, 500)
    for number in range(60):
        yield f"many/{number % 7}/{number}", mixed_content(
            rng, rng.randrange(3 * PAGE))


def make_tree(top):
    """Fill a new directory with the files of the healthy image."""
    listing = {}

    def add_parents(path):
        parent = os.path.dirname(path)
        if parent and parent not in listing:
            add_parents(parent)
            os.mkdir(os.path.join(top, parent))
            listing[parent] = f"d - {parent}"

    os.makedirs(top)
    for path, content in tree_files():
        add_parents(path)
        with open(os.path.join(top, path), "wb") as file:
            file.write(content)
        listing[path] = f"f {hashlib.sha256(content).hexdigest()} {path}"
    for path, target in (("link", "empty"), ("deep/up", "../text/size-4096"),
                         ("dangling", "nowhere/" + "x" * 100)):
        os.symlink(target, os.path.join(top, path))
        listing[path] = f"l {target} {path}"
    os.mkdir(os.path.join(top, "no-files"))
    listing["no-files"] = "d - no-files"

    for path in sorted(listing):
        print(listing[path])


def count_nodes(path):
    """Print how many data nodes there are for each compressor."""
    with open(path, "rb") as file:
        image = file.read()
    count = dict.fromkeys(COMPR_NAMES.values(), 0)
    offset = 0
    while offset + 12 <= len(image):
        magic, nodetype, totlen = HEADER.unpack_from(image, offset)
        if (magic != MAGIC or totlen < 12 or
                crc(image[offset:offset + 8]) !=
                struct.unpack_from("<I", image, offset + 8)[0]):
            # Padding, or the empty rest of an erase block
            offset += 4
            continue
        if nodetype == NODE_INODE:
            csize = struct.unpack_from("<I", image, offset + 48)[0]
            compr = image[offset + 56]
            if csize:
                name = COMPR_NAMES.get(compr, f"type-{compr}")
                count[name] = count.get(name, 0) + 1
        offset += (totlen + 3) & ~3
    print(" ".join(f"{name}={number}" for name, number in count.items()))


def main():
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["hostile", "tree", "nodes"])
    parser.add_argument("path")
    args = parser.parse_args()
    {"hostile": make_hostile, "tree": make_tree,
     "nodes": count_nodes}[args.what](args.path)


if __name__ == "__main__":
    sys.exit(main())
