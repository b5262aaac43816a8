"""Looks through the tracked files for what belongs to one machine: package hosts, paths, lock files, bulk."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

LARGEST_KIB = 700

HOST_LOCKS = re.compile(r"(^|/)(uv\.lock|pylock.*\.toml|poetry\.lock|Pipfile\.lock)$")
"""Lock files that write the package host into the repository; requirements/*.txt are ours."""

# where this very checkout is; a short one, such as /app in a container, says nothing about a machine
OURS = [rf"{re.escape(str(place))}(?![\w-])" for place in (CHECKOUT, Path.home()) if len(place.parts) > 2]

# written with [] so that this file does not find itself
LINES = {
    "package host": re.compile(
        r"^\s*(--index-url|--extra-index-url|--find-links|-i )\s*[=h/]"
        r"|https?://[^\s\"']*/simple(?![\w-])"
        r"|https?://[^\s\"']*\.(whl|tar[.]gz|tgz)\b"
    ),
    "path of one machine": re.compile(
        r"(?<![\w.$}/])(/(home|Users)/[a-z]|/(root|tmp)/[a-z.]" + "".join(f"|{one}" for one in OURS) + ")"
    ),
}


def tracked_files() -> list[Path]:
    """Every file that git has, relative to the checkout."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True)
    return [Path(name) for name in listed.stdout.decode().split("\0") if name]


def findings(file: Path) -> Iterator[str]:
    """What is wrong with one tracked file, in ``path:line: what`` form."""
    path = CHECKOUT / file
    if not path.is_file() or path.is_symlink():
        return
    if HOST_LOCKS.search(str(file)):
        yield f"{file}: a lock file that names package hosts; requirements/*.txt are made by bin/lock"
    if path.stat().st_size > LARGEST_KIB * 1024:
        yield f"{file}: larger than {LARGEST_KIB} KiB"
    if file.parts[0] in ("bin", ".ci") and file.suffix == "" and not path.stat().st_mode & 0o100:
        yield f"{file}: has lost its run bit"
    content = path.read_bytes()
    if b"\0" in content[:8192]:
        return
    for number, line in enumerate(content.decode(errors="replace").splitlines(), start=1):
        for what, pattern in LINES.items():
            if pattern.search(line):
                yield f"{file}:{number}: {what}: {line.strip()[:120]}"


def main() -> int:
    """1 when a tracked file has something that it should not."""
    found = [finding for file in tracked_files() for finding in findings(file)]
    print("\n".join(found) or "Nothing of one machine in the tracked files.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
