"""Carries out plans by blocking."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar, cast

from fastxfer.core.fdfscall import Begun, Shortcut
from fastxfer.core.places import Spin
from fastxfer.core.xfer import exchange
from fastxfer.fdfs.body import INLINE
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.commands import REPLY_LIMIT, Command
from fastxfer.fdfs.config import Settings
from fastxfer.fdfs.errors import ClientClosedError, FastDFSError, TransferCancelledError
from fastxfer.fdfs.outcome import (
    begin_pipeline,
    call_error,
    finish,
    keep_after_call,
    keep_after_move,
    meaning,
    meaningless,
    move_error,
    pipeline_error,
    start,
    take_error,
)
from fastxfer.fdfs.plans.download import SMALL
from fastxfer.fdfs.steps import (
    Background,
    Blocking,
    Call,
    Control,
    Move,
    Moved,
    Once,
    Parallel,
    Pipeline,
    PlainCall,
    Plan,
    Sleep,
    Step,
)
from fastxfer.fdfs.types import FileInfo
from fastxfer.net.address import Address
from fastxfer.net.connection import Connection
from fastxfer.net.pool import PoolClosed
from fastxfer.net.spin import adaptive_spin
from fastxfer.net.sync_pool import SyncPool

__all__ = ["SyncDriver"]

T = TypeVar("T")

_log = logging.getLogger("fastxfer.fdfs")

_LONGEST_MOVE = 4 << 20
"""Beyond this the way of a body through the plan is nothing beside its transfer."""


class SyncDriver:
    """Runs plans in the calling thread, any number of threads at once, over one pool of connections."""

    def __init__(self, settings: Settings) -> None:
        config = settings.config
        self._settings = settings
        self.pool = SyncPool(
            config.max_conns, config.idle_timeout, config.connect_timeout, config.pool_timeout, settings.options
        )
        self._book = self.pool.book
        self._pick = self._book.pick
        self._shelve = self._book.shelve
        self._give = self._book.give
        self._timeout = config.network_timeout
        self._fixed_spin = config.spin
        self._spins: defaultdict[int, Spin] = defaultdict(adaptive_spin)
        self._flights: dict[object, threading.Event] = {}
        self._flights_lock = threading.RLock()
        self._perform: dict[type, Callable[[Any], Any]] = {
            tuple: self._call,
            Call: self._call,
            Move: self._move,
            Pipeline: self._pipeline,
            Sleep: self._sleep,
            Blocking: self._blocking,
            Background: self._background,
            Parallel: self._parallel,
            Once: self._once,
        }

    def run(self, plan: Plan[T], control: Control | None = None, begun: Begun | None = None) -> T:
        """Carry out *plan* and return its result; *begun* is what has come of its first step, a small exchange."""
        if control is not None:
            return self._run_controlled(plan, control)
        perform = self._perform
        try:
            step = next(plan)
            while True:
                try:
                    if begun is None:
                        outcome = perform[step.__class__](step)
                    else:
                        first, begun = begun, None
                        outcome = self._go_on(step, first)
                except (FastDFSError, OSError) as error:
                    failure = error
                else:
                    step = plan.send(outcome)
                    continue
                step = plan.throw(failure)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except BaseException:
            if begun is not None:
                self.pool.drop(cast(Connection, begun.connection))
            plan.close()
            raise

    def shortcut(self, cluster: Cluster) -> Shortcut[FileInfo] | None:
        """The shortest way for small operations on *cluster*; None where the client's settings leave none."""
        if self._settings.limits:
            return None
        return Shortcut(
            self._book,
            cluster.routes,
            cluster.targets,
            cluster.health.down,
            find=cluster.route,
            give=self._give,
            drop=self.pool.drop,
            info_type=FileInfo,
            timeout=self._timeout,
            spin=self._fixed_spin,
            spins=self._spins,
            verify=self._settings.config.verify,
            reply_limit=REPLY_LIMIT,
            longest_upload=INLINE,
            longest_download=SMALL,
            longest_move=_LONGEST_MOVE,
        )

    def close(self) -> None:
        self.pool.close()

    def _run_controlled(self, plan: Plan[T], control: Control) -> T:
        if control.cancel is not None and control.cancel.cancelled:
            plan.close()
            raise TransferCancelledError
        try:
            result = self.run(plan)
        except BaseException:
            if control.progress is not None:
                control.progress.abandon()
            raise
        if control.progress is not None:
            control.progress.finish()
        return result

    def _take(self, address: Address, fresh: bool, certain: bool) -> Connection:
        try:
            return self.pool.take(address, fresh, certain)
        except (PoolClosed, OSError) as error:
            raise take_error(address, error) from error

    def _call(self, step: PlainCall | Call) -> tuple[int, Any]:
        address, command, limit, certain, fresh = step
        connection = None if fresh else self._pick(address, certain)
        if connection is None:
            connection = self._take(address, fresh, certain)
        request = command.request
        try:
            spin = self._fixed_spin
            code, status, body = exchange(
                connection.fd,
                request,
                self._timeout,
                self._spins[command.code] if spin is None else spin,
                limit,
                True,
                self._book.busy,
            )
        except BaseException:
            self.pool.drop(connection)
            raise
        return self._judge(address, command, connection, code, status, body)

    def _go_on(self, step: Step, begun: Begun) -> tuple[Any, Any]:
        """The outcome of *step* as :meth:`_call` or :meth:`_move`, where *begun* is what has come of it so far."""
        connection: Any = begun.connection
        if isinstance(step, Move):
            return self._judge_move(step, connection, begun)
        address, command, _, _, _ = cast(PlainCall, step)
        return self._judge(address, command, connection, begun.error, begun.status, begun.body)

    def _judge(
        self, address: Address, command: Command[Any], connection: Connection, code: int, status: int, body: bytes
    ) -> tuple[int, Any]:
        request = command.request
        try:
            if code:
                raise call_error(code, address, request, connection.used)
            value = None
            if status == 0:
                try:
                    value = command.decode(body)
                except ValueError as reason:
                    raise meaningless(command, address, reason) from None
        except BaseException:
            self.pool.drop(connection)
            raise
        if keep_after_call(status, request):
            if not self._shelve(connection):
                self._give(connection)
        else:
            self.pool.drop(connection)
        return status, value

    def _move(self, step: Move) -> tuple[Moved, Any]:
        connection = None if step.fresh else self._pick(step.address, step.certain)
        if connection is None:
            connection = self._take(step.address, step.fresh, step.certain)
        try:
            transfer = start(step, connection.fd, self._settings)
            try:
                transfer.run()
            finally:
                finish(step, transfer)
        except BaseException:
            self.pool.drop(connection)
            raise
        return self._judge_move(step, connection, transfer)

    def _judge_move(self, step: Move, connection: Connection, transfer: Moved) -> tuple[Moved, Any]:
        try:
            if transfer.error:
                raise move_error(transfer, step, connection.used)
            value = meaning(step.command, transfer.body, step.address) if transfer.status == 0 else None
        except BaseException:
            self.pool.drop(connection)
            raise
        if keep_after_move(transfer, step):
            self._give(connection)
        else:
            self.pool.drop(connection)
        return transfer, value

    def _pipeline(self, step: Pipeline) -> bytes:
        connection = self._take(step.address, False, False)
        try:
            transfer = begin_pipeline(step, connection.fd, self._timeout)
            transfer.run()
        finally:
            self.pool.drop(connection)
        if transfer.error:
            raise pipeline_error(transfer, step)
        return transfer.body

    def _sleep(self, step: Sleep) -> None:
        control = step.control
        seconds = step.seconds if control is None else control.deadline.at_most(step.seconds) or 0.0
        if control is None or control.cancel is None:
            time.sleep(seconds)
        elif control.cancel.wait(seconds):
            raise TransferCancelledError

    def _blocking(self, step: Blocking) -> object:
        return step.function()

    def _parallel(self, step: Parallel) -> list[Any]:
        results: list[Any] = [None] * len(step.plans)
        errors: list[BaseException] = []

        def work(index: int) -> None:
            try:
                results[index] = self.run(step.plans[index])
            except BaseException as error:
                errors.append(error)
                step.token.cancel()

        threads = [
            threading.Thread(target=work, args=(index,), name="fastxfer-segment", daemon=True)
            for index in range(1, len(step.plans))
        ]
        started: list[threading.Thread] = []
        try:
            for thread in threads:
                thread.start()
                started.append(thread)
        except RuntimeError as error:
            errors.append(error)
            step.token.cancel()
        else:
            work(0)
        while started:
            try:
                started[-1].join()
                started.pop()
            except BaseException as error:
                # Ctrl-C. None may go on alone: the file that they share is about to be closed.
                errors.insert(0, error)
                step.token.cancel()
        if errors:
            raise next((error for error in errors if not isinstance(error, Exception)), errors[0])
        return results

    def _once(self, step: Once) -> object:
        # A forked child must not wait for a thread that it does not have.
        key = (os.getpid(), step.key)
        with self._flights_lock:
            flight = self._flights.get(key)
            first = flight is None
            if flight is None:
                flight = self._flights[key] = threading.Event()
        if not first:
            flight.wait()
            return self.run(step.plan())
        try:
            return self.run(step.plan())
        finally:
            with self._flights_lock:
                del self._flights[key]
            flight.set()

    def _background(self, step: Background) -> None:
        work = threading.Thread(target=self._run_quietly, args=(step.plan(),), name="fastxfer-refresh", daemon=True)
        try:
            work.start()
        except RuntimeError as error:
            # No more threads to be had, or the interpreter is about to end: what is known must do.
            _log.debug("what is known of the cluster is not refreshed: %s", error)

    def _run_quietly(self, plan: Plan[object]) -> None:
        try:
            self.run(plan)
        except ClientClosedError:
            pass
        except FastDFSError as error:
            _log.warning("refreshing what is known of the cluster failed: %s", error)
