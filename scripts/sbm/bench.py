#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The parts of scripts/sbm/bench that are not about building and booting.

bench.py data TEXT              streams for the guest, to standard output
bench.py code VMLINUX           what the world switch consists of, from its object code
bench.py report [...] ROWS ROWS table, targets and model from what the guest said
bench.py unused OFF ON OBJECT.. compare objects of two build folders
"""

import argparse
import json
import lzma
import math
import os
import re
import struct
import subprocess
import sys

SIZES = (64 * 1024, 256 * 1024)

# --- Data for the guest -------------------------------------------------------


def pseudo_random(size):
    """Marsaglia's xorshift64, as bench_random() of kernel/sbm/bench.c has it."""
    mask = (1 << 64) - 1
    x = 0x9E3779B97F4A7C15
    out = bytearray()
    for _ in range(size):
        x ^= (x << 13) & mask
        x ^= x >> 7
        x ^= (x << 17) & mask
        out.append(x & 0xFF)
    return bytes(out)


def microlzma(data):
    """A raw LZMA stream; its first byte, always 0, is the complement of the properties."""
    lc, lp, pb = 3, 0, 2
    raw = lzma.compress(data, format=lzma.FORMAT_RAW, filters=[{
        "id": lzma.FILTER_LZMA1, "preset": 6, "dict_size": 1 << 20,
        "lc": lc, "lp": lp, "pb": pb}])
    if raw[0] != 0:
        sys.exit("error: this is no raw LZMA stream")
    return bytes([0xFF ^ ((pb * 5 + lp) * 9 + lc)]) + raw[1:]


def cmd_data(args):
    with open(args.text, "rb") as f:
        text = f.read(max(SIZES))
    for plain in (text, pseudo_random(max(SIZES))):
        for size in SIZES:
            stream = microlzma(plain[:size])
            sys.stdout.buffer.write(struct.pack("<I", len(stream)) + stream)
    return 0


# --- Object code --------------------------------------------------------------


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


def cmd_code(args):
    """Count in sbm_switch() what x86_sbm_stay_events() says of a stay."""
    symbols = {}
    for line in run("nm", args.vmlinux).splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[2] in ("sbm_switch", "sbm_stubs"):
            symbols[parts[2]] = int(parts[0], 16)
    text = run("objdump", "-d", "--no-show-raw-insn",
               f"--start-address={symbols['sbm_switch']:#x}",
               f"--stop-address={symbols['sbm_stubs']:#x}", args.vmlinux)
    patterns = {
        "cr3": r"mov +%r\w+,%cr3",
        "cr4": r"mov +%r\w+,%cr4",
        "cr0": r"mov +%r\w+,%cr0|clts",
        "lidt": r"lidt",
        "iret": r"iretq",
        "base": r"wr[fg]sbase",
        "segment": r"mov +%e\w+,%[defgs]s\b",
        "pkru": r"wrpkru",
        "msr": r"wrmsr",
    }
    count = dict.fromkeys(patterns, 0)
    for line in text.splitlines():
        code = line.split("\t", 1)
        if len(code) < 2:
            continue
        for key, pattern in patterns.items():
            if re.match(pattern, code[1].strip()):
                count[key] += 1
    if not any(count.values()):
        sys.exit("error: sbm_switch cannot be disassembled")
    for key, n in count.items():
        print("code", key, n)
    return 0


# --- What the guest said --------------------------------------------------------


class Rows:
    """Result lines of one boot."""

    def __init__(self, path):
        self.ticks, self.events, self.failed = {}, {}, []
        self.lines = {}
        self.bulk, self.mitigations = [], {}
        with open(path, encoding="ascii") as f:
            for line in f:
                self.line(line.rstrip("\n"))
        numbers = self.lines["calibration"]
        self.ratio = numbers["ticks"] / numbers["instructions"]

    def line(self, line):
        words = line.split()
        if not words:
            return
        if words[0] == "row":
            if words[2] != "ticks":
                self.failed.append(words[1])
                return
            self.ticks[words[1]] = int(words[3])
            self.events[words[1]] = pairs(words[4:])
        elif words[0] == "bulk":
            self.bulk.append((words[1], words[2], int(words[3]), pairs(words[4:])))
        elif words[0] == "mitigation":
            self.mitigations[words[1]] = " ".join(words[2:])
        elif words[0] == "error":
            self.failed.append(" ".join(words[1:]))
        elif len(words) > 1:
            self.lines[words[0]] = pairs(words[1:])

    def has(self, name):
        return name in self.ticks

    def insns(self, name):
        return round(self.ticks[name] / self.ratio)


def pairs(words):
    return {k: int(v) for k, v in zip(words[::2], words[1::2])}


# --- The model ------------------------------------------------------------------

# Cycles of a processor for one event. Named, because they are other people's
# measurements, of processors that are not the same.
MODEL = (
    ("cr3", 186, "write of CR3 with PCID and no flush (SkyBridge, EuroSys 2019, Skylake)"),
    ("event", 715, "page fault, taken for any exception or interrupt (Torvalds, Haswell)"),
    ("iret", 330, "IRET (Torvalds, Haswell)"),
)
PUBLISHED = (
    ("null system call, without / with page-table isolation", "181 / 431",
     "SkyBridge, EuroSys 2019, Skylake"),
    ("compartment switch with change of address space", "524", "BULKHEAD, NDSS 2025, i7-12700H"),
    ("seL4 call", "834", "Haswell, RedLeaf's table"),
    ("L4Re IPC between address spaces", "934", "Xeon 8352S"),
)

# A warm null call may miss its target, but not by more than this.
CALL_KNOWN = 1200

CALL_ROWS = (
    ("direct_call", "direct call of the target"),
    ("call_warm", "null call, warm"),
    ("call_cold", "null call, first one of an instance"),
    ("init", "set up an instance (sbm_init)"),
    ("destroy", "destroy it (sbm_destroy)"),
    ("once", "set up, null call, destroy"),
    ("data_64_buffers", "64 B: two buffers, copy in"),
    ("data_64_call", "64 B: call, copy out"),
    ("data_64_once", "64 B: all of it"),
    ("data_4096_buffers", "4 KiB: two buffers, copy in"),
    ("data_4096_call", "4 KiB: call, copy out"),
    ("data_4096_once", "4 KiB: all of it"),
    ("data_65536_buffers", "64 KiB: two buffers, copy in"),
    ("data_65536_call", "64 KiB: call, copy out"),
    ("data_65536_once", "64 KiB: all of it"),
    ("fault", "fault to errno (report rate-limited)"),
    ("setup", "first use of the feature, once a boot"),
)
OTHER_ROWS = (
    ("direct_call", "direct call"),
    ("syscall", "null system call"),
    ("call_warm", "null call, warm"),
    ("kthread", "kernel thread: hand over and back"),
    ("workqueue", "workqueue: queue and flush"),
    ("once", "sandbox: set up, null call, destroy"),
    ("usermode_helper", "usermode helper: a process"),
)
PHASES = (
    ("api_in", "checks, taking the instance"),
    ("registers_in", "registers of the target, last look at signals"),
    ("prepare", "task state, FPU, values for the gate"),
    ("switch_and_target", "DR7, world switch, target, copy of its registers"),
    ("restore", "FPU given back, task state"),
    ("api_out", "what the event means, result, release"),
)
EVENT_COLUMNS = ("cr3", "lidt", "iret", "event", "tlb_flush", "msr", "pt_write", "pt_page",
                 "page", "alloc")


def all_events(rows, name):
    """The counters of a row, with what each of its stays does by itself."""
    events = dict(rows.events[name])
    for key, n in rows.lines["stay"].items():
        events[key] = events.get(key, 0) + n * events.get("stay", 0)
    return events


def model_cycles(events):
    return sum(events.get(key, 0) * cost for key, cost, _ in MODEL)


# --- Targets --------------------------------------------------------------------


class Target:
    """One claim: what was wanted, what was found, and why if it was missed."""

    def __init__(self, name, want, got, met, reason="", known=False):
        self.name, self.want, self.got, self.met = name, want, got, met
        self.reason, self.known = reason, known


def targets(rows, bulk):
    out = []
    e = all_events(rows, "call_warm")

    def exact(name, key, want):
        got = e.get(key, 0)
        out.append(Target(f"warm null call: {name}", str(want), str(got), got == want))

    exact("writes of CR3", "cr3", 2)
    exact("IRETQ", "iret", 1)
    exact("exceptions", "event", 1)
    exact("LIDT", "lidt", 2)
    exact("allocations", "alloc", 0)
    exact("page-table writes", "pt_write", 0)
    flushes = e.get("tlb_flush", 0)
    out.append(Target(
        "warm null call: TLB flushes (with PCID)", "0", str(flushes), flushes == 0,
        "the emulated processor has no PCID, so each of the two writes of CR3 flushes",
        known=flushes == 2))
    n = rows.insns("call_warm")
    phases = {name: rows.insns("phase_" + name) for name, _ in PHASES}
    out.append(Target(
        "warm null call: instructions", "<= 400", str(n), n <= 400,
        f"about {phases['switch_and_target']} for the switch itself, of which the fill of the "
        f"return buffer is 80; about {phases['prepare']} for what is exchanged before it; "
        "80 are iterations of 5 string instructions (three copies or clears of the registers, "
        "two small clears); two readings of the clock take about 140; the rest is C of the API, "
        "and 15 are the benchmark's own",
        known=n <= CALL_KNOWN))
    # An instance's tables are all taken by sbm_init(), and freed by sbm_destroy().
    n = rows.events["init"].get("pt_page", 0)
    out.append(Target("init and destroy: page-table pages", "<= 8", str(n), n <= 8))
    memory = rows.lines["memory"]
    per = memory["used_pages"] * 4096 / memory["instances"]
    out.append(Target("memory of an idle sandbox, 16 KiB stack", "<= 48 KiB",
                      f"{per / 1024:.1f} KiB", per <= 48 * 1024))
    for b in bulk:
        met = b["inside_percent"] >= 98
        reason = ""
        if not met:
            reason = (f"the work is so short ({b['outside']} instructions for {b['size']} bytes) "
                      f"that the call's {b['inside'] - b['outside']} are more than 2 % of it")
        out.append(Target(
            f"bulk work inside: {b['codec']}, {b['data']}, {b['size'] // 1024} KiB", ">= 98 %",
            f"{b['inside_percent']:.2f} %", met, reason,
            known=b["outside"] < 50 * rows.insns("call_warm")))
    return out


# --- Report ---------------------------------------------------------------------


def bulk_rows(rows):
    out = []
    for codec, data, size, info in rows.bulk:
        name = f"bulk_{codec}_{data}_{size}"
        if info["error"] or not rows.has(name + "_once"):
            rows.failed.append(f"{name} (error {info['error']})")
            continue
        outside, inside, once = (rows.insns(f"{name}_{k}") for k in ("outside", "inside", "once"))
        out.append({
            "codec": codec, "data": data, "size": size, "compressed": info["compressed"],
            "outside": outside, "inside": inside, "once": once,
            "inside_percent": 100 * outside / inside, "once_percent": 100 * outside / once})
    return out


def check_code(rows, path):
    """Where the kernel's word on a stay and the object code do not agree."""
    wrong = []
    stay = rows.lines["stay"]
    with open(path, encoding="ascii") as f:
        code = {k: int(n) for _, k, n in (line.split() for line in f)}
    for key, n in code.items():
        # What the processor may not need is there all the same, and passed over.
        most = {"cr4": 2, "pkru": 2, "msr": 1}.get(key)
        said = stay[key]
        if n != most if most and said in (0, most) else n != said:
            wrong.append(f"{key}: the kernel says {said}, the object code has {n}")
    return wrong


def report_text(kernel, rows, calls, bulk, result):
    out = []

    def put(line=""):
        out.append(line.rstrip())

    def head(text):
        put()
        put(text)
        put("-" * len(text))

    warm = rows.insns("call_warm")
    put(f"Sandbox mode on Linux {kernel}: what it costs")
    put()
    put("Instructions, counted by an emulator (QEMU -icount), not times. One processor,")
    put("no PCID, no LASS, mitigations off if nothing else is said. A repeated string")
    put("instruction counts once for each iteration.")
    put(f"Calibration: {rows.ratio:.6f} ticks of the time stamp counter an instruction.")

    head("Calls")
    names = {"tlb_flush": "flush", "pt_write": "PTEs", "pt_page": "tables", "page": "pages",
             "alloc": "allocs", "event": "events", "iret": "IRETQ", "lidt": "LIDT", "cr3": "CR3",
             "msr": "MSR"}
    put(f"{'':40}{'instr.':>9}" + "".join(f"{names[c]:>7}" for c in EVENT_COLUMNS))
    for name, label in CALL_ROWS:
        if rows.has(name):
            e = all_events(rows, name)
            put(f"{label:40}{rows.insns(name):>9}" +
                "".join(f"{e.get(c, 0) or '.':>7}" for c in EVENT_COLUMNS))
    put()
    put("events: exceptions and interrupts; flush: writes of CR3 that flush the TLB; PTEs:")
    put("page-table entries written; tables: page-table pages; pages: all pages, cleared.")

    head("An interrupt during a stay")
    spin = rows.lines["spin"]["instructions"]
    inside = outside = None
    if rows.has("tick_outside") and rows.has("tick_inside"):
        n = {k: rows.lines[f"tick_{k}_interrupts"]["seen"] for k in ("outside", "inside")}
        outside = round((rows.insns("tick_outside") - spin) / n["outside"])
        inside = round((rows.insns("tick_inside") - spin - warm) / n["inside"])
        put(f"{'timer tick in the kernel':40}{outside:>9}")
        put(f"{'timer tick in a sandbox, and back':40}{inside:>9}")
        put(f"mean of {n['outside']} and {n['inside']}, with the work that the kernel does at a tick")

    head("Compared")
    put(f"{'':40}{'instr.':>9}{'ratio':>9}")
    for name, label in OTHER_ROWS:
        if rows.has(name):
            put(f"{label:40}{rows.insns(name):>9}{rows.insns(name) / warm:>9.2f}")
    put()
    put("ratio: to the warm null call")

    head("Where a warm null call goes")
    total = 0
    for name, label in PHASES:
        n = rows.insns("phase_" + name)
        total += n
        put(f"{label:56}{n:>6}")
    put(f"{'sum, with what taking the time costs':56}{total:>6}")

    head("Mitigations")
    put(f"{'':40}{'off':>9}{'on':>9}")
    for name, label in (("call_warm", "null call, warm"), ("syscall", "null system call")):
        if calls.has(name):
            put(f"{label:40}{rows.insns(name):>9}{calls.insns(name):>9}")
    put()
    put("on: what this kernel chooses for the emulated processor:")
    for name, state in sorted(calls.mitigations.items()):
        if not state.startswith("Not affected"):
            put(f"  {name}: {state}")

    head("Memory")
    memory = rows.lines["memory"]
    n = memory["instances"]
    put(f"{n} idle instances with a stack of 16 KiB:")
    put(f"{'pages of their own, each':40}{memory['own_pages'] / n:>9.2f}")
    put(f"{'bytes taken from the page allocator, each':40}"
        f"{memory['used_pages'] * 4096 / n:>9.0f}")
    put(f"{'bytes, all':40}{memory['used_pages'] * 4096:>9}")

    head("Decompression, inside against outside")
    put(f"{'':6}{'data':8}{'bytes':>8}{'packed':>9}{'outside':>10}{'inside':>10}{'speed':>10}"
        f"{'once':>10}{'speed':>10}")
    for b in bulk:
        put(f"{b['codec']:6}{b['data']:8}{b['size']:>8}{b['compressed']:>9}{b['outside']:>10}"
            f"{b['inside']:>10}{b['inside_percent']:>9.2f}%{b['once']:>10}"
            f"{b['once_percent']:>9.2f}%")
    put()
    put("inside: one call of an instance that is there, on the caller's own pages; once:")
    put("set up, copy in, call, copy out, destroy. text: kernel text.")

    head("A model of cycles, not a measurement")
    for _, cost, label in MODEL:
        put(f"{cost:>6}  {label}")
    put()
    put(f"{'':40}{'events':>9}{'+ instr.':>9}")
    for name, label in (("call_warm", "null call, warm"), ("once", "set up, null call, destroy"),
                        ("data_4096_once", "4 KiB: all of it"), ("fault", "fault to errno")):
        if rows.has(name):
            cycles = model_cycles(all_events(rows, name))
            put(f"{label:40}{cycles:>9}{cycles + rows.insns(name):>9}")
    put()
    put("+ instr.: and one cycle for each instruction. Without LIDT, CR0, segments and MSRs, for")
    put("which there is no figure, and without what a flushed TLB costs later. To compare:")
    for label, cycles, source in PUBLISHED:
        put(f"{cycles:>10}  {label} ({source})")

    head("Targets")
    for t in result:
        word = "met   " if t.met else "MISSED"
        put(f"{word}  {t.name}: {t.got} (target {t.want})")
        if not t.met:
            put(f"        {t.reason or 'no reason is known'}")
    put()
    missed = [t for t in result if not t.met]
    put(f"{len(result) - len(missed)} met, {len(missed)} missed, "
        f"{sum(not t.known for t in missed)} of these without a known reason")
    return "\n".join(out) + "\n", inside, outside


def report_svg(kernel, rows, bulk):
    """Two bar charts: what a call costs (logarithmic), and bulk speed."""
    width, left, bar, gap = 760, 250, 16, 8
    items = [(label, rows.insns(name)) for name, label in OTHER_ROWS if rows.has(name)]
    items.sort(key=lambda item: item[1])
    speeds = [(f"{b['codec']}, {b['data']}, {b['size'] // 1024} KiB", b["inside_percent"])
              for b in bulk]
    top = 56
    second = top + len(items) * (bar + gap) + 60
    height = second + len(speeds) * (bar + gap) + 24
    room = width - left - 90
    most = math.log10(max(max(n for _, n in items), 10))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{width}" height="{height}" fill="#fff"/>']

    def text(x, y, what, anchor="start", size=13, fill="#222"):
        what = what.replace("&", "&amp;").replace("<", "&lt;")
        out.append(f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" '
                   f'fill="{fill}">{what}</text>')

    def row(y, label, length, value, fill):
        text(left - 8, y + bar - 4, label, "end")
        out.append(f'<rect x="{left}" y="{y}" width="{max(length, 1):.1f}" height="{bar}" '
                   f'fill="{fill}"/>')
        text(left + length + 6, y + bar - 4, value)

    text(16, 24, f"Sandbox mode on Linux {kernel}: instructions of a call", size=15)
    text(16, 42, "counted by an emulator, logarithmic scale", size=11, fill="#666")
    for i, (label, n) in enumerate(items):
        ours = "sandbox" in label or label.startswith("null call")
        row(top + i * (bar + gap), label, room * math.log10(max(n, 1)) / most, f"{n}",
            "#c4572b" if ours else "#8fa3b3")
    text(16, second - 28, "Decompression: speed inside, outside is 100 %", size=15)
    text(16, second - 10, "the line is at 98 %; the scale begins at 90 %", size=11, fill="#666")
    for i, (label, percent) in enumerate(speeds):
        row(second + i * (bar + gap), label, room * max(percent - 90, 0) / 10,
            f"{percent:.2f} %", "#c4572b" if percent < 98 else "#8fa3b3")
    x = left + room * 0.8
    out.append(f'<line x1="{x:.0f}" y1="{second - 4}" x2="{x:.0f}" '
               f'y2="{second + len(speeds) * (bar + gap)}" stroke="#222" stroke-dasharray="3 3"/>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def cmd_report(args):
    rows, calls = Rows(args.all), Rows(args.calls)
    bulk = bulk_rows(rows)
    wanted = {name for name, _ in CALL_ROWS + OTHER_ROWS} | {"tick_inside", "tick_outside"}
    failed = rows.failed + sorted(name for name in wanted if not rows.has(name))
    failed += ["mitigations on: " + name for name in calls.failed]
    if rows.lines["memory"]["error"] or rows.lines["memory_after"]["error"]:
        failed.append("memory")
    if rows.lines["memory_after"]["own_pages"]:
        failed.append("memory: pages of destroyed instances were not given back")
    wrong = check_code(rows, args.code)
    result = targets(rows, bulk) if rows.has("call_warm") and rows.has("init") else []
    if not result:
        sys.exit("error: not measured: " + ", ".join(failed))

    text, inside, outside = report_text(args.kernel, rows, calls, bulk, result)
    for line in failed:
        text += f"not measured: {line}\n"
    for line in wrong:
        text += f"wrong count: {line}\n"
    sys.stdout.write(text)
    data = {
        "kernel": args.kernel,
        "unit": "instructions, counted by an emulator",
        "ticks_per_instruction": rows.ratio,
        "stay": rows.lines["stay"],
        "rows": {name: {"instructions": rows.insns(name), "events": all_events(rows, name),
                        "model_cycles": model_cycles(all_events(rows, name))}
                 for name in rows.ticks if not name.startswith(("bulk_", "phase_", "tick_"))},
        "phases": {name: rows.insns("phase_" + name) for name, _ in PHASES},
        "interrupt": {"inside": inside, "outside": outside},
        "mitigations_on": {name: calls.insns(name) for name in ("call_warm", "syscall")
                           if calls.has(name)},
        "memory": rows.lines["memory"],
        "bulk": bulk,
        "model": [{"event": k, "cycles": c, "source": s} for k, c, s in MODEL],
        "targets": [vars(t) for t in result],
        "failed": failed + wrong,
    }
    for name, content in (("bench.txt", text),
                          ("bench.json", json.dumps(data, indent=1, sort_keys=True) + "\n"),
                          ("bench.svg", report_svg(args.kernel, rows, bulk))):
        with open(os.path.join(args.out, name), "w", encoding="utf-8") as f:
            f.write(content)
    return 1 if failed or wrong or any(not t.met and not t.known for t in result) else 0


# --- Not used -------------------------------------------------------------------

# What is new or may differ, none of it on a hot path.
UNUSED_ALLOWED = {
    "arch/x86/entry/entry_64.o": {
        ".altinstr_replacement": "the pool of alternatives: those of asm_exc_nmi_kvm_vmx, too",
        "asm_exc_nmi_kvm_vmx": "new: the entry for forwarded NMIs, which KVM for Intel has as well"},
    "arch/x86/entry/entry.o": {
        "idt_do_nmi_irqoff": "new: forwards an NMI, for sandbox mode and KVM only",
        "idt_do_interrupt_irqoff": "new: forwards an interrupt, for sandbox mode and KVM only"},
    "arch/x86/kernel/nmi.o": {
        "exc_nmi_kvm_vmx": "new: the handler of asm_exc_nmi_kvm_vmx",
        "x86_entry_from_kvm": "new: forwards an event",
        "fred_exc_nmi": "new: FRED's handler of NMIs; without FRED nothing calls it"},
    "arch/x86/entry/common.o": {
        ".altinstr_aux": "new: the pool of alternatives of x86_entry_from_kvm",
        ".altinstr_replacement": "new: the same",
        "x86_entry_from_kvm": "new: forwards an event, for sandbox mode and KVM only",
        "x86_entry_from_kvm-0x10": "new: the padding before it"},
    "arch/x86/mm/tlb.o": {
        "flush_tlb_one_kernel": "a static branch, NOP until the first sandbox: is text non-global",
        "switch_mm_irqs_off": "the same, in clear_asid_other() and its condition",
        "choose_new_asid": "the same, where the compiler has put clear_asid_other()",
        "tlb_allow_nonglobal_text": "new: throws that branch"},
    "arch/x86/mm/pti.o": {
        "pti_finalize": "once at boot: calls x86_sbm_pti_finalized() at its end",
        "pti_check_boottime_disable": "once at boot: asks for FRED, which is built then",
        ".altinstr_aux": "the pool of alternatives: that question",
        ".altinstr_replacement": "the same"},
    "arch/x86/kernel/kprobes/core.o": {
        "arch_populate_kprobe_blacklist": "once at boot: one more area without probes"},
}


def disassemble(path):
    """Symbols of all code of an object: offset and text of each instruction.

    Addresses and what relocations fill in are masked: a target is its symbol.
    """
    symbols, name, start = {}, None, 0
    for line in run("objdump", "-drw", "--no-show-raw-insn", path).splitlines():
        head = re.match(r"([0-9a-f]+) <(.+)>:$", line)
        if head:
            start, name = int(head[1], 16), head[2]
            # Parts of a section that discarded code left have the same name
            while name in symbols:
                name += "'"
            symbols[name] = []
            continue
        code = re.match(r" *([0-9a-f]+):\t(.*)$", line)
        if code and name:
            text = re.sub(r"\b[0-9a-f]+ <", "<", code[2])
            text = re.sub(r"\t[0-9a-f]+: R_", " R_", text)
            text = re.sub(r"(R_\w+\s+\.[\w.]+)[+-]0x[0-9a-f]+", r"\1", text)
            # Before relocation, a target is whatever lies there
            text = re.sub(r"<[^>]*>(.* R_)", r"\1", text)
            symbols[name].append((int(code[1], 16) - start, " ".join(text.split())))
    for code in symbols.values():
        # Padding up to the next symbol
        while code and re.match(r"(cs |data16 )*(nop|int3|xchg %ax,%ax)", code[-1][1]):
            code.pop()
    return symbols


def cmd_unused(args):
    bad = checked = 0
    for name in args.objects:
        off, on = (disassemble(os.path.join(d, name)) for d in (args.off, args.on))
        differ = sorted(f for f in off.keys() | on.keys() if off.get(f) != on.get(f))
        checked += len(off)
        print(f"{name}: {len(off)} symbols, {sum(map(len, off.values()))} instructions, "
              f"{len(off.keys() - set(differ))} symbols the same")
        for f in differ:
            reason = UNUSED_ALLOWED.get(name, {}).get(f)
            if reason and reason.startswith("new:") == (f in off):
                reason = None
            if not reason:
                bad += 1
            print(f"        {f}: {reason or 'MAY NOT DIFFER'}")
    print(f"{checked} symbols in {len(args.objects)} objects, {bad} differences that may not be")
    return 1 if bad or not checked else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(dest="command", required=True)
    p = sub.add_parser("data")
    p.add_argument("text")
    p.set_defaults(func=cmd_data)
    p = sub.add_parser("code")
    p.add_argument("vmlinux")
    p.set_defaults(func=cmd_code)
    p = sub.add_parser("report")
    p.add_argument("--kernel", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--code", required=True)
    p.add_argument("all")
    p.add_argument("calls")
    p.set_defaults(func=cmd_report)
    p = sub.add_parser("unused")
    p.add_argument("off")
    p.add_argument("on")
    p.add_argument("objects", nargs="+")
    p.set_defaults(func=cmd_unused)
    args = parser.parse_args()
    return args.func(args)


if __name__ == "__main__":
    sys.exit(main())
