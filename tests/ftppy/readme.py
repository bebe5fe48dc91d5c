"""The examples that programs for the FtpPy API are written after, only their import lines changed.

``run`` executes one as it stands, with the example's hosts, names and absolute local paths put in place of a test's.
"""

from __future__ import annotations

import asyncio
import textwrap
import warnings
from pathlib import Path
from typing import Any

from tests.support.ftp_servers import FTPPeer

QUICK_START = """
import asyncio
from fastxfer.ftppy import FtpPy
from fastxfer.ftppy.auth import Basic
from fastxfer.ftppy.config import Timeout, Retry, Limits

async def main():
    # Configure client with endpoint and authentication
    ftp = FtpPy(
        endpoint='ftp://localhost:2121',
        auth=Basic('username', 'password'),
        timeout=Timeout(connect=5.0, read=30.0),
        retry=Retry(total=3),
        limits=Limits(connections=10)
    )

    # Use client for file operations
    async with ftp.client() as client:
        # Upload a file
        success = await client.upload('document.txt', 'remote.txt')
        print(f"Upload success: {success}")

        # List directory contents
        files = await client.list('/uploads')
        for metadata in files:
            print(f"{metadata['name']} - {metadata['size']} bytes")

asyncio.run(main())
"""

UPLOAD = """
from fastxfer.ftppy import FtpPy
from fastxfer.ftppy.auth import Basic

async with FtpPy('ftp://server.com', auth=Basic('user', 'pass')).client() as client:
    # Basic file upload
    success = await client.upload('document.pdf', '/uploads/document.pdf')
    note('basic', success)

    # Upload with directory creation
    success = await client.upload(
        'report.txt',
        '/reports/2024/january/report.txt',
        dirs=True  # Creates intermediate directories
    )
    note('dirs', success)

    # Upload without overwriting existing files
    success = await client.upload(
        'backup.zip',
        '/backups/backup.zip',
        replace=False  # Skip if file exists
    )
    note('replace', success)
"""

DOWNLOAD = """
from fastxfer.ftppy import FtpPy

async with FtpPy('ftp://server.com').client() as client:
    # Basic download
    success = await client.download('/data/report.csv', 'report.csv')
    note('basic', success)

    # Download with local directory creation
    success = await client.download(
        '/archives/data.zip',
        'backups/archives/data.zip',
        dirs=True  # Creates local directories
    )
    note('dirs', success)

    # Download without overwriting
    success = await client.download(
        '/important.txt',
        'important.txt',
        replace=False
    )
    note('replace', success)
"""

BATCH = """
from fastxfer.ftppy import FtpPy

async with FtpPy('ftp://server.com').client() as client:
    # Batch upload multiple files
    uploads = [
        ('file1.txt', '/uploads/file1.txt'),
        ('file2.pdf', '/uploads/file2.pdf'),
        ('data.csv', '/uploads/data.csv')
    ]
    results = await client.batch(uploads, limit=5)  # Max 5 concurrent uploads
    note('uploads', results)

    # Batch download multiple files
    downloads = [
        ('/downloads/report1.txt', 'reports/report1.txt'),
        ('/downloads/report2.txt', 'reports/report2.txt'),
        ('/downloads/data.json', 'data/data.json')
    ]
    results = await client.fetch(downloads, limit=3)  # Max 3 concurrent downloads
    note('downloads', results)

    # Check results
    for path, success in results.items():
        print(f"{path}: {'Success' if success else 'Failed'}")
"""

DIRECTORIES = """
from fastxfer.ftppy import FtpPy

async with FtpPy('ftp://server.com').client() as client:
    # Create directories
    success = await client.mkdir('/new/folder/structure', parents=True)
    note('mkdir', success)

    # Change working directory
    success = await client.cd('/uploads')
    path = await client.pwd()  # Get current directory
    print(f"Current directory: {path}")
    note('cd', success)

    # List directory contents
    files = await client.list('/data', deep=True)  # Recursive listing
    for metadata in files:
        type = "DIR" if metadata['dir'] else "FILE"
        print(f"{type}: {metadata['name']} ({metadata['size']} bytes)")

    # Remove files and directories
    success = await client.remove('/old/file.txt')
    note('remove', success)
    success = await client.rmdir('/empty/folder')
    note('rmdir', success)
    success = await client.rmdir('/full/folder', recursive=True)  # Delete all contents
    note('recursive', success)
"""

MANIPULATION = """
from fastxfer.ftppy import FtpPy

async with FtpPy('ftp://server.com').client() as client:
    # Move and rename files
    success = await client.move('/old/location.txt', '/new/location.txt')
    note('move', success)
    success = await client.rename('/file.txt', '/renamed.txt')
    note('rename', success)

    # Copy files (downloads then uploads)
    success = await client.copy('/source.txt', '/destination.txt')
    note('copy', success)

    # Check file existence and get information
    exists = await client.exists('/data/report.csv')
    size = await client.size('/data/report.csv')
    metadata = await client.metadata('/data/report.csv')
    note('exists', exists)
    note('size', size)

    if metadata:
        print(f"File: {metadata['name']}")
        print(f"Size: {metadata['size']} bytes")
        print(f"Modified: {metadata['modified']}")
        print(f"Permissions: {metadata['permissions']}")

    # Change permissions (if server supports SITE CHMOD)
    success = await client.chmod('/script.sh', '755')
    note('chmod', success)
"""

SYNC = """
from fastxfer.ftppy import FtpPy

async with FtpPy('ftp://server.com').client() as client:
    # Upload sync (local to remote)
    results = await client.sync('/local/folder', '/remote/folder', 'up')
    note('up', results)

    # Download sync (remote to local)
    results = await client.sync('/local/folder', '/remote/folder', 'down')
    note('down', results)

    # Bidirectional sync
    results = await client.sync('/local/folder', '/remote/folder', 'both')
    note('both', results)

    # Check sync results
    for path, success in results.items():
        print(f"{path}: {'Synced' if success else 'Failed'}")

    # Verify sync integrity by comparing file sizes
    check = await client.verify('/local/folder', '/remote/folder')
    note('verify', check)
    for path, matches in check.items():
        print(f"{path}: {'Match' if matches else 'Mismatch'}")
"""

BACKUP = """
from fastxfer.ftppy import FtpPy

async with FtpPy('ftp://backup.server.com').client() as client:
    # Create backup of important files
    sources = ['/important/data', '/config/files', '/logs/current.log']
    results = await client.backup(sources, '/backups/daily')
    note('backup', results)

    # Mirror entire directory (destructive sync)
    results = await client.mirror('/local/website', '/remote/website')
    note('mirror', results)

    # Restore from backup
    results = await client.restore('/backups/daily/backup_20241225_143022', '/restore')
    note('restore', results)

    # Check backup results
    for path, success in results.items():
        status = 'Backed up' if success else 'Failed'
        print(f"{path}: {status}")
"""

SEARCH = """
from fastxfer.ftppy import FtpPy

async with FtpPy('ftp://server.com').client() as client:
    # Search for files by pattern
    logs = await client.search('*.log', '/var/logs')
    configs = await client.search('config.*', '/etc')
    backups = await client.search('backup_2024*.zip', '/backups')
    note('found', logs + configs + backups)

    # Display search results
    for metadata in logs:
        print(f"Log file: {metadata['path']} ({metadata['size']} bytes)")

    # Get client statistics
    stats = await client.stats()
    print(f"Connected to {stats['host']}:{stats['port']}")
    print(f"Pool: {stats['pool']} connections, {stats['active']} active")
    print(f"Secure: {stats['secure']}, Passive: {stats['passive']}")
    note('stats', stats)
"""

AUTHENTICATION = """
from fastxfer.ftppy import FtpPy
from fastxfer.ftppy.auth import Basic, Guest

# Basic username/password authentication
auth = Basic('myuser', 'mypassword')
ftp = FtpPy('ftp://server.com', auth=auth)
note('basic', ftp)

# Guest/anonymous access with identifier
guest = Guest('webapp-client-v1.0')
ftp = FtpPy('ftp://public.server.com', auth=guest)
note('guest', ftp)

# Anonymous access (no authentication)
ftp = FtpPy('ftp://anonymous.server.com')  # auth=None is default
note('anonymous', ftp)
"""

LIMITS = """
from fastxfer.ftppy import FtpPy
from fastxfer.ftppy.config import Limits

# Configure connection pool limits
limits = Limits(
    connections=20,  # Maximum total connections
    keepalive=5,     # Connections to keep alive when idle
    host=10          # Maximum connections per host
)
ftp = FtpPy('ftp://server.com', limits=limits)
note('ftp', ftp)
"""

TIMEOUTS = """
from fastxfer.ftppy import FtpPy
from fastxfer.ftppy.config import Timeout

# Configure operation timeouts
timeout = Timeout(
    connect=10.0,  # Connection establishment timeout
    read=60.0,     # Data transfer read timeout
    write=30.0,    # Data transfer write timeout
    pool=120.0     # Total operation timeout
)
ftp = FtpPy('ftp://server.com', timeout=timeout)
note('ftp', ftp)
"""

RETRIES = """
from fastxfer.ftppy import FtpPy
from fastxfer.ftppy.config import Retry

# Configure retry with exponential backoff
retry = Retry(
    total=5,                    # Maximum retry attempts
    backoff=2.0,               # Backoff multiplier (delay = backoff * 2^attempt)
    status=[421, 450, 500, 502] # FTP status codes that trigger retries
)
ftp = FtpPy('ftp://server.com', retry=retry)
note('ftp', ftp)
"""

TLS = """
from fastxfer.ftppy import FtpPy
from fastxfer.ftppy.settings import SSL
from fastxfer.ftppy.auth import Basic

# Basic secure FTPS with default verification
ssl = SSL(verify=True)
ftp = FtpPy('ftps://secure.server.com', ssl=ssl, auth=Basic('user', 'pass'))
note('basic', ftp)

# FTPS with client certificate authentication
ssl = SSL(
    verify=True,
    cert='/path/to/client.crt',    # Client certificate
    key='/path/to/client.key',     # Client private key
    bundle='/path/to/ca.crt'       # Custom CA bundle
)
ftp = FtpPy('ftps://server.com', ssl=ssl)
note('certificate', ftp)

# FTPS with custom cipher configuration
ssl = SSL(
    verify=True,
    ciphers='ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!MD5'
)
ftp = FtpPy('ftps://server.com', ssl=ssl)
note('ciphers', ftp)

# Disable SSL verification (not recommended for production)
ssl = SSL(verify=False)
ftp = FtpPy('ftps://server.com', ssl=ssl)
note('unverified', ftp)
"""

SERVER = """
import asyncio
from fastxfer.ftppy import FtpPy
from fastxfer.ftppy.auth import Basic
from fastxfer.ftppy.config import Limits, Timeout
from fastxfer.ftppy.settings import SSL

# Basic FTP server
ftp = FtpPy('ftp://localhost:2121', auth=Basic('admin', 'secret'))

async with ftp.server() as server:
    print("FTP server running on port 2121")
    print("Web interface available on port 2122")

    # Server runs until context exits
    await asyncio.sleep(3600)  # Run for 1 hour

# Secure FTPS server with SSL
ssl = SSL(cert='/path/to/server.crt', key='/path/to/server.key')
ftp = FtpPy(
    'ftps://localhost:2121',
    auth=Basic('admin', 'secret'),
    ssl=ssl,
    limits=Limits(connections=50)
)

async with ftp.server() as server:
    print("Secure FTPS server running")
    # Server automatically handles SSL/TLS connections
"""

HOOKS = """
from fastxfer.ftppy import FtpPy

async def connect(connection):
    print(f"Connected to FTP server: {connection}")

async def error(error):
    print(f"FTP error occurred: {error}")

async def upload(source, target):
    print(f"Uploading {source} to {target}")

async def request(request, response, duration):
    print(f"{request.method} {request.path} - {response.status} ({duration:.2f}s)")

# Configure hooks
hooks = {
    'connect': connect,
    'error': error,
    'upload': upload,
    'download': upload,  # Same handler for downloads
    'request': request
}

ftp = FtpPy('ftp://server.com', hooks=hooks)
note('ftp', ftp)
"""

ERRORS = """
from fastxfer.ftppy import FtpPy
import warnings

async def handle():
    ftp = FtpPy('ftp://server.com')

    try:
        async with ftp.client() as client:
            # Operations return boolean success status
            success = await client.upload('file.txt', '/remote.txt')
            if success:
                print("Upload completed successfully")
            else:
                print("Upload failed - check warnings for details")

            # File operations return None on failure
            metadata = await client.metadata('/nonexistent.txt')
            if metadata:
                print(f"File size: {metadata['size']}")
            else:
                print("File not found or inaccessible")

    except ConnectionError as error:
        print(f"Connection failed: {error}")
    except Exception as error:
        print(f"Unexpected error: {error}")

# Enable warning display for debugging
warnings.simplefilter('always')
await handle()
"""

MANAGEMENT = """
from fastxfer.ftppy import FtpPy
from fastxfer.ftppy.config import Limits

# Connection pooling and management
ftp = FtpPy('ftp://server.com', limits=Limits(connections=10))

async with ftp.client() as client:
    # Main connection established here
    # Pool of additional connections created automatically

    # All operations share the connection pool
    await client.batch([('file1.txt', '/f1.txt'), ('file2.txt', '/f2.txt')])

    # Connections automatically released after operations
    stats = await client.stats()
    print(f"Active connections: {stats['active']}")
    note('stats', stats)

# All connections automatically closed and cleaned up here
"""


_HOSTS = ("server.com", "backup.server.com", "secure.server.com", "localhost:2121")
_ANONYMOUS = ("public.server.com", "anonymous.server.com")


def fitted(code: str, peer: FTPPeer, folders: dict[str, Path]) -> str:
    """*code* with the server, account and local folders of a test in place of its own."""
    scheme, _, address = peer.url.partition("://")
    url = f"{scheme}://{peer.user}:{peer.password}@{address}"
    for host in _ANONYMOUS:
        code = code.replace(f"'ftp://{host}'", f"'{peer.url}'")
    for host in _HOSTS:
        # Where an account is given, it is not in the URL, too.
        code = code.replace(f"'ftp://{host}', auth=", f"'{peer.url}', auth=")
        code = code.replace(f"'ftp://{host}'", f"'{url}'").replace(f"'ftps://{host}'", f"'{url}'")
    for user, password in (("username", "password"), ("user", "pass"), ("myuser", "mypassword")):
        code = code.replace(f"Basic('{user}', '{password}')", f"Basic('{peer.user}', '{peer.password}')")
    for path, folder in folders.items():
        code = code.replace(f"'{path}'", repr(str(folder)))
    return code


def run(code: str) -> tuple[dict[str, Any], list[warnings.WarningMessage]]:
    """What *code* has noted, and the warnings it caused. It runs in a coroutine, or as a program with its own loop."""
    noted: dict[str, Any] = {}
    names: dict[str, Any] = {"note": noted.__setitem__, "__name__": "example"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if "asyncio.run(" in code:
            exec(compile(code, "example", "exec"), names)  # noqa: S102
        else:
            body = textwrap.indent(code, "    ")
            exec(compile(f"async def example():\n{body}", "example", "exec"), names)  # noqa: S102
            asyncio.run(names["example"]())
    # The account of a test may have a short password, and servers in the same process may use what is deprecated.
    ours = [item for item in caught if not issubclass(item.category, DeprecationWarning)]
    return noted, [item for item in ours if "password has fewer" not in str(item.message)]
