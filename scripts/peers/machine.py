"""What the machine says about processes: memory and processor time, from /proc; nothing on systems without it."""

import glob
import os
import platform
import resource
import time

TICK = os.sysconf("SC_CLK_TCK")


def tree(pid):
    """Returns a process and its descendants."""
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        for path in glob.glob(f"/proc/{pid}/task/*/children"):
            try:
                with open(path, encoding="ascii") as f:
                    todo += [int(child) for child in f.read().split()]
            except OSError:  # it has ended
                continue
    return found


def cpu_of(pid):
    """Returns the processor time of a process and its descendants, in seconds."""
    total = 0.0
    for p in tree(pid):
        try:
            with open(f"/proc/{p}/stat", encoding="ascii", errors="replace") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / TICK
        except OSError:  # it has ended
            continue
    return total


def cpu_of_all():
    """Returns the processor time of all processes since the machine's start, in seconds; None if it is not known."""
    try:
        with open("/proc/stat", encoding="ascii") as f:
            user, nice, system = (int(x) for x in f.readline().split()[1:4])
    except OSError:
        return None
    return (user + nice + system) / TICK


class Usage:
    """What a measurement takes: the processes that we start, and the server's. The others' is foreign."""

    def __init__(self, pid=None):
        self.pid = pid
        self.wall, self.all, self.ours = self.now()

    def now(self):
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours = children.ru_utime + children.ru_stime + (cpu_of(self.pid) if self.pid else 0)
        return os.times().elapsed, cpu_of_all(), ours

    def foreign(self):
        """Returns how many cores others kept busy, on average since the start; None if it is not known."""
        wall, everything, ours = self.now()
        if self.all is None or wall <= self.wall:
            return None
        return round(max(((everything - self.all) - (ours - self.ours)) / (wall - self.wall), 0), 2)

    def peak_rss(self):
        """Returns the peak resident memory of the server and its descendants in MB; None if it is not known."""
        total = 0
        for pid in tree(self.pid):
            try:
                with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                    total += next((int(line.split()[1]) for line in f if line.startswith("VmHWM:")), 0)
            except OSError:  # not Linux, or it has ended
                continue
        return total // 1000 or None


def wait_for_calm(cores, patience):
    """Waits until all processes together keep no more cores busy than that, at most so many seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before, start = cpu_of_all(), time.monotonic()
        time.sleep(0.5)
        if before is None or (cpu_of_all() - before) / (time.monotonic() - start) <= cores:
            return


def describe():
    """Returns the machine in a line."""
    name = platform.processor() or platform.machine()
    flags = []
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            for line in f:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    name = value.strip()
                if key.strip() == "flags":
                    flags = sorted(flag for flag in value.split() if flag.startswith(("avx512_vnni", "avx512f", "avx2", "amx_int8")))
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} CPUs ({', '.join(flags) or 'no flags known'}), {platform.system()} {platform.release()}"
