"""Random study files: each is read, or refused in one line; nothing else may come of it."""

import random
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.errors import StudyError
from harness.study import load_study
from tests.faults.rig import STUDY
from tests.forks import ROOT

PIECES = (
    b":", b"-", b"{", b"}", b"[", b"]", b"&a ", b"*a", b"!!str ", b"\x00", b"\xff", b"\n", b"\t", b"  ", b"'", b'"',
    b"|", b">", b"#", b"%", b"? ", b"---", b"...", b"<<: ", b"1e999", b"-1", b"null", b"~", b"true", b"..", b"/",
    b"9999999999999999999", b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80", b"\\UFFFFFFFF", b"k", b"study", b"stages", b"grid",
)  # fmt: skip


def fuzz(seed: int, count: int) -> int:
    """How many spoilt study files were read or refused in one line. Raises where one makes anything else."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "study.yaml")
        for _ in range(count):
            file.write_bytes(spoilt(STUDY.encode(), chance))
            try:
                load_study(file)
            except StudyError as error:
                told = str(error)
                assert told.startswith(str(file)), told
                assert "\n" not in told, told
    return count


def spoilt(content: bytes, chance: random.Random) -> bytes:
    """The content after one to four changes: a piece put in, bytes taken out, bytes changed, lines exchanged."""
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(content) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            content = content[:place] + chance.choice(PIECES) + content[place:]
        elif kind == 1:
            content = content[:place] + content[place + chance.randint(1, 20) :]
        elif kind == 2:
            content = content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]
        else:
            lines = content.split(b"\n")
            chance.shuffle(lines)
            content = b"\n".join(lines)
    return content


def in_process(seed: int, count: int) -> int:
    """The same in a process of its own, so that several may run at once."""
    code = f"from tests.faults.fuzz import fuzz; print(fuzz({seed}, {count}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout)
