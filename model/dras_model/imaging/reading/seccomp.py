"""A filter of system calls (seccomp(2)): no sockets, no other programs, no hand on other processes.

What is denied answers EPERM. It is a list of the forbidden, not of the allowed: NumPy, codecs and the C
library would need a list of the allowed for each version. Nor can a process leave its group, by which its
parent ends it and all that it forked. abort(3) signals by tgkill(2) and so ends by the trap behind it, SIGSEGV
on x86-64. Linux on x86-64 and AArch64; elsewhere there is none.
"""

import ctypes
import errno
import platform
import struct

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = (
    0x20,
    0x15,
    0x35,
    0x06,
)  # BPF_LD|W|ABS, JMP|JEQ|K, JMP|JGE|K, RET
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4  # in struct seccomp_data
_X32 = 0x40000000  # calls of the x32 ABI, which would slip past numbers of x86-64
# linux/audit.h AUDIT_ARCH_*, and the numbers of asm/unistd.h.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_DENIED = {
    "x86_64": {
        "socket": 41, "socketpair": 53, "execve": 59, "execveat": 322, "kill": 62, "tkill": 200,
        "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "tgkill": 234, "setsid": 112, "setpgid": 109,
        "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "pidfd_open": 434,
        "pidfd_getfd": 438, "pidfd_send_signal": 424, "io_uring_setup": 425, "bpf": 321,
        "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250, "add_key": 248, "request_key": 249,
        "unshare": 272, "setns": 308, "mount": 165, "chroot": 161, "prlimit64": 302, "setrlimit": 160,
    },
    "aarch64": {
        "socket": 198, "socketpair": 199, "execve": 221, "execveat": 281, "kill": 129, "tkill": 130,
        "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "tgkill": 131, "setsid": 157, "setpgid": 154,
        "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "pidfd_open": 434,
        "pidfd_getfd": 438, "pidfd_send_signal": 424, "io_uring_setup": 425, "bpf": 280,
        "perf_event_open": 241, "userfaultfd": 282, "keyctl": 219, "add_key": 217, "request_key": 218,
        "unshare": 97, "setns": 268, "mount": 40, "chroot": 51, "prlimit64": 261, "setrlimit": 164,
    },
}  # fmt: skip


class _Program(ctypes.Structure):
    """Struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install_filter() -> bool:
    """Bind this thread and all that it starts; False where the system has no such filter."""
    machine = platform.machine()
    if platform.system() != "Linux" or machine not in _DENIED:
        return False
    code = _assemble(_ARCHITECTURES[machine], sorted(_DENIED[machine].values()), x32=machine == "x86_64")
    program = _Program(len(code) // 8, code)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _assemble(architecture: int, denied: list[int], *, x32: bool) -> bytes:
    """Return the filter in classic BPF (linux/filter.h): eight bytes an instruction."""
    deny = _ERRNO | errno.EPERM
    tests = [(_JUMP_EQUAL, number) for number in denied]
    if x32:
        tests.append((_JUMP_AT_LEAST, _X32))
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, deny),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    for place, (jump, value) in enumerate(tests):
        lines.append((jump, len(tests) - place, 0, value))  # to the last line
    lines += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, deny)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
