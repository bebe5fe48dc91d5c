"""The place of an upload: its temporary name and the one it gets, its time, and what is removed there."""

from __future__ import annotations

from fastxfer.core.ftpwire import format_time
from fastxfer.ftp.errors import FTPError, PermanentError, TransferError, UnsupportedError
from fastxfer.ftp.pool import Link
from fastxfer.ftp.storing import Store, Storing
from fastxfer.net.temporary_names import mark

__all__ = ["Placing", "beside"]

_LONGEST = 180
"""Characters of a file's name kept in that of its temporary file."""


class Placing(Storing):
    """Putting what was stored in its place."""

    async def _put_in_place(self, store: Store) -> None:
        """Give the uploaded file its name."""
        if store.renaming and store.renaming[1].positive:
            return
        lines = [f"RNFR {store.written}", f"RNTO {store.path}"]

        async def rename(link: Link) -> None:
            session = link.session
            before = []
            if store.mtime is not None:
                if self._profile.offers("MFMT"):
                    before = [f"MFMT {format_time(store.mtime)} {store.written}"]
                else:
                    await self._set_time_on(link, store.written, store.mtime)
            replies, store.renaming = store.renaming, ()
            if not replies:
                replies = (await link.port.ask_all([*before, *lines]))[len(before) :]
            if replies[1].positive:
                return
            if replies[0].code == 350 and store.overwrite:
                # Some systems do not rename onto a file that is there.
                removed = await session.ask(f"DELE {store.path}")
                replies = await session.ask_all(lines)
                if replies[1].positive:
                    return
                if removed.positive:
                    raise TransferError(
                        f"the file is complete but could not be given its name; it is {store.written!r}: "
                        f"{replies[1].code} {replies[1].text}",
                        server=session.server,
                        path=store.path,
                    )
            refused = replies[0] if replies[0].code != 350 else replies[1]
            raise session.refusal(refused, lines[0] if refused is replies[0] else lines[1], store.path)

        try:
            await self._run(rename, repeatable=False)
        except (UnsupportedError, PermanentError):
            if not store.source.restartable or store.resume:
                raise
            # Renaming is not allowed to this user: send it again under its own name, and remember.
            self._profile.rename = False
            await self._remove_quietly(store.written)
            store.written, store.stored, store.begun, store.repeated = store.path, False, False, False
            await self._store(store)

    async def _refuse_existing(self, path: str) -> None:
        if await self.exists(path):
            raise PermanentError(553, "the file exists already", path=path)

    async def _remove_quietly(self, path: str) -> None:
        async def remove(link: Link) -> None:
            await link.session.ask(f"DELE {path}")

        try:
            await self._run(remove)
        except FTPError:
            return


def beside(path: str, fixed: bool) -> str:
    """The temporary name of what is to be *path*; *fixed*: the same each time."""
    directory, slash, name = path.rpartition("/")
    suffix = "" if fixed else f".{mark()}"
    return f"{directory}{slash}.{name[:_LONGEST]}{suffix}.part"
