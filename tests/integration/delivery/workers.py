"""A program whose parent and eight recycled workers record numbered spans of one execution.

Usage: ``workers.py METHOD TASKS``, where the method is one of `multiprocessing`, or ``by hand``: a
master that replaces each worker which has ended, as a pre-forking server does. A worker is recycled
after ten tasks. Task n records the numbers from ``n * PER_TASK``; the parent has the numbers after
those of all tasks.
"""

from __future__ import annotations

import multiprocessing
import os
import sys

from phasetrace import time_phase

WORKERS = 8
RECYCLED_AFTER = 10
PER_TASK = 5
BY_PARENT = 100
EXEC_ID = "workers"


def record(first: int, count: int) -> None:
    """Record so many spans."""
    for seq in range(first, first + count):
        with time_phase(EXEC_ID, "node", "work", seq=seq):
            pass


def task(number: int) -> int:
    """Do what a worker does."""
    record(number * PER_TASK, PER_TASK)
    return os.getpid()


def in_pool(method: str, tasks: int) -> int:
    """Have the tasks done by a pool; return by how many processes."""
    context = multiprocessing.get_context(method)
    pool = context.Pool(WORKERS, maxtasksperchild=RECYCLED_AFTER)
    pids = set(pool.imap_unordered(task, range(tasks)))
    pool.close()
    pool.join()
    return len(pids)


def by_hand(tasks: int) -> int:
    """Have the tasks done by children of our own, which end as any program does."""
    shares = [range(n, min(n + RECYCLED_AFTER, tasks)) for n in range(0, tasks, RECYCLED_AFTER)]
    running: set[int] = set()
    forked = 0
    while shares or running:
        while shares and len(running) < WORKERS:
            share = shares.pop()
            pid = os.fork()
            if pid == 0:
                for number in share:
                    task(number)
                sys.exit(0)
            running.add(pid)
            forked += 1
            record_of_master(forked, tasks)
        pid, status = os.wait()
        running.remove(pid)
        if status:
            sys.exit(f"a worker ended with status {status}")
    return forked


def record_of_master(number: int, tasks: int) -> None:
    """Record a span between two forks."""
    record(tasks * PER_TASK + 2 * BY_PARENT + number - 1, 1)


def main() -> None:
    """Record before, during and after; say how many processes and spans there were."""
    method, tasks = sys.argv[1], int(sys.argv[2])
    after_all = tasks * PER_TASK
    record(after_all, BY_PARENT)
    processes = by_hand(tasks) if method == "by hand" else in_pool(method, tasks)
    record(after_all + BY_PARENT, BY_PARENT)
    spans = after_all + 2 * BY_PARENT + (processes if method == "by hand" else 0)
    sys.stdout.write(f"{processes} processes\n{spans} spans\n")


if __name__ == "__main__":
    main()
