#!/usr/bin/env drgn
# SPDX-License-Identifier: GPL-2.0
"""List the instances of sandbox mode, by drgn.

Usage: drgn [-c VMCORE] -s VMLINUX sbm_dump.py [-r] [ID...]

Of the kernel that runs (through /proc/kcore, as root) or of one that has died, for
all instances or for those with the ids given: who uses it, what it has called, calls,
pages, buffers and why its last call was stopped. With -r, also the registers of that.

A kernel that runs may change what is being read: what is printed is of no exact
moment, and the list may end early. It takes CONFIG_DEBUG_FS.
Described in Documentation/sandbox/reports.rst.
"""

import argparse
import sys

from drgn import FaultError
from drgn.helpers.linux.list import list_for_each_entry

PAGE_SIZE = 4096
REGS = ("ip", "sp", "flags", "ax", "bx", "cx", "dx", "si", "di", "bp",
        "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15")


def enumerators(prog, name):
    """Numbers and names of an enum"""
    return {value: key for key, value in prog.type("enum " + name).enumerators}


def text(value):
    """A string. Tasks choose their names: nothing that moves the cursor."""
    string = value.string_().decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode()
                   for c in string)


class Dump:
    """What is the same for all instances."""

    def __init__(self, prog):
        self.prog = prog
        self.isolations = enumerators(prog, "sbm_isolation")
        self.causes = enumerators(prog, "sbm_cause")
        self.accesses = enumerators(prog, "sbm_access")
        self.flags = {key: value for value, key in
                      enumerators(prog, "__sbm_buf_flags").items()}

    @staticmethod
    def word(names, value, prefix):
        """An enumerator without its prefix"""
        name = names.get(int(value), str(int(value)))
        return name[len(prefix):].lower() if name.startswith(prefix) else name

    def symbol(self, addr):
        """Name of an address"""
        try:
            sym = self.prog.symbol(int(addr))
        except LookupError:
            return f"{int(addr):#x}"
        return f"{sym.name}+{int(addr) - sym.address:#x}"

    def kind(self, flags):
        """Kind of a buffer and the target's rights"""
        def has(name):
            return flags & self.flags["__SBM_BUF_" + name]

        rights = "rw" if has("WRITE") else "r-"
        for name in ("DMA", "HEAP", "LOG"):
            if has(name):
                return name, rights
        if has("MAP"):
            return ("MAP_WRITABLE" if has("WRITE") else "MAP_READONLY"), rights
        if has("FIELDS"):
            return "COPY_FIELDS", rights
        if not has("OUT"):
            return "COPY_IN", rights
        return ("COPY_INOUT" if has("IN") else "COPY_OUT"), rights

    @staticmethod
    def task(owner):
        """Name, PID and place of a task"""
        try:
            cpu = owner.thread_info.cpu.value_()
        except AttributeError:
            cpu = owner.cpu.value_()
        where = "running on" if owner.on_cpu else "not running, last on"
        return f"{text(owner.comm)}[{owner.pid.value_()}], {where} CPU {cpu}"

    @staticmethod
    def buffers(inst):
        """Number, name and buffer, in the order in which they were made"""
        for i, buf in enumerate(list_for_each_entry("struct sbm_buffer",
                                                    inst.buffers.address_of_(), "list"), 1):
            yield i, text(buf.name), buf

    def place(self, inst, addr):
        """What an address is to an instance, as far as its buffers are concerned"""
        for i, name, buf in self.buffers(inst):
            start, size = buf.addr.value_(), buf.size.value_()
            if start <= addr < start + size:
                return f", byte {addr - start} of buffer {i} '{name}'"
            if 0 <= addr - start - size < PAGE_SIZE:
                return f", {addr - start - size} bytes past the end of buffer {i} '{name}'"
            if 0 < start - addr and (start & -PAGE_SIZE) - addr <= PAGE_SIZE:
                return f", {start - addr} bytes before buffer {i} '{name}'"
        return ""

    def stop(self, inst, regs):
        """Why the last call was stopped"""
        fault = inst.fault
        cause = self.word(self.causes, fault.cause, "SBM_CAUSE_")
        line = f"  last stop: {cause}"
        if cause == "page_fault":
            addr = fault.address.value_()
            access = self.word(self.accesses, fault.access, "SBM_ACCESS_")
            line += (f", {access} {addr:#x}{self.place(inst, addr)}"
                     f", error code {fault.error_code.value_():x}")
        elif fault.vector:
            line += (f", vector {fault.vector.value_()}"
                     f", error code {fault.error_code.value_():x}")
        print(line)
        at = self.symbol(fault.ip) if fault.ip else "an unknown place"
        print(f"    at {at}, called from {self.symbol(fault.caller)}"
              f", after {fault.time.value_()} ns inside")
        if regs and fault.has_regs:
            for i in range(0, len(REGS), 3):
                print("    " + " ".join(f"{reg:<5} {getattr(fault.regs, reg).value_():016x}"
                                        for reg in REGS[i:i + 3]))

    def instance(self, inst, regs):
        """All of an instance"""
        line = (f"instance {inst.id.value_()}: "
                f"{self.word(self.isolations, inst.isolation, 'SBM_ISOLATION_')}, ")
        # Read once: it may be given back meanwhile
        owner = inst.owner.read_()
        line += f"in use by {self.task(owner)}" if owner else "idle"
        if inst.poison:
            line += f", runs nothing more (error {inst.poison.value_()})"
        elif inst.cancel:
            line += ", cancelled"
        print(line)
        print(f"  calls {inst.debugfs.calls.value_()}, stops {inst.debugfs.stops.value_()}"
              f", time_ns {inst.time.total.value_()}, pages {inst.memory.nr_pages.value_()}")
        print(f"  target: {self.symbol(inst.target) if inst.target else 'never called'}")
        for i, name, buf in self.buffers(inst):
            what, rights = self.kind(buf.flags.value_())
            print(f"  buffer {i} '{name}': {what} {rights}, {buf.size.value_()} bytes"
                  f" at {buf.addr.value_():#x}, the caller's at {buf.kaddr.value_():#x}")
        if inst.stopped:
            self.stop(inst, regs)


def main(prog):
    """Find the instances and print them."""
    args = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("-r", "--registers", action="store_true",
                      help="print the registers of the last stop, too")
    args.add_argument("ids", metavar="ID", type=int, nargs="*", help="instances (default: all)")
    opt = args.parse_args()

    try:
        head = prog["sbm_instances"]
        dump = Dump(prog)
    except LookupError as err:
        sys.exit(f"sbm_dump: no list of instances ({err}). It takes CONFIG_SBM, "
                 "CONFIG_DEBUG_FS and a vmlinux with debug information.")

    seen = set()
    count = 0
    try:
        for inst in list_for_each_entry("struct sbm_instance", head.address_of_(),
                                        "debugfs.list"):
            if inst.value_() in seen:
                sys.exit("sbm_dump: the list of instances was changed meanwhile, "
                         "or is broken")
            seen.add(inst.value_())
            if not opt.ids or inst.id.value_() in opt.ids:
                dump.instance(inst, opt.registers)
                count += 1
    except FaultError as err:
        sys.exit(f"sbm_dump: the list of instances was changed meanwhile, or is broken: {err}")
    if not opt.ids:
        print(f"{count} instance{'' if count == 1 else 's'}")
    elif count < len(set(opt.ids)):
        sys.exit("sbm_dump: not all of these instances exist")


main(prog)  # pylint: disable=undefined-variable # drgn's
