"""When a session's next small files may be served by native code alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fastxfer.core.ftpserve import Shortcut
from fastxfer.server import replies
from fastxfer.server.beneath import HAS_OPENAT2
from fastxfer.server.config import at_most
from fastxfer.server.localfiles import partial_names
from fastxfer.server.permissions import Permission

if TYPE_CHECKING:
    from fastxfer.server.session import Session

__all__ = ["shorten"]

UTF8 = sys.getfilesystemencoding() == "utf-8"
"""Whether names in commands are, byte for byte, those of files."""


def shorten(session: Session) -> None:
    """After a transfer of a plain file that left its passive port ready: serve the like without Python from now on.

    Every command that might change what is asked here ends that (see :meth:`DataChannel.settle` and
    :attr:`Command.neutral`), so that it holds as long as it lasts. No hook may have to be asked or told of single
    transfers; logs and metrics may.
    """
    service, config, account = session.service, session.config, session.account
    tree, data, control = account.local, session.data, session.control
    if (
        service.awaits_transfers
        or not UTF8
        or tree is None
        or data is None
        or session.private
        or session.type_ascii
        or session.mode_z
        or account.permissions.vary
        or not control.undivided
    ):
        return
    port = data.kept_port()
    descriptor = control.descriptor()
    if port is None or descriptor < 0:
        return
    listener, number, uses = port
    told = None if session.epsv_only else session.runtime.masquerade(session)
    uploads = config.uploads
    control.shortcut = Shortcut(
        descriptor,
        listener,
        tree.top,
        address=session.address,
        epsv=replies.extended_passive_mode(number),
        pasv=b"" if told is None else replies.passive_mode(told, number),
        sending=replies.SENDING,
        sent=replies.BYTES + replies.TRANSFER_COMPLETE,
        opening=replies.OPENING,
        cwd=session.cwd,
        suffix=tree.hidden_suffix,
        partial_name=partial_names(account.user.name),
        reads=account.allows(session.cwd, Permission.READ) and not session.download_limits,
        writes=(
            account.allows(session.cwd, Permission.WRITE | Permission.OVERWRITE)
            and not session.upload_limits
            and account.uploads_at_will
            and not uploads.fsync
            and tree.atomic
        ),
        beneath=HAS_OPENAT2,
        mode=tree.new_mode,
        uses=uses,
        max_line=at_most(config.limits.line),
        uploads=session.runtime.uploads,
        owner=control,
        transport=control.transport,
        ended=service.small_files_recorder(session.info()) if service.records_transfers else None,
    )
