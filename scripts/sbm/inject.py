#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Inject NMIs, machine checks or presses of the power button into a running guest,
until it is gone.

SOCKET is QEMU's monitor (-monitor unix:SOCKET,server=on,wait=off), LOG the
guest's console log: the first event is sent when START stands in it, and none any
more when STOP does.

The monitor's NMIs reach processor 0 only, and those that come faster than they are
taken melt into one.  No handler claims them, so the guest says in its log that
they came.

Machine checks reach processor 0, too.  They say that its context is corrupt: the
guest must have been told not to panic (mce/fake_panic in its debugfs).  While one is
being handled, another one would reset the guest.
"""

import argparse
import os
import socket
import sys
import time

# mce: processor, bank, status (valid, uncorrected, enabled, context corrupt), global
# status (a machine check is in progress, RIP is valid), address, misc
EVENTS = {
    'nmi': b'nmi\n',
    'button': b'system_powerdown\n',
    'mce': b'mce 0 4 0xb200000000000005 0x5 0 0\n',
}


def heard(monitor, wait, end):
    """Take what the monitor says; with @wait, until it has done the command.

    False if it is gone.  It says so if a machine check came too early.
    """
    said = b''
    while time.monotonic() < end:
        try:
            data = monitor.recv(65536)
            if not data:
                return False
            said += data
        except BlockingIOError:
            if not wait or b'(qemu)' in said.rpartition(b'mce')[2]:
                break
            time.sleep(0.01)
    if b'still in progress' in said:
        print('a machine check came too early')
    return True


def main():
    """Wait for the guest, then send."""
    args = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('socket')
    args.add_argument('log')
    args.add_argument('--event', choices=EVENTS, default='nmi')
    args.add_argument('--start', default='KTAP version 1')
    args.add_argument('--stop')
    args.add_argument('--pause', type=float, default=0.003, help='seconds between two')
    args.add_argument('--limit', type=float, default=600, help='seconds at most')
    opt = args.parse_args()

    end = time.monotonic() + opt.limit
    monitor = None
    while monitor is None and time.monotonic() < end:
        try:
            monitor = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            monitor.connect(opt.socket)
        except OSError:
            monitor.close()
            monitor = None
            time.sleep(0.05)
    if monitor is None:
        sys.exit(f'error: no monitor at {opt.socket}')
    monitor.setblocking(False)

    begun, sent = False, 0
    try:
        while time.monotonic() < end:
            if not begun:
                if os.path.exists(opt.log):
                    with open(opt.log, encoding='utf-8', errors='replace') as file:
                        begun = opt.start in file.read()
                time.sleep(0.05)
                continue
            if opt.stop:
                with open(opt.log, encoding='utf-8', errors='replace') as file:
                    if opt.stop in file.read():
                        break
            try:
                monitor.sendall(EVENTS[opt.event])
                sent += 1
            except BlockingIOError:
                pass
            if not heard(monitor, opt.event == 'mce', end):
                break
            time.sleep(opt.pause)
    except (ConnectionError, BrokenPipeError):
        pass
    print(f'{sent} sent')


if __name__ == '__main__':
    main()
