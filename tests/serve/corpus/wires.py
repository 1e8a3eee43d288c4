"""What is no HTTP, or HTTP that two servers may read in two ways."""

import gzip
from collections.abc import Iterator

from tests.serve.corpus.case import Case
from tests.serve.corpus.texts import BODY
from tests.serve.test_infer import INFER
from tests.serve.wire import chunks


def wires() -> Iterator[Case]:
    """What is no HTTP, or HTTP that two servers may read in two ways."""
    post = f"POST {INFER} HTTP/1.1\r\nhost: here\r\n".encode()
    get = b"GET /v2 HTTP/1.1\r\nhost: here\r\n"
    sized = b"content-length: %d\r\n" % len(BODY)
    wrong = {
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) + b"\r\n\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "SSH": b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "SMTP": b"EHLO here\r\n\r\n", "zeros": bytes(64), "bytes": bytes(range(256)),
        "words": b"hello\r\n\r\n",
        "a line that ends in LF": b"GET /v2 HTTP/1.1\n\n", "no version": b"GET /v2 HTTP\r\n\r\n",
        "version 9.9": b"GET /v2 HTTP/9.9\r\n\r\n",
        "version x": b"GET /v2 HTTP/x.y\r\n\r\n", "no path": b"GET  HTTP/1.1\r\n\r\n",
        "a space in the path": b"GET /v2 /x HTTP/1.1\r\n\r\n", "no slash": b"GET v2 HTTP/1.1\r\n\r\n",
        "bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
        "a zero in the path": b"GET /v2\0 HTTP/1.1\r\n\r\n", "CONNECT": b"CONNECT here:80 HTTP/1.1\r\n\r\n",
        "a header without a colon": get + b"header\r\n\r\n", "a header without a name": get + b": x\r\n\r\n",
        "a space before the colon": get + b"a : x\r\n\r\n", "a folded header": get + b"a: x\r\n y\r\n\r\n",
        "a folded first header": b"GET /v2 HTTP/1.1\r\n a: x\r\n\r\n",
        "a zero in a header": get + b"a: x\0y\r\n\r\n", "a zero in a name": get + b"a\0b: x\r\n\r\n",
        "CR in a header": get + b"a: x\ry\r\n\r\n",
        "bytes in a name": get + b"\xff\xfe: x\r\n\r\n",
        "length and chunks": post + sized + b"transfer-encoding: chunked\r\n\r\n" + BODY,
        "chunks and length": post + b"transfer-encoding: chunked\r\n" + sized + b"\r\n" + chunks(BODY),
        "two lengths": post + sized + b"content-length: 5\r\n\r\n" + BODY,
        "two equal lengths": post + sized + sized + b"\r\n" + BODY,
        "a list of lengths": post + b"content-length: 5, 5\r\n\r\n" + BODY,
        "a length below 0": post + b"content-length: -1\r\n\r\n" + BODY,
        "a length with a sign": post + b"content-length: +5\r\n\r\n" + BODY,
        "a length in hex": post + b"content-length: 0x5\r\n\r\n" + BODY,
        "a length of words": post + b"content-length: five\r\n\r\n" + BODY,
        "an empty length": post + b"content-length: \r\n\r\n" + BODY,
        "a length of 30 digits": post + b"content-length: " + b"9" * 30 + b"\r\n\r\n",
        "a length with a space": post + b"content-length: 1 0\r\n\r\n" + BODY,
        "an unknown coding": post + b"transfer-encoding: rot13\r\n\r\n" + BODY,
        "chunked, then gzip": post + b"transfer-encoding: chunked, gzip\r\n\r\n" + BODY,
        "xchunked": post + b"transfer-encoding: xchunked\r\n\r\n" + BODY,
        "a coding with a tab": post + b"transfer-encoding\t: chunked\r\n\r\n" + chunks(BODY),
        "a chunk's size of words": post + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "a chunk's size below 0": post + b"transfer-encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
        "a huge chunk": post + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n{}\r\n0\r\n\r\n",
        "a chunk longer than it says": post + b"transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
        "a chunk that ends in LF": post + b"transfer-encoding: chunked\r\n\r\n2\n{}\n0\n\n",
        "no chunk": post + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "gzip, then chunked": post + b"transfer-encoding: gzip, chunked\r\n\r\n" + chunks(gzip.compress(BODY)),
        "a body without a length": post + b"\r\n" + BODY,
    }  # fmt: skip
    for name, sent in wrong.items():
        yield Case(name, sent, 400)
    yield Case("33 MB are told", post + b"content-length: %d\r\n\r\n" % (33 << 20), 413)
    yield Case("16 EB are told", post + b"content-length: %d\r\n\r\n" % (2**64 - 1), 413)
    yield Case("1,000 headers", get + b"".join(b"x-%d: %s\r\n" % (number, b"y" * 100) for number in range(1000)) + b"\r\n", 431)
    yield Case("a header of 70 KB", get + b"x: " + b"y" * 70_000 + b"\r\n\r\n", 431)
    yield Case("a path of 70 KB", b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\n\r\n", 431)
