#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Compare the model of the world switch with the object code.

Usage: model.py MODEL VMLINUX

The places of the model say in a comment what instruction they stand for; in the
order of the file, these must be all instructions of their kinds that the switch and
its stubs have.
"""

import os
import re
import subprocess
import sys

# What an instruction is to the model. All others are of no account there.
KINDS = (
    ('lidt', r'lidt '),
    ('sidt', r'sidt '),
    ('selectors', r'mov +%eax,%ds$'),
    ('ss', r'mov +%eax,%ss$'),
    ('wrgsbase', r'wrgsbase '),
    ('wrfsbase', r'wrfsbase '),
    ('cr0', r'mov +%r\w+,%cr0$'),
    ('cr3', r'mov +%r\w+,%cr3$'),
    ('cr4', r'mov +%r\w+,%cr4$'),
    ('clts', r'clts$'),
    ('wrpkru', r'wrpkru$'),
    ('wrmsr', r'wrmsr$'),
    # The stack pointer from the gate, on the way in and out
    ('rsp', r'(lea|mov) +(0x[0-9a-f]+)?\(%r(bx|di)\),%rsp$'),
    ('r14', r'mov +%rsp,%r14$'),
    ('regs', r'mov +%r14,(0x[0-9a-f]+)?\(%r13\)$'),
    ('popfq', r'popf'),
    # Selecting the gate by the stack pointer
    ('gate', r'and +\$0xf+[0-9a-f]+,%rbx$'),
    ('iretq', r'iretq'),
    ('ret', r'ret|jmp +[0-9a-f]+ <(__pi_)?__x86_return_thunk>$'),
)
# Loads of other selectors go with the first
ALSO = r'mov +%eax,%[efg]s$'
COUNT = r'incl +(0x[0-9a-f]+)?\(%rbx\)$'


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True,
                          env={**os.environ, 'LC_ALL': 'C'}).stdout


def in_model(path):
    with open(path, encoding='ascii') as f:
        return re.findall(r'(?m)^#define \w+\t+\d+\t+/\* (\w+) \*/$', f.read())


def in_code(vmlinux):
    symbols = {}
    for line in run('nm', vmlinux).splitlines():
        parts = line.split()
        if len(parts) == 3:
            symbols.setdefault(parts[2], int(parts[0], 16))
    text = run('objdump', '-d', '--no-show-raw-insn',
               f"--start-address={symbols['sbm_switch']:#x}",
               f"--stop-address={symbols['__sbm_switch_end']:#x}", vmlinux)
    found, counters = [], []
    for line in text.splitlines():
        parts = line.split('\t', 1)
        if len(parts) < 2:
            continue
        insn = re.sub(r' +#.*', '', parts[1].strip())
        for kind, pattern in KINDS:
            if re.match(pattern, insn):
                found.append((kind, insn))
        if re.match(COUNT, insn):
            counters.append(insn)
            found.append(('count', insn))
    # The first counter is that of events that cannot be, which nothing depends on.
    if len(set(counters)) != 2 or counters.count(counters[0]) != 1:
        sys.exit(f'the counters are not as expected: {counters}')
    return [(kind, insn) for kind, insn in found if insn != counters[0]]


def main():
    """Both, side by side."""
    if len(sys.argv) == 2 and sys.argv[1] in ('-h', '--help'):
        print(__doc__.strip())
        return
    if len(sys.argv) != 3:
        sys.exit('Usage: model.py MODEL VMLINUX')
    want = in_model(sys.argv[1])
    have = in_code(sys.argv[2])
    for i in range(max(len(want), len(have))):
        w = want[i] if i < len(want) else '(end)'
        h, insn = have[i] if i < len(have) else ('(end)', '')
        print(f'{w:12} {h:12} {insn}')
        if w != h:
            sys.exit(f'the model has {w} where the code has {h} {insn}')
    if len(want) < 30:
        sys.exit(f'only {len(want)} instructions: something is wrong')
    print(f'{len(want)} instructions in the order of the model')


main()
