"""Make a directory of an FTP server like a local one, and show what was done.

FTP_PASSWORD=secret python ftp_mirror.py site ftpes://me@files.example.org /public_html
"""

from __future__ import annotations

import os
import sys

from fastxfer.ftp import Client, FTPError, Item, Progress, TreeProgress


def show(item: Item) -> None:
    if item.action != "skip":
        print(f"{item.action:8} {item.remote}" + ("" if item.ok else f"  FAILED: {item.error}"))


def show_progress(state: Progress) -> None:
    print(f"\r{state.transferred / 1e6:9.1f} MB  {state.rate / 1e6:7.1f} MB/s", end="", file=sys.stderr, flush=True)


def main(local: str, url: str, remote: str) -> int:
    try:
        with Client(url, password=os.environ.get("FTP_PASSWORD")) as client:
            report = client.mirror(
                local,
                remote,
                exclude=["*.tmp", ".git/"],
                journal=f"{local.rstrip('/')}.journal",
                on_item=show,
                progress=TreeProgress(show_progress) if sys.stderr.isatty() else None,
            )
    except FTPError as error:
        print("stopped:", error, file=sys.stderr)
        return 1
    counts = ", ".join(f"{count} {action}" for action, count in sorted(report.actions.items()))
    print(f"{counts}; {report.failed} failed; {report.bytes} bytes in {report.seconds:.1f} s")
    return 0 if report.ok else 1


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
