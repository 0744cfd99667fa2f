"""Runs a render agent for as long as somebody holds this program's standard input open.

The agent starts each frame in a session of its own, so that no group kill reaches them all, and it leaves them running when it
is told to end. Hence this keeper: processes whose parents died come to it instead of to the system's first process, and so it
finds, and kills, every process that a frame started.

Arguments: a folder that is removed if the parent is gone by the end and can't do it itself, or an empty text; then the agent's
command line. Exit code: the agent's.
"""
import ctypes
import os
import shutil
import subprocess
import sys
import threading

import psutil

PR_SET_CHILD_SUBREAPER = 36
SECONDS_TO_END = 10


def kill_others(spared):
    """Kills everything below this process but one."""
    for process in psutil.Process().children(recursive=True):
        if process.pid != spared:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass


def end_with_holder(agent):
    """Waits for the end of the standard input, then ends the frames and the agent."""
    sys.stdin.buffer.read()
    kill_others(agent.pid)
    agent.terminate()
    try:
        agent.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        agent.kill()


def main():
    parent = os.getppid()
    folder, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    agent = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=end_with_holder, args=(agent,), daemon=True).start()
    code = agent.wait()
    kill_others(None)
    if folder and os.getppid() != parent:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(code if code >= 0 else 128 - code)


main()
