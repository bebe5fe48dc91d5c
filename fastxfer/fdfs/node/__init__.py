"""A FastDFS tracker and storage in one process, for development, tests and the demo. Not a production server.

:class:`Node` starts and stops them, :class:`NodeConfig` and :class:`StorageSpec` say what they are like, and
:class:`Fault` makes them fail on demand.
"""

from __future__ import annotations

from fastxfer.fdfs.node.config import NodeConfig, StorageSpec
from fastxfer.fdfs.node.faults import Fault, Faults
from fastxfer.fdfs.node.node import Node, StorageServer, TrackerServer

__all__ = ["Fault", "Faults", "Node", "NodeConfig", "StorageServer", "StorageSpec", "TrackerServer"]
