"""Carries out plans on an event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastxfer.core.xfer import Transfer
from fastxfer.fdfs.config import Settings
from fastxfer.fdfs.errors import ClientClosedError, FastDFSError, TransferCancelledError
from fastxfer.fdfs.outcome import (
    begin_call,
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
from fastxfer.fdfs.steps import (
    Background,
    Blocking,
    Call,
    Control,
    Move,
    Once,
    Parallel,
    Pipeline,
    PlainCall,
    Plan,
    Sleep,
)
from fastxfer.net.address import Address
from fastxfer.net.aio import TransferRunner
from fastxfer.net.async_pool import AsyncPool
from fastxfer.net.connection import Connection
from fastxfer.net.pool import PoolClosed
from fastxfer.net.tasks import all_ended

__all__ = ["AsyncDriver"]

T = TypeVar("T")

_log = logging.getLogger("fastxfer.fdfs")

_DISK_THREADS = 4
"""Threads for what may take its time on this machine: opening and renaming files, CRC-32 of much memory."""


class AsyncDriver:
    """Runs plans for the coroutines of one event loop, over one pool of connections. Made where the loop runs."""

    def __init__(self, settings: Settings) -> None:
        config = settings.config
        self._settings = settings
        self.loop = asyncio.get_running_loop()
        self.pool = AsyncPool(
            config.max_conns, config.idle_timeout, config.connect_timeout, config.pool_timeout, settings.options
        )
        self._pick = self.pool.book.pick
        self._give = self.pool.book.give
        self._runner = TransferRunner(threads=config.engine_threads)
        # Not the loop's own threads: those are the application's, and as many as it has processors.
        self._disk = ThreadPoolExecutor(_DISK_THREADS, "fastxfer-disk")
        self._closed = False
        self._timeout = config.network_timeout
        self._tasks: set[asyncio.Task[None]] = set()
        self._flights: dict[object, asyncio.Event] = {}
        self._perform: dict[type, Callable[[Any], Awaitable[Any]]] = {
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

    async def run(self, plan: Plan[T], control: Control | None = None) -> T:
        """Carry out *plan* and return its result."""
        if control is not None:
            return await self._run_controlled(plan, control)
        try:
            step = next(plan)
            while True:
                try:
                    outcome = await self._perform[step.__class__](step)
                except (FastDFSError, OSError) as error:
                    failure: Exception | None = error
                else:
                    failure = None
                step = plan.send(outcome) if failure is None else plan.throw(failure)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            plan.close()

    def is_running_here(self) -> bool:
        """Whether the caller is in the loop, not in another thread."""
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    async def aclose(self) -> None:
        """Stop what is under way and close all connections."""
        self._closed = True
        self.pool.close()
        for task in list(self._tasks):
            task.cancel()
        try:
            await self._runner.aclose()
        finally:
            self._disk.shutdown(wait=False)

    async def _run_controlled(self, plan: Plan[T], control: Control) -> T:
        if control.cancel is not None and control.cancel.cancelled:
            plan.close()
            raise TransferCancelledError
        try:
            result = await self.run(plan)
        except BaseException:
            if control.progress is not None:
                control.progress.abandon()
            raise
        if control.progress is not None:
            control.progress.finish()
        return result

    async def _take(self, address: Address, fresh: bool, certain: bool) -> Connection:
        try:
            return await self.pool.take(address, fresh=fresh, certain=certain)
        except (PoolClosed, OSError) as error:
            raise take_error(address, error) from error

    async def _carry(self, transfer: Transfer) -> None:
        if self._runner.closed:
            raise ClientClosedError
        await self._runner.run(transfer)

    async def _call(self, step: PlainCall | Call) -> tuple[int, Any]:
        address, command, limit, certain, fresh = step
        connection = None if fresh else self._pick(address, certain)
        if connection is None:
            connection = await self._take(address, fresh, certain)
        request = command.request
        try:
            transfer = begin_call(request, limit, connection.fd, self._timeout)
            if self._runner.closed:
                raise ClientClosedError
            await self._runner.run(transfer)
            if transfer.error:
                raise call_error(transfer.error, address, request, connection.used)
            status = transfer.status
            value = None
            if status == 0:
                try:
                    value = command.decode(transfer.body)
                except ValueError as reason:
                    raise meaningless(command, address, reason) from None
        except BaseException:
            self.pool.drop(connection)
            raise
        if not transfer.early and (status == 0 or keep_after_call(status, request)):
            self._give(connection)
        else:
            self.pool.drop(connection)
        return status, value

    async def _move(self, step: Move) -> tuple[Transfer, Any]:
        connection = None if step.fresh else self._pick(step.address, step.certain)
        if connection is None:
            connection = await self._take(step.address, step.fresh, step.certain)
        try:
            transfer = start(step, connection.fd, self._settings)
            try:
                await self._carry(transfer)
            finally:
                finish(step, transfer)
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

    async def _pipeline(self, step: Pipeline) -> bytes:
        connection = await self._take(step.address, False, False)
        try:
            transfer = begin_pipeline(step, connection.fd, self._timeout)
            await self._carry(transfer)
        finally:
            self.pool.drop(connection)
        if transfer.error:
            raise pipeline_error(transfer, step)
        return transfer.body

    async def _sleep(self, step: Sleep) -> None:
        control = step.control
        seconds = step.seconds if control is None else control.deadline.at_most(step.seconds) or 0.0
        if control is None or control.cancel is None:
            await asyncio.sleep(seconds)
            return
        alarm = _Alarm(self.loop)
        control.cancel.watch(alarm)
        try:
            await asyncio.wait_for(alarm.rung.wait(), seconds)
        except asyncio.TimeoutError:
            return
        finally:
            control.cancel.release(alarm)
        raise TransferCancelledError

    async def _blocking(self, step: Blocking) -> object:
        if self._closed:
            raise ClientClosedError
        return await self.loop.run_in_executor(self._disk, step.function)

    async def _parallel(self, step: Parallel) -> list[Any]:
        tasks = [self.loop.create_task(self.run(plan)) for plan in step.plans]
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException as error:
            step.token.cancel()
            for task in tasks:
                task.cancel()
            if not isinstance(error, GeneratorExit):
                # None may go on alone: the file that they share is about to be closed.
                await all_ended(tasks)
            raise

    async def _once(self, step: Once) -> object:
        flight = self._flights.get(step.key)
        if flight is not None:
            await flight.wait()
            return await self.run(step.plan())
        flight = self._flights[step.key] = asyncio.Event()
        try:
            return await self.run(step.plan())
        finally:
            del self._flights[step.key]
            flight.set()

    async def _background(self, step: Background) -> None:
        task = self.loop.create_task(self._run_quietly(step.plan()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_quietly(self, plan: Plan[object]) -> None:
        try:
            await self.run(plan)
        except ClientClosedError:
            pass
        except FastDFSError as error:
            _log.warning("refreshing what is known of the cluster failed: %s", error)


class _Alarm:
    """Lets a cancel token, used in any thread, end a sleep on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.rung = asyncio.Event()

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(self.rung.set)
