"""The command with the page for phones."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from app.commands.screen import say, shown
from app.errors import UserError
from app.flags import whole

HERE, EVERYWHERE = "127.0.0.1", "0.0.0.0"


def demo(given: argparse.Namespace) -> None:
    """Shows a release on a phone: a page that runs it on the device."""
    from app.demo.build import browser_variants, build
    from app.release import find_release

    release = find_release(given.release)
    browser_variants(release)
    if given.build:
        if given.https or given.host or given.port:
            raise UserError("--build writes a folder and serves nothing; leave --https, --host and --port out")
        files = build(release, Path(given.build))
        say(f"built:  {shown(Path(given.build))} ({len(files)} files); any https host can serve it as it is")
        return
    from app.demo.certificate import network_address, own_certificate
    from app.demo.serve import open_server

    address = network_address()
    host = given.host or (EVERYWHERE if given.https else HERE)
    reachable = [address or HERE] if host in (EVERYWHERE, "") else [host]
    certificate = own_certificate(tuple(reachable)) if given.https else None
    folder = Path(tempfile.mkdtemp(prefix="convoy-demo-"))
    try:
        with open_server(folder, host, given.port or 8000, certificate) as server:
            # Under its name: what the browser keeps is then of this release alone, and not of all that this port ever shows.
            build(release, folder / release.name)
            (folder / "index.html").write_text(f'<meta http-equiv="refresh" content="0; url=./{release.name}/">\n')
            scheme, port = ("https" if certificate else "http"), server.server_address[1]
            say(f"serving {release.name}, version {release.version}; Ctrl-C ends it")
            alone = ip_address(str(server.server_address[0])).is_loopback
            if alone or host == EVERYWHERE:
                say(f"here:   {scheme}://localhost:{port}/{release.name}/")
            if not alone and reachable != [HERE]:
                say(f"phone:  {scheme}://{reachable[0]}:{port}/{release.name}/   (in the same network)")
            say(_advice(https=bool(certificate), on_network=not alone))
            with suppress(KeyboardInterrupt):
                server.serve_forever()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _advice(*, https: bool, on_network: bool) -> str:
    if https and on_network:
        return "note:   the certificate is this machine's own: the phone warns once; go on to the page"
    if on_network:
        return "note:   without --https a phone shows photos and drawings, and gives no live camera"
    return "note:   for this machine alone; for a phone add --https"


def add_demo_flags(parser: argparse.ArgumentParser) -> None:
    """Gives the parser of `demo` its flags."""
    parser.add_argument("release", metavar="RELEASE")
    parser.add_argument("--https", action="store_true", help="for phones: live camera; reachable from the network")
    parser.add_argument("--host", help=f"address to listen on; default: {HERE}, with --https {EVERYWHERE}")
    parser.add_argument("--port", type=whole("--port", 65535), help="default: 8000")
    parser.add_argument("--build", metavar="DIR", help="write a folder for any web host instead")
