"""A connection to an OpenStack cloud by openstacksdk, whose every failure is one line for a person.

Who is asked, and as whom, is what the SDK finds: the cloud that the option `cloud` names in clouds.yaml, else
the one of OS_CLOUD or the OS_* variables. No secret passes through here, and none gets into an error's text.
"""

from __future__ import annotations

import logging
import re
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from federation.errors import FairleadError, InputError, OutsideError, one_line

# A lease is written within seconds; the slowest answer that is waited for is Blazar's own time-out of 60 s.
TIMEOUT_SECONDS = 75.0
_NAMES = {"reservation": "Blazar", "compute": "Nova", "placement": "Placement", "identity": "Keystone"}
_GATEWAY = (502, 503, 504)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Answer:
    """What a service answered: the status, and the document where there was one."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        return self.status < 400

    @property
    def said(self) -> str:
        """The service's own sentence on why not."""
        return _sentence(self.body) or f"status {self.status}"


@dataclass(frozen=True)
class Caller:
    """As whom the cloud is asked."""

    project_id: str | None
    application_credential: bool


class Cloud:
    """One cloud, as the caller's project sees it. It connects when first asked; any thread may ask. The
    connection ends with it.

    `ask` returns what the service said, refusals included. It raises InputError where the configuration or
    the credentials are wrong, OutsideError where nobody answers.
    """

    def __init__(self, name: str | None, where: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.name = name
        self._where = where
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._connection: Any = None

    def __str__(self) -> str:
        return f"cloud {self.name!r}" if self.name else "the cloud of OS_CLOUD or OS_*"

    def ask(
        self,
        service: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        version: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """One request to `service` (its type in the catalogue). `version`: the microversion to ask with;
        `timeout_seconds` where it isn't the cloud's own."""

        def request() -> Answer:
            proxy = getattr(self._connected(), service.replace("-", "_"))
            options: dict[str, Any] = {"raise_exc": False, "headers": {"Accept": "application/json"}}
            if body is not None:
                options["json"] = dict(body)
            if version is not None:
                options["microversion"] = version
            if timeout_seconds is not None:
                options["timeout"] = timeout_seconds
            response = proxy.request(path, method, **options)
            try:
                document = response.json() if response.content else None
            except ValueError:
                document = response.text
            return Answer(response.status_code, document)

        name = _NAMES.get(service, service)
        answer = self._translated(request, name)
        if answer.status == 401:
            raise InputError(
                f"{self._where}: {name} of {self} doesn't accept these credentials: {answer.said} Expected a "
                "token that is still valid, or an application credential whose access rules allow this"
            )
        if answer.status in _GATEWAY:
            raise OutsideError(f"{self._where}: {name} of {self} is not there (status {answer.status})")
        if answer.ok and isinstance(answer.body, str):
            # a page to sign in at, say
            raise OutsideError(f"{self._where}: {name} of {self} answers with something else than JSON")
        return answer

    def caller(self) -> Caller:
        """As whom this cloud is asked. Raises as `ask` does."""

        def read() -> Caller:
            connection = self._connected()
            access = connection.session.auth.get_access(connection.session)
            return Caller(
                access.project_id,
                "application_credential"
                in str(connection.config.config.get("auth_type", "")).replace("-", "_")
                or bool(getattr(access, "application_credential_id", None)),
            )

        return self._translated(read, "Keystone")

    def offers(self, service: str) -> bool:
        """Whether the cloud's catalogue has the service."""

        def look() -> bool:
            connection = self._connected()
            access = connection.session.auth.get_access(connection.session)
            return any(entry["type"] == service for entry in access.service_catalog.catalog or ())

        return self._translated(look, "Keystone")

    def _connected(self) -> Any:
        with self._lock:
            if self._connection is None:
                connection = self._connect()
                # the SDK's own `close` leaves open what its services have asked by
                weakref.finalize(self, connection.session.session.close)
                self._connection = connection
            return self._connection

    def _connect(self) -> Any:
        try:
            import openstack
        except ImportError:
            raise InputError(
                f"{self._where}: openstacksdk is not installed: expected fairlead[openstack]"
            ) from None
        # warns of a Keystone that isn't there, as the error that follows does
        logging.getLogger("keystoneauth.identity").setLevel(logging.ERROR)
        # Blazar's v2, which the SDK would choose, can't list leases.
        connection = openstack.connect(
            cloud=self.name,
            app_name="fairlead",
            reservation_api_version="1",
            api_timeout=self._timeout_seconds,
        )
        url = (connection.config.config.get("auth") or {}).get("auth_url")
        # of such an address the SDK says that the cloud has no service at all
        if url and not str(url).lower().startswith(("https://", "http://")):
            raise InputError(
                f"{self._where}: auth_url of {self}: expected an address that begins with https:// or "
                f"http://, got {one_line(str(url))[:80]!r}"
            )
        return connection

    def _translated(self, action: Callable[[], _T], name: str) -> _T:
        """What `action` returns; what the SDK and its sessions raise becomes one line."""
        try:
            return action()
        except FairleadError:
            raise
        except Exception as error:
            raise self._in_words(error, name) from None

    def _in_words(self, error: Exception, name: str) -> Exception:
        try:
            from keystoneauth1 import exceptions as auth
            from openstack import exceptions as sdk
        except ImportError:
            return error
        here = f"{self._where}: {name} of {self}"
        who = f"{self._where}: {self}"
        match error:
            case auth.EmptyCatalog() | sdk.ServiceDisabledException() if _has_no_catalogue(error):
                return InputError(f"{who}: the credentials are for no project: expected a project name or id")
            case sdk.ServiceDisabledException() | auth.EndpointNotFound() | sdk.EndpointNotFound():
                return InputError(
                    f"{who} has no {name}: expected it in the catalogue of the region and interface that "
                    "were asked for"
                )
            case sdk.ConfigException():
                return InputError(
                    f"{who}: {_first_line(error)}: expected a cloud of clouds.yaml, or OS_* variables"
                )
            case auth.MissingRequiredOptions() | auth.MissingAuthPlugin() | auth.NoMatchingPlugin():
                return InputError(f"{who}: the credentials are not complete: {_first_line(error)}")
            case auth.NotFound() if "token" not in str(error):
                return OutsideError(f"{here} answers 404: {_first_line(error)}")
            # Keystone says 404 of a token that it doesn't know (any more)
            case auth.Unauthorized() | auth.AuthorizationFailure() | auth.NotFound():
                return InputError(
                    f"{who}: Keystone refuses these credentials: expected a user, password and project that "
                    "are valid, or a token or application credential that hasn't expired"
                )
            case auth.SSLError() if re.search("WRONG_VERSION_NUMBER|record layer failure", str(error)):
                return OutsideError(f"{here} speaks no TLS there: expected its address to begin with http://")
            case auth.SSLError():
                return OutsideError(
                    f"{here} can't be trusted: {_ssl_reason(error)}: expected its authority's certificate as "
                    "`cacert` in clouds.yaml or OS_CACERT"
                )
            case auth.ConnectTimeout():
                return OutsideError(f"{here} doesn't answer within {self._timeout_seconds:g} s")
            case auth.ConnectFailure() | auth.UnknownConnectionError() | auth.DiscoveryFailure():
                return OutsideError(f"{here} can't be reached: {_unreached(error)}")
            case auth.HttpError():
                return OutsideError(f"{here} answers {error.http_status}: {_first_line(error)}")
            case auth.ClientException() | sdk.SDKException():
                return OutsideError(f"{here} can't be asked: {_first_line(error)}")
        return error


def cloud_of(options: Mapping[str, Any], where: str) -> Cloud:
    """The cloud that the options of a table [[space]] name. Raises InputError for a name that is no text."""
    name = options.get("cloud")
    if name is not None and (not isinstance(name, str) or not name):
        raise InputError(f"{where}.cloud: expected the name of a cloud in clouds.yaml, got {name!r}")
    timeout = options.get("timeout_seconds", TIMEOUT_SECONDS)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
        raise InputError(f"{where}.timeout_seconds: expected a number above 0, got {timeout!r}")
    return Cloud(name, where, float(timeout))


def _sentence(body: Any) -> str | None:
    """The sentence in an error document: each service of OpenStack puts it somewhere else."""
    match body:
        case {"error_message": str(text)}:  # Blazar
            return one_line(text)
        case {"errors": [{"detail": str(text)}, *_]}:  # Placement
            return one_line(text)
        case {"message": str(text)}:
            return one_line(text)
        case Mapping() if len(body) == 1:  # Nova: {"forbidden": {...}}, Keystone: {"error": {...}}
            return _sentence(next(iter(body.values())))
    return None


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")


def _unreached(error: Exception) -> str:
    """What was asked, and the system's own reason; the library's line, full of its classes' names, where it
    gives no such reason."""
    reason, cause = None, error.__cause__ or error.__context__
    while cause is not None:
        reason = getattr(cause, "strerror", None) or reason
        cause = cause.__cause__ or cause.__context__
    url = re.search(r"https?://[^\s'\"]+", str(error))
    return f"{url[0].rstrip(':')}: {reason}" if url and reason else _first_line(error)


def _has_no_catalogue(error: Exception) -> bool:
    """A token for no project comes with no catalogue."""
    return "catalog is empty" in str(error)


def _ssl_reason(error: Exception) -> str:
    text = str(error)
    for reason in (
        "self-signed certificate",
        "self signed certificate",
        "certificate has expired",
        "doesn't match",
    ):
        if reason in text:
            return reason.replace("self signed", "self-signed")
    return "its certificate can't be verified" if "CERTIFICATE_VERIFY_FAILED" in text else _first_line(error)
