# SPDX-License-Identifier: GPL-2.0
#
# gdb helper commands and functions for Linux kernel debugging
#
#  instances of sandbox mode
#
# Described in Documentation/sandbox/reports.rst.

import gdb

from linux import lists, utils

instance_type = utils.CachedType("struct sbm_instance")
debugfs_type = utils.CachedType("struct sbm_debugfs")
buffer_type = utils.CachedType("struct sbm_buffer")

PAGE_SIZE = 4096


def list_head():
    """All instances"""
    try:
        return gdb.parse_and_eval("sbm_instances")
    except gdb.error as err:
        raise gdb.GdbError("No list of instances. It takes CONFIG_SBM, CONFIG_DEBUG_FS "
                           "and a vmlinux with debug information.") from err


class KernelTables:
    """Select a processor that has the kernel's memory mapped.

    A debugger outside of the machine (QEMU's, for example) reads through the page
    tables of the processor that is selected. In a sandbox, the kernel's data is not
    there: this is what a sandbox is for. Nor is it in user mode with page-table
    isolation.
    """

    @staticmethod
    def readable():
        try:
            int(list_head()["next"])
        except gdb.MemoryError:
            return False
        return True

    def __enter__(self):
        self.old = gdb.selected_thread()
        if self.readable():
            return self
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            if self.readable():
                return self
        if self.old:
            self.old.switch()
        raise gdb.GdbError("All processors are in a sandbox or in user mode, where the "
                           "kernel's memory is not mapped. Let them run, and stop them "
                           "again; or stop them in the kernel: tbreak sbm_report")

    def __exit__(self, *_):
        if self.old and self.old.is_valid() and self.old != gdb.selected_thread():
            self.old.switch()
        return False


def instances():
    """Pointers to all instances, by ascending id"""
    pointer = instance_type.get_type().pointer()
    offset = (utils.offset_of(pointer, "debugfs") +
              utils.offset_of(debugfs_type.get_type().pointer(), "list"))
    seen = set()
    for node in lists.list_for_each(list_head()):
        # It may be about to change, or be broken: come to an end
        if int(node) in seen or not int(node):
            gdb.write("The list of instances is being changed, or broken: it ends here\n")
            return
        seen.add(int(node))
        yield (node.cast(utils.get_long_type()) - offset).cast(pointer)


def buffers(inst):
    """Pointers to the buffers of an instance, in the order in which they were made"""
    return lists.list_for_each_entry(inst["buffers"], buffer_type.get_type().pointer(),
                                     "list")


def word(value, prefix):
    """The name of an enumerator without its prefix"""
    name = str(value)
    return name[len(prefix):].lower() if name.startswith(prefix) else name


def flag(name):
    return int(gdb.parse_and_eval("__SBM_BUF_" + name))


def kind(flags):
    """Kind of a buffer and the target's rights"""
    rights = "rw" if flags & flag("WRITE") else "r-"
    for name in ("DMA", "HEAP", "LOG"):
        if flags & flag(name):
            return name, rights
    if flags & flag("MAP"):
        return ("MAP_WRITABLE" if flags & flag("WRITE") else "MAP_READONLY"), rights
    if flags & flag("FIELDS"):
        return "COPY_FIELDS", rights
    if not flags & flag("OUT"):
        return "COPY_IN", rights
    return ("COPY_INOUT" if flags & flag("IN") else "COPY_OUT"), rights


def symbol(addr):
    """Name of an address in the kernel's text"""
    found = gdb.execute("info symbol 0x{:x}".format(addr), to_string=True)
    if found.startswith("No symbol"):
        return "0x{:x}".format(addr)
    parts = found.split(" in section")[0].split(" + ")
    return "{}+0x{:x}".format(parts[0], int(parts[1]) if len(parts) > 1 else 0)


def text(value):
    """A string. Tasks choose their names: nothing that moves the cursor."""
    string = value.string("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode()
                   for c in string)


def task(owner):
    """Name, PID and place of a task"""
    try:
        cpu = int(owner["thread_info"]["cpu"])
    except gdb.error:
        cpu = int(owner["cpu"])
    return "{}[{}], {} CPU {}".format(
        text(owner["comm"]), int(owner["pid"]),
        "running on" if int(owner["on_cpu"]) else "not running, last on", cpu)


def place(inst, addr):
    """What an address is to an instance, as far as its buffers are concerned"""
    for i, buf in enumerate(buffers(inst), 1):
        start = int(buf["addr"])
        size = int(buf["size"])
        name = "buffer {} '{}'".format(i, text(buf["name"]))
        if start <= addr < start + size:
            return ", byte {} of {}".format(addr - start, name)
        first = start & -PAGE_SIZE
        if 0 <= addr - start - size < PAGE_SIZE:
            return ", {} bytes past the end of {}".format(addr - start - size, name)
        if 0 < start - addr and first - addr <= PAGE_SIZE:
            return ", {} bytes before {}".format(start - addr, name)
    return ""


def show_stop(inst):
    fault = inst["fault"]
    cause = word(fault["cause"], "SBM_CAUSE_")
    gdb.write("  last stop: {}".format(cause))
    if cause == "page_fault":
        addr = int(fault["address"])
        gdb.write(", {} 0x{:x}{}, error code {:x}".format(
            word(fault["access"], "SBM_ACCESS_"), addr, place(inst, addr),
            int(fault["error_code"])))
    elif int(fault["vector"]):
        gdb.write(", vector {}, error code {:x}".format(int(fault["vector"]),
                                                        int(fault["error_code"])))
    gdb.write("\n    at {}, called from {}, after {} ns inside\n".format(
        symbol(int(fault["ip"])) if int(fault["ip"]) else "an unknown place",
        symbol(int(fault["caller"])), int(fault["time"])))


def show(inst):
    debugfs = inst["debugfs"]
    gdb.write("instance {}: {}, ".format(int(inst["id"]),
                                         word(inst["isolation"], "SBM_ISOLATION_")))
    if int(inst["owner"]):
        gdb.write("in use by {}".format(task(inst["owner"])))
    else:
        gdb.write("idle")
    if int(inst["poison"]):
        gdb.write(", runs nothing more (error {})".format(int(inst["poison"])))
    elif int(inst["cancel"]):
        gdb.write(", cancelled")
    gdb.write("\n  calls {}, stops {}, time_ns {}, pages {}\n".format(
        int(debugfs["calls"]), int(debugfs["stops"]), int(inst["time"]["total"]),
        int(inst["memory"]["nr_pages"])))
    target = int(inst["target"])
    gdb.write("  target: {}\n".format(symbol(target) if target else "never called"))
    for i, buf in enumerate(buffers(inst), 1):
        what, rights = kind(int(buf["flags"]))
        gdb.write("  buffer {} '{}': {} {}, {} bytes at 0x{:x}, the caller's at 0x{:x}\n"
                  .format(i, text(buf["name"]), what, rights,
                          int(buf["size"]), int(buf["addr"]), int(buf["kaddr"])))
    if int(inst["stopped"]):
        show_stop(inst)


class LxSbm(gdb.Command):
    """List the instances of sandbox mode.

lx-sbm [ID]: for all instances, or that one: who uses it, what it has called, calls,
pages, buffers and why its last call was stopped. $lx_sbm(ID) is the struct
sbm_instance itself. A module's names take lx-symbols."""

    def __init__(self):
        super().__init__("lx-sbm", gdb.COMMAND_DATA)

    def invoke(self, arg, from_tty):
        wanted = int(gdb.parse_and_eval(arg)) if arg else None
        count = 0
        with KernelTables():
            for inst in instances():
                if wanted is None or int(inst["id"]) == wanted:
                    show(inst)
                    count += 1
        if wanted is not None and not count:
            raise gdb.GdbError("No instance {}".format(wanted))
        if wanted is None:
            gdb.write("{} instance{}\n".format(count, "" if count == 1 else "s"))


LxSbm()


class LxSbmFunction(gdb.Function):
    """Find an instance of sandbox mode.

$lx_sbm(ID): the struct sbm_instance of that id."""

    def __init__(self):
        super().__init__("lx_sbm")

    def invoke(self, wanted):
        with KernelTables():
            for inst in instances():
                if int(inst["id"]) == int(wanted):
                    value = inst.dereference()
                    # Now, by the tables of this processor
                    value.fetch_lazy()
                    return value
        raise gdb.GdbError("No instance {}".format(int(wanted)))


LxSbmFunction()
