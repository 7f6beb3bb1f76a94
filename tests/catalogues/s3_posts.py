"""Verifies forms that are sent to the S3 service of `s3_server.py`, whose moto stores whatever it is sent.

That is the policy's signature, its end, and that each field and the file's size are as it says, as
Amazon, Ceph's gateway and MinIO do themselves. Run in the environment of `environment.py`.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import io
import json
from collections.abc import Mapping
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from werkzeug.formparser import parse_form_data

# what need not be in a policy
BESIDE = {"policy", "x-amz-signature", "file"}


def is_form(environ: Mapping[str, Any]) -> bool:
    kind = str(environ.get("CONTENT_TYPE", ""))
    return environ["REQUEST_METHOD"] == "POST" and kind.startswith("multipart/form-data")


def refused(environ: dict[str, Any], secrets: Mapping[str, str]) -> str | None:
    """The code of the error; None where it may be: then it is signed in headers, which moto verifies."""
    whole = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    environ["wsgi.input"] = io.BytesIO(whole)
    _, form, files = parse_form_data({**environ, "wsgi.input": io.BytesIO(whole)})
    fields = {name: form.getlist(name) for name in form}
    if any(len(values) != 1 for values in fields.values()) or list(files) != ["file"]:
        return "InvalidArgument"
    given = {name: values[0] for name, values in fields.items()}
    key_id, *scope = given.get("x-amz-credential", "").split("/")
    if key_id not in secrets or len(scope) != 4:
        return "InvalidAccessKeyId"
    signing = f"AWS4{secrets[key_id]}".encode()
    for word in (*scope, given.get("policy", "")):
        signing = hmac.new(signing, word.encode(), hashlib.sha256).digest()
    if signing.hex() != given.get("x-amz-signature"):
        return "SignatureDoesNotMatch"
    policy = json.loads(base64.b64decode(given["policy"]))
    ends = datetime.datetime.fromisoformat(policy["expiration"])
    if datetime.datetime.now(datetime.UTC) > ends:
        return "AccessDenied"
    named = {"bucket": environ["RAW_URI"].strip("/"), **given}
    open_fields = named.keys() - BESIDE
    size = len(files["file"].read())
    for condition in policy["conditions"]:
        if isinstance(condition, dict):
            [(name, value)] = condition.items()
            if named.get(name) != value:
                return "AccessDenied"
            open_fields -= {name}
        else:
            word, least, most = condition
            if word != "content-length-range":
                return "InvalidPolicyDocument"
            if not least <= size <= most:
                return "EntityTooLarge" if size > most else "EntityTooSmall"
    if open_fields:
        return "AccessDenied"
    again = AWSRequest("POST", f"http://{environ['HTTP_HOST']}{environ['RAW_URI']}")
    again.context["payload_signing_enabled"] = False
    S3SigV4Auth(Credentials(key_id, secrets[key_id]), "s3", scope[1]).add_auth(again)
    for name in ("Authorization", "X-Amz-Date", "X-Amz-Content-SHA256"):
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = again.headers[name]
    return None
