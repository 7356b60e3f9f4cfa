"""A real PostgreSQL server in a temporary folder, a database for each test."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


def binaries() -> Path:
    """Where PostgreSQL's programs lie."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: int(each.parts[-3]))
    if found:
        return found[-1].parent
    which = shutil.which("initdb")
    assert which, "no PostgreSQL here; .ci/run installs it"
    return Path(which).resolve().parent


def _unprivileged() -> dict[str, int]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid}
    raise AssertionError("PostgreSQL needs a user that is not root")


@contextmanager
def postgres_server() -> Iterator[str]:
    """URL of a server without a database: append its name."""
    folder = Path(tempfile.mkdtemp(prefix="qk-pg-"))
    who = _unprivileged()
    if who:
        os.chown(folder, who["user"], who["group"])
    bin_, data = binaries(), folder / "data"

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **who)
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        run(str(bin_ / "initdb"), "-D", str(data), "-U", "quantkit", "-A", "trust", "-E", "UTF8", "--no-sync",
            "--locale", "C.UTF-8")  # fmt: skip
        # No durability: nothing of it outlives the tests. Its socket lies in its folder; the port only names it.
        options = (
            f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off "
            "-c synchronous_commit=off -c full_page_writes=off -c shared_buffers=32MB -c max_connections=60"
        )
        run(str(bin_ / "pg_ctl"), "-D", str(data), "-w", "-t", "60", "-l", str(folder / "log"), "-o", options, "start")
        yield f"postgresql://quantkit@/{{}}?host={folder}"
    finally:
        subprocess.run(
            [str(bin_ / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"],
            cwd=folder, capture_output=True, check=False, **who,
        )  # fmt: skip
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def redis_server() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """URL and process of a Redis server that listens on a socket in a folder of its own."""
    import redis

    folder = Path(tempfile.mkdtemp(prefix="qk-redis-"))
    socket = folder / "socket"
    process = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"unix://{socket}"
        deadline = time.monotonic() + 60
        while True:
            try:
                redis.Redis.from_url(url).ping()
                break
            except redis.ConnectionError:
                assert process.poll() is None, "redis-server ended"
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.05)
        yield url, process
    finally:
        process.kill()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def fresh_database(server: str) -> tuple[str, Callable[[], None]]:
    """URL of a new, empty database, and what drops it."""
    name = f"q{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.format("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")

    def drop() -> None:
        with psycopg.connect(server.format("postgres"), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    return server.format(name), drop
