"""Serve a WSGI application on loopback: serve.py <port> <module>:<application, or a call that gives it>."""

import pkgutil
import sys

import waitress

port, name = sys.argv[1:]
# some applications read the arguments, too
del sys.argv[1:]
application = pkgutil.resolve_name(name.removesuffix("()"))
if name.endswith("()"):
    application = application()
waitress.serve(application, listen=f"127.0.0.1:{port}", threads=8, _quiet=True)
