# SPDX-License-Identifier: GPL-2.0
"""QEMU for kunit.py (--qemu_config) and the suites of sandbox mode

QEMU's default processor has no SMEP, so strong isolation is refused and most cases are
skipped. Some cases need a second processor.
"""

from ..qemu_config import QemuArchParams

QEMU_ARCH = QemuArchParams(linux_arch='x86_64',
                           kconfig='''
CONFIG_SERIAL_8250=y
CONFIG_SERIAL_8250_CONSOLE=y''',
                           qemu_arch='x86_64',
                           kernel_path='arch/x86/boot/bzImage',
                           kernel_command_line='console=ttyS0',
                           extra_qemu_params=['-bios', 'qboot.rom', '-cpu', 'max',
                                              '-smp', '2', '-m', '1G'])
