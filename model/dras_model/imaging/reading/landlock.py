"""A Landlock domain (landlock(7), Linux 5.13): nothing outside it can be traced, or signalled (Linux 6.12).

Without it a process could write to its parent's memory as a file, /proc/PID/mem, which no filter of system calls
tells from other files. Where both run as root it can still read /proc/PID/environ. Reading and writing of files
stays free: where a library lies and an archive is unpacked differs from system to system.
"""

import ctypes
import os
import struct
import sys

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # asm-generic/unistd.h, the same on every architecture
_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PR_SET_NO_NEW_PRIVS = 38
# linux/landlock.h: running programs and making devices, sockets and pipes; reaching abstract sockets, signalling.
_FILES, _SCOPES = 1 << 0 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11, 0b11
_TCP_IS_FREE = 0  # there are other guards against the network
_SCOPES_SINCE = 6  # version of the interface


def enter_domain() -> bool:
    """Bind this thread and all that it starts; False where the system has no Landlock."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    if version < 1 or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    denied = [_FILES, _TCP_IS_FREE, _SCOPES] if version >= _SCOPES_SINCE else [_FILES]
    attributes = struct.pack(f"={len(denied)}Q", *denied)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return False
    try:
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)
