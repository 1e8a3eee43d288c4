"""Pictures that are none, forms that are none, and instances that are neither."""

import base64
import io
import json
import zlib
from collections.abc import Iterator

from PIL import Image

from tests.serve.corpus.case import Case
from tests.serve.corpus.tensors import MISSING
from tests.serve.wire import request

PREDICT = "/v1/models/tiny:predict"


def picture(kind: str = "PNG", size: tuple[int, int] = (8, 6)) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", size, "red").save(held, kind)
    return held.getvalue()


def instances() -> Iterator[Case]:
    one, file = [[[1] * 3] * 4] * 4, base64.b64encode(picture()).decode()
    wrong = [
        MISSING, None, 7, "x", {}, [], [None], [7], ["x"], [[]], [{}], [True], [one, 7], [one, [one]], [one[:3]],
        [[row[:3] for row in one]],
        [[[[1]] * 4] * 4], [[[["x"] * 3] * 4] * 4], [[[[None] * 3] * 4] * 4], [[[[1e39] * 3] * 4] * 4], [one, {"b64": file}],
        [{"b64": file}, one],
        [{"b64": 7}], [{"b64": None}], [{"b64": ""}], [{"b64": "x"}], [{"b64": "é"}], [{"b64": file[:-5]}], [{"b64": file + "!"}],
        [{"b64": file.replace("A", "-")}], [{"b64": "AAAA"}], [{"b64": file, "name": "x"}], [{"B64": file}], [{"image": 7}],
        [{"image": {"b64": "x"}}], [{"images": one}], [{"image": one,
        "other": one}], [{"b64": file}, {"b64": "AAAA"}], [{"b64": [file]}],
    ]  # fmt: skip
    for value in wrong:
        body = {} if value is MISSING else {"instances": value}
        shown = "missing" if value is MISSING else json.dumps(value).replace(file, "FILE")[:60]
        yield Case(shown, request("POST", PREDICT, json.dumps(body).encode(), {"content-type": "application/json"}), 400)
    for name, body in {
        "nothing": b"",
        "half": b'{"instances": [',
        "a list": b"[1]",
        "bad UTF-8": b'{"instances": "\xff"}',
    }.items():
        yield Case(f"JSON {name}", request("POST", PREDICT, body, {"content-type": "application/json"}), 400)
    many = json.dumps({"instances": [one] * 65}).encode()
    yield Case("65 pictures", request("POST", PREDICT, many, {"content-type": "application/json"}), 413)


def bodies() -> Iterator[Case]:
    """One picture as the body."""
    png, jpeg = picture(), picture("JPEG")
    header = png[:16] + (100_000).to_bytes(4, "big") * 2 + png[24:29]
    bomb = header + zlib.crc32(header[12:29]).to_bytes(4, "big") + png[33:]
    wrong = {
        "nothing": b"", "words": b"a picture", "zeros": bytes(1000), "half a PNG": png[: len(png) // 2],
        "half a JPEG": jpeg[: len(jpeg) // 2],
        "a PNG's first bytes": png[:8], "a JPEG's first bytes": b"\xff\xd8\xff", "a damaged PNG": png[:20] + bytes(20) + png[40:],
        "a PDF": b"%PDF-1.7\n",
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "GIF's first bytes": b"GIF89a",
        "a GIF without pictures": b"GIF89a" + bytes(7) + b";",
        "an empty TIFF": b"II*\0\x08\0\0\0\0\0",
        "a TIFF that points to itself": b"II*\0\x08\0\0\0\x01\0\0\x01\x03\0\x01\0\0\0\x08\0\0\0\x08\0\0\0",
        "WebP's first bytes": b"RIFF\x24\0\0\0WEBPVP8 ", "BMP's first bytes": b"BM" + bytes(52),
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    }  # fmt: skip
    for name, body in wrong.items():
        yield Case(name, request("POST", PREDICT, body, {"content-type": "image/png"}), 400)
    yield Case("10,000 million pixels", request("POST", PREDICT, bomb, {"content-type": "image/png"}), 413)
    yield Case("17 million pixels", request("POST", PREDICT, picture(size=(17_000, 1000)), {"content-type": "image/png"}), 413)
    yield Case("100 million pixels", request("POST", PREDICT, picture("GIF", (10_000, 10_000))), 413)
    for top in ("0", "-1", "1.5", "x", "", "1001", "9" * 4000, "%31%00", "1,2", "0x5", "%EF%BC%95", "+5"):
        yield Case(f"top={top[:12]}", request("POST", f"{PREDICT}?top={top}", png), 400)


def forms() -> Iterator[Case]:
    png, kind = picture(), "multipart/form-data; boundary=B"
    part = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + png + b"\r\n"
    end = b"--B--\r\n"
    wrong = {
        "no boundary": ("multipart/form-data", part + end), "an empty boundary": ("multipart/form-data; boundary=", part + end),
        "another boundary": ("multipart/form-data; boundary=C", part + end), "nothing": (kind, b""), "no part": (kind, end),
        "words": (kind, b"words"),
        "a part cut off": (kind, part[:60]), "a file cut off": (kind, part[:-30]),
        "no disposition": (kind, b"--B\r\n\r\nx\r\n" + end),
        "no name": (kind, b'--B\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n' + end),
        "a field, no file": (kind, b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n' + end),
        "an empty file": (kind, b'--B\r\nContent-Disposition: form-data; name="f"; filename="e.png"\r\n\r\n\r\n' + end),
        "an odd disposition": (kind, b'--B\r\nContent-Disposition: ;;;===;"\r\n\r\nx\r\n' + end),
        "a header without a colon": (kind, b"--B\r\nContent-Disposition\r\n\r\nx\r\n" + end),
        "lines that end in LF": (kind, part.replace(b"\r\n", b"\n")), "zeros": (kind, bytes(500)),
        "a header of 20 KB": (kind, b"--B\r\nA: " + b"a" * 20_000),
        "base64 that is none": (kind, part.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1) + end),
        "the second is no picture": (kind, part + part.replace(png, b"words").replace(b"a.png", b"b.png") + end),
        "a name of 5,000 letters": (kind, part.replace(b"a.png", b"a" * 5000).replace(png, b"words") + end),
        "a name that is no UTF-8": (kind, part.replace(b"a.png", b"\xff\xfe").replace(png, b"words") + end),
        "mixed": ("multipart/mixed; boundary=B", part + end), "of letters": ("application/x-www-form-urlencoded", b"file=a"),
        "a boundary of 5,000": (f"multipart/form-data; boundary={'b' * 5000}", part + end),
        "an odd kind": ("multipart/form-data; ;;=;\"", part + end),
        "a kind of bytes": ("\xff\xfe/\x80", b"words"), "no kind": ("", b"words"),
        "1,000 empty parts": (kind, b"--B\r\n\r\n\r\n" * 1000 + end),
    }  # fmt: skip
    for name, (form, body) in wrong.items():
        yield Case(name, request("POST", PREDICT, body, {"content-type": form}), 400)
    yield Case("65 files", request("POST", PREDICT, part * 65 + end, {"content-type": kind}), 413)
