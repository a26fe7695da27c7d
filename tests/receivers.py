"""Where the tests' copies and traces go: real servers on this machine, which believe nothing they have not checked."""

import datetime as dt
import gzip
import ipaddress
import re
import socket
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class HttpReceiver:
    """An HTTP server that keeps what is posted to it. `statuses` are its next answers; then it says 200."""

    tls: ssl.SSLContext | None = None
    port: int = 0
    taken: list[Asked] = field(default_factory=list)
    refused: list[Asked] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    answer: tuple[str, bytes] = ("text/plain", b"")

    def __enter__(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                (receiver.taken if status == 200 else receiver.refused).append(asked)
                self.send_response(status)
                media_type, said = receiver.answer
                self.send_header("content-type", media_type)
                self.send_header("content-length", str(len(said)))
                if 300 <= status < 400:
                    self.send_header("location", "/elsewhere")
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *args):
                pass

        ThreadingHTTPServer.daemon_threads = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Message:
    """A syslog message, taken apart."""

    priority: int
    at: str
    host: str
    program: str
    kind: str
    data: dict[str, str]
    text: bytes


# RFC 5424, 6: HEADER SP STRUCTURED-DATA SP MSG, with one element of structured data.
MESSAGE = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z) ([!-~]{1,255}) ([!-~]{1,48}) - ([!-~]{1,32}) "
    rb'\[([!-~]{1,32}@\d+)((?: [!-~]{1,32}="(?:\\["\\\]]|[^"\\\]])*")+)\] (.*)',
    re.DOTALL,
)
PARAMETER = re.compile(r' ([!-~]+?)="((?:\\["\\\]]|[^"\\\]])*)"')


def parse_message(raw):
    found = MESSAGE.fullmatch(raw)
    assert found, f"no RFC 5424: {raw[:200]!r}"
    priority, at, host, program, kind, name, data, text = found.groups()
    assert name == b"worka@32473"
    assert text.startswith(b"\xef\xbb\xbf"), "text in UTF-8 begins with the byte order mark"
    read = {key: re.sub(r'\\(["\\\]])', r"\1", value) for key, value in PARAMETER.findall(data.decode())}
    return Message(int(priority), at.decode(), host.decode(), program.decode(), kind.decode(), read, text[3:])


@dataclass
class SyslogReceiver:
    """A syslog server over TLS. `cuts` are numbers of messages after which it hangs up on its next lines."""

    tls: ssl.SSLContext
    port: int = 0
    taken: list[Message] = field(default_factory=list)
    lines: int = 0
    cuts: list[int] = field(default_factory=list)
    is_rude: bool = False
    faults: list[Exception] = field(default_factory=list)

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        assert self.faults == []

    def _accept(self):
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self.lines += 1
            with plain:
                plain.settimeout(10)
                try:
                    line = self.tls.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)
                except OSError:
                    continue  # it does not believe our certificate
                with line:
                    try:
                        self._read(line)
                    except AssertionError as fault:
                        self.faults.append(fault)

    def _read(self, line):
        left, buffer = (self.cuts.pop(0) if self.cuts else -1), b""
        while left != 0:
            while (found := re.match(rb"([1-9]\d*) ", buffer)) is None or len(buffer) < found.end() + int(found[1]):
                assert len(buffer) < 8 or found, f"no octet count: {buffer[:20]!r}"
                try:
                    piece = line.recv(65536)
                except ssl.SSLEOFError:
                    piece = b""
                if not piece:
                    assert buffer == b"", "the last message was torn"
                    if not self.is_rude:
                        line.unwrap()
                    return
                buffer += piece
            end = found.end() + int(found[1])
            self.taken.append(parse_message(buffer[found.end() : end]))
            buffer, left = buffer[end:], left - 1
        # It hangs up with what it has not read: the sender is told so.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def authority(folder, name="127.0.0.1"):
    """Make an authority and a server's certificate by it; return the file of the one and a context with the other."""
    at, key = dt.datetime.now(dt.UTC), ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    own = ec.generate_private_key(ec.SECP256R1())
    day = dt.timedelta(days=1)

    def certificate(common, public, *extensions):
        builder = x509.CertificateBuilder().subject_name(common).issuer_name(subject).public_key(public)
        builder = (
            builder.serial_number(x509.random_serial_number()).not_valid_before(at - day).not_valid_after(at + day)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root = certificate(subject, key.public_key(), (x509.BasicConstraints(ca=True, path_length=0), True))
    try:
        alternative = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    leaf = certificate(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        own.public_key(),
        (x509.SubjectAlternativeName([alternative]), False),
    )
    folder.mkdir(exist_ok=True)
    (folder / "ca.pem").write_bytes(root)
    (folder / "server.pem").write_bytes(
        own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + leaf
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return folder / "ca.pem", context


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as a collector reads it."""

    trace: str
    id: str
    parent: str
    name: str
    start: int
    end: int
    kind: int
    status: int
    attributes: dict[str, object]
    moments: list[str]


def spans_in(asked):
    """Read the spans of an OTLP request as strictly as its specification is."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    assert asked.headers["content-type"] == "application/x-protobuf"
    message = ExportTraceServiceRequest.FromString(asked.body)
    found = []
    for resource in message.resource_spans:
        named = {each.key: each.value.string_value for each in resource.resource.attributes}
        assert named["service.name"] == "worka"
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            assert len(span.trace_id) == 16 and any(span.trace_id)
            assert len(span.span_id) == 8 and any(span.span_id)
            assert len(span.parent_span_id) in (0, 8)
            assert 0 < span.start_time_unix_nano <= span.end_time_unix_nano
            names = [each.key for each in span.attributes]
            assert len(names) == len(set(names))
            found.append(
                ReceivedSpan(
                    span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.name,
                    span.start_time_unix_nano, span.end_time_unix_nano, span.kind, span.status.code,
                    {each.key: _plain(each.value) for each in span.attributes}, [each.name for each in span.events],
                )
            )  # fmt: skip
    return found


def _plain(value):
    kind = value.WhichOneof("value")
    assert kind in {"string_value", "int_value", "double_value", "bool_value", "array_value"}
    return [_plain(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)
