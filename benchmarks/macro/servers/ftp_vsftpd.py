"""vsftpd."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.macro.servers.ftp_setup import Setup, find_program, need_root, version_from, with_accounts


def version() -> str:
    return version_from([find_program("vsftpd"), "-v", "-h"], r"version ([\d.]+)")


def command(setup: Setup) -> Sequence[str]:
    need_root("vsftpd")
    (setup.folder / "empty").mkdir(exist_ok=True)
    settings: dict[str, object] = {
        "listen": "YES",
        "listen_address": setup.host,
        "listen_port": setup.port,
        "background": "NO",
        "anonymous_enable": "NO",
        "local_enable": "YES",
        "write_enable": "YES",
        "local_umask": "022",
        "chroot_local_user": "YES",
        "allow_writeable_chroot": "YES",
        "local_root": setup.root,
        "secure_chroot_dir": setup.folder / "empty",
        "pam_service_name": "ftp",
        "xferlog_enable": "NO",
        "pasv_min_port": setup.passive[0],
        "pasv_max_port": setup.passive[1],
        "max_clients": 0,
        "max_per_ip": 0,
        "use_sendfile": "YES",
        "idle_session_timeout": 600,
    }
    if setup.certificate:
        settings |= {
            "ssl_enable": "YES",
            "rsa_cert_file": setup.certificate.cert,
            "rsa_private_key_file": setup.certificate.key,
            "force_local_data_ssl": "NO",
            "force_local_logins_ssl": "NO",
            "require_ssl_reuse": "YES",
            "ssl_ciphers": "HIGH",
        }
    conf = setup.folder / "vsftpd.conf"
    conf.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return with_accounts(setup, [find_program("vsftpd"), str(conf)])
