"""boto3 client shared by Amazon Bedrock and Amazon Rekognition: deadlines and the meaning of errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

from deployments.errors import ProviderError, ProviderUnavailable
from deployments.providers.policy import (
    SENSELESS,
    error_of_status,
    malformed,
    missing_credentials,
    missing_extra,
    missing_setting,
    within,
)

T = TypeVar("T")
CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_CONNECT_S = 5.0
_CALLS = 8
"""Calls that one client makes at once.

One that is given up holds its place until its own read timeout, so they have threads of their own: a silent vendor must
not take those that everything else needs.
"""
_QUOTA = frozenset(
    "ThrottlingException ProvisionedThroughputExceededException LimitExceededException "
    "ServiceQuotaExceededException TooManyRequestsException".split()
)
_REFUSED_CREDENTIALS = frozenset(
    "AccessDeniedException UnrecognizedClientException InvalidSignatureException ExpiredTokenException "
    "IncompleteSignatureException MissingAuthenticationTokenException InvalidClientTokenId "
    "SubscriptionRequiredException".split()
)
"""Error codes of refused credentials: services that speak JSON send them with status 400, as they do for a bad
image."""
_WRONG_MODEL = ("model identifier", "model id", "on-demand throughput", "operation not allowed")
"""Words in a `ValidationException` of Bedrock by which the account or the region does not serve the model."""


@cache
def _descriptions() -> Any:
    """Load botocore's descriptions of services and endpoints, once for all clients of a process: many MB of JSON."""
    import botocore.loaders

    return botocore.loaders.create_loader()


class AwsClient:
    """Client of one AWS service with threads of its own."""

    def __init__(
        self,
        vendor: str,
        service: str,
        region: str | None,
        region_variable: str,
        endpoint_url: str | None,
        timeout_s: float,
        keyless: str,
    ) -> None:
        """Open a client; `region_variable` names the setting of the region, `keyless` the engine that works without
        AWS.

        Raises `ProviderUnavailable` without the SDK, a region or credentials.
        """
        try:
            import boto3
            import botocore.exceptions
            import botocore.parsers
            import botocore.session
            from botocore.config import Config
        except ImportError as error:
            raise missing_extra(vendor, keyless) from error
        self._vendor, self._keyless = vendor, keyless
        self._timeout_s = timeout_s
        self._errors: Any = botocore.exceptions
        self._no_credentials = (
            botocore.exceptions.NoCredentialsError,
            botocore.exceptions.PartialCredentialsError,
            botocore.exceptions.CredentialRetrievalError,
            botocore.exceptions.SSOError,
            botocore.exceptions.TokenRetrievalError,
        )
        self._parser_error: type[Exception] = botocore.parsers.ResponseParserError
        config = Config(
            connect_timeout=min(_CONNECT_S, timeout_s),
            read_timeout=timeout_s,
            retries={"total_max_attempts": 1},
            max_pool_connections=_CALLS,
        )
        try:
            core = botocore.session.get_session()
            core.register_component("data_loader", _descriptions())
            session = boto3.Session(region_name=region, botocore_session=core)
            if session.region_name is None:
                raise missing_setting(vendor, "region", region_variable, keyless)
            if session.get_credentials() is None:
                raise missing_setting(vendor, "credentials", CREDENTIALS, keyless)
            self._client: Any = session.client(service, endpoint_url=endpoint_url, config=config)
        except self._no_credentials as error:
            raise missing_credentials(vendor, CREDENTIALS, keyless) from error
        except (botocore.exceptions.BotoCoreError, ValueError) as error:  # a profile, a region, an address that is none
            raise ProviderUnavailable(
                f"{vendor}: the settings of AWS make no sense (see {region_variable} and AWS_PROFILE). "
                f"`{keyless}` works without."
            ) from error
        self._threads = ThreadPoolExecutor(_CALLS, thread_name_prefix=service)

    async def call(self, request: Callable[[Any], T]) -> T:
        """Call `request` with the client in a thread: building the request, waiting and parsing all block.

        Raises `ProviderUnavailable`, `ProviderRejected`.
        """
        async with within(self._timeout_s, self._vendor):
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._call, request)

    async def aclose(self) -> None:
        """Close the connections; calls that have not begun are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _call(self, request: Callable[[Any], T]) -> T:
        try:
            return request(self._client)
        except self._errors.ClientError as error:
            raise self._meaning(error.response) from error
        except self._no_credentials as error:
            raise missing_credentials(self._vendor, CREDENTIALS, self._keyless) from error
        except self._errors.BotoCoreError as error:
            raise ProviderUnavailable(f"{self._vendor} cannot be reached.") from error
        except (self._parser_error, *SENSELESS) as error:  # botocore, over an answer of another shape
            raise malformed(self._vendor) from error

    def _meaning(self, response: Any) -> ProviderError:
        error = response.get("Error", {})
        code, message = error.get("Code", ""), str(error.get("Message", "")).lower()
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code == "ValidationException" and any(words in message for words in _WRONG_MODEL):
            return ProviderUnavailable(f"{self._vendor} does not serve the model to this account in this region.")
        if code in _QUOTA:
            status = 429
        if code in _REFUSED_CREDENTIALS:
            status = 403
        return error_of_status(self._vendor, status, CREDENTIALS, self._keyless)
