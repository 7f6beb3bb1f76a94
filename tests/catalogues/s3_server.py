"""An S3 service (moto, with its checks of who may do what) on loopback, for URLs that are signed.

Run in the environment of `environment.py`: prints a line of JSON, {"port", "keys": {NAME: [ID, SECRET]}}, and
ends with its standard input. moto verifies signatures in headers alone, so that what is signed in a URL is
verified here, by botocore, and handed to moto as if it had been signed in headers.
"""

from __future__ import annotations

import datetime
import json
import sys
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import boto3
import requests
import s3_posts
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

REGION = "us-east-1"
# a page of a list has 1,000
MANY = 1005
OBJECTS = {
    "a.fits": b"a" * 1000,
    "survey/one.fits": b"1" * 300,
    "survey/deep/two + 2~ü.fits": b"2" * 50,
    "survey/empty": b"",
    "survey/marker/": b"",
    "clash/a": b"x",
    "clash/a/b": b"x",
    "twice/a/b": b"x",
    "twice/a//b": b"x",
}
KEYS: dict[str, list[str]] = {}
READ = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:HeadObject"], "Resource": "*"}
LIST = {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:HeadBucket"], "Resource": "*"}
WRITE = {"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": "*"}
REMOVE = {"Effect": "Allow", "Action": ["s3:DeleteObject"], "Resource": "*"}
POLICIES = {
    "reader": [READ, LIST],
    "blind": [READ],
    "nobody": [],
    "writer": [WRITE],
    "keeper": [READ, LIST, WRITE, REMOVE],
}


def _error(start_response: Any, code: str) -> Iterable[bytes]:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


class Gate:
    """Verifies what is signed in the query, and signs it again in headers."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if s3_posts.is_form(environ):
            code = s3_posts.refused(environ, dict(KEYS.values()))
            if code is not None:
                return _error(start_response, code)
            return self._inner(environ, start_response)  # type: ignore[no-any-return]
        query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
        if "X-Amz-Signature" not in query:
            # moto fails where a bucket is asked for without a word of who asks
            if "HTTP_AUTHORIZATION" not in environ and "list-type" in query:
                return _error(start_response, "AccessDenied")
            return self._inner(environ, start_response)  # type: ignore[no-any-return]
        key_id, _, region, *_ = query["X-Amz-Credential"].split("/")
        secrets = dict(KEYS.values())
        if key_id not in secrets:
            return _error(start_response, "InvalidAccessKeyId")
        stamp = query["X-Amz-Date"]
        began = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
        seconds = int(query["X-Amz-Expires"])
        if not 0 < seconds <= 604800:
            return _error(start_response, "AuthorizationQueryParametersError")
        if datetime.datetime.now(datetime.UTC) > began + datetime.timedelta(seconds=seconds):
            return _error(start_response, "AccessDenied")
        own = {name: value for name, value in query.items() if not name.startswith("X-Amz-")}
        host, method = environ["HTTP_HOST"], environ["REQUEST_METHOD"]
        path = environ["RAW_URI"].partition("?")[0]
        plain = f"http://{host}{path}" + (f"?{urlencode(own, quote_via=quote)}" if own else "")
        who = Credentials(key_id, secrets[key_id])
        auth = S3SigV4QueryAuth(who, "s3", region, expires=seconds)
        asked = AWSRequest(method, plain)
        asked.context["timestamp"] = stamp
        auth._modify_request_before_signing(asked)
        words = auth.string_to_sign(asked, auth.canonical_request(asked))
        if auth.signature(words, asked) != query["X-Amz-Signature"]:
            return _error(start_response, "SignatureDoesNotMatch")
        again = AWSRequest(method, plain)
        again.context["payload_signing_enabled"] = False
        S3SigV4Auth(who, "s3", region).add_auth(again)
        for name in ("Authorization", "X-Amz-Date", "X-Amz-Content-SHA256"):
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = again.headers[name]
        environ["QUERY_STRING"] = plain.partition("?")[2]
        environ["RAW_URI"] = environ["REQUEST_URI"] = path + (f"?{environ['QUERY_STRING']}" if own else "")
        return self._inner(environ, start_response)  # type: ignore[no-any-return]


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *arguments: Any) -> None:
        query = self.path.partition("?")[2]
        sys.stderr.write(
            f"{self.command} {self.path.partition('?')[0]} signed={'X-Amz-Signature' in query}\n"
        )
        sys.stderr.flush()


def _fill(endpoint: str) -> None:
    session: dict[str, Any] = {
        "endpoint_url": endpoint,
        "aws_access_key_id": "root",
        "aws_secret_access_key": "root",
        "region_name": REGION,
    }
    s3, iam = boto3.client("s3", **session), boto3.client("iam", **session)
    for bucket in ("sky", "empty", "many"):
        s3.create_bucket(Bucket=bucket)
    for name, body in OBJECTS.items():
        s3.put_object(Bucket="sky", Key=name, Body=body)
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for number in range(MANY):
        backend.put_object("many", f"{number:05}", b"12")
    for name, statements in POLICIES.items():
        iam.create_user(UserName=name)
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        KEYS[name] = [made["AccessKeyId"], made["SecretAccessKey"]]
    # from now on it is verified who asks
    requests.post(f"{endpoint}/moto-api/reset-auth", data=b"0", timeout=60).raise_for_status()


def main() -> None:
    application = Gate(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _fill(f"http://127.0.0.1:{server.port}")
    sys.stdout.write(json.dumps({"port": server.port, "keys": KEYS}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
