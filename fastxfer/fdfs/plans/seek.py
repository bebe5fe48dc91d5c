"""Which storage server to ask about a file, and whom next when that one cannot say.

Order: the server that the file ID names, if it is known to be in service; then those that a tracker names. A connection
that fails leads to the next; "no such file" from a server that might merely lag behind does too. What is known of the
group is asked for anew when an answer does not fit it, so a stale cache costs one more round trip, not a wrong answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from fastxfer.core.wire import FileId, decode_file_id
from fastxfer.fdfs.cluster import Cluster
from fastxfer.fdfs.commands import REPLY_LIMIT, Command
from fastxfer.fdfs.commands.tracker import query_fetch_all, query_fetch_one, query_update
from fastxfer.fdfs.errors import (
    FastDFSError,
    FileNotFoundError,
    IntegrityError,
    InvalidFileIDError,
    InvalidResponseError,
    NetworkError,
    NetworkTimeoutError,
    NoStorageServerError,
    PoolTimeoutError,
    StorageServerOfflineError,
    TransferCancelledError,
    command_name,
    status_error,
)
from fastxfer.fdfs.plans.tracking import ask_tracker, is_stale, learn_group, learn_unknown_group, refresh_group
from fastxfer.fdfs.steps import Call, Control, Once, Plan, Sleep
from fastxfer.net.address import Address

__all__ = ["Attempt", "Search", "parsed", "perform", "seek"]

T = TypeVar("T")

Attempt = Callable[[Address, bool], Plan[tuple[int, T]]]
"""Asks one server, on a fresh connection if the flag says so: status and, if that is 0, what it means."""

_log = logging.getLogger("fastxfer.fdfs")

_ENOENT = 2
_EINVAL = 22
_NEVER = object()


def parsed(file_id: str) -> FileId:
    """The parts of *file_id*; :class:`InvalidFileIDError` where it cannot be one."""
    try:
        return decode_file_id(file_id)
    except (ValueError, TypeError) as reason:
        raise InvalidFileIDError(str(file_id), str(reason)) from None


def perform(
    cluster: Cluster,
    file_id: str,
    file: FileId,
    command: Command[T],
    *,
    update: bool = False,
    repeatable: bool = True,
    limit: int = REPLY_LIMIT,
    ended: object = _NEVER,
    source: Address | None = None,
) -> Plan[T]:
    """One small exchange with the server that has *file* (or, for an *update*, that takes changes to it).

    *ended* is the result where the file turns out to be gone after an earlier try whose reply was lost. *source* is
    the file's, where somebody has found it and may have begun the exchange.
    """
    # The usual case, without the machinery: the file's source answers.
    status, failure = 0, None
    address = cluster.at_once(file, update) if source is None else source
    if address is not None:
        try:
            status, value = yield (address, command, limit, not repeatable, False)
            if status == 0:
                return value  # type: ignore[no-any-return]
        except (NetworkError, InvalidResponseError, IntegrityError) as error:
            failure = error

    def attempt(address: Address, fresh: bool) -> Plan[tuple[int, T]]:
        return (yield Call(address, command, limit, not repeatable, fresh))  # type: ignore[no-any-return]

    search = Search(cluster, file_id, file, command.code, update=update, repeatable=repeatable)
    if address is not None and failure is not None:
        search.trouble(address, failure)
    elif address is not None and status:
        search.note(address, status)
    try:
        return (yield from seek(search, attempt))
    except FileNotFoundError:
        if ended is not _NEVER and search.maybe_done:
            # The reply to an earlier try was lost; that one did it.
            return ended  # type: ignore[return-value]  # only None is given, by commands whose replies mean nothing
        raise


class Search:
    """What is asked for, and what has been found out about it so far.

    Args:
        code: the command, for error messages.
        update: the file is to be changed, so only servers that may be written to will do.
        repeatable: the request may be sent twice without harm.
        control: end and cancellation of the operation.
        prefer: the server to ask first, whatever else is known.

    Attributes:
        final: what has failed cannot be begun again, anywhere.
    """

    def __init__(
        self,
        cluster: Cluster,
        file_id: str,
        file: FileId,
        code: int,
        *,
        update: bool = False,
        repeatable: bool = True,
        control: Control | None = None,
        prefer: Address | None = None,
    ) -> None:
        self.prefer = prefer
        self.cluster = cluster
        self.file_id = file_id
        self.file = file
        self.code = code
        self.update = update
        self.repeatable = repeatable
        self.control = control
        self.stale_at: Address | None = None
        self.maybe_done = False
        self.final = False
        self.begin()

    def begin(self) -> None:
        """Forget what was found out: a new round begins."""
        self.asked: set[Address] = set()
        self.absent: set[Address] = set()
        self.failure: FastDFSError | None = None

    def note(self, address: Address, status: int) -> None:
        """A server has answered with an error: remember it if another may know better, else raise it."""
        self.asked.add(address)
        error = status_error(status, str(address), self.code, self.file_id)
        if status == _ENOENT:
            self.absent.add(address)
        elif status == _EINVAL and not self.cluster.is_fresh(self.file.group):
            # It may not be of that group any more.
            self.failure = error
        else:
            raise error

    def trouble(self, address: Address, error: FastDFSError) -> None:
        """The exchange has failed: remember it if it may be tried elsewhere, else raise it."""
        error.file_id = error.file_id or self.file_id
        if self.final or isinstance(error, PoolTimeoutError):
            # With a full pool nothing is wrong with the server.
            raise error
        if isinstance(error, NetworkError):
            self.maybe_done |= error.maybe_done
            if is_stale(error, self.repeatable):
                self.stale_at = address
                return
            if error.maybe_done and not self.repeatable:
                raise error
            if self.control is not None and self.control.out_of_time():
                # The caller's patience is at its end; that tells nothing of the server.
                raise error
            self.cluster.health.failed(address)
        elif self.update:
            raise error
        self.asked.add(address)
        self.failure = error

    def settled(self) -> FastDFSError | None:
        """The error that is certain by now, if any."""
        if not self.cluster.is_fresh(self.file.group):
            return None
        source = self.cluster.source(self.file)
        if self.failure is not None and self.failure.status == _EINVAL and source and source.address in self.asked:
            return self.failure
        if source is not None and source.active and source.address in self.absent and not self.file.slave:
            # Its source would have it.
            return self._not_found()
        return None

    def verdict(self) -> FastDFSError:
        """The error when there is nobody left to ask."""
        if self.failure is not None:
            return self.failure
        if self.absent:
            source = self.cluster.source(self.file)
            if source is None or source.gone or source.address in self.absent:
                return self._not_found()
            offline = StorageServerOfflineError(
                str(source.address), "it alone can tell whether the file exists; the others do not have it (yet)"
            )
            offline.file_id, offline.command = self.file_id, command_name(self.code)
            return offline
        return NoStorageServerError(f"none for {self.file_id}")

    def _not_found(self) -> FileNotFoundError:
        error = FileNotFoundError(self.file_id)
        error.server = ", ".join(sorted(map(str, self.absent)))
        error.command, error.status = command_name(self.code), _ENOENT
        return error


def seek(search: Search, attempt: Attempt[T]) -> Plan[T]:
    """Ask server after server until one has the answer, in rounds with growing pauses where all have failed."""
    retry = search.cluster.settings.retry
    failures = 0
    while True:
        try:
            return (yield from _round(search, attempt))
        except (NetworkError, NoStorageServerError) as error:
            failures += 1
            if failures >= retry.attempts or not _worth_another_round(search, error):
                raise
            failure = error
        pause = retry.delay(failures)
        _log.info("%s failed for %s: %s; again in %.2f s", command_name(search.code), search.file_id, failure, pause)
        yield Sleep(pause, search.control)
        search.begin()


def _worth_another_round(search: Search, error: FastDFSError) -> bool:
    if isinstance(error, NetworkError):
        if isinstance(error, (NetworkTimeoutError, PoolTimeoutError)):
            # It has taken its time already.
            return False
        if error.maybe_done and not search.repeatable:
            return False
    return not search.final and (search.control is None or not search.control.out_of_time())


def _round(search: Search, attempt: Attempt[T]) -> Plan[T]:
    cluster, file = search.cluster, search.file
    if search.stale_at is not None:
        address, search.stale_at = search.stale_at, None
        found = yield from _ask(search, attempt, address, fresh=True)
        if found is not None:
            return found[0]
    if cluster.wants_group(file.group):
        yield Once(("group", file.group), lambda: learn_unknown_group(cluster, file.group))
    yield from refresh_group(cluster, file.group)
    for candidates in (_preferred, _straight, _named_by_tracker, _remaining):
        for address in (yield from candidates(search)):
            if address not in search.asked:
                found = yield from _ask(search, attempt, address)
                if found is not None:
                    return found[0]
            error = search.settled()
            if error is not None:
                raise error
    raise search.verdict()


def _ask(search: Search, attempt: Attempt[T], address: Address, *, fresh: bool = False) -> Plan[tuple[T] | None]:
    """What *address* answers, in a tuple; None where another has to be asked."""
    try:
        try:
            status, value = yield from attempt(address, fresh)
        except NetworkError as error:
            if fresh or search.final or not is_stale(error, search.repeatable):
                raise
            search.maybe_done |= error.maybe_done
            status, value = yield from attempt(address, True)
    except TransferCancelledError as error:
        error.file_id = error.file_id or search.file_id
        raise
    except (NetworkError, InvalidResponseError, IntegrityError) as error:
        search.trouble(address, error)
        return None
    search.cluster.health.worked(address)
    if status == 0:
        return (value,)
    search.note(address, status)
    return None


def _preferred(search: Search) -> Plan[list[Address]]:
    """The server that the caller wants, unless it has failed lately."""
    yield from ()
    return [search.prefer] if search.prefer is not None and search.cluster.health.up(search.prefer) else []


def _straight(search: Search) -> Plan[list[Address]]:
    """The file's source. Where an answer is there that does not fit, after a look whether the group has changed."""
    cluster, file = search.cluster, search.file
    suspicious = search.absent or (search.failure is not None and search.failure.status == _EINVAL)
    if suspicious and cluster.config.reads != "tracker" and not cluster.is_fresh(file.group):
        try:
            yield from learn_group(cluster, file.group)
        except NetworkError:
            # The answer stands as it is.
            return []
    address = cluster.straight(file, search.update)
    if address is None:
        return []
    if address in search.asked and not search.update:
        source = cluster.source(file)
        address = address if source is None else source.address
    return [address]


def _named_by_tracker(search: Search) -> Plan[list[Address]]:
    """Whom a tracker names: one for updates or where it shall choose, all for reads after a failure."""
    if search.update:
        query = query_update(search.file_id)
    elif search.cluster.config.reads == "tracker" and not search.asked:
        query = query_fetch_one(search.file_id)
    else:
        query = query_fetch_all(search.file_id)
    try:
        return (yield from ask_tracker(search.cluster, query))
    except NetworkError:
        if search.asked:
            # Trackers cannot help; what the storage servers said or did counts for more.
            return []
        raise
    except FastDFSError as error:
        if error.status == _ENOENT and not search.asked:
            raise NoStorageServerError(f"group {search.file.group!r} is unknown or has none in service") from error
        if error.status in (_ENOENT, _EINVAL):
            return []
        raise


def _remaining(search: Search) -> Plan[list[Address]]:
    """Servers of the group that nobody named, where the file was not found on those that were."""
    if not search.absent:
        return []
    cluster, file = search.cluster, search.file
    if not cluster.is_fresh(file.group):
        try:
            yield from learn_group(cluster, file.group)
        except (NetworkError, NoStorageServerError):
            return []
    source = cluster.source(file)
    first = [source.address] if source is not None and source.active else []
    return first + cluster.others(file, {*search.asked, *first}, update=search.update)
