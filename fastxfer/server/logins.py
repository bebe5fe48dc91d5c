"""The authenticators that a configuration asks for."""

from __future__ import annotations

from pathlib import Path

from fastxfer.server.config import ServerConfig
from fastxfer.server.permissions import Permissions
from fastxfer.server.users import Anonymous, Authenticator, User, UserTable

__all__ = ["configured_authenticators"]


def configured_authenticators(config: ServerConfig) -> list[Authenticator]:
    """The authenticators in the order in which they are asked.

    Raises:
        ValueError: a user without a password, a password without a user, a wrong line in the users file.
        OSError: a file cannot be read.
    """
    found: list[Authenticator] = []
    if config.user:
        password = config.password
        if config.password_file:
            password = Path(config.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        if not password:
            raise ValueError(f"user {config.user!r} has no password: give password or password_file")
        found.append(UserTable([(User(name=config.user), password)]))
    elif config.password or config.password_file:
        raise ValueError("a password is given without a user")
    if config.users_file:
        from fastxfer.server.usersfile import UsersFile

        found.append(UsersFile(config.users_file))
    if config.pam:
        from fastxfer.server.pam import PamAuthenticator

        found.append(PamAuthenticator(config.pam_service))
    if config.anonymous:
        try:
            permissions = Permissions(config.anonymous_permissions)
        except ValueError as error:
            raise ValueError(f"anonymous_permissions: {error}") from None
        guest = User(name="anonymous", root=config.anonymous_root, permissions=permissions)
        found.append(Anonymous(guest))
    return found
