"""A PostgreSQL server of the tests' own, on a free port, that asks for a password."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import geteuid
from pathlib import Path
from urllib.parse import quote

PASSWORD = "s3cret/w@rd"  # with what has to be escaped in a URL


def programs() -> Path | None:
    """The folder with initdb and pg_ctl; None where there is no PostgreSQL."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


def create_database(url: str, name: str) -> str:
    """The URL of a new database on the server that has the one at `url`."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{url.rpartition('/')[0]}/{name}"


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The URL of a database on a new server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="postgres-") as root:
        data, password = Path(root, "data"), Path(root, "password")
        password.write_text(PASSWORD)
        user = "postgres" if geteuid() == 0 else None  # the server refuses to run as root
        if user:
            for path in (root, password):
                shutil.chown(path, user, user)

        def run(name: str, *arguments: str) -> None:
            command = [str(folder / name), "-D", str(data), *arguments]
            subprocess.run(command, user=user, cwd=root, check=True, stdout=subprocess.DEVNULL)

        run("initdb", "-U", "tester", "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync", "-E", "UTF8")
        options = f"-p {port} -h 127.0.0.1 -k {root} -c fsync=off -c max_connections=50"
        run("pg_ctl", "-w", "-l", str(Path(root, "log")), "-o", options, "start")
        try:
            yield f"postgresql://tester:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
