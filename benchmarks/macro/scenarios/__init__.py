"""All scenarios, each a small table."""

from __future__ import annotations

from benchmarks.macro.scenario import Scenario
from benchmarks.macro.scenarios.fdfs import FDFS
from benchmarks.macro.scenarios.ftp_client import FTP_CLIENT
from benchmarks.macro.scenarios.ftp_server import FTP_SERVER
from benchmarks.macro.scenarios.http import HTTP
from benchmarks.macro.scenarios.scaling import SCALING

SCENARIOS: tuple[Scenario, ...] = (*FDFS, *FTP_CLIENT, *FTP_SERVER, *HTTP, *SCALING)
