"""Real mail servers on loopback, each started from its own configuration and stopped by its own handle.

A peer is a context manager ``(folder, certificates) -> Peer``: it starts a server that `.ci/install-real-peers` put on
the machine, on free ports of 127.0.0.1, with all that it writes inside ``folder``; without the program it raises
`MissingProgramError`. The table `PEERS` names them all; `conftest.py` makes a session fixture of each.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import grp
import hashlib
import json
import os
import pwd
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import trustme

__all__ = [
    "EXIM_MX",
    "PASSWORD",
    "PEERS",
    "POSTFIX_MX",
    "USER",
    "Certificates",
    "MissingProgramError",
    "Peer",
    "Received",
    "aiosmtpd",
    "exim",
    "fakesmtpd",
    "maildev",
    "maildump",
    "mx_port",
    "postfix",
    "sendria",
    "smtp_sink",
    "smtp_sink_of_many",
]

HOME = Path("/opt/mailer-peers")
HOST = "127.0.0.1"
DOMAIN = "mx.test.invalid"
# Where these take mail as a domain's own servers do, without login: Postfix for postfix.example, Exim for anybody.
POSTFIX_MX, EXIM_MX = "127.0.0.2", "127.0.0.3"
# Both hold what a URL must percent-encode.
USER = f"mailer@{DOMAIN}"
PASSWORD = "S3cr3t/@+:x"

START_TIMEOUT_S = 30.0  # MailDev's first start took more than 4 s; a busy CI machine is slower
POLL_S = 0.02

T = TypeVar("T")


class MissingProgramError(Exception):
    """A program that the peer needs is not on this machine. The text names it."""


class Received(Protocol):
    """Waits for what a server stored."""

    def __call__(self, n: int, timeout_s: float = 20.0, *, having: bytes = b"") -> list[bytes]:
        """Return the stored messages that contain ``having``, oldest first, as soon as there are ``n`` or more.

        Returns:
            Each message's bytes as that server keeps them: with its trace headers, and LF or CRLF as it likes.

        Raises:
            TimeoutError: There were fewer than ``n`` after ``timeout_s`` seconds.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A running server.

    Attributes:
        url: For our client, credentials and ``ca_file`` included.
        smtps_url: The same on its port with implicit TLS; "" where it has none.
        user: "" where the server asks for no login; ``password`` then too.
        ca_file: PEM of the authority that signed its certificate; None without TLS.
        tls_from_start: ``port`` speaks TLS from the first byte.
        failed_logins: How many logins it refused so far, from its log; None where it keeps none.
        connections: How many connections it has had so far, from its log, the question's own included; None likewise.
        config: The folder of its configuration; None where it has none.
        settle: Waits until its queue is empty; None where it has none.
        envelope_header: The header in which it keeps the envelope's recipients; "" where it keeps them apart.
        undoes_dot_stuffing: False for a server that stores the doubled dots of the DATA command.
    """

    name: str
    url: str
    port: int
    received: Received
    host: str = HOST
    smtps_url: str = ""
    smtps_port: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    tls_from_start: bool = False
    failed_logins: Callable[[], int] | None = None
    connections: Callable[[], int] | None = None
    config: Path | None = None
    settle: Callable[[], None] | None = None
    envelope_header: str = ""
    undoes_dot_stuffing: bool = True

    def url_with(self, **changed: str) -> str:
        """Return ``url`` with another ``user``, ``password`` or ``ca_file``."""
        return _url(
            self.url.partition(":")[0],
            self.port,
            user=changed.get("user", self.user),
            password=changed.get("password", self.password),
            options={
                **dict(option.split("=", 1) for option in self.url.partition("?")[2].split("&")),
                **({"ca_file": changed["ca_file"]} if "ca_file" in changed else {}),
            },
        )


@dataclass(frozen=True, slots=True)
class Certificates:
    """One certificate for localhost and 127.0.0.1, and the authority behind it, as PEM files."""

    ca_file: Path
    cert_file: Path
    key_file: Path

    @classmethod
    def issue(cls, folder: Path) -> Certificates:
        """Make a new authority and certificate in ``folder``, readable by the servers' own users."""
        authority = trustme.CA()
        leaf = authority.issue_cert("localhost", HOST)
        made = cls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
        authority.cert_pem.write_to_path(str(made.ca_file))
        made.cert_file.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(made.key_file))
        for path in (made.ca_file, made.cert_file, made.key_file):
            path.chmod(0o644)
        return made


Start = Callable[[Path, Certificates], AbstractContextManager[Peer]]


# --- Postfix -----------------------------------------------------------------------------------------------------


@contextmanager
def postfix(
    folder: Path,
    certificates: Certificates,
    *,
    settings: Mapping[str, object] = MappingProxyType({}),
    services: str = "",
) -> Iterator[Peer]:
    """Postfix with STARTTLS, a port with implicit TLS, and SASL; it hands everything on to an smtp-sink.

    What is received is thus the mail as it left Postfix, after its queue.

    Args:
        folder: Where it writes.
        certificates: What it shows.
        settings: More lines of main.cf.
        services: More lines of master.cf; "" has it serve as the MX host too.
    """
    program, add_user = _program("postfix"), _program("saslpasswd2")
    with smtp_sink(_subfolder(folder, "sink"), certificates) as sink:
        config, port, smtps_port = _subfolder(folder, "config"), free_port(), free_port()
        sasl, log = _subfolder(config, "sasl"), folder / "postfix.log"
        main = {
            "compatibility_level": "3.6",
            "queue_directory": _subfolder(folder, "queue"),
            "data_directory": _subfolder(folder, "data", owner="postfix"),
            "maillog_file": log,
            "maillog_file_prefixes": folder,
            "smtpd_client_port_logging": "yes",
            "myhostname": DOMAIN,
            "mydestination": "",
            "mynetworks": "",
            "alias_maps": "",
            "inet_interfaces": HOST,
            "inet_protocols": "ipv4",
            "smtpd_peername_lookup": "no",
            "disable_dns_lookups": "yes",
            "smtpd_tls_cert_file": certificates.cert_file,
            "smtpd_tls_key_file": certificates.key_file,
            "smtpd_tls_security_level": "may",
            "smtpd_tls_auth_only": "yes",
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_type": "cyrus",
            "smtpd_sasl_path": "smtpd",
            # Debian's Postfix looks in "sasl" beside main.cf, whatever this says; any other asks this.
            "cyrus_sasl_config_path": sasl,
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
            "relay_domains": "postfix.example",
            "smtpd_error_sleep_time": "0",
            "default_transport": f"smtp:[{HOST}]:{sink.port}",
            "relay_transport": f"smtp:[{HOST}]:{sink.port}",
            "smtp_tls_security_level": "none",
            **settings,
        }
        config.joinpath("main.cf").write_text("".join(f"{name} = {value}\n" for name, value in main.items()))
        config.joinpath("master.cf").write_text(
            f"{HOST}:{port} inet n - n - - smtpd\n"
            f"{HOST}:{smtps_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n"
            f"{_POSTFIX_SERVICES}{services or _postfix_mx()}"
        )
        users = folder / "sasldb2"
        sasl.joinpath("smtpd.conf").write_text(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
            f"sasldb_path: {users}\nmech_list: PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256\n"
        )
        name, _, realm = USER.partition("@")
        _run(add_user, "-p", "-c", "-u", realm, "-f", users, name, stdin=PASSWORD)
        shutil.chown(users, group="postfix")
        users.chmod(0o640)

        _run(program, "-c", config, "start", log=log)
        try:
            _wait_for_greeting(port, log=log)
            yield Peer(
                name="postfix",
                url=_url("smtp", port, user=USER, password=PASSWORD, options=_required_tls(certificates)),
                smtps_url=_url("smtps", smtps_port, user=USER, password=PASSWORD, options=_required_tls(certificates)),
                port=port,
                smtps_port=smtps_port,
                user=USER,
                password=PASSWORD,
                ca_file=certificates.ca_file,
                received=sink.received,
                envelope_header=sink.envelope_header,
                failed_logins=_counted_in(log, rb"SASL \S+ authentication failed", port),
                connections=_counted_in(log, rb": connect from ", port),
                config=config,
                settle=lambda: _wait_until(lambda: not _queued(config), "the queue is empty", log),
            )
        finally:
            _run(program, "-c", config, "stop")


def _postfix_mx() -> str:
    return f"{POSTFIX_MX}:{mx_port()} inet n - n - - smtpd -o smtpd_relay_restrictions=reject_unauth_destination\n"


def _queued(config: Path) -> bool:
    listed = subprocess.run([_program("postqueue"), "-c", config, "-p"], capture_output=True, check=True, timeout=60)
    return b"Mail queue is empty" not in listed.stdout


# name, type, private, unprivileged, wake-up, most processes, program. No chroot, so that SASL's files are found.
_POSTFIX_SERVICES = "".join(
    f"{name} {kind} {private} - n {wakeup} {limit} {program}\n"
    for name, kind, private, wakeup, limit, program in (
        ("pickup", "unix", "n", "60", "1", "pickup"),
        ("cleanup", "unix", "n", "-", "0", "cleanup"),
        ("qmgr", "unix", "n", "300", "1", "qmgr"),
        ("tlsmgr", "unix", "-", "1000?", "1", "tlsmgr"),
        ("rewrite", "unix", "-", "-", "-", "trivial-rewrite"),
        ("bounce", "unix", "-", "-", "0", "bounce"),
        ("defer", "unix", "-", "-", "0", "bounce"),
        ("trace", "unix", "-", "-", "0", "bounce"),
        ("proxymap", "unix", "-", "-", "-", "proxymap"),
        ("smtp", "unix", "-", "-", "-", "smtp"),
        ("relay", "unix", "-", "-", "-", "smtp"),
        ("showq", "unix", "n", "-", "-", "showq"),
        ("error", "unix", "-", "-", "-", "error"),
        ("retry", "unix", "-", "-", "-", "error"),
        ("anvil", "unix", "-", "-", "1", "anvil"),
        ("scache", "unix", "-", "-", "1", "scache"),
        ("postlog", "unix-dgram", "n", "-", "1", "postlogd"),
    )
)


@contextmanager
def smtp_sink(folder: Path, certificates: Certificates, *, flags: Sequence[str] = (), port: int = 0) -> Iterator[Peer]:
    """Postfix's smtp-sink: takes everything, one file per mail, headed by what the envelope said (``X-Rcpt-Args``).

    With ``flags`` it does not; it may not even greet then, nor live for a second connection.
    """
    program, port = _program("smtp-sink"), port or free_port()
    mails = _subfolder(folder, "mails", owner="nobody")
    command = [program, "-u", "nobody", "-d", f"{mails}/mail.", *flags, f"{HOST}:{port}", "100"]
    with _running(command, folder=folder, port=port, greets=not flags) as process:

        def read() -> list[bytes]:
            # Listed before looking for what is open: a file in the list that is not open any more is whole.
            files = sorted(mails.iterdir(), key=lambda path: path.stat().st_mtime_ns)
            unfinished = _open_files(process.pid) if process.poll() is None else set()
            return [path.read_bytes() for path in files if path not in unfinished]

        yield Peer(
            name="smtp_sink",
            url=_url("smtp", port, options=_NO_TLS),
            port=port,
            received=_received(read),
            envelope_header="X-Rcpt-Args",
        )


@contextmanager
def smtp_sink_of_many(folder: Path) -> Iterator[tuple[str, Path]]:
    """smtp-sink for a hundred thousand mails, all in one file: (URL, the file). ``folder`` is open to everybody."""
    program, port = _program("smtp-sink"), free_port()
    mails = _subfolder(folder, "many", owner="nobody") / "mails"
    command = [program, "-u", "nobody", "-D", mails, f"{HOST}:{port}", "100"]
    with _running(command, folder=folder, port=port):
        yield _url("smtp", port, options=_NO_TLS), mails


# --- Exim --------------------------------------------------------------------------------------------------------


@contextmanager
def exim(folder: Path, certificates: Certificates) -> Iterator[Peer]:
    """Exim with STARTTLS, a port with implicit TLS, AUTH after TLS, PRDR, and one copy of each mail to a maildir.

    The recipients ``gone@...`` and ``later@...`` are answered 550 and 451.
    """
    program = _program(HOME / "exim/usr/sbin/exim4")
    for directory in ("spool", "log", "mail"):
        _subfolder(folder, directory, owner="Debian-exim")
    port, smtps_port = free_port(), free_port()
    config = folder / "exim.conf"
    config.write_text(
        _EXIM_CONFIG.format(
            folder=folder,
            program=program,
            domain=DOMAIN,
            host=HOST,
            port=port,
            smtps_port=smtps_port,
            mx_host=EXIM_MX,
            mx_port=mx_port(),
            cert=certificates.cert_file,
            key=certificates.key_file,
            user=USER,
            password=PASSWORD,
        )
    )
    with _running([program, "-C", config, "-bdf", "-q1m"], folder=folder, port=port):

        def read() -> list[bytes]:
            arrived = folder / "mail" / "new"  # maildir: a file appears there whole
            files = sorted(arrived.iterdir(), key=lambda path: path.stat().st_mtime_ns) if arrived.is_dir() else []
            return [path.read_bytes() for path in files]

        yield Peer(
            name="exim",
            url=_url("smtp", port, user=USER, password=PASSWORD, options=_required_tls(certificates)),
            smtps_url=_url("smtps", smtps_port, user=USER, password=PASSWORD, options=_required_tls(certificates)),
            port=port,
            smtps_port=smtps_port,
            user=USER,
            password=PASSWORD,
            ca_file=certificates.ca_file,
            received=_received(read),
            failed_logins=_counted_in(folder / "log" / "mainlog", rb"authenticator failed", port),
            connections=_counted_in(folder / "log" / "mainlog", rb"TCP/IP connection count", port),
            envelope_header="Envelope-To",
        )


# deliver_drop_privilege: the daemon hands each delivery to a fresh Exim under its own user, which may not become root
# with a configuration of ours; so it delivers as that user.
# smtp_accept_queue_per_connection: by default the eleventh mail of a connection waits for the next queue run.
_EXIM_CONFIG = """\
exim_path = {program}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
log_selector = +smtp_connection +incoming_port
pid_file_path = {folder}/spool/exim.pid
primary_hostname = {domain}
local_interfaces = <; {host}.{port} ; {host}.{smtps_port} ; {mx_host}.{mx_port}
tls_on_connect_ports = {smtps_port}
tls_advertise_hosts = *
tls_certificate = {cert}
tls_privatekey = {key}
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
deliver_drop_privilege = true
smtp_accept_queue_per_connection = 0
prdr_enable = true
smtp_accept_max_per_connection = 10
keep_environment =
host_lookup =
acl_smtp_rcpt = rcpt

begin acl
rcpt:
  deny message = 5.7.1 log in first
       !authenticated = *
       condition = ${{if !eq{{$received_ip_address}}{{{mx_host}}}}}
  deny message = 5.1.1 no such user
       local_parts = gone
  defer message = 4.7.1 come back
       local_parts = later
  accept

begin routers
all:
  driver = accept
  transport = maildir

begin transports
maildir:
  driver = appendfile
  directory = {folder}/mail
  maildir_format
  user = Debian-exim
  batch_max = 100
  envelope_to_add
  return_path_add

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${{if and{{{{eq{{$auth1}}{{{user}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{{user}}}{{{password}}}fail}}
  server_set_id = $auth1
"""


# --- fake servers ------------------------------------------------------------------------------------------------


@contextmanager
def maildev(folder: Path, certificates: Certificates) -> Iterator[Peer]:
    """MailDev (Node.js) with a login, speaking TLS from the first byte; read through its REST interface."""
    program, port, web_port = _program(HOME / "node/node_modules/.bin/maildev"), free_port(), free_port()
    options = {
        "--ip": HOST,
        "--smtp": port,
        "--web-ip": HOST,
        "--web": web_port,
        "--mail-directory": _subfolder(folder, "mails"),
        "--incoming-user": USER,
        "--incoming-pass": PASSWORD,
        "--incoming-cert": certificates.cert_file,
        "--incoming-key": certificates.key_file,
    }
    command = [program, "--incoming-secure", *(part for option in options.items() for part in option)]
    with _running(command, folder=folder, port=port, tls=True, web=f"http://{HOST}:{web_port}/api/healthz"):
        api = f"http://{HOST}:{web_port}/api/email"
        yield Peer(
            name="maildev",
            url=_url("smtps", port, user=USER, password=PASSWORD, options=_required_tls(certificates)),
            port=port,
            user=USER,
            password=PASSWORD,
            ca_file=certificates.ca_file,
            tls_from_start=True,
            received=_received(lambda: [_get(f"{api}/{mail['id']}/source") for mail in json.loads(_get(api))]),
        )


@contextmanager
def maildump(folder: Path, certificates: Certificates) -> Iterator[Peer]:
    """MailDump: SIZE and 8BITMIME, no TLS, no login; read through its web interface."""
    program, port, web_port = _program(HOME / "maildump/bin/maildump"), free_port(), free_port()
    command = [program, "-f", "--smtp-ip", HOST, "--smtp-port", port, "--http-ip", HOST, "--http-port", web_port]
    api = f"http://{HOST}:{web_port}/messages/"

    def read() -> list[bytes]:
        numbers = sorted(mail["id"] for mail in json.loads(_get(api))["messages"])
        return [_get(f"{api}{number}.source") for number in numbers]

    with _running(command, folder=folder, port=port, web=api):
        yield Peer(name="maildump", url=_url("smtp", port, options=_NO_TLS), port=port, received=_received(read))


@contextmanager
def sendria(folder: Path, certificates: Certificates) -> Iterator[Peer]:
    """Sendria: a login in clear text, without TLS. It stores what Python's ``email`` made of the mail."""
    program, port, web_port = _program(HOME / "sendria/bin/sendria"), free_port(), free_port()
    users = folder / "users"
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()  # htpasswd's {SHA} is just that
    users.write_text(f"{USER}:{{SHA}}{digest}\n")
    command = [program, "--foreground", "--db", folder / "mails.sqlite", "--smtp-auth", users]
    command += ["--smtp-ip", HOST, "--smtp-port", port, "--http-ip", HOST, "--http-port", web_port]
    api = f"http://{HOST}:{web_port}/api/messages/"

    def read() -> list[bytes]:
        numbers = sorted(mail["id"] for mail in json.loads(_get(api))["data"])
        return [_get(f"{api}{number}.source") for number in numbers]

    with _running(command, folder=folder, port=port, web=api):
        yield Peer(
            name="sendria",
            url=_url("smtp", port, user=USER, password=PASSWORD, options={**_NO_TLS, "auth_in_clear": "yes"}),
            port=port,
            user=USER,
            password=PASSWORD,
            received=_received(read),
            envelope_header="X-RcptTo",
        )


@contextmanager
def fakesmtpd(folder: Path, certificates: Certificates) -> Iterator[Peer]:
    """FakeSMTPd: no extension at all, and it clears the eighth bit of every byte. Keeps the doubled dots of DATA."""
    program, port = _program(HOME / "fakesmtpd/bin/fakesmtpd"), free_port()
    mbox = folder / "out.mbox"
    with _running([program, "-b", HOST, "-p", port, "-o", mbox], folder=folder, port=port) as process:

        def read() -> list[bytes]:
            if not mbox.exists():
                return []
            # Closed before and after, and no longer meanwhile: else it is in the middle of a mail.
            size = mbox.stat().st_size
            if mbox in _open_files(process.pid):
                return []
            content = mbox.read_bytes()
            if mbox in _open_files(process.pid) or len(content) != size:
                return []
            # "From " inside a body is not escaped: its own line after it is what tells a beginning.
            beginnings = re.split(rb"^From \S* .*\n(?=X-FakeSMTPd-Receiver: )", content, flags=re.MULTILINE)
            return [mail.removesuffix(b"\n") for mail in beginnings[1:]]

        yield Peer(
            name="fakesmtpd",
            url=_url("smtp", port, options=_NO_TLS),
            port=port,
            received=_received(read),
            envelope_header="X-FakeSMTPd-Receiver",
            undoes_dot_stuffing=False,
        )


@contextmanager
def aiosmtpd(folder: Path, certificates: Certificates) -> Iterator[Peer]:
    """aiosmtpd in a thread of this process: STARTTLS required, then AUTH."""
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult, LoginPassword

    mails: list[bytes] = []

    class Handler:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            mails.append(bytes(envelope.content))
            return "250 2.0.0 kept"

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        wanted = LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=data == wanted, handled=False)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert_file, certificates.key_file)
    port = free_port()
    controller = Controller(
        Handler(),
        hostname=HOST,
        port=port,
        tls_context=context,
        require_starttls=True,
        authenticator=authenticate,
        auth_required=True,
        enable_SMTPUTF8=True,
    )
    controller.start()
    try:
        yield Peer(
            name="aiosmtpd",
            url=_url("smtp", port, user=USER, password=PASSWORD, options=_required_tls(certificates)),
            port=port,
            user=USER,
            password=PASSWORD,
            ca_file=certificates.ca_file,
            received=_received(lambda: list(mails)),
        )
    finally:
        controller.stop()


PEERS: Mapping[str, Start] = {
    "postfix": postfix,
    "smtp_sink": smtp_sink,
    "exim": exim,
    "maildev": maildev,
    "maildump": maildump,
    "sendria": sendria,
    "fakesmtpd": fakesmtpd,
    "aiosmtpd": aiosmtpd,
}


# --- starting ----------------------------------------------------------------------------------------------------


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now: these servers cannot be given 0 and say which they took."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@functools.cache
def mx_port() -> int:
    """Return the port of all MX hosts, which must be one, as no MX record names it."""
    return free_port()


def _program(name: str | Path) -> str:
    # Debian keeps servers in sbin, which the PATH of an ordinary session leaves out.
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise MissingProgramError(f"{name} is not installed: run .ci/install-real-peers as root")
    return found


def _subfolder(folder: Path, name: str, *, owner: str = "") -> Path:
    made = folder / name
    made.mkdir()
    made.chmod(0o755)
    if owner:
        try:
            user = pwd.getpwnam(owner)
        except KeyError:
            raise MissingProgramError(f"the user {owner} does not exist: run .ci/install-real-peers as root") from None
        os.chown(made, user.pw_uid, grp.getgrgid(user.pw_gid).gr_gid)
    return made


def _run(*command: object, stdin: str = "", log: Path | None = None) -> None:
    done = subprocess.run([str(part) for part in command], input=stdin, capture_output=True, text=True, timeout=60)
    if done.returncode:
        told = done.stdout + done.stderr + (_tail(log) if log else "")
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {told}")


@contextmanager
def _running(
    command: Sequence[object], *, folder: Path, port: int, tls: bool = False, web: str = "", greets: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; enter it when the server greets on ``port`` and answers at ``web``.

    Where it does not greet, or counts connections, it is enough that it listens.
    """
    log = folder / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        if greets:
            _wait_for_greeting(port, log=log, tls=tls, process=process)
        else:
            _wait_until(lambda: _listens(port), f"it listens on port {port}", log)
        if web:
            _wait_until(lambda: _answers(web), f"{web} answers", log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    listening = re.compile(rf"^ *\d+: [0-9A-F]{{8}}:{port:04X} [0-9A-F:]+ 0A ", re.MULTILINE)  # proc(5)
    return listening.search(Path("/proc/net/tcp").read_text()) is not None


def _wait_for_greeting(
    port: int, *, log: Path, tls: bool = False, process: subprocess.Popen[bytes] | None = None
) -> None:
    def greets() -> bool:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}: {_tail(log)}")
        try:
            with _connection(port, tls=tls) as connection:
                return connection.recv(3) == b"220"
        except OSError:
            return False

    _wait_until(greets, f"port {port} greets", log)


def _connection(port: int, *, tls: bool = False) -> socket.socket:
    plain = socket.create_connection((HOST, port), timeout=5)
    if not tls:
        return plain
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only to see whether it is up
    try:
        return context.wrap_socket(plain)
    except BaseException:
        plain.close()
        raise


def _answers(url: str) -> bool:
    try:
        _get(url)
    except OSError:
        return False
    return True


def _wait_until(fact: Callable[[], bool], name: str, log: Path, timeout_s: float = START_TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s until {name}: {_tail(log)}")
        time.sleep(POLL_S)


def _tail(log: Path, chars: int = 2000) -> str:
    return log.read_text(errors="replace")[-chars:] if log.exists() else "no log"


# --- reading -----------------------------------------------------------------------------------------------------


def _received(read: Callable[[], list[bytes]]) -> Received:
    def received(n: int, timeout_s: float = 20.0, *, having: bytes = b"") -> list[bytes]:
        deadline = time.monotonic() + timeout_s
        while True:
            every = read()
            found = [mail for mail in every if having in mail]
            if len(found) >= n:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{len(found)} of {n} messages with {having!r} after {timeout_s:g} s ({len(every)} in all)"
                )
            time.sleep(POLL_S)

    return received


def _counted_in(log: Path, pattern: bytes, port: int) -> Callable[[], int]:
    def count() -> int:
        # A log runs behind the replies. A new connection is logged after all that was answered before it.
        with _connection(port) as connection:
            connection.recv(3)
            own = b"]:%d" % connection.getsockname()[1]
        _wait_until(lambda: log.exists() and own in log.read_bytes(), f"{log} shows {own!r}", log)
        return len(re.findall(pattern, log.read_bytes()))

    return count


def _open_files(pid: int) -> set[Path]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            found.add(Path(os.readlink(entry)))
    return found


def _get(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as response:
        body: bytes = response.read()
        return body


# --- URLs --------------------------------------------------------------------------------------------------------

_NO_TLS: Mapping[str, str] = {"tls": "none"}


def _required_tls(certificates: Certificates) -> Mapping[str, str]:
    return {"tls": "required", "ca_file": str(certificates.ca_file)}


def _url(scheme: str, port: int, *, user: str = "", password: str = "", options: Mapping[str, str]) -> str:
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    return f"{scheme}://{login}{HOST}:{port}?" + "&".join(f"{name}={value}" for name, value in options.items())
