"""Connections by way of a SOCKS or HTTP proxy, through the ``python-socks`` library (extra ``proxy``)."""

from __future__ import annotations

import socket

from fastxfer.ftp.errors import InvalidArgumentError

__all__ = ["connect", "connect_async"]

_MISSING = "a proxy needs the python-socks library: pip install fastxfer[proxy]"


def connect(proxy: str, host: str, port: int, seconds: float | None) -> socket.socket:
    """A connected, non-blocking socket to *host* by way of *proxy* (``socks5://``, ``socks4://``, ``http://``).

    Raises OSError (ConnectionError, TimeoutError), InvalidArgumentError where the library or the URL is no good.
    """
    try:
        from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError
        from python_socks.sync import Proxy
    except ImportError as error:
        raise InvalidArgumentError(_MISSING) from error
    try:
        sock: socket.socket = Proxy.from_url(proxy).connect(host, port, timeout=seconds)
    except ProxyTimeoutError as error:
        raise TimeoutError(str(error)) from error
    except (ProxyError, ProxyConnectionError) as error:
        raise ConnectionError(str(error)) from error
    except ValueError as error:
        raise InvalidArgumentError(f"the proxy's URL: {error}") from error
    return sock


async def connect_async(proxy: str, host: str, port: int, seconds: float | None) -> socket.socket:
    """As :func:`connect`, on the running event loop."""
    try:
        from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError
        from python_socks.async_.asyncio import Proxy
    except ImportError as error:
        raise InvalidArgumentError(_MISSING) from error
    try:
        sock: socket.socket = await Proxy.from_url(proxy).connect(host, port, timeout=seconds)
    except ProxyTimeoutError as error:
        raise TimeoutError(str(error)) from error
    except (ProxyError, ProxyConnectionError) as error:
        raise ConnectionError(str(error)) from error
    except ValueError as error:
        raise InvalidArgumentError(f"the proxy's URL: {error}") from error
    return sock
