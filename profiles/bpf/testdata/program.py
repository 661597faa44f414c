"""What an MCP server written in Python does, one check after another.

Each line printed is "ok <name>" or "BAD <name> <why>".
"""

import asyncio
import ctypes
import hashlib
import mmap
import multiprocessing
import os
import pathlib
import resource
import select
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor


def want(got, expected):
    if got != expected:
        raise AssertionError(f"got {got!r}, want {expected!r}")


def files(d):
    a = d / "a"
    a.write_text("hello")
    shutil.copy2(a, d / "b")
    (d / "b").rename(d / "c")
    a.chmod(0o600)
    os.utime(a, (1, 1))
    (d / "l").symlink_to("a")
    os.link(a, d / "h")
    (d / "d" / "e").mkdir(parents=True)
    os.truncate(a, 5)
    os.access(a, os.R_OK)
    os.statvfs(d)
    os.mkfifo(d / "fifo")
    with open(a, "r+") as f:
        os.fsync(f.fileno())
        os.posix_fallocate(f.fileno(), 0, 16)
        import fcntl
        fcntl.flock(f, fcntl.LOCK_EX)
        fcntl.lockf(f, fcntl.LOCK_UN)
        with mmap.mmap(f.fileno(), 0) as m:
            want(m[:5], b"hello")
            m.flush()
    want(sorted(os.listdir(d)), ["a", "c", "d", "fifo", "h", "l"])
    shutil.rmtree(d / "d")


def threads(d):
    lock, count = threading.Lock(), [0]

    def add():
        with lock:
            count[0] += 1

    ts = [threading.Thread(target=add) for _ in range(8)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    want(count[0], 8)
    with ThreadPoolExecutor(4) as pool:
        want(sum(pool.map(abs, [-1, -2, 3])), 6)


def children(d):
    want(subprocess.run(["/bin/sh", "-c", "echo out | cat"], capture_output=True).stdout, b"out\n")
    want(subprocess.run([sys.executable, "-c", "print(2)"], capture_output=True, start_new_session=True).stdout, b"2\n")
    p = subprocess.Popen(["sleep", "1000"])
    p.terminate()
    want(p.wait(), -signal.SIGTERM)
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    want(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 7)
    master, slave = os.openpty()
    os.write(slave, b"x")
    want(os.read(master, 1), b"x")


def square(x):
    return x * x


def processes(d):
    for how in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(how)
        q = context.Queue()
        p = context.Process(target=q.put, args=(how,))
        p.start()
        want(q.get(timeout=20), how)
        p.join()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        want(pool.map(square, [1, 2, 3]), [1, 4, 9])
    from multiprocessing import shared_memory
    s = shared_memory.SharedMemory(create=True, size=64)
    s.buf[0] = 1
    s.close()
    s.unlink()


def asynchronous(d):
    async def main():
        async def handle(r, w):
            w.write(await r.readline())
            await w.drain()
            w.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        r, w = await asyncio.open_connection("127.0.0.1", port)
        w.write(b"ping\n")
        want(await r.readline(), b"ping\n")
        w.close()
        p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        want((await p.communicate(b"through"))[0], b"through")
        await asyncio.sleep(0)
        try:
            await asyncio.get_running_loop().getaddrinfo("name.invalid", 80)
            raise AssertionError("name.invalid resolved")
        except socket.gaierror:
            pass
        server.close()

    asyncio.run(main())


def sockets(d):
    a, b = socket.socketpair()
    socket.send_fds(a, [b"x"], [0])
    want(socket.recv_fds(b, 1, 1)[0], b"x")
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(d / "sock"))
    s.listen()
    u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    want(select.select([u], [u], [], 0)[1], [u])
    with open(__file__, "rb") as f:
        want(a.sendfile(f, count=4), 4)


def database(d):
    db = sqlite3.connect(d / "db")
    db.execute("pragma journal_mode=wal")
    db.execute("create table t(x)")
    db.executemany("insert into t values (?)", [(i,) for i in range(100)])
    db.commit()
    want(db.execute("select sum(x) from t").fetchone()[0], 4950)
    db.close()


def cryptography(d):
    want(hashlib.sha256(b"").hexdigest()[:8], "e3b0c442")
    ssl.create_default_context()
    want(len(os.urandom(16)), 16)


def signals(d):
    got = []
    signal.signal(signal.SIGALRM, lambda *_: got.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.pause()
    signal.alarm(0)
    want(got, [1])
    os.kill(os.getpid(), 0)


def host(d):
    os.cpu_count(), os.sched_getaffinity(0), os.getloadavg(), os.uname(), os.times(), os.getpriority(0, 0)
    resource.getrusage(resource.RUSAGE_SELF)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    time.clock_getres(time.CLOCK_MONOTONIC), time.time(), time.sleep(0)


def foreign(d):
    """ctypes: a callback needs memory that is both written and executed."""
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    values = (ctypes.c_int * 3)(3, 1, 2)
    ctypes.CDLL(None).qsort(values, 3, 4, compare(lambda a, b: a[0] - b[0]))
    want(list(values), [1, 2, 3])


def main():
    bad = 0
    for check in (files, threads, children, processes, asynchronous, sockets, database, cryptography, signals, host, foreign):
        d = pathlib.Path(tempfile.mkdtemp(dir=os.environ["SCRATCH"]))
        try:
            check(d)
            print("ok", check.__name__, flush=True)
        except Exception as e:
            print("BAD", check.__name__, repr(e), flush=True)
            bad = 1
        finally:
            shutil.rmtree(d, ignore_errors=True)
    sys.exit(bad)


if __name__ == "__main__":
    main()
