#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Judge the log of a test boot.

LOG is the console's log; LOG.user, if it is there, holds what the suites said
when they were run again from user space (see guest/init).  The KTAP results are
counted here, one line of totals a part, and judged by the kernel's own
kunit.py as well.  What the selftest of task state said is there too, and a part
of its own.  Between the lines "sbm-test: expect-begin" and "sbm-test:
expect-end" of the log a test announces trouble that it makes on purpose; outside
of these, a line that speaks of trouble is a failure.

Exit status: 0 all is well, 1 something failed.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

STAMP = re.compile(r'^(?:<\d+>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?')
RESULT = re.compile(r'^( *)(ok|not ok) (\d+)(?: -)?(?: (.*))?$')
TROUBLE = re.compile(r'BUG:|WARNING:|Oops|Call Trace|general protection|deprecated workqueue|'
                     r'sbm-test: (customer \w+: failed|trace points: failed|'
                     r'kmemleak: something is lost)')
KTAP = re.compile(r'^ *(KTAP version \d|1\.\.\d|ok \d|not ok \d|#|kunit executor:)')
PANIC = re.compile(r'Kernel panic - not syncing|sbm-test: stopped after')


def clean(line):
    """Without line ends, escape sequences and printk's time."""
    line = re.sub(r'\x1b\[[0-9;?]*[a-zA-Z]', '', line.rstrip('\r\n'))
    return STAMP.sub('', line, count=1)


class Totals:
    """What one stretch of KTAP says."""

    def __init__(self):
        self.passed = 0
        self.skipped = 0
        self.failed = []
        self.suites = []

    def parse(self, lines):
        """A result with results nested below it is a sum, not a case."""
        pending = []        # (indent, bad) of results that no parent has claimed yet
        for line in lines:
            match = RESULT.match(line)
            if not match:
                continue
            indent = len(match.group(1))
            name = match.group(4) or match.group(3)
            skip = re.search(r'# SKIP\b', name, re.I)
            name = re.sub(r' *#.*$', '', name)
            bad = match.group(2) == 'not ok'
            nested = told = False
            while pending and pending[-1][0] > indent:
                told |= pending.pop()[1]
                nested = True
            pending.append((indent, bad))
            if indent == 0:
                self.suites.append(name)
                pending = []
            # A sum that is bad although its parts are good is a failure too.
            if nested and (told or not bad):
                continue
            if bad:
                self.failed.append(name)
            elif skip:
                self.skipped += 1
            else:
                self.passed += 1


def task_says(user, strong, complaints):
    """What the selftest of task state said, as lines of TAP; None if it did not run.

    Its plan must be kept to.  It may skip all of it only where there is nothing
    to test.
    """
    begin = [i for i, line in enumerate(user) if line.startswith('sbm-test: task-begin')]
    if not begin:
        return None
    piece = user[begin[0] + 1:]
    end = [i for i, line in enumerate(piece) if line.startswith('sbm-test: task-end')]
    if not end:
        complaints.append('task state: the results are cut short')
    piece = piece[:end[0]] if end else piece
    plan = [m for m in (re.match(r'1\.\.(\d+)(?: # SKIP (.*))?$', line) for line in piece) if m]
    if len(plan) != 1:
        complaints.append('task state: no plan')
    elif plan[0].group(1) == '0':
        if strong or not (plan[0].group(2) or '').startswith('no strong isolation'):
            complaints.append(f'task state: nothing was tested: {plan[0].group(2)}')
    elif sum(bool(RESULT.match(line)) for line in piece) != int(plan[0].group(1)):
        complaints.append(f'task state: not as many results as the plan {plan[0].group(0)} has')
    return piece


def kunit_says(kunit, lines, may_skip):
    """The kernel's own opinion: None if content, else its last words.

    It is not content with a suite of which all is skipped.  With @may_skip, we are.

    kunit.py wants "# Subtest" right behind "KTAP version", and counts a suite as
    crashed if a message of the kernel stands between the two.  The messages are
    judged elsewhere: it gets the lines that are KTAP.
    """
    lines = [line for line in lines if KTAP.match(line)]
    with tempfile.NamedTemporaryFile('w', suffix='.log', delete=False) as tmp:
        tmp.write('\n'.join(lines) + '\n')
    try:
        done = subprocess.run([sys.executable, kunit, 'parse', tmp.name],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors='replace', timeout=300,
                              check=False, stdin=subprocess.DEVNULL)
    finally:
        os.unlink(tmp.name)
    if done.returncode == 0:
        return None
    words = [w for w in done.stdout.splitlines() if w.strip()]
    said = clean(words[-1]) if words else 'no word'
    if may_skip and re.search(r'Ran (\d+) tests: skipped: \1$', said):
        return None
    return said


def main():
    """Read, count, judge, print."""
    args = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('log')
    args.add_argument('--name', default='boot', help='what the totals are called')
    args.add_argument('--kunit', help='path of kunit.py of the kernel under test')
    args.add_argument('--require', action='append', default=[], metavar='SUITE',
                      help='a suite that must have run, in each part')
    args.add_argument('--module', action='append', default=[], metavar='NAME',
                      help='a module that must have been loaded and removed')
    args.add_argument('--refused', action='append', default=[], metavar='NAME',
                      help='a module that must have refused to be loaded')
    args.add_argument('--no-user', action='store_true',
                      help='there is no run from user space in this log')
    args.add_argument('--no-boot', action='store_true',
                      help='there is no run at boot in this log')
    args.add_argument('--task', action='store_true',
                      help='the selftest of task state must have run')
    args.add_argument('--nmis', action='store_true',
                      help='NMIs must have been injected during the run from user space')
    args.add_argument('--expect', metavar='TEXT', action='append', default=[],
                      help='a text that must stand in the log')
    args.add_argument('--totals', metavar='FILE',
                      help='append "NAME<tab>passed<tab>failed<tab>skipped" lines')
    opt = args.parse_args()

    with open(opt.log, encoding='utf-8', errors='replace') as file:
        log = [clean(line) for line in file]
    user = []
    if os.path.exists(opt.log + '.user'):
        with open(opt.log + '.user', encoding='utf-8', errors='replace') as file:
            user = [clean(line) for line in file]

    complaints = []
    parts = []
    strong = any('sbm: strong isolation is available' in line for line in log)

    # The part before user space: only that counts as the run at boot.
    at = [i for i, line in enumerate(log) if 'sbm-test: user space' in line]
    if not opt.no_boot:
        parts.append(('boot', [log[:at[0]] if at else log]))
    if not opt.no_user:
        if not at:
            complaints.append('user space was not reached')
        elif not any('sbm-test: end' in line for line in log):
            complaints.append('the run from user space did not come to its end')
        # Each suite's results are a log of their own.
        pieces = []
        for line in user:
            if line.startswith('sbm-test: results-begin'):
                pieces.append([])
            elif line.startswith('sbm-test: results-end'):
                pieces.append(None)
            elif pieces and pieces[-1] is not None:
                pieces[-1].append(line)
        if pieces and pieces[-1] is not None:
            complaints.append('the results from user space are cut short')
        parts.append(('user space', [p for p in pieces if p]))

        piece = task_says(user, strong, complaints)
        if piece is not None:
            parts.append(('task state', [piece]))
        elif opt.task:
            complaints.append('task state: the selftest did not run')

    for part, pieces in parts:
        totals = Totals()
        for piece in pieces:
            totals.parse(piece)
            if opt.kunit and any('KTAP version 1' in line for line in piece):
                words = kunit_says(opt.kunit, piece, not strong)
                if words:
                    complaints.append(f'kunit.py on the run in {part}: {words}'
                                      if part != 'boot' else
                                      f'kunit.py on the run at boot: {words}')
        if totals.passed + len(totals.failed) == 0 and part != 'task state':
            complaints.append(f'{part}: no test ran')
        for suite in opt.require if part != 'task state' else []:
            if suite not in totals.suites:
                complaints.append(f'{part}: suite {suite} did not run to its end')
        for name in totals.failed:
            complaints.append(f'{part}: not ok {name}')
        print(f'{opt.name} ({part}): {totals.passed} passed, '
              f'{len(totals.failed)} failed, {totals.skipped} skipped')
        if opt.totals:
            with open(opt.totals, 'a', encoding='utf-8') as file:
                file.write(f'{opt.name} ({part})\t{totals.passed}\t'
                           f'{len(totals.failed)}\t{totals.skipped}\n')

    expected = False
    count = 0
    for number, line in enumerate(log, 1):
        if 'sbm-test: expect-begin' in line:
            expected = True
        elif 'sbm-test: expect-end' in line:
            expected = False
        if PANIC.search(line) or (TROUBLE.search(line) and not expected):
            count += 1
            if count <= 5:
                complaints.append(f'log line {number}: {line.strip()}')
    if count > 5:
        complaints.append(f'and {count - 5} more lines of this kind')
    if expected:
        complaints.append('expect-begin without expect-end')

    for name in opt.module:
        for what in ('loaded', 'removed'):
            if not any(line.endswith(f'sbm-test: module {what} {name}') for line in log):
                complaints.append(f'module {name} was not {what}')
    for name in opt.refused:
        if not any(line.endswith(f'sbm-test: module refused {name}') for line in log):
            complaints.append(f'module {name} was not refused')
    if opt.nmis:
        # Tests send NMIs of their own, which are claimed; the monitor's are not.
        nmis = sum('NMI received for unknown reason' in line for line in (log[at[0]:] if at else []))
        print(f'{opt.name}: {nmis} injected NMIs reported in user space, the rest not told')
        if nmis < 5:
            complaints.append(f'{nmis} injected NMIs arrived: too few')
    for text in opt.expect:
        if not any(text in line for line in log):
            complaints.append(f'the log lacks "{text}"')

    for line in complaints:
        print(f'  {line}')
    return 1 if complaints else 0


if __name__ == '__main__':
    sys.exit(main())
